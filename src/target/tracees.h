/*
 * The threads of a process under ptrace, as the one thread of ours that traces them sees them.
 *
 * In Linux the tracer is a thread: all functions here are to be called by the same one. When that
 * thread ends, the kernel drops whatever is still traced, in whatever state; stop.c and snapshot.c
 * both rely on it for every way out that is not planned.
 */
#ifndef HW_TARGET_TRACEES_H
#define HW_TARGET_TRACEES_H

#include "base/vec.h"
#include "target/image.h"

enum hw_tracee_state {
    HW_TRACEE_SEIZED,  /* traced, runs */
    HW_TRACEE_STOPPED, /* traced, stands still */
    HW_TRACEE_CALLING, /* traced, runs a call for us: not to be let go (inject.h) */
    HW_TRACEE_GONE,    /* not traced: it has ended or is about to, or it was let go */
};

struct hw_tracee {
    int tid;
    enum hw_tracee_state state;
    int signal; /* it was caught with this one about to be delivered; 0 if none */
};

/* Start from {.pid = ..., .machine = ...}; release with hw_tracees_free(), which does not let
 * go. */
struct hw_tracees {
    int pid;
    const struct hw_machine *machine; /* what the process runs on */
    HW_VEC(struct hw_tracee) list;    /* by tid, once all are stopped */
    size_t missed;                    /* those that did not stop in time */
    int64_t since_ns;                 /* when the first was interrupted, by hw_now_ns(); 0 before */
};

int64_t hw_now_ns(void); /* CLOCK_MONOTONIC */

/*
 * Stop all threads. Their registers are appended to `ret`, by tid; those of a thread that runs code
 * for another machine are not known. A thread that does not stop within `limit_ns` is
 * counted in `missed`. Errors as hw_stop_all(); on failure some may be stopped.
 */
int hw_tracees_stop(struct hw_tracees *t, int64_t limit_ns, hw_thread_vec *ret,
                    struct hw_error *err);

/* Tell one thread to stop, and append it to the list; false if that fails. */
bool hw_tracees_add(struct hw_tracees *t, int tid);
/* Look who has stopped by now; how many stand still. */
size_t hw_tracees_look(struct hw_tracees *t);

/* Let every thread that has stopped go in the state it was found in. Returns how long the first
 * stood still. */
int64_t hw_tracees_let_go(struct hw_tracees *t);
void hw_tracees_free(struct hw_tracees *t);

#endif
