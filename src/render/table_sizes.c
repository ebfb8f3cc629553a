/*
 * Tables of sizes: histograms, the largest free runs, and chunks one by one.
 */
#include "render/table.h"

#define COLUMNS(list) list, sizeof(list) / sizeof *(list)

/* ---- histograms ------------------------------------------------------------------------------ */

/* Of all arenas, or of the one that is asked for. */
static const struct hw_histogram *histogram(const struct hw_rows *rows, bool in_use)
{
    const struct hw_report *r = rows->r;
    if (rows->opt->only_arena) {
        const struct hw_arena *a = &r->arenas.data[rows->opt->arena];
        return in_use ? &a->in_use_histogram : &a->histogram;
    }
    return in_use ? &r->in_use_histogram : &r->histogram;
}

static bool list_histogram(struct hw_rows *rows, bool in_use)
{
    const struct hw_histogram *h = histogram(rows, in_use);
    for (size_t i = 0; i < HW_BUCKETS; i++)
        if (h->chunks[i] && !hw_vec_push(&rows->keys, (struct hw_row_key){.i = i}))
            return false;
    return true;
}

static bool list_free(struct hw_rows *rows)
{
    return list_histogram(rows, false);
}

static bool list_in_use(struct hw_rows *rows)
{
    return list_histogram(rows, true);
}

enum { FROM, TO, CHUNKS, BYTES, HEADERS, ROUNDING, IN_USE = 16 };

static struct hw_cell of_bucket(const struct hw_rows *rows, struct hw_row_key key, unsigned what)
{
    const struct hw_histogram *h = histogram(rows, what & IN_USE);
    const struct hw_chunk_costs *costs = &rows->r->in_use_costs;
    uint64_t from = UINT64_C(1) << key.i;
    switch (what & ~(unsigned)IN_USE) {
    case FROM:
        return hw_cell_size(from);
    case TO:
        return hw_cell_size(from + (from - 1));
    case CHUNKS:
        return hw_cell_maybe(hw_known(h->chunks[key.i]), HW_CELL_COUNT);
    case BYTES:
        return hw_cell_size(h->bytes[key.i]);
    default:
        break;
    }
    if (rows->opt->only_arena) /* is summed up for all arenas only */
        return (struct hw_cell){0};
    return hw_cell_size((what & ~(unsigned)IN_USE) == HEADERS ? costs->header_bytes[key.i]
                                                              : costs->rounding_max_bytes[key.i]);
}

#define BUCKET_COLUMNS(which)                                                                      \
    {"from", "the smallest size of the row, a power of two", of_bucket, FROM | (which), false, 0}, \
        {"to", "its largest size", of_bucket, TO | (which), false, 0},                             \
        {"chunks", "number of chunks of these sizes", of_bucket, CHUNKS | (which), false, 0},      \
        {"bytes", "their bytes", of_bucket, BYTES | (which), false, 0},

static const struct hw_column free_columns[] = {BUCKET_COLUMNS(0)};
static const struct hw_column in_use_columns[] = {
    BUCKET_COLUMNS(IN_USE){"header_bytes", "what their headers take", of_bucket, HEADERS | IN_USE,
                           false, 0},
    {"rounding_max_bytes", "the most that rounding up can take", of_bucket, ROUNDING | IN_USE,
     false, 0},
};

/* ---- holes ----------------------------------------------------------------------------------- */

enum { HOLE_ARENA, HOLE_ADDRESS, HOLE_BYTES, HOLE_CHUNKS, HOLE_HAS_TOP, HOLE_RESIDENT, HOLE_TRIM };

static struct hw_cell of_hole(const struct hw_rows *rows, struct hw_row_key key, unsigned what)
{
    const struct hw_hole *h = &rows->r->holes.data[key.i];
    switch (what) {
    case HOLE_ARENA:
        return (struct hw_cell){.kind = HW_CELL_COUNT, .n = h->arena};
    case HOLE_ADDRESS:
        return hw_cell_address(h->address);
    case HOLE_BYTES:
        return hw_cell_size(h->bytes);
    case HOLE_CHUNKS:
        return hw_cell_maybe(hw_known(h->chunks), HW_CELL_COUNT);
    case HOLE_HAS_TOP:
        return hw_cell_yes(h->has_top);
    case HOLE_RESIDENT:
        return hw_cell_maybe(h->resident_bytes, HW_CELL_SIZE);
    default:
        return hw_cell_maybe(h->trim_bytes, HW_CELL_SIZE);
    }
}

enum { PIN_ADDRESS, PIN_BYTES, PIN_STATE, PIN_TID, PIN_SYMBOL, ABOVE = 16 };

static struct hw_cell of_pin(const struct hw_rows *rows, struct hw_row_key key, unsigned what)
{
    const struct hw_hole *h = &rows->r->holes.data[key.i];
    const struct hw_pin *p = what & ABOVE ? &h->above : &h->below;
    const struct hw_block *b = &p->block;
    if (b->state == HW_STATES_)
        return (struct hw_cell){0};
    switch (what & ~(unsigned)ABOVE) {
    case PIN_ADDRESS:
        return hw_cell_address(b->address);
    case PIN_BYTES:
        return hw_cell_size(b->bytes);
    case PIN_STATE:
        return hw_cell_words(hw_state_name((enum hw_state)b->state));
    case PIN_TID:
        return b->tid ? (struct hw_cell){.kind = HW_CELL_COUNT, .n = b->tid} : (struct hw_cell){0};
    default:
        return hw_cell_words(p->symbol);
    }
}

#define PIN_COLUMNS(name, which)                                                                   \
    {name ".address", "the chunk " name " it", of_pin, PIN_ADDRESS | (which), false, 0},           \
        {name ".bytes", "size of that chunk", of_pin, PIN_BYTES | (which), false, 0},              \
        {name ".state", "its state", of_pin, PIN_STATE | (which), true, 0},                        \
        {name ".tid", "the thread whose tcache holds it", of_pin, PIN_TID | (which), false, 0},    \
        {name ".symbol", "where its first word points to", of_pin, PIN_SYMBOL | (which), true, 0},

static const struct hw_column hole_columns[] = {
    {"arena", "index of the arena that it lies in", of_hole, HOLE_ARENA, false, 0},
    {"address", "where it begins", of_hole, HOLE_ADDRESS, false, 0},
    {"bytes", "its size", of_hole, HOLE_BYTES, false, 0},
    {"chunks", "number of free chunks in it", of_hole, HOLE_CHUNKS, false, 0},
    {"has_top", "it ends with the arena's top", of_hole, HOLE_HAS_TOP, true, 0},
    {"resident_bytes", "of it in RAM", of_hole, HOLE_RESIDENT, false, 0},
    {"trim_bytes", "what malloc_trim(0) would give back of it", of_hole, HOLE_TRIM, false, 0},
    PIN_COLUMNS("below", 0) PIN_COLUMNS("above", ABOVE)};

static bool list_holes(struct hw_rows *rows)
{
    return hw_rows_number(rows, rows->r->holes.count);
}

/* ---- chunks ---------------------------------------------------------------------------------- */

enum {
    CHUNK_ADDRESS,
    CHUNK_POINTER,
    CHUNK_BYTES,
    CHUNK_STATE,
    CHUNK_ARENA,
    CHUNK_BIN,
    CHUNK_TID,
    CHUNK_LEAD,
    CHUNK_TAIL
};

static struct hw_cell unless_negative(int n)
{
    return n >= 0 ? (struct hw_cell){.kind = HW_CELL_COUNT, .n = n} : (struct hw_cell){0};
}

/* A chunk's exact size is what one looks for in a list of them. */
static struct hw_cell exactly(uint64_t bytes)
{
    return hw_cell_maybe(hw_known(bytes), HW_CELL_COUNT);
}

static struct hw_cell of_chunk(const struct hw_rows *rows, struct hw_row_key key, unsigned what)
{
    const struct hw_block *b = rows->block;
    (void)key;
    switch (what) {
    case CHUNK_ADDRESS:
        return (struct hw_cell){.kind = HW_CELL_ADDRESS, .address = b->address};
    case CHUNK_POINTER:
        return hw_has_pointer(b)
                   ? (struct hw_cell){.kind = HW_CELL_ADDRESS,
                                      .address = b->address + hw_header_bytes(rows->r)}
                   : (struct hw_cell){0};
    case CHUNK_BYTES:
        return exactly(b->bytes);
    case CHUNK_STATE:
        return hw_cell_words(hw_state_name((enum hw_state)b->state));
    case CHUNK_ARENA:
        return unless_negative(b->arena);
    case CHUNK_BIN:
        return unless_negative(b->bin);
    case CHUNK_TID:
        return unless_negative(b->tid ? b->tid : -1);
    case CHUNK_LEAD:
        return b->state == HW_MMAPPED ? exactly(b->lead) : (struct hw_cell){0};
    default:
        return b->state == HW_MMAPPED ? exactly(b->tail) : (struct hw_cell){0};
    }
}

static const struct hw_column chunk_columns[] = {
    {"address", "where the chunk begins, with its header", of_chunk, CHUNK_ADDRESS, false, 18},
    {"pointer", "what malloc() returned", of_chunk, CHUNK_POINTER, false, 18},
    {"bytes", "its size, header included", of_chunk, CHUNK_BYTES, false, 12},
    {"state", "in use, mmapped, tcache, fastbin, bin, top, overhead", of_chunk, CHUNK_STATE, true,
     8},
    {"arena", "index of its arena", of_chunk, CHUNK_ARENA, false, 5},
    {"bin", "index of the free list that it is in", of_chunk, CHUNK_BIN, false, 4},
    {"tid", "the thread whose tcache holds it", of_chunk, CHUNK_TID, false, 7},
    {"lead_bytes", "of mmapped chunks: bytes of the mapping before it", of_chunk, CHUNK_LEAD, false,
     10},
    {"tail_bytes", "and behind it", of_chunk, CHUNK_TAIL, false, 10},
};

/* ---- tables ---------------------------------------------------------------------------------- */

const struct hw_table hw_table_histogram = {
    "histogram", "free chunks by size, all of them or those of --arena", "from,to,chunks,bytes",
    COLUMNS(free_columns), list_free};

const struct hw_table hw_table_in_use_histogram = {
    "in_use_histogram", "chunks in use by size, all of them or those of --arena",
    "from,to,chunks,bytes", COLUMNS(in_use_columns), list_in_use};

const struct hw_table hw_table_holes = {
    "holes", "the largest free runs (--holes N, 10 if it is not given)",
    "arena,address,bytes,chunks,resident_bytes,trim_bytes,below.state,above.state",
    COLUMNS(hole_columns), list_holes};

const struct hw_table hw_table_chunks = {"chunks", "every chunk, as it is met (--chunks)",
                                         "address,pointer,bytes,state,arena,bin,tid",
                                         COLUMNS(chunk_columns), NULL};
