#include "alloc/builder_private.h"

#include <string.h>

#define P ((uint64_t)CHUNK_P)

static hw_addr arena_of(const struct builder *b)
{
    return b->current->is_heap ? b->current->arena : b->arena;
}

/* ---- chunks ---------------------------------------------------------------------------------- */

static hw_addr append(struct builder *b, uint64_t size, bool handed_out)
{
    hw_addr p = builder_here(b);
    uint64_t flags = (b->prev_used ? P : 0) | (handed_out && b->current->is_heap ? CHUNK_A : 0);
    builder_poke(b, p + builder_word(b), size | flags);
    b->current->used += size;
    b->current->end = b->current->used;
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
    const struct chunk_rules *r = &b->form->rules;
    hw_addr p = append(b, size, true);
    remember(b, p, LIST_TCACHE, (unsigned)(size - r->min_size) / r->alignment);
    return p;
}

hw_addr build_fast(struct builder *b, uint64_t size)
{
    hw_addr p = append(b, size, true);
    remember(b, p, LIST_FAST, (unsigned)(size / b->form->rules.header) - 2);
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
    return append_free(b, size, chunk_bin_index(&b->form->rules, size));
}

hw_addr build_unsorted(struct builder *b, uint64_t size)
{
    return append_free(b, size, 1);
}

hw_addr build_tcache_struct(struct builder *b)
{
    const struct chunk_rules *r = &b->form->rules;
    hw_addr p =
        append(b, hw_align_up((uint64_t)b->form->tcache.size + r->word, r->alignment), true);
    b->tcache = p + r->header;
    builder_poke(b, b->tls_tcache, b->tcache);
    builder_init_tcache(b);
    return p;
}

hw_addr build_mmapped(struct builder *b, uint64_t bytes)
{
    const struct chunk_rules *r = &b->form->rules;
    hw_addr start = build_foreign(b, bytes);
    uint64_t lead = r->alignment - r->header, tail = b->form->size_short ? r->header : 0;
    builder_poke(b, start + lead, lead);
    builder_poke(b, start + lead + r->word, (bytes - lead - tail) | CHUNK_M);
    hw_addr count = b->par + (hw_addr)b->form->par.n_mmaps;
    builder_mmaps(b, (unsigned)hw_word(builder_at(b, count), 4) + 1,
                  builder_peek(b, b->par + (hw_addr)b->form->par.mmapped) + bytes);
    return start + lead;
}

/* A heap ends here: it counts in its arena's system_mem. */
static void end_heap(struct builder *b)
{
    struct piece *p = b->current;
    must(p->end % b->page == 0);
    builder_poke(b, p->start + 2 * builder_word(b), p->end);
    builder_poke(b, p->start + 3 * builder_word(b), p->end);
    uint64_t system = builder_peek(b, p->arena + (hw_addr)b->form->state.system) + p->end;
    builder_set(b, p->arena, b->form->state.system, system);
    builder_set(b, p->arena, b->form->state.system + (int)builder_word(b), system);
}

hw_addr build_top(struct builder *b, uint64_t size)
{
    struct piece *piece = b->current;
    if (size == 0) { /* fill up to a page */
        size = b->page - piece->used % b->page;
        size += size < b->form->rules.min_size ? b->page : 0;
    }
    hw_addr p = append(b, size, false);
    builder_set(b, arena_of(b), b->form->state.top, p);
    if (piece->is_heap)
        end_heap(b);
    else if (!b->noncontiguous)
        b->main_system =
            builder_here(b) - builder_peek(b, b->par + (hw_addr)b->form->par.sbrk_base);
    return p;
}

void build_heap_fence(struct builder *b, unsigned first)
{
    append(b, first, false);
    append(b, 0, false); /* the header of size 0|P */
    b->current->end = b->current->used += b->form->rules.alignment;
    end_heap(b);
}

void build_main_fence(struct builder *b, unsigned headers)
{
    const struct chunk_rules *r = &b->form->rules;
    struct piece *p = b->current;
    while (headers--)
        append(b, r->header, false);
    p->end = hw_align_up(p->used, r->alignment);
    p->used = (size_t)(chunk_first(r, p->start + p->end) - p->start);
    b->prev_used = true;
}

void build_gap(struct builder *b, uint64_t bytes, uint8_t fill)
{
    struct piece *p = b->current;
    memset(p->bytes + p->end, fill, bytes);
    p->used = (size_t)(chunk_first(&b->form->rules, p->start + p->end + bytes) - p->start);
    b->prev_used = true;
}

/* ---- pieces ---------------------------------------------------------------------------------- */

static void start_heap(struct builder *b, hw_addr arena, hw_addr prev)
{
    const struct form *f = b->form;
    hw_addr start = b->places->heap + b->heaps++ * b->places->heap_max;
    struct piece *p = builder_piece(b, start, PIECE_SIZE);
    uint64_t header = (uint64_t)f->heap.size + (arena ? 0 : (uint64_t)f->state.size);
    p->is_heap = true;
    p->arena = arena ? arena : start + (hw_addr)f->heap.size;
    p->used = (size_t)(chunk_first(&f->rules, start + header) - start);
    builder_poke(b, start, p->arena);
    builder_poke(b, start + builder_word(b), prev);
    builder_set(b, start, f->heap.pagesize, b->page);
    b->current = p;
    b->prev_used = true;
}

void build_arena(struct builder *b)
{
    start_heap(b, 0, 0);
    hw_addr arena = b->current->arena;
    builder_init_arena(b, arena);
    builder_put(b, arena + 4, 2, 4); /* NONCONTIGUOUS_BIT */
    builder_set(b, arena, b->form->state.next, b->last_arena ? b->last_arena : b->arena);
    b->last_arena = arena;
    builder_set(b, b->arena, b->form->state.next, arena);
}

void build_heap(struct builder *b)
{
    must(b->current->is_heap);
    start_heap(b, b->current->arena, b->current->start);
}

hw_addr build_mapping(struct builder *b)
{
    struct piece *p =
        builder_piece(b, b->places->mmap + b->mappings++ * PIECE_SIZE * 2, PIECE_SIZE);
    p->used = (size_t)(chunk_first(&b->form->rules, p->start) - p->start);
    b->current = p;
    b->prev_used = true;
    return p->start;
}

hw_addr build_foreign(struct builder *b, size_t bytes)
{
    hw_addr start = b->places->foreign + b->foreign;
    b->foreign += bytes + b->page;
    return builder_piece(b, start, bytes)->start;
}

void build_next_page(struct builder *b)
{
    b->current->used = (size_t)hw_align_up(b->current->used, b->page);
    b->prev_used = true;
}

/* ---- lists ----------------------------------------------------------------------------------- */

static uint64_t link_word(const struct builder *b, hw_addr place, hw_addr target)
{
    return b->form->mangled ? (place >> 12) ^ target : target;
}

static void count_tcache(struct builder *b, unsigned list, int n)
{
    unsigned size = (unsigned)b->form->tcache.counter;
    hw_addr counter = b->tcache + list * size;
    int count = (int)(hw_word(builder_at(b, counter), 4) & (size == 1 ? 0xff : 0xffff));
    builder_put(b, counter, (uint64_t)(b->form->tcache.slots ? count - n : count + n), size);
}

void builder_tcache_count(struct builder *b, uint64_t size, int n)
{
    const struct chunk_rules *r = &b->form->rules;
    count_tcache(b, (unsigned)((size - r->min_size) / r->alignment), n);
}

void builder_tcache_empty(struct builder *b, uint64_t size)
{
    const struct chunk_rules *r = &b->form->rules;
    unsigned list = (unsigned)((size - r->min_size) / r->alignment);
    unsigned width = (unsigned)b->form->tcache.counter;
    builder_put(b, b->tcache + list * width,
                b->form->tcache.slots ? (uint64_t)b->form->tcache.fills : 0, width);
    builder_poke(b, b->tcache + (hw_addr)b->form->tcache.entries + builder_word(b) * list, 0);
}

static void link_tcache(struct builder *b, const struct entry *e)
{
    hw_addr head = b->tcache + (hw_addr)b->form->tcache.entries + builder_word(b) * e->index;
    hw_addr user = e->chunk + b->form->rules.header;
    count_tcache(b, e->index, 1);
    builder_poke(b, user, link_word(b, user, builder_peek(b, head)));
    builder_poke(b, head, user);
}

static void link_fast(struct builder *b, const struct entry *e)
{
    hw_addr head = e->arena + (hw_addr)b->form->state.fastbins + builder_word(b) * e->index;
    hw_addr user = e->chunk + b->form->rules.header;
    must(b->form->state.fastbins >= 0 && e->index < (unsigned)b->form->state.fast_lists);
    builder_poke(b, user, link_word(b, user, builder_peek(b, head)));
    builder_poke(b, head, e->chunk);
}

#define FIRST_LARGE 64 /* the first bin of large chunks */

static void link_bin(struct builder *b, const struct entry *e)
{
    unsigned w = builder_word(b);
    hw_addr head = builder_bin(b, e->arena, e->index);
    hw_addr first = builder_peek(b, head + 2 * w);
    builder_poke(b, e->chunk + 2 * w, first);
    builder_poke(b, e->chunk + 3 * w, head);
    builder_poke(b, head + 2 * w, e->chunk);
    builder_poke(b, first + 3 * w, e->chunk);
    /* The map of bins; and the ring of sizes, as if there were one chunk of each bin. */
    hw_addr map = builder_bin(b, e->arena, 1) + (2 + 254) * w + e->index / 32 * 4;
    builder_put(b, map, hw_word(builder_at(b, map), 4) | UINT32_C(1) << e->index % 32, 4);
    for (unsigned i = 4; i < 6 && e->index >= FIRST_LARGE; i++)
        builder_poke(b, e->chunk + i * w, e->chunk);
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
        builder_put(b, b->arena + 4, 2, 4);
        for (size_t i = 0; i < b->pieces.count; i++)
            if (!b->pieces.data[i]->is_heap)
                system += b->pieces.data[i]->end;
    }
    system += (uint64_t)b->extra;
    builder_set(b, b->arena, b->form->state.system, system);
    builder_set(b, b->arena, b->form->state.system + (int)builder_word(b), system);
    builder_poke(b, b->curbrk, b->sbrk->start + b->sbrk->end);
}
