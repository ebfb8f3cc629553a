/*
 * What is looked at only where all invariants are to be checked (--check). The rest is looked at in
 * any walk, where it costs nothing. The list of them: HW_INVARIANTS in model/model.h.
 */
#ifndef HW_ALLOC_GLIBC_CHECK_H
#define HW_ALLOC_GLIBC_CHECK_H

#include "alloc/glibc/glibc.h"

/* A chunk in a bin, as it stands in memory. */
struct binned {
    hw_addr chunk;
    struct chunk_header h;
    hw_addr fd, bk;
    hw_addr smaller, larger; /* of large chunks: fd_nextsize, bk_nextsize */
};

/* bins.c: the bin has something wrong at `at`, a link that leads to `to` if that is not 0. */
void glibc_bad_bin(struct walk *w, unsigned arena, unsigned bin, hw_addr at, const char *what,
                   hw_addr to);

/* check_bins.c: the chunks of one bin in the order of the list, and its end. */
struct bin_check {
    uint64_t chunks;
    uint64_t size;                /* of the last one */
    struct binned first, of_size; /* the first of all, and of those of that size */
};
void glibc_check_binned(struct walk *w, unsigned arena, unsigned bin, struct bin_check *check,
                        const struct binned *c);
void glibc_check_bin(struct walk *w, unsigned arena, unsigned bin, struct bin_check *check);

/* check.c: once tcaches and fastbins were read; at the end of all. (Blocks: see glibc.h.) */
void glibc_check_lists(struct walk *w);
void glibc_end_check(struct walk *w);

#endif
