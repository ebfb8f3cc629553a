/*
 * What an incomplete core has not: it was cut off, or written without some memory. A list, a ring
 * or a chain that leads there is as good as any other, as far as can be told, so nothing is broken;
 * but what lies behind it was not examined.
 *
 *     bin --> A --> B --> (missing) --> D --> bin        A, B, and D from the other end
 *
 * A link that was overwritten leads elsewhere: to where no memory was, to what is no memory of
 * malloc's, or to what is there and is no chunk. Only private anonymous memory that could be read
 * is missing; what is only reserved for heaps to grow into is not.
 *
 * How many bytes of an arena are missing is reported by who knows all its heaps
 * (inspect/missing.c). Here is told what lies in no arena that is known, which is so where a part
 * of the arena itself is missing.
 */
#include "alloc/glibc/glibc.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* More of them tell nothing new: they lead into the same few pieces of memory. */
#define LEADS_MAX 1024

/* Where a core leaves out mappings there is none at all. */
static bool may_be_mallocs(const struct walk *w, hw_addr addr)
{
    const struct hw_map *map = hw_map_at(w->target, addr);
    return glibc_stretch_end(w, addr) && (!map || (map->flags & HW_MAP_READ));
}

bool glibc_is_absent(const struct walk *w, hw_addr addr, uint64_t len)
{
    hw_addr end = addr + len, until;
    while (addr < end && hw_target_extent(w->target, addr, end, &until) != HW_EXTENT_MISSING)
        addr = until;
    return addr < end && may_be_mallocs(w, addr);
}

void glibc_leave_out(struct walk *w, enum hw_invariant invariant, int arena, hw_addr to)
{
    struct lead lead = {.to = to, .of = invariant, .arena = arena};
    w->report->check.missed[invariant]++;
    if (arena >= 0)
        w->arenas.data[arena].absent = true;
    if (w->leads.count < LEADS_MAX)
        (void)hw_vec_push(&w->leads, lead); /* else it is only counted */
}

bool glibc_leads_out(struct walk *w, enum hw_invariant invariant, int arena, hw_addr chunk,
                     uint64_t len)
{
    bool aligned = (chunk + w->rules.header) % w->rules.alignment == 0;
    if (!aligned || !glibc_is_absent(w, chunk, len))
        return false;
    glibc_leave_out(w, invariant, arena, chunk);
    return true;
}

/* ---- arenas and heaps ----------------------------------------------------------------------- */

bool glibc_is_absent_heap(const struct walk *w, hw_addr heap)
{
    return heap % w->heap_max == 0 &&
           glibc_is_absent(w, heap, w->layout->struct_size[GLIBC_HEAP_INFO]);
}

bool glibc_is_absent_arena(struct walk *w, hw_addr arena)
{
    struct hw_object info = {0};
    hw_addr heap = hw_align_down(arena, w->heap_max);
    if (arena != heap + w->layout->struct_size[GLIBC_HEAP_INFO])
        return false;
    bool absent = glibc_is_absent_heap(w, heap) ||
                  (glibc_is_absent(w, arena, w->layout->struct_size[GLIBC_MALLOC_STATE]) &&
                   glibc_heap_is_sane(w, heap, arena, &info));
    hw_object_deinit(&info);
    return absent;
}

/* A heap of an arena that is not known may be there, as its beginning, or the arena, is missing. */
static bool is_in_absent_heap(struct walk *w, hw_addr addr)
{
    hw_addr arena, heap = hw_align_down(addr, w->heap_max);
    hw_addr member = hw_field_addr(w->layout, GLIBC_F_HEAP_ARENA, heap, 0);
    if (glibc_is_absent_heap(w, heap))
        return true;
    return hw_read_word(w->target, member, &arena, NULL) == HW_OK &&
           glibc_is_absent_arena(w, arena);
}

/* ---- chunks --------------------------------------------------------------------------------- */

void glibc_lose_sight(struct walk *w, unsigned arena, hw_addr at, hw_addr from, hw_addr to)
{
    struct span span = {from, to};
    w->report->check.missed[HW_INVARIANT_CHUNKS]++;
    w->report->check.missed[HW_INVARIANT_FREE_CHUNKS]++;
    if (!glibc_is_absent(w, at, w->rules.header))
        return;
    w->report->check.missed[HW_INVARIANT_BIN_SETS]++;
    w->arenas.data[arena].absent = true;
    if (!hw_vec_push(&w->unseen, span))
        w->regions_absent = true; /* so that it is not taken for damage */
}

static int by_start(const void *a, const void *b)
{
    const struct span *x = a, *y = b;
    return x->start < y->start ? -1 : x->start > y->start;
}

void glibc_sort_unseen(struct walk *w)
{
    if (w->unseen.count)
        qsort(w->unseen.data, w->unseen.count, sizeof *w->unseen.data, by_start);
}

bool glibc_may_be_unseen(struct walk *w, hw_addr chunk)
{
    size_t low = 0, high = w->unseen.count;
    while (low < high) { /* the first that ends behind it */
        size_t middle = low + (high - low) / 2;
        if (w->unseen.data[middle].end <= chunk)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < w->unseen.count && w->unseen.data[low].start <= chunk)
        return true;
    bool is_known = glibc_room_end(w, chunk) == chunk;
    return !is_known && (w->regions_absent || is_in_absent_heap(w, chunk));
}

bool glibc_is_cut_off(struct walk *w, hw_addr p)
{
    unsigned header = w->rules.header;
    const uint8_t *bytes = hw_seeker_at(&w->seeker, p + header, header);
    if (!bytes)
        return glibc_is_absent(w, p + header, header);
    struct chunk_header links = chunk_decode(&w->rules, bytes); /* fd, bk */
    return glibc_is_absent(w, links.prev_size + header, header) ||
           glibc_is_absent(w, links.raw + header, header);
}

/* ---- elsewhere ------------------------------------------------------------------------------ */

struct absent glibc_absent_elsewhere(const struct walk *w)
{
    const struct hw_target *t = w->target;
    struct absent sum = {0};
    struct span span;
    size_t i = 0;
    for (hw_addr from = 0; i < t->map_count && glibc_next_unknown(w, &from, &span);) {
        while (i < t->map_count && t->maps[i].end <= span.start)
            i++;
        for (; i < t->map_count && t->maps[i].start < span.end; i++) {
            const struct hw_map *map = &t->maps[i];
            hw_addr start = map->start > span.start ? map->start : span.start;
            hw_addr end = map->end < span.end ? map->end : span.end;
            struct hw_missing m = {0};
            if (map->flags & HW_MAP_READ)
                hw_target_missing(t, start, end, &m);
            sum.bytes += m.bytes;
            sum.reach += m.bytes ? end - m.first : 0;
            if (map->end > span.end)
                break;
        }
    }
    return sum;
}

/* The readable memory around `addr`; of a heap no more than a heap can have. */
static struct span piece_at(const struct walk *w, const struct lead *lead)
{
    const struct hw_map *map = hw_map_at(w->target, lead->to);
    hw_addr heap = hw_align_down(lead->to, w->heap_max), heap_end = heap + w->heap_max;
    struct span piece = {lead->to, lead->to + 1};
    if (map)
        piece = (struct span){map->start, map->end};
    if (lead->of == HW_INVARIANT_ARENA_RING || lead->of == HW_INVARIANT_THREAD_HEAPS) {
        piece.start = heap;
        piece.end = map && map->end < heap_end ? map->end : heap_end;
    }
    return piece;
}

static void report_lead(struct walk *w, const struct lead *lead, const struct span *piece)
{
    struct hw_missing m = {0};
    char what[64] = "a list";
    bool of_heap = lead->of == HW_INVARIANT_ARENA_RING || lead->of == HW_INVARIANT_THREAD_HEAPS;
    if (lead->of == HW_INVARIANT_ARENA_RING)
        snprintf(what, sizeof what, "the ring of arenas");
    else if (lead->of == HW_INVARIANT_THREAD_HEAPS)
        snprintf(what, sizeof what, "arena %d: the chain of its heaps", lead->arena);
    if (of_heap && hw_map_at(w->target, lead->to))
        hw_target_missing(w->target, piece->start, piece->end, &m);
    hw_report_add(w->report, HW_FINDING_MISSING, lead->arena, hw_known(lead->to),
                  (struct hw_maybe){.known = m.bytes > 0, .n = m.bytes},
                  "%s leads to %#" PRIx64 ", which the core does not have", what, lead->to);
}

void glibc_report_absent(struct walk *w)
{
    HW_VEC(struct span) named = {0};
    for (size_t i = 0; i < w->leads.count; i++) {
        const struct lead *lead = &w->leads.data[i];
        bool is_named = glibc_room_end(w, lead->to) == lead->to; /* as a part of an arena */
        for (size_t k = 0; k < named.count && !is_named; k++)
            is_named = lead->to >= named.data[k].start && lead->to < named.data[k].end;
        if (is_named)
            continue;
        struct span piece = piece_at(w, lead);
        report_lead(w, lead, &piece);
        (void)hw_vec_push(&named, piece); /* else it is named once more */
    }
    hw_vec_free(&named);
}
