/*
 * A session ties the layers together: target, modules, allocator. The public functions of
 * <heapwalk/heapwalk.h> are implemented here and in listing.c and whatis.c.
 */
#ifndef HW_INSPECT_SESSION_H
#define HW_INSPECT_SESSION_H

#include "alloc/foreign.h"
#include "symbols/demangle.h"

struct hw_session {
    struct hw_image image;
    const struct hw_allocator *allocator;
    void *backend;                 /* the allocator's state */
    hw_foreign_vec foreign;        /* which others there are */
    struct hw_demangler demangler; /* once it is needed */
    void (*progress)(void *arg, uint64_t done, uint64_t expected);
    void *progress_arg;
    const char *(*confine)(void *arg); /* as in hw_options, or NULL */
    void *confine_arg;
};

/*
 * One walk. `ready` is called when the report has its arenas, before the first block; `block` for
 * each block, not 0 to stop. `standing` is called after the last block while the target still
 * stands still. Each may be NULL.
 */
struct hw_walker {
    void (*ready)(void *ctx, const struct hw_report *r);
    int (*block)(void *ctx, const struct hw_report *r, const struct hw_block *b);
    void (*standing)(void *ctx, const struct hw_report *r);
    void *ctx;
    bool want_bins, want_lists, want_check; /* as in struct hw_sink */
    size_t holes; /* how many to report, 0: none; and of which arena, -1: of any */
    int holes_arena;
    unsigned sample_bytes; /* how much of the chunks beside them to keep */
};

/* hw_inspect() in its general form. */
int hw_session_walk(struct hw_session *s, const struct hw_walker *walker, struct hw_report **ret,
                    struct hw_error *err);

/* Have a live target read as the options ask for. USAGE. */
int hw_session_set_mode(struct hw_target *t, const struct hw_options *opt, struct hw_error *err);

/* What the listing of modules needs of the options; NULL is fine. */
struct hw_modules_options hw_session_files(const struct hw_options *opt);

#endif
