/*
 * Two reports, read back from JSON, side by side: plain values. What a report does not have is
 * unknown.
 */
#ifndef HW_MODEL_DIFF_H
#define HW_MODEL_DIFF_H

#include "model/model.h"

struct hw_saved_arena {
    struct hw_maybe index, address;
    struct hw_figure figures[HW_METRICS_];
};

struct hw_saved_histogram {
    bool known;
    struct hw_histogram h; /* counts of hostile reports are bounded by INT64_MAX */
};

/* One report, as far as it is compared. Texts are cut to fit, "" if unknown. */
struct hw_saved {
    char file[256]; /* its name as given */
    struct hw_maybe pid, start_ticks;
    char comm[64];
    char time[32];           /* "2025-06-01T12:00:00.123Z", ... */
    struct hw_maybe time_ms; /* ... and since the epoch */
    bool complete;           /* it says so */
    char why_not[256];       /* its first finding that is no note */
    struct hw_figure totals[HW_METRICS_];
    struct hw_figure rss_bytes;
    struct hw_saved_histogram histogram, in_use_histogram;
    HW_VEC(struct hw_saved_arena) arenas;
    bool some_arenas; /* and not all that there were (--arena) */
};

/* An arena of both, or of one of them: the other is NULL then. They point into the reports. */
struct hw_arena_pair {
    const struct hw_saved_arena *before, *after;
};

enum hw_sameness { HW_SAME_UNKNOWN, HW_SAME, HW_NOT_SAME };

struct hw_diff {
    struct hw_saved before, after;
    enum hw_sameness same_process;
    bool by_address; /* arenas are matched by their addresses; else by index */
    /* In the order of `after`, then those that are gone. An arena is new or gone only where the
     * other report has all arenas. */
    HW_VEC(struct hw_arena_pair) arenas;
    HW_VEC(char *) notes;
};

/* after - before; unknown where one of them is, and where it does not fit. Not for ratios. */
static inline struct hw_figure hw_change(struct hw_figure before, struct hw_figure after)
{
    struct hw_figure change = {.known = before.known && after.known};
    if (change.known && __builtin_sub_overflow(after.n, before.n, &change.n))
        change = (struct hw_figure){0};
    return change;
}

/* A figure of one side of a pair; unknown where the arena was not there. */
static inline struct hw_figure hw_saved_figure(const struct hw_saved_arena *a, enum hw_metric m)
{
    return a ? a->figures[m] : (struct hw_figure){0};
}

/* How it changed, where an arena that is new was nothing before, and one that is gone is now. */
static inline struct hw_figure hw_pair_change(const struct hw_arena_pair *p, enum hw_metric m)
{
    static const struct hw_figure nothing = {.known = true};
    return hw_change(p->before ? p->before->figures[m] : nothing,
                     p->after ? p->after->figures[m] : nothing);
}

static inline struct hw_figure hw_bucket_figure(const struct hw_saved_histogram *h, unsigned bucket,
                                                bool bytes)
{
    uint64_t n = bytes ? h->h.bytes[bucket] : h->h.chunks[bucket];
    return (struct hw_figure){.known = h->known, .n = (int64_t)n};
}

#endif
