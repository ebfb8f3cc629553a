/*
 * How big the chunks are, in powers of two.
 *
 * free     chunks of fastbins and bins, for each arena and in total. Tops are left out (one per
 *          arena, they would only blur the picture), and so are thread caches (small by nature).
 * in use   everything the program holds: chunks of arenas, and those with a mapping of their own
 *          (with the whole mapping), so that its bytes sum up to in_use_bytes + mmapped_bytes.
 *
 * And what chunks in use cost beyond the bytes that were asked for:
 *
 *     chunk in an arena   | size |  asked for  | rounding |      header: one word, the size. (The
 *                         |<-------- chunk -------------->|      word before it is the end of the
 *                                                                chunk below, if that is in use.)
 *     malloc(n): max(MINSIZE, (n + word) rounded up to the alignment), so rounding is at most
 *     alignment - 1, and MINSIZE - word in the smallest chunk.
 *
 *     chunk with a mapping of its own: two words (three since 2.43), rounded up to a page; what
 *     memalign() left in front of it counts as rounding.
 *
 * Not in this: a leftover that is too small for a chunk of its own stays with the chunk (at most
 * MINSIZE), and what the program itself rounded up.
 */
#include "analysis/analysis.h"

static unsigned bucket_of(uint64_t bytes)
{
    return 63 - (unsigned)__builtin_clzll(bytes);
}

/* Whatever comes, the same instructions: in a heap with free chunks here and there a loop over
 * spans, most of them short, would mostly wait for the end of the next one. */
static void spans(void *state, struct hw_report *r, struct hw_arena *a, const struct hw_span *s,
                  size_t count)
{
    enum { NEITHER, IN_USE, FREE };
    static const uint8_t kinds[HW_STATES_] = {
        [HW_USED] = IN_USE, [HW_PARKED] = FREE, [HW_FREE] = FREE};
    struct hw_histogram *const tables[] = {
        [NEITHER] = state, [IN_USE] = &a->in_use_histogram, [FREE] = &a->histogram};
    const struct hw_block *end = count ? s[count - 1].blocks + s[count - 1].count : NULL;
    uint64_t least = r->params.min_chunk_bytes, smallest = 0;
    for (const struct hw_block *b = count ? s->blocks : NULL; b < end; b++) {
        unsigned kind = b->bytes ? kinds[b->state] : NEITHER, bucket = bucket_of(b->bytes | 1);
        tables[kind]->chunks[bucket]++;
        tables[kind]->bytes[bucket] += b->bytes;
        smallest += (b->bytes == least) & (kind == IN_USE);
    }
    a->smallest_in_use += smallest;
}

static void mapped(void *state, struct hw_report *r, const struct hw_block *b)
{
    (void)state;
    uint64_t bytes = hw_mapping_bytes(b);
    if (bytes == 0)
        return;
    unsigned bucket = bucket_of(bytes);
    r->in_use_histogram.chunks[bucket]++;
    r->in_use_histogram.bytes[bucket] += bytes;
    r->in_use_costs.header_bytes[bucket] += (b->tail ? 3 : 2) * (uint64_t)r->target.word;
    r->in_use_costs.rounding_max_bytes[bucket] += r->target.page_size - 1 + b->lead;
}

static void add(struct hw_histogram *to, const struct hw_histogram *more)
{
    for (size_t i = 0; i < HW_BUCKETS; i++) {
        to->chunks[i] += more->chunks[i];
        to->bytes[i] += more->bytes[i];
    }
}

static void add_costs(struct hw_report *r, const struct hw_arena *a)
{
    uint64_t word = r->target.word, least = r->params.min_chunk_bytes;
    uint64_t rounding = hw_report_alignment(r) - 1;
    for (size_t i = 0; i < HW_BUCKETS; i++) {
        r->in_use_costs.header_bytes[i] += a->in_use_histogram.chunks[i] * word;
        r->in_use_costs.rounding_max_bytes[i] += a->in_use_histogram.chunks[i] * rounding;
    }
    if (least)
        r->in_use_costs.rounding_max_bytes[bucket_of(least)] +=
            a->smallest_in_use * (least - word - rounding);
}

static void end(void *state, struct hw_report *r)
{
    (void)state;
    for (size_t i = 0; i < r->arenas.count; i++) {
        const struct hw_arena *a = &r->arenas.data[i];
        add(&r->histogram, &a->histogram);
        add(&r->in_use_histogram, &a->in_use_histogram);
        add_costs(r, a);
    }
}

const struct hw_analysis hw_analysis_histogram = {
    .name = "histogram",
    .state_bytes = sizeof(struct hw_histogram), /* of what is in neither of the others */
    .spans = spans,
    .mapped = mapped,
    .end = end,
};
