/*
 * Two ways of reading a lot of a target with few system calls. Both read ahead only over pages that
 * are in RAM, where that is known (hw_target_find_pages()).
 *
 *   struct hw_window   forward through a range, in large blocks: the linear walk of a heap
 *   struct hw_seeker   small pieces at any address: following a list. It reads ahead in the
 * direction the list is going, more the longer that pays off, and hardly at all when the list jumps
 * about
 */
#ifndef HW_TARGET_WINDOW_H
#define HW_TARGET_WINDOW_H

#include "target/target.h"

struct hw_window {
    struct hw_target *target;
    uint8_t *buf;
    size_t capacity;
    hw_addr base; /* buf[0] is the byte at this address */
    size_t len;   /* bytes in buf that are valid */
};

#define HW_WINDOW_BYTES ((size_t)1 << 20)

/* Fails with NOMEM. */
int hw_window_init(struct hw_window *w, struct hw_target *t, size_t capacity, struct hw_error *err);
void hw_window_deinit(struct hw_window *w);

/* Forget what was read. */
void hw_window_reset(struct hw_window *w);

/*
 * The `len` bytes at `addr`, or NULL if one of them lies in a hole. `limit` is where reading ahead
 * ends (the end of the range being walked). Valid until the next call. `len` <= capacity.
 */
const uint8_t *hw_window_at(struct hw_window *w, hw_addr addr, size_t len, hw_addr limit);

/*
 * The bytes from `addr` on that are here now, without a hole, up to `limit` at most; *len says how
 * many: at least one, however few they are. They are read if none is here; NULL if the byte at `addr`
 * lies in a hole, or if `limit` is not above it. Valid until the next call.
 */
const uint8_t *hw_window_span(struct hw_window *w, hw_addr addr, hw_addr limit, size_t *len);

struct hw_seeker {
    struct hw_window window;
    hw_addr last;  /* the address asked for last */
    size_t ahead;  /* how much the next miss reads */
    unsigned hits; /* since the last miss */
};

int hw_seeker_init(struct hw_seeker *s, struct hw_target *t, struct hw_error *err);
void hw_seeker_deinit(struct hw_seeker *s);

/* As hw_window_at(), in any order. `len` <= 256. */
const uint8_t *hw_seeker_at(struct hw_seeker *s, hw_addr addr, size_t len);

#endif
