/*
 * The linear walk: the one place where the state of every chunk of an arena is decided. (plain.c
 * decides the same about plain ones, faster.)
 *
 *     p                q = p + size(p)        q + size(q)
 *     +----------------+----------------------+---- ...
 *     | header p ...   | header q ...         |
 *     +----------------+----------------------+
 *
 * A region is walked from its first chunk by adding sizes. The state of the chunk at p is decided,
 * in this order (state_of() below):
 *
 *     top        p is the arena's top; ends the region
 *     fence      p and the header behind it close a region that is not the last; see below
 *     tcache     a thread's tcache holds p         } looks in use to its neighbour, so the lists
 *     fastbin    a fastbin holds p                 } were read first
 *     bin        P is clear in header q: p is free, and its size is repeated in front of q
 *     in use     everything else
 *
 * Fences. When an arena goes on elsewhere, the rest of the old top is freed and what is behind it
 * is closed by two headers that no chunk can have, so that nothing is ever merged across the end
 * (sysmalloc in malloc/malloc.c, the same from 2.17 to 2.43):
 *
 *     thread heap    ... | size H or 2 H, no A | size 1 |    the last header ends the heap
 *     main arena     ... | size H | size H |                 maybe a third; ends on a page boundary
 *
 * H is the size of a header, 2 words. On i386, where chunks begin 8 bytes behind multiples of 16, 8
 * bytes are left over behind both.
 *
 * In the contiguous main arena foreign memory may follow (a program that called sbrk() itself);
 * where malloc's own chunks resume is written nowhere and is searched for (regions.c).
 *
 * Every step moves forward by at least MINSIZE, so a walk is bounded by the size of its region.
 */
#include "alloc/glibc/walk.h"

#include <inttypes.h>

/* ---- damage --------------------------------------------------------------------------------- */

static void unreadable(struct cursor *c, hw_addr at)
{
    if (glibc_try_again(c))
        return;
    hw_addr from = c->p;
    uint64_t lost = glibc_skip(c, at);
    if (!glibc_is_damage(c, lost))
        return;
    glibc_lose_sight(c->w, c->index, at, from, c->p);
    hw_report_add(c->w->report, HW_FINDING_UNREADABLE, (int)c->index, hw_known(at), hw_known(lost),
                  "arena %u: memory at %#" PRIx64 " cannot be read; %" PRIu64
                  " bytes are not accounted for",
                  c->index, at, lost);
}

/* Too much is damaged to look everywhere for what is not. */
static void gave_up(struct cursor *c, hw_addr from, uint64_t lost)
{
    hw_report_add(c->w->report, HW_FINDING_STOPPED_EARLY, (int)c->index, hw_known(from),
                  hw_known(lost),
                  "arena %u: the search for where chunks go on behind %#" PRIx64
                  " was given up; %" PRIu64 " bytes are not accounted for",
                  c->index, from, lost);
}

static void bad_chunk(struct cursor *c, const char *what)
{
    if (glibc_try_again(c))
        return;
    c->gave_up = false;
    struct culprit bad = {.address = c->p, .raw = c->h.raw};
    bool found = glibc_find_too_large(c, &bad);
    if (!found) {
        bad.lost = glibc_skip(c, c->p);
        found = glibc_find_too_small(c, bad.address, &bad);
    }
    if (found)
        what = "a chunk of a wrong size";
    glibc_judge_by_bins(c, &bad);
    if (!glibc_is_damage(c, bad.lost))
        return;
    if (c->gave_up)
        gave_up(c, bad.address, bad.lost);
    else
        hw_report_break(c->w->report, HW_INVARIANT_CHUNKS, HW_FINDING_BAD_CHUNK, (int)c->index,
                        hw_known(bad.address), hw_known(bad.lost),
                        "arena %u: %s at %#" PRIx64 " (size word %#" PRIx64 "); %" PRIu64
                        " bytes are not accounted for",
                        c->index, what, bad.address, bad.raw, bad.lost);
}

/* The chunk at p, which is no more than that. */
static void bad_word(struct cursor *c, enum hw_invariant invariant, hw_addr at, const char *what)
{
    if (glibc_is_damage(c, 0))
        hw_report_break(c->w->report, invariant, HW_FINDING_BAD_CHUNK, (int)c->index, hw_known(at),
                        (struct hw_maybe){0}, "arena %u: %s at %#" PRIx64, c->index, what, at);
}

/* ---- ends of a region ----------------------------------------------------------------------- */

/* What is left of the region is top, whatever the size of the chunk there. */
static bool is_all_top(const struct cursor *c)
{
    const struct walk *w = c->w;
    return !c->a->main || !c->a->contiguous || !w->brk || w->brk == c->region->end;
}

static void walk_top(struct cursor *c)
{
    uint64_t size = chunk_size(c->h);
    uint64_t room = c->region->end - c->p;
    if (size != room && glibc_is_damage(c, 0))
        hw_report_break(c->w->report, HW_INVARIANT_CHUNKS, HW_FINDING_BAD_CHUNK, (int)c->index,
                        hw_known(c->p), hw_known(room),
                        "arena %u: top at %#" PRIx64 " has size %#" PRIx64 ", but %" PRIu64
                        " bytes are left",
                        c->index, c->p, size, room);
    if (size > room || (size < room && !glibc_moving(c->w) && is_all_top(c)))
        size = room;
    struct hw_top *top = &c->w->report->arenas.data[c->index].top;
    top->address = c->p;
    top->bytes = size;
    emit(c, HW_TOP, c->p, size);
    c->a->top_bytes += size;
    c->a->lost += room - size;
    c->p = c->region->end;
}

/* The chunk that the arena takes for its top is not the last one. */
static bool is_no_top(struct cursor *c)
{
    struct arena *a = c->a;
    uint64_t size = chunk_size(c->h);
    if (glibc_moving(c->w) || size == c->region->end - c->p ||
        !chunk_size_fits(&c->w->rules, size, c->p, c->region->end))
        return false;
    a->top_is_bad = true; /* so that another one may be */
    bool more = glibc_is_chain(c->w, a, c->region, c->p + size, c->region->end);
    a->top_is_bad = false;
    return more;
}

/* A thread heap that is not the last: is p the fence? `n` is the header behind p. */
static bool is_heap_fence(const struct cursor *c, hw_addr q, struct chunk_header n)
{
    return q == c->region->last_fence && n.raw == CHUNK_P && !(c->h.raw & CHUNK_A) &&
           chunk_size(c->h) <= 2 * c->w->rules.header;
}

static void walk_heap_fence(struct cursor *c)
{
    uint64_t fence = c->region->end - c->p;
    bool free_before = !(c->h.raw & CHUNK_P) && c->h.prev_size <= c->p - c->region->first;
    c->heap->tail_free_bytes = fence + (free_before ? c->h.prev_size : 0);
    emit(c, HW_OVERHEAD, c->p, fence);
    c->p = c->region->end;
}

/* The only chunk behind a gap that is known for sure is top. */
static void resume_at_top(struct cursor *c)
{
    hw_addr from = c->p, top = c->a->top;
    bool ahead = from < top && top < c->region->end;
    c->p = ahead && header_at(c->w, top, c->region->end, &c->h) ? top : c->region->end;
    c->a->lost += c->p - from;
}

/* The main arena: fence headers at p, then the end of the region, or a gap and more chunks. */
static void walk_main_fence(struct cursor *c)
{
    hw_addr end = glibc_main_fence_end(c->w, c->p, c->region->end);
    if (end == 0) {
        hw_addr next = c->p + c->w->rules.header;
        if (glibc_is_absent(c->w, next, c->w->rules.header))
            unreadable(c, next);
        else
            bad_chunk(c, "a chunk of impossible size");
        return;
    }
    emit(c, HW_OVERHEAD, c->p, end - c->p);
    c->p = end;
    if (end == c->region->end)
        return;
    hw_addr resume = glibc_resume_after_gap(c->w, c->a, end, c->region->end);
    if (resume == 0 || !header_at(c->w, resume, c->region->end, &c->h)) {
        if (glibc_is_absent(c->w, end, c->region->end - end)) {
            unreadable(c, end);
            return;
        }
        if (glibc_is_damage(c, c->region->end - end))
            hw_report_break(c->w->report, HW_INVARIANT_MAIN_REGIONS, HW_FINDING_REGION_NOT_FOUND,
                            (int)c->index, hw_known(end), hw_known(c->region->end - end),
                            "main arena: no chunks found behind the foreign sbrk gap at %#" PRIx64,
                            end);
        resume_at_top(c);
        return;
    }
    emit(c, HW_OVERHEAD, end, resume - end);
    c->p = resume;
}

/* ---- ordinary chunks ------------------------------------------------------------------------ */

static struct cached *find_cached(struct cursor *c)
{
    struct walk *w = c->w;
    while (c->next_cached < w->cached.count && w->cached.data[c->next_cached].address < c->p)
        c->next_cached++;
    bool hit = c->next_cached < w->cached.count && w->cached.data[c->next_cached].address == c->p;
    return hit ? &w->cached.data[c->next_cached] : NULL;
}

static const char wrong_flag[] = "a chunk with a wrong arena flag";

/* Fill state and list of the chunk `b`; `links` are its fd and bk if it is free, NULL if they
 * cannot be read, `n` is the header behind it. NULL, or what is wrong. */
static const char *state_of(struct cursor *c, struct hw_block *b, const struct chunk_header *links,
                            struct chunk_header n)
{
    struct cached *cached = find_cached(c);
    bool looks_used = n.raw & CHUNK_P;
    if (cached && !looks_used && glibc_moving(c->w)) {
        cached->seen = true; /* it was, when the lists were read */
        glibc_excuse(c->w, c->a, 0);
        cached = NULL;
    }
    if (cached) {
        cached->seen = true;
        b->state = cached->state;
        b->bin = (int16_t)cached->bin;
        b->tid = cached->tid;
        c->a->cached_bytes += b->bytes;
        return looks_used ? NULL : "a chunk both in a bin and in a tcache or fastbin";
    }
    bool right_flag = !(c->h.raw & CHUNK_A) == c->a->main;
    bool binned = looks_used && !right_flag && !glibc_moving(c->w) &&
                  glibc_links_back(c->w, b->address) == 2; /* free ones have no flag */
    if (looks_used && !binned) {
        b->state = HW_USED;
        return right_flag ? NULL : wrong_flag;
    }
    b->state = HW_FREE;
    if (c->w->sink->want_bins)
        b->bin = glibc_bin_of(c->w, c->a, b->address, b->bytes);
    tally_add(&c->a->walked, b->address, b->bytes);
    if (links)
        add_edges(c->a, b->address, links->prev_size, links->raw);
    else
        c->a->edges_missing = true;
    if (binned) /* if not even the size is right, the header behind is damaged, and that is next */
        return n.prev_size == b->bytes ? "a free chunk that the next one takes for one in use"
                                       : NULL;
    return n.prev_size == b->bytes ? NULL : "a free chunk whose size is not repeated at its end";
}

/* The chunk at p is free: then something leads to it. */
static void check_binned(struct cursor *c)
{
    if (glibc_moving(c->w) || glibc_links_back(c->w, c->p) != 0 || glibc_is_unlinked(c->w, c->p))
        return;
    if (glibc_is_cut_off(c->w, c->p))
        c->w->report->check.missed[HW_INVARIANT_BIN_SETS]++;
    else
        hw_report_break(c->w->report, HW_INVARIANT_BIN_SETS, HW_FINDING_LIST_MISMATCH,
                        (int)c->index, hw_known(c->p), hw_known(chunk_size(c->h)),
                        "arena %u: a free chunk at %#" PRIx64 " that is in no bin", c->index, c->p);
}

/* The chunk at p reaches over others, which lists know. */
static bool go_on_inside(struct cursor *c, uint64_t size)
{
    hw_addr from = c->p, next = glibc_cached_inside(c, size);
    struct chunk_header own = c->h, h;
    if (!next || !header_at(c->w, next, c->region->end, &h))
        return false;
    c->p = next;
    c->h = h;
    c->a->lost += next - from;
    hw_report_break(c->w->report, HW_INVARIANT_CHUNKS, HW_FINDING_BAD_CHUNK, (int)c->index,
                    hw_known(from), hw_known(next - from),
                    "arena %u: a chunk of a wrong size at %#" PRIx64 " (size word %#" PRIx64
                    "); %" PRIu64 " bytes are not accounted for",
                    c->index, from, own.raw, next - from);
    return true;
}

/* The chunk at p, of possible size, with the header n behind it, moves on to that. `links` as
 * above. */
static void take_chunk(struct cursor *c, struct chunk_header n, const struct chunk_header *links)
{
    struct walk *w = c->w;
    hw_addr q = c->p + chunk_size(c->h);
    bool torn = !(n.raw & CHUNK_P) && n.prev_size != chunk_size(c->h); /* maybe between two reads */
    if (torn && glibc_try_again(c))
        return;
    enum doubt doubt = torn && !glibc_moving(w) ? glibc_doubt(c, q, n) : DOUBT_FOOT;
    if (doubt == DOUBT_SIZE) {
        bad_chunk(c, "a free chunk of a wrong size");
        return;
    }
    struct chunk_header believed = n;
    if (doubt != DOUBT_FOOT)
        believed.raw |= CHUNK_P;
    struct hw_block b = {
        .address = c->p, .bytes = q - c->p, .arena = (int32_t)c->index, .bin = HW_BIN_UNKNOWN};
    const char *what = state_of(c, &b, links, believed);
    if (what)
        bad_word(c, what == wrong_flag ? HW_INVARIANT_CHUNKS : HW_INVARIANT_FREE_CHUNKS, c->p,
                 what);
    if (w->sink->want_check && b.state == HW_FREE)
        check_binned(c);
    glibc_emit(w, &b);
    c->p = q;
    c->h = n;
    if (doubt == DOUBT_FLAG)
        bad_word(c, HW_INVARIANT_FREE_CHUNKS, q,
                 "a chunk that says of the one before it that it is free, which it is not,");
    if (doubt == DOUBT_HEADER)
        bad_chunk(c, "a chunk whose header leads to no other chunk");
}

/* One chunk at p; moves on to the next. */
static void walk_chunk(struct cursor *c)
{
    struct walk *w = c->w;
    hw_addr end = c->region->end;
    uint64_t size = chunk_size(c->h);
    struct chunk_header n, links;

    if (size == w->rules.header && c->a->main) {
        walk_main_fence(c);
        return;
    }
    if (glibc_is_old_top(c->a, c->p, c->h, end)) {
        walk_top(c);
        return;
    }
    bool possible = ((size & (w->rules.alignment - 1)) == 0 || size == w->rules.header) &&
                    size >= w->rules.header && size < end - c->p;
    bool mmapped = c->h.raw & CHUNK_M;
    if (!possible || mmapped || !glibc_is_credible(c)) {
        bad_chunk(c, !possible ? "a chunk of impossible size"
                     : mmapped ? "a chunk inside a heap with the flag of mmapped ones"
                               : "a chunk whose header leads to no other chunk");
        return;
    }
    hw_addr q = c->p + size;
    /* Before the next header: where that is far, the window goes there. */
    bool linked = header_at(w, c->p + w->rules.header, q, &links);
    if (!header_at(w, q, end, &n))
        unreadable(c, q);
    else if (is_heap_fence(c, q, n))
        walk_heap_fence(c);
    else if (size < w->rules.min_size)
        bad_chunk(c, "a chunk of impossible size");
    else if (!go_on_inside(c, size))
        take_chunk(c, n, linked ? &links : NULL);
}

static void walk_region(struct cursor *c)
{
    const struct region *r = c->region;
    c->p = r->first;
    c->next_cached = glibc_cached_from(c->w, r->first);
    emit(c, HW_OVERHEAD, r->start, r->first - r->start);
    if (c->p >= r->end)
        return;
    if (!header_at(c->w, c->p, r->end, &c->h))
        unreadable(c, c->p);
    else if (!(c->h.raw & CHUNK_P))
        bad_word(c, HW_INVARIANT_FREE_CHUNKS, c->p,
                 "a first chunk that says that there is a free one before it");
    while (c->p < c->region->end && !c->w->stopped && c->code == HW_OK) {
        glibc_walk_plain(c);
        if (c->p != c->a->top)
            walk_chunk(c);
        else if (is_no_top(c))
            glibc_distrust_top(c->w, c->a, c->index, "in the middle of its chunks");
        else if (glibc_at_top(c))
            walk_top(c);
    }
}

int glibc_walk_regions(struct walk *w, unsigned index, struct hw_error *err)
{
    struct arena *a = &w->arenas.data[index];
    int rc = HW_OK;
    for (size_t i = 0; i < a->regions.count && !w->stopped && rc == HW_OK; i++) {
        if (i > 0 && glibc_moving(w)) /* the next heap of a thread arena */
            rc = glibc_read_again(w, index, i, a->regions.data[i].first, err);
        struct cursor c = {.w = w,
                           .a = a,
                           .index = index,
                           .at = i,
                           .region = &a->regions.data[i],
                           .heap = &w->report->arenas.data[index].heaps.data[i],
                           .err = err,
                           .code = rc};
        walk_region(&c);
        rc = c.code;
    }
    glibc_flush(w);
    return rc;
}
