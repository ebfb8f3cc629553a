/*
 * Reading ahead: while the caller works on one batch of a plan, a second thread reads the next.
 *
 *     caller    |-- batch 0 --|-- batch 1 --|- 2 -|  reads 4  |-- batch 3 --| ...
 *     thread    | reads 0 | reads 1 | reads 2 | reads 3       | reads 5 ...
 *
 * Some batches are held at a time, HW_READAHEAD_BATCHES at most. A caller that finds nothing to
 * work on does not wait: it reads a batch itself. So two processors share whatever there is to do,
 * and where there is only one, or the plan is short, or no thread can be had, the caller just reads
 * all.
 *
 * Each byte of the plan is read at most once, and only on the way forward: what the caller jumps
 * over is not read, and what lies behind it is gone.
 */
#ifndef HW_TARGET_READAHEAD_H
#define HW_TARGET_READAHEAD_H

#include "target/plan.h"

#define HW_READAHEAD_BATCHES 4

struct hw_readahead;

/*
 * Begin to read; batches are of `bytes` at most, smaller ones at first. The target must outlive it
 * and stay as it is: no freeze meanwhile. The thread takes no signals and ends with
 * hw_readahead_stop(). NOMEM.
 */
int hw_readahead_start(struct hw_target *t, const struct hw_range *ranges, size_t count,
                       size_t bytes, struct hw_readahead **ret, struct hw_error *err);
/* NULL is fine. */
void hw_readahead_stop(struct hw_readahead *r);

/*
 * The batch in whose part of the plan `addr` lies, with what of it could be read; batches before it
 * are given up. Valid until the next call, but for one that returns NULL: `addr` is not in the
 * plan; or it lies behind and `back` is not set, which goes back to it; or the image is gone.
 */
const struct hw_batch *hw_readahead_get(struct hw_readahead *r, hw_addr addr, bool back);

/* Forget all that was read; the next get reads anew, from wherever that is. */
void hw_readahead_reset(struct hw_readahead *r);

#endif
