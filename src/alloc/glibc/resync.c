/*
 * Where chunks go on behind a place where they do not fit together: a heap that is damaged, or one
 * that changed while it was read.
 *
 * Each place where a chunk could begin is tried in turn. What stands there may be the program's own
 * data and look like a chunk by chance, so a chain of chunks is followed until there is evidence
 * enough:
 *
 *     conclusive     the chain comes to top, or to the fence that ends the heap
 *                    a chunk of it is free, and its neighbour in the bin points back to it
 *                    a tcache or fastbin holds a chunk of it (if the target stands still)
 *     else           GUESS chunks in a row that might be ones
 *
 * Where one mistake has hit many chunks, none of that is between two of them. So a chain that ends
 * too early is kept in mind, the longest one, and taken if there is no better one soon.
 *
 * Bounded: each place is tried once, by at most GUESS steps, and again only where a shorter chain
 * was taken, HORIZON bytes for each. Steps that lead far away, where something has to be read for
 * each, have a budget for the whole walk, that grows with what there is to walk.
 */
#include "alloc/glibc/glibc.h"

/* Chunks in a row that are believed. A target that runs cannot wait: it is read anew all the
 * time. */
#define GUESS        16
#define GUESS_MOVING 8
#define GUESS_LEAST  4 /* of a chain that ends at a place that is damaged, too */
#define GUESS_HALF   8
#define HORIZON      ((uint64_t)16 << 10)
#define SCAN_BYTES   ((size_t)64 << 10)
#define LOOKS        ((uint64_t)1 << 15)
#define LOOK_FOR     ((uint64_t)1024)    /* and one more for so many bytes */
#define SKIPS        ((uint64_t)1 << 22) /* pages without data to pass over */

/* Of a chunk that may be too large, so much is searched, at the price of a look for each page. */
#define INSIDE_BYTES ((uint64_t)1 << 20)
#define PER_LOOK     ((uint64_t)4096)
#define INSIDE_TRIES 8

struct search {
    struct walk *w;
    const struct arena *a;
    const struct region *r;
    hw_addr end;  /* of the region */
    hw_addr stop; /* chains that begin there are not looked for any more */
    unsigned
        fence_after; /* in the main arena, so many chunks make a fence of what looks like one */
    const uint8_t *bytes; /* [base, base + len) is here */
    hw_addr base;
    size_t len;
    bool varied; /* the chain that was followed last has chunks of several sizes */
    bool keeps;  /* chains that end too early in mind: ... */
    hw_addr kept, kept_end;
    unsigned kept_chunks;
};

static bool look(struct search *s, hw_addr p, struct chunk_header *h)
{
    struct walk *w = s->w;
    const uint8_t *bytes = NULL;
    unsigned need = w->rules.header;
    if (p >= s->end || s->end - p < need)
        return false;
    if (p >= s->base && p - s->base < s->len && s->len - (p - s->base) >= need)
        bytes = s->bytes + (p - s->base);
    else if (w->looks && w->looks--)
        bytes = hw_seeker_at(&w->seeker, p, need);
    if (bytes)
        *h = chunk_decode(&w->rules, bytes);
    return bytes != NULL;
}

/* A free chunk is in a bin: the next one, or the head, points back. */
static bool is_linked(struct search *s, hw_addr p)
{
    struct chunk_header links, back;
    unsigned header = s->w->rules.header;
    if (!look(s, p + header, &links) || !s->w->looks || !s->w->looks--)
        return false;
    const uint8_t *bytes = hw_seeker_at(&s->w->seeker, links.prev_size + header, header);
    if (!bytes)
        return false;
    back = chunk_decode(&s->w->rules, bytes);
    return back.raw == p;
}

/* Whether a chunk, or a fence, may begin at p with this header. */
static bool might_be(const struct search *s, hw_addr p, struct chunk_header h)
{
    const struct chunk_rules *r = &s->w->rules;
    uint64_t size = chunk_size(h);
    return size >= r->header && size < s->end - p && !(h.raw & CHUNK_M) &&
           (size % r->alignment == 0 || size == r->header);
}

/* `met` chunks lead to the fence at p; in the main arena it may end anywhere. */
static bool is_fence(struct search *s, unsigned met, hw_addr p, hw_addr q, struct chunk_header n)
{
    unsigned header = s->w->rules.header;
    if (s->r->last_fence && q == s->r->last_fence)
        return n.raw == CHUNK_P;
    return s->a->main && met >= s->fence_after && q - p == header && chunk_size(n) == header &&
           glibc_main_fence_end(s->w, p, s->end) != 0;
}

enum evidence { AGAINST, SOME, CONCLUSIVE };

/* What the chunk at p, of this size, tells; `n` is the header behind it. */
static enum evidence weigh(struct search *s, hw_addr p, struct chunk_header h,
                           struct chunk_header n)
{
    const struct walk *w = s->w;
    uint64_t size = chunk_size(h);
    size_t i = glibc_cached_from(w, p);
    hw_addr cached = i < w->cached.count ? w->cached.data[i].address : UINT64_MAX;
    if (!glibc_moving(w) && cached > p && cached < p + size)
        return AGAINST;
    if (n.raw & CHUNK_P) {
        if (!(h.raw & CHUNK_A) != s->a->main)
            return cached == p ? SOME : AGAINST;
        return cached == p && !glibc_moving(w) ? CONCLUSIVE : SOME;
    }
    if (n.prev_size != size)
        return AGAINST;
    if (is_linked(s, p))
        return CONCLUSIVE;
    return glibc_is_cut_off(s->w, p) ? SOME : AGAINST;
}

/* Whether there is evidence enough for a chain that begins at *at; else that is moved to where it
 * ends, and *met is how many chunks there are until then. */
static bool follow_chain(struct search *s, hw_addr *at, unsigned *met_ret)
{
    const struct chunk_rules *r = &s->w->rules;
    unsigned enough = glibc_moving(s->w) ? GUESS_MOVING : GUESS;
    struct chunk_header h, n;
    hw_addr p = *at;
    *met_ret = 0;
    if (p == s->a->top)
        return true;
    if (!look(s, p, &h))
        return false;
    s->varied = false;
    for (unsigned met = 0; met < enough; met++) {
        uint64_t size = chunk_size(h);
        s->varied |= met && p - *at != size;
        *at = p;
        *met_ret = met;
        if (glibc_is_old_top(s->a, p, h, s->end))
            return true;
        if (!might_be(s, p, h) || !look(s, p + size, &n))
            return false;
        if (size <= 2 * r->header && is_fence(s, met, p, p + size, n))
            return true;
        if (size < r->min_size)
            return false;
        enum evidence e = weigh(s, p, h, n);
        if (e != SOME)
            return e == CONCLUSIVE;
        p += size;
        h = n;
        if (p == s->a->top)
            return true;
    }
    return true;
}

/* A chain that ends too early. Of two that overlap the longer one is right. One behind the other
 * tells that much is damaged, and that the first is no chance; unless it is much shorter. A long
 * one need not be compared with what follows it; but data often are a row of equal words. */
static void keep(struct search *s, hw_addr p, hw_addr end, unsigned chunks)
{
    bool overlaps = p < s->kept_end;
    if (chunks <= (overlaps ? s->kept_chunks : 2 * s->kept_chunks)) {
        s->stop = overlaps ? s->stop : p;
        return;
    }
    hw_addr stop = chunks >= GUESS_HALF && s->varied ? end : p + HORIZON;
    if (stop < s->stop)
        s->stop = stop;
    s->kept = p;
    s->kept_end = end;
    s->kept_chunks = chunks;
}

static bool is_chain(struct search *s, hw_addr p)
{
    unsigned met;
    hw_addr end = p;
    if (follow_chain(s, &end, &met))
        return true;
    if (s->keeps && met >= GUESS_LEAST)
        keep(s, p, end, met);
    return false;
}

static bool begin(struct search *s, struct walk *w, const struct arena *a, const struct region *r,
                  hw_addr end)
{
    *s = (struct search){.w = w, .a = a, .r = r, .end = end, .stop = end, .fence_after = 2};
    if (glibc_moving(w)) {
        hw_window_reset(&w->scan);
        hw_seeker_reset(&w->seeker);
    }
    if (w->scan.buf)
        return true;
    w->looks = LOOKS + w->private_bytes / LOOK_FOR;
    return hw_window_init(&w->scan, w->target, SCAN_BYTES, NULL) == HW_OK;
}

/* Make the bytes from p on those that are here; false if p cannot be read. */
static bool fill(struct search *s, hw_addr p)
{
    struct hw_window *scan = &s->w->scan;
    s->base = p;
    s->len = 0;
    if (!hw_window_at(scan, p, s->w->rules.header, s->end))
        return false;
    s->bytes = hw_window_span(scan, p, s->end, &s->len);
    return true;
}

static bool is_here(const struct search *s, hw_addr p)
{
    return p - s->base < s->len && s->len - (p - s->base) >= s->w->rules.header;
}

/* The first place in what is here at which a chain begins; its end if there is none. */
static hw_addr try_here(struct search *s, hw_addr p)
{
    const struct chunk_rules *r = &s->w->rules;
    for (; p < s->stop && is_here(s, p); p += r->alignment) {
        struct chunk_header h = chunk_decode(r, s->bytes + (p - s->base));
        bool may_be = p == s->a->top || might_be(s, p, h) || glibc_is_old_top(s->a, p, h, s->end);
        if (may_be && is_chain(s, p))
            return p;
    }
    return p;
}

/* The first chain that begins at p or above; s->stop if there is none. */
static hw_addr search(struct search *s, hw_addr p)
{
    const struct chunk_rules *rules = &s->w->rules;
    uint64_t skips = SKIPS;
    while (p < s->stop && s->end - p >= rules->header) {
        hw_addr zeros_end;
        if (hw_target_extent(s->w->target, p, s->end, &zeros_end) == HW_EXTENT_ZEROS) {
            p = chunk_first(rules, zeros_end); /* no header is of zeros */
            continue;
        }
        if (!fill(s, p)) {
            hw_addr next = glibc_next_page(s->w, p + 1, s->end, &skips);
            if (next <= p || next >= s->stop)
                break;
            p = chunk_first(rules, next);
            continue;
        }
        hw_addr found = try_here(s, p);
        if (found < s->stop && is_here(s, found))
            return found;
        if (found <= p)
            break;
        p = found; /* as there was room for a header at p */
    }
    return s->stop;
}

hw_addr glibc_resync(struct walk *w, const struct arena *a, const struct region *r, hw_addr from,
                     hw_addr end)
{
    struct search s;
    if (from >= end || from + 1 == 0 || !begin(&s, w, a, r, end))
        return end;
    hw_addr p = chunk_first(&w->rules, from + 1);
    if (p <= from)
        return end;
    s.keeps = !glibc_moving(w);
    p = search(&s, p);
    if (p < s.stop)
        return p;
    return s.kept ? s.kept : end;
}

/* Chunks from p on do not end at `end` and at `at`, but go on behind both; or, if `through` is a
 * chunk among them, lead to `at`. */
static bool passes(struct search *s, hw_addr p, hw_addr end, hw_addr at, hw_addr through)
{
    struct chunk_header h;
    bool met = false;
    while (p < at) {
        met |= p == through;
        if ((p == end && !through) || !look(s, p, &h) || !might_be(s, p, h) ||
            chunk_size(h) < s->w->rules.min_size)
            return false;
        p += chunk_size(h);
    }
    return through ? met : p > at;
}

hw_addr glibc_chain_inside(struct walk *w, const struct arena *a, const struct region *r,
                           const struct hw_block *b, hw_addr at, hw_addr through)
{
    struct search s;
    hw_addr end = b->address + b->bytes;
    uint64_t range = b->bytes < INSIDE_BYTES ? b->bytes : INSIDE_BYTES;
    if (glibc_moving(w) || !begin(&s, w, a, r, r->end) || w->looks < range / PER_LOOK)
        return 0;
    w->looks -= range / PER_LOOK;
    s.stop = b->address + range;
    hw_addr p = b->address + w->rules.min_size;
    for (unsigned tries = 0; tries < INSIDE_TRIES; tries++) {
        p = search(&s, p);
        if (p >= s.stop)
            return 0;
        if (passes(&s, p, end, at, through))
            return p;
        p += w->rules.alignment;
    }
    return 0;
}

bool glibc_is_chain(struct walk *w, const struct arena *a, const struct region *r, hw_addr p,
                    hw_addr end)
{
    struct search s;
    if (p >= end || !begin(&s, w, a, r, end))
        return false;
    s.fence_after = 0; /* what leads to p is a chunk already */
    return fill(&s, p) && is_chain(&s, p);
}

bool glibc_may_be_chain(struct walk *w, const struct arena *a, const struct region *r, hw_addr p,
                        hw_addr end)
{
    struct search s;
    unsigned met = 0;
    if (p >= end || !begin(&s, w, a, r, end))
        return false;
    s.fence_after = 0;
    return fill(&s, p) && (follow_chain(&s, &p, &met) || (!glibc_moving(w) && met >= GUESS_LEAST));
}
