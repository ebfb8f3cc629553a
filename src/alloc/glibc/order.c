/*
 * Which arenas are walked, and when.
 *
 *     the listener knows it   passed over: the same chunks would come again
 *     first                   as the listener has scheduled them, else all of them as they are
 *     other                   what would take longer than the target is to stand still. When their
 *                             turn comes, mmapped chunks have been walked, too, and it may run
 */
#include "alloc/glibc/glibc.h"

#include <time.h>

/* The linear walk is going to read the regions of these arenas, one after the other. */
static int plan_reading(struct walk *w, const unsigned *arenas, size_t count, struct hw_error *err)
{
    HW_VEC(struct hw_range) ranges = {0};
    int rc = HW_OK;
    for (size_t i = 0; i < count; i++) {
        const struct arena *a = &w->arenas.data[arenas[i]];
        for (size_t k = 0; k < a->regions.count && rc == HW_OK; k++) {
            const struct region *r = &a->regions.data[k];
            if (!hw_vec_push(&ranges, (struct hw_range){r->first, r->end}))
                rc = hw_fail(err, HW_ERR_NOMEM, "no memory for regions");
        }
    }
    if (rc == HW_OK)
        rc = hw_window_plan(&w->window, ranges.data, ranges.count, err);
    hw_vec_free(&ranges);
    return rc;
}

/* ---- one arena ------------------------------------------------------------------------------ */

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static int walk_arena(struct walk *w, unsigned index, struct hw_error *err)
{
    uint64_t start = clock_ns(CLOCK_MONOTONIC), work = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    int rc = glibc_begin_arena(w, index, err);
    /* Nothing of an arena that may change may have been read before its state was. */
    if (rc == HW_OK && glibc_moving(w))
        rc = plan_reading(w, &index, 1, err);
    if (rc == HW_OK)
        rc = glibc_walk_regions(w, index, err);
    if (rc == HW_OK && !w->stopped)
        rc = glibc_prove_bins(w, index, err);
    if (rc == HW_OK)
        glibc_end_arena(w, index);
    start = clock_ns(CLOCK_MONOTONIC) - start;
    work = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - work;
    w->report->arenas.data[index].walk_ns = work < start ? work : start;
    return rc;
}

/* What lies in an arena that need not be walked was met, too. */
static void pass_over(struct walk *w, const struct arena *a)
{
    for (size_t i = 0; i < a->regions.count; i++) {
        const struct region *r = &a->regions.data[i];
        for (size_t k = glibc_cached_from(w, r->start);
             k < w->cached.count && w->cached.data[k].address < r->end; k++)
            w->cached.data[k].seen = true;
    }
}

/* ---- all of them ---------------------------------------------------------------------------- */

/* The arenas that have to be walked, in order. */
static int decide(struct walk *w, struct hw_error *err)
{
    const struct hw_sink *sink = w->sink;
    for (unsigned i = 0; i < w->arenas.count; i++) {
        int rc = sink->known ? glibc_begin_arena(w, i, err) : HW_OK;
        if (rc != HW_OK)
            return rc;
        if (sink->known && sink->known(sink->ctx, i))
            pass_over(w, &w->arenas.data[i]);
        else if (!hw_vec_push(&w->order, i))
            return hw_fail(err, HW_ERR_NOMEM, "no memory for arenas");
    }
    w->first = w->order.count;
    if (sink->schedule)
        w->first = sink->schedule(sink->ctx, w->order.data, w->order.count);
    return HW_OK;
}

static int walk_some(struct walk *w, size_t from, size_t to, struct hw_error *err)
{
    int rc = HW_OK;
    if (from < to && !glibc_moving(w))
        rc = plan_reading(w, &w->order.data[from], to - from, err);
    for (size_t i = from; i < to && rc == HW_OK && !w->stopped; i++)
        rc = walk_arena(w, w->order.data[i], err);
    return rc;
}

int glibc_walk_first_arenas(struct walk *w, struct hw_error *err)
{
    int rc = decide(w, err);
    return rc == HW_OK ? walk_some(w, 0, w->first, err) : rc;
}

int glibc_walk_other_arenas(struct walk *w, struct hw_error *err)
{
    if (w->first == w->order.count)
        return HW_OK;
    w->sink->enough(w->sink->ctx);
    return walk_some(w, w->first, w->order.count, err);
}
