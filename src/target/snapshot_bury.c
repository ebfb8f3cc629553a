/*
 * The dead copy is a zombie that only the target itself can clear away, since nobody told it of its
 * child. Some thread of it has to be stopped once more, for the time of one wait4().
 *
 * A thread that was asked to stop goes on standing still from the moment in which it does. So no
 * one is left alone: whoever stops makes the call at once, and the others are let go when they do.
 * The thread that made the copy is the first to be asked; a thread that sleeps does not need to run
 * for its own sake, and is not kept from anything.
 */
#include "target/snapshot_keeper.h"

#include "target/proc.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define LIMIT_NS   INT64_C(2000000000) /* for all of it */
#define ATTEMPT_NS INT64_C(50000000)   /* before one more thread is asked */
#define NAP_NS     INT64_C(10000000)   /* once all were */
#define ASKED_MAX  40
#define POLL_NS    1000000

/* If the target has ended, its children are not its own any more. */
static bool has_ended(const struct hw_keeper *k)
{
    struct pollfd end = {.fd = k->target, .events = POLLIN};
    return k->target >= 0 && poll(&end, 1, 0) > 0;
}

static bool is_asked(const struct hw_tracees *t, int tid)
{
    for (size_t i = 0; i < t->list.count; i++)
        if (t->list.data[i].tid == tid && t->list.data[i].state == HW_TRACEE_SEIZED)
            return true;
    return false;
}

/* Have a stopped thread take note of its dead child; true if there is none any more. */
static bool bury_by(struct hw_keeper *k, struct hw_tracee *tracee)
{
    struct hw_call wait = {SYS_wait4, {(uint64_t)k->copy_tid, 0, WNOHANG | __WALL, 0}};
    struct hw_called called = {0};
    return hw_keeper_judge(k, tracee, NULL, 0) != HW_FIT_NOT &&
           hw_inject(tracee, k->insn, &wait, NULL, &called, NULL) == HW_OK &&
           (called.value == k->copy_tid || called.value == -ECHILD);
}

/* One of those that have stopped, all of which then run again. The pause is that of the thread that
 * stood still for longest: none did when they were last looked at before. */
static bool bury_by_any(struct hw_keeper *k, int64_t since_ns)
{
    bool done = false;
    for (size_t i = 0; i < k->tracees.list.count && !done; i++)
        if (k->tracees.list.data[i].state == HW_TRACEE_STOPPED)
            done = bury_by(k, &k->tracees.list.data[i]);
    k->tracees.since_ns = since_ns;
    int64_t pause = hw_tracees_let_go(&k->tracees);
    if (pause > k->answer.cost.thread_pause_ns)
        k->answer.cost.thread_pause_ns = pause;
    return done;
}

/* Wait for any of those that were asked, and have it make the call. */
static bool await(struct hw_keeper *k, int64_t until)
{
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    for (int64_t before = hw_now_ns(), now;; before = now) {
        now = hw_now_ns();
        if (hw_tracees_look(&k->tracees))
            return bury_by_any(k, before);
        if (now >= until)
            return false;
        sigtimedwait(&child, NULL, &(struct timespec){.tv_nsec = POLL_NS});
    }
}

static bool ask(struct hw_keeper *k, int tid)
{
    return !is_asked(&k->tracees, tid) && hw_tracees_add(&k->tracees, tid) &&
           await(k, hw_now_ns() + ATTEMPT_NS);
}

bool hw_keeper_bury(struct hw_keeper *k)
{
    int64_t until = hw_now_ns() + LIMIT_NS;
    bool done = has_ended(k) || ask(k, k->by);
    for (int asked = 1; !done && hw_now_ns() < until;) {
        hw_tid_vec tids = {0};
        done = !hw_proc_tids(k->pid, &tids) || tids.count == 0;
        for (size_t i = 0; i < tids.count && !done && asked < ASKED_MAX; i++, asked++)
            done = ask(k, tids.data[i]);
        hw_vec_free(&tids);
        if (!done)
            done = await(k, hw_now_ns() + NAP_NS) || has_ended(k);
    }
    return done;
}
