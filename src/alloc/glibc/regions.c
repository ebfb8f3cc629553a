/*
 * The pieces of memory that the main arena consists of.
 *
 * Contiguous: from mp_.sbrk_base to the end of top, and system_mem says how long that is. A program
 * that calls sbrk() itself leaves gaps in it, and nothing records where malloc resumed behind one.
 *
 * Non-contiguous: once sbrk() failed, memory came from mmap, in pieces that no list names. What
 * they have in common is that chunks follow each other without a flaw from a page boundary to a
 * fence, or to top: too much of a coincidence to be anything else. The pieces must sum up to
 * system_mem.
 */
#include "alloc/glibc/glibc.h"

#include <inttypes.h>

/* A search that tries many starts may not follow more headers than this in all. */
#define SEARCH_BUDGET ((uint64_t)1 << 26)

struct search {
    struct walk *w;
    const struct arena *a;
    uint64_t budget;
};

static bool peek(struct walk *w, hw_addr p, hw_addr end, struct chunk_header *h)
{
    const uint8_t *bytes = NULL;
    if (p < end && end - p >= w->rules.header)
        bytes = hw_window_at(&w->window, p, w->rules.header, end);
    if (bytes)
        *h = chunk_decode(&w->rules, bytes);
    return bytes != NULL;
}

static bool is_fence_header(const struct walk *w, struct chunk_header h)
{
    return (h.raw & ~(uint64_t)CHUNK_P) == w->rules.header;
}

hw_addr glibc_main_fence_end(struct walk *w, hw_addr p, hw_addr end)
{
    struct chunk_header h;
    hw_addr second = 0;
    for (unsigned n = 1; n <= 3 && peek(w, p, end, &h) && is_fence_header(w, h); n++) {
        p += w->rules.header;
        /* What was too little for the alignment of chunks is left over behind them. */
        hw_addr behind = hw_align_up(p, w->rules.alignment);
        if (n >= 2 && behind % w->target->who.page_size == 0)
            return behind;
        if (n == 2)
            second = p;
    }
    return second; /* two headers that end on no page boundary: a break that was never aligned */
}

/* A free chunk of the main arena is in one of its bins: its neighbours in the list point back. */
static bool is_linked(struct walk *w, hw_addr p)
{
    unsigned word = w->rules.word;
    const uint8_t *bytes = hw_seeker_at(&w->seeker, p + w->rules.header, word);
    if (bytes)
        bytes = hw_seeker_at(&w->seeker, hw_word(bytes, word) + 3 * word, word);
    return bytes && hw_word(bytes, word) == p;
}

/* No cached chunk begins strictly inside (p, q): chunks do not overlap. */
static bool covers_no_cached(const struct walk *w, hw_addr p, hw_addr q)
{
    size_t i = glibc_cached_from(w, p + 1);
    return i >= w->cached.count || w->cached.data[i].address >= q;
}

/*
 * The first chunk of a piece that came fresh from the kernel: P is set, and the word before the
 * size, which belongs to no chunk, was never written.
 */
static bool is_first_chunk(const struct walk *w, struct chunk_header h, bool strict)
{
    return (h.raw & CHUNK_P) && !(strict && h.prev_size) && !is_fence_header(w, h);
}

/* The chunk at p, of header h, is one of the main arena, and *n is the header behind it. */
static bool is_chunk(struct search *s, hw_addr p, hw_addr limit, struct chunk_header h,
                     struct chunk_header *n)
{
    struct walk *w = s->w;
    uint64_t size = chunk_size(h);
    if ((h.raw & (CHUNK_M | CHUNK_A)) || !chunk_size_fits(&w->rules, size, p, limit) ||
        !peek(w, p + size, limit, n))
        return false;
    if (!glibc_moving(w) && !covers_no_cached(w, p, p + size))
        return false;
    return (n->raw & CHUNK_P) || (n->prev_size == size && is_linked(w, p));
}

/* Where the target runs, a chain that is one may have flaws: so many after so many good chunks, and
 * so far behind each the chain is looked for. */
#define FLAWS_MAX  64
#define GOOD_FIRST 16
#define FLAW_BYTES ((uint64_t)1 << 20)

/* The chain is broken at *p: move on to where it goes on. */
static bool step_over(struct search *s, hw_addr *p, hw_addr limit, struct chunk_header *h)
{
    static const struct region whole;
    hw_addr end = limit - *p > FLAW_BYTES ? *p + FLAW_BYTES : limit;
    hw_addr next = glibc_resync(s->w, s->a, &whole, *p, end);
    *p = next;
    hw_window_reset(&s->w->window);
    return next < end && peek(s->w, next, limit, h);
}

/* Follow chunks from p without tolerating a flaw. The end of the fence they lead to, or of top; 0
 * if they lead nowhere. `strict`: p must look like the first chunk of a fresh piece. */
static hw_addr chain_end(struct search *s, hw_addr p, hw_addr limit, bool strict)
{
    struct walk *w = s->w;
    struct chunk_header h, n;
    unsigned flaws = 0;
    if (!peek(w, p, limit, &h) || !is_first_chunk(w, h, strict))
        return 0;
    for (uint64_t met = 0; s->budget && s->budget--; met++) {
        uint64_t size = chunk_size(h);
        if (p == s->a->top) /* it ends where its memory does, aligned or not */
            return size >= w->rules.min_size && size <= limit - p ? p + size : 0;
        if (is_fence_header(w, h))
            return glibc_main_fence_end(w, p, limit);
        if (is_chunk(s, p, limit, h, &n)) {
            p += size;
            h = n;
        } else if (!glibc_moving(w) || met < GOOD_FIRST || flaws++ >= FLAWS_MAX ||
                   !step_over(s, &p, limit, &h)) {
            return 0;
        }
    }
    return 0;
}

static struct search begin_search(struct walk *w, const struct arena *a)
{
    uint64_t chunks =
        a->system_bytes / w->rules.min_size; /* a chain that leads somewhere is free */
    return (struct search){.w = w, .a = a, .budget = SEARCH_BUDGET + chunks};
}

/* Try each place where a first chunk could stand. */
static hw_addr find_first(struct search *s, hw_addr from, hw_addr end, bool strict)
{
    struct walk *w = s->w;
    struct chunk_header h;
    hw_addr p = chunk_first(&w->rules, from);
    while (p >= from && p < end && s->budget && s->budget--) {
        if (!peek(w, p, end, &h)) { /* nothing to read here: try the next page that has something */
            hw_addr next = glibc_next_page(w, p + 1, end, &s->budget);
            p = next > p ? chunk_first(&w->rules, next) : end;
        } else if (is_first_chunk(w, h, strict) && chain_end(s, p, end, strict)) {
            return p;
        } else {
            p += w->rules.alignment;
        }
    }
    return 0;
}

/* Many gaps are searched one after the other, so what looks like one must not cost as much each
 * time. */
#define GAP_SEARCHES 4

static hw_addr find_behind(struct walk *w, const struct arena *a, hw_addr gap, hw_addr end,
                           bool strict)
{
    struct search s = begin_search(w, a);
    uint64_t all = GAP_SEARCHES * s.budget, left = all > w->gap_steps ? all - w->gap_steps : 0;
    uint64_t had = s.budget = s.budget < left ? s.budget : left;
    hw_addr p = find_first(&s, gap, end, strict);
    w->gap_steps += had - s.budget;
    return p;
}

hw_addr glibc_resume_after_gap(struct walk *w, const struct arena *a, hw_addr gap, hw_addr end)
{
    hw_addr p = find_behind(w, a, gap, end, true);
    if (p)
        return p;
    /* Foreign memory may have been taken and given back, and then the word is not fresh. */
    p = find_behind(w, a, gap, end, false);
    if (p && !glibc_excuse(w, &w->arenas.data[0], 0))
        hw_report_break(w->report, HW_INVARIANT_MAIN_REGIONS, HW_FINDING_REGION_NOT_FOUND, 0,
                        hw_known(p), (struct hw_maybe){0},
                        "main arena: chunks seem to go on at %#" PRIx64
                        " behind a foreign sbrk gap, but that is a guess",
                        p);
    return p;
}

/* ---- non-contiguous ------------------------------------------------------------------------- */

static int add_region(struct walk *w, hw_addr start, hw_addr first, hw_addr end,
                      struct hw_error *err)
{
    struct region region = {.start = start, .first = first, .end = end};
    struct hw_heap heap = {.address = start, .bytes = end - start};
    if (!hw_vec_push(&w->arenas.data[0].regions, region) ||
        !hw_vec_push(&w->report->arenas.data[0].heaps, heap))
        return hw_fail(err, HW_ERR_NOMEM, "no memory for regions");
    return glibc_occupy(w, start, end, err);
}

/* Try each page of a part of memory as the start of a region. `left` is what is still to be found.
 */
static int scan_span(struct search *s, struct span span, uint64_t *left, struct hw_error *err)
{
    struct walk *w = s->w;
    uint64_t page = w->target->who.page_size;
    hw_addr p = span.start;
    int rc = HW_OK;
    while (*left && rc == HW_OK) {
        p = glibc_next_page(w, p, span.end, &s->budget);
        if (p >= span.end || !s->budget)
            return HW_OK;
        hw_addr first = chunk_first(&w->rules, p);
        hw_addr end = chain_end(s, first, span.end, true);
        if (end && end % page == 0 && end - p <= *left) {
            rc = add_region(w, p, first, end, err);
            *left -= end - p;
            p = end;
        } else {
            p += page;
        }
        if (p < page) /* the end of the address space */
            return rc;
    }
    return rc;
}

static int by_start(const void *a, const void *b)
{
    const struct region *x = a, *y = b;
    return x->start < y->start ? -1 : x->start > y->start;
}

static int heap_by_start(const void *a, const void *b)
{
    const struct hw_heap *x = a, *y = b;
    return x->address < y->address ? -1 : x->address > y->address;
}

/* Memory from sbrk() ends at the break. */
static hw_addr sbrk_end(const struct walk *w)
{
    return w->brk ? w->brk : glibc_stretch_end(w, w->sbrk_base);
}

/*
 * The part that came from sbrk: from sbrk_base to a fence or top, then maybe on behind foreign
 * memory. Gaps count in system_mem only if malloc met them while it was still contiguous, which is
 * not recorded: they are reported as regions' neighbours, not as theirs, and settled by
 * settle_gaps().
 */
static int find_sbrk_part(struct search *s, uint64_t *left, struct hw_error *err)
{
    struct walk *w = s->w;
    hw_addr limit = glibc_stretch_end(w, w->sbrk_base), brk = sbrk_end(w);
    hw_addr start = w->sbrk_base;
    hw_addr first = chunk_first(&w->rules, start);
    int rc = HW_OK;
    while (first >= start && first < limit && *left && rc == HW_OK) {
        hw_addr end = chain_end(s, first, limit, true);
        if (end == 0 || end - start > *left)
            break;
        rc = add_region(w, start, first, end, err);
        *left -= end - start;
        if (end >= limit || end >= brk)
            break;
        start = first = find_first(s, end, brk < limit ? brk : limit, true);
    }
    return rc;
}

/* What the pieces do not explain may be the gaps between those that came from sbrk: the oldest
 * gaps, if any, are part of system_mem. */
static void settle_gaps(struct walk *w, uint64_t *left)
{
    struct arena *a = &w->arenas.data[0];
    struct hw_arena *row = &w->report->arenas.data[0];
    for (size_t i = 0; i + 1 < a->regions.count && *left; i++) {
        struct region *r = &a->regions.data[i], *next = r + 1;
        uint64_t gap = next->start - r->end;
        if (r->start < w->sbrk_base || next->start >= sbrk_end(w) || gap > *left)
            continue;
        next->start -= gap; /* overhead in front of the next region */
        row->heaps.data[i + 1].address -= gap;
        row->heaps.data[i + 1].bytes += gap;
        *left -= gap;
    }
}

/* A piece of which a header is missing is not known for one. */
static void miss_regions(struct walk *w, uint64_t left)
{
    w->regions_absent = true;
    w->arenas.data[0].absent = true;
    w->report->check.missed[HW_INVARIANT_MAIN_REGIONS]++;
    hw_report_add(w->report, HW_FINDING_MISSING, 0, (struct hw_maybe){0}, hw_known(left),
                  "main arena: no region found for %" PRIu64 " of its %" PRIu64
                  " system bytes: memory that may be its own is missing from the core",
                  left, w->arenas.data[0].system_bytes);
}

static int find_noncontiguous(struct walk *w, struct hw_error *err)
{
    struct arena *a = &w->arenas.data[0];
    struct hw_arena *row = &w->report->arenas.data[0];
    struct search s = begin_search(w, a);
    struct span span;
    uint64_t left = a->system_bytes;
    int rc = find_sbrk_part(&s, &left, err);
    for (hw_addr from = 0; left && rc == HW_OK && glibc_next_unknown(w, &from, &span);)
        rc = scan_span(&s, span, &left, err);
    if (a->regions.count) {
        qsort(a->regions.data, a->regions.count, sizeof *a->regions.data, by_start);
        qsort(row->heaps.data, row->heaps.count, sizeof *row->heaps.data, heap_by_start);
    }
    if (left)
        settle_gaps(w, &left);
    if (left && glibc_absent_elsewhere(w).bytes)
        miss_regions(w, left);
    else if (left && !glibc_excuse(w, a, left))
        hw_report_break(
            w->report, HW_INVARIANT_MAIN_REGIONS, HW_FINDING_REGION_NOT_FOUND, 0,
            (struct hw_maybe){0}, hw_known(left),
            "main arena: no region found for %" PRIu64 " of its %" PRIu64 " system bytes%s", left,
            a->system_bytes, s.budget ? "" : "; the search was given up, it took too long");
    return rc;
}

/* The end of top, by its own header; 0 if that cannot be. */
static hw_addr end_of_top(const struct walk *w, const struct arena *a)
{
    uint64_t size = w->report->arenas.data[0].top.bytes;
    hw_addr limit = glibc_stretch_end(w, a->top);
    return a->top < limit && size && size <= limit - a->top ? a->top + size : 0;
}

static int find_contiguous(struct walk *w, struct hw_error *err)
{
    struct arena *a = &w->arenas.data[0];
    hw_addr top_end = end_of_top(w, a), start = w->sbrk_base;
    uint64_t others = glibc_thread_bytes(w);
    uint64_t most = w->private_bytes > others ? w->private_bytes - others : 0;
    if (a->distrusted && top_end > start && top_end - start <= most)
        a->system_bytes = top_end - start;
    hw_addr end = start + a->system_bytes, first = chunk_first(&w->rules, start);
    if (end < start || first < start || first > end) {
        if (glibc_excuse(w, a, a->system_bytes))
            return HW_OK;
        hw_report_break(w->report, HW_INVARIANT_MAIN_END, HW_FINDING_ARENA_HEAPS, 0,
                        hw_known(start), hw_known(a->system_bytes),
                        "main arena: there is no room for it at sbrk_base %#" PRIx64, start);
        return HW_OK;
    }
    if (!glibc_moving(w) && !a->top_is_bad && (a->top < start || a->top >= end))
        glibc_distrust_top(w, a, 0, "where none of its memory is");
    else if (!top_end && glibc_is_absent(w, a->top, w->rules.header))
        w->report->check.missed[HW_INVARIANT_MAIN_END]++;
    else if (top_end != end && !glibc_moving(w) && !a->top_is_bad) /* else it is looked at again */
        hw_report_break(
            w->report, HW_INVARIANT_MAIN_END, HW_FINDING_ARENA_HEAPS, 0, hw_known(a->top),
            (struct hw_maybe){0},
            "main arena: its top at %#" PRIx64 " does not end at sbrk_base + system_mem", a->top);
    hw_addr room = glibc_room_end(w, start);
    if (end > room && !glibc_moving(w)) {
        hw_report_break(w->report, HW_INVARIANT_MAIN_END, HW_FINDING_ARENA_HEAPS, 0, hw_known(room),
                        hw_known(end - room),
                        "main arena: its memory at sbrk_base ends at %#" PRIx64 ", %" PRIu64
                        " bytes too early",
                        room, end - room);
        end = room;
        first = first < end ? first : end;
    }
    return add_region(w, start, first, end, err);
}

int glibc_find_main_regions(struct walk *w, struct hw_error *err)
{
    const struct arena *a = &w->arenas.data[0];
    if (a->top == 0 && a->system_bytes == 0 && !a->top_is_bad)
        return HW_OK;
    return a->contiguous ? find_contiguous(w, err) : find_noncontiguous(w, err);
}
