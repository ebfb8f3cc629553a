/*
 * Tables of arenas, their heaps, and the totals.
 */
#include "render/table.h"

static const struct hw_arena *arena(const struct hw_rows *rows, struct hw_row_key key)
{
    return &rows->r->arenas.data[key.i];
}

/* ---- arenas ---------------------------------------------------------------------------------- */

enum {
    INDEX,
    ADDRESS,
    KIND,
    LOCKED,
    MOVED,
    ATTACHED,
    HEAPS,
    TOP_ADDRESS,
    TOP_BYTES,
    TOP_RESIDENT,
    TOP_TRIMMABLE,
    TOP_TRIM,
    TOP_REASON,
    MAX_SYSTEM,
    CONTIGUOUS,
    BRK,
};

static struct hw_cell count(uint64_t n)
{
    return hw_cell_maybe(hw_known(n), HW_CELL_COUNT);
}

static struct hw_cell of_top(const struct hw_top *t, unsigned what)
{
    switch (what) {
    case TOP_ADDRESS:
        return hw_cell_address(t->address);
    case TOP_BYTES:
        return hw_cell_size(t->bytes);
    case TOP_RESIDENT:
        return hw_cell_maybe(t->resident_bytes, HW_CELL_SIZE);
    case TOP_TRIMMABLE:
        return hw_cell_maybe(t->trimmable_bytes, HW_CELL_SIZE);
    case TOP_TRIM:
        return hw_cell_maybe(t->malloc_trim_bytes, HW_CELL_SIZE);
    default:
        return hw_cell_words(hw_trim_reason_name(t->reason));
    }
}

static struct hw_cell of_arena(const struct hw_rows *rows, struct hw_row_key key, unsigned what)
{
    const struct hw_arena *a = arena(rows, key);
    bool main = a->kind == HW_ARENA_MAIN;
    switch (what) {
    case INDEX:
        return count(a->index);
    case ADDRESS:
        return hw_cell_address(a->address);
    case KIND:
        return hw_cell_words(main ? "main" : "thread");
    case LOCKED:
        return hw_cell_yes(a->locked);
    case MOVED:
        return hw_cell_yes(a->moved);
    case ATTACHED:
        return hw_cell_maybe(a->attached_threads, HW_CELL_COUNT);
    case HEAPS:
        return count(a->heaps.count);
    case MAX_SYSTEM:
        return hw_cell_size(a->max_system_bytes);
    case CONTIGUOUS:
        return main ? hw_cell_yes(a->contiguous) : (struct hw_cell){0};
    case BRK:
        return hw_cell_address(a->brk.known ? a->brk.n : 0);
    default:
        return of_top(&a->top, what);
    }
}

/* "4711 4712": a list has no comma in it, so that CSV needs no quotes. */
static struct hw_cell tids(const struct hw_rows *rows, struct hw_row_key key, unsigned arg)
{
    const struct hw_arena *a = arena(rows, key);
    struct hw_cell c = {0};
    size_t length = 0;
    (void)arg;
    FILE *out = a->tids.count ? open_memstream(&c.own, &length) : NULL;
    for (size_t i = 0; out && i < a->tids.count; i++)
        fprintf(out, "%s%d", i ? " " : "", a->tids.data[i]);
    if (out && fclose(out) == 0) {
        c.kind = HW_CELL_TEXT;
        c.text = c.own;
    }
    return c;
}

static struct hw_cell figure(const struct hw_rows *rows, struct hw_row_key key, unsigned metric)
{
    return hw_cell_figure(&arena(rows, key)->figures[metric],
                          hw_metric_info((enum hw_metric)metric)->unit);
}

static struct hw_cell stays(const struct hw_rows *rows, struct hw_row_key key, unsigned which)
{
    return hw_cell_figure(&arena(rows, key)->residency.stays[which], HW_UNIT_BYTES);
}

/* Those of arenas, and those of the totals. */
#define OF_EVERY(id, name, help) {name, help, figure, HW_M_##id, false, 0},
#define OF_TOTAL(id, name, help)
#define HW_METRIC(id, name, unit, scope, help) OF_##scope(id, name, help)
#define STAY(id, name)                                                                             \
    {"stays." name, "free bytes in RAM that would stay", stays, HW_STAY_##id, false, 0},

static const struct hw_column arena_columns[] = {
    {"index", "number of the arena, 0 for the main arena", of_arena, INDEX, false, 0},
    {"address", "of its malloc_state", of_arena, ADDRESS, false, 0},
    {"kind", "main or thread", of_arena, KIND, true, 0},
    {"locked", "a thread was inside malloc or free there", of_arena, LOCKED, true, 0},
    {"moved", "it changed while it was read", of_arena, MOVED, true, 0},
    {"attached_threads", "threads that use it", of_arena, ATTACHED, false, 0},
    {"tids", "these threads, with blanks between them", tids, 0, true, 0},
    {"heaps", "number of its heaps", of_arena, HEAPS, false, 0},
    {"top.address", "its free end", of_arena, TOP_ADDRESS, false, 0},
    {"top.bytes", "size of its free end", of_arena, TOP_BYTES, false, 0},
    {"top.resident_bytes", "of that in RAM", of_arena, TOP_RESIDENT, false, 0},
    {"top.trimmable_bytes", "what malloc itself would give back of it at the next large free()",
     of_arena, TOP_TRIMMABLE, false, 0},
    {"top.malloc_trim_bytes", "what malloc_trim(0) would give back of it", of_arena, TOP_TRIM,
     false, 0},
    {"top.reason", "why one of these is 0", of_arena, TOP_REASON, true, 0},
    {"max_system_bytes", "the most that it ever held", of_arena, MAX_SYSTEM, false, 0},
#include <heapwalk/metrics.def>
    HW_STAYS(STAY){"contiguous", "main arena: its top may grow by brk", of_arena, CONTIGUOUS, true,
                   0},
    {"brk", "main arena: the program break", of_arena, BRK, false, 0},
};
#undef HW_METRIC

static bool list_arenas(struct hw_rows *rows)
{
    for (size_t i = 0; i < rows->r->arenas.count; i++)
        if (hw_shows_arena(rows->opt, (int)i) &&
            !hw_vec_push(&rows->keys, (struct hw_row_key){.i = i}))
            return false;
    return true;
}

/* ---- heaps ----------------------------------------------------------------------------------- */

enum { HEAP_ARENA, HEAP_ADDRESS, HEAP_BYTES, HEAP_MPROTECT, HEAP_RESIDENT, HEAP_FREE };

static struct hw_cell of_heap(const struct hw_rows *rows, struct hw_row_key key, unsigned what)
{
    const struct hw_heap *heap = &arena(rows, key)->heaps.data[key.k];
    switch (what) {
    case HEAP_ARENA:
        return count(arena(rows, key)->index);
    case HEAP_ADDRESS:
        return hw_cell_address(heap->address);
    case HEAP_BYTES:
        return hw_cell_size(heap->bytes);
    case HEAP_MPROTECT:
        return hw_cell_maybe(heap->mprotect_bytes, HW_CELL_SIZE);
    case HEAP_RESIDENT:
        return hw_cell_maybe(heap->resident_bytes, HW_CELL_SIZE);
    default:
        break;
    }
    uint64_t parts[] = {heap->free.resident, heap->free.swapped, heap->free.returned};
    return heap->free.known ? hw_cell_size(parts[what - HEAP_FREE]) : (struct hw_cell){0};
}

static const struct hw_column heap_columns[] = {
    {"arena", "index of the arena that it is part of", of_heap, HEAP_ARENA, false, 0},
    {"address", "where it begins", of_heap, HEAP_ADDRESS, false, 0},
    {"bytes", "its size", of_heap, HEAP_BYTES, false, 0},
    {"mprotect_bytes", "of thread arenas: what of it was ever used", of_heap, HEAP_MPROTECT, false,
     0},
    {"resident_bytes", "of it in RAM", of_heap, HEAP_RESIDENT, false, 0},
    {"free.resident_bytes", "free bytes in RAM", of_heap, HEAP_FREE, false, 0},
    {"free.swapped_bytes", "free bytes that are swapped out", of_heap, HEAP_FREE + 1, false, 0},
    {"free.returned_bytes", "free bytes given back or never touched", of_heap, HEAP_FREE + 2, false,
     0},
};

static bool list_heaps(struct hw_rows *rows)
{
    for (size_t i = 0; i < rows->r->arenas.count; i++)
        for (size_t k = 0;
             hw_shows_arena(rows->opt, (int)i) && k < rows->r->arenas.data[i].heaps.count; k++)
            if (!hw_vec_push(&rows->keys, (struct hw_row_key){.i = i, .k = k}))
                return false;
    return true;
}

/* ---- totals ---------------------------------------------------------------------------------- */

static struct hw_cell total(const struct hw_rows *rows, struct hw_row_key key, unsigned metric)
{
    (void)key;
    return hw_cell_figure(&rows->r->totals[metric], hw_metric_info((enum hw_metric)metric)->unit);
}

static struct hw_cell total_stays(const struct hw_rows *rows, struct hw_row_key key, unsigned which)
{
    (void)key;
    return hw_cell_figure(&rows->r->residency.stays[which], HW_UNIT_BYTES);
}

static const struct hw_column total_columns[] = {
#define HW_METRIC(id, name, unit, scope, help) {name, help, total, HW_M_##id, false, 0},
#include <heapwalk/metrics.def>
#undef HW_METRIC
#define TOTAL_STAY(id, name)                                                                       \
    {"stays." name, "free bytes in RAM that would stay", total_stays, HW_STAY_##id, false, 0},
    HW_STAYS(TOTAL_STAY)};

static bool list_total(struct hw_rows *rows)
{
    return hw_rows_number(rows, 1);
}

#define COLUMNS(list) list, sizeof(list) / sizeof *(list)

const struct hw_table hw_table_arenas = {
    "arenas", "a row for each arena",
    "index,kind,attached_threads,system_bytes,in_use_bytes,free_bytes,free_resident_bytes,"
    "trim_bytes",
    COLUMNS(arena_columns), list_arenas};

const struct hw_table hw_table_heaps = {"heaps", "a row for each heap of each arena",
                                        "arena,address,bytes,resident_bytes,free.resident_bytes",
                                        COLUMNS(heap_columns), list_heaps};

const struct hw_table hw_table_totals = {
    "totals", "one row, the sums over all arenas",
    "system_bytes,in_use_bytes,free_bytes,free_resident_bytes,trim_bytes,mmapped_bytes",
    COLUMNS(total_columns), list_total};
