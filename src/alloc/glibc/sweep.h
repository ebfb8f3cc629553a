/*
 * Following long lists that jump about. To read millions of chunks one by one takes microseconds
 * for each. Once that has cost as much as to read the whole arena from its beginning to its end,
 * the arena is read so, and every place is noted that looks like a chunk of a fastbin: its size is
 * one of those, and where its link is, there is an address in the arena. From then on lists are
 * followed in our own memory.
 *
 *     w->cached | chunks of lists | candidates, by address: where, and the link there | chunks ...
 *                                   those that a list leads to become chunks, in place
 *
 * So it takes no memory but that of the chunks themselves. What was no chunk is dropped in the end;
 * what is no candidate (the end of a list) is read from the target. A list that is followed in this
 * way is the same as if it were read: the same bytes, of a target that stands still.
 */
#ifndef HW_ALLOC_GLIBC_SWEEP_H
#define HW_ALLOC_GLIBC_SWEEP_H

#include "target/target.h"

struct walk;
struct cached;

/* Of one arena. {0} is none. */
struct sweep {
    unsigned arena;             /* + 1, of the fastbins that are read; 0: none yet */
    uint64_t misses;            /* of the seeker when the first of them was begun */
    bool done;                  /* it has been tried */
    uint64_t bytes;             /* of the arena, once its ranges are known */
    uint64_t largest;           /* chunk that may be in a fastbin */
    size_t first, end;          /* the candidates are w->cached.data[first..end) */
    size_t here;                /* the one that was looked up last */
    struct sweep_range *ranges; /* of the arena, by address */
    size_t range_count;
    uint32_t *blocks;  /* for each block of the ranges the first candidate in it or behind it */
    unsigned shift;    /* a block has 1 << shift bytes */
    uint8_t words[24]; /* what was looked up */
};

/* The header of the chunk in a fastbin of this arena, and the link behind it; NULL if it cannot be
 * read. Valid until the next call. */
const uint8_t *glibc_fast_chunk(struct walk *w, unsigned arena, hw_addr chunk);

/* Put a chunk where its candidate is, if it has been read as that. */
bool glibc_sweep_keep(struct walk *w, const struct cached *c);

/* Drop the candidates that did not become chunks. */
void glibc_sweep_end(struct walk *w);

#endif
