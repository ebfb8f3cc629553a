/*
 * A heap_info that is damaged. It stands where its heap begins, so what runs over the end of the
 * mapping in front hits it first. What its members should say is known otherwise:
 *
 *     ar_ptr         the arena that led here: it is in this heap, its top is, or a heap behind this
 *                    one says so
 *     prev           0 in the heap that holds the arena; what another one led to is found by
 *                    strays.c
 *     size           up to the end of top, if that is here; else what system_mem has more than the
 *                    other heaps, once these are known (glibc_settle_guess())
 *     mprotect_size  not less than the size
 *     pagesize       that of the target
 *
 * So nothing is lost for it, and the member that was hit is named.
 */
#include "alloc/glibc/glibc.h"

#include <inttypes.h>

struct mend {
    struct walk *w;
    unsigned index; /* of the arena */
    hw_addr heap;
    struct hw_object *info; /* our copy */
};

/* Report a member that is not what it should be, and make it so in our copy. */
static void mend(const struct mend *m, unsigned field, const char *name, uint64_t value)
{
    const struct hw_field *f = &m->w->layout->field[field];
    uint64_t said = hw_fetch(m->info, field, 0);
    if (said == value)
        return;
    hw_report_break(m->w->report, HW_INVARIANT_THREAD_HEAPS, HW_FINDING_ARENA_HEAPS, (int)m->index,
                    hw_known(hw_field_addr(m->w->layout, field, m->heap, 0)), (struct hw_maybe){0},
                    "arena %u: in the heap_info at %#" PRIx64 " %s is %#" PRIx64
                    ", which cannot be",
                    m->index, m->heap, name, said);
    for (uint32_t i = 0; i < f->size && i < 8 && f->offset + i < m->info->len; i++)
        m->info->bytes[f->offset + i] = (uint8_t)(value >> 8 * i);
}

/* ---- size ----------------------------------------------------------------------------------- */

/* How far the heap can reach: what can be read there and nobody else has. */
static uint64_t extent(struct walk *w, hw_addr heap)
{
    const struct hw_target *t = w->target;
    hw_addr limit = glibc_room_end(w, heap), end = heap;
    const struct hw_map *map = hw_map_at(t, heap);
    if (limit - heap > w->heap_max)
        limit = heap + w->heap_max;
    for (; map && map < t->maps + t->map_count && map->start <= end && (map->flags & HW_MAP_READ);
         map++)
        end = map->end;
    return (end < limit ? end : limit) - heap;
}

/* The size of the heap if the arena's top is here, as both end in the same place; else 0. */
static uint64_t size_by_top(struct walk *w, const struct arena *a, hw_addr heap, uint64_t room)
{
    uint64_t page = w->target->who.page_size;
    if (a->top < heap || a->top - heap >= room)
        return 0;
    const uint8_t *bytes = hw_seeker_at(&w->seeker, a->top, w->rules.header);
    struct chunk_header h = {0};
    if (bytes)
        h = chunk_decode(&w->rules, bytes);
    uint64_t size = chunk_size(h), before = a->top - heap;
    bool fits = size >= w->rules.min_size && size <= room - before && (before + size) % page == 0;
    return fits && (h.raw & CHUNK_FLAGS) == CHUNK_P ? before + size : 0;
}

static bool size_is_sane(const struct walk *w, uint64_t size, uint64_t room)
{
    return size > w->layout->struct_size[GLIBC_HEAP_INFO] && size <= room &&
           size % w->target->who.page_size == 0;
}

void glibc_settle_guess(struct walk *w, unsigned index)
{
    struct arena *a = &w->arenas.data[index];
    uint64_t sum = glibc_sum_of_heaps(a);
    for (size_t i = 0; i < a->regions.count && !a->distrusted; i++) {
        struct region *r = &a->regions.data[i];
        uint64_t room = r->end - r->start, others = sum - room;
        uint64_t size = a->system_bytes > others ? a->system_bytes - others : 0;
        if (!r->guessed || !size_is_sane(w, size, room) || r->first - r->start > size)
            continue;
        sum = others + size;
        r->end = r->start + size;
        r->last_fence = r->last_heap ? 0 : chunk_last_fence(&w->rules, r->end);
        w->report->arenas.data[index].heaps.data[i].bytes = size;
    }
}

/* ---- all of it ------------------------------------------------------------------------------ */

/* What stands there is no damage, but the heap of another arena: whoever led here is wrong. */
static bool is_of_another(struct walk *w, hw_addr heap, hw_addr arena)
{
    hw_addr of, member = hw_field_addr(w->layout, GLIBC_F_HEAP_ARENA, heap, 0);
    struct hw_object info = {0}, state = {0};
    bool is = hw_read_word(w->target, member, &of, NULL) == HW_OK && of != arena &&
              glibc_heap_is_sane(w, heap, of, &info) &&
              glibc_read_thread_arena(w, of, &state, NULL);
    hw_object_deinit(&info);
    hw_object_deinit(&state);
    return is;
}

bool glibc_mend_heap(struct walk *w, unsigned index, hw_addr heap, struct hw_object *info,
                     bool *guessed)
{
    const struct arena *a = &w->arenas.data[index];
    const struct mend m = {w, index, heap, info};
    bool first = heap == hw_align_down(a->address, w->heap_max);
    if (glibc_moving(w) || !info->bytes || is_of_another(w, heap, a->address))
        return false;
    uint64_t room = extent(w, heap), by_top = size_by_top(w, a, heap, room);
    uint64_t size = hw_fetch(info, GLIBC_F_HEAP_SIZE, 0);
    uint64_t writable = hw_fetch(info, GLIBC_F_HEAP_MPROTECT_SIZE, 0);
    hw_addr prev = hw_fetch(info, GLIBC_F_HEAP_PREV, 0);
    bool sane = size_is_sane(w, size, room) && size <= writable && writable <= w->heap_max;
    bool own = hw_fetch(info, GLIBC_F_HEAP_ARENA, 0) == a->address;
    /* A link alone leads anywhere: then half of it must be right. */
    if (room == 0 || !(first || by_top || own || sane))
        return false;

    *guessed = !sane && !by_top;
    if (by_top)
        size = by_top;
    else if (!size_is_sane(w, size, room))
        size = size_is_sane(w, writable, room) ? writable : room;
    mend(&m, GLIBC_F_HEAP_ARENA, "ar_ptr", a->address);
    if (first || prev % w->heap_max != 0 || prev == heap)
        mend(&m, GLIBC_F_HEAP_PREV, "prev", 0);
    mend(&m, GLIBC_F_HEAP_SIZE, "size", size);
    if (writable < size || writable > w->heap_max)
        mend(&m, GLIBC_F_HEAP_MPROTECT_SIZE, "mprotect_size", size);
    if (!glibc_is_page_size(w, info))
        mend(&m, GLIBC_F_HEAP_PAGESIZE, "pagesize", w->target->who.page_size);
    return true;
}
