/*
 * How heapwalk behaves beside programs that have work to do.
 */
#ifndef HW_CLI_MANNERS_H
#define HW_CLI_MANNERS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Run `work` at a lower priority, for CPU and disk: reading symbols takes long, and nobody waits
 * for it. It runs on a thread of its own: without privilege a priority that was given up cannot be
 * got back, and later, when a process stands still, ours decides how long.
 */
void run_politely(void (*work)(void *arg), void *arg);

/* A line on a terminal's standard error about how far a long walk has come. Plain data. */
struct progress {
    _Atomic uint64_t done, expected; /* bytes; 0: not yet at it */
    struct progress_writer *writer;  /* NULL: nothing is written */
};

/* Begin to write, once a second has passed. Where it is not wanted, or memory is out, nothing
 * is. */
void progress_begin(struct progress *p, bool wanted);
/* For hw_options: `arg` is a struct progress. It only takes a note, whoever waits for the
 * terminal. */
void progress_tell(void *arg, uint64_t done, uint64_t expected);
/* Remove the line. To be called before anything else is written. Twice is fine. */
void progress_end(struct progress *p);

#endif
