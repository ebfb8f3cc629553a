#include "target/inject.h"

#include "target/headroom.h"
#include "target/priority.h"
#include "target/proc.h"

#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>

/* Older headers do not have these (Linux, include/uapi/linux/ptrace.h). */
#define GET_RSEQ          0x420f
#define GET_USER_DISPATCH 0x4211
struct rseq_configuration {
    uint64_t area;
    uint32_t size, signature, flags, pad;
};
struct user_dispatch {
    uint64_t mode, selector, offset, len;
};

/* The kernel's signal mask, not the larger one of the C library. */
#define MASK_BYTES sizeof(uint64_t)

/* `syscall` */
#define INSN       0x050f
#define INSN_BYTES 2

#define TRAP_FLAG 0x100 /* in eflags: a debugger that lives in the process single-steps */

typedef struct user_regs_struct regs_t;

static void *word(uint64_t value)
{
    return (void *)(uintptr_t)value;
}

/* ---- fitness --------------------------------------------------------------------------------- */

/* False if the thread does not run 64-bit code, or is gone. */
static bool get_regs(int tid, regs_t *ret)
{
    /* One word more than needed shows when there is more to get. */
    uint64_t block[sizeof *ret / sizeof(uint64_t) + 1];
    struct iovec to = {block, sizeof block};
    if (ptrace(PTRACE_GETREGSET, tid, word(NT_PRSTATUS), &to) != 0 || to.iov_len != sizeof *ret)
        return false;
    memcpy(ret, block, sizeof *ret);
    return true;
}

static bool set_regs(int tid, const regs_t *regs)
{
    struct iovec from = {(void *)(uintptr_t)regs, sizeof *regs};
    return ptrace(PTRACE_SETREGSET, tid, word(NT_PRSTATUS), &from) == 0;
}

static bool is_insn(int tid, hw_addr at)
{
    errno = 0;
    long bytes = ptrace(PTRACE_PEEKTEXT, tid, word(at), NULL);
    return errno == 0 && (bytes & 0xffff) == INSN;
}

/* The codes by which the kernel remembers to restart a call; no program ever sees them. */
static bool restarts(uint64_t rax)
{
    int64_t code = (int64_t)rax;
    return code == -512 || code == -513 || code == -514 || code == -516;
}

/*
 * Calls that change the signal mask while they wait. Before Linux 5.1 a tracer sees, and would put
 * back, the mask of the wait instead of the thread's own.
 */
static bool masks_signals(uint64_t number)
{
    switch (number) {
    case SYS_rt_sigsuspend:
    case SYS_pselect6:
    case SYS_ppoll:
    case SYS_epoll_pwait:
    case 333: /* io_pgetevents */
    case 426: /* io_uring_enter */
    case 441: /* epoll_pwait2 */
        return true;
    default:
        return false;
    }
}

/*
 * A thread that was caught in user mode may be in a restartable sequence (rseq(2)), which must be
 * entered anew when it was left. The kernel would do that when it sees the thread return to the
 * sequence, but our call, which is outside of it, makes the kernel forget it.
 */
static bool in_rseq(int tid)
{
    struct rseq_configuration rseq = {0};
    long n = ptrace(GET_RSEQ, tid, word(sizeof rseq), &rseq);
    if (n < 0) /* Linux 5.13 tells; 4.18 invented them */
        return hw_kernel_since(4, 18);
    if (rseq.area == 0)
        return false;
    errno = 0; /* the pointer to the sequence is the second word of the area */
    long current = ptrace(PTRACE_PEEKDATA, tid, word(rseq.area + 8), NULL);
    return errno != 0 || current != 0;
}

/* Some programs (Wine) have the kernel turn their own calls into signals. */
static bool calls_are_diverted(int tid)
{
    struct user_dispatch dispatch = {0};
    return ptrace(GET_USER_DISPATCH, tid, word(sizeof dispatch), &dispatch) == 0 &&
           dispatch.mode != 0;
}

static bool is_filtered(int pid, int tid)
{
    char file[32], status[8192];
    snprintf(file, sizeof file, "task/%d/status", tid);
    if (!hw_proc_text(pid, file, status, sizeof status))
        return true;
    const char *seccomp = hw_status_value(status, "Seccomp");
    return seccomp && *seccomp != '0';
}

static enum hw_fitness judge(int pid, const struct hw_tracee *tracee, const char **why)
{
    regs_t regs;
    int tid = tracee->tid;
    *why = "does not stand still";
    if (tracee->state != HW_TRACEE_STOPPED)
        return HW_FIT_NOT;
    *why = "is about to take a signal";
    if (tracee->signal)
        return HW_FIT_NOT;
    *why = "does not run 64-bit code";
    if (!get_regs(tid, &regs))
        return HW_FIT_NOT;
    *why = "is single-stepping itself";
    if (regs.eflags & TRAP_FLAG)
        return HW_FIT_NOT;
    *why =
        "is under a seccomp filter, which may kill it for a call that the program would not make";
    if (is_filtered(pid, tid))
        return HW_FIT_NOT;
    *why = "has its system calls diverted (syscall user dispatch)";
    if (calls_are_diverted(tid))
        return HW_FIT_NOT;
    bool in_call = (int64_t)regs.orig_rax >= 0;
    *why = "is in a system call of another kind (int 0x80)";
    if (in_call && !is_insn(tid, regs.rip - INSN_BYTES))
        return HW_FIT_NOT;
    *why = "waits with another signal mask, which this kernel does not tell";
    if (in_call && masks_signals(regs.orig_rax) && !hw_kernel_since(5, 1))
        return HW_FIT_NOT;
    *why = "may be in a restartable sequence";
    if (!in_call && in_rseq(tid))
        return HW_FIT_NOT;
    return !in_call ? HW_FIT_RUNNING : restarts(regs.rax) ? HW_FIT_WAITING : HW_FIT_CALLED;
}

enum hw_fitness hw_inject_fitness(int pid, const struct hw_tracee *tracee, char *why, size_t size)
{
    const char *reason;
    enum hw_fitness fitness = judge(pid, tracee, &reason);
    if (why)
        snprintf(why, size, "%s", fitness == HW_FIT_NOT ? reason : "");
    return fitness;
}

/* ---- the call -------------------------------------------------------------------------------- */

struct injection {
    struct hw_tracee *tracee;
    int tid;
    regs_t saved;
    uint64_t mask;
    const struct hw_patience *patience; /* NULL once it is lost */
    struct hw_error *err;
};

static int gone(struct injection *in)
{
    return hw_fail(in->err, HW_ERR_GONE, "thread %d ended meanwhile", in->tid);
}

/* What a stop is, out of the status that waitid() gives. */
#define STOP_CALL (SIGTRAP | 0x80) /* entry or exit of a call */
static bool is_event(int status, int event)
{
    return status >> 8 == event;
}

#define POLL_NS 2000000

/* Wait for the thread's next stop; its status, or -1 if it has ended. */
static int next_stop(struct injection *in)
{
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    for (;;) {
        siginfo_t info = {0};
        if (waitid(P_PID, (id_t)in->tid, &info, WSTOPPED | WEXITED | WNOHANG | WNOWAIT | __WALL) &&
            errno != EINTR)
            return -1;
        if (info.si_pid)
            return info.si_code == CLD_TRAPPED ? info.si_status : -1;
        if (sigtimedwait(&child, NULL, &(struct timespec){.tv_nsec = POLL_NS}) >= 0)
            continue;
        /* A main thread that ends before the others is not reported until they do. */
        if (hw_proc_thread_ended(in->tid, in->tid))
            return -1;
        const struct hw_patience *patience = in->patience;
        if (patience && hw_now_ns() >= patience->until_ns) {
            in->patience = NULL;
            patience->lost(patience->arg);
        }
    }
}

/* Let the thread run to its next stop. */
static int resume(struct injection *in, long request)
{
    return ptrace((enum __ptrace_request)request, in->tid, NULL, NULL) == 0 ? next_stop(in) : -1;
}

static bool set_mask(int tid, uint64_t mask)
{
    return ptrace(PTRACE_SETSIGMASK, tid, word(MASK_BYTES), &mask) == 0;
}

/* Put back what was there; the thread may be in any kind of stop. */
static bool restore(const struct injection *in)
{
    return set_regs(in->tid, &in->saved) && set_mask(in->tid, in->mask);
}

/* The thread did not do what it was to do. Whatever stop it is in, it must not run on like this. */
static int went_wrong(struct injection *in, int status)
{
    if (status < 0)
        return gone(in);
    restore(in);
    /* All signals were blocked but one: any other was caused by us. */
    in->tracee->signal = status == SIGSTOP ? SIGSTOP : 0;
    if (status == SIGSTOP)
        hw_fail(in->err, HW_ERR_HARMFUL, "thread %d was about to be stopped by a SIGSTOP", in->tid);
    else
        hw_fail(in->err, HW_ERR_HARMFUL, "thread %d stopped for another reason (%#x) in the middle",
                in->tid, (unsigned)status);
    hw_remedy(in->err, HW_AGAIN_OR_WITHOUT_SNAPSHOT);
    return HW_ERR_HARMFUL;
}

static int save(struct injection *in)
{
    if (!get_regs(in->tid, &in->saved) ||
        ptrace(PTRACE_GETSIGMASK, in->tid, word(MASK_BYTES), &in->mask) != 0)
        return gone(in);
    return HW_OK;
}

/* Bring the thread to the entry of the call. */
static int enter(struct injection *in, hw_addr insn, const struct hw_call *call)
{
    regs_t regs = in->saved;
    regs.rip = (int64_t)regs.orig_rax >= 0 ? regs.rip - INSN_BYTES : insn;
    regs.rax = (uint64_t)call->number;
    regs.orig_rax = UINT64_MAX; /* no call is under way: nothing of it is to be restarted */
    regs.rdi = call->args[0];
    regs.rsi = call->args[1];
    regs.rdx = call->args[2];
    regs.r10 = call->args[3];
    regs.r8 = call->args[4];
    if (!is_insn(in->tid, regs.rip)) {
        hw_fail(in->err, HW_ERR_HARMFUL, "there is no syscall instruction at %#llx",
                (unsigned long long)regs.rip);
        hw_remedy(in->err, HW_WITHOUT_SNAPSHOT);
        return HW_ERR_HARMFUL;
    }
    if (ptrace(PTRACE_SETOPTIONS, in->tid, NULL, word(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE)))
        return gone(in);
    if (!set_mask(in->tid, UINT64_MAX) || !set_regs(in->tid, &regs)) {
        restore(in);
        return gone(in);
    }
    int status;
    do /* a SIGCONT, for example, traps the thread once more, on its way out */
        status = resume(in, PTRACE_SYSCALL);
    while (status >= 0 && is_event(status, PTRACE_EVENT_STOP));
    return status == STOP_CALL ? HW_OK : went_wrong(in, status);
}

/* From the entry of the call to its exit. */
static int run(struct injection *in, struct hw_called *ret)
{
    int status = resume(in, PTRACE_SYSCALL);
    if (status >= 0 && is_event(status, PTRACE_EVENT_CLONE)) {
        unsigned long child = 0;
        if (ptrace(PTRACE_GETEVENTMSG, in->tid, NULL, &child) == 0)
            ret->child = (int)child;
        status = resume(in, PTRACE_SYSCALL);
    }
    regs_t regs;
    if (status != STOP_CALL)
        return went_wrong(in, status);
    if (!get_regs(in->tid, &regs))
        return gone(in);
    ret->value = (int64_t)regs.rax;
    return HW_OK;
}

/* From the exit of the call back to the stop that it was in before. */
static int come_back(struct injection *in)
{
    if (ptrace(PTRACE_INTERRUPT, in->tid, NULL, NULL) != 0 || !restore(in))
        return gone(in);
    int status = resume(in, PTRACE_CONT);
    regs_t now;
    if (status < 0 || !is_event(status, PTRACE_EVENT_STOP))
        return went_wrong(in, status);
    if (!get_regs(in->tid, &now))
        return gone(in);
    if (memcmp(&now, &in->saved, sizeof now) != 0)
        return hw_fail(in->err, HW_ERR_SYSTEM, "the registers of thread %d are not what they were",
                       in->tid);
    return HW_OK;
}

int hw_inject(struct hw_tracee *tracee, hw_addr insn, const struct hw_call *call,
              const struct hw_patience *patience, struct hw_called *ret, struct hw_error *err)
{
    struct injection in = {.tracee = tracee, .tid = tracee->tid, .patience = patience, .err = err};
    struct hw_priority priority;
    *ret = (struct hw_called){0};
    int rc = save(&in);
    tracee->state = HW_TRACEE_CALLING;
    hw_priority_raise(in.tid, &priority);
    if (rc == HW_OK)
        rc = enter(&in, insn, call);
    if (rc == HW_OK)
        rc = run(&in, ret);
    if (rc == HW_OK)
        rc = come_back(&in);
    if (rc != HW_ERR_GONE)
        hw_priority_restore(&priority);
    tracee->state = rc == HW_ERR_GONE ? HW_TRACEE_GONE : HW_TRACEE_STOPPED;
    return rc;
}
