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

#include "base/vec.h"
#include "target/proc.h"
#include "target/regs.h"

#include <asm/ldt.h>
#include <elf.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

enum tracee_state {
    TRACEE_SEIZED,  /* traced, runs */
    TRACEE_STOPPED, /* traced, stands still */
    TRACEE_ENDED,   /* a zombie, or on the way there: neither runs nor can be traced */
};

struct tracee {
    int tid;
    enum tracee_state state;
    int signal; /* it was caught with this one about to be delivered; 0 if none */
};

struct hw_stop {
    int pid;
    const struct hw_machine *machine;
    int64_t limit_ns;
    pthread_t keeper;
    sem_t stopped; /* posted by the keeper: rc and error are set */
    sem_t release; /* posted by the caller */

    HW_VEC(struct tracee) tracees;
    hw_thread_vec threads;
    size_t missed;
    int64_t since_ns; /* when the first thread was interrupted; 0 before */
    int64_t pause_ns;
    int rc;
    struct hw_error error;
};

static int64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* ---- seizing --------------------------------------------------------------------------------- */

static int seize_failed(const struct hw_stop *s, int sys_errno, struct hw_error *err)
{
    if (sys_errno == EPERM || sys_errno == EACCES)
        return hw_explain_permission(s->pid, "trace", sys_errno, err);
    errno = sys_errno;
    return hw_fail_errno(err, HW_ERR_SYSTEM, "cannot trace pid %d", s->pid);
}

/* Seize one thread and have it trapped. */
static int seize(struct hw_stop *s, int tid, struct hw_error *err)
{
    struct tracee tracee = {.tid = tid, .state = TRACEE_SEIZED};
    if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) != 0) {
        int sys_errno = errno;
        /* The kernel refuses a zombie with EPERM, too. */
        if (sys_errno != ESRCH && !hw_proc_thread_ended(s->pid, tid))
            return seize_failed(s, sys_errno, err);
        tracee.state = TRACEE_ENDED;
    } else {
        if (s->since_ns == 0)
            s->since_ns = now_ns();
        if (ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) != 0)
            tracee.state = TRACEE_ENDED;
    }
    return hw_vec_push(&s->tracees, tracee) ? HW_OK : hw_fail(err, HW_ERR_NOMEM, "out of memory");
}

static int by_number(const void *a, const void *b)
{
    const int *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static int by_tid(const void *a, const void *b)
{
    const struct tracee *x = a, *y = b;
    return (x->tid > y->tid) - (x->tid < y->tid);
}

/* Seize every thread that is not known yet; *ret says how many those were. */
static int seize_new(struct hw_stop *s, size_t *ret, struct hw_error *err)
{
    hw_tid_vec tids = {0};
    int rc = HW_OK;
    if (!hw_proc_tids(s->pid, &tids))
        rc = errno == ENOMEM ? hw_fail(err, HW_ERR_NOMEM, "out of memory")
             : s->tracees.count
                 ? hw_fail(err, HW_ERR_GONE, "pid %d has ended", s->pid)
                 : hw_fail(err, HW_ERR_NO_PROCESS, "there is no process with pid %d", s->pid);
    /* Both lists are gone through in the order of ids, side by side. */
    if (tids.count)
        qsort(tids.data, tids.count, sizeof *tids.data, by_number);
    if (s->tracees.count)
        qsort(s->tracees.data, s->tracees.count, sizeof *s->tracees.data, by_tid);
    size_t known = s->tracees.count, k = 0;
    for (size_t i = 0; i < tids.count && rc == HW_OK; i++) {
        while (k < known && s->tracees.data[k].tid < tids.data[i])
            k++;
        if (k == known || s->tracees.data[k].tid != tids.data[i])
            rc = seize(s, tids.data[i], err);
    }
    hw_vec_free(&tids);
    *ret = s->tracees.count - known;
    return rc;
}

/* ---- waiting --------------------------------------------------------------------------------- */

/* Look whether a thread has stopped by now. */
static void look(struct tracee *tracee)
{
    siginfo_t info = {0};
    if (waitid(P_PID, (id_t)tracee->tid, &info, WSTOPPED | WEXITED | WNOHANG | WNOWAIT | __WALL)) {
        if (errno == ECHILD)
            tracee->state = TRACEE_ENDED;
        return;
    }
    if (info.si_pid == 0)
        return;
    if (info.si_code != CLD_TRAPPED && info.si_code != CLD_STOPPED) {
        tracee->state = TRACEE_ENDED;
        return;
    }
    tracee->state = TRACEE_STOPPED;
    /* si_status is the signal, with the ptrace event above it. With an event it is our own trap
     * or a group stop; without, a signal was about to be delivered: it must not get lost. */
    if (info.si_status >> 8 == 0)
        tracee->signal = info.si_status;
}

static size_t count_running(const struct hw_stop *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->tracees.count; i++)
        n += s->tracees.data[i].state == TRACEE_SEIZED;
    return n;
}

#define NAP_FIRST_NS 20000
#define NAP_LAST_NS  1000000

/* Wait until every seized thread has stopped or ended, or `deadline` has passed. */
static void wait_all(struct hw_stop *s, int64_t deadline)
{
    long nap = 0;
    for (;;) {
        for (size_t i = 0; i < s->tracees.count; i++) {
            struct tracee *tracee = &s->tracees.data[i];
            if (tracee->state == TRACEE_SEIZED)
                look(tracee);
            /* A main thread that ends before the others is not reported until they do. */
            if (tracee->state == TRACEE_SEIZED && nap >= NAP_LAST_NS &&
                hw_proc_thread_ended(s->pid, tracee->tid))
                tracee->state = TRACEE_ENDED;
        }
        if (count_running(s) == 0 || now_ns() >= deadline)
            return;
        if (nap == 0) {
            sched_yield();
            nap = NAP_FIRST_NS;
            continue;
        }
        nanosleep(&(struct timespec){.tv_nsec = nap}, NULL);
        nap = nap * 2 < NAP_LAST_NS ? nap * 2 : NAP_LAST_NS;
    }
}

/* ---- the keeper ------------------------------------------------------------------------------ */

/* The base of a TLS descriptor of a thread, 0 if there is no such. */
static hw_addr descriptor_base(int tid, unsigned entry)
{
    struct user_desc desc = {0};
    void *number = (void *)(uintptr_t)entry;
    return ptrace(PTRACE_GET_THREAD_AREA, tid, number, &desc) == 0 ? desc.base_addr : 0;
}

/*
 * Read the registers of a stopped thread; false if it is gone. The kernel gives those of the mode
 * in which the thread runs, and says by their length which that is. A program can change the mode
 * by a far jump; then its thread pointer is nowhere to be seen.
 */
static bool read_thread(const struct hw_stop *s, int tid, struct hw_thread *ret)
{
    uint8_t block[HW_REGS_MAX];
    struct iovec to = {block, sizeof block};
    struct hw_regs regs;
    *ret = (struct hw_thread){.tid = tid};
    if (ptrace(PTRACE_GETREGSET, tid, (void *)NT_PRSTATUS, &to) != 0)
        return false;
    if (!hw_regs_decode(s->machine, block, to.iov_len, &regs))
        return true;
    ret->regs_known = true;
    ret->sp = regs.sp;
    ret->pc = regs.pc;
    ret->tp = regs.tls_entry ? descriptor_base(tid, regs.tls_entry) : regs.tp;
    return true;
}

static int read_registers(struct hw_stop *s, struct hw_error *err)
{
    for (size_t i = 0; i < s->tracees.count; i++) {
        struct tracee *tracee = &s->tracees.data[i];
        if (tracee->state == TRACEE_SEIZED)
            s->missed++;
        if (tracee->state != TRACEE_STOPPED)
            continue;
        struct hw_thread th;
        if (!read_thread(s, tracee->tid, &th))
            tracee->state = TRACEE_ENDED; /* killed while it stood still */
        else if (!hw_vec_push(&s->threads, th))
            return hw_fail(err, HW_ERR_NOMEM, "out of memory");
    }
    if (s->threads.count == 0 && s->missed == 0)
        return hw_fail(err, HW_ERR_GONE, "pid %d has ended", s->pid);
    return HW_OK;
}

/* Listing ends when nobody new shows up. One list more than this can only be needed if threads are
 * born faster than they can be listed. */
#define LISTS_MAX 256

/* Stop all threads. On failure some may be stopped. */
static int stop_threads(struct hw_stop *s, struct hw_error *err)
{
    int64_t deadline = now_ns() + s->limit_ns;
    for (int lists = 0; lists < LISTS_MAX; lists++) {
        size_t found;
        int rc = seize_new(s, &found, err);
        if (rc != HW_OK)
            return rc;
        if (found == 0) {
            qsort(s->tracees.data, s->tracees.count, sizeof *s->tracees.data, by_tid);
            return read_registers(s, err);
        }
        wait_all(s, deadline);
    }
    return hw_fail(err, HW_ERR_SYSTEM, "pid %d starts threads faster than they can be stopped",
                   s->pid);
}

static void let_go(struct hw_stop *s)
{
    for (size_t i = 0; i < s->tracees.count; i++) {
        struct tracee *tracee = &s->tracees.data[i];
        if (tracee->state == TRACEE_SEIZED)
            look(tracee); /* it may have stopped since */
        if (tracee->state == TRACEE_STOPPED)
            ptrace(PTRACE_DETACH, tracee->tid, NULL, (void *)(intptr_t)tracee->signal);
    }
    s->pause_ns = s->since_ns ? now_ns() - s->since_ns : 0;
}

static void *keep(void *arg)
{
    struct hw_stop *s = arg;
    s->rc = stop_threads(s, &s->error);
    if (s->rc != HW_OK)
        let_go(s);
    sem_post(&s->stopped);
    if (s->rc == HW_OK) {
        while (sem_wait(&s->release) != 0 && errno == EINTR)
            ;
        let_go(s);
    }
    return NULL; /* the kernel lets go of the rest */
}

/* ---- the caller's side ----------------------------------------------------------------------- */

static void destroy(struct hw_stop *s)
{
    sem_destroy(&s->stopped);
    sem_destroy(&s->release);
    hw_vec_free(&s->tracees);
    hw_vec_free(&s->threads);
    free(s);
}

/* Start the keeper with all signals blocked: handlers of the program must not run on it. */
static int start_keeper(struct hw_stop *s)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int failed = pthread_create(&s->keeper, NULL, keep, s);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return failed;
}

int hw_stop_all(int pid, const struct hw_machine *machine, int64_t limit_ns, struct hw_stop **ret,
                struct hw_error *err)
{
    *ret = NULL;
    if (pid == getpid()) {
        hw_fail(err, HW_ERR_PERMISSION, "pid %d is the inspecting process: it cannot stop itself",
                pid);
        hw_remedy(err, "inspect it from another process");
        return HW_ERR_PERMISSION;
    }
    struct hw_stop *s = calloc(1, sizeof *s);
    if (!s)
        return hw_fail(err, HW_ERR_NOMEM, "out of memory");
    s->pid = pid;
    s->machine = machine;
    s->limit_ns = limit_ns > 0 ? limit_ns : 0;
    sem_init(&s->stopped, 0, 0);
    sem_init(&s->release, 0, 0);
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
    return stop->missed;
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
