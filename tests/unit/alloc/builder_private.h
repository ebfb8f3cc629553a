/*
 * What builder.c, which builds an image, and builder_walk.c, which has it walked, share.
 */
#ifndef TESTS_UNIT_ALLOC_BUILDER_PRIVATE_H
#define TESTS_UNIT_ALLOC_BUILDER_PRIVATE_H

#include "alloc/builder.h"

#include <stdlib.h>

/* A piece of memory of the image. */
struct piece {
    hw_addr start;
    uint8_t *bytes;
    size_t size, used; /* `used`: up to here chunks were built */
    size_t end;        /* what it holds ends there */
    hw_addr arena;     /* 0: a mapping for main-arena regions */
    bool is_heap;
};

enum list_kind { LIST_TCACHE, LIST_FAST, LIST_BIN };
struct entry {
    hw_addr arena, chunk;
    enum list_kind kind;
    unsigned index;
};

/* Where things lie. */
struct places {
    hw_addr sbrk, heap, mmap, foreign, libc;
    uint64_t heap_max;
};

struct builder {
    const struct hw_machine *machine;
    const struct form *form;
    const struct places *places;
    hw_addr arena, par, curbrk, tls, tcache; /* `tls` is the thread pointer */
    hw_addr tls_tcache, tls_arena;           /* the thread-local pointers */
    HW_VEC(struct piece *) pieces;
    HW_VEC(struct entry) entries;
    struct piece *libc, *sbrk, *current; /* `libc`: its first page, then its data */
    hw_addr last_arena; /* the newest thread arena; the ring is main -> it -> ... */
    bool prev_used, linked, noncontiguous, want_bins;
    unsigned mappings, heaps;
    uint64_t page;
    size_t foreign;
    int64_t extra;
    uint64_t main_system;
};

/* The builder is used right or not at all. */
static inline void must(bool ok)
{
    if (!ok)
        abort();
}

#endif
