/*
 * Where a report is written: standard output, or a file that appears only when it is complete.
 */
#ifndef HW_CLI_OUTPUT_H
#define HW_CLI_OUTPUT_H

#include <heapwalk/heapwalk.h>

struct output {
    FILE *stream;
    const char *path; /* NULL: stdout */
    char *temporary;  /* beside `path` */
};

/* OUTPUT with cause. `path` NULL is stdout. */
int output_open(struct output *out, const char *path, struct hw_error *err);
/* Make the file appear under its name. OUTPUT; the temporary file is gone either way. */
int output_commit(struct output *out, struct hw_error *err);
/* Drop what was not committed. */
void output_discard(struct output *out);

#endif
