/*
 * What malloc_trim(0) would give back now, to the page, and why the rest of the free memory that is
 * in RAM would stay (malloc/malloc.c, mtrim() and systrim()). For each arena it
 *
 *   1. merges fastbin chunks with their free neighbours: what runs are;
 *   2. gives back the whole pages inside each free chunk, but for its own bookkeeping:
 *
 *         page      |        |        |        |        |
 *         chunk         | H |              free              |      H: struct malloc_chunk, 6 words
 *                                     `----------------'            returned: madvise(DONTNEED)
 *                   `----- stays -----'                `---'
 *
 *   3. in the main arena only, gives back the end of top by brk, if nobody else has moved it.
 *
 * Chunks in tcaches count as in use for it. Tops of thread arenas are not touched. Pages that were
 * given back before are given back again, which frees nothing: so only pages in RAM and in swap
 * count here.
 */
#include "analysis/trim.h"

static void add_stay(struct hw_report *r, int32_t arena, enum hw_stay why, uint64_t bytes)
{
    struct hw_figure *own = &r->arenas.data[arena].residency.stays[why];
    own->n += (int64_t)bytes;
    r->residency.stays[why].n += (int64_t)bytes;
}

static void add_trim(struct hw_report *r, int32_t arena, struct hw_page_bytes n)
{
    struct hw_figure *f = r->arenas.data[arena].figures;
    hw_add(f, HW_M_TRIM_BYTES, n.resident + n.swapped);
    hw_add(f, HW_M_TRIM_RESIDENT_BYTES, n.resident);
    hw_add(r->totals, HW_M_TRIM_BYTES, n.resident + n.swapped);
    hw_add(r->totals, HW_M_TRIM_RESIDENT_BYTES, n.resident);
}

static bool known_arena(const struct hw_report *r, int32_t arena)
{
    return r->pages && arena >= 0 && (size_t)arena < r->arenas.count;
}

/* What glibc asks for. */
static struct hw_range wanted_range(const struct hw_report *r, const struct hw_run *run)
{
    uint64_t page = r->target.page_size, own = 6 * (uint64_t)r->target.word;
    struct hw_range range = {0};
    hw_addr end = run->address + run->bytes;
    if (run->has_top) {
        const struct hw_arena *a = &r->arenas.data[run->arena];
        struct hw_maybe given =
            a->kind == HW_ARENA_MAIN ? hw_systrim_bytes(r, a, run->bytes, 0) : hw_known(0);
        range.start = end - given.n;
        range.end = end;
    } else if (run->bytes > page - 1 + own) {
        range.start = (run->address + own + page - 1) / page * page;
        range.end = end / page * page;
    }
    if (range.start >= range.end)
        range = (struct hw_range){0};
    return range;
}

/* madvise() goes through a range until it comes to memory that is locked, and fails there. The break
 * moves even so. */
struct hw_range hw_trim_range(const struct hw_report *r, const struct hw_run *run)
{
    struct hw_range range = wanted_range(r, run);
    if (r->pages && !run->has_top)
        range.end = hw_pages_first_locked(r->pages, range.start, range.end);
    return range.start < range.end ? range : (struct hw_range){0};
}

struct hw_page_bytes hw_trim_count(const struct hw_report *r, const struct hw_run *run)
{
    struct hw_range range = hw_trim_range(r, run);
    return hw_pages_count(r->pages, range.start, range.end);
}

static void run(void *state, struct hw_report *r, const struct hw_run *run)
{
    (void)state;
    if (!known_arena(r, run->arena))
        return;
    bool main = r->arenas.data[run->arena].kind == HW_ARENA_MAIN;
    enum hw_stay why = !run->has_top ? HW_STAY_SHARED_PAGE
                       : main        ? HW_STAY_MAIN_TOP
                                     : HW_STAY_THREAD_TOP;
    struct hw_range asked = wanted_range(r, run), given = hw_trim_range(r, run);
    struct hw_page_bytes all = hw_pages_count(r->pages, run->address, run->address + run->bytes);
    struct hw_page_bytes wanted = hw_pages_count(r->pages, asked.start, asked.end);
    struct hw_page_bytes gone = hw_pages_count(r->pages, given.start, given.end);
    add_trim(r, run->arena, gone);
    add_stay(r, run->arena, HW_STAY_OTHER, wanted.resident - gone.resident);
    add_stay(r, run->arena, why, all.resident - wanted.resident);
}

static void block(void *state, struct hw_report *r, const struct hw_block *b)
{
    (void)state;
    if (b->state == HW_CACHED && known_arena(r, b->arena))
        add_stay(r, b->arena, HW_STAY_TCACHE,
                 hw_pages_count(r->pages, b->address, b->address + b->bytes).resident);
}

static void begin(void *state, struct hw_report *r)
{
    (void)state;
    for (size_t i = 0; r->pages && i < r->arenas.count; i++) {
        hw_set(r->arenas.data[i].figures, HW_M_TRIM_BYTES, 0);
        hw_set(r->arenas.data[i].figures, HW_M_TRIM_RESIDENT_BYTES, 0);
        for (size_t why = 0; why < HW_STAYS_; why++)
            r->arenas.data[i].residency.stays[why].known = true;
    }
    for (size_t why = 0; r->pages && why < HW_STAYS_; why++)
        r->residency.stays[why].known = true;
    if (r->pages) {
        hw_set(r->totals, HW_M_TRIM_BYTES, 0);
        hw_set(r->totals, HW_M_TRIM_RESIDENT_BYTES, 0);
    }
}

const struct hw_analysis hw_analysis_trim = {
    .name = "trim",
    .begin = begin,
    .block = block,
    .run = run,
};
