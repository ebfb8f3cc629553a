/*
 * Analyses: each sees every block of the one walk and fills its part of the report.
 *
 * An analysis knows nothing of targets or allocators: it gets plain blocks and a report, so it is
 * tested with hand-written values. It must keep no memory that grows with the number of blocks.
 *
 * To add one: a file here with a struct hw_analysis last, one line in the table of analysis.c. To
 * add a figure: one line in include/heapwalk/metrics.def, one assignment in an analysis.
 */
#ifndef HW_ANALYSIS_ANALYSIS_H
#define HW_ANALYSIS_ANALYSIS_H

#include "model/model.h"

struct hw_analysis {
    const char *name;
    /* Before the first block; arenas are known, with their system bytes. NULL: nothing to do. */
    void (*begin)(struct hw_report *r);
    /* One block. NULL: none wanted. */
    void (*block)(struct hw_report *r, const struct hw_block *b);
    /* After the last block; analyses earlier in the table have finished. NULL: nothing to do. */
    void (*end)(struct hw_report *r);
};

extern const struct hw_analysis hw_analysis_usage, hw_analysis_histogram, hw_analysis_fragmentation,
    hw_analysis_trim, hw_analysis_mallinfo;

/* All of them, in order, ended by NULL. */
extern const struct hw_analysis *const hw_analyses[];

void hw_analyses_begin(struct hw_report *r);
void hw_analyses_block(struct hw_report *r, const struct hw_block *b);
void hw_analyses_end(struct hw_report *r);

#endif
