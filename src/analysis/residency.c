/*
 * Where the heap's memory really is. Each byte of a chunk is counted by the state of the page under
 * it:
 *
 *     chunks      |  used  |         free          | used |
 *     pages       | in RAM | in RAM |  gone  | swapped | in RAM |
 *     free bytes            `--res--'`-ret.--'`--sw---'`r'
 *
 * "Gone" are pages that were given back (malloc_trim), never touched, or are the kernel's shared
 * page of zeros: no RAM is spent on them, though glibc goes on counting them as free memory.
 *
 * The histogram of fullness asks the other way round: of each resident page, how many bytes are in
 * use? A heap whose free memory is all on pages with a few bytes in use cannot be trimmed.
 */
#include "analysis/analysis.h"

struct state {
    struct hw_page_cursor cursor;
    hw_addr page;  /* the one at hand: its start; NO_PAGE: none */
    uint64_t live; /* its bytes in use so far */
    size_t heap;   /* the row of the heap at hand */
};
#define NO_PAGE UINT64_MAX

static void add_split(struct hw_split *s, const struct hw_split *more)
{
    s->known = true;
    s->resident += more->resident;
    s->swapped += more->swapped;
    s->returned += more->returned;
}

/* ---- fullness -------------------------------------------------------------------------------- */

static void count_fullness(struct hw_arena *a, uint64_t page, uint64_t live, uint64_t bytes)
{
    size_t i = 0;
    while (i + 1 < HW_FULLNESS && live * 100 > page * hw_fullness_percent[i])
        i++;
    a->residency.fullness[i] += bytes;
}

/* The page at hand is complete. */
static void close_page(struct state *s, struct hw_arena *a)
{
    uint64_t size = s->cursor.pages->page_size;
    if (s->page != NO_PAGE)
        count_fullness(a, size, s->live,
                       hw_cursor_count(&s->cursor, s->page, s->page + size).resident);
    s->page = NO_PAGE;
    s->live = 0;
}

static void to_page(struct state *s, struct hw_arena *a, hw_addr page)
{
    if (s->page == page)
        return;
    close_page(s, a);
    s->page = page;
}

static void fill_pages(struct state *s, struct hw_arena *a, const struct hw_span *span)
{
    uint64_t size = s->cursor.pages->page_size;
    uint64_t live = span->state == HW_USED ? UINT64_MAX : 0; /* a mask */
    hw_addr end = span->address + span->bytes, first = span->address & -size;
    to_page(s, a, first);
    if (end <= first + size) {
        s->live += span->bytes & live;
        return;
    }
    s->live += (first + size - span->address) & live;
    hw_addr last = end & -size; /* of which the span covers only a part, or nothing */
    if (last > first + size)
        count_fullness(a, size, size & live,
                       hw_cursor_count(&s->cursor, first + size, last).resident);
    if (end > last) {
        to_page(s, a, last);
        s->live += (end - last) & live;
    }
}

/* ---- the split ------------------------------------------------------------------------------- */

static struct hw_heap *heap_of(struct state *s, struct hw_arena *a, hw_addr addr)
{
    for (size_t tried = 0; tried < a->heaps.count; tried++, s->heap++) {
        if (s->heap >= a->heaps.count)
            s->heap = 0;
        struct hw_heap *h = &a->heaps.data[s->heap];
        if (addr >= h->address && addr - h->address < h->bytes)
            return h;
    }
    return NULL;
}

static void spans(void *state, struct hw_report *r, struct hw_arena *a, const struct hw_span *span,
                  size_t count)
{
    static const int kinds[HW_STATES_] = {[HW_USED] = -1,
                                          [HW_MMAPPED] = -1,
                                          [HW_CACHED] = HW_FREE_TCACHE,
                                          [HW_PARKED] = HW_FREE_FASTBIN,
                                          [HW_FREE] = HW_FREE_BIN,
                                          [HW_TOP] = HW_FREE_TOP,
                                          [HW_OVERHEAD] = -1};
    struct state *s = state;
    for (size_t i = 0; r->pages && i < count; i++) {
        hw_addr start = span[i].address, bytes = span[i].bytes;
        struct hw_page_bytes n = hw_cursor_count(&s->cursor, start, start + bytes);
        struct hw_split split = {true, n.resident, n.swapped, bytes - n.resident - n.swapped};
        int kind = kinds[span[i].state];
        if (span[i].state == HW_USED)
            add_split(&a->residency.in_use, &split);
        if (kind >= 0) {
            struct hw_heap *heap = heap_of(s, a, start);
            add_split(&a->residency.free[kind], &split);
            if (heap)
                add_split(&heap->free, &split);
        }
        fill_pages(s, a, &span[i]);
    }
}

static void arena_done(void *state, struct hw_report *r, struct hw_arena *a)
{
    if (r->pages)
        close_page(state, a);
}

static void begin(void *state, struct hw_report *r)
{
    struct state *s = state;
    *s = (struct state){.cursor.pages = r->pages, .page = NO_PAGE};
    for (size_t i = 0; r->pages && i < r->arenas.count; i++) {
        struct hw_arena *a = &r->arenas.data[i];
        for (size_t kind = 0; kind < HW_FREE_KINDS_; kind++)
            a->residency.free[kind].known = true;
        a->residency.in_use.known = true;
        for (size_t h = 0; h < a->heaps.count; h++)
            a->heaps.data[h].free.known = true;
    }
}

/* ---- figures --------------------------------------------------------------------------------- */

static void set_figures(struct hw_figure *f, const struct hw_residency *res)
{
    struct hw_split free = {0};
    for (size_t kind = 0; kind < HW_FREE_KINDS_; kind++)
        add_split(&free, &res->free[kind]);
    hw_set(f, HW_M_FREE_RESIDENT_BYTES, (int64_t)free.resident);
    hw_set(f, HW_M_FREE_SWAPPED_BYTES, (int64_t)free.swapped);
    hw_set(f, HW_M_FREE_RETURNED_BYTES, (int64_t)free.returned);
    hw_set(f, HW_M_IN_USE_RESIDENT_BYTES, (int64_t)res->in_use.resident);
}

static void measure_heaps(struct hw_report *r, struct hw_arena *a)
{
    uint64_t all = 0;
    for (size_t i = 0; i < a->heaps.count; i++) {
        struct hw_heap *h = &a->heaps.data[i];
        h->resident_bytes =
            hw_known(hw_pages_count(r->pages, h->address, h->address + h->bytes).resident);
        all += h->resident_bytes.n;
        h->free.known = true; /* also of one that was found only while its arena was walked */
    }
    hw_set(a->figures, HW_M_RESIDENT_BYTES, (int64_t)all);
    hw_add(r->totals, HW_M_RESIDENT_BYTES, all);
    a->top.resident_bytes = hw_known(a->residency.free[HW_FREE_TOP].resident);
}

static void add_all(struct hw_residency *to, const struct hw_residency *more)
{
    for (size_t kind = 0; kind < HW_FREE_KINDS_; kind++)
        add_split(&to->free[kind], &more->free[kind]);
    add_split(&to->in_use, &more->in_use);
    for (size_t i = 0; i < HW_FULLNESS; i++)
        to->fullness[i] += more->fullness[i];
}

static void pack(const struct hw_report *r, struct hw_figure *f)
{
    uint64_t page = r->target.page_size;
    if (page && f[HW_M_IN_USE_BYTES].known)
        hw_set(f, HW_M_PACKED_BYTES,
               (int64_t)(((uint64_t)f[HW_M_IN_USE_BYTES].n + page - 1) / page * page));
}

static void end(void *state, struct hw_report *r)
{
    (void)state;
    pack(r, r->totals);
    for (size_t i = 0; i < r->arenas.count; i++)
        pack(r, r->arenas.data[i].figures);
    if (!r->pages)
        return;
    hw_set(r->totals, HW_M_RESIDENT_BYTES, 0);
    for (size_t i = 0; i < r->arenas.count; i++) {
        measure_heaps(r, &r->arenas.data[i]);
        set_figures(r->arenas.data[i].figures, &r->arenas.data[i].residency);
        add_all(&r->residency, &r->arenas.data[i].residency);
    }
    set_figures(r->totals, &r->residency);
}

const struct hw_analysis hw_analysis_residency = {
    .name = "residency",
    .state_bytes = sizeof(struct state),
    .begin = begin,
    .spans = spans,
    .arena_done = arena_done,
    .end = end,
};
