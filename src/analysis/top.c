/*
 * What glibc would give back from the top of each arena, and why not more.
 *
 * Main arena. It grows by brk, so only its end can be given back, and only while nobody else has
 * moved the break since:
 *
 *      sbrk_base                                          brk
 *      | used | free | used | used |          top          |
 *                                  |<- keep ->|<- extra -->|     extra: whole pages (or huge pages)
 *                                   pad + MINSIZE + 1 at least
 *
 *      malloc_trim(0)   gives back the extra for pad = 0;
 *      free()           after a large free, that for pad = top_pad, once top >= trim_threshold.
 *
 * Thread arenas. They consist of heaps of at most heap_max_bytes, each ending in a fence, the last
 * one in top:
 *
 *      first heap                    second heap             last heap
 *      | info | state | used | free :F|   | info | used : F|   | info | top           |
 *                              `----'                 `-'                `- top is all there is:
 *                              tail_free_bytes, each                        the heap goes whole
 *
 *      malloc_trim()    never touches their top, only free chunks in front of it;
 *      free()           after a large free: while top is all there is in the last heap (not the
 *                       first), that heap is unmapped whole and the end of the one before becomes
 *                       top, provided there remains room to grow there; then top is cut as above.
 *
 * A report tells what would be given back if that large free happened now. The free itself may
 * merge into top and make it larger, which nobody can know beforehand.
 */
#include "analysis/trim.h"

struct verdict {
    struct hw_maybe bytes;
    enum hw_trim_reason reason; /* where bytes is 0 */
};

static struct verdict gives(uint64_t bytes)
{
    return (struct verdict){.bytes = hw_known(bytes)};
}
static struct verdict keeps(enum hw_trim_reason why)
{
    return (struct verdict){.bytes = hw_known(0), .reason = why};
}
static const struct verdict unknown;

/* Whole units at the end of a top of `bytes` when `pad` bytes shall stay. */
static uint64_t extra(uint64_t bytes, uint64_t pad, uint64_t min_chunk, uint64_t unit)
{
    if (bytes <= min_chunk)
        return 0;
    uint64_t area = bytes - min_chunk - 1;
    return area > pad ? (area - pad) / unit * unit : 0;
}

/* ---- main arena ------------------------------------------------------------------------------ */

static uint64_t main_unit(const struct hw_report *r, const struct hw_arena *a)
{
    if (r->params.thp_pagesize.known && r->params.thp_pagesize.n)
        return r->params.thp_pagesize.n;
    return r->target.page_size ? r->target.page_size : a->granule;
}

/*
 * glibc itself only asks whether top ends at the break: a main arena that once had to fall back to
 * mmap ("noncontiguous") may be back at the break. The flag serves to name the reason.
 */
static struct verdict main_trim(const struct hw_report *r, const struct hw_arena *a,
                                uint64_t top_bytes, uint64_t pad)
{
    uint64_t unit = main_unit(r, a);
    bool at_break = a->brk.known && a->brk.n == a->top.address + a->top.bytes;
    if (!a->contiguous && !at_break)
        return keeps(HW_TRIM_NONCONTIGUOUS);
    if (a->brk.known && !at_break)
        return keeps(HW_TRIM_BRK_MOVED);
    if (!unit)
        return unknown;
    uint64_t bytes = extra(top_bytes, pad, r->params.min_chunk_bytes, unit);
    if (bytes == 0)
        return keeps(HW_TRIM_SUB_PAGE);
    return a->brk.known ? gives(bytes) : unknown;
}

struct hw_maybe hw_systrim_bytes(const struct hw_report *r, const struct hw_arena *a,
                                 uint64_t top_bytes, uint64_t pad)
{
    return main_trim(r, a, top_bytes, pad).bytes;
}

static struct verdict main_free(const struct hw_report *r, const struct hw_arena *a)
{
    const struct hw_params *p = &r->params;
    if (!p->trim_threshold.known || !p->top_pad.known)
        return unknown;
    struct verdict v = main_trim(r, a, hw_merged_top_bytes(&a->top), p->top_pad.n);
    bool movable = v.reason != HW_TRIM_NONCONTIGUOUS && v.reason != HW_TRIM_BRK_MOVED;
    if (movable && hw_merged_top_bytes(&a->top) < p->trim_threshold.n)
        return keeps(HW_TRIM_BELOW_THRESHOLD);
    return v;
}

/* ---- thread arenas --------------------------------------------------------------------------- */

/* The end of an arena while its heaps are given back one by one. */
struct tail {
    size_t heap;          /* index of the last heap that is left */
    hw_addr top;          /* address ... */
    uint64_t bytes;       /* ... and size of the top in it */
    uint64_t given_bytes; /* the heaps that are gone */
};

/* No chunk fits between the headers of a heap and its first chunk, so a top that begins before a
 * second chunk could is the first one. In the first heap the arena itself comes before it. */
static bool top_is_alone(const struct hw_report *r, const struct hw_arena *a, const struct tail *t)
{
    return t->heap > 0 && t->top - a->heaps.data[t->heap].address < 2 * r->params.min_chunk_bytes;
}

/* Unmap the last heap if glibc would: the one before it must keep room to grow. */
static bool drop_heap(const struct hw_report *r, const struct hw_arena *a, struct tail *t)
{
    const struct hw_params *p = &r->params;
    const struct hw_heap *last = &a->heaps.data[t->heap];
    const struct hw_heap *prev = last - 1;
    uint64_t tail_free = prev->tail_free_bytes;
    if (tail_free == 0 || tail_free > prev->bytes || prev->bytes > p->heap_max_bytes)
        return false; /* no fence: damage, which the backend has reported */
    uint64_t room = tail_free + (p->heap_max_bytes - prev->bytes);
    if (room < p->min_chunk_bytes + a->granule ||
        room - p->min_chunk_bytes - a->granule < p->top_pad.n)
        return false;
    t->given_bytes += last->bytes;
    t->heap--;
    t->top = prev->address + prev->bytes - tail_free;
    t->bytes = tail_free;
    return true;
}

/* Whether heap_trim() cuts a top of `bytes` by `cut`: it has become ever more reluctant. */
static bool cuts_top(const struct hw_report *r, uint64_t bytes, uint64_t cut)
{
    int minor = hw_report_glibc_minor(r);
    if (minor >= 0 && minor < 22)
        return true;
    return (minor == 22 ? cut : bytes) >= r->params.trim_threshold.n;
}

static struct verdict thread_free(const struct hw_report *r, const struct hw_arena *a)
{
    const struct hw_params *p = &r->params;
    if (!p->trim_threshold.known || !p->top_pad.known || !a->granule || a->heaps.count == 0)
        return unknown;
    struct tail t = {.heap = a->heaps.count - 1,
                     .top = a->top.address + a->top.bytes - hw_merged_top_bytes(&a->top),
                     .bytes = hw_merged_top_bytes(&a->top)};
    const struct hw_heap *last = &a->heaps.data[t.heap];
    if (t.top < last->address || t.top - last->address >= last->bytes)
        return keeps(HW_TRIM_NOT_LAST_HEAP);
    while (top_is_alone(r, a, &t) && drop_heap(r, a, &t))
        ; /* each step is one heap less */
    uint64_t cut = extra(t.bytes, p->top_pad.n, p->min_chunk_bytes, a->granule);
    bool cutting = cuts_top(r, t.bytes, cut);
    if (cutting && cut)
        return gives(t.given_bytes + cut);
    if (t.given_bytes)
        return gives(t.given_bytes);
    return keeps(cutting ? HW_TRIM_SUB_PAGE : HW_TRIM_BELOW_THRESHOLD);
}

/* ---- both ------------------------------------------------------------------------------------ */

static void judge(const struct hw_report *r, struct hw_arena *a)
{
    struct verdict by_free, by_trim;
    if (a->top.address == 0 || a->top.bytes == 0) {
        by_free = by_trim = keeps(HW_TRIM_UNUSED);
    } else if (a->kind == HW_ARENA_MAIN) {
        by_free = main_free(r, a);
        by_trim = main_trim(r, a, hw_merged_top_bytes(&a->top), 0);
    } else {
        by_free = thread_free(r, a);
        by_trim = keeps(HW_TRIM_THREAD_ARENA);
    }
    a->top.trimmable_bytes = by_free.bytes;
    a->top.malloc_trim_bytes = by_trim.bytes;
    a->top.reason = by_free.reason ? by_free.reason : by_trim.reason;
}

static void run(void *state, struct hw_report *r, struct hw_arena *a, const struct hw_run *run)
{
    (void)state;
    (void)r;
    if (run->has_top)
        a->top.merged_bytes = run->bytes;
}

static void end(void *state, struct hw_report *r)
{
    (void)state;
    for (size_t i = 0; i < r->arenas.count; i++)
        judge(r, &r->arenas.data[i]);
}

const struct hw_analysis hw_analysis_top = {
    .name = "top",
    .run = run,
    .end = end,
};
