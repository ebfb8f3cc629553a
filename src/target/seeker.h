/*
 * Small pieces at any address: following a list. A seeker reads ahead in the direction in which the
 * list is going, more the longer that pays off, and hardly at all when the list jumps about. It
 * keeps what it has read, up to HW_SEEKER_BYTES, so that a list that comes back to where it was, or
 * a short heap in any order, is not read again and again. Only pages that are in RAM are read
 * ahead, where that is known (hw_target_find_pages()).
 *
 *     the image in groups of 64 KiB    | 0 | 1 | 2 | ... | 255 | 256 | 257 | ...
 *     what is kept                     | 0 |257|   | ...
 *
 * Each line has one place where it may be, and a group lies in one piece.
 */
#ifndef HW_TARGET_SEEKER_H
#define HW_TARGET_SEEKER_H

#include "target/target.h"

#ifndef HW_SEEKER_BYTES /* fuzzers have less of it, to come to its ends sooner */
#define HW_SEEKER_BYTES ((size_t)16 << 20)
#endif
#define HW_SEEKER_LINE ((size_t)4 << 10)
#define HW_SEEKER_MAX  256 /* of one piece */

struct hw_seeker {
    struct hw_target *target;
    uint8_t *buf;    /* memory of ours is used only where something was read */
    hw_addr *lines;  /* for each line of buf, the address of its first byte + 1; 0: there is none */
    hw_addr last;    /* the address asked for last */
    size_t ahead;    /* how much the next miss reads */
    unsigned hits;   /* since the last miss */
    uint64_t misses; /* so far */
    uint8_t piece[HW_SEEKER_MAX]; /* what lies across the edge of a group, or at that of a hole */
};

/* Fails with NOMEM. */
int hw_seeker_init(struct hw_seeker *s, struct hw_target *t, struct hw_error *err);
void hw_seeker_deinit(struct hw_seeker *s);

/* Forget what was read; everything is read anew. */
void hw_seeker_reset(struct hw_seeker *s);

/* The `len` bytes at `addr`, or NULL if one of them lies in a hole. Valid until the next call.
 * `len` <= HW_SEEKER_MAX. */
const uint8_t *hw_seeker_at(struct hw_seeker *s, hw_addr addr, size_t len);

#endif
