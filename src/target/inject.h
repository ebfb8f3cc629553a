/*
 * One system call, run by a stopped thread of the target, which then stands as it stood before.
 *
 * Nothing is written into the target's memory: the thread's instruction pointer is set to a
 * `syscall` instruction that is there already, its registers hold the arguments, and afterwards all
 * of them, and its signal mask, are what they were. Meanwhile it goes before others (priority.h),
 * as the rest of the process waits for it. x86-64 only.
 *
 *     stopped      regs, mask saved; all signals blocked; call and arguments set      hw_inject()
 *        | PTRACE_SYSCALL
 *     entry of the call
 *        | PTRACE_SYSCALL
 *     (clone: the event; the child is born traced and stopped)
 *        | PTRACE_SYSCALL
 *     exit of the call   the result is read; regs and mask put back; PTRACE_INTERRUPT
 *        | PTRACE_CONT
 *     stopped      as before
 *
 * The way back ends in another stop, and not in user mode, for the sake of the call that the thread
 * may have been interrupted in. That one has left a code (-512 to -516) in rax, and the kernel
 * turns it into a restart only on the way from such a stop to user mode.
 *
 * Whoever dies in the middle of this leaves a thread that runs on with wrong registers. So the
 * caller must be a process that nothing kills: see snapshot_keeper.c.
 */
#ifndef HW_TARGET_INJECT_H
#define HW_TARGET_INJECT_H

#include "target/tracees.h"

/* How well a stopped thread serves, best last. */
enum hw_fitness {
    HW_FIT_NOT,
    HW_FIT_RUNNING, /* it was in user mode; the caller must know a `syscall` instruction */
    HW_FIT_CALLED,  /* it was coming out of a system call */
    HW_FIT_WAITING, /* it was waiting in a system call, which restarts */
};

/*
 * Judge a thread, which is one of process `pid`. Where it is HW_FIT_NOT, `why` (if not NULL, `size`
 * > 0 bytes) says it in a way that completes "thread N ...".
 */
enum hw_fitness hw_inject_fitness(int pid, const struct hw_tracee *tracee, char *why, size_t size);

struct hw_call {
    long number;
    uint64_t args[5];
};

struct hw_called {
    int64_t value; /* what the call returned: a negative errno on failure */
    int child; /* the process that it made, as we number it; 0 if none. It is traced by us, and has
                      stopped or is about to */
};

/* What to do when a call does not come back. It cannot be given up, only waited for. */
struct hw_patience {
    int64_t until_ns;        /* by hw_now_ns() */
    void (*lost)(void *arg); /* called once, then the wait goes on without end */
    void *arg;
};

/*
 * Have a thread that was found fit run a call. `insn` is the address of a `syscall` instruction for
 * HW_FIT_RUNNING; otherwise the thread's own is used, and it is ignored. `patience` may be NULL.
 * The caller blocks SIGCHLD, or waits longer than necessary.
 *
 * On failure the thread is as it was, too, and `tracee` is brought up to date: it may have ended,
 * or a SIGSTOP may have reached it before the call began, which is delivered when it is let go.
 * Fails with GONE (the thread has ended), HARMFUL (a signal came in between), SYSTEM. *ret is
 * filled in either case, as a thread can be killed after its child was born.
 */
int hw_inject(struct hw_tracee *tracee, hw_addr insn, const struct hw_call *call,
              const struct hw_patience *patience, struct hw_called *ret, struct hw_error *err);

#endif
