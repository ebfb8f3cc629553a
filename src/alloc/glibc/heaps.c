/*
 * The heaps of a thread arena.
 *
 *     arena --top--> in the last heap --prev--> ... --prev--> first heap, which holds the arena
 */
#include "alloc/glibc/glibc.h"

#include <inttypes.h>

/* Of all arenas: 8 TiB of 64 MiB heaps. Those of a chain that somebody made for it are kept in
 * order at the price of all the others, each. */
#define MAX_HEAPS ((size_t)1 << 17)

/* The memory of thread-arena heaps comes from mappings aligned to HEAP_MAX_SIZE. */
static hw_addr heap_of(const struct walk *w, hw_addr address)
{
    return hw_align_down(address, w->heap_max);
}

/* Bytes of a heap: as many as it says, as far as there can be; 0 if it is another's. */
static uint64_t heap_bytes(const struct walk *w, hw_addr heap, const struct hw_object *info)
{
    uint64_t size = hw_fetch(info, GLIBC_F_HEAP_SIZE, 0), room = glibc_room_end(w, heap) - heap;
    return glibc_moving(w) || size <= room ? size : room;
}

int glibc_add_heap(struct walk *w, unsigned index, hw_addr heap, const struct hw_object *info,
                   bool guessed, struct hw_error *err)
{
    struct arena *a = &w->arenas.data[index];
    struct hw_arena *row = &w->report->arenas.data[index];
    uint64_t size = heap_bytes(w, heap, info), said = hw_fetch(info, GLIBC_F_HEAP_SIZE, 0);
    if (size < said)
        hw_report_break(w->report, HW_INVARIANT_THREAD_HEAPS, HW_FINDING_ARENA_HEAPS, (int)index,
                        hw_known(hw_field_addr(w->layout, GLIBC_F_HEAP_SIZE, heap, 0)),
                        hw_known(said - size),
                        "arena %u: its heap at %#" PRIx64 " says that it has %" PRIu64
                        " bytes, but there is room for %" PRIu64,
                        index, heap, said, size);
    hw_addr header_end = heap + w->layout->struct_size[GLIBC_HEAP_INFO];
    if (a->address == header_end) /* the first heap also holds the malloc_state */
        header_end += w->layout->struct_size[GLIBC_MALLOC_STATE];
    struct region region = {.start = heap,
                            .end = heap + size,
                            .first = chunk_first(&w->rules, header_end),
                            .last_heap = heap == heap_of(w, a->top),
                            .guessed = guessed};
    if (!region.last_heap)
        region.last_fence = chunk_last_fence(&w->rules, region.end);
    struct hw_heap heap_row = {.address = heap,
                               .bytes = size,
                               .mprotect_bytes =
                                   hw_known(hw_fetch(info, GLIBC_F_HEAP_MPROTECT_SIZE, 0))};
    if (region.last_heap && hw_has(w->layout, GLIBC_F_HEAP_PAGESIZE))
        row->granule = hw_fetch(info, GLIBC_F_HEAP_PAGESIZE, 0);
    if (region.first > region.end)
        region.first = region.end;
    if (!hw_vec_push(&a->regions, region) || !hw_vec_push(&row->heaps, heap_row))
        return hw_fail(err, HW_ERR_NOMEM, "no memory for heaps");
    return glibc_occupy(w, region.start, region.end, err);
}

/* The chain leads from the last heap to the first; everybody wants it the other way round. */
static void reverse_heaps(struct arena *a, struct hw_arena *row)
{
    for (size_t i = 0, j = a->regions.count; i + 1 < j; i++) {
        j--;
        struct region region = a->regions.data[i];
        a->regions.data[i] = a->regions.data[j];
        a->regions.data[j] = region;
        struct hw_heap heap = row->heaps.data[i];
        row->heaps.data[i] = row->heaps.data[j];
        row->heaps.data[j] = heap;
    }
}

/* More of them at once are not expected while an arena is walked; and an arena that grows faster
 * than it is walked has to be left at some time. */
#define NEW_HEAPS  16
#define MORE_HEAPS 1024

static bool is_known(const struct arena *a, hw_addr heap)
{
    for (size_t i = 0; i < a->regions.count; i++)
        if (a->regions.data[i].start == heap)
            return true;
    return false;
}

static void set_end(struct region *r, struct hw_heap *row, const struct hw_object *info)
{
    uint64_t size = hw_fetch(info, GLIBC_F_HEAP_SIZE, 0);
    r->end = r->start + size;
    if (r->end < r->first)
        r->end = r->first;
    row->bytes = r->end - r->start;
    row->mprotect_bytes = hw_known(hw_fetch(info, GLIBC_F_HEAP_MPROTECT_SIZE, 0));
}

/* Which heap is the last by now decides how each of them ends. */
static void mark_last(struct walk *w, struct arena *a)
{
    hw_addr last = heap_of(w, a->top);
    for (size_t i = 0; i < a->regions.count; i++) {
        struct region *r = &a->regions.data[i];
        r->last_heap = r->start == last;
        if (r->last_heap)
            a->last = i;
    }
}

/* There is no heap where `from`, a member of the arena or of one of its heaps, leads to. */
static void lost_heap(struct walk *w, struct arena *a, unsigned index, hw_addr from, hw_addr heap)
{
    if (glibc_is_absent_heap(w, heap))
        glibc_leave_out(w, HW_INVARIANT_THREAD_HEAPS, (int)index, heap);
    else if (a->regions.count == 0 && heap != heap_of(w, a->address))
        glibc_distrust_top(w, a, index, "in none of its heaps");
    else if (!glibc_excuse(w, a, 0))
        hw_report_break(w->report, HW_INVARIANT_THREAD_HEAPS, HW_FINDING_ARENA_HEAPS, (int)index,
                        hw_known(from), (struct hw_maybe){0},
                        "arena %u: no valid heap_info at %#" PRIx64
                        ", where the chain of its heaps leads to",
                        index, heap);
}

int glibc_read_heaps(struct walk *w, unsigned index, struct hw_error *err)
{
    struct arena *a = &w->arenas.data[index];
    struct hw_arena *row = &w->report->arenas.data[index];
    struct loop_guard guard = {0};
    /* If top is damaged, the heap that holds the arena itself is known anyhow. */
    hw_addr heap = heap_of(w, a->top_is_bad ? a->address : a->top), from = a->address;
    const hw_addr first = heap_of(w, a->address);
    bool tried = false;
    int rc = HW_OK;

    while (heap && rc == HW_OK) {
        struct hw_object info = {0};
        bool guessed = false;
        tried |= heap == first;
        bool fits = w->occupied.count < MAX_HEAPS && !loop_guard_repeats(&guard, heap) &&
                    (glibc_heap_is_sane(w, heap, a->address, &info) ||
                     glibc_mend_heap(w, index, heap, &info, &guessed)) &&
                    heap_bytes(w, heap, &info) > 0;
        if (fits) {
            rc = glibc_add_heap(w, index, heap, &info, guessed, err);
            from = hw_field_addr(w->layout, GLIBC_F_HEAP_PREV, heap, 0);
            heap = hw_fetch(&info, GLIBC_F_HEAP_PREV, 0);
        } else {
            lost_heap(w, a, index, from, heap);
            heap = 0;
        }
        hw_object_deinit(&info);
        if (!heap && !tried) /* it is known anyhow */
            heap = first;
    }
    reverse_heaps(a, row);
    mark_last(w, a);
    return rc;
}

uint64_t glibc_sum_of_heaps(const struct arena *a)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < a->regions.count; i++)
        sum += a->regions.data[i].end - a->regions.data[i].start;
    return sum;
}

void glibc_check_heaps(struct walk *w, unsigned index)
{
    struct arena *a = &w->arenas.data[index];
    glibc_settle_guess(w, index);
    uint64_t sum = glibc_sum_of_heaps(a);
    if (a->distrusted)
        a->system_bytes = sum;
    uint64_t off = a->system_bytes > sum ? a->system_bytes - sum : sum - a->system_bytes;
    if (off && !a->absent && !glibc_excuse(w, a, 0))
        hw_report_break(w->report, HW_INVARIANT_THREAD_HEAPS, HW_FINDING_ARENA_HEAPS, (int)index,
                        hw_known(a->address), hw_known(off),
                        "arena %u: its heaps have %" PRIu64 " bytes, its system_mem is %" PRIu64,
                        index, sum, a->system_bytes);
}

/* Add the heaps between the one that holds top and those that are known, the oldest first. */
static int add_new_heaps(struct walk *w, unsigned index, struct hw_error *err)
{
    struct arena *a = &w->arenas.data[index];
    struct hw_object info;
    hw_addr fresh[NEW_HEAPS], heap = heap_of(w, a->top);
    size_t count = 0;
    int rc = HW_OK;
    bool sane = true;
    while (sane && count < NEW_HEAPS && a->more + count < MORE_HEAPS && !is_known(a, heap)) {
        sane = glibc_heap_is_sane(w, heap, a->address, &info);
        if (sane) {
            fresh[count++] = heap;
            heap = hw_fetch(&info, GLIBC_F_HEAP_PREV, 0);
        }
        hw_object_deinit(&info);
    }
    if (!is_known(a, heap)) /* there are more of them, or what leads to them is torn */
        glibc_excuse(w, a, 0);
    a->more += count;
    while (count-- > 0 && rc == HW_OK) {
        if (glibc_heap_is_sane(w, fresh[count], a->address, &info) &&
            heap_bytes(w, fresh[count], &info) > 0)
            rc = glibc_add_heap(w, index, fresh[count], &info, false, err);
        hw_object_deinit(&info);
    }
    return rc;
}

int glibc_refresh_heaps(struct walk *w, unsigned index, size_t region, struct hw_error *err)
{
    struct arena *a = &w->arenas.data[index];
    struct hw_arena *row = &w->report->arenas.data[index];
    struct hw_object info;
    int rc = HW_OK;
    if (glibc_heap_is_sane(w, a->regions.data[region].start, a->address, &info))
        set_end(&a->regions.data[region], &row->heaps.data[region], &info);
    hw_object_deinit(&info);
    if (!a->regions.data[a->last].last_heap ||
        a->regions.data[a->last].start != heap_of(w, a->top)) {
        rc = add_new_heaps(w, index, err);
        mark_last(w, a);
    }
    struct region *r = &a->regions.data[region];
    r->last_fence = r->last_heap ? 0 : chunk_last_fence(&w->rules, r->end);
    return rc;
}
