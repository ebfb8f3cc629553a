/*
 * Reading a lot of a target with few system calls: forward through ranges, in large blocks. That is
 * the linear walk of a heap. Only pages that are in RAM are read ahead, where that is known
 * (hw_target_find_pages()).
 *
 * Whoever knows beforehand what will be read says so with hw_window_plan(): then another thread
 * reads on while what is here is worked on, across the ends of ranges, too, and over what is not in
 * RAM.
 */
#ifndef HW_TARGET_WINDOW_H
#define HW_TARGET_WINDOW_H

#include "target/readahead.h"

struct hw_window {
    struct hw_target *target;
    const uint8_t *bytes; /* what is here: the byte at `base`, in `buf` or in `batch` */
    hw_addr base;
    size_t len;
    uint8_t *buf; /* for what is in no plan, or was not read ahead */
    size_t capacity;
    struct hw_readahead *ahead; /* NULL: nothing was planned */
    const struct hw_batch *batch;
    size_t hint;  /* where in `batch` we are */
    size_t alone; /* bytes that were read into `buf` since, going forward */
};

#ifndef HW_WINDOW_BYTES /* fuzzers have less of it, to come to its ends sooner */
#define HW_WINDOW_BYTES ((size_t)1 << 20)
#endif

/* Blocks are of `capacity` bytes. Fails with NOMEM. */
int hw_window_init(struct hw_window *w, struct hw_target *t, size_t capacity, struct hw_error *err);
void hw_window_deinit(struct hw_window *w);

/*
 * These ranges will be read in this order, or most of them: reading begins at once. What is jumped
 * over costs nothing but what had been read of it already. A plan replaces the one before, and
 * lasts until hw_window_deinit(); until then the target must not be frozen anew. Other addresses
 * may be asked for at any time. Fails with NOMEM, and then all goes on as without a plan.
 */
int hw_window_plan(struct hw_window *w, const struct hw_range *ranges, size_t count,
                   struct hw_error *err);

/* Forget what was read, also ahead; whatever is asked for next is read anew. */
void hw_window_reset(struct hw_window *w);

/*
 * The `len` bytes at `addr`, or NULL if one of them lies in a hole. `limit` is where reading ahead
 * ends (the end of the range being walked). Valid until the next call. `len` <= capacity.
 */
const uint8_t *hw_window_at(struct hw_window *w, hw_addr addr, size_t len, hw_addr limit);

/*
 * The bytes from `addr` on that are here now, without a hole, up to `limit` at most; *len says how
 * many: at least one, however few they are. They are read if none is here; NULL if the byte at
 * `addr` lies in a hole, or if `limit` is not above it. Valid until the next call.
 */
const uint8_t *hw_window_span(struct hw_window *w, hw_addr addr, hw_addr limit, size_t *len);

/*
 * Where reading ahead from `addr` ends, `end` at most: pages that are not in RAM are not read
 * unless something on them is asked for. A read would bring a swapped one back, and map the page of
 * zeros where there is none.
 */
hw_addr hw_ahead_until(const struct hw_target *t, hw_addr addr, hw_addr end);

#endif
