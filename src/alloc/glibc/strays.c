/*
 * Arenas and heaps that the ring of arenas, or the chain of an arena's heaps, does not lead to because a
 * link of it was overwritten. Heaps of thread arenas begin at multiples of their greatest size, with a
 * heap_info that names the arena; in the first one that arena follows. So there are few places to look
 * at, and no mistakes: an arena from which the ring leads to none that is known is another libc's.
 */
#include "alloc/glibc/glibc.h"

#include <inttypes.h>

/* So many places where a heap could begin are looked at, a system call for each of a process that stands
 * still meanwhile, and so often an arena is looked for among those that are known. They are enough for a
 * TiB; who has more, in readable mappings, keeps other things there than heaps: shadow memory, for one. */
#define PLACES  ((uint64_t)1 << 14)
#define LOOKUPS ((uint64_t)1 << 14)

struct budget {
    uint64_t places, lookups;
};

static bool is_taken(const struct walk *w, hw_addr addr)
{
    size_t low = 0, high = w->occupied.count;
    while (low < high) { /* the first that ends behind it */
        size_t middle = low + (high - low) / 2;
        if (w->occupied.data[middle].end <= addr)
            low = middle + 1;
        else
            high = middle;
    }
    return low < w->occupied.count && w->occupied.data[low].start <= addr;
}

/* From this arena the ring leads to one that is known: it is no other libc's. */
static bool leads_home(struct walk *w, hw_addr arena, struct budget *left)
{
    struct loop_guard guard = {0};
    while (!loop_guard_repeats(&guard, arena) && left->lookups && left->lookups--) {
        struct hw_object state = {0};
        if (glibc_arena_index(w, arena) >= 0)
            return true;
        bool is_one = glibc_read_thread_arena(w, arena, &state, NULL);
        arena = is_one ? hw_fetch(&state, GLIBC_F_NEXT, 0) : 0;
        hw_object_deinit(&state);
        if (!is_one)
            return false;
    }
    return false;
}

/* A heap that nobody knows may begin here: of an arena that nobody knows, or of one that is known. */
static int try_place(struct walk *w, hw_addr heap, bool arenas, struct budget *left,
                     struct hw_error *err)
{
    hw_addr own = heap + w->layout->struct_size[GLIBC_HEAP_INFO], of;
    hw_addr member = hw_field_addr(w->layout, GLIBC_F_HEAP_ARENA, heap, 0);
    struct hw_object info = {0}, state = {0};
    uint64_t one = 1;
    int rc = HW_OK;
    if (hw_next_data(w->target, heap, heap + w->target->who.page_size, &one) != heap)
        return HW_OK; /* a page that nobody touched is not read */
    if (hw_read_word(w->target, member, &of, NULL) != HW_OK || (of == own) != arenas)
        return HW_OK;
    bool sane = glibc_heap_is_sane(w, heap, of, &info);
    bool look = sane && !arenas && left->lookups && left->lookups--;
    int index = look ? glibc_arena_index(w, of) : -1;
    if (sane && arenas && leads_home(w, of, left) && w->arenas.count < MAX_ARENAS &&
        glibc_read_thread_arena(w, of, &state, NULL))
        rc = glibc_add_thread_arena(w, &state, err);
    else if (index > 0)
        rc = glibc_add_heap(w, (unsigned)index, heap, &info, err);
    hw_object_deinit(&state);
    hw_object_deinit(&info);
    return rc;
}

/* Heaps begin where their size says that they may. */
static int look_for(struct walk *w, bool arenas, struct hw_error *err)
{
    struct budget left = {PLACES, LOOKUPS};
    int rc = HW_OK;
    for (size_t i = 0; i < w->target->map_count && rc == HW_OK; i++) {
        const struct hw_map *map = &w->target->maps[i];
        if ((map->flags & HW_MAP_SHARED) || !(map->flags & HW_MAP_READ) ||
            !hw_map_is_anonymous(map))
            continue;
        hw_addr heap = hw_align_up(map->start, w->heap_max);
        while (heap >= map->start && heap < map->end && rc == HW_OK && left.places) {
            if (!is_taken(w, heap)) {
                left.places--;
                rc = try_place(w, heap, arenas, &left, err);
            }
            heap += w->heap_max;
        }
    }
    return rc;
}

/* The arena behind which the ring leads past those from `first` on: to where one of them does. */
static unsigned short_cut(const struct walk *w, size_t first)
{
    for (size_t i = first; i < w->arenas.count && i - first < 64; i++)
        for (size_t k = 0; k < first; k++)
            if (hw_fetch(&w->arenas.data[i].state, GLIBC_F_NEXT, 0) ==
                hw_fetch(&w->arenas.data[k].state, GLIBC_F_NEXT, 0))
                return (unsigned)k;
    return 0;
}

static void report_ring(struct walk *w, unsigned last, size_t found, const char *why)
{
    if (glibc_excuse(w, NULL, 0))
        return;
    hw_addr from = w->arenas.data[last].address;
    hw_report_break(w->report, HW_INVARIANT_ARENA_RING, HW_FINDING_ARENA_RING, -1,
                    hw_known(hw_field_addr(w->layout, GLIBC_F_NEXT, from, 0)), (struct hw_maybe){0},
                    "after arena %u: %s; arenas found elsewhere: %zu", last, why, found);
}

int glibc_find_strays(struct walk *w, unsigned last, const char *why, struct hw_error *err)
{
    size_t count = w->arenas.count;
    int rc = HW_OK;
    if (!glibc_moving(w)) /* else they come and go */
        rc = look_for(w, true, err);
    size_t found = w->arenas.count - count;
    if (why)
        report_ring(w, last, found, why);
    else if (found)
        report_ring(w, short_cut(w, count), found, "the ring of arenas leads past some");
    return rc == HW_OK && !glibc_moving(w) ? look_for(w, false, err) : rc;
}
