#include "analysis/analysis.h"
#include "model/sample.h"

/* A report of one arena with these bytes. */
static struct hw_report *heap_of(int64_t in_use, int64_t bins, int64_t top, int64_t largest)
{
    struct hw_report *r = sample_report();
    struct hw_figure *f = sample_arena(r, (uint64_t)(in_use + bins + top), (uint64_t)top)->figures;
    hw_set(f, HW_M_IN_USE_BYTES, in_use);
    hw_set(f, HW_M_BIN_BYTES, bins);
    hw_set(f, HW_M_TOP_BYTES, top);
    hw_set(f, HW_M_FASTBIN_BYTES, 0);
    hw_set(f, HW_M_LARGEST_FREE_BYTES, largest);
    memcpy(r->totals, f, sizeof r->totals);
    return r;
}

static struct hw_figure ratio(struct hw_report *r, int arena, enum hw_metric m)
{
    hw_analysis_fragmentation.end(NULL, r);
    return hw_report_figure(r, arena, m);
}

Test(fragmentation, one_piece_is_not_fragmented)
{
    struct hw_report *r = heap_of(1000, 0, 4096, 4096);
    cr_expect(ratio(r, 0, HW_M_EXTERNAL_FRAGMENTATION).known);
    cr_expect_eq(ratio(r, 0, HW_M_EXTERNAL_FRAGMENTATION).ratio, 0);
    hw_report_destroy(r);
}

Test(fragmentation, many_pieces_are)
{
    struct hw_report *r = heap_of(1000, 3000, 1000, 1000);
    hw_set(r->arenas.data[0].figures, HW_M_FASTBIN_BYTES, 1000);
    cr_expect_float_eq(ratio(r, 0, HW_M_EXTERNAL_FRAGMENTATION).ratio, 0.8, 1e-9);
    cr_expect_float_eq(ratio(r, -1, HW_M_EXTERNAL_FRAGMENTATION).ratio, 0.75, 1e-9);
    hw_report_destroy(r);
}

Test(fragmentation, thread_caches_are_not_in_it)
{
    struct hw_report *r = heap_of(1000, 3000, 1000, 1000);
    hw_set(r->arenas.data[0].figures, HW_M_TCACHE_BYTES, 100000);
    cr_expect_float_eq(ratio(r, 0, HW_M_EXTERNAL_FRAGMENTATION).ratio, 0.75, 1e-9);
    hw_report_destroy(r);
}

Test(fragmentation, undefined_without_free_memory)
{
    struct hw_report *r = heap_of(1000, 0, 0, 0);
    cr_expect_not(ratio(r, 0, HW_M_EXTERNAL_FRAGMENTATION).known);
    cr_expect(ratio(r, 0, HW_M_UTILIZATION).known);
    cr_expect_eq(ratio(r, 0, HW_M_UTILIZATION).ratio, 1);
    hw_report_destroy(r);
}

Test(fragmentation, undefined_for_an_arena_that_was_never_used)
{
    struct hw_report *r = heap_of(0, 0, 0, 0);
    cr_expect_not(ratio(r, 0, HW_M_UTILIZATION).known);
    cr_expect_not(ratio(r, -1, HW_M_UTILIZATION).known);
    hw_report_destroy(r);
}

Test(fragmentation, utilization_is_of_resident_bytes_where_they_are_known)
{
    struct hw_report *r = heap_of(1000, 3000, 1000, 1000);
    cr_expect_float_eq(ratio(r, 0, HW_M_UTILIZATION).ratio, 0.2, 1e-9);
    hw_set(r->arenas.data[0].figures, HW_M_RESIDENT_BYTES, 2000);
    cr_expect_float_eq(ratio(r, 0, HW_M_UTILIZATION).ratio, 0.5, 1e-9);
    hw_set(r->arenas.data[0].figures, HW_M_RESIDENT_BYTES, 500); /* half of it is swapped out */
    cr_expect_eq(ratio(r, 0, HW_M_UTILIZATION).ratio, 1);
    hw_set(r->arenas.data[0].figures, HW_M_RESIDENT_BYTES, 0);
    cr_expect_not(ratio(r, 0, HW_M_UTILIZATION).known);
    hw_report_destroy(r);
}

Test(fragmentation, damage_gives_no_ratio_outside_0_to_1)
{
    struct hw_report *r = heap_of(1000, 3000, 1000, 9000); /* the largest of all is too large */
    cr_expect_not(ratio(r, 0, HW_M_EXTERNAL_FRAGMENTATION).known);
    hw_report_destroy(r);
}
