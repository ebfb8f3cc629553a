/*
 * The life of a stop:
 *
 *     caller          keeper (a thread of ours)         threads of the target
 *     hw_stop_all --> list, SEIZE, INTERRUPT ---------> each traps before its next instruction
 *                     peek until all stand still         in user mode
 *                     list again: nobody new?
 *          ret <----- read registers
 *       ... reads memory ...                             stand still
 *     hw_stop_release -> DETACH each, end ------------>  run on
 *
 * When the pause has lasted as long as it may, the keeper lets go by itself: whatever keeps the
 * caller, a slow disk or an endless list, it is not the target that waits for it.
 *
 * Why a thread of our own: a thread that sleeps uninterruptibly in the kernel does not trap, and
 * what has not trapped cannot be detached. It would trap later, when nobody is there any more to
 * let it go. But when a tracer ends, the kernel drops all that it traces, in whatever state. In
 * Linux the tracer is a thread; so it is one that ends when the stop does, and not the caller's.
 * The same makes every way out safe: each thread that is not detached by us is by the kernel.
 *
 * A thread that was interrupted but has not trapped cannot run a single instruction in user mode
 * either: the trap comes on its way out of the kernel. What is missing of it are its registers.
 *
 * Nothing is ever reaped. All waiting peeks (WNOWAIT): if the target is a child of the caller, the
 * news of its end belongs to the caller; and the kernel sorts out the rest when the keeper ends.
 */
#include "target/stop.h"

#include "target/priority.h"
#include "target/tracees.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <time.h>

struct hw_stop {
    struct hw_tracees tracees;
    struct hw_stop_limits limits;
    sigset_t unblock; /* by the release */
    pthread_t keeper;
    sem_t stopped; /* posted by the keeper: rc and error are set */
    sem_t release; /* posted by the caller */

    hw_thread_vec threads;
    int64_t pause_ns;
    int rc;
    struct hw_error error;
};

/* ---- the keeper ----------------------------------------------------------------------------- */

/* Wait until the caller is done, or the time is up. False for the latter. */
static bool wait_release(struct hw_stop *s)
{
    if (s->limits.pause_ns == 0) {
        while (sem_wait(&s->release) != 0 && errno == EINTR)
            ;
        return true;
    }
    int64_t end = s->tracees.since_ns + s->limits.pause_ns;
    struct timespec until = {end / 1000000000, end % 1000000000};
    int rc;
    while ((rc = sem_clockwait(&s->release, CLOCK_MONOTONIC, &until)) != 0 && errno == EINTR)
        ;
    return rc == 0;
}

static void *keep(void *arg)
{
    struct hw_stop *s = arg;
    struct hw_priority priority;     /* ends with us */
    hw_priority_raise(0, &priority); /* a target should not stand still for want of our turn */
    s->rc = hw_tracees_stop(&s->tracees, s->limits.wait_ns, &s->threads, &s->error);
    if (s->rc != HW_OK)
        hw_tracees_let_go(&s->tracees);
    sem_post(&s->stopped);
    if (s->rc == HW_OK) {
        if (!wait_release(s))
            *s->limits.let_go = true;
        s->pause_ns = hw_tracees_let_go(&s->tracees);
    }
    return NULL; /* the kernel lets go of the rest */
}

/* ---- the caller's side ---------------------------------------------------------------------- */

static void destroy(struct hw_stop *s)
{
    pthread_sigmask(SIG_UNBLOCK, &s->unblock, NULL);
    sem_destroy(&s->stopped);
    sem_destroy(&s->release);
    hw_tracees_free(&s->tracees);
    hw_vec_free(&s->threads);
    free(s);
}

/* Start the keeper with all signals blocked: handlers of the program must not run on it. */
static int start_keeper(struct hw_stop *s)
{
    sigset_t all, old;
    sigfillset(&all);
    sigdelset(&all, SIGSYS); /* that one is always for the thread that asked for it */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int failed = pthread_create(&s->keeper, NULL, keep, s);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return failed;
}

/* Signals that stop us are to wait. */
static void hold_stop_signals(sigset_t *unblock)
{
    static const int signals[] = {SIGTSTP, SIGTTIN, SIGTTOU};
    sigset_t old;
    sigemptyset(unblock);
    pthread_sigmask(SIG_SETMASK, NULL, &old);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        if (!sigismember(&old, signals[i]))
            sigaddset(unblock, signals[i]);
    pthread_sigmask(SIG_BLOCK, unblock, NULL);
}

static struct hw_stop *create(int pid, const struct hw_machine *machine,
                              struct hw_stop_limits limits)
{
    struct hw_stop *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->tracees = (struct hw_tracees){.pid = pid, .machine = machine};
    s->limits = limits;
    if (limits.pause_ns > 0 && limits.wait_ns > limits.pause_ns)
        s->limits.wait_ns = limits.pause_ns;
    sem_init(&s->stopped, 0, 0);
    sem_init(&s->release, 0, 0);
    hold_stop_signals(&s->unblock);
    return s;
}

int hw_stop_all(int pid, const struct hw_machine *machine, struct hw_stop_limits limits,
                struct hw_stop **ret, struct hw_error *err)
{
    *ret = NULL;
    if (pid == getpid()) {
        hw_fail(err, HW_ERR_PERMISSION, "pid %d is the inspecting process: it cannot stop itself",
                pid);
        hw_remedy(err, "inspect it from another process");
        return HW_ERR_PERMISSION;
    }
    struct hw_stop *s = create(pid, machine, limits);
    if (!s)
        return hw_fail(err, HW_ERR_NOMEM, "out of memory");
    int failed = start_keeper(s);
    if (failed) {
        destroy(s);
        errno = failed;
        return hw_fail_errno(err, HW_ERR_SYSTEM, "cannot start a thread");
    }
    while (sem_wait(&s->stopped) != 0 && errno == EINTR)
        ;
    int rc = s->rc;
    if (rc == HW_OK) {
        *ret = s;
        return HW_OK;
    }
    if (err)
        *err = s->error;
    pthread_join(s->keeper, NULL);
    destroy(s);
    return rc;
}

const struct hw_thread *hw_stop_threads(const struct hw_stop *stop, size_t *count)
{
    *count = stop->threads.count;
    return stop->threads.data;
}

size_t hw_stop_missed(const struct hw_stop *stop)
{
    return stop->tracees.missed;
}

void hw_stop_let_go(struct hw_stop *stop)
{
    *stop->limits.let_go = true;
    sem_post(&stop->release);
}

int64_t hw_stop_release(struct hw_stop *stop)
{
    if (!stop)
        return 0;
    sem_post(&stop->release);
    pthread_join(stop->keeper, NULL);
    int64_t pause_ns = stop->pause_ns;
    destroy(stop);
    return pause_ns;
}
