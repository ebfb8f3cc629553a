/*
 * The search for chunks with a mapping of their own (mmapped.c), and what is said of it when it is
 * over (mmapped_verdict.c).
 */
#ifndef HW_ALLOC_GLIBC_MMAPPED_H
#define HW_ALLOC_GLIBC_MMAPPED_H

#include "alloc/glibc/glibc.h"

struct effort {
    uint64_t reach;  /* pages to try from the start of each mapping on, and behind each chunk */
    bool split;      /* parts of a chunk may have other permissions by now (guard pages) */
    bool every_lead; /* the real header may stand in front of any page that the first one spans */
    bool lenient;    /* mp_ may have drifted by whole pages */
};

struct finder {
    struct walk *w;
    HW_VEC(struct hw_block) found; /* at most as many as glibc lets there be: n_mmaps_max */
    uint64_t bytes;                /* mapped by those found */
    unsigned lead;                 /* mapped in front of each chunk, at least */
    unsigned tail;                 /* mapped behind each chunk */
    uint64_t probes, skips;        /* budgets */
    const struct effort *effort;
    struct hw_window near; /* the first pages of a chunk, where most real headers stand */
};

/* As many and as much as mp_ counts was found. */
bool glibc_mmapped_found(const struct finder *f);
/* Report what was found too little, or too much. */
void glibc_mmapped_report(const struct finder *f);

#endif
