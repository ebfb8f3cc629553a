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

static void add_stay(struct hw_arena *a, enum hw_stay why, uint64_t bytes)
{
    a->residency.stays[why].n += (int64_t)bytes;
}

/* What glibc asks for of free memory from `start` to `end`. */
static struct hw_range asked_range(const struct hw_report *r, hw_addr start, hw_addr end)
{
    uint64_t page = r->target.page_size, own = 6 * (uint64_t)r->target.word;
    if (end - start <= page - 1 + own)
        return (struct hw_range){0};
    struct hw_range range = {(start + own + page - 1) / page * page, end / page * page};
    return range.start < range.end ? range : (struct hw_range){0};
}

/* The same of a top. */
static struct hw_range asked_of_top(const struct hw_report *r, const struct hw_arena *a,
                                    hw_addr start, hw_addr end)
{
    struct hw_maybe given = {0};
    if (a->kind == HW_ARENA_MAIN)
        given = hw_systrim_bytes(r, a, end - start, 0);
    return given.n ? (struct hw_range){end - given.n, end} : (struct hw_range){0};
}

/* madvise() goes through a range until it comes to memory that is locked, and fails there. The
 * break moves even so. */
static struct hw_range given_range(const struct hw_report *r, struct hw_range asked)
{
    if (r->pages)
        asked.end = hw_pages_first_locked(r->pages, asked.start, asked.end);
    return asked.start < asked.end ? asked : (struct hw_range){0};
}

struct hw_range hw_trim_range(const struct hw_report *r, const struct hw_arena *a,
                              const struct hw_run *run)
{
    hw_addr end = run->address + run->bytes;
    return run->has_top ? asked_of_top(r, a, run->address, end)
                        : given_range(r, asked_range(r, run->address, end));
}

struct hw_trim hw_trim_free(const struct hw_report *r, struct hw_page_cursor *c, hw_addr start,
                            hw_addr end)
{
    struct hw_trim trim = {.held = hw_cursor_count(c, start, end)};
    struct hw_range asked = asked_range(r, start, end);
    if (asked.end) { /* most free memory has no whole page */
        struct hw_range given = given_range(r, asked);
        trim.asked = hw_cursor_count(c, asked.start, asked.end);
        trim.given = hw_cursor_count(c, given.start, given.end);
    }
    return trim;
}

struct hw_trim hw_trim_top(const struct hw_report *r, const struct hw_arena *a,
                           struct hw_page_cursor *c, hw_addr start, hw_addr end)
{
    struct hw_range asked = asked_of_top(r, a, start, end);
    struct hw_page_bytes n = hw_cursor_count(c, asked.start, asked.end);
    return (struct hw_trim){.held = hw_cursor_count(c, start, end), .asked = n, .given = n};
}

static void run(void *state, struct hw_report *r, struct hw_arena *a, const struct hw_run *run)
{
    (void)state;
    const struct hw_trim *trim = &run->trim;
    if (!r->pages)
        return;
    enum hw_stay why = !run->has_top              ? HW_STAY_SHARED_PAGE
                       : a->kind == HW_ARENA_MAIN ? HW_STAY_MAIN_TOP
                                                  : HW_STAY_THREAD_TOP;
    hw_add(a->figures, HW_M_TRIM_BYTES, trim->given.resident + trim->given.swapped);
    hw_add(a->figures, HW_M_TRIM_RESIDENT_BYTES, trim->given.resident);
    add_stay(a, HW_STAY_OTHER, trim->asked.resident - trim->given.resident);
    add_stay(a, why, trim->held.resident - trim->asked.resident);
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
}

/* Whatever is in tcaches stays, as usage and residency have counted it. */
static void end(void *state, struct hw_report *r)
{
    (void)state;
    if (!r->pages)
        return;
    hw_set(r->totals, HW_M_TRIM_BYTES, 0);
    hw_set(r->totals, HW_M_TRIM_RESIDENT_BYTES, 0);
    for (size_t why = 0; why < HW_STAYS_; why++)
        r->residency.stays[why].known = true;
    for (size_t i = 0; i < r->arenas.count; i++) {
        struct hw_arena *a = &r->arenas.data[i];
        struct hw_residency *own = &a->residency;
        own->stays[HW_STAY_TCACHE].n = (int64_t)own->free[HW_FREE_TCACHE].resident;
        for (size_t why = 0; why < HW_STAYS_; why++)
            r->residency.stays[why].n += own->stays[why].n;
        hw_add(r->totals, HW_M_TRIM_BYTES, (uint64_t)hw_get(a->figures, HW_M_TRIM_BYTES));
        hw_add(r->totals, HW_M_TRIM_RESIDENT_BYTES,
               (uint64_t)hw_get(a->figures, HW_M_TRIM_RESIDENT_BYTES));
    }
}

const struct hw_analysis hw_analysis_trim = {
    .name = "trim",
    .begin = begin,
    .run = run,
    .end = end,
};
