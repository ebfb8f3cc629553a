#include "alloc/builder.h"

#include "analysis/analysis.h"

#include <stdlib.h>
#include <string.h>

/* The builder is used right or not at all. */
static void must(bool ok)
{
    if (!ok)
        abort();
}

/* glibc 2.36, x86-64: offsets as compiled; see malloc/malloc.c of that version. */
enum {
    STATE_SIZE = 2200,
    STATE_FASTBINS = 16,
    STATE_TOP = 96,
    STATE_BINS = 112,
    STATE_NEXT = 2160,
    STATE_ATTACHED = 2176,
    STATE_SYSTEM = 2184,
    STATE_MAX_SYSTEM = 2192,
    PAR_SIZE = 136,
    PAR_TRIM_THRESHOLD = 0,
    PAR_N_MMAPS = 60,
    PAR_MMAPPED = 80,
    PAR_MAX_MMAPPED = 88,
    PAR_SBRK_BASE = 96,
    INFO_SIZE = 48,
    TCACHE_SIZE = 640,
    TCACHE_ENTRIES = 128,
};

#define FOREIGN_BASE ((hw_addr)0x7d0000000000)
#define DATA_BASE    ((hw_addr)0x7f8000000000)
#define DATA_SIZE    ((size_t)0x4000)
#define ARENA        (DATA_BASE + 0x100)
#define PAR          (DATA_BASE + 0x1000)
#define CURBRK       (DATA_BASE + 0x1800)
#define TLS          (DATA_BASE + 0x2000) /* thread pointer */
#define TCACHE       (DATA_BASE + 0x3000)
#define P            ((uint64_t)CHUNK_P)

enum { TLS_TCACHE = 0x40, TLS_ARENA = 0x48 };

/* A piece of memory of the image. */
struct piece {
    hw_addr start;
    uint8_t *bytes;
    size_t size, used; /* `used`: up to here chunks were built */
    hw_addr arena;     /* 0: a mapping for main-arena regions */
    bool is_heap;
};

enum list_kind { LIST_TCACHE, LIST_FAST, LIST_BIN };
struct entry {
    hw_addr arena, chunk;
    enum list_kind kind;
    unsigned index;
};

struct builder {
    HW_VEC(struct piece *) pieces;
    HW_VEC(struct entry) entries;
    struct piece *data, *sbrk, *current;
    hw_addr last_arena; /* the newest thread arena; the ring is main -> it -> ... */
    bool prev_used, linked, noncontiguous, plain, want_bins;
    unsigned mappings;
    size_t foreign;
    int64_t extra;
    uint64_t main_system;
};

static struct piece *new_piece(struct builder *b, hw_addr start, size_t size)
{
    struct piece *p = calloc(1, sizeof *p);
    must(p);
    *p = (struct piece){.start = start, .bytes = calloc(1, size), .size = size};
    must(p->bytes && hw_vec_push(&b->pieces, p));
    return p;
}

static uint8_t *at(struct builder *b, hw_addr address)
{
    for (size_t i = 0; i < b->pieces.count; i++) {
        struct piece *p = b->pieces.data[i];
        if (address >= p->start && address + 8 <= p->start + p->size)
            return p->bytes + (address - p->start);
    }
    must(false); /* an address outside the image */
    return NULL;
}

void builder_poke(struct builder *b, hw_addr address, uint64_t word)
{
    memcpy(at(b, address), &word, sizeof word);
}

uint64_t builder_peek(struct builder *b, hw_addr address)
{
    uint64_t word;
    memcpy(&word, at(b, address), sizeof word);
    return word;
}

static void poke32(struct builder *b, hw_addr address, uint32_t word)
{
    memcpy(at(b, address), &word, sizeof word);
}

hw_addr builder_here(struct builder *b)
{
    return b->current->start + b->current->used;
}

hw_addr builder_main_arena(struct builder *b)
{
    (void)b;
    return ARENA;
}

hw_addr builder_thread_pointer(struct builder *b)
{
    (void)b;
    return TLS;
}

static hw_addr arena_of(const struct builder *b)
{
    return b->current->is_heap ? b->current->arena : ARENA;
}

static void init_arena(struct builder *b, hw_addr arena)
{
    for (unsigned i = 0; i < 127; i++) {
        hw_addr head = arena + STATE_BINS + 16 * i - 16;
        builder_poke(b, arena + STATE_BINS + 16 * i, head);
        builder_poke(b, arena + STATE_BINS + 16 * i + 8, head);
    }
    builder_poke(b, arena + STATE_TOP, arena + STATE_BINS - 16);
    builder_poke(b, arena + STATE_NEXT, ARENA);
    builder_poke(b, arena + STATE_ATTACHED, 1);
}

struct builder *builder_create(void)
{
    struct builder *b = calloc(1, sizeof *b);
    must(b);
    b->data = new_piece(b, DATA_BASE, DATA_SIZE);
    b->sbrk = b->current = new_piece(b, SBRK_BASE, PIECE_SIZE);
    b->prev_used = true;
    init_arena(b, ARENA);
    builder_poke(b, PAR + PAR_TRIM_THRESHOLD, 128 << 10);
    builder_poke(b, PAR + PAR_SBRK_BASE, SBRK_BASE);
    builder_poke(b, TLS, TLS); /* as the ABI wants it */
    builder_poke(b, TLS + TLS_TCACHE, TCACHE);
    builder_poke(b, TLS + TLS_ARENA, ARENA);
    return b;
}

void builder_destroy(struct builder *b)
{
    if (!b)
        return;
    for (size_t i = 0; i < b->pieces.count; i++) {
        free(b->pieces.data[i]->bytes);
        free(b->pieces.data[i]);
    }
    hw_vec_free(&b->pieces);
    hw_vec_free(&b->entries);
    free(b);
}

void builder_plain_links(struct builder *b)
{
    b->plain = true;
}

void builder_sbrk_base(struct builder *b, hw_addr base)
{
    struct chunk_rules rules = chunk_rules(8, 16);
    builder_poke(b, PAR + PAR_SBRK_BASE, base);
    b->sbrk->used = (size_t)(chunk_first(&rules, base) - SBRK_BASE);
}

void builder_noncontiguous(struct builder *b)
{
    b->noncontiguous = true;
}

void builder_system_extra(struct builder *b, int64_t bytes)
{
    b->extra = bytes;
}

void builder_mmaps(struct builder *b, unsigned count, uint64_t bytes)
{
    poke32(b, PAR + PAR_N_MMAPS, count);
    builder_poke(b, PAR + PAR_MMAPPED, bytes);
    builder_poke(b, PAR + PAR_MAX_MMAPPED, bytes);
}

void builder_want_bins(struct builder *b)
{
    b->want_bins = true;
}

/* ---- chunks ---------------------------------------------------------------------------------- */

static hw_addr append(struct builder *b, uint64_t size, bool handed_out)
{
    hw_addr p = builder_here(b);
    uint64_t flags = (b->prev_used ? P : 0) | (handed_out && b->current->is_heap ? CHUNK_A : 0);
    builder_poke(b, p + 8, size | flags);
    b->current->used += size;
    b->prev_used = true;
    return p;
}

static void remember(struct builder *b, hw_addr chunk, enum list_kind kind, unsigned index)
{
    must(hw_vec_push(&b->entries, (struct entry){arena_of(b), chunk, kind, index}));
}

hw_addr build_used(struct builder *b, uint64_t size)
{
    return append(b, size, true);
}

hw_addr build_tcache(struct builder *b, uint64_t size)
{
    hw_addr p = append(b, size, true);
    remember(b, p, LIST_TCACHE, (unsigned)(size - 32) / 16);
    return p;
}

hw_addr build_fast(struct builder *b, uint64_t size)
{
    hw_addr p = append(b, size, true);
    remember(b, p, LIST_FAST, (unsigned)(size >> 4) - 2);
    return p;
}

static hw_addr append_free(struct builder *b, uint64_t size, unsigned bin)
{
    hw_addr p = append(b, size, false);
    builder_poke(b, p + size, size); /* foot */
    b->prev_used = false;
    remember(b, p, LIST_BIN, bin);
    return p;
}

hw_addr build_free(struct builder *b, uint64_t size)
{
    struct chunk_rules rules = chunk_rules(8, 16);
    return append_free(b, size, chunk_bin_index(&rules, size));
}

hw_addr build_unsorted(struct builder *b, uint64_t size)
{
    return append_free(b, size, 1);
}

/* The piece ends here: what it holds counts in its arena's system_mem. */
static void end_piece(struct builder *b)
{
    struct piece *p = b->current;
    if (p->is_heap) {
        size_t size = (p->used + 4095) / 4096 * 4096;
        must(size == p->used);
        builder_poke(b, p->start + 16, size);
        builder_poke(b, p->start + 24, size);
        uint64_t system = builder_peek(b, p->arena + STATE_SYSTEM) + size;
        builder_poke(b, p->arena + STATE_SYSTEM, system);
        builder_poke(b, p->arena + STATE_MAX_SYSTEM, system);
    }
}

hw_addr build_top(struct builder *b, uint64_t size)
{
    struct piece *piece = b->current;
    if (piece->is_heap && size == 0) { /* fill up to a page */
        size = 4096 - piece->used % 4096;
        size += size < 32 ? 4096 : 0;
    }
    hw_addr p = append(b, size, false);
    builder_poke(b, arena_of(b) + STATE_TOP, p);
    end_piece(b);
    if (!piece->is_heap && !b->noncontiguous)
        b->main_system = builder_here(b) - builder_peek(b, PAR + PAR_SBRK_BASE);
    return p;
}

void build_heap_fence(struct builder *b, unsigned first)
{
    append(b, first, false);
    append(b, 0, false); /* the header of size 0|P */
    b->current->used += 16;
    end_piece(b);
}

void build_main_fence(struct builder *b, unsigned headers)
{
    while (headers--)
        append(b, 16, false);
    b->prev_used = true;
}

void build_gap(struct builder *b, uint64_t bytes, uint8_t fill)
{
    memset(b->current->bytes + b->current->used, fill, bytes);
    b->current->used = (b->current->used + bytes + 15) / 16 * 16;
    b->prev_used = true;
}

/* ---- pieces ---------------------------------------------------------------------------------- */

static void start_heap(struct builder *b, hw_addr arena, hw_addr prev)
{
    hw_addr start = HEAP_BASE + (b->pieces.count - 2) * HEAP_MAX;
    struct piece *p = new_piece(b, start, PIECE_SIZE);
    p->is_heap = true;
    p->arena = arena ? arena : start + INFO_SIZE;
    p->used = arena ? INFO_SIZE : 0x8d0;
    builder_poke(b, start, p->arena);
    builder_poke(b, start + 8, prev);
    b->current = p;
    b->prev_used = true;
}

void build_arena(struct builder *b)
{
    start_heap(b, 0, 0);
    hw_addr arena = b->current->arena;
    init_arena(b, arena);
    poke32(b, arena + 4, 2); /* NONCONTIGUOUS_BIT */
    builder_poke(b, arena + STATE_NEXT, b->last_arena ? b->last_arena : ARENA);
    b->last_arena = arena;
    builder_poke(b, ARENA + STATE_NEXT, arena);
}

void build_heap(struct builder *b)
{
    must(b->current->is_heap);
    start_heap(b, b->current->arena, b->current->start);
}

hw_addr build_mapping(struct builder *b)
{
    struct piece *p = new_piece(b, MMAP_BASE + b->mappings++ * PIECE_SIZE * 2, PIECE_SIZE);
    b->current = p;
    b->prev_used = true;
    return p->start;
}

hw_addr build_foreign(struct builder *b, size_t bytes)
{
    hw_addr start = FOREIGN_BASE + b->foreign;
    b->foreign += bytes + 4096;
    return new_piece(b, start, bytes)->start;
}

void build_next_page(struct builder *b)
{
    b->current->used = (b->current->used + 4095) / 4096 * 4096;
    b->prev_used = true;
}

/* ---- lists ----------------------------------------------------------------------------------- */

static uint64_t link_word(const struct builder *b, hw_addr place, hw_addr target)
{
    return b->plain ? target : (place >> 12) ^ target;
}

static void link_tcache(struct builder *b, const struct entry *e)
{
    hw_addr head = TCACHE + TCACHE_ENTRIES + 8 * e->index, user = e->chunk + 16;
    uint16_t count;
    uint8_t *counter = b->data->bytes + (TCACHE - DATA_BASE) + 2 * e->index;
    memcpy(&count, counter, sizeof count);
    count++;
    memcpy(counter, &count, sizeof count);
    builder_poke(b, user, link_word(b, user, builder_peek(b, head)));
    builder_poke(b, head, user);
}

static void link_fast(struct builder *b, const struct entry *e)
{
    hw_addr head = e->arena + STATE_FASTBINS + 8 * e->index;
    builder_poke(b, e->chunk + 16, link_word(b, e->chunk + 16, builder_peek(b, head)));
    builder_poke(b, head, e->chunk);
}

static void link_bin(struct builder *b, const struct entry *e)
{
    hw_addr head = e->arena + STATE_BINS + 16 * (e->index - 1) - 16;
    hw_addr first = builder_peek(b, head + 16);
    builder_poke(b, e->chunk + 16, first);
    builder_poke(b, e->chunk + 24, head);
    builder_poke(b, head + 16, e->chunk);
    builder_poke(b, first + 24, e->chunk);
}

void builder_link(struct builder *b)
{
    if (b->linked)
        return;
    b->linked = true;
    for (size_t i = 0; i < b->entries.count; i++) {
        const struct entry *e = &b->entries.data[i];
        if (e->kind == LIST_TCACHE)
            link_tcache(b, e);
        else if (e->kind == LIST_FAST)
            link_fast(b, e);
        else
            link_bin(b, e);
    }
    uint64_t system = b->main_system;
    if (b->noncontiguous) {
        poke32(b, ARENA + 4, 2);
        for (size_t i = 0; i < b->pieces.count; i++)
            if (b->pieces.data[i] != b->data && !b->pieces.data[i]->is_heap)
                system += b->pieces.data[i]->used;
    }
    system += (uint64_t)b->extra;
    builder_poke(b, ARENA + STATE_SYSTEM, system);
    builder_poke(b, ARENA + STATE_MAX_SYSTEM, system);
    builder_poke(b, CURBRK, b->sbrk->start + b->sbrk->used);
}

/* ---- walking --------------------------------------------------------------------------------- */

static void set_layout(struct hw_layout *l)
{
    static const struct {
        unsigned field, offset, size, count;
    } fields[] = {
        {GLIBC_F_MUTEX, 0, 4, 1},
        {GLIBC_F_FLAGS, 4, 4, 1},
        {GLIBC_F_FASTBINS, STATE_FASTBINS, 8, 10},
        {GLIBC_F_TOP, STATE_TOP, 8, 1},
        {GLIBC_F_BINS, STATE_BINS, 8, 254},
        {GLIBC_F_NEXT, STATE_NEXT, 8, 1},
        {GLIBC_F_ATTACHED, STATE_ATTACHED, 8, 1},
        {GLIBC_F_SYSTEM_MEM, STATE_SYSTEM, 8, 1},
        {GLIBC_F_MAX_SYSTEM_MEM, STATE_MAX_SYSTEM, 8, 1},
        {GLIBC_F_MP_TRIM_THRESHOLD, PAR_TRIM_THRESHOLD, 8, 1},
        {GLIBC_F_MP_TOP_PAD, 8, 8, 1},
        {GLIBC_F_MP_MMAP_THRESHOLD, 16, 8, 1},
        {GLIBC_F_MP_ARENA_TEST, 24, 8, 1},
        {GLIBC_F_MP_ARENA_MAX, 32, 8, 1},
        {GLIBC_F_MP_THP_PAGESIZE, 40, 8, 1},
        {GLIBC_F_MP_HP_PAGESIZE, 48, 8, 1},
        {GLIBC_F_MP_N_MMAPS, PAR_N_MMAPS, 4, 1},
        {GLIBC_F_MP_N_MMAPS_MAX, 64, 4, 1},
        {GLIBC_F_MP_MAX_N_MMAPS, 68, 4, 1},
        {GLIBC_F_MP_NO_DYN_THRESHOLD, 72, 4, 1},
        {GLIBC_F_MP_MMAPPED_MEM, PAR_MMAPPED, 8, 1},
        {GLIBC_F_MP_MAX_MMAPPED_MEM, PAR_MAX_MMAPPED, 8, 1},
        {GLIBC_F_MP_SBRK_BASE, PAR_SBRK_BASE, 8, 1},
        {GLIBC_F_MP_TCACHE_COUNT, 120, 8, 1},
        {GLIBC_F_MP_TCACHE_MAX_BYTES, 112, 8, 1},
        {GLIBC_F_HEAP_ARENA, 0, 8, 1},
        {GLIBC_F_HEAP_PREV, 8, 8, 1},
        {GLIBC_F_HEAP_SIZE, 16, 8, 1},
        {GLIBC_F_HEAP_MPROTECT_SIZE, 24, 8, 1},
        {GLIBC_F_TCACHE_COUNTS, 0, 2, 64},
        {GLIBC_F_TCACHE_ENTRIES, TCACHE_ENTRIES, 8, 64},
    };
    l->struct_size[GLIBC_MALLOC_STATE] = STATE_SIZE;
    l->struct_size[GLIBC_MALLOC_PAR] = PAR_SIZE;
    l->struct_size[GLIBC_HEAP_INFO] = INFO_SIZE;
    l->struct_size[GLIBC_TCACHE] = TCACHE_SIZE;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        hw_layout_set(l, fields[i].field, HW_ORIGIN_TABLE, fields[i].offset, fields[i].size,
                      fields[i].count);
}

static struct hw_target *open_target(struct builder *b)
{
    HW_VEC(struct hw_buffer_range) ranges = {0};
    for (size_t i = 0; i < b->pieces.count; i++) {
        const struct piece *p = b->pieces.data[i];
        struct hw_buffer_range range = {.start = p->start,
                                        .bytes = p->bytes,
                                        .len = p->size,
                                        .flags = HW_MAP_READ | HW_MAP_WRITE,
                                        .path = p == b->data ? "/lib/libc.so.6" : NULL};
        must(hw_vec_push(&ranges, range));
    }
    struct hw_thread thread = {.tid = THREAD_ID, .regs_known = true, .tp = TLS};
    struct hw_target *t = NULL;
    int rc = hw_target_open_buffer(ranges.data, ranges.count, &thread, 1, &t, NULL);
    must(rc == HW_OK);
    hw_vec_free(&ranges);
    return t;
}

struct recorder {
    struct result *result;
};

static void on_ready(void *ctx)
{
    hw_analyses_begin(((struct recorder *)ctx)->result->report);
}

static int on_block(void *ctx, const struct hw_block *block)
{
    struct result *r = ((struct recorder *)ctx)->result;
    hw_analyses_block(r->report, block);
    must(hw_vec_push(&r->blocks, *block));
    return 0;
}

struct result *builder_walk(struct builder *b)
{
    builder_link(b);
    struct result *r = calloc(1, sizeof *r);
    must(r);
    r->report = hw_report_create();
    r->report->target.word = 8;
    r->report->target.page_size = 4096;
    struct recorder recorder = {r};
    struct hw_target *t = open_target(b);
    struct glibc g = {.image.target = t,
                      .rules = chunk_rules(8, 16),
                      .main_arena = ARENA,
                      .mp = PAR,
                      .curbrk = CURBRK,
                      .has_tcache = true,
                      .has_thread_arena = true,
                      .tcache_offset = TLS_TCACHE,
                      .thread_arena_offset = TLS_ARENA,
                      .roots_source = "table",
                      .layout_source = "table"};
    must(hw_layout_init(&g.layout, &glibc_layout_desc, 8, NULL) == HW_OK);
    set_layout(&g.layout);
    struct hw_sink sink = {.report = r->report,
                           .ready = on_ready,
                           .block = on_block,
                           .ctx = &recorder,
                           .want_bins = b->want_bins};
    r->code = hw_allocator_glibc.walk(&g, &sink, &r->err);
    if (r->code == HW_OK)
        hw_analyses_end(r->report);
    hw_layout_deinit(&g.layout);
    r->bytes_read = t->bytes_read;
    for (size_t i = 0; i < t->map_count; i++)
        r->image_bytes += t->maps[i].end - t->maps[i].start;
    hw_target_close(t);
    return r;
}

void result_destroy(struct result *r)
{
    if (!r)
        return;
    hw_report_destroy(r->report);
    hw_vec_free(&r->blocks);
    free(r);
}

const struct hw_block *block_at(const struct result *r, hw_addr address)
{
    static const struct hw_block none = {.state = HW_STATES_, .arena = -2};
    for (size_t i = 0; i < r->blocks.count; i++)
        if (r->blocks.data[i].address == address)
            return &r->blocks.data[i];
    return &none;
}

int64_t figure(const struct result *r, int arena, enum hw_metric m)
{
    struct hw_figure f = hw_report_figure(r->report, arena, m);
    must(f.known);
    return f.n;
}

uint64_t findings(const struct result *r, enum hw_finding_kind kind)
{
    return r->report->finding_counts[kind];
}
