/*
 * A process that is read while it runs: nothing is done to it, and its thread pointers are known
 * all the same.
 */
#include "child.h"

#include "target/target.h"

#include <limits.h>
#include <pthread.h>
#include <sys/ptrace.h>
#include <time.h>

#define THREADS 300

/* What parent and child both see. */
struct shared {
    volatile int ready;
    volatile long ticks;
};

static struct hw_target *open_running(pid_t pid)
{
    struct hw_target *t;
    struct hw_error err = {0};
    cr_assert_eq(hw_target_open_live(pid, &t, &err), HW_OK, "%s", err.text);
    t->mode = HW_MODE_RUNNING;
    return t;
}

static void freeze(struct hw_target *t)
{
    struct hw_error err = {0};
    cr_assert_eq(hw_target_freeze(t, &err), HW_OK, "%s", err.text);
}

static void *sleeper(void *arg)
{
    struct shared *sh = arg;
    __atomic_add_fetch(&sh->ready, 1, __ATOMIC_SEQ_CST);
    child_sleep(NULL);
    return arg;
}

/* Some of them on stacks that pthread_create() did not make. */
static void many_threads(void *arg)
{
    for (int i = 0; i < THREADS; i++) {
        pthread_t th;
        pthread_attr_t attr;
        pthread_attr_init(&attr);
        if (i % 10 == 0)
            pthread_attr_setstack(&attr, malloc(1 << 18), 1 << 18);
        else
            pthread_attr_setstacksize(&attr, 1 << 17);
        if (pthread_create(&th, &attr, sleeper, arg) != 0)
            _exit(1);
    }
    child_sleep(NULL);
}

/* The tests themselves may run in a thread; what it forks has one of its own. */
Test(running, thread_pointers_are_those_of_the_registers, .timeout = 60)
{
    struct shared *sh = child_shared(sizeof *sh);
    pid_t pid = child_start(many_threads, sh);
    cr_assert(eventually(sh->ready >= THREADS));
    struct hw_target *t = open_running(pid);
    freeze(t);
    cr_assert_eq(t->thread_count, THREADS + 1);
    hw_addr found[THREADS + 1];
    for (size_t i = 0; i < t->thread_count; i++) {
        found[i] = t->threads[i].tp;
        cr_expect(!t->threads[i].regs_known);
        cr_expect_eq(t->threads[i].sp, 0);
    }
    hw_target_thaw(t);
    cr_expect_eq(t->threads[0].tp, 0);
    t->mode = HW_MODE_STOPPED;
    freeze(t);
    cr_assert_eq(t->thread_count, THREADS + 1);
    for (size_t i = 0; i < t->thread_count; i++)
        cr_expect_eq(found[i], t->threads[i].tp, "thread %zu", i);
    hw_target_close(t);
    child_end(pid);
}

static void *in_the_kernel(void *arg)
{
    struct shared *sh = arg;
    sh->ready = gettid();
    if (vfork() == 0) { /* its parent sleeps uninterruptibly */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    return arg;
}

static void sleeps_in_the_kernel(void *arg)
{
    pthread_t th;
    if (pthread_create(&th, NULL, in_the_kernel, arg) != 0)
        _exit(1);
    child_sleep(NULL);
}

Test(running, the_thread_pointer_of_one_that_does_not_stop_is_found, .timeout = 60)
{
    struct shared *sh = child_shared(sizeof *sh);
    pid_t pid = child_start(sleeps_in_the_kernel, sh);
    cr_assert(eventually(sh->ready >= 1));
    cr_assert(reaches_state(sh->ready, 'D'));
    struct hw_target *t = open_running(pid);
    t->mode = HW_MODE_STOPPED;
    t->max_pause_ns = 300000000;
    freeze(t);
    cr_assert_eq(t->thread_count, 2);
    cr_expect_eq(t->missed_threads, 1);
    for (size_t i = 0; i < 2; i++)
        cr_expect_neq(t->threads[i].tp, 0, "thread %zu", i);
    hw_target_close(t);
    child_end(pid);
}

Test(running, one_that_does_not_stop_may_have_started_another, .timeout = 60)
{
    struct shared *sh = child_shared(sizeof *sh);
    pid_t pid = child_start(sleeps_in_the_kernel, sh);
    cr_assert(eventually(sh->ready >= 1));
    cr_assert(reaches_state(sh->ready, 'D'));
    struct hw_target *t = open_running(pid);
    t->mode = HW_MODE_STOPPED;
    freeze(t);
    cr_expect_eq(t->missed_threads, 1);
    cr_expect(!t->moving);
    hw_target_thaw(t);
    cr_expect(t->missed_start, "its child runs in the same memory");
    hw_target_close(t);
    child_end(pid);
}

Test(running, a_moment_of_many_threads_takes_little_time, .timeout = 60)
{
    struct shared *sh = child_shared(sizeof *sh);
    pid_t pid = child_start(many_threads, sh);
    cr_assert(eventually(sh->ready >= THREADS));
    struct hw_target *t = open_running(pid);
    long best_us = LONG_MAX;
    for (int i = 0; i < 5; i++) {
        struct timespec a, b;
        clock_gettime(CLOCK_MONOTONIC, &a);
        freeze(t);
        clock_gettime(CLOCK_MONOTONIC, &b);
        hw_target_thaw(t);
        long us = (b.tv_sec - a.tv_sec) * 1000000 + (b.tv_nsec - a.tv_nsec) / 1000;
        best_us = us < best_us ? us : best_us;
    }
    cr_log_info("%ld us", best_us);
    cr_expect_lt(best_us, 100000); /* about 4 ms, but others run here, too */
    hw_target_close(t);
    child_end(pid);
}

static void tick(void *arg)
{
    struct shared *sh = arg;
    sh->ready = 1;
    for (;;)
        sh->ticks++;
}

Test(running, nothing_is_done_to_it, .timeout = 60)
{
    struct shared *sh = child_shared(sizeof *sh);
    pid_t pid = child_start(tick, sh);
    cr_assert(eventually(sh->ready >= 1));
    struct hw_target *t = open_running(pid);
    freeze(t);
    cr_expect(t->frozen);
    cr_expect(t->moving);
    cr_expect_eq(status_number(pid, "TracerPid:"), 0);
    cr_expect_neq(state_of(pid), 't');
    long before = sh->ticks;
    cr_expect(eventually(sh->ticks != before));
    cr_expect_not_null(hw_map_at(t, (uintptr_t)sh));
    hw_target_thaw(t);
    cr_expect_eq(t->pause_ns, 0);
    cr_expect(t->moving, "what was read may have moved");
    t->mode = HW_MODE_STOPPED;
    freeze(t);
    cr_expect(!t->moving);
    hw_target_close(t);
    child_end(pid);
}

Test(running, another_may_trace_it, .timeout = 60)
{
    struct shared *sh = child_shared(sizeof *sh);
    pid_t pid = child_start(tick, sh);
    cr_assert(eventually(sh->ready >= 1));
    pid_t tracer = fork();
    if (tracer == 0) {
        bool traced = ptrace(PTRACE_SEIZE, pid, NULL, NULL) == 0;
        sh->ready = traced ? 2 : 3;
        child_sleep(NULL);
    }
    cr_assert(eventually(sh->ready >= 2));
    cr_assert_eq(sh->ready, 2);
    struct hw_target *t = open_running(pid);
    freeze(t);
    cr_expect_neq(t->threads[0].tp, 0);
    hw_target_close(t);
    child_end(tracer);
    child_end(pid);
}

static void *brief(void *arg)
{
    return arg;
}

static void breed(void *arg)
{
    struct shared *sh = arg;
    sh->ready = 1;
    for (;;) {
        pthread_t th;
        if (pthread_create(&th, NULL, brief, NULL) == 0)
            pthread_join(th, NULL);
    }
}

/* Threads come and go: those that are listed are there, and the one that stays is found, unless the
 * list of threads is just being changed. */
Test(running, threads_that_come_and_go, .timeout = 60)
{
    struct shared *sh = child_shared(sizeof *sh);
    pid_t pid = child_start(breed, sh);
    cr_assert(eventually(sh->ready >= 1));
    struct hw_target *t = open_running(pid);
    int found = 0;
    for (int i = 0; i < 200; i++) {
        freeze(t);
        for (size_t k = 0; k < t->thread_count; k++)
            found += t->threads[k].tid == pid && t->threads[k].tp;
        hw_target_thaw(t);
    }
    cr_expect_gt(found, 100);
    hw_target_close(t);
    child_end(pid);
}

Test(running, the_end_of_the_process, .timeout = 60)
{
    pid_t pid = child_start(child_sleep, NULL);
    struct hw_target *t = open_running(pid);
    child_end(pid);
    struct hw_error err = {0};
    cr_expect_eq(hw_target_freeze(t, &err), HW_ERR_GONE);
    cr_expect(!t->frozen);
    hw_target_close(t);
}
