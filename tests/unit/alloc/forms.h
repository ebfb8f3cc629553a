/*
 * What the heaps that tests build by hand are laid out like: glibc's structs as each release
 * compiled them, for words of 8 and of 4 bytes. Written down once more, apart from
 * src/alloc/glibc/table.def, so that one mistake is not in both: with offsets as malloc/malloc.c
 * and malloc/arena.c of these versions give them.
 */
#ifndef TESTS_UNIT_ALLOC_FORMS_H
#define TESTS_UNIT_ALLOC_FORMS_H

#include "alloc/glibc/glibc.h"

enum form_id {
    FORM_2_17,
    FORM_2_23,
    FORM_2_24,
    FORM_2_26,
    FORM_2_27,
    FORM_2_30,
    FORM_2_32,
    FORM_2_35,
    FORM_2_42,
    FORM_2_43,
    FORMS_
};

/* Offsets and sizes; -1: there is no such member. */
struct form {
    const char *versions; /* what heapwalk can tell of the version by these structs */
    struct chunk_rules rules;
    struct {
        int size, fastbins, fast_lists, top, bins, next, attached, system; /* then max_system */
    } state;
    struct {
        int size, thp, n_mmaps, mmapped, sbrk_base, tcache_bins; /* then max_bytes, count */
    } par;
    struct {
        int size, pagesize;
    } heap;
    struct {
        int size, counter, lists, entries; /* size 0: there are none */
        int fills;                         /* entries in a full list */
        bool slots;                        /* counts what is free, not what is there */
    } tcache;
    bool mangled;    /* links */
    bool size_short; /* a chunk with a mapping of its own does not count its last header */
};

/* word: 8 or 4. */
const struct form *form_of(unsigned word, enum form_id id);

/* The layout, as if types had told it. `l` is initialised. */
void form_layout(const struct form *f, struct hw_layout *l);

#endif
