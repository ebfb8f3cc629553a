/*
 * The ring of arenas, and the heaps of each thread arena.
 *
 *     main_arena --next--> newest --next--> ... --next--> oldest --next--> main_arena
 *
 * A thread arena lies at the start of its first heap. Its top chunk lies in its last heap; from
 * there heap_info.prev leads back to the first.
 */
#include "alloc/glibc/glibc.h"

#include <inttypes.h>

#define MAX_HEAPS ((size_t)1 << 20) /* of one arena: 64 TiB of 64 MiB heaps */

/* The memory of thread-arena heaps comes from mappings aligned to HEAP_MAX_SIZE. */
static hw_addr heap_of(const struct walk *w, hw_addr address)
{
    return hw_align_down(address, w->heap_max);
}

static void fill_row(struct walk *w, const struct arena *a, struct hw_arena *row)
{
    row->address = a->address;
    row->kind = a->main ? HW_ARENA_MAIN : HW_ARENA_THREAD;
    row->locked = hw_fetch(&a->state, GLIBC_F_MUTEX, 0) != 0;
    row->contiguous = a->contiguous;
    if (hw_has(w->layout, GLIBC_F_ATTACHED))
        row->attached_threads = hw_known(hw_fetch(&a->state, GLIBC_F_ATTACHED, 0));
    row->max_system_bytes = hw_fetch(&a->state, GLIBC_F_MAX_SYSTEM_MEM, 0);
    row->top.address = a->top;
    const uint8_t *top = a->top ? hw_seeker_at(&w->seeker, a->top, w->rules.header) : NULL;
    uint64_t size = top ? chunk_size(chunk_decode(&w->rules, top)) : 0;
    if (size <= w->private_bytes) /* the walk corrects it where it cannot be */
        row->top.bytes = size;

    row->granule = w->target->who.page_size;
    if (!a->main)
        return;
    uint64_t thp = hw_fetch(&w->mp, GLIBC_F_MP_THP_PAGESIZE, 0);
    if (thp)
        row->granule = thp;
    if (w->brk)
        row->brk = hw_known(w->brk);
}

/* Read one arena and append it to the walk and to the report. Takes over `state`. */
static int add_arena(struct walk *w, struct hw_object *state, bool main, struct hw_error *err)
{
    struct arena a = {.address = state->address, .main = main, .state = *state};
    *state = (struct hw_object){0};
    hw_addr top = hw_fetch(&a.state, GLIBC_F_TOP, 0);
    bool initial = top >= a.address && top - a.address < a.state.len; /* points to bin 1 */
    a.top = initial ? 0 : top;
    a.system_bytes = hw_fetch(&a.state, GLIBC_F_SYSTEM_MEM, 0);
    a.contiguous = main && !(hw_fetch(&a.state, GLIBC_F_FLAGS, 0) & 2); /* NONCONTIGUOUS_BIT */

    struct hw_arena row = {.index = (unsigned)w->report->arenas.count};
    glibc_check_arena(w, &a, row.index);
    fill_row(w, &a, &row);
    if (!hw_vec_push(&w->arenas, a)) {
        hw_object_deinit(&a.state);
        return hw_fail(err, HW_ERR_NOMEM, "no memory for arenas");
    }
    if (!hw_vec_push(&w->report->arenas, row))
        return hw_fail(err, HW_ERR_NOMEM, "no memory for arenas");
    return HW_OK;
}

int glibc_add_heap(struct walk *w, unsigned index, hw_addr heap, const struct hw_object *info,
                   struct hw_error *err)
{
    struct arena *a = &w->arenas.data[index];
    struct hw_arena *row = &w->report->arenas.data[index];
    uint64_t size = hw_fetch(info, GLIBC_F_HEAP_SIZE, 0);
    hw_addr header_end = heap + w->layout->struct_size[GLIBC_HEAP_INFO];
    if (a->address == header_end) /* the first heap also holds the malloc_state */
        header_end += w->layout->struct_size[GLIBC_MALLOC_STATE];
    struct region region = {.start = heap,
                            .end = heap + size,
                            .first = chunk_first(&w->rules, header_end),
                            .last_heap = heap == heap_of(w, a->top)};
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

/* More of them at once are not expected while an arena is walked; and an arena that grows faster than it is
 * walked has to be left at some time. */
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
    if (a->regions.count == 0 && heap != heap_of(w, a->address))
        glibc_distrust_top(w, a, index, "in none of its heaps");
    else if (!glibc_excuse(w, a, 0))
        hw_report_break(w->report, HW_INVARIANT_THREAD_HEAPS, HW_FINDING_ARENA_HEAPS, (int)index,
                        hw_known(from), (struct hw_maybe){0},
                        "arena %u: no valid heap_info at %#" PRIx64
                        ", where the chain of its heaps leads to",
                        index, heap);
}

/* From the last one to the first. */
static int read_heaps(struct walk *w, unsigned index, struct hw_error *err)
{
    struct arena *a = &w->arenas.data[index];
    struct hw_arena *row = &w->report->arenas.data[index];
    struct loop_guard guard = {0};
    /* If top is damaged, the heap that holds the arena itself is known anyhow. */
    hw_addr heap = heap_of(w, a->top_is_bad ? a->address : a->top), from = a->address;
    int rc = HW_OK;

    while (heap && rc == HW_OK) {
        struct hw_object info;
        bool sane = glibc_heap_is_sane(w, heap, a->address, &info);
        if (sane && a->regions.count < MAX_HEAPS && !loop_guard_repeats(&guard, heap)) {
            rc = glibc_add_heap(w, index, heap, &info, err);
            from = hw_field_addr(w->layout, GLIBC_F_HEAP_PREV, heap, 0);
            heap = hw_fetch(&info, GLIBC_F_HEAP_PREV, 0);
        } else {
            lost_heap(w, a, index, from, heap);
            bool lost = a->regions.count == 0 && heap != heap_of(w, a->address);
            heap = lost ? heap_of(w, a->address) : 0;
        }
        hw_object_deinit(&info);
    }
    reverse_heaps(a, row);
    mark_last(w, a);
    return rc;
}

/* When all heaps of a thread arena are known. */
static void check_heaps(struct walk *w, unsigned index)
{
    struct arena *a = &w->arenas.data[index];
    uint64_t sum = 0;
    for (size_t i = 0; i < a->regions.count; i++)
        sum += a->regions.data[i].end - a->regions.data[i].start;
    if (a->distrusted)
        a->system_bytes = sum;
    uint64_t off = a->system_bytes > sum ? a->system_bytes - sum : sum - a->system_bytes;
    if (off && !glibc_excuse(w, a, 0))
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
        if (glibc_heap_is_sane(w, fresh[count], a->address, &info))
            rc = glibc_add_heap(w, index, fresh[count], &info, err);
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

static int read_main_arena(struct walk *w, struct hw_error *err)
{
    struct hw_object state;
    int rc =
        hw_object_read(&state, w->layout, w->target, GLIBC_MALLOC_STATE, w->g->main_arena, err);
    if (rc != HW_OK)
        return rc;
    rc = glibc_verify_main_arena(w, &state, err);
    if (rc == HW_OK)
        rc = add_arena(w, &state, true, err);
    hw_object_deinit(&state);
    return rc;
}

/* A thread arena lies right behind the heap_info of its first heap. */
bool glibc_read_thread_arena(struct walk *w, hw_addr address, struct hw_object *state,
                             struct hw_error *err)
{
    struct hw_object info = {0};
    hw_addr heap = heap_of(w, address);
    bool sane = address == heap + w->layout->struct_size[GLIBC_HEAP_INFO] &&
                glibc_heap_is_sane(w, heap, address, &info);
    hw_object_deinit(&info);
    if (sane)
        return hw_object_read(state, w->layout, w->target, GLIBC_MALLOC_STATE, address, err) ==
               HW_OK;
    hw_fail(err, HW_ERR_CORRUPT, "%#" PRIx64 " is no arena: there is no heap_info before it",
            address);
    return false;
}

int glibc_add_thread_arena(struct walk *w, struct hw_object *state, struct hw_error *err)
{
    unsigned index = (unsigned)w->arenas.count;
    int rc = add_arena(w, state, false, err);
    return rc == HW_OK ? read_heaps(w, index, err) : rc;
}

/* Follow the ring. What is wrong with it goes into *why, and its last good arena into *last. */
static int read_ring(struct walk *w, unsigned *last, struct hw_error *why, struct hw_error *err)
{
    struct loop_guard guard = {0};
    hw_addr next = hw_fetch(&w->arenas.data[0].state, GLIBC_F_NEXT, 0);
    int rc = HW_OK;
    while (next != w->g->main_arena && rc == HW_OK) {
        struct hw_object state = {0};
        *last = (unsigned)w->arenas.count - 1;
        /* A ring that changes under us might be walked for ever without meeting the guard's mark. */
        bool again = glibc_moving(w) && glibc_arena_index(w, next) >= 0;
        if (*last + 1 >= MAX_ARENAS || again || loop_guard_repeats(&guard, next))
            hw_fail(why, HW_ERR_CORRUPT, "the ring of arenas does not return to main_arena");
        if (why->code || !glibc_read_thread_arena(w, next, &state, why)) {
            hw_object_deinit(&state);
            return HW_OK;
        }
        next = hw_fetch(&state, GLIBC_F_NEXT, 0);
        rc = glibc_add_thread_arena(w, &state, err);
    }
    return rc;
}

int glibc_read_arenas(struct walk *w, struct hw_error *err)
{
    struct hw_error why = {0};
    unsigned last = 0;
    int rc = read_main_arena(w, err);
    if (rc == HW_OK)
        rc = read_ring(w, &last, &why, err);
    if (rc == HW_OK)
        rc = glibc_find_strays(w, last, why.code ? why.text : NULL, err);
    for (unsigned i = 1; i < w->arenas.count && rc == HW_OK; i++)
        check_heaps(w, i);
    return rc;
}

int glibc_arena_index(const struct walk *w, hw_addr arena_address)
{
    for (size_t i = 0; i < w->arenas.count; i++)
        if (w->arenas.data[i].address == arena_address)
            return (int)i;
    return -1;
}
