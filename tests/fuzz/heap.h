/*
 * Heaps from a few bytes. Mutated at random, the memory of a process says little more than "this is
 * no heap" soon; so inputs are programs for the builder of the unit tests, which lays out heaps as
 * glibc does, and then for damage: words and rows of bytes anywhere in the image, or at a certain
 * moment while it is read.
 *
 *     machine | form | flags | extras | offset of system_mem (in units of 16)      a byte each
 *     op arguments op arguments ...                                                 until the end
 *
 * Ops and their arguments are those of the table at the end of heap.c; seeds.py writes them. What
 * makes no sense at its place is left out, what is missing at the end is 0: any bytes are a
 * program.
 */
#ifndef TESTS_FUZZ_HEAP_H
#define TESTS_FUZZ_HEAP_H

#include "fuzz.h"

#include "alloc/builder_private.h"

enum heap_flag {
    HEAP_NONCONTIGUOUS = 1,
    HEAP_MOVING = 2,     /* the target runs from the beginning */
    HEAP_BIG_PAGES = 4,  /* of 16 KiB */
    HEAP_ODD_BREAK = 8,  /* the first break was not aligned */
    HEAP_ONE_FINDER = 16 /* only the scan may look for roots */
};

/* A program at work. There is one at a time. */
struct heap {
    const uint8_t *at, *end; /* of the bytes that are not used yet */
    struct builder *builder;
    unsigned flags, extras;
    struct hw_target *target;
};

/* Run the program, up to an image whose lists are linked and damaged. */
void heap_make(struct heap *h, const uint8_t *bytes, size_t len);
void heap_free(struct heap *h);

/* dump.c: write it as a core. */
void heap_dump(const struct heap *h, FILE *out);

#endif
