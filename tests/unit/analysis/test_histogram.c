#include "analysis/analysis.h"
#include "model/sample.h"

static struct hw_analyzing *work;

/* A report of `arenas` arenas; the walk begins. */
static struct hw_report *begin(size_t arenas)
{
    struct hw_report *r = sample_report();
    for (size_t i = 0; i < arenas; i++)
        sample_arena(r, 1 * MIB, 4096);
    cr_assert_eq(hw_analyses_begin(r, &work, NULL), HW_OK);
    return r;
}

static void feed(enum hw_state state, int arena, uint64_t bytes)
{
    struct hw_block b = sample_block(state, arena, bytes);
    hw_analyses_blocks(work, &b, 1);
}

Test(histogram, a_bucket_begins_at_a_power_of_two)
{
    struct hw_report *r = begin(1);
    for (unsigned k = 1; k < 64; k++) {
        uint64_t edge = (uint64_t)1 << k;
        feed(HW_FREE, 0, edge);
        feed(HW_FREE, 0, edge - 1);
    }
    feed(HW_FREE, 0, UINT64_MAX);
    hw_analyses_end(work);
    for (unsigned k = 1; k < 63; k++) {
        uint64_t edge = (uint64_t)1 << k;
        cr_expect_eq(r->histogram.chunks[k], 2, "bucket %u", k);
        cr_expect_eq(r->histogram.bytes[k], edge + (2 * edge - 1), "bucket %u", k);
    }
    cr_expect_eq(r->histogram.chunks[0], 1);
    cr_expect_eq(r->histogram.chunks[63], 2);
    hw_report_destroy(r);
}

Test(histogram, free_means_bins_and_fastbins)
{
    struct hw_report *r = begin(2);
    feed(HW_FREE, 0, 1024);
    feed(HW_TOP, 0, 1024);
    feed(HW_CACHED, 0, 1024);
    feed(HW_OVERHEAD, 0, 1024);
    feed(HW_PARKED, 1, 1040);
    hw_analyses_end(work);
    cr_expect_eq(r->histogram.chunks[10], 2);
    cr_expect_eq(r->histogram.bytes[10], 2064);
    cr_expect_eq(r->arenas.data[0].histogram.chunks[10], 1);
    cr_expect_eq(r->arenas.data[1].histogram.bytes[10], 1040);
    cr_expect_eq(r->in_use_histogram.chunks[10], 0);
    hw_report_destroy(r);
}

Test(histogram, in_use_has_mmapped_chunks_with_their_whole_mapping)
{
    struct hw_report *r = begin(2);
    feed(HW_USED, 0, 1024);
    feed(HW_USED, 1, 1040);
    struct hw_block b = sample_block(HW_MMAPPED, -1, 1 * MIB - 4096);
    b.lead = 4096;
    hw_analyses_blocks(work, &b, 1);
    hw_analyses_end(work);
    cr_expect_eq(r->arenas.data[1].in_use_histogram.chunks[10], 1);
    cr_expect_eq(r->in_use_histogram.chunks[10], 2);
    cr_expect_eq(r->in_use_histogram.bytes[10], 2064);
    cr_expect_eq(r->in_use_histogram.chunks[20], 1);
    cr_expect_eq(r->in_use_histogram.bytes[20], 1 * MIB);
    hw_report_destroy(r);
}

Test(histogram, blocks_that_make_no_sense_are_ignored)
{
    static const struct hw_histogram empty;
    struct hw_report *r = begin(1);
    feed(HW_FREE, 1, 1024);
    feed(HW_FREE, -1, 1024);
    feed(HW_USED, -1, 1024);
    feed(HW_USED, 0, 0);
    feed(HW_MMAPPED, -1, 0);
    hw_analyses_end(work);
    cr_expect_eq(memcmp(&r->histogram, &empty, sizeof empty), 0);
    cr_expect_eq(memcmp(&r->in_use_histogram, &empty, sizeof empty), 0);
    hw_report_destroy(r);
}

Test(histogram, what_chunks_cost_beyond_the_request)
{
    struct hw_report *r = begin(1);
    feed(HW_USED, 0, 32); /* malloc(0) to malloc(24) */
    feed(HW_USED, 0, 48); /* malloc(25) to malloc(40) */
    feed(HW_FREE, 0, 48);
    feed(HW_FREE, 0, 32);
    feed(HW_CACHED, 0, 48);
    struct hw_block b = sample_block(HW_MMAPPED, -1, 1 * MIB - 8192);
    b.lead = 8192;
    hw_analyses_blocks(work, &b, 1);
    b = sample_block(HW_MMAPPED, -1, 2 * MIB - 16); /* glibc 2.43 */
    b.tail = 16;
    hw_analyses_blocks(work, &b, 1);
    hw_analyses_end(work);
    cr_expect_eq(r->in_use_costs.header_bytes[5], 2 * 8);
    cr_expect_eq(r->in_use_costs.rounding_max_bytes[5], 24 + 15);
    cr_expect_eq(r->in_use_costs.header_bytes[20], 2 * 8);
    cr_expect_eq(r->in_use_costs.rounding_max_bytes[20], 8192 + 4095);
    cr_expect_eq(r->in_use_costs.header_bytes[21], 3 * 8);
    hw_report_destroy(r);
}

Test(histogram, costs_of_32_bit_chunks)
{
    static const uint64_t alignments[] = {16, 8 /* before glibc 2.26 */};
    for (size_t i = 0; i < 2; i++) {
        struct hw_report *r = begin(1);
        r->target.word = 4;
        r->params.min_chunk_bytes = 16;
        r->params.chunk_alignment = alignments[i];
        feed(HW_USED, 0, 16); /* malloc(0) to malloc(12) */
        feed(HW_USED, 0, 40);
        hw_analyses_end(work);
        cr_expect_eq(r->in_use_costs.header_bytes[4], 4);
        cr_expect_eq(r->in_use_costs.rounding_max_bytes[4], 12);
        cr_expect_eq(r->in_use_costs.header_bytes[5], 4);
        cr_expect_eq(r->in_use_costs.rounding_max_bytes[5], alignments[i] - 1);
        hw_report_destroy(r);
    }
}
