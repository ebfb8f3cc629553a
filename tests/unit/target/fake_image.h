/*
 * An image without memory: each byte follows from its address. [start, end) is there, but for one
 * hole. May be read by several threads.
 */
#ifndef TESTS_UNIT_TARGET_FAKE_IMAGE_H
#define TESTS_UNIT_TARGET_FAKE_IMAGE_H

#include "target/target.h"

#define BASE UINT64_C(0x7f0000000000)
#define KIB  UINT64_C(1024)
#define PAGE UINT64_C(4096)

struct fake {
    struct hw_target t;
    hw_addr start, end, hole, hole_end;
    unsigned delay_us;       /* each read takes so long */
    hw_addr gone_from;       /* from there on the whole image is gone; 0: nowhere */
    _Atomic uint8_t version; /* is added to each byte */
    _Atomic size_t reads;
    _Atomic uint64_t disturbed; /* bytes read of pages that are not in RAM, where that is known */
    int tid;                    /* of the thread that made it */
    _Atomic size_t by_others;   /* reads by other threads ... */
    _Atomic bool others_take_signals; /* ... which should have blocked them all */
};

struct fake make_fake(uint64_t bytes);

/* Of each 16 pages the first 10 are in RAM, the next 3 swapped out, the others were never touched.
 * Release the pages. */
struct fake sparse_fake(uint64_t pages);

uint8_t byte_at(hw_addr addr);
/* Is p[0..len) what stands at addr? Not if p is NULL. */
bool right(const uint8_t *p, hw_addr addr, size_t len);

#endif
