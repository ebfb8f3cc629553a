#include "heap.h"

#include <string.h>

/* No more of each than these. */
#define PIECES_MAX 12
#define CHUNKS_MAX 4096
#define LATER_MAX  64

/* What is left free behind the chunks of a piece. */
#define SLACK ((size_t)0x200)

/* ---- bytes of the program ------------------------------------------------------------------- */

static uint64_t take(struct heap *h, unsigned bytes)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < bytes && h->at < h->end; i++)
        n |= (uint64_t)*h->at++ << 8 * i;
    return n;
}

/* ---- places --------------------------------------------------------------------------------- */

static struct {
    hw_addr at[CHUNKS_MAX];
    size_t count;
} chunks;

/* What is to be written once so many reads were made. */
static struct later {
    uint64_t reads;
    hw_addr at;
    uint64_t word;
    bool goes; /* or the target is let go then */
} laters[LATER_MAX];
static size_t later_count;
static uint64_t reads, delay;

static void remember(hw_addr chunk)
{
    if (chunks.count < CHUNKS_MAX)
        chunks.at[chunks.count++] = chunk;
}

static struct piece *piece_at(struct builder *b, hw_addr at, size_t len)
{
    for (size_t i = 0; i < b->pieces.count; i++) {
        struct piece *p = b->pieces.data[i];
        if (at >= p->start && at - p->start <= p->size && len <= p->size - (at - p->start))
            return p;
    }
    return NULL;
}

static hw_addr newest_arena(const struct builder *b)
{
    return b->last_arena ? b->last_arena : b->arena;
}

/* Where something is to be written, or points to. */
static hw_addr place(struct heap *h)
{
    struct builder *b = h->builder;
    unsigned w = builder_word(b), what = (unsigned)take(h, 1);
    uint64_t n = take(h, 2);
    const struct piece *p = b->pieces.data[n % b->pieces.count];
    switch (what % 8) {
    case 0:
        return p->start + take(h, 3) % p->size;
    case 1:
        return b->arena + n % (uint64_t)b->form->state.size;
    case 2:
        return b->par + n % (uint64_t)b->form->par.size;
    case 3:
        return b->tls - 0x80 + n % 0x100;
    case 4:
        return b->tcache + n % 0x300;
    case 5: /* a word of a chunk's header or of its links */
        return chunks.count ? chunks.at[n / 8 % chunks.count] + n % 8 * w : b->arena;
    case 6:
        return newest_arena(b) + n % (uint64_t)b->form->state.size;
    default: /* a heap_info, and what is behind it */
        return (newest_arena(b) & ~(b->places->heap_max - 1)) + n % 0x40;
    }
}

/* ---- chunks --------------------------------------------------------------------------------- */

static bool has_room(const struct heap *h, uint64_t bytes)
{
    const struct piece *p = h->builder->current;
    return p->used + SLACK <= p->size && bytes <= p->size - SLACK - p->used;
}

static uint64_t some_size(struct heap *h, unsigned bytes)
{
    const struct chunk_rules *r = &h->builder->form->rules;
    return r->min_size + take(h, bytes) * r->alignment;
}

static void op_used(struct heap *h)
{
    uint64_t size = some_size(h, 2);
    if (has_room(h, size))
        remember(build_used(h->builder, size));
}

static void op_row(struct heap *h)
{
    uint64_t size = some_size(h, 1), n = take(h, 1);
    while (n-- && has_room(h, size))
        remember(build_used(h->builder, size));
}

static void op_tcache(struct heap *h)
{
    struct builder *b = h->builder;
    uint64_t size = b->form->rules.min_size + take(h, 1) % 64 * b->form->rules.alignment;
    if (has_room(h, size) && b->form->tcache.size)
        remember(build_tcache(b, size));
}

static void op_fast(struct heap *h)
{
    struct builder *b = h->builder;
    const struct chunk_rules *r = &b->form->rules;
    uint64_t size = r->min_size + take(h, 1) % 8 * r->alignment;
    if (has_room(h, size) && (int)(size / r->header) - 2 < b->form->state.fast_lists)
        remember(build_fast(b, size));
}

/* Chunks of a fastbin, each behind a used one: a list that is long, or jumps about. */
static void op_fasts(struct heap *h)
{
    struct builder *b = h->builder;
    const struct chunk_rules *r = &b->form->rules;
    uint64_t size = r->min_size + take(h, 1) % 8 * r->alignment, gap = some_size(h, 1);
    uint64_t n = take(h, 1);
    if ((int)(size / r->header) - 2 >= b->form->state.fast_lists)
        return;
    while (n-- && has_room(h, gap + size)) {
        build_used(b, gap);
        remember(build_fast(b, size));
    }
}

static void op_free(struct heap *h)
{
    uint64_t size = some_size(h, 2);
    if (has_room(h, size))
        remember(build_free(h->builder, size));
}

static void op_unsorted(struct heap *h)
{
    uint64_t size = some_size(h, 2);
    if (has_room(h, size))
        remember(build_unsorted(h->builder, size));
}

/* Fills a page; or is of any size, but not where a heap has to end with it. */
static void op_top(struct heap *h)
{
    struct builder *b = h->builder;
    uint64_t pages = take(h, 1) % 16;
    if (has_room(h, (pages + 2) * b->page)) {
        uint64_t size = b->page - b->current->used % b->page + pages * b->page;
        size += size < b->form->rules.min_size ? b->page : 0;
        remember(build_top(b, size));
    }
}

static void op_tcache_struct(struct heap *h)
{
    if (h->builder->form->tcache.size && has_room(h, 0x1000))
        remember(build_tcache_struct(h->builder));
}

/* ---- pieces --------------------------------------------------------------------------------- */

static bool may_have_more(const struct heap *h)
{
    return h->builder->pieces.count < PIECES_MAX;
}

static void op_arena(struct heap *h)
{
    if (may_have_more(h))
        build_arena(h->builder);
}

/* Close the heap at hand, and begin another. */
static void op_heap(struct heap *h)
{
    struct builder *b = h->builder;
    const struct chunk_rules *r = &b->form->rules;
    unsigned first = take(h, 1) & 1 && r->header % r->alignment == 0 ? 2 * r->header : r->header;
    if (!may_have_more(h) || !b->current->is_heap || !has_room(h, 2 * b->page))
        return;
    uint64_t fill = b->page - (b->current->used + first + r->alignment) % b->page;
    fill += fill < r->min_size ? b->page : 0;
    build_used(b, fill);
    build_heap_fence(b, first);
    build_heap(b);
}

static void op_mapping(struct heap *h)
{
    if (may_have_more(h))
        build_mapping(h->builder);
}

static void op_page(struct heap *h)
{
    if (has_room(h, 2 * h->builder->page) && !h->builder->current->is_heap)
        build_next_page(h->builder);
}

/* The end of malloc's memory in a piece of the main arena, or foreign memory in between. */
static void op_fence(struct heap *h)
{
    uint64_t headers = take(h, 1), gap = take(h, 2), fill = take(h, 1);
    if (h->builder->current->is_heap || !has_room(h, gap + 0x100))
        return;
    build_main_fence(h->builder, 1 + (unsigned)headers % 3);
    if (gap)
        build_gap(h->builder, gap, (uint8_t)fill);
}

static void op_mmapped(struct heap *h)
{
    uint64_t pages = 1 + take(h, 1) % 64;
    if (may_have_more(h))
        remember(build_mmapped(h->builder, pages * h->builder->page));
}

static void op_foreign(struct heap *h)
{
    uint64_t pages = 1 + take(h, 1) % 64;
    if (may_have_more(h))
        build_foreign(h->builder, pages * h->builder->page);
}

/* ---- damage; lists are linked from the first of it on --------------------------------------- */

static void put(struct heap *h, hw_addr at, uint64_t word)
{
    struct builder *b = h->builder;
    if (delay && later_count < LATER_MAX)
        laters[later_count++] = (struct later){delay, at, word, false};
    else if (piece_at(b, at, builder_word(b)))
        builder_poke(b, at, word);
}

static void op_word(struct heap *h)
{
    hw_addr at = place(h);
    put(h, at, take(h, 8));
}

static void op_small(struct heap *h)
{
    hw_addr at = place(h);
    put(h, at, take(h, 2));
}

static void op_pointer(struct heap *h)
{
    hw_addr at = place(h);
    put(h, at, place(h));
}

/* As a link of a tcache or a fastbin. */
static void op_link(struct heap *h)
{
    hw_addr at = place(h), to = place(h);
    put(h, at, h->builder->form->mangled ? (at >> 12) ^ to : to);
}

static void op_flip(struct heap *h)
{
    struct builder *b = h->builder;
    hw_addr at = place(h);
    unsigned bit = (unsigned)take(h, 1) % (8 * builder_word(b));
    if (piece_at(b, at, builder_word(b)))
        put(h, at, builder_peek(b, at) ^ (uint64_t)1 << bit);
}

static void op_bytes(struct heap *h)
{
    hw_addr at = place(h);
    size_t len = (size_t)take(h, 2), left = (size_t)(h->end - h->at);
    struct piece *p = piece_at(h->builder, at, 1);
    len = len < left ? len : left;
    if (p && len && len <= p->size - (at - p->start))
        memcpy(p->bytes + (at - p->start), h->at, len);
    h->at += len;
}

static void op_repeat(struct heap *h)
{
    hw_addr at = place(h);
    size_t len = (size_t)take(h, 2);
    int byte = (int)take(h, 1);
    struct piece *p = piece_at(h->builder, at, 1);
    if (p && len <= p->size - (at - p->start))
        memset(p->bytes + (at - p->start), byte, len);
}

/* Words that follow are written when so many reads were made; and maybe it is let go then. */
static void op_later(struct heap *h)
{
    delay = take(h, 1);
    bool goes = take(h, 1) % 3 == 2;
    if (goes && later_count < LATER_MAX)
        laters[later_count++] = (struct later){delay, 0, 0, true};
}

/* The end of a piece that is mapped: another size than the builder gives it. */
static void op_cut(struct heap *h)
{
    struct builder *b = h->builder;
    struct piece *p = b->pieces.data[take(h, 1) % b->pieces.count];
    size_t bytes = (size_t)take(h, 3);
    if (bytes && bytes < p->size)
        p->size = bytes;
}

/* An op's number is its place; more of them go to the ends of the tables. What has no op does
 * nothing. */
typedef void (*op_fn)(struct heap *h);
#define OPS 32
static const op_fn building[OPS] = {
    op_used, op_row,  op_tcache,  op_fast,  op_free,  op_unsorted, op_top,     op_tcache_struct,
    op_heap, op_page, op_mapping, op_arena, op_fence, op_mmapped,  op_foreign, op_fasts,
};
static const op_fn damaging[OPS] = {
    op_word, op_small, op_pointer, op_link, op_flip, op_bytes, op_repeat, op_later, op_cut,
};

/* Nothing is built any more once something was damaged. */
static void run_op(struct heap *h)
{
    unsigned op = (unsigned)take(h, 1);
    op_fn fn = op & OPS ? damaging[op % OPS] : building[op % OPS];
    if (op & OPS)
        builder_link(h->builder);
    if (fn && (op & OPS || !h->builder->linked))
        fn(h);
}

/* ---- running it ----------------------------------------------------------------------------- */

static void after_read(struct builder *b, hw_addr addr, size_t len, _Atomic bool *moving)
{
    (void)addr;
    (void)len;
    reads++;
    for (size_t i = 0; i < later_count; i++) {
        const struct later *l = &laters[i];
        if (l->reads != reads)
            continue;
        if (l->goes)
            *moving = true;
        else if (piece_at(b, l->at, builder_word(b)))
            builder_poke(b, l->at, l->word);
    }
}

static void start(struct heap *h)
{
    unsigned machine = (unsigned)take(h, 1) % 3, form = (unsigned)take(h, 1) % FORMS_;
    h->flags = (unsigned)take(h, 1);
    h->extras = (unsigned)take(h, 1) % FUZZ_EXTRAS_;
    struct builder *b = h->builder = builder_create_of((enum hw_machine_id)machine, form);
    if (h->flags & HEAP_NONCONTIGUOUS)
        builder_noncontiguous(b);
    if (h->flags & HEAP_BIG_PAGES)
        builder_page_size(b, 16384);
    if (h->flags & HEAP_ODD_BREAK)
        builder_sbrk_base(b, b->sbrk->start + 0x4a8);
    builder_system_extra(b, 16 * (int64_t)(int8_t)take(h, 1));
}

void heap_make(struct heap *h, const uint8_t *bytes, size_t len)
{
    *h = (struct heap){.at = bytes, .end = bytes + len};
    chunks.count = later_count = 0;
    reads = delay = 0;
    start(h);
    while (h->at < h->end)
        run_op(h);
    builder_link(h->builder);
    h->extras |= later_count ? FUZZ_CHANGES : 0;
    builder_runs(h->builder, h->flags & HEAP_MOVING, later_count ? after_read : NULL);
    h->target = builder_target(h->builder);
    h->target->read_alone = true; /* threads take time, and make a run differ from the next */
}

void heap_free(struct heap *h)
{
    hw_target_close(h->target);
    builder_destroy(h->builder);
}
