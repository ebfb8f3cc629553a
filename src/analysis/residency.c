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
    int32_t arena; /* of the page at hand */
    hw_addr page;  /* its start; 0: none */
    uint64_t live; /* its bytes in use so far */
    size_t heap;   /* the row of the heap at hand */
};

static void add_split(struct hw_split *s, const struct hw_split *more)
{
    s->known = true;
    s->resident += more->resident;
    s->swapped += more->swapped;
    s->returned += more->returned;
}

static struct hw_split split_of(struct hw_report *r, const struct hw_block *b)
{
    struct hw_page_bytes n = hw_pages_count(r->pages, b->address, b->address + b->bytes);
    return (struct hw_split){true, n.resident, n.swapped, b->bytes - n.resident - n.swapped};
}

/* ---- fullness -------------------------------------------------------------------------------- */

static void count_fullness(struct hw_report *r, int32_t arena, uint64_t live, uint64_t bytes)
{
    uint64_t page = r->target.page_size;
    size_t i = 0;
    while (i + 1 < HW_FULLNESS && live * 100 > page * hw_fullness_percent[i])
        i++;
    r->arenas.data[arena].residency.fullness[i] += bytes;
    r->residency.fullness[i] += bytes;
}

/* The page at hand is complete. */
static void close_page(struct state *s, struct hw_report *r)
{
    if (s->page && hw_pages_at(r->pages, s->page) == HW_PAGE_RESIDENT)
        count_fullness(r, s->arena, s->live, r->target.page_size);
    s->page = 0;
}

static void to_page(struct state *s, struct hw_report *r, const struct hw_block *b, hw_addr page)
{
    if (s->page == page && s->arena == b->arena)
        return;
    close_page(s, r);
    *s = (struct state){.arena = b->arena, .page = page, .heap = s->heap};
}

static void fill_pages(struct state *s, struct hw_report *r, const struct hw_block *b)
{
    uint64_t size = r->target.page_size;
    bool live = b->state == HW_USED;
    hw_addr end = b->address + b->bytes, first = b->address / size * size;
    to_page(s, r, b, first);
    if (end <= first + size) {
        s->live += live ? b->bytes : 0;
        return;
    }
    s->live += live ? first + size - b->address : 0;
    hw_addr last = end / size * size; /* of which the block covers only a part, or nothing */
    if (last > first + size)
        count_fullness(r, b->arena, live ? size : 0,
                       hw_pages_count(r->pages, first + size, last).resident);
    if (end > last) {
        to_page(s, r, b, last);
        s->live += live ? end - last : 0;
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

static void split_free(struct state *s, struct hw_report *r, const struct hw_block *b,
                       enum hw_free_kind kind, const struct hw_split *split)
{
    struct hw_arena *a = &r->arenas.data[b->arena];
    struct hw_heap *heap = heap_of(s, a, b->address);
    add_split(&a->residency.free[kind], split);
    add_split(&r->residency.free[kind], split);
    if (heap)
        add_split(&heap->free, split);
}

static void block(void *state, struct hw_report *r, const struct hw_block *b)
{
    static const int8_t kinds[HW_STATES_] = {[HW_USED] = -1,
                                             [HW_MMAPPED] = -1,
                                             [HW_CACHED] = HW_FREE_TCACHE,
                                             [HW_PARKED] = HW_FREE_FASTBIN,
                                             [HW_FREE] = HW_FREE_BIN,
                                             [HW_TOP] = HW_FREE_TOP,
                                             [HW_OVERHEAD] = -1};
    if (!r->pages || b->arena < 0 || (size_t)b->arena >= r->arenas.count || b->state >= HW_STATES_)
        return;
    fill_pages(state, r, b);
    struct hw_split split = split_of(r, b);
    if (kinds[b->state] >= 0)
        split_free(state, r, b, (enum hw_free_kind)kinds[b->state], &split);
    if (b->state == HW_USED) {
        add_split(&r->arenas.data[b->arena].residency.in_use, &split);
        add_split(&r->residency.in_use, &split);
    }
}

static void begin(void *state, struct hw_report *r)
{
    (void)state;
    for (size_t i = 0; r->pages && i < r->arenas.count; i++) {
        struct hw_arena *a = &r->arenas.data[i];
        for (size_t kind = 0; kind < HW_FREE_KINDS_; kind++)
            a->residency.free[kind].known = r->residency.free[kind].known = true;
        a->residency.in_use.known = r->residency.in_use.known = true;
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
    }
    hw_set(a->figures, HW_M_RESIDENT_BYTES, (int64_t)all);
    hw_add(r->totals, HW_M_RESIDENT_BYTES, all);
    a->top.resident_bytes = hw_known(a->residency.free[HW_FREE_TOP].resident);
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
    pack(r, r->totals);
    for (size_t i = 0; i < r->arenas.count; i++)
        pack(r, r->arenas.data[i].figures);
    if (!r->pages)
        return;
    close_page(state, r);
    hw_set(r->totals, HW_M_RESIDENT_BYTES, 0);
    for (size_t i = 0; i < r->arenas.count; i++) {
        measure_heaps(r, &r->arenas.data[i]);
        set_figures(r->arenas.data[i].figures, &r->arenas.data[i].residency);
    }
    set_figures(r->totals, &r->residency);
}

const struct hw_analysis hw_analysis_residency = {
    .name = "residency",
    .state_bytes = sizeof(struct state),
    .begin = begin,
    .block = block,
    .end = end,
};
