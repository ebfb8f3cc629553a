/*
 * Small pieces at any address: following a list. A seeker reads ahead in the direction in which the
 * list is going, more the longer that pays off, and hardly at all when the list jumps about. Only
 * pages that are in RAM are read ahead, where that is known (hw_target_find_pages()).
 */
#ifndef HW_TARGET_SEEKER_H
#define HW_TARGET_SEEKER_H

#include "target/target.h"

struct hw_seeker {
    struct hw_target *target;
    uint8_t *buf;
    hw_addr base;  /* buf[0] is the byte at this address */
    size_t len;    /* bytes in buf that are valid */
    hw_addr last;  /* the address asked for last */
    size_t ahead;  /* how much the next miss reads */
    unsigned hits; /* since the last miss */
};

/* Fails with NOMEM. */
int hw_seeker_init(struct hw_seeker *s, struct hw_target *t, struct hw_error *err);
void hw_seeker_deinit(struct hw_seeker *s);

/* The `len` bytes at `addr`, or NULL if one of them lies in a hole. Valid until the next call. `len`
 * <= 256. */
const uint8_t *hw_seeker_at(struct hw_seeker *s, hw_addr addr, size_t len);

#endif
