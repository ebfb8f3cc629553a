/*
 * What heapwalk would do to a target, and whether that would work (--dry-run): plain values.
 */
#ifndef HW_MODEL_DRYRUN_H
#define HW_MODEL_DRYRUN_H

#include "model/model.h"

/* Whether something is allowed or possible; if not, why. */
struct hw_answer {
    bool yes;
    struct hw_error why_not; /* with a remedy, where one is known */
};

/* The allocator, as far as files tell. Texts are cut to fit, "" if unknown. */
struct hw_dryrun_allocator {
    bool found;
    struct hw_error why_not; /* where it is not found */
    const char *name;        /* "glibc"; static */
    char version[32];
    char libc_path[256], libc_build_id[129];
    char symbols_file[256]; /* the libc's debug file or the libc itself */
    char problem[256];      /* why the libc's own file cannot be used */
    bool roots_named;       /* symbols tell where everything is; else it is looked for in memory */
    bool types_known;       /* and types how it is laid out; else a table does */
};

struct hw_dryrun {
    bool live;
    int pid;
    char comm[64], arch[16];
    char core[256];
    uint64_t threads;
    enum hw_mode mode;
    bool stood;                            /* it stands still already: ... */
    int held_by;                           /* ... this debugger holds it; 0: job control does */
    bool left_alone;                       /* ... and it would be read as it stands */
    struct hw_answer read, stop, snapshot; /* live; the last two of a live one only */
    struct hw_dryrun_allocator allocator;
    struct hw_maybe bytes;    /* that would be read, about */
    int64_t max_pause_ns;     /* 0: no limit */
    struct hw_maybe pause_ns; /* expected, about */
    bool two_passes;          /* read once while it runs, then again what has changed */
    bool works;
};

#endif
