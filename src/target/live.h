/*
 * What the files of a live target share: live.c; live_open.c; live_freeze.c, for its state at one
 * moment; live_again.c, for whether it still is what was opened; live_copy.c, for reading by way of
 * a copy; live_outline.c, for what can be told without reading it; live_file.c, for the files that
 * it has mapped.
 */
#ifndef HW_TARGET_LIVE_H
#define HW_TARGET_LIVE_H

#include "target/snapshot.h"
#include "target/standing.h"
#include "target/stop.h"

/* What bytes are read from: the process, or a copy of it. */
struct hw_live_memory {
    int pid;              /* the thread through which it is reached; 0: there is none */
    int mem;              /* /proc/PID/mem, -1 if closed */
    int pagemap;          /* /proc/PID/pagemap, -1 if that may not be read */
    _Atomic bool use_mem; /* process_vm_readv() does not work here; may be set by any reader */
};

/* What the kernel told a program when it was executed; then zeros. All zeros: not known. */
struct hw_auxv {
    char bytes[1024];
};

struct hw_live {
    struct hw_target t;
    unsigned long long start; /* of the process, and ... */
    struct hw_auxv auxv;      /* ... of the program that was opened */
    struct hw_live_memory own, copy;
    uint64_t entries[512]; /* a block of the pagemap that is read from */
    hw_addr entries_base;  /* entries[0] is of the page at this address */
    size_t entries_count;
    /* While frozen, one of them: */
    struct hw_stop *stop;
    struct hw_snapshot *snapshot;
    struct hw_standing standing; /* where t.stood is set */
    bool uncopied;               /* some maps are HW_MAP_UNCOPIED */
    int pages_rc;                /* by way of a copy, pages are found during the freeze ... */
    struct hw_error pages_error; /* ... or not */
};

/* Open the files of a memory; those that fail are -1 (errno). Release them. */
void hw_live_open_memory(struct hw_live_memory *m, int pid);
void hw_live_close_memory(struct hw_live_memory *m);
/* -1 if it may not be read. */
int hw_live_open_pagemap(int pid);

/* A thread of `pid` that still lives, the main one if it does; 0 if none. */
int hw_live_thread(int pid);

/* See live_again.c. */
void hw_live_read_auxv(struct hw_live *l, struct hw_auxv *ret);
/* Of memory that is gone: why. Returns GONE. */
int hw_live_lost(struct hw_live *l, struct hw_error *err);

/* Bring the maps up to date; also makes sure that it is still the program that was opened. Fails
 * with GONE, PERMISSION, NOMEM, SYSTEM. */
int hw_live_update_maps(struct hw_live *l, struct hw_error *err);
/* The same for the threads: with registers if they are stopped; if the target is moving, with
 * thread pointers as far as those are found. GONE, NOMEM. */
int hw_live_update_threads(struct hw_live *l, struct hw_error *err);

/* The freeze and thaw operations of a live target. */
int hw_live_freeze(struct hw_target *t, struct hw_error *err);
void hw_live_thaw(struct hw_target *t);
void hw_live_let_go(struct hw_target *t);

/* Operations that live targets share. */
int hw_live_check(struct hw_target *t, struct hw_error *err);
int hw_live_open_file(struct hw_target *t, const struct hw_map *map, struct hw_error *err);
int hw_live_find_pages(struct hw_target *t, struct hw_error *err);
void hw_live_close(struct hw_target *t);

extern const struct hw_target_ops hw_live_ops, hw_live_outline_ops;

/* The copy operation: where all threads stand still for it (l->snapshot), find the pages, have the
 * copy made, and read from it from now on. */
int hw_live_copy(struct hw_target *t, struct hw_error *err);
/* End the snapshot, copy or none, and read from the process again. */
void hw_live_copy_drop(struct hw_live *l);

#endif
