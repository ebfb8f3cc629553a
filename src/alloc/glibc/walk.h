/*
 * What the parts of the linear walk share: walk.c decides about every chunk, plain.c only about
 * those between which nothing happens, but fast.
 */
#ifndef HW_ALLOC_GLIBC_WALK_H
#define HW_ALLOC_GLIBC_WALK_H

#include "alloc/glibc/glibc.h"

/* Where the walk of one region stands. */
struct cursor {
    struct walk *w;
    struct arena *a;
    unsigned index; /* of the arena */
    size_t at;      /* of the region in its list */
    const struct region *region;
    struct hw_heap *heap; /* its row in the report */
    size_t next_cached;   /* the first cached chunk not below p */
    hw_addr p;
    struct chunk_header h; /* at p */
    uint64_t starts;       /* how often the walk had to be started anew */
    bool gave_up;          /* the last time, the search for where was given up */
    /* Only while the target moves. */
    hw_addr tried;      /* where something was read anew ... */
    unsigned tries;     /* ... so many times */
    unsigned refreshes; /* how often the arena itself was */
    struct hw_error *err;
    int code; /* of what failed */
};

/* The header at p, if it is all there, below `end`. */
static inline bool header_at(struct walk *w, hw_addr p, hw_addr end, struct chunk_header *ret)
{
    const uint8_t *bytes = NULL;
    if (p < end && end - p >= w->rules.header)
        bytes = hw_window_at(&w->window, p, w->rules.header, end);
    if (bytes)
        *ret = chunk_decode(&w->rules, bytes);
    return bytes != NULL;
}

static inline void emit(struct cursor *c, enum hw_state state, hw_addr address, uint64_t bytes)
{
    struct hw_block b = {.address = address,
                         .bytes = bytes,
                         .arena = (int32_t)c->index,
                         .bin = HW_BIN_UNKNOWN,
                         .state = (uint8_t)state};
    if (bytes)
        glibc_emit(c->w, &b);
}

/* torn.c: what is at p does not fit. Read anew what may just have changed: true if that is worth
 * another try, at the same p. False if the target stands still, or after some tries. */
bool glibc_try_again(struct cursor *c);
/* Whether the walk of this region was not started anew too often yet. */
bool glibc_may_start(const struct cursor *c);
/* There is nothing to be understood at p: go on behind `known`, where chunks are again, or at the
 * end of the region. What lies between is lost; its size is returned. */
uint64_t glibc_skip(struct cursor *c, hw_addr known);
/* p is where top was when the arena was read: true if it still is. Else there may be more
 * chunks. */
bool glibc_at_top(struct cursor *c);
/* The header at p, of a large chunk, seems to be one still. */
bool glibc_is_credible(struct cursor *c);
/* Something at p does not fit: as damage that takes `bytes` it is to be reported, unless the target
 * moves. */
bool glibc_is_damage(struct cursor *c, uint64_t bytes);

/* culprit.c: the chunk whose size word is damaged, what that is, and how many bytes are lost for
 * it. */
struct culprit {
    hw_addr address;
    uint64_t raw, lost;
};
/* No chunk can begin at p. True if one before is to blame, as there are others inside of it: it was
 * taken back, and p is where they begin. */
bool glibc_find_too_large(struct cursor *c, struct culprit *ret);
/* No chunk could begin at `at`, and chunks go on at p. True if the one before is to blame, as
 * between these there is less than a chunk: it was taken back. */
bool glibc_find_too_small(struct cursor *c, hw_addr at, struct culprit *ret);
/* The header of a chunk is bad, and what it said of the chunk before, too: what bins hold of them
 * is known from their neighbours there. */
void glibc_judge_by_bins(struct cursor *c, const struct culprit *bad);
/* How many of its neighbours in a bin point back to the chunk at p: 2, if it is in one. */
unsigned glibc_links_back(struct walk *w, hw_addr p);
/* Its neighbour at q, whose header is n, says that the chunk at p is free, but not how large it is.
 * What is damaged? */
enum doubt {
    DOUBT_FOOT,   /* the size that is repeated at its end */
    DOUBT_SIZE,   /* its own size: q is wrong */
    DOUBT_FLAG,   /* what q says: it is not free */
    DOUBT_HEADER, /* all of the header at q, if there is one: p is not free */
};
enum doubt glibc_doubt(struct cursor *c, hw_addr q, struct chunk_header n);
/* The chunk at p, of this size, reaches over one that a list holds: where chunks go on inside it; 0
 * if it is rather the list that is wrong. */
hw_addr glibc_cached_inside(struct cursor *c, uint64_t size);

/* plain.c: walk on, as far as chunks are nothing special and their bytes are here. What is at p
 * then is not known to be anything. */
void glibc_walk_plain(struct cursor *c);

/* A free chunk's fd and bk, for the proof that the bins hold it. */
static inline void add_edges(struct arena *a, hw_addr p, hw_addr fd, hw_addr bk)
{
    a->edges += edge(p, fd) - edge(bk, p);
}

#endif
