/*
 * What the parts of the builder share: builder_image.c lays out an image in which nothing was
 * allocated yet, builder.c adds chunks and lists, and builder_walk.c has it walked.
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
    bool prev_used, linked, noncontiguous, want_bins, want_check, no_lists, leaves_out;
    unsigned mappings, heaps;
    uint64_t page;
    size_t foreign;
    int64_t extra;
    uint64_t main_system;
    builder_read_fn on_read;
    builder_known_fn known;
    builder_schedule_fn schedule;
    bool moving, lists_read;
    struct hw_range lacks[LACKS_MAX];
    unsigned lack_count;
    struct hw_target_ops ops; /* those of a buffer target, but for reading */
};

/* Bytes in a word. */
unsigned builder_word(const struct builder *b);
/* A new piece of memory, all zero. */
struct piece *builder_piece(struct builder *b, hw_addr start, size_t size);
/* The bytes of an address; a word's worth at least. */
uint8_t *builder_at(struct builder *b, hw_addr address);
void builder_put(struct builder *b, hw_addr address, uint64_t value, unsigned size);
/* A member of an arena or of mp_; those that there are not (-1) are not set. */
void builder_set(struct builder *b, hw_addr base, int offset, uint64_t word);
/* The head of a bin, a fake chunk. */
hw_addr builder_bin(const struct builder *b, hw_addr arena, unsigned bin);
void builder_init_arena(struct builder *b, hw_addr arena);
void builder_init_tcache(struct builder *b);
/* The image, whose lists are linked; to be closed before the builder is destroyed. */
struct hw_target *builder_target(struct builder *b);
/* A backend whose roots and layout are given; end it with hw_layout_deinit(&ret.layout). */
struct glibc builder_backend(const struct builder *b, struct hw_target *t);

/* The builder is used right or not at all. */
static inline void must(bool ok)
{
    if (!ok)
        abort();
}

#endif
