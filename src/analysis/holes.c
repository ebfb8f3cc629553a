/*
 * The largest holes: which free runs are worth a look, and what they lie between.
 *
 *     | used |   free   |fast| free | in a tcache |  free  |      top      |
 *      below `------- a hole ------'    above      `------ one, too ------'
 *
 * A hole is what malloc_trim() would see: free chunks and fastbin chunks next to each other,
 * merged. What adjoins it is in use, or in a tcache, which is no better: such a chunk looks in use
 * to its neighbours, so nothing is merged across it. At the ends of a heap it is a header or a
 * fence, or nothing.
 *
 * Where pages are known a hole is as large as what of it is in RAM. Gigabytes that were given back
 * long ago are still one free chunk, but nobody's problem.
 *
 * Memory: as many holes as were asked for, kept as a heap (the data structure) with the least of
 * them first, so that each run is compared with that one alone and mostly dropped. Each arena
 * keeps as many, since which arenas' holes are the largest of all is only known at the end.
 */
#include "analysis/analysis.h"

#include <stdlib.h>

/* True if `a` is the larger one of two. No two are the same: addresses differ. */
static bool is_larger(const struct hw_run *a, const struct hw_run *b)
{
    if (a->trim.held.resident != b->trim.held.resident) /* both 0 where unknown */
        return a->trim.held.resident > b->trim.held.resident;
    if (a->bytes != b->bytes)
        return a->bytes > b->bytes;
    return a->address < b->address;
}

static void swap(struct hw_run *a, struct hw_run *b)
{
    struct hw_run c = *a;
    *a = *b;
    *b = c;
}

/* The last of the heap is new: let it rise to its place. */
static void rise(struct hw_run *heap, size_t count)
{
    for (size_t i = count - 1; i > 0 && is_larger(&heap[(i - 1) / 2], &heap[i]); i = (i - 1) / 2)
        swap(&heap[i], &heap[(i - 1) / 2]);
}

/* The first of the heap is new: let it sink to its place. */
static void sink(struct hw_run *heap, size_t count)
{
    for (size_t i = 0, least = 0;; i = least) {
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < count; child++)
            if (is_larger(&heap[least], &heap[child]))
                least = child;
        if (least == i)
            return;
        swap(&heap[i], &heap[least]);
    }
}

static void run(void *state, struct hw_report *r, struct hw_arena *a, const struct hw_run *run)
{
    (void)state;
    if (r->holes_wanted == 0 || (r->holes_arena >= 0 && r->holes_arena != run->arena))
        return;
    if (a->largest.count < r->holes_wanted && hw_vec_push(&a->largest, *run)) {
        rise(a->largest.data, a->largest.count);
    } else if (a->largest.count && is_larger(run, &a->largest.data[0])) {
        /* Also without memory: the largest ones go on competing for the room there is. */
        a->largest.data[0] = *run;
        sink(a->largest.data, a->largest.count);
    }
}

/* ---- of all arenas -------------------------------------------------------------------------- */

static int largest_first(const void *a, const void *b)
{
    const struct hw_run *x = *(const struct hw_run *const *)a;
    const struct hw_run *y = *(const struct hw_run *const *)b;
    return is_larger(y, x) - is_larger(x, y);
}

static struct hw_hole hole_of(const struct hw_report *r, const struct hw_run *run)
{
    struct hw_hole hole = {.arena = run->arena,
                           .address = run->address,
                           .bytes = run->bytes,
                           .chunks = run->chunks,
                           .has_top = run->has_top,
                           .below.block = run->below,
                           .above.block = run->above};
    if (r->pages) {
        hole.resident_bytes = hw_known(run->trim.held.resident);
        hole.trim_bytes = hw_known(run->trim.given.resident + run->trim.given.swapped);
    }
    return hole;
}

/* Without memory for all of them there are fewer. */
static void blocks_done(void *state, struct hw_report *r)
{
    (void)state;
    HW_VEC(const struct hw_run *) all = {0};
    bool room = true;
    for (size_t i = 0; i < r->arenas.count; i++)
        for (size_t k = 0; room && k < r->arenas.data[i].largest.count; k++)
            room = hw_vec_push(&all, &r->arenas.data[i].largest.data[k]);
    if (all.count)
        qsort(all.data, all.count, sizeof *all.data, largest_first);
    for (size_t i = 0; i < all.count && i < r->holes_wanted; i++)
        if (!hw_vec_push(&r->holes, hole_of(r, all.data[i])))
            break;
    hw_vec_free(&all);
}

const struct hw_analysis hw_analysis_holes = {
    .name = "holes",
    .run = run,
    .blocks_done = blocks_done,
};
