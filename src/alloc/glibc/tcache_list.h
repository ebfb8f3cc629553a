/*
 * One list of a tcache.
 */
#ifndef HW_ALLOC_GLIBC_TCACHE_LIST_H
#define HW_ALLOC_GLIBC_TCACHE_LIST_H

#include "alloc/glibc/caches.h"
#include "alloc/glibc/follow.h"

/* More than any tcache has. */
#define TCACHE_LISTS_MAX 128
/* MAX_TCACHE_COUNT (malloc/malloc.c, 2.42). */
#define TCACHE_ENTRIES_MAX UINT16_MAX

struct tcache_list {
    struct chain chain; /* first: where the chunk of `entry` begins */
    const struct cache *cache;
    unsigned bin;
    bool in_act;            /* it has one entry more or less than it should */
    uint64_t wanted;        /* entries, as its count says */
    uint64_t chunks, bytes; /* that it gave so far */
    hw_addr entry;          /* where it has come to */
    hw_addr from;           /* the chunk, or the head of the list, with the link to that */
    bool from_chunk;        /* it is a chunk, ... */
    uint64_t key;           /* ... with this mark of malloc's (rescue.c) */
    uint64_t entry_bytes;   /* in_act, one more: of the chunk there */
    struct loop_guard guard;
    struct flaw flaw;
    bool left_out; /* its end is missing */
};

/* The list `bin` of this tcache, which was read, to be followed with glibc_tcache_step(). */
void glibc_tcache_begin(struct walk *w, struct tcache_list *l, const struct cache *c, unsigned bin);

/* The chunk of an entry: a chain_step. Pieces hold the header of a chunk, the link behind it, and
 * malloc's mark: 2 * w->rules.header bytes. NOMEM. */
int glibc_tcache_step(struct walk *w, struct chain *chain, const uint8_t *bytes,
                      struct hw_error *err);

/*
 * It has been followed: what is wrong with it is reported. w->cached has what it gave from `first`
 * on. *in_act: a list of the same tcache was met that was just being changed; set if this one is.
 * NOMEM.
 */
int glibc_tcache_settle(struct walk *w, struct tcache_list *l, size_t first, bool *in_act,
                        struct hw_error *err);

/* Report what is wrong with a thread's tcache, if anything is. While the target runs: `bytes` are
 * uncertain then. */
void glibc_tcache_complain(struct walk *w, int tid, struct flaw flaw, uint64_t bytes);

#endif
