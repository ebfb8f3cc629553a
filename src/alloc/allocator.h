/*
 * The interface between heapwalk and an allocator.
 *
 *     detect  is this allocator in the image, and how sure is that?
 *     open    find roots and layout from files and symbols; may take long, the target runs
 *     walk    (target frozen) read the roots, verify them, then stream what is there to a sink
 *     close
 *
 * A backend does not know who listens, and never keeps a block. Damage is reported to the sink as a
 * finding and walked around; only when nothing at all can be said does walk() fail.
 *
 * To add a backend: a file or folder beside glibc/, one line in the table of allocator.c.
 */
#ifndef HW_ALLOC_ALLOCATOR_H
#define HW_ALLOC_ALLOCATOR_H

#include "model/dryrun.h"
#include "symbols/modules.h"
#include "target/target.h"

/* What backends are given: all of it outlives them. */
struct hw_image {
    struct hw_target *target;
    struct hw_modules *modules;
    const char *roots; /* the only way in which roots may be looked for, or NULL: for tests */
};

/*
 * Where a walk goes. The report's arenas, threads, params and findings are filled by the backend
 * itself (they are its own facts); figures and histograms are the analyses' business.
 * Order: all arenas are in the report before the first block; blocks of one arena come together.
 */
struct hw_sink {
    struct hw_report *report;
    /* Once, when arenas, threads and parameters are in the report, before the first block. */
    void (*ready)(void *ctx);
    /* Every byte of an arena's heaps comes as exactly one block, in ascending order within a heap.
     * Some of them at a time, for speed; all of one call are of one arena, or mmapped. Not 0: stop.
     */
    int (*blocks)(void *ctx, const struct hw_block *b, size_t count);
    /*
     * NULL, or asked before an arena is walked, once its row is filled in but for what the listener
     * measures: true if the listener knows from an earlier walk what this one would tell, so that
     * the arena need not be walked. See struct hw_arena, fingerprint.
     */
    bool (*known)(void *ctx, unsigned arena);
    /*
     * NULL, or asked once, before the first arena is walked: `count` arenas are not known. Put them
     * into the order in which they are to be walked. The first of them, as many as are returned,
     * are walked at once, then mmapped chunks; then `enough` is called, and the rest is walked.
     */
    size_t (*schedule)(void *ctx, unsigned *arenas, size_t count);
    void (*enough)(void *ctx); /* where there is a schedule: what follows need not stand still */
    void *ctx;
    bool want_bins;  /* tell for each HW_FREE block whether it is in the unsorted bin */
    bool want_check; /* look at all invariants, whatever that costs; fill in report->check */
    bool want_lists; /* fill in bins[] of arenas; else they are proven, not followed */
};

struct hw_allocator {
    const char *name;
    /* True if the image uses this allocator; opens no file. */
    bool (*detect)(const struct hw_image *image);
    /* Fails with NO_HEAP, NO_SYMBOLS, UNSUPPORTED, NOMEM. */
    int (*open)(const struct hw_image *image, void **ret, struct hw_error *err);
    /* What open() would find, from files alone: the image may be an outline, of which nothing is
     * read. What stands in the way goes into ret->why_not. */
    void (*foresee)(const struct hw_image *image, struct hw_dryrun_allocator *ret);
    /* Fails with CORRUPT, FAULT, GONE, NOMEM. */
    int (*walk)(void *state, const struct hw_sink *sink, struct hw_error *err);
    /* Frozen, at once after the freeze: true if a thread was just changing the heap, so that a walk
     * would meet something half done. Takes less than 0.2 ms, so it may not have looked
     * everywhere. */
    bool (*busy)(void *state);
    /* After a walk that succeeded, and after the thaw: what else can be told of what it has
     * kept. */
    void (*tell)(void *state, struct hw_report *report);
    void (*close)(void *state);
};

/* The first allocator of the table that is in the image, or NULL. */
const struct hw_allocator *hw_allocator_detect(const struct hw_image *image);

#endif
