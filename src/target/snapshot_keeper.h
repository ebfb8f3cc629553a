/*
 * The process that traces a target whose copy is walked, and the words that it exchanges with the
 * one that walks. See snapshot.c.
 */
#ifndef HW_TARGET_SNAPSHOT_KEEPER_H
#define HW_TARGET_SNAPSHOT_KEEPER_H

#include "target/inject.h"
#include "target/snapshot.h"

/*
 *     keeper -> walker   answer, and so many struct hw_thread   all threads are stopped
 *     walker -> keeper   order                                  take the copy
 *     keeper -> walker   answer                                 it is taken, the target runs
 *     walker -> keeper   end of file                            end it
 *     keeper -> walker   answer                                 it is ended
 *
 * An answer with an error is the last. End of file comes early when the walker is killed: then the
 * keeper ends everything in the same way.
 */
struct hw_keeper_answer {
    int rc;
    struct hw_error error; /* where rc is not HW_OK */
    size_t thread_count;   /* in the first */
    int copy;              /* in the second: its pid */
    struct hw_snapshot_cost cost;
};
struct hw_keeper_order {
    struct hw_code_range code; /* as for hw_snapshot_take() */
};

/* The keeper itself, for its files. */
struct hw_keeper {
    int sock, pid;
    int target; /* becomes readable when the target ends; -1: the kernel has no such thing */
    struct hw_tracees tracees;
    hw_thread_vec threads;
    struct hw_code_range code;
    hw_addr insn;     /* a `syscall` instruction, for a thread that is in no call; 0: none (yet) */
    int copy;         /* 0: none */
    int64_t copy_tid; /* its number as the target sees it */
    int by;           /* the thread that made it */
    bool lost;        /* that thread did not come back in time */
    struct hw_keeper_answer answer;
};

/* As hw_inject_fitness(), and whether there is an instruction for it. */
enum hw_fitness hw_keeper_judge(struct hw_keeper *k, const struct hw_tracee *tracee, char *why,
                                size_t size);
/* snapshot_bury.c: once the copy is dead, and was reaped by us. True if nothing of it is left. */
bool hw_keeper_bury(struct hw_keeper *k);

/* What the keeper does, as the child of a fork; `sock` is its end of a stream. Never returns. */
_Noreturn void hw_keeper_run(int sock, int pid, const struct hw_machine *machine, int64_t limit_ns);

/* All bytes or nothing: false if the other end is gone. */
bool hw_keeper_send(int sock, const void *data, size_t size);
bool hw_keeper_receive(int sock, void *data, size_t size);

#endif
