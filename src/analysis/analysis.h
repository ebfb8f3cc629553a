/*
 * Analyses: each sees every block of the one walk and fills its part of the report.
 *
 *     backend --> blocks, ascending within a heap    |used|used|free|fast|free|used| free | top |
 *     spans.c --> spans: neighbours that are alike   `---------'`---'`---'`---'`---'`----'`-----'
 *     runs.c  --> runs: what malloc_trim() would                `-------------'     `-----------'
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

/*
 * Blocks that are alike: of one state, and each adjoins the one before. Most of a heap is long
 * spans of chunks in use, and what need not look into them costs nothing for each chunk. Where a
 * span is cut in two means nothing; tops and overhead always stand alone, so none reaches over the
 * end of a heap.
 */
struct hw_span {
    const struct hw_block *blocks; /* `count` of them, in the order of addresses */
    size_t count;
    hw_addr address;
    uint64_t bytes; /* of all of them */
    enum hw_state state;
};

struct hw_analysis {
    const char *name;
    size_t state_bytes; /* of its own for the time of one walk, zeroed; 0: none */
    /* Each may be NULL. `state` is its own, of state_bytes. What it finds out about the blocks of
     * an arena goes into the arena's row alone; sums over arenas are made at the end, since rows
     * may have come from an earlier walk (adopt.h). */
    /* Before the first block; arenas are known, with their system bytes. */
    void (*begin)(void *state, struct hw_report *r);
    /* The blocks of an arena, some spans at a time. */
    void (*spans)(void *state, struct hw_report *r, struct hw_arena *a, const struct hw_span *s,
                  size_t count);
    /* An mmapped chunk. */
    void (*mapped)(void *state, struct hw_report *r, const struct hw_block *b);
    /* A run, after the blocks it consists of, and after the one above it. */
    void (*run)(void *state, struct hw_report *r, struct hw_arena *a, const struct hw_run *run);
    /* After the last block of an arena that had any. */
    void (*arena_done)(void *state, struct hw_report *r, struct hw_arena *a);
    /* After the last block of all, while the target is still as it was. */
    void (*blocks_done)(void *state, struct hw_report *r);
    /* When the target may run again; analyses earlier in the table have finished. */
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
/* The arena at hand has no more blocks: its row is complete but for what hw_analyses_end() adds.
 * The first block of another one says so, too. NULL is fine. */
void hw_analyses_arena_done(struct hw_analyzing *a);
/* There are no more blocks at all. For who cannot wait for the end; else hw_analyses_end() does it.
 * NULL is fine. */
void hw_analyses_blocks_done(struct hw_analyzing *a);
/* After the last block; releases everything. NULL is fine. */
void hw_analyses_end(struct hw_analyzing *a);
/* Release without finishing. NULL is fine. */
void hw_analyses_drop(struct hw_analyzing *a);

#endif
