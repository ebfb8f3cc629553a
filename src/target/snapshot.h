/*
 * A copy of a live process to be walked at leisure: the target forks, by one system call that is
 * injected into a thread of it, and runs on; the child, which shares its memory copy-on-write, is
 * never let run. Opt-in, as it is the only thing that heapwalk ever does to a target besides
 * stopping it.
 *
 *     hw_snapshot_prepare()  a process of ours is started, which does the rest
 *     hw_snapshot_begin()    all threads stand still, as by hw_stop_all()
 *       ... what must be known of that moment: another one is better, perhaps ...
 *     hw_snapshot_let_go()   all run again
 *     hw_snapshot_begin()    ...
 *     hw_snapshot_take()     the copy is made; the target runs on
 *       ... reads of the copy ...
 *     hw_snapshot_end()      the copy is ended, and nothing of it is left
 *
 * See snapshot.c for who does it, and inject.h for how the call is made.
 */
#ifndef HW_TARGET_SNAPSHOT_H
#define HW_TARGET_SNAPSHOT_H

#include "target/target.h"

struct hw_snapshot;

/*
 * Whether a copy of `pid` may be made: fails with HARMFUL (cause and remedy) where the machine or a
 * control group has too little memory for it or too few processes left, where memory is not
 * overcommitted, where a program handles its own page faults; with UNSUPPORTED for other machines
 * than x86-64. What only stopped threads can tell, hw_snapshot_take() finds out.
 */
int hw_snapshot_check(int pid, const struct hw_machine *machine, struct hw_error *err);

/*
 * Start what holds the target later; nothing is done to that yet. From then on the caller needs no
 * right to trace, to signal or to start processes. *ret is released with hw_snapshot_end(). SYSTEM,
 * NOMEM.
 */
int hw_snapshot_prepare(int pid, const struct hw_machine *machine, int64_t limit_ns,
                        struct hw_snapshot **ret, struct hw_error *err);

/*
 * Stop all threads. Until they run again the calling thread goes before others (priority.h), so it
 * has to be the one that lets them. On failure all that is left to do is hw_snapshot_end(). Errors
 * as hw_stop_all(), and HARMFUL if a thread does not stop within `limit_ns`.
 */
int hw_snapshot_begin(struct hw_snapshot *s, struct hw_error *err);

/* This was not the moment: let the target run, without a copy. hw_snapshot_begin() may follow.
 * Returns how long it stood still, in nanoseconds. */
int64_t hw_snapshot_let_go(struct hw_snapshot *s);

/* The stopped threads with their registers, sorted by tid; owned by the snapshot. */
const struct hw_thread *hw_snapshot_threads(const struct hw_snapshot *s, size_t *count);

/* Code of the target in which there is a `syscall` instruction; empty if none is known. */
struct hw_code_range {
    hw_addr start, end;
};

/*
 * Make the copy, and let the target run, also on failure. `code` is needed where no thread is in a
 * system call. *ret is the pid of the copy, which stands still and is traced. Fails with HARMFUL
 * (no thread is fit to make the call, or the kernel refuses it, with cause and remedy), GONE,
 * SYSTEM.
 */
int hw_snapshot_take(struct hw_snapshot *s, struct hw_code_range code, int *ret,
                     struct hw_error *err);

/* What a snapshot did to its target. */
struct hw_snapshot_cost {
    int64_t pause_ns;        /* how long all of it stood still */
    int64_t thread_pause_ns; /* how long one thread of it stood still when the copy was ended */
    int zombie; /* its number of the dead copy, if that could not be cleared away: it stays until
                   the target ends; else 0 */
};

/* End the copy if there is one, let the target run if it stands still, and free `s`. NULL is
 * fine. */
struct hw_snapshot_cost hw_snapshot_end(struct hw_snapshot *s);

#endif
