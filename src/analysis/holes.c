/*
 * The largest holes: which free runs are worth a look, and what they lie between.
 *
 *     | used |   free   |fast| free | in a tcache |  free  |      top      |
 *      below `------- a hole ------'    above      `------ one, too ------'
 *
 * A hole is what malloc_trim() would see: free chunks and fastbin chunks next to each other, merged.
 * What adjoins it is in use, or in a tcache, which is no better: such a chunk looks in use to its
 * neighbours, so nothing is merged across it. At the ends of a heap it is a header or a fence, or
 * nothing.
 *
 * Where pages are known a hole is as large as what of it is in RAM. Gigabytes that were given back
 * long ago are still one free chunk, but nobody's problem.
 *
 * Memory: as many holes as were asked for, kept as a heap (the data structure) with the least of
 * them first, so that each run is compared with that one alone and mostly dropped.
 */
#include "analysis/trim.h"

#include <stdlib.h>

/* True if `a` is the larger hole of two. No two are the same: addresses differ. */
static bool is_larger(const struct hw_hole *a, const struct hw_hole *b)
{
    if (a->resident_bytes.n != b->resident_bytes.n) /* both 0 where unknown */
        return a->resident_bytes.n > b->resident_bytes.n;
    if (a->bytes != b->bytes)
        return a->bytes > b->bytes;
    return a->address < b->address;
}

static void swap(struct hw_hole *a, struct hw_hole *b)
{
    struct hw_hole c = *a;
    *a = *b;
    *b = c;
}

/* The last of the heap is new: let it rise to its place. */
static void rise(struct hw_hole *heap, size_t count)
{
    for (size_t i = count - 1; i > 0 && is_larger(&heap[(i - 1) / 2], &heap[i]); i = (i - 1) / 2)
        swap(&heap[i], &heap[(i - 1) / 2]);
}

/* The first of the heap is new: let it sink to its place. */
static void sink(struct hw_hole *heap, size_t count)
{
    for (size_t i = 0, least; 2 * i + 1 < count; i = least) {
        least = 2 * i + 1;
        if (least + 1 < count && is_larger(&heap[least], &heap[least + 1]))
            least++;
        if (!is_larger(&heap[i], &heap[least]))
            return;
        swap(&heap[i], &heap[least]);
    }
}

static struct hw_hole measure(const struct hw_report *r, const struct hw_run *run)
{
    struct hw_hole hole = {.arena = run->arena,
                           .address = run->address,
                           .bytes = run->bytes,
                           .chunks = run->chunks,
                           .has_top = run->has_top,
                           .below.block = run->below,
                           .above.block = run->above};
    if (!r->pages)
        return hole;
    struct hw_page_bytes all = hw_pages_count(r->pages, run->address, run->address + run->bytes);
    struct hw_page_bytes gone = hw_trim_count(r, run);
    hole.resident_bytes = hw_known(all.resident);
    hole.trim_bytes = hw_known(gone.resident + gone.swapped);
    return hole;
}

static void run(void *state, struct hw_report *r, const struct hw_run *run)
{
    (void)state;
    if (r->holes_wanted == 0 || run->arena < 0 || (size_t)run->arena >= r->arenas.count ||
        (r->holes_arena >= 0 && r->holes_arena != run->arena))
        return;
    struct hw_hole hole = measure(r, run);
    if (r->holes.count < r->holes_wanted) {
        if (hw_vec_push(&r->holes, hole))
            rise(r->holes.data, r->holes.count);
        else /* the largest ones go on competing for the room there is */
            r->holes_wanted = r->holes.count;
    } else if (is_larger(&hole, &r->holes.data[0])) {
        r->holes.data[0] = hole;
        sink(r->holes.data, r->holes.count);
    }
}

static int largest_first(const void *a, const void *b)
{
    return is_larger(b, a) - is_larger(a, b);
}

static void end(void *state, struct hw_report *r)
{
    (void)state;
    if (r->holes.count)
        qsort(r->holes.data, r->holes.count, sizeof *r->holes.data, largest_first);
}

const struct hw_analysis hw_analysis_holes = {
    .name = "holes",
    .run = run,
    .end = end,
};
