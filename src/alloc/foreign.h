/*
 * Which allocators there are besides the glibc heap that heapwalk walks: jemalloc, mimalloc,
 * tcmalloc, musl, Go, sanitizers, valgrind, another copy of glibc.
 *
 * A process has one allocator behind malloc() and any number of private ones. The first is found
 * where the dynamic linker wrote it down: libc calls malloc() through its own GOT, so that others
 * can take its place. The rest is found by names: of mapped files, of what the executable defines,
 * of texts in it. Only maps, files and a few words of memory are read; nothing is walked.
 */
#ifndef HW_ALLOC_FOREIGN_H
#define HW_ALLOC_FOREIGN_H

#include "alloc/allocator.h"

enum hw_foreign_role {
    HW_FOREIGN_MALLOC,  /* a malloc() for any program */
    HW_FOREIGN_RUNTIME, /* the heap of a language, never behind malloc() */
    HW_FOREIGN_MACHINE, /* what runs the program and replaces its malloc() without a trace */
    HW_FOREIGN_LIBC,    /* another C library: no glibc */
    HW_FOREIGN_GLIBC,   /* glibc's own code once more, with a heap of its own */
};

struct hw_foreign {
    enum hw_foreign_role role;
    const char *heap; /* "jemalloc", "musl's malloc"; static */
    hw_addr start;    /* where its file is mapped */
    hw_addr arena;    /* HW_FOREIGN_GLIBC: its main_arena; 0 if unknown */
    struct hw_other facts;
};
typedef HW_VEC(struct hw_foreign) hw_foreign_vec;

/*
 * Find them, in the order of addresses; the files of libc, of the executable and of plugins are
 * opened for it. glibc itself is among them. *ret is released with hw_vec_free(). NOMEM.
 */
int hw_foreign_find(const struct hw_image *image, hw_foreign_vec *ret, struct hw_error *err);

/* After a walk: list them in the report, with a note each, or a finding where blocks of a glibc
 * heap are missing. */
void hw_foreign_report(const hw_foreign_vec *found, const struct hw_image *image,
                       struct hw_report *r);

/* Nothing could be opened: if one of them is the reason, say so instead of what `err` says. Returns
 * err->code. */
int hw_foreign_explain(const hw_foreign_vec *found, const struct hw_target *t,
                       struct hw_error *err);

#endif
