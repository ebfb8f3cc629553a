/*
 * Analyses: each sees every block of the one walk and fills its part of the report.
 *
 *     backend --> blocks, ascending within a heap    | used |free|fast|free| used | free | top |
 *     runs.c  --> runs: what malloc_trim() would            `-------------'        `----------'
 *                 merge before it looks for pages
 *
 * An analysis knows nothing of targets or allocators: it gets plain blocks and a report, so it is
 * tested with hand-written values. It must keep no memory that grows with the number of blocks.
 * Where pages are known, report->pages tells, for the time of the walk, which are in RAM.
 *
 * To add one: a file here with a struct hw_analysis last, one line in the table of analysis.c. To
 * add a figure: one line in include/heapwalk/metrics.def, one assignment in an analysis.
 */
#ifndef HW_ANALYSIS_ANALYSIS_H
#define HW_ANALYSIS_ANALYSIS_H

#include "model/model.h"

/* Free chunks next to each other, as they lie once fastbin chunks are merged with their neighbours.
 */
struct hw_run {
    hw_addr address;
    uint64_t bytes;
    int32_t arena;
    unsigned chunks;
    bool has_top; /* it ends with the arena's top */
    /* What it adjoins: a chunk in use, in a tcache, or overhead. `state` is HW_STATES_ where nothing
     * does, at the ends of a heap and where something could not be read. */
    struct hw_block below, above;
};

struct hw_analysis {
    const char *name;
    size_t state_bytes; /* of its own for the time of one walk, zeroed; 0: none */
    /* Each may be NULL. `state` is its own, of state_bytes. */
    /* Before the first block; arenas are known, with their system bytes. */
    void (*begin)(void *state, struct hw_report *r);
    void (*block)(void *state, struct hw_report *r, const struct hw_block *b);
    /* After the blocks it consists of, and after the one above it. */
    void (*run)(void *state, struct hw_report *r, const struct hw_run *run);
    /* After the last block; analyses earlier in the table have finished. */
    void (*end)(void *state, struct hw_report *r);
};

extern const struct hw_analysis hw_analysis_usage, hw_analysis_histogram, hw_analysis_residency,
    hw_analysis_fragmentation, hw_analysis_trim, hw_analysis_top, hw_analysis_mallinfo,
    hw_analysis_pins, hw_analysis_holes, hw_analysis_limits;

/* All of them, in order, ended by NULL. */
extern const struct hw_analysis *const hw_analyses[];

/* All analyses at work on one walk. */
struct hw_analyzing;

/* Begin; the report must have its arenas, and must outlive this. NOMEM. */
int hw_analyses_begin(struct hw_report *r, struct hw_analyzing **ret, struct hw_error *err);
/* Some blocks of one arena, or mmapped ones. */
void hw_analyses_blocks(struct hw_analyzing *a, const struct hw_block *b, size_t count);
/* There are no more blocks: the last run is complete, too. For who cannot wait for the end; else
 * hw_analyses_end() does it. NULL is fine. */
void hw_analyses_blocks_done(struct hw_analyzing *a);
/* After the last block; releases everything. NULL is fine. */
void hw_analyses_end(struct hw_analyzing *a);
/* Release without finishing. NULL is fine. */
void hw_analyses_drop(struct hw_analyzing *a);

#endif
