/*
 * Where a report is written: standard output, a file that appears only when it is complete, or a
 * device or pipe as it is.
 */
#ifndef HW_CLI_OUTPUT_H
#define HW_CLI_OUTPUT_H

#include <heapwalk/heapwalk.h>

struct output {
    FILE *stream;
    const char *path; /* NULL: stdout */
    char *real;       /* what `path` leads to; NULL where it is written directly */
    char *temporary;  /* beside `real`; NULL likewise */
};

/*
 * Call first. Where standard input, output or error are closed, what is opened next would take
 * their place, and be written to: a core, the socket of a snapshot. And what ends without us
 * (--help) says so, too, if standard output cannot be written.
 */
void output_begin(void);

/* OUTPUT with cause. `path` NULL is stdout. */
int output_open(struct output *out, const char *path, struct hw_error *err);
/* Make the file appear under its name. OUTPUT; the temporary file is gone either way. */
int output_commit(struct output *out, struct hw_error *err);
/* Drop what was not committed. */
void output_discard(struct output *out);
/* Remove the temporary file that is not committed yet, if there is one. Async-signal-safe. */
void output_remove_unfinished(void);

#endif
