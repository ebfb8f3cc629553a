/*
 * What of an image will be read one after the other, known beforehand, and batches: the next of it,
 * read by one call.
 *
 *     plan      [ range 0 .............. ][ range 1 ]        [ range 2 ...... ]   in order
 *     in RAM      ####   ## #######  ####   ##   ###           ####### ####  #
 *     batches   |------- 0 -------|-------- 1 ---------|---- 2 ----|--- 3 ---|
 *
 * A batch holds the runs of pages that are in RAM, where that is known (hw_target_find_pages()),
 * else all there is; of as many ranges as fit. What of it cannot be read is missing in it, no more.
 */
#ifndef HW_TARGET_PLAN_H
#define HW_TARGET_PLAN_H

#include "target/target.h"

/* A place in a plan. Places are compared in order of reading. */
struct hw_place {
    size_t rank; /* of the range; the number of ranges: the end of the plan */
    hw_addr addr;
};

static inline bool hw_place_before(struct hw_place a, struct hw_place b)
{
    return a.rank != b.rank ? a.rank < b.rank : a.addr < b.addr;
}

struct hw_plan {
    struct hw_range *ranges; /* in order of reading; none is empty */
    struct hw_plan_entry {
        hw_addr start;
        size_t rank;
    } * by_address; /* the same, sorted */
    size_t count;
};

/* The ranges are copied; empty ones are left out. Release with hw_plan_deinit(). NOMEM. */
int hw_plan_init(struct hw_plan *p, const struct hw_range *ranges, size_t count,
                 struct hw_error *err);
void hw_plan_deinit(struct hw_plan *p);

/* Where `addr` comes in the plan; false if it does not. (Where ranges overlap, one of them.) */
bool hw_plan_find(const struct hw_plan *p, hw_addr addr, struct hw_place *ret);

#define HW_BATCH_RUNS 512

struct hw_batch {
    uint8_t *buf;             /* the runs, each right behind the one before it as it was claimed */
    struct hw_place from, to; /* the part of the plan that it covers */
    size_t count;
    struct hw_range runs[HW_BATCH_RUNS];
    size_t at[HW_BATCH_RUNS]; /* where in buf they begin */
};

/* Make `b` the batch that begins at *next: at most `bytes` of memory. *next moves behind it. Reads
 * nothing yet; b->buf, of that size, is the caller's. */
void hw_batch_claim(struct hw_batch *b, const struct hw_plan *p, const struct hw_target *t,
                    struct hw_place *next, size_t bytes);

/* Read what was claimed; runs that cannot be read to their end are shortened. Negative, enum
 * hw_code: the whole image is gone; what was read until then is there. */
int hw_batch_read(struct hw_batch *b, struct hw_target *t, struct hw_error *err);

/* The run that holds `addr`, or NULL. *hint, 0 at first, is where it was found; it makes going
 * forward fast. */
const struct hw_range *hw_batch_run(const struct hw_batch *b, hw_addr addr, size_t *hint);

#endif
