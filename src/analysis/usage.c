/*
 * Who holds the bytes: one sum per state, for each arena and in total.
 *
 *     system = in use + tcache + fastbin + bin + top + overhead + unaccounted
 *
 * The left side is the allocator's own count, the right side is what the walk met. The difference
 * is shown, never hidden; it is negative where the walk met more than the arena says it has.
 */
#include "analysis/analysis.h"

#include <inttypes.h>

/* Where an arena's blocks of a state are counted. A top is one per arena, and overhead is no chunk:
 * only their bytes. */
static const struct column {
    int bytes, chunks; /* enum hw_metric, or NONE */
} columns[HW_STATES_] = {
#define NONE (-1)
    [HW_USED] = {HW_M_IN_USE_BYTES, HW_M_IN_USE_CHUNKS},
    [HW_MMAPPED] = {NONE, NONE}, /* in no arena */
    [HW_CACHED] = {HW_M_TCACHE_BYTES, HW_M_TCACHE_CHUNKS},
    [HW_PARKED] = {HW_M_FASTBIN_BYTES, HW_M_FASTBIN_CHUNKS},
    [HW_FREE] = {HW_M_BIN_BYTES, HW_M_BIN_CHUNKS},
    [HW_TOP] = {HW_M_TOP_BYTES, NONE},
    [HW_OVERHEAD] = {HW_M_OVERHEAD_BYTES, NONE},
};

static const enum hw_metric identity[] = {
    HW_M_IN_USE_BYTES, HW_M_TCACHE_BYTES, HW_M_FASTBIN_BYTES,
    HW_M_BIN_BYTES,    HW_M_TOP_BYTES,    HW_M_OVERHEAD_BYTES,
};

static const enum hw_metric free_parts[] = {
    HW_M_TCACHE_BYTES,
    HW_M_FASTBIN_BYTES,
    HW_M_BIN_BYTES,
    HW_M_TOP_BYTES,
};

/* What is summed over the arenas. System and unaccounted bytes are not here: they may be unknown.
 */
static const enum hw_metric summed[] = {
    HW_M_IN_USE_BYTES,  HW_M_IN_USE_CHUNKS,  HW_M_TCACHE_BYTES, HW_M_TCACHE_CHUNKS,
    HW_M_FASTBIN_BYTES, HW_M_FASTBIN_CHUNKS, HW_M_BIN_BYTES,    HW_M_BIN_CHUNKS,
    HW_M_TOP_BYTES,     HW_M_OVERHEAD_BYTES, HW_M_FREE_BYTES,
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static uint64_t sum(const struct hw_figure *figures, const enum hw_metric *metrics, size_t n)
{
    uint64_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += (uint64_t)hw_get(figures, metrics[i]);
    return total;
}

/* A walk that meets nothing knows that there is nothing. */
static void begin(void *state, struct hw_report *r)
{
    (void)state;
    for (size_t a = 0; a < r->arenas.count; a++) {
        struct hw_figure *f = r->arenas.data[a].figures;
        for (size_t i = 0; i < COUNT(summed); i++)
            hw_set(f, summed[i], 0);
        hw_set(f, HW_M_LARGEST_FREE_BYTES, 0);
    }
    for (size_t i = 0; i < COUNT(summed); i++)
        hw_set(r->totals, summed[i], 0);
    hw_set(r->totals, HW_M_LARGEST_FREE_BYTES, 0);
    hw_set(r->totals, HW_M_MMAPPED_BYTES, 0);
    hw_set(r->totals, HW_M_MMAPPED_CHUNKS, 0);
}

static void spans(void *state, struct hw_report *r, struct hw_arena *a, const struct hw_span *s,
                  size_t count)
{
    (void)state;
    (void)r;
    uint64_t bytes[HW_STATES_] = {0}, chunks[HW_STATES_] = {0};
    uint64_t largest = (uint64_t)a->figures[HW_M_LARGEST_FREE_BYTES].n;
    for (size_t i = 0; i < count; i++) {
        bool usable = s[i].state == HW_PARKED || s[i].state == HW_FREE || s[i].state == HW_TOP;
        bytes[s[i].state] += s[i].bytes;
        chunks[s[i].state] += s[i].count;
        for (size_t b = 0; usable && b < s[i].count; b++)
            largest = s[i].blocks[b].bytes > largest ? s[i].blocks[b].bytes : largest;
    }
    a->figures[HW_M_LARGEST_FREE_BYTES].n = (int64_t)largest;
    for (size_t i = 0; i < COUNT(columns); i++) {
        if (columns[i].bytes != NONE)
            hw_add(a->figures, (enum hw_metric)columns[i].bytes, bytes[i]);
        if (columns[i].chunks != NONE)
            hw_add(a->figures, (enum hw_metric)columns[i].chunks, chunks[i]);
    }
}

/* As mapped: what mp_.mmapped_mem counts. */
static void mapped(void *state, struct hw_report *r, const struct hw_block *b)
{
    (void)state;
    hw_add(r->totals, HW_M_MMAPPED_BYTES, hw_mapping_bytes(b));
    hw_add(r->totals, HW_M_MMAPPED_CHUNKS, 1);
}

static void finish_arena(struct hw_figure *f)
{
    hw_set(f, HW_M_FREE_BYTES, (int64_t)sum(f, free_parts, COUNT(free_parts)));
    if (f[HW_M_SYSTEM_BYTES].known) {
        uint64_t system = (uint64_t)f[HW_M_SYSTEM_BYTES].n;
        hw_set(f, HW_M_UNACCOUNTED_BYTES, (int64_t)(system - sum(f, identity, COUNT(identity))));
    }
}

/* A sum with an unknown part is unknown. */
static void sum_known(struct hw_report *r, enum hw_metric metric)
{
    uint64_t total = 0;
    for (size_t a = 0; a < r->arenas.count; a++) {
        const struct hw_figure *f = &r->arenas.data[a].figures[metric];
        if (!f->known)
            return;
        total += (uint64_t)f->n;
    }
    hw_set(r->totals, metric, (int64_t)total);
}

/* The backend names what it could not explain. If it missed something, complete it must not be.
 * What changed while it was read need not add up, and the backend has said so. */
static void check_identity(struct hw_report *r)
{
    if (hw_report_flawed(r))
        return;
    for (size_t a = 0; a < r->arenas.count; a++) {
        if (r->arenas.data[a].moved)
            continue;
        int64_t left = hw_get(r->arenas.data[a].figures, HW_M_UNACCOUNTED_BYTES);
        if (left > 0)
            hw_report_add(r, HW_FINDING_REGION_NOT_FOUND, (int)a, (struct hw_maybe){0},
                          hw_known((uint64_t)left), "system bytes that no chunk explains");
        else if (left < 0)
            hw_report_add(r, HW_FINDING_ARENA_HEAPS, (int)a, (struct hw_maybe){0},
                          hw_known(-(uint64_t)left), "more chunks than the arena has system bytes");
    }
}

static void end(void *state, struct hw_report *r)
{
    (void)state;
    for (size_t a = 0; a < r->arenas.count; a++) {
        struct hw_figure *f = r->arenas.data[a].figures;
        finish_arena(f);
        if (f[HW_M_LARGEST_FREE_BYTES].n > r->totals[HW_M_LARGEST_FREE_BYTES].n)
            r->totals[HW_M_LARGEST_FREE_BYTES].n = f[HW_M_LARGEST_FREE_BYTES].n;
    }
    for (size_t i = 0; i < COUNT(summed); i++)
        sum_known(r, summed[i]);
    sum_known(r, HW_M_SYSTEM_BYTES);
    sum_known(r, HW_M_UNACCOUNTED_BYTES);
    check_identity(r);
}

const struct hw_analysis hw_analysis_usage = {
    .name = "usage",
    .begin = begin,
    .spans = spans,
    .mapped = mapped,
    .end = end,
};
