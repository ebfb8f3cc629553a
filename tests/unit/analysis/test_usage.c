#include "analysis/analysis.h"
#include "model/sample.h"

static struct hw_analyzing *work;

static void begin(struct hw_report *r)
{
    cr_assert_eq(hw_analyses_begin(r, &work, NULL), HW_OK);
}

static void feed(enum hw_state state, int arena, uint64_t bytes)
{
    struct hw_block b = sample_block(state, arena, bytes);
    hw_analyses_blocks(work, &b, 1);
}

static int64_t figure(const struct hw_report *r, int arena, enum hw_metric m)
{
    struct hw_figure f = hw_report_figure(r, arena, m);
    cr_assert(f.known, "%s is unknown", hw_metric_info(m)->name);
    return f.n;
}

static int64_t parts(const struct hw_report *r, int arena)
{
    return figure(r, arena, HW_M_IN_USE_BYTES) + figure(r, arena, HW_M_TCACHE_BYTES) +
           figure(r, arena, HW_M_FASTBIN_BYTES) + figure(r, arena, HW_M_BIN_BYTES) +
           figure(r, arena, HW_M_TOP_BYTES) + figure(r, arena, HW_M_OVERHEAD_BYTES) +
           figure(r, arena, HW_M_UNACCOUNTED_BYTES);
}

/* Two arenas in which every state occurs. */
static struct hw_report *walked(void)
{
    struct hw_report *r = sample_report();
    sample_arena(r, 10000, 4000);
    sample_arena(r, 20000, 6000);
    begin(r);
    feed(HW_USED, 0, 3000);
    feed(HW_USED, 0, 1000);
    feed(HW_CACHED, 0, 500);
    feed(HW_PARKED, 0, 100);
    feed(HW_FREE, 0, 1384);
    feed(HW_TOP, 0, 4000);
    feed(HW_OVERHEAD, 0, 16);
    feed(HW_USED, 1, 2000);
    feed(HW_FREE, 1, 9760);
    feed(HW_OVERHEAD, 1, 2240);
    feed(HW_TOP, 1, 6000);
    return r;
}

Test(usage, every_state_has_its_figure)
{
    struct hw_report *r = walked();
    hw_analyses_end(work);
    cr_expect_eq(figure(r, 0, HW_M_IN_USE_BYTES), 4000);
    cr_expect_eq(figure(r, 0, HW_M_IN_USE_CHUNKS), 2);
    cr_expect_eq(figure(r, 0, HW_M_TCACHE_BYTES), 500);
    cr_expect_eq(figure(r, 0, HW_M_TCACHE_CHUNKS), 1);
    cr_expect_eq(figure(r, 0, HW_M_FASTBIN_BYTES), 100);
    cr_expect_eq(figure(r, 0, HW_M_FASTBIN_CHUNKS), 1);
    cr_expect_eq(figure(r, 0, HW_M_BIN_BYTES), 1384);
    cr_expect_eq(figure(r, 0, HW_M_BIN_CHUNKS), 1);
    cr_expect_eq(figure(r, 0, HW_M_TOP_BYTES), 4000);
    cr_expect_eq(figure(r, 0, HW_M_OVERHEAD_BYTES), 16);
    cr_expect_eq(figure(r, 0, HW_M_FREE_BYTES), 5984);
    cr_expect_eq(figure(r, 0, HW_M_LARGEST_FREE_BYTES), 4000);
    cr_expect_eq(figure(r, 1, HW_M_LARGEST_FREE_BYTES), 9760);
    cr_expect_eq(figure(r, 1, HW_M_TCACHE_BYTES), 0);
    hw_report_destroy(r);
}

Test(usage, the_parts_add_up_to_the_system_bytes)
{
    struct hw_report *r = walked();
    hw_analyses_end(work);
    for (int arena = -1; arena < 2; arena++) {
        cr_expect_eq(parts(r, arena), figure(r, arena, HW_M_SYSTEM_BYTES));
        cr_expect_eq(figure(r, arena, HW_M_UNACCOUNTED_BYTES), 0);
    }
    cr_expect(hw_report_complete(r));
    hw_report_destroy(r);
}

Test(usage, totals_are_the_sums_of_the_arenas)
{
    struct hw_report *r = walked();
    hw_analyses_end(work);
    cr_expect_eq(figure(r, -1, HW_M_SYSTEM_BYTES), 30000);
    cr_expect_eq(figure(r, -1, HW_M_IN_USE_BYTES), 6000);
    cr_expect_eq(figure(r, -1, HW_M_IN_USE_CHUNKS), 3);
    cr_expect_eq(figure(r, -1, HW_M_BIN_CHUNKS), 2);
    cr_expect_eq(figure(r, -1, HW_M_FREE_BYTES), 5984 + 15760);
    cr_expect_eq(figure(r, -1, HW_M_LARGEST_FREE_BYTES), 9760);
    hw_report_destroy(r);
}

Test(usage, what_was_not_met_is_unaccounted_and_makes_the_report_partial)
{
    struct hw_report *r = sample_report();
    sample_arena(r, 10000, 4000);
    begin(r);
    feed(HW_TOP, 0, 4000);
    hw_analyses_end(work);
    cr_expect_eq(figure(r, 0, HW_M_UNACCOUNTED_BYTES), 6000);
    cr_expect_eq(figure(r, -1, HW_M_UNACCOUNTED_BYTES), 6000);
    cr_expect_eq(r->finding_counts[HW_FINDING_REGION_NOT_FOUND], 1);
    cr_expect_eq(r->findings.data[0].bytes.n, 6000);
    hw_report_destroy(r);
}

Test(usage, more_than_there_is_makes_unaccounted_negative)
{
    struct hw_report *r = sample_report();
    sample_arena(r, 10000, 4000);
    sample_arena(r, 10000, 4000);
    begin(r);
    feed(HW_USED, 0, 10016);
    feed(HW_USED, 1, 9990);
    hw_analyses_end(work);
    cr_expect_eq(figure(r, 0, HW_M_UNACCOUNTED_BYTES), -16);
    cr_expect_eq(figure(r, 1, HW_M_UNACCOUNTED_BYTES), 10);
    cr_expect_eq(figure(r, -1, HW_M_UNACCOUNTED_BYTES), -6);
    cr_expect_eq(parts(r, 0), 10000);
    cr_expect_eq(parts(r, -1), 20000);
    cr_expect_eq(r->finding_counts[HW_FINDING_ARENA_HEAPS], 1);
    cr_expect_eq(r->findings.data[0].bytes.n, 16);
    hw_report_destroy(r);
}

Test(usage, a_backend_that_explained_the_gap_is_believed)
{
    struct hw_report *r = sample_report();
    sample_arena(r, 10000, 4000);
    begin(r);
    hw_report_add(r, HW_FINDING_UNREADABLE, 0, (struct hw_maybe){0}, hw_known(10000), "a page");
    hw_analyses_end(work);
    cr_expect_eq(figure(r, 0, HW_M_UNACCOUNTED_BYTES), 10000);
    cr_expect_eq(r->findings.count, 1);
    hw_report_destroy(r);
}

Test(usage, what_moved_need_not_add_up_but_the_rest_must)
{
    struct hw_report *r = sample_report();
    sample_arena(r, 10000, 4000)->moved = true;
    begin(r);
    hw_report_add(r, HW_FINDING_MOVED, 0, (struct hw_maybe){0}, (struct hw_maybe){0}, "it moved");
    hw_analyses_end(work);
    cr_expect_eq(figure(r, 0, HW_M_UNACCOUNTED_BYTES), 10000);
    cr_expect_not(hw_report_flawed(r));
    hw_report_destroy(r);

    r = sample_report();
    sample_arena(r, 10000, 4000)->moved = true;
    sample_arena(r, 5000, 4000);
    begin(r);
    hw_report_add(r, HW_FINDING_MOVED, 0, (struct hw_maybe){0}, (struct hw_maybe){0}, "it moved");
    hw_analyses_end(work);
    cr_expect(hw_report_flawed(r));
    cr_assert_eq(r->findings.count, 2);
    cr_expect_eq(r->findings.data[1].kind, HW_FINDING_REGION_NOT_FOUND);
    cr_expect_eq(r->findings.data[1].arena, 1);
    hw_report_destroy(r);
}

Test(usage, mmapped_chunks_count_with_their_whole_mapping_and_in_no_arena)
{
    struct hw_report *r = sample_report();
    sample_arena(r, 4000, 4000);
    begin(r);
    struct hw_block b = sample_block(HW_MMAPPED, -1, 200704);
    b.lead = 4096;
    hw_analyses_blocks(work, &b, 1);
    feed(HW_TOP, 0, 4000);
    hw_analyses_end(work);
    cr_expect_eq(figure(r, -1, HW_M_MMAPPED_BYTES), 204800);
    cr_expect_eq(figure(r, -1, HW_M_MMAPPED_CHUNKS), 1);
    cr_expect_eq(figure(r, -1, HW_M_IN_USE_BYTES), 0);
    cr_expect_eq(figure(r, -1, HW_M_UNACCOUNTED_BYTES), 0);
    cr_expect_not(hw_report_figure(r, 0, HW_M_MMAPPED_BYTES).known);
    hw_report_destroy(r);
}

Test(usage, an_empty_heap_is_known_to_be_empty)
{
    struct hw_report *r = sample_report();
    begin(r);
    hw_analyses_end(work);
    for (int m = HW_M_SYSTEM_BYTES; m <= HW_M_MMAPPED_CHUNKS; m++)
        cr_expect_eq(figure(r, -1, (enum hw_metric)m), 0);
    cr_expect(hw_report_complete(r));
    hw_report_destroy(r);
}

Test(usage, residency_stays_unknown)
{
    struct hw_report *r = walked();
    hw_analyses_end(work);
    for (int arena = -1; arena < 2; arena++)
        for (int m = HW_M_RESIDENT_BYTES; m <= HW_M_TRIM_BYTES; m++)
            cr_expect_not(hw_report_figure(r, arena, (enum hw_metric)m).known);
    hw_report_destroy(r);
}

Test(usage, unknown_system_bytes_make_the_total_unknown)
{
    struct hw_report *r = walked();
    r->arenas.data[1].figures[HW_M_SYSTEM_BYTES].known = false;
    hw_analyses_end(work);
    cr_expect_not(hw_report_figure(r, 1, HW_M_UNACCOUNTED_BYTES).known);
    cr_expect_not(hw_report_figure(r, -1, HW_M_SYSTEM_BYTES).known);
    cr_expect_not(hw_report_figure(r, -1, HW_M_UNACCOUNTED_BYTES).known);
    cr_expect_eq(figure(r, -1, HW_M_IN_USE_BYTES), 6000);
    hw_report_destroy(r);
}

Test(usage, blocks_that_make_no_sense_are_ignored)
{
    struct hw_report *r = walked();
    feed(HW_USED, 2, 1000);
    feed(HW_USED, -1, 1000);
    feed(HW_FREE, 7, 1000);
    feed((enum hw_state)99, 0, 1000);
    hw_analyses_end(work);
    cr_expect_eq(parts(r, -1), 30000);
    hw_report_destroy(r);
}
