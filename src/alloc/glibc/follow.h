/*
 * Following many lists side by side. Where a list goes on shows only when one is there, so each
 * step of each list would be a read of its own. Instead one step is done of all lists, then the
 * next of those that go on:
 *
 *     list 0    a -> b -> c              round 1: a d e      many places by one call
 *     list 1    d                        round 2: b f
 *     list 2    e -> f -> g -> h         round 3: c g
 *                                        round 4: h
 *
 * When few lists are left they are followed one by one, through the seeker, which reads ahead; so
 * are lists that go on by many short steps.
 */
#ifndef HW_ALLOC_GLIBC_FOLLOW_H
#define HW_ALLOC_GLIBC_FOLLOW_H

#include "base/err.h"
#include "target/machine.h"

struct walk;
struct hw_target;

/*
 * Read `len` bytes at each of `count` places, packed into `buf` in the same order. there[i] tells
 * whether all of them were at at[i]; if not, what is in buf for that place is anything.
 */
void glibc_read_places(struct hw_target *t, const hw_addr *at, size_t count, size_t len,
                       uint8_t *buf, bool *there);

/* A list that is being followed; to be embedded in what is known about it. */
struct chain {
    hw_addr at;           /* where its next piece is; 0: it is over */
    uint64_t short_steps; /* follow.c: in a row; 0 to begin with */
};

#define CHAIN_PIECE_MAX 32 /* bytes of a piece */

/*
 * What to make of the piece at c->at: `bytes`, valid during the call, are NULL if it cannot be
 * read. Sets c->at to where the list goes on, or to 0; how long a list may be is its own business,
 * but it must come to an end. What it fails with ends all.
 */
typedef int (*chain_step)(struct walk *w, struct chain *c, const uint8_t *bytes,
                          struct hw_error *err);

/* Follow `count` lists to their ends; pieces have `len` bytes. The order of `chains` is that of the
 * steps of a round; it is overwritten. */
int glibc_follow(struct walk *w, struct chain **chains, size_t count, size_t len, chain_step step,
                 struct hw_error *err);

#endif
