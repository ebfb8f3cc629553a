/*
 * Stopping every thread of a process, and letting all of them go.
 *
 * PTRACE_SEIZE leaves a thread running and sends no signal; PTRACE_INTERRUPT then traps it. No
 * SIGSTOP is involved, so job control sees nothing: a thread in group stop stays in it, and a
 * signal that was about to be delivered is delivered when we let go. If the tracer dies, by any
 * signal at all, the kernel detaches every thread and they run on.
 *
 * Threads that are born between listing and seizing are caught by listing again until nothing new
 * shows up: once all known threads stand still nobody is left to create another.
 *
 * This file knows nothing about reading memory.
 */
#ifndef HW_TARGET_STOP_H
#define HW_TARGET_STOP_H

#include "target/target.h"

struct hw_stop;

struct hw_stop_limits {
    /* How long to wait for threads to stop: one that does not by then (it sleeps uninterruptibly in
     * the kernel) is counted in hw_stop_missed(). */
    int64_t wait_ns;
    /* When so long has passed since the first thread was told to stop, all of them run again,
     * whatever the caller is doing; 0: no limit. */
    int64_t pause_ns;
    /* Set right before that happens, by another thread. What was read before it is still false when
     * looked at was read of a process that stood still. NULL where pause_ns is 0. */
    _Atomic bool *let_go;
};

/*
 * Stop all threads of `pid`. On success *ret holds them until hw_stop_release(), which the same
 * thread has to call; on failure all are running again. `machine` is what the process runs on:
 * registers of a thread that runs code for another one are not known.
 *
 * Until the release the calling thread takes no stop signals from a terminal (SIGTSTP and its
 * like): with us a process would stand still that nobody wanted to stop.
 *
 * Fails with NO_PROCESS, GONE, PERMISSION (cause and remedy: other uid, CAP_SYS_PTRACE, Yama,
 * not dumpable, already traced by PID N), NOMEM, SYSTEM.
 */
int hw_stop_all(int pid, const struct hw_machine *machine, struct hw_stop_limits limits,
                struct hw_stop **ret, struct hw_error *err);

/* The stopped threads with their registers, sorted by tid; owned by `stop`. */
const struct hw_thread *hw_stop_threads(const struct hw_stop *stop, size_t *count);
size_t hw_stop_missed(const struct hw_stop *stop);

/* Do now what happens when the time is up: set *let_go, then let them run. Only where the limits
 * name let_go. The release is still to come. */
void hw_stop_let_go(struct hw_stop *stop);

/* Let every thread go in the state it was found in and free `stop`. NULL is fine. Returns how long
 * the first thread stood still, in nanoseconds. */
int64_t hw_stop_release(struct hw_stop *stop);

/*
 * Why process `pid` may not be traced or read: looks at its owner, our capabilities, Yama's
 * ptrace_scope, its TracerPid, whether it is dumpable. Fills `err` with PERMISSION, cause and
 * remedy and returns its code. `what` is the verb of the message: "trace", "read".
 */
int hw_explain_permission(int pid, const char *what, int sys_errno, struct hw_error *err);

#endif
