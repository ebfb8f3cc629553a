#include "alloc/glibc/sweep.h"

#include "alloc/glibc/glibc.h"

#include <string.h>

/* A part of the arena, and the number of its first block. */
struct sweep_range {
    hw_addr start, end;
    size_t block;
};

/* One miss costs about as much as to read and look through so many bytes. */
#define MISS_BYTES 8192
/* Nothing is worth doing before so many. Fuzzers come to it sooner. */
#ifndef HW_SWEEP_MISSES
#define HW_SWEEP_MISSES 1024
#endif

#define BLOCK_SHIFT 12
#define BLOCKS_MAX  ((size_t)1 << 20)

/* Old links are plain addresses: what a program keeps in its chunks may look the same, and is
 * dropped only in the end. Of so many bytes one may be noted. */
#define PLAIN_BYTES 256

/* A candidate: state is HW_USED, which nothing in w->cached is. */
#define LINK_BITS 48
#define BIN_SHIFT 56

_Static_assert(HW_USED == 0, "the bits of the state are those between link and bin");

static uint64_t candidate(hw_addr link, unsigned bin)
{
    return link | (uint64_t)bin << BIN_SHIFT;
}

static hw_addr link_of(uint64_t candidate)
{
    return candidate & ((UINT64_C(1) << LINK_BITS) - 1);
}

/* Lists are for sizes that are so far apart. */
static unsigned size_shift(const struct walk *w)
{
    return w->rules.word == 8 ? 4 : 3;
}

/* ---- where ---------------------------------------------------------------------------------- */

static int by_start(const void *a, const void *b)
{
    const struct sweep_range *x = a, *y = b;
    return x->start < y->start ? -1 : x->start > y->start;
}

/* The parts of an arena, as far as they are known before lists are read; false if they are not. */
static bool find_ranges(struct walk *w, const struct arena *a, uint64_t *bytes)
{
    *bytes = 0;
    struct sweep *s = &w->sweep;
    size_t count = a->main ? 1 : a->regions.count;
    if ((a->main && !a->contiguous) || !(s->ranges = calloc(count + 1, sizeof *s->ranges)))
        return false;
    for (size_t i = 0; i < count && !a->main; i++)
        s->ranges[i] = (struct sweep_range){a->regions.data[i].first, a->regions.data[i].end, 0};
    if (a->main) {
        hw_addr limit = glibc_stretch_end(w, w->sbrk_base);
        uint64_t room = limit > w->sbrk_base ? limit - w->sbrk_base : 0;
        uint64_t size = a->system_bytes < room ? a->system_bytes : room;
        s->ranges[0] = (struct sweep_range){w->sbrk_base, w->sbrk_base + size, 0};
    }
    qsort(s->ranges, count, sizeof *s->ranges, by_start);
    for (size_t i = 0; i < count; i++) {
        struct sweep_range *r = &s->ranges[i];
        if (r->end <= r->start || (i > 0 && r->start < r[-1].end) || r->end >> LINK_BITS)
            return false;
        *bytes += r->end - r->start;
    }
    s->range_count = count;
    return count > 0;
}

/* The range that holds `addr`, or NULL. */
static const struct sweep_range *range_of(const struct sweep *s, hw_addr addr)
{
    size_t low = 0, high = s->range_count;
    while (low < high) { /* the first that ends above addr */
        size_t middle = low + (high - low) / 2;
        if (s->ranges[middle].end <= addr)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->range_count && s->ranges[low].start <= addr ? &s->ranges[low] : NULL;
}

static size_t block_of(const struct sweep *s, const struct sweep_range *r, hw_addr addr)
{
    return r->block + (size_t)((addr - r->start) >> s->shift);
}

/* Once all candidates are there: where those of each block begin. */
static bool index_blocks(struct walk *w, uint64_t bytes)
{
    struct sweep *s = &w->sweep;
    size_t count = 0;
    for (s->shift = BLOCK_SHIFT; bytes >> s->shift > BLOCKS_MAX;)
        s->shift++;
    for (size_t i = 0; i < s->range_count; i++) {
        s->ranges[i].block = count;
        count += (size_t)((s->ranges[i].end - 1 - s->ranges[i].start) >> s->shift) + 1;
    }
    s->blocks = calloc(count + 1, sizeof *s->blocks);
    if (!s->blocks)
        return false;
    size_t next = 0;
    for (size_t i = s->first; i < s->end; i++) {
        hw_addr at = w->cached.data[i].address;
        for (size_t block = block_of(s, range_of(s, at), at); next <= block; next++)
            s->blocks[next] = (uint32_t)(i - s->first);
    }
    for (; next <= count; next++)
        s->blocks[next] = (uint32_t)(s->end - s->first);
    return true;
}

/* ---- what ----------------------------------------------------------------------------------- */

/* Note p down if it may be a chunk of a fastbin; `bytes` are its header and its link. False when
 * there is no room for it. */
static inline __attribute__((always_inline)) bool
consider(struct walk *w, hw_addr p, const uint8_t *bytes, const unsigned word)
{
    const struct chunk_rules *r = &w->rules;
    uint64_t raw = hw_word(bytes + word, word), size = raw & ~(uint64_t)CHUNK_FLAGS;
    if (size - 4 * word > w->sweep.largest - 4 * word || (raw & CHUNK_M))
        return true;
    hw_addr link = glibc_next_link(w, p + 2 * word, bytes + 2 * word);
    if (size % r->alignment || (link + r->header) % r->alignment || !range_of(&w->sweep, link))
        return true;
    struct cached c = {.address = p, .candidate = candidate(link, chunk_fast_index(r, size))};
    return hw_vec_push(&w->cached, c);
}

/* Look at all of the `len` bytes at `at`. Returns where to go on, 0 when there is no room. */
static inline __attribute__((always_inline)) hw_addr
scan(struct walk *w, hw_addr at, const uint8_t *bytes, size_t len, const unsigned word)
{
    hw_addr p = chunk_first(&w->rules, at);
    for (; p - at + 3 * word <= len; p += w->rules.alignment)
        if (!consider(w, p, bytes + (p - at), word))
            return 0;
    return p;
}

/* The first place at or above `at` that is in RAM, or was saved and is not known to be zeros. */
static hw_addr next_there(struct walk *w, hw_addr at, hw_addr end)
{
    struct hw_target *t = w->target;
    uint64_t extents = UINT32_MAX;
    if (!t->pages_known)
        return hw_next_data(t, at, end, &extents);
    while (t->pages_known && at < end && hw_pages_at(&t->pages, at) != HW_PAGE_RESIDENT)
        at = hw_pages_run_end(&t->pages, at, end);
    return at;
}

/* One whole range; false if there are too many candidates, or no memory for them. */
static bool scan_range(struct walk *w, struct sweep_range r, size_t limit)
{
    const unsigned need = 3 * w->rules.word;
    hw_addr at = next_there(w, r.start, r.end);
    while (at < r.end && !glibc_moving(w)) {
        size_t len;
        const uint8_t *bytes = hw_window_span(&w->window, at, r.end, &len);
        if (!bytes) {
            uint64_t extents = UINT32_MAX;
            hw_addr page = hw_align_down(at, 4096) + 4096;
            at = next_there(w, hw_next_data(w->target, page, r.end, &extents), r.end);
            continue;
        }
        hw_addr end = at + len;
        hw_addr p = w->rules.word == 8 ? scan(w, at, bytes, len, 8) : scan(w, at, bytes, len, 4);
        if (!p || w->cached.count - w->sweep.first > limit)
            return false;
        at = next_there(w, end, r.end);
        /* The last header may be here and its link in what comes next. */
        bool torn = p < end && at == end && p + need <= r.end;
        bytes = torn ? hw_window_at(&w->window, p, need, p + need) : NULL;
        if (bytes && !consider(w, p, bytes, w->rules.word))
            return false;
    }
    return !glibc_moving(w);
}

static bool scan_arena(struct walk *w, uint64_t bytes)
{
    struct sweep *s = &w->sweep;
    size_t limit = (size_t)(bytes / (w->link == LINK_PLAIN ? PLAIN_BYTES : w->rules.min_size));
    HW_VEC(struct hw_range) plan = {0};
    bool ok = limit < UINT32_MAX;
    for (size_t i = 0; i < s->range_count && ok; i++)
        ok = hw_vec_push(&plan, (struct hw_range){s->ranges[i].start, s->ranges[i].end});
    ok = ok && hw_window_plan(&w->window, plan.data, plan.count, NULL) == HW_OK;
    for (size_t i = 0; i < s->range_count && ok; i++)
        ok = scan_range(w, s->ranges[i], limit);
    hw_vec_free(&plan);
    return ok;
}

/* Once the misses have cost as much as it would: sweep the arena. */
static void sweep_if_worth(struct walk *w, unsigned arena)
{
    struct sweep *s = &w->sweep;
    uint64_t misses = w->seeker.misses - s->misses;
    if (s->done || glibc_moving(w) || misses < HW_SWEEP_MISSES || misses < s->bytes / MISS_BYTES)
        return;
    bool known = s->ranges || find_ranges(w, &w->arenas.data[arena], &s->bytes);
    if (known && misses < s->bytes / MISS_BYTES)
        return;
    s->done = true;
    s->first = w->cached.count;
    s->largest = (w->layout->field[GLIBC_F_FASTBINS].count + 1) << size_shift(w);
    if (!known || !scan_arena(w, s->bytes))
        w->cached.count = s->first;
    s->end = w->cached.count;
    if (s->end > s->first && !index_blocks(w, s->bytes))
        w->cached.count = s->end = s->first;
}

/* ---- lists ---------------------------------------------------------------------------------- */

static bool is_candidate(const struct walk *w, size_t i, hw_addr address)
{
    const struct cached *c = &w->cached.data[i];
    return i < w->cached.count && c->address == address && c->state == HW_USED;
}

static bool look_up(struct walk *w, hw_addr chunk)
{
    struct sweep *s = &w->sweep;
    const struct sweep_range *r = s->blocks ? range_of(s, chunk) : NULL;
    if (!r || s->end > w->cached.count || glibc_moving(w))
        return false;
    size_t block = block_of(s, r, chunk);
    size_t low = s->first + s->blocks[block], high = s->first + s->blocks[block + 1];
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (w->cached.data[middle].address < chunk)
            low = middle + 1;
        else
            high = middle;
    }
    s->here = low;
    return low < s->end && is_candidate(w, low, chunk);
}

static void put_word(uint8_t *to, uint64_t value, unsigned word)
{
    for (unsigned i = 0; i < word; i++)
        to[i] = (uint8_t)(value >> 8 * i);
}

const uint8_t *glibc_fast_chunk(struct walk *w, unsigned arena, hw_addr chunk)
{
    struct sweep *s = &w->sweep;
    const unsigned word = w->rules.word;
    if (s->arena != arena + 1) {
        glibc_sweep_end(w);
        s->arena = arena + 1;
        s->misses = w->seeker.misses;
    }
    sweep_if_worth(w, arena);
    if (!look_up(w, chunk))
        return hw_seeker_at(&w->seeker, chunk, 3 * word);
    uint64_t c = w->cached.data[s->here].candidate;
    put_word(s->words + word, ((c >> BIN_SHIFT) + 2) << size_shift(w) | CHUNK_P, word);
    put_word(s->words + 2 * word, link_decode(w->link, chunk + 2 * word, link_of(c)), word);
    return s->words;
}

bool glibc_sweep_keep(struct walk *w, const struct cached *c)
{
    struct sweep *s = &w->sweep;
    bool here = s->blocks && s->end <= w->cached.count && s->here < s->end &&
                is_candidate(w, s->here, c->address);
    if (here)
        w->cached.data[s->here] = *c;
    return here;
}

void glibc_sweep_end(struct walk *w)
{
    struct sweep *s = &w->sweep;
    size_t end = s->end < w->cached.count ? s->end : w->cached.count, kept = s->first;
    for (size_t i = s->first; i < w->cached.count && s->first < end; i++)
        if (i >= end || w->cached.data[i].state != HW_USED)
            w->cached.data[kept++] = w->cached.data[i];
    if (s->first < end)
        w->cached.count = kept;
    free(s->ranges);
    free(s->blocks);
    *s = (struct sweep){0};
}
