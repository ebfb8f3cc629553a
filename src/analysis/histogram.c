/*
 * How big the chunks are, in powers of two.
 *
 * free     chunks of fastbins and bins, for each arena and in total. Tops are left out (one per
 *          arena, they would only blur the picture), and so are thread caches (small by nature).
 * in use   everything the program holds: chunks of arenas, and those with a mapping of their own
 *          (with the whole mapping), so that its bytes sum up to in_use_bytes + mmapped_bytes.
 */
#include "analysis/analysis.h"

static void count(struct hw_histogram *h, uint64_t bytes)
{
    if (bytes == 0)
        return;
    unsigned bucket = 63 - (unsigned)__builtin_clzll(bytes);
    h->chunks[bucket]++;
    h->bytes[bucket] += bytes;
}

static void block(void *state, struct hw_report *r, const struct hw_block *b)
{
    (void)state;
    switch (b->state) {
    case HW_USED:
    case HW_MMAPPED:
        count(&r->in_use_histogram, hw_mapping_bytes(b));
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
