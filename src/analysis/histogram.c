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

static void count(struct hw_histogram *h, uint64_t bytes)
{
    if (bytes == 0)
        return;
    unsigned bucket = bucket_of(bytes);
    h->chunks[bucket]++;
    h->bytes[bucket] += bytes;
}

static void count_costs(struct hw_report *r, const struct hw_block *b)
{
    uint64_t bytes = hw_mapping_bytes(b), word = r->target.word;
    if (bytes == 0)
        return;
    bool mapped = b->state == HW_MMAPPED, smallest = bytes == r->params.min_chunk_bytes;
    unsigned bucket = bucket_of(bytes);
    r->in_use_costs.header_bytes[bucket] += mapped ? (b->tail ? 3 : 2) * word : word;
    r->in_use_costs.rounding_max_bytes[bucket] += mapped     ? r->target.page_size - 1 + b->lead
                                                  : smallest ? bytes - word
                                                             : hw_report_alignment(r) - 1;
}

static void block(void *state, struct hw_report *r, const struct hw_block *b)
{
    (void)state;
    switch (b->state) {
    case HW_USED:
    case HW_MMAPPED:
        count(&r->in_use_histogram, hw_mapping_bytes(b));
        count_costs(r, b);
        break;
    case HW_PARKED:
    case HW_FREE:
        if (b->arena < 0 || (size_t)b->arena >= r->arenas.count)
            return;
        count(&r->arenas.data[b->arena].histogram, b->bytes);
        count(&r->histogram, b->bytes);
        break;
    default:
        break;
    }
}

const struct hw_analysis hw_analysis_histogram = {
    .name = "histogram",
    .block = block,
};
