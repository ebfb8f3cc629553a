#include "target/tracees.h"

#include "target/proc.h"
#include "target/regs.h"
#include "target/stop.h"

#include <asm/ldt.h>
#include <elf.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

int64_t hw_now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* ---- seizing --------------------------------------------------------------------------------- */

static int seize_failed(const struct hw_tracees *t, int sys_errno, struct hw_error *err)
{
    if (sys_errno == EPERM || sys_errno == EACCES)
        return hw_explain_permission(t->pid, "trace", sys_errno, err);
    errno = sys_errno;
    return hw_fail_errno(err, HW_ERR_SYSTEM, "cannot trace pid %d", t->pid);
}

/* Seize one thread and have it trapped. */
static int seize(struct hw_tracees *t, int tid, struct hw_error *err)
{
    struct hw_tracee tracee = {.tid = tid, .state = HW_TRACEE_SEIZED};
    if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) != 0) {
        int sys_errno = errno;
        /* The kernel refuses a zombie with EPERM, too. */
        if (sys_errno != ESRCH && !hw_proc_thread_ended(t->pid, tid))
            return seize_failed(t, sys_errno, err);
        tracee.state = HW_TRACEE_GONE;
    } else {
        if (t->since_ns == 0)
            t->since_ns = hw_now_ns();
        if (ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) != 0)
            tracee.state = HW_TRACEE_GONE;
    }
    return hw_vec_push(&t->list, tracee) ? HW_OK : hw_fail(err, HW_ERR_NOMEM, "out of memory");
}

static int by_number(const void *a, const void *b)
{
    const int *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static int by_tid(const void *a, const void *b)
{
    const struct hw_tracee *x = a, *y = b;
    return (x->tid > y->tid) - (x->tid < y->tid);
}

/* Seize every thread that is not known yet; *ret says how many those were. */
static int seize_new(struct hw_tracees *t, size_t *ret, struct hw_error *err)
{
    hw_tid_vec tids = {0};
    int rc = HW_OK;
    if (!hw_proc_tids(t->pid, &tids))
        rc = errno == ENOMEM ? hw_fail(err, HW_ERR_NOMEM, "out of memory")
             : t->list.count
                 ? hw_fail(err, HW_ERR_GONE, "pid %d has ended", t->pid)
                 : hw_fail(err, HW_ERR_NO_PROCESS, "there is no process with pid %d", t->pid);
    /* Both lists are gone through in the order of ids, side by side. */
    if (tids.count)
        qsort(tids.data, tids.count, sizeof *tids.data, by_number);
    if (t->list.count)
        qsort(t->list.data, t->list.count, sizeof *t->list.data, by_tid);
    size_t known = t->list.count, k = 0;
    for (size_t i = 0; i < tids.count && rc == HW_OK; i++) {
        while (k < known && t->list.data[k].tid < tids.data[i])
            k++;
        if (k == known || t->list.data[k].tid != tids.data[i])
            rc = seize(t, tids.data[i], err);
    }
    hw_vec_free(&tids);
    *ret = t->list.count - known;
    return rc;
}

/* ---- waiting --------------------------------------------------------------------------------- */

/* Look whether a thread has stopped by now. */
static void look(struct hw_tracee *tracee)
{
    siginfo_t info = {0};
    if (waitid(P_PID, (id_t)tracee->tid, &info, WSTOPPED | WEXITED | WNOHANG | WNOWAIT | __WALL)) {
        if (errno == ECHILD)
            tracee->state = HW_TRACEE_GONE;
        return;
    }
    if (info.si_pid == 0)
        return;
    if (info.si_code != CLD_TRAPPED && info.si_code != CLD_STOPPED) {
        tracee->state = HW_TRACEE_GONE;
        return;
    }
    tracee->state = HW_TRACEE_STOPPED;
    /* si_status is the signal, with the ptrace event above it. With an event it is our own trap
     * or a group stop; without, a signal was about to be delivered: it must not get lost. */
    tracee->signal = info.si_status >> 8 == 0 ? info.si_status : 0;
}

static size_t count_running(const struct hw_tracees *t)
{
    size_t n = 0;
    for (size_t i = 0; i < t->list.count; i++)
        n += t->list.data[i].state == HW_TRACEE_SEIZED;
    return n;
}

#define NAP_FIRST_NS 20000
#define NAP_LAST_NS  1000000

/* Wait until every seized thread has stopped or ended, or `deadline` has passed. */
static void wait_all(struct hw_tracees *t, int64_t deadline)
{
    long nap = 0;
    for (;;) {
        for (size_t i = 0; i < t->list.count; i++) {
            struct hw_tracee *tracee = &t->list.data[i];
            if (tracee->state == HW_TRACEE_SEIZED)
                look(tracee);
            /* A main thread that ends before the others is not reported until they do. */
            if (tracee->state == HW_TRACEE_SEIZED && nap >= NAP_LAST_NS &&
                hw_proc_thread_ended(t->pid, tracee->tid))
                tracee->state = HW_TRACEE_GONE;
        }
        if (count_running(t) == 0 || hw_now_ns() >= deadline)
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

/* ---- all of them ----------------------------------------------------------------------------- */

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
static bool read_thread(const struct hw_machine *machine, int tid, struct hw_thread *ret)
{
    uint8_t block[HW_REGS_MAX];
    struct iovec to = {block, sizeof block};
    struct hw_regs regs;
    *ret = (struct hw_thread){.tid = tid};
    if (ptrace(PTRACE_GETREGSET, tid, (void *)NT_PRSTATUS, &to) != 0)
        return false;
    if (!hw_regs_decode(machine, block, to.iov_len, &regs))
        return true;
    ret->regs_known = true;
    ret->sp = regs.sp;
    ret->pc = regs.pc;
    ret->tp = regs.tls_entry ? descriptor_base(tid, regs.tls_entry) : regs.tp;
    hw_regs_words(machine, block, ret->regs);
    return true;
}

static int read_registers(struct hw_tracees *t, hw_thread_vec *ret, struct hw_error *err)
{
    for (size_t i = 0; i < t->list.count; i++) {
        struct hw_tracee *tracee = &t->list.data[i];
        if (tracee->state == HW_TRACEE_SEIZED)
            t->missed++;
        if (tracee->state != HW_TRACEE_STOPPED)
            continue;
        struct hw_thread th;
        if (!read_thread(t->machine, tracee->tid, &th))
            tracee->state = HW_TRACEE_GONE; /* killed while it stood still */
        else if (!hw_vec_push(ret, th))
            return hw_fail(err, HW_ERR_NOMEM, "out of memory");
    }
    if (ret->count == 0 && t->missed == 0)
        return hw_fail(err, HW_ERR_GONE, "pid %d has ended", t->pid);
    return HW_OK;
}

/* Listing ends when nobody new shows up. One list more than this can only be needed if threads are
 * born faster than they can be listed. */
#define LISTS_MAX 256

int hw_tracees_stop(struct hw_tracees *t, int64_t limit_ns, hw_thread_vec *ret,
                    struct hw_error *err)
{
    int64_t deadline = hw_now_ns() + limit_ns;
    for (int lists = 0; lists < LISTS_MAX; lists++) {
        size_t found;
        int rc = seize_new(t, &found, err);
        if (rc != HW_OK)
            return rc;
        if (found == 0) {
            qsort(t->list.data, t->list.count, sizeof *t->list.data, by_tid);
            return read_registers(t, ret, err);
        }
        wait_all(t, deadline);
    }
    return hw_fail(err, HW_ERR_SYSTEM, "pid %d starts threads faster than they can be stopped",
                   t->pid);
}

bool hw_tracees_add(struct hw_tracees *t, int tid)
{
    size_t before = t->list.count;
    return seize(t, tid, NULL) == HW_OK && t->list.data[before].state == HW_TRACEE_SEIZED;
}

size_t hw_tracees_look(struct hw_tracees *t)
{
    size_t n = 0;
    for (size_t i = 0; i < t->list.count; i++) {
        if (t->list.data[i].state == HW_TRACEE_SEIZED)
            look(&t->list.data[i]);
        n += t->list.data[i].state == HW_TRACEE_STOPPED;
    }
    return n;
}

int64_t hw_tracees_let_go(struct hw_tracees *t)
{
    for (size_t i = 0; i < t->list.count; i++) {
        struct hw_tracee *tracee = &t->list.data[i];
        if (tracee->state == HW_TRACEE_SEIZED)
            look(tracee); /* it may have stopped since */
        if (tracee->state != HW_TRACEE_STOPPED)
            continue;
        ptrace(PTRACE_DETACH, tracee->tid, NULL, (void *)(intptr_t)tracee->signal);
        tracee->state = HW_TRACEE_GONE;
    }
    return t->since_ns ? hw_now_ns() - t->since_ns : 0;
}

void hw_tracees_free(struct hw_tracees *t)
{
    hw_vec_free(&t->list);
}
