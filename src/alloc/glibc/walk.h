/*
 * What the parts of the linear walk share: walk.c decides about every chunk, plain.c only about those
 * between which nothing happens, but fast.
 */
#ifndef HW_ALLOC_GLIBC_WALK_H
#define HW_ALLOC_GLIBC_WALK_H

#include "alloc/glibc/glibc.h"

/* Where the walk of one region stands. */
struct cursor {
    struct walk *w;
    struct arena *a;
    unsigned index; /* of the arena */
    const struct region *region;
    struct hw_heap *heap; /* its row in the report */
    size_t next_cached;   /* the first cached chunk not below p */
    hw_addr p;
    struct chunk_header h; /* at p */
};

/* plain.c: walk on, as far as chunks are nothing special and their bytes are here. What is at p then
 * is not known to be anything. */
void glibc_walk_plain(struct cursor *c);

/* A free chunk's fd and bk, for the proof that the bins hold it. */
static inline void add_edges(struct arena *a, hw_addr p, hw_addr fd, hw_addr bk)
{
    a->edges += edge(p, fd) - edge(bk, p);
}

#endif
