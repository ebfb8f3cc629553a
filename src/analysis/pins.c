/*
 * Which chunks keep the top of an arena from growing downwards. glibc gives memory back by itself
 * only from top, so a single live chunk near the end of a heap can hold back all the free memory
 * below it (malloc_trim(0) gives back whole pages in the middle, too, but somebody must call it):
 *
 *     low addresses                                                              high
 *     | used |       free       |used|used|  free  |tc|used|   free   |used|     top      |
 *            `------------------'--------'`-------'-------'`---------'----'
 *             run       and      island     run    island     run    island
 *            `------ stretch -----------'`--- stretch ----'`-- stretch ---'
 *
 * An island is whatever lies between two runs of free memory: chunks in use, and chunks in tcaches,
 * which nothing is merged across, either. A stretch is a run and the island above it. If the
 * islands of the last K stretches went away, top would begin where the lowest of their runs begins:
 *
 *     it would gain the runs of K stretches     joins(K)   what is held back
 *     at the price of their islands             cost(K)    what holds it back
 *
 * Which K? The more, the more would join, until there is no difference left between "a few chunks
 * hold much back" and "the heap is in use". So:
 *
 *   - Only K with 16 * cost(K) <= joins(K) count: memory that is more than 94 % free, whose rest
 *     somebody might really look for and move elsewhere.
 *   - Of these the least K that has 7/8 of what the largest of them would gain: chunks that add
 *     hardly anything only distract from those that matter.
 *   - Nothing is said below 64 KiB: half of what glibc itself finds worth trimming by default.
 *
 * How far down top can grow:
 *
 *   main arena      to the last fence or foreign memory, as nothing is merged across these; and not
 *                   at all if the program break is no longer behind top.
 *   thread arenas   to the first heap. Once nothing but top is left in a heap it is unmapped whole,
 *                   and the end of the heap before it becomes top, but only if there is room
 *                   to grow at that end (top.c has the picture).
 *
 * Memory: heaps may have millions of stretches, and which of them matter is known only at the end.
 * Whenever STRETCHES of them have come together, every other boundary between them is given up, in
 * each pair of neighbours that above the smaller run. So the boundaries that are left, where K may
 * end, are those with the largest runs; sums stay exact.
 */
#include "analysis/trim.h"

#define STRETCHES   128 /* even */
#define COST_SHARE  16
#define NEAR_ENOUGH 8 /* all but 1/8 */
#define WORTH_BYTES ((uint64_t)64 << 10)

/* As in struct hw_top_pins. */
struct sum {
    uint64_t chunks, bytes, cached_chunks, cached_bytes;
    uint64_t joins_bytes, joins_resident, joins_trim;
};

struct stretch {
    hw_addr start; /* of its run, or of its island if there is no run below that */
    size_t heap;   /* index of the heap in which that is */
    uint64_t run_bytes;
    struct sum sum;         /* of all of it */
    struct hw_block *first; /* of its island, room for HW_TOP_PINS_KEPT */
    size_t first_count;
};

struct state {
    struct hw_page_cursor cursor;
    int32_t arena; /* at hand; -1: none yet */
    hw_addr next;  /* end of the block before */
    size_t heap;   /* index of the heap at hand, ... */
    hw_addr heap_end;
    bool in_run; /* the block before was free */
    bool lost;   /* not every block of this arena was seen */
    size_t count;
    struct stretch *list[STRETCHES]; /* ascending; behind `count` those that are free for use */
    struct stretch pool[STRETCHES];
    struct hw_block first[STRETCHES]
                         [HW_TOP_PINS_KEPT]; /* of those; apart, as it is seldom looked at */
};

/* ---- stretches ------------------------------------------------------------------------------ */

static void add_sums(struct sum *to, const struct sum *more)
{
    to->chunks += more->chunks;
    to->bytes += more->bytes;
    to->cached_chunks += more->cached_chunks;
    to->cached_bytes += more->cached_bytes;
    to->joins_bytes += more->joins_bytes;
    to->joins_resident += more->joins_resident;
    to->joins_trim += more->joins_trim;
}

/* Append a stretch to the one below it. */
static void absorb(struct stretch *low, const struct stretch *high)
{
    add_sums(&low->sum, &high->sum);
    for (size_t i = 0; i < high->first_count && low->first_count < HW_TOP_PINS_KEPT; i++)
        low->first[low->first_count++] = high->first[i];
}

/* Halve the number of boundaries. The lowest stretch keeps its own. */
static void thin(struct state *s)
{
    struct stretch *gone[STRETCHES / 2] = {0}, **list = s->list;
    size_t kept = 1, i = 1, count = s->count;
    for (; i + 1 < count; i += 2) {
        bool second = list[i]->run_bytes < list[i + 1]->run_bytes;
        struct stretch *keep = list[second ? i + 1 : i], *lose = list[second ? i : i + 1];
        absorb(second ? list[kept - 1] : keep, lose);
        gone[i - kept] = lose;
        list[kept++] = keep;
    }
    if (i < count)
        list[kept++] = list[i];
    s->count = kept;
    for (i = 0; i < count - kept; i++) /* to be used again */
        list[kept + i] = gone[i];
}

static struct stretch *begin_stretch(struct state *s, hw_addr start)
{
    if (s->count == STRETCHES)
        thin(s);
    struct stretch *new = s->list[s->count++];
    new->start = start;
    new->heap = s->heap;
    new->run_bytes = 0;
    new->sum = (struct sum){0};
    new->first_count = 0;
    return new;
}

static void add_free(struct state *s, const struct hw_span *span)
{
    struct stretch *last = s->in_run ? s->list[s->count - 1] : begin_stretch(s, span->address);
    last->run_bytes += span->bytes;
    last->sum.joins_bytes += span->bytes;
    s->in_run = true;
}

/* The run of the last stretch is complete, and not one that is merged into top. */
static void end_run(struct state *s, const struct hw_report *r)
{
    if (s->in_run && r->pages) {
        struct stretch *last = s->list[s->count - 1];
        struct hw_trim trim =
            hw_trim_free(r, &s->cursor, last->start, last->start + last->run_bytes);
        last->sum.joins_resident += trim.held.resident;
        last->sum.joins_trim += trim.given.resident + trim.given.swapped;
    }
    s->in_run = false;
}

static void add_pins(struct state *s, const struct hw_span *span)
{
    struct stretch *last = s->count ? s->list[s->count - 1] : begin_stretch(s, span->address);
    if (span->state == HW_CACHED) {
        last->sum.cached_chunks += span->count;
        last->sum.cached_bytes += span->bytes;
    } else {
        last->sum.chunks += span->count;
        last->sum.bytes += span->bytes;
    }
    for (size_t i = 0; i < span->count && last->first_count < HW_TOP_PINS_KEPT; i++)
        last->first[last->first_count++] = span->blocks[i];
}

/* ---- the choice ----------------------------------------------------------------------------- */

/* Whether top could begin in this stretch of a thread arena: the heaps above it, by then without a
 * chunk, go only if there is room to grow at the end of its heap. */
static bool has_room(const struct hw_report *r, const struct hw_arena *a, const struct stretch *low)
{
    const struct hw_params *p = &r->params;
    if (a->kind == HW_ARENA_MAIN || low->heap + 1 >= a->heaps.count)
        return true;
    const struct hw_heap *h = &a->heaps.data[low->heap];
    if (h->bytes > p->heap_max_bytes)
        return false; /* damage */
    uint64_t room = h->address + h->bytes - low->start + (p->heap_max_bytes - h->bytes);
    uint64_t least = p->min_chunk_bytes + a->granule;
    return room >= least && room - least >= p->top_pad.n;
}

static bool is_cheap(const struct sum *sum)
{
    return sum->bytes + sum->cached_bytes <= sum->joins_bytes / COST_SHARE;
}

/* The index of the lowest of the stretches that would join; s->count if it is better to say
 * nothing. `sum` is that from this one on. */
static size_t choose(const struct state *s, const struct hw_report *r, const struct hw_arena *a,
                     struct sum *sum)
{
    uint64_t most = 0;
    *sum = (struct sum){0};
    for (size_t i = s->count; i-- > 0;) {
        add_sums(sum, &s->list[i]->sum);
        if (is_cheap(sum) && has_room(r, a, s->list[i]))
            most = sum->joins_bytes; /* sums only grow */
    }
    *sum = (struct sum){0};
    for (size_t i = s->count; most >= WORTH_BYTES && i-- > 0;) {
        add_sums(sum, &s->list[i]->sum);
        if (is_cheap(sum) && has_room(r, a, s->list[i]) &&
            sum->joins_bytes >= most - most / NEAR_ENOUGH)
            return i;
    }
    *sum = (struct sum){0};
    return s->count;
}

/* False if nobody ever gives back this top, however large it grows. */
static bool can_be_given_back(const struct hw_report *r, const struct hw_arena *a)
{
    struct hw_maybe most = hw_systrim_bytes(r, a, UINT32_MAX, 0);
    return a->kind != HW_ARENA_MAIN || !most.known || most.n > 0;
}

static void finish(struct state *s, struct hw_report *r, struct hw_arena *a)
{
    struct hw_top_pins *pins = &a->top_pins;
    /* What nothing, or nothing but a fence, keeps from top joins it by itself. */
    while (s->count && s->list[s->count - 1]->first_count == 0)
        s->count--;
    if (s->lost || pins->known)
        return;
    struct sum sum = {0};
    size_t lowest = can_be_given_back(r, a) ? choose(s, r, a, &sum) : s->count;
    *pins = (struct hw_top_pins){.known = true,
                                 .chunks = sum.chunks,
                                 .bytes = sum.bytes,
                                 .cached_chunks = sum.cached_chunks,
                                 .cached_bytes = sum.cached_bytes,
                                 .joins_bytes = sum.joins_bytes,
                                 .joins_resident = sum.joins_resident,
                                 .joins_trim = {r->pages != NULL, sum.joins_trim}};
    for (size_t i = lowest; i < s->count; i++)
        for (size_t c = 0; c < s->list[i]->first_count; c++)
            if (pins->first.count == HW_TOP_PINS_KEPT ||
                !hw_vec_push(&pins->first, (struct hw_pin){.block = s->list[i]->first[c]}))
                return;
}

/* ---- the walk ------------------------------------------------------------------------------- */

static void begin(void *state, struct hw_report *r)
{
    struct state *s = state;
    s->arena = -1;
    s->cursor.pages = r->pages;
    for (size_t i = 0; i < STRETCHES; i++) {
        s->list[i] = &s->pool[i];
        s->pool[i].first = s->first[i];
    }
}

/* Another heap begins, or something was missed. Heaps may lie next to each other, too. */
static void jump(struct state *s, const struct hw_report *r, const struct hw_arena *a, hw_addr to)
{
    const struct hw_heap *heaps = a->heaps.data;
    size_t heap = s->heap_end ? s->heap + 1 : 0;
    bool begins = s->next == s->heap_end && heap < a->heaps.count && heaps[heap].address == to;
    s->lost |= !begins;
    s->heap = heap;
    s->heap_end = begins ? to + heaps[heap].bytes : 0;
    end_run(s, r);
    if (s->lost || a->kind == HW_ARENA_MAIN)
        s->count = 0;
}

static void take(struct state *s, struct hw_report *r, struct hw_arena *a,
                 const struct hw_span *span)
{
    if (s->next != span->address || s->next == s->heap_end)
        jump(s, r, a, span->address);
    s->next = span->address + span->bytes;
    switch (span->state) {
    case HW_FREE:
    case HW_PARKED:
        add_free(s, span);
        break;
    case HW_USED:
    case HW_CACHED:
        end_run(s, r);
        add_pins(s, span);
        break;
    case HW_OVERHEAD:
        end_run(s, r);
        if (a->kind == HW_ARENA_MAIN) /* a fence, or foreign memory behind one */
            s->count = 0;
        break;
    case HW_TOP:
        finish(s, r, a);
        s->in_run = false;
        s->count = 0;
        break;
    case HW_MMAPPED:
    case HW_STATES_:
        break;
    }
}

static void spans(void *state, struct hw_report *r, struct hw_arena *a, const struct hw_span *span,
                  size_t count)
{
    struct state *s = state;
    if (s->arena != (int32_t)a->index) {
        s->arena = (int32_t)a->index;
        s->next = s->heap_end = 0;
        s->in_run = s->lost = false;
        s->count = 0;
    }
    for (size_t i = 0; i < count; i++)
        take(s, r, a, &span[i]);
}

/* An arena that was never used has no top, and nothing to hold it back. */
static void end(void *state, struct hw_report *r)
{
    (void)state;
    for (size_t i = 0; i < r->arenas.count; i++)
        if (r->arenas.data[i].top.address == 0 && !r->arenas.data[i].top_pins.known)
            r->arenas.data[i].top_pins =
                (struct hw_top_pins){.known = true, .joins_trim = {.known = r->pages != NULL}};
}

const struct hw_analysis hw_analysis_pins = {
    .name = "pins",
    .state_bytes = sizeof(struct state),
    .begin = begin,
    .spans = spans,
    .end = end,
};
