/*
 * What act.c keeps of threads, for act_tell.c.
 */
#ifndef HW_ALLOC_GLIBC_ACT_H
#define HW_ALLOC_GLIBC_ACT_H

#include "alloc/glibc/code.h"
#include "alloc/glibc/glibc.h"
#include "symbols/unwind.h"

#define ARENAS_MAX 4 /* that one thread may refer to */

/* Some arenas; `more`: than there is room for. */
struct arena_set {
    int index[ARENAS_MAX];
    size_t count;
    bool more;
};

/* A thread that may be in malloc. */
struct act {
    size_t row; /* in the report */
    int waits_for;
    struct hw_thread thread;
    hw_addr start;
    uint8_t *bytes; /* of its stack */
    size_t len;
    struct arena_set held; /* the locked arenas that it refers to; act_tell.c */
};

struct glibc_acts {
    glibc_code code;
    struct hw_unwinder *unwinder;
    HW_VEC(struct act) list;
    size_t copied; /* bytes */
};

/* Forget the threads. */
void glibc_drop_acts(struct glibc_acts *a);

#endif
