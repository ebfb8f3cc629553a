/*
 * The ring of arenas.
 *
 *     main_arena --next--> newest --next--> ... --next--> oldest --next--> main_arena
 */
#include "alloc/glibc/glibc.h"

#include <inttypes.h>

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

static int read_main_arena(struct walk *w, struct hw_error *err)
{
    struct hw_object state;
    int rc = glibc_read_root(w, GLIBC_MALLOC_STATE, w->g->main_arena, &state, err);
    if (rc != HW_OK)
        return rc;
    rc = glibc_verify_main_arena(w, &state, err);
    if (rc == HW_OK)
        rc = add_arena(w, &state, true, err);
    hw_object_deinit(&state);
    return rc;
}

/* A thread arena lies right behind the heap_info of its first heap. Where that is damaged, the
 * arena itself tells that it is one. */
bool glibc_read_thread_arena(struct walk *w, hw_addr address, struct hw_object *state,
                             struct hw_error *err)
{
    struct hw_object info = {0};
    hw_addr heap = hw_align_down(address, w->heap_max);
    bool placed = address == heap + w->layout->struct_size[GLIBC_HEAP_INFO];
    bool sane = placed && glibc_heap_is_sane(w, heap, address, &info);
    unsigned bins, all;
    hw_object_deinit(&info);
    if (placed &&
        hw_object_read(state, w->layout, w->target, GLIBC_MALLOC_STATE, address, err) != HW_OK)
        return false;
    if (sane || (placed && !glibc_moving(w) && glibc_has_bins(w, state, &bins, &all)))
        return true;
    hw_fail(err, HW_ERR_CORRUPT, "%#" PRIx64 " is no arena: there is no heap_info before it",
            address);
    return false;
}

int glibc_add_thread_arena(struct walk *w, struct hw_object *state, struct hw_error *err)
{
    unsigned index = (unsigned)w->arenas.count;
    int rc = add_arena(w, state, false, err);
    return rc == HW_OK ? glibc_read_heaps(w, index, err) : rc;
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
        /* A ring that changes under us might be walked for ever without meeting the guard's
         * mark. */
        bool again =
            glibc_room_end(w, next) == next || (glibc_moving(w) && glibc_arena_index(w, next) >= 0);
        if (*last + 1 >= MAX_ARENAS || again || loop_guard_repeats(&guard, next))
            hw_fail(why, HW_ERR_CORRUPT, "the ring of arenas does not return to main_arena");
        if (why->code || !glibc_read_thread_arena(w, next, &state, why)) {
            if (!again && glibc_is_absent_arena(w, next))
                glibc_leave_out(w, HW_INVARIANT_ARENA_RING, -1, next);
            hw_object_deinit(&state);
            return HW_OK;
        }
        next = hw_fetch(&state, GLIBC_F_NEXT, 0);
        rc = glibc_add_thread_arena(w, &state, err);
    }
    return rc;
}

uint64_t glibc_thread_bytes(const struct walk *w)
{
    uint64_t sum = 0;
    /* None of them has more than all memory: the sum cannot overflow. */
    for (size_t i = 1; i < w->arenas.count && sum <= w->private_bytes; i++)
        sum += w->arenas.data[i].system_bytes;
    return sum;
}

/* Each alone may have as much as it says, but not all of them: then what their heaps say counts. */
static void check_sum(struct walk *w)
{
    struct arena *main = &w->arenas.data[0];
    if (glibc_moving(w) || glibc_thread_bytes(w) + main->system_bytes <= w->private_bytes)
        return;
    hw_report_break(w->report, HW_INVARIANT_ARENAS, HW_FINDING_BAD_ARENA, -1, (struct hw_maybe){0},
                    hw_known(glibc_thread_bytes(w) + main->system_bytes),
                    "all arenas together have more system_mem than the target has memory");
    for (size_t i = 1; i < w->arenas.count; i++)
        w->arenas.data[i].system_bytes = glibc_sum_of_heaps(&w->arenas.data[i]);
    main->distrusted |= main->system_bytes > w->private_bytes - glibc_thread_bytes(w);
    if (main->distrusted)
        main->system_bytes = 0;
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
        glibc_check_heaps(w, i);
    if (rc == HW_OK)
        check_sum(w);
    return rc;
}

int glibc_arena_index(const struct walk *w, hw_addr arena_address)
{
    for (size_t i = 0; i < w->arenas.count; i++)
        if (w->arenas.data[i].address == arena_address)
            return (int)i;
    return -1;
}
