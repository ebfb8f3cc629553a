/*
 * Arenas and heaps that the ring of arenas, or the chain of an arena's heaps, does not lead to
 * because a link of it was overwritten. Heaps of thread arenas begin at multiples of their greatest
 * size, with a heap_info that names the arena; in the first one that arena follows. So there are
 * few places to look at, and no mistakes: an arena from which the ring leads to none that is known,
 * or that is missing from the core, is another libc's.
 */
#include "alloc/glibc/glibc.h"

#include <inttypes.h>

/* So many places where a heap could begin are looked at, a system call for each of a process that
 * stands still meanwhile, and so often an arena is looked for among those that are known. They are
 * enough for a TiB; who has more, in readable mappings, keeps other things there than heaps: shadow
 * memory, for one. */
#define PLACES  ((uint64_t)1 << 14)
#define LOOKUPS ((uint64_t)1 << 14)

struct budget {
    uint64_t places, lookups;
};

enum search { ARENAS, ARENAS_OF_BROKEN_RING, HEAPS };

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
        bool is_cut = !is_one && glibc_is_absent_arena(w, arena);
        arena = is_one ? hw_fetch(&state, GLIBC_F_NEXT, 0) : 0;
        hw_object_deinit(&state);
        if (!is_one)
            return is_cut;
    }
    return false;
}

/* It has more than what is known of it. */
static bool is_short(const struct arena *a)
{
    return !a->distrusted && a->system_bytes > glibc_sum_of_heaps(a);
}

static int add_stray(struct walk *w, struct hw_object *state, struct hw_error *err)
{
    hw_addr next = hw_fetch(state, GLIBC_F_NEXT, 0);
    if (glibc_is_absent_arena(w, next))
        glibc_leave_out(w, HW_INVARIANT_ARENA_RING, -1, next);
    return glibc_add_thread_arena(w, state, err);
}

/* An arena that nobody knows may begin in the heap that may begin here. `broken`: so may the
 * heap_info be. */
static int try_arena(struct walk *w, hw_addr heap, bool broken, struct budget *left,
                     struct hw_error *err)
{
    hw_addr own = heap + w->layout->struct_size[GLIBC_HEAP_INFO], of;
    hw_addr member = hw_field_addr(w->layout, GLIBC_F_HEAP_ARENA, heap, 0);
    struct hw_object state = {0};
    int rc = HW_OK;
    if (hw_read_word(w->target, member, &of, NULL) == HW_OK && (of == own || broken) &&
        w->arenas.count < MAX_ARENAS && leads_home(w, own, left) &&
        glibc_read_thread_arena(w, own, &state, NULL))
        rc = add_stray(w, &state, err);
    hw_object_deinit(&state);
    return rc;
}

/* A heap of a known arena, that none of the others leads to, may begin here. */
static int try_heap(struct walk *w, hw_addr heap, struct budget *left, struct hw_error *err)
{
    hw_addr own = heap + w->layout->struct_size[GLIBC_HEAP_INFO], of;
    hw_addr member = hw_field_addr(w->layout, GLIBC_F_HEAP_ARENA, heap, 0);
    struct hw_object info = {0};
    bool guessed = false;
    int rc = HW_OK;
    if (hw_read_word(w->target, member, &of, NULL) != HW_OK || of == own || !left->lookups ||
        of - hw_align_down(of, w->heap_max) != own - heap)
        return HW_OK;
    left->lookups--;
    int index = glibc_arena_index(w, of);
    if (index > 0 && (glibc_heap_is_sane(w, heap, of, &info) ||
                      (is_short(&w->arenas.data[index]) &&
                       glibc_mend_heap(w, (unsigned)index, heap, &info, &guessed))))
        rc = glibc_add_heap(w, (unsigned)index, heap, &info, guessed, err);
    hw_object_deinit(&info);
    return rc;
}

static int try_place(struct walk *w, hw_addr heap, enum search what, struct budget *left,
                     struct hw_error *err)
{
    uint64_t one = 1;
    if (hw_next_data(w->target, heap, heap + w->target->who.page_size, &one) != heap)
        return HW_OK; /* a page that nobody touched is not read */
    if (what == HEAPS)
        return try_heap(w, heap, left, err);
    return try_arena(w, heap, what == ARENAS_OF_BROKEN_RING, left, err);
}

/* Heaps begin where their size says that they may. */
static int look_for(struct walk *w, enum search what, struct hw_error *err)
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
                rc = try_place(w, heap, what, &left, err);
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
    if (glibc_excuse(w, NULL, 0) || w->report->check.missed[HW_INVARIANT_ARENA_RING])
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
        rc = look_for(w, why ? ARENAS_OF_BROKEN_RING : ARENAS, err);
    size_t found = w->arenas.count - count;
    if (why)
        report_ring(w, last, found, why);
    else if (found)
        report_ring(w, short_cut(w, count), found, "the ring of arenas leads past some");
    return rc == HW_OK && !glibc_moving(w) ? look_for(w, HEAPS, err) : rc;
}
