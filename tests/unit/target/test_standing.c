/*
 * A process that somebody else has stopped already.
 */
#include "child.h"

#include "target/standing.h"
#include "target/target.h"

#include <pthread.h>
#include <sys/ptrace.h>

#define THREADS 4

struct shared {
    volatile int begun, ready, order, done;
    pid_t tids[THREADS + 1];
};

static struct shared *shared;

static void *sleeper(void *arg)
{
    int i = __atomic_add_fetch(&shared->begun, 1, __ATOMIC_SEQ_CST);
    shared->tids[i] = gettid();
    __atomic_add_fetch(&shared->ready, 1, __ATOMIC_SEQ_CST);
    child_sleep(arg);
    return arg;
}

static void sleepers(void *arg)
{
    shared->tids[0] = getpid();
    for (int i = 0; i < THREADS; i++) {
        pthread_t th;
        pthread_create(&th, NULL, sleeper, arg);
    }
    child_sleep(arg);
}

static void stop_one(pid_t tid)
{
    if (ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) != 0 || waitpid(tid, NULL, __WALL) != tid)
        _exit(1);
}

/* A tracer that obeys: 1: seize and stop all but one, 2: the last one too, 3: let all run for a
 * moment. */
static void debugger(void *arg)
{
    (void)arg;
    for (int done = 0;;) {
        if (shared->order == done) {
            nap_ms(1);
            continue;
        }
        done = shared->order;
        for (int i = 0; i <= THREADS; i++) {
            pid_t tid = shared->tids[i];
            if (done == 1 && ptrace(PTRACE_SEIZE, tid, NULL, NULL) != 0)
                _exit(1);
            if (done == 3)
                ptrace(PTRACE_CONT, tid, NULL, NULL);
        }
        if (done == 3)
            nap_ms(5);
        for (int i = 0; i <= THREADS; i++)
            if (done == 3 || (done == 1) == (i < THREADS))
                stop_one(shared->tids[i]);
        shared->done = done;
    }
}

static void order(int what)
{
    shared->order = what;
    cr_assert(eventually(shared->done == what));
}

static pid_t start(pid_t *tracer)
{
    shared = child_shared(sizeof *shared);
    pid_t pid = child_start(sleepers, NULL);
    cr_assert(eventually(shared->ready == THREADS));
    *tracer = child_start(debugger, NULL);
    return pid;
}

Test(standing, is_found_and_holds, .timeout = 60)
{
    pid_t tracer, pid = start(&tracer);
    struct hw_standing s;
    cr_expect(!hw_standing_find(pid, &s));
    order(1);
    cr_expect(!hw_standing_find(pid, &s), "one thread runs");
    order(2);
    cr_expect(hw_standing_find(pid, &s));
    cr_expect_eq(s.tracer, tracer);
    cr_expect_eq(s.threads, THREADS + 1);
    cr_expect(hw_standing_holds(pid, &s));
    order(3);
    cr_expect(!hw_standing_holds(pid, &s), "it ran for a moment");
    cr_expect(hw_standing_find(pid, &s));
    cr_expect(hw_standing_holds(pid, &s));
    child_end(tracer);
    child_end(pid);
    cr_expect(!hw_standing_find(pid, &s));
    cr_expect(!hw_standing_holds(pid, &s));
}

Test(standing, it_is_read_as_it_is, .timeout = 60)
{
    pid_t tracer, pid = start(&tracer);
    struct hw_target *t;
    struct hw_error err = {0};
    cr_assert_eq(hw_target_open_live(pid, &t, &err), HW_OK, "%s", err.text);
    order(1);
    cr_expect_eq(hw_target_freeze(t, &err), HW_ERR_PERMISSION);
    cr_expect_not_null(strstr(err.text, "already traced"), "%s", err.text);
    order(2);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(hw_target_freeze(t, &err), HW_OK, "%s", err.text);
        cr_expect(t->stood && t->left_alone);
        cr_expect_eq(t->held_by, tracer);
        cr_expect(!t->moving);
        cr_expect_eq(t->thread_count, THREADS + 1);
        for (size_t k = 0; k < t->thread_count; k++)
            cr_expect_neq(t->threads[k].tp, 0);
        int ready;
        cr_expect_eq(hw_read(t, (uintptr_t)&shared->ready, &ready, sizeof ready, NULL), 4);
        if (i == 1)
            order(3);
        hw_target_thaw(t);
        cr_expect_eq(t->pause_ns, 0);
        cr_expect_eq(t->moving, i == 1);
        cr_expect_eq(status_number(pid, "TracerPid:"), tracer);
    }
    child_end(tracer);
    cr_assert_eq(hw_target_freeze(t, &err), HW_OK, "%s", err.text);
    cr_expect(!t->stood && !t->left_alone);
    cr_expect_eq(t->held_by, 0);
    hw_target_close(t);
    child_end(pid);
}

/* ---- job control ---------------------------------------------------------------------------- */

static pid_t start_stopped(void)
{
    pid_t pid = child_start(child_sleep, NULL);
    kill(pid, SIGSTOP);
    cr_assert(reaches_state(pid, 'T'));
    return pid;
}

static void go_on_and_stop(pid_t pid)
{
    kill(pid, SIGCONT);
    cr_assert(reaches_state(pid, 'S'));
    kill(pid, SIGSTOP);
    cr_assert(reaches_state(pid, 'T'));
}

Test(standing, a_stopped_job, .timeout = 60)
{
    pid_t pid = start_stopped();
    struct hw_standing s;
    cr_expect(hw_standing_find(pid, &s));
    cr_expect_eq(s.tracer, 0);
    cr_expect_eq(s.threads, 1);
    cr_expect(hw_standing_holds(pid, &s));
    go_on_and_stop(pid);
    cr_expect(!hw_standing_holds(pid, &s), "it ran for a moment");
    child_end(pid);
}

/* It holds nobody back who wants to trace, but it will do where nobody is to be stopped, or not for
 * long enough. */
Test(standing, a_stopped_job_is_read_as_it_is_where_that_will_do, .timeout = 60)
{
    static const struct {
        enum hw_mode mode;
        bool stops_do, left_alone;
    } ways[] = {{HW_MODE_STOPPED, false, false},
                {HW_MODE_STOPPED, true, true},
                {HW_MODE_RUNNING, false, true}};
    pid_t pid = start_stopped();
    struct hw_target *t;
    cr_assert_eq(hw_target_open_live(pid, &t, NULL), HW_OK);
    for (size_t i = 0; i < 2 * sizeof ways / sizeof *ways; i++) {
        t->mode = ways[i / 2].mode;
        t->stops_do = ways[i / 2].stops_do;
        bool runs_on = i % 2 && ways[i / 2].left_alone;
        cr_assert_eq(hw_target_freeze(t, NULL), HW_OK);
        cr_expect(t->stood && !t->moving);
        cr_expect_eq(t->left_alone, ways[i / 2].left_alone);
        cr_expect_eq(t->held_by, 0);
        cr_expect_eq(status_number(pid, "TracerPid:") == 0, t->left_alone);
        if (runs_on)
            go_on_and_stop(pid);
        hw_target_thaw(t);
        cr_expect_eq(t->moving, runs_on);
        cr_expect(reaches_state(pid, 'T'));
    }
    kill(pid, SIGCONT);
    cr_assert(reaches_state(pid, 'S'));
    cr_assert_eq(hw_target_freeze(t, NULL), HW_OK);
    cr_expect(!t->stood && !t->left_alone && t->moving);
    hw_target_close(t);
    child_end(pid);
}
