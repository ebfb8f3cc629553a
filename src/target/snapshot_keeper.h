/*
 * The process that traces a target whose copy is walked, and the words that it exchanges with the
 * one that walks. See snapshot.c.
 */
#ifndef HW_TARGET_SNAPSHOT_KEEPER_H
#define HW_TARGET_SNAPSHOT_KEEPER_H

#include "target/snapshot.h"

/*
 *     walker -> keeper   order                                  stop all threads
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
    struct hw_code_range code; /* to take the copy: as for hw_snapshot_take() */
};

/* What the keeper does, as the child of a fork; `sock` is its end of a stream. Never returns. */
_Noreturn void hw_keeper_run(int sock, int pid, const struct hw_machine *machine, int64_t limit_ns);

/* All bytes or nothing: false if the other end is gone. */
bool hw_keeper_send(int sock, const void *data, size_t size);
bool hw_keeper_receive(int sock, void *data, size_t size);

#endif
