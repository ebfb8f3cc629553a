/*
 * Where to look for memory of malloc that no list names, and where not.
 *
 * A stretch is a row of neighbouring private anonymous mappings. What malloc mapped as one piece
 * may be several mappings by now: mlock(), madvise() or mprotect() on a part of it splits it; and
 * it may be a part of a larger one, because the kernel joins neighbours. So nothing is ever
 * measured against the ends of a single mapping.
 *
 * A core by gdb leaves out what it did not save, and a stretch goes on behind that: malloc's memory
 * may have such a part in the middle (PROT_NONE, MADV_DONTDUMP). It is missing then, but it was
 * there. What is too large to be a part of a heap counts as memory only if it lies in what sbrk()
 * gave.
 *
 * What arenas are known to occupy is not searched again.
 */
#include "alloc/glibc/glibc.h"

static bool is_candidate(const struct hw_map *map)
{
    return !(map->flags & HW_MAP_SHARED) && hw_map_is_anonymous(map);
}

/* More than any program keeps out of its cores, and less than lies between the heap and what mmap()
 * gives. */
static uint64_t left_out_max(const struct hw_target *t)
{
    return t->who.machine->word == 8 ? (uint64_t)1 << 40 : (uint64_t)64 << 20;
}

/* A part of a heap of a thread arena may be left out, and that is not larger. */
static uint64_t left_out_of_heap(const struct hw_target *t)
{
    return (uint64_t)(t->who.machine->word == 8 ? 64 : 1) << 20;
}

/* Whether the map, number i, goes on with the last stretch. */
static bool goes_on(const struct hw_target *t, size_t i, const struct span *last)
{
    const struct hw_map *map = &t->maps[i];
    if (last->end == map->start)
        return true;
    return t->leaves_out && t->maps[i - 1].end == last->end &&
           map->start - last->end < left_out_max(t);
}

int glibc_find_stretches(struct walk *w, struct hw_error *err)
{
    const struct hw_target *t = w->target;
    for (size_t i = 0; i < t->map_count; i++) {
        const struct hw_map *map = &t->maps[i];
        struct span *last = w->stretches.count ? &w->stretches.data[w->stretches.count - 1] : NULL;
        if (!is_candidate(map))
            continue;
        bool joins = last && goes_on(t, i, last);
        uint64_t gap = joins ? map->start - last->end : 0;
        w->private_bytes += map->end - map->start + (gap < left_out_of_heap(t) ? gap : 0);
        if (joins)
            last->end = map->end;
        else if (!hw_vec_push(&w->stretches, (struct span){map->start, map->end}))
            return hw_fail(err, HW_ERR_NOMEM, "no memory for the list of mappings");
    }
    return HW_OK;
}

void glibc_count_left_out(struct walk *w, hw_addr start, hw_addr end)
{
    const struct hw_target *t = w->target;
    hw_addr limit = glibc_stretch_end(w, start);
    end = end && end < limit ? end : limit;
    for (size_t i = 1; i < t->map_count && t->leaves_out; i++) {
        hw_addr from = t->maps[i - 1].end, to = t->maps[i].start;
        if (from >= start && to <= end && to > from && to - from >= left_out_of_heap(t))
            w->private_bytes += to - from;
    }
}

/* Index of the first span of a sorted list that ends behind `addr`. */
static size_t first_behind(const struct span *spans, size_t count, hw_addr addr)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (spans[middle].end <= addr)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

hw_addr glibc_stretch_end(const struct walk *w, hw_addr addr)
{
    size_t i = first_behind(w->stretches.data, w->stretches.count, addr);
    bool inside = i < w->stretches.count && w->stretches.data[i].start <= addr;
    return inside ? w->stretches.data[i].end : 0;
}

int glibc_occupy(struct walk *w, hw_addr start, hw_addr end, struct hw_error *err)
{
    if (!hw_vec_push(&w->occupied, (struct span){start, end}))
        return hw_fail(err, HW_ERR_NOMEM, "no memory for the list of regions");
    struct span *spans = w->occupied.data;
    size_t low = 0, high = w->occupied.count - 1;
    while (low < high) { /* the first that begins behind it */
        size_t middle = low + (high - low) / 2;
        if (spans[middle].start <= start)
            low = middle + 1;
        else
            high = middle;
    }
    memmove(&spans[low + 1], &spans[low], (w->occupied.count - 1 - low) * sizeof *spans);
    spans[low] = (struct span){start, end};
    return HW_OK;
}

hw_addr glibc_room_end(const struct walk *w, hw_addr start)
{
    size_t i = first_behind(w->occupied.data, w->occupied.count, start);
    hw_addr taken = i < w->occupied.count ? w->occupied.data[i].start : UINT64_MAX;
    hw_addr mapped = glibc_stretch_end(w, start), end = taken > start ? taken : start;
    return mapped && mapped < end ? mapped : end;
}

/* The readable map at `addr`, or the next one that begins below `end`; NULL if there is none. */
static const struct hw_map *readable_from(const struct hw_target *t, hw_addr addr, hw_addr end)
{
    size_t low = 0, high = t->map_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (t->maps[middle].end <= addr)
            low = middle + 1;
        else
            high = middle;
    }
    /* No further: who looks into one mapping after the other would pass over all of them each
     * time. */
    while (low < t->map_count && t->maps[low].start < end && !(t->maps[low].flags & HW_MAP_READ))
        low++;
    return low < t->map_count && t->maps[low].start < end ? &t->maps[low] : NULL;
}

hw_addr glibc_next_page(struct walk *w, hw_addr addr, hw_addr end, uint64_t *budget)
{
    uint64_t page = w->target->who.page_size;
    hw_addr p = hw_align_up(addr, page);
    while (p >= addr && p < end && *budget) {
        const struct hw_map *map = readable_from(w->target, p, end);
        if (!map)
            return end;
        if (map->start > p)
            p = hw_align_up(map->start, page);
        hw_addr until = map->end < end ? map->end : end;
        hw_addr data = p >= map->start ? hw_next_data(w->target, p, until, budget) : until;
        if (data < until && data % page == 0)
            return data;
        addr = p; /* segments of cores may begin anywhere */
        p = hw_align_up(data < until ? data : until, page);
        if (p <= addr)
            p = addr + page;
    }
    return end;
}

bool glibc_next_unknown(const struct walk *w, hw_addr *from, struct span *ret)
{
    for (;;) {
        size_t s = first_behind(w->stretches.data, w->stretches.count, *from);
        if (s == w->stretches.count)
            return false;
        const struct span *stretch = &w->stretches.data[s];
        if (*from < stretch->start)
            *from = stretch->start;
        size_t o = first_behind(w->occupied.data, w->occupied.count, *from);
        const struct span *taken = o < w->occupied.count ? &w->occupied.data[o] : NULL;
        if (taken && taken->start <= *from) {
            *from = taken->end;
            continue;
        }
        bool cut = taken && taken->start < stretch->end;
        *ret = (struct span){*from, cut ? taken->start : stretch->end};
        *from = ret->end;
        return true;
    }
}
