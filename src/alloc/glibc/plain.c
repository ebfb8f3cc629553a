/*
 * What heaps consist of nearly everywhere: chunks in use, free ones and cached ones that fit to
 * each other, without an end of anything. A walk spends its time here, so everything that could be
 * asked once is not asked for each chunk: no chunk may reach beyond `limit`, the nearest of
 *
 *     the end of the bytes that are here      the end of the region      its last fence      top
 *     the next chunk that a tcache or fastbin holds
 *
 * Whatever is not plain, or seems to be wrong, is left to walk.c, which looks at it again.
 */
#include "alloc/glibc/walk.h"

static hw_addr lower(hw_addr a, hw_addr b)
{
    return a < b ? a : b;
}

static hw_addr next_cached(const struct cursor *c)
{
    const struct walk *w = c->w;
    return c->next_cached < w->cached.count ? w->cached.data[c->next_cached].address : UINT64_MAX;
}

/* How far chunks may reach, whatever they are, where `len` bytes from p on are here: there must be
 * a header behind each. */
static hw_addr hard_limit(const struct cursor *c, size_t len)
{
    const struct region *r = c->region;
    hw_addr limit = c->p + (len - c->w->rules.header);
    if (r->last_fence > c->p)
        limit = lower(limit, r->last_fence - 1);
    if (c->a->top >= c->p)
        limit = lower(limit, c->a->top);
    return limit;
}

/* The chunk at p is the next cached one. False if it is not as it should be. */
static bool add_cached(struct cursor *c, struct hw_block *b, uint64_t next_raw)
{
    struct cached *cached = &c->w->cached.data[c->next_cached];
    if (cached->address != b->address || !(next_raw & CHUNK_P))
        return false;
    cached->seen = true;
    b->state = cached->state;
    b->bin = (int16_t)cached->bin;
    b->tid = cached->tid;
    c->a->cached_bytes += b->bytes;
    c->next_cached++;
    return true;
}

/*
 * `bytes` are those at c->p; `hard` is the limit but for cached chunks. Inlined once for each size
 * of a word.
 */
static inline __attribute__((always_inline)) void walk_on(struct cursor *c, const uint8_t *bytes,
                                                          hw_addr hard, const unsigned word)
{
    struct walk *w = c->w;
    struct arena *a = c->a;
    const uint64_t odd = ((w->rules.alignment - 1) & ~(uint64_t)CHUNK_FLAGS) | CHUNK_M;
    const uint64_t flag = a->main ? 0 : CHUNK_A;
    const unsigned least = 4 * word;
    const bool wanted = w->sink->want_bins || w->sink->want_check;
    hw_addr p = c->p, limit = lower(hard, next_cached(c));
    uint64_t prev_size = hw_word(bytes, word), raw = hw_word(bytes + word, word);

    while (w->batched < BATCH) {
        uint64_t size = raw & ~(uint64_t)CHUNK_FLAGS;
        if (size < least || size > hard - p || (raw & odd))
            break;
        const uint8_t *next = bytes + size;
        uint64_t next_prev_size = hw_word(next, word), next_raw = hw_word(next + word, word);
        struct hw_block *b = &w->batch[w->batched];
        *b = (struct hw_block){.address = p,
                               .bytes = size,
                               .arena = (int32_t)c->index,
                               .bin = HW_BIN_UNKNOWN,
                               .state = HW_USED};
        if (size > limit - p) {
            if (!add_cached(c, b, next_raw))
                break;
            limit = lower(hard, next_cached(c));
        } else if (!(next_raw & CHUNK_P)) {
            if (next_prev_size != size || wanted)
                break;
            b->state = HW_FREE;
            tally_add(&a->walked, p, size);
            add_edges(a, p, hw_word(bytes + 2 * word, word), hw_word(bytes + 3 * word, word));
        } else if ((raw & CHUNK_A) != flag) {
            break;
        }
        w->batched++;
        p += size;
        bytes = next;
        prev_size = next_prev_size;
        raw = next_raw;
    }
    c->p = p;
    c->h = (struct chunk_header){prev_size, raw};
}

void glibc_walk_plain(struct cursor *c)
{
    struct walk *w = c->w;
    size_t len;
    const uint8_t *bytes = hw_window_span(&w->window, c->p, c->region->end, &len);
    if (!bytes || len < w->rules.min_size + w->rules.header)
        return;
    while (c->next_cached < w->cached.count && w->cached.data[c->next_cached].address < c->p)
        c->next_cached++;
    hw_addr limit = hard_limit(c, len);
    if (w->rules.word == 8)
        walk_on(c, bytes, limit, 8);
    else
        walk_on(c, bytes, limit, 4);
    if (w->batched == BATCH)
        glibc_flush_most(w);
}
