/*
 * What the thread-local storage of threads tells: thread_arena and tcache, of some threads at a
 * time, so that a few system calls will do for all of them.
 */
#ifndef HW_ALLOC_GLIBC_CACHES_H
#define HW_ALLOC_GLIBC_CACHES_H

#include "alloc/glibc/glibc.h"

struct cache {
    const struct hw_thread *thread;
    bool readable;           /* its thread-local storage is; if not, nothing below is known */
    hw_addr arena;           /* 0: none yet */
    hw_addr tcache;          /* 0: none yet */
    bool shared;             /* it is another thread's, too, and is not read for this one */
    struct hw_object object; /* what is there, once it is read: bytes are NULL if it cannot be */
};

#define GROUP_MAX 128

/* Threads that stand next to each other in the list of the target. */
struct group {
    struct cache caches[GROUP_MAX];
    size_t count;
    uint8_t *bytes; /* of the objects; owned */
};

/* Those from thread `first` on, at least one: of a target that runs only one, as what it tells is
 * soon out of date. Finds arenas and tcaches. Release with glibc_drop_group(). NOMEM. */
int glibc_find_group(struct walk *w, size_t first, struct group *ret, struct hw_error *err);
/* Read the tcaches, but those that are shared. */
void glibc_read_group(struct walk *w, struct group *g);
/* Read one of them again, as it is now. False if that fails. */
bool glibc_read_cache(struct walk *w, struct cache *c);
void glibc_drop_group(struct group *g);

#endif
