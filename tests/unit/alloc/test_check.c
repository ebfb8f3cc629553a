/*
 * What only --check looks at, one flaw at a time.
 */
#include "alloc/builder.h"

#include <criterion/criterion.h>

static struct builder *b;
static struct result *r;

static void setup(void)
{
    b = builder_create();
    builder_want_check(b);
}

static void teardown(void)
{
    result_destroy(r);
    builder_destroy(b);
}

TestSuite(check, .init = setup, .fini = teardown, .timeout = 20);

/* Only that invariant is broken, in one place, which is there. */
static void expect_broken(enum hw_invariant invariant, hw_addr address)
{
    r = builder_walk(b);
    cr_assert_eq(r->code, HW_OK, "%s", r->err.text);
    cr_assert(r->report->check.done);
    for (unsigned i = HW_INVARIANT_NONE + 1; i < HW_INVARIANTS_; i++)
        cr_expect_eq(r->report->check.broken[i], i == invariant, "%s: %lu",
                     hw_invariant_info(i)->name, (unsigned long)r->report->check.broken[i]);
    cr_assert_gt(r->report->findings.count, 0);
    cr_expect_eq(r->report->findings.data[0].invariant, invariant);
    cr_expect_eq(r->report->findings.data[0].address.n, address, "%s",
                 r->report->findings.data[0].line);
    cr_expect_not(hw_report_complete(r->report));
}

Test(check, a_sound_heap)
{
    build_used(b, 0x100);
    build_tcache(b, 0x40);
    build_fast(b, 0x30);
    build_free(b, 0x200);
    build_used(b, 0x40);
    build_free(b, 0x1000);
    build_used(b, 0x40);
    build_unsorted(b, 0x300);
    build_used(b, 0x40);
    build_top(b, 0x1000);
    build_arena(b);
    build_used(b, 0x40);
    build_top(b, 0);
    r = builder_walk(b);
    cr_expect(hw_report_complete(r->report), "%s", hw_report_finding(r->report, 0));
    cr_expect_eq(r->report->check.examined[HW_INVARIANT_CHUNKS].n, 12);
    cr_expect_eq(r->report->check.examined[HW_INVARIANT_BINS].n, 3);
    cr_expect_eq(r->report->check.examined[HW_INVARIANT_TCACHES].n, 1);
    cr_expect_eq(r->report->check.examined[HW_INVARIANT_FASTBINS].n, 1);
    cr_expect_eq(r->report->check.examined[HW_INVARIANT_ARENA_RING].n, 2);
    cr_expect_not(r->report->check.examined[HW_INVARIANT_MAIN_REGIONS].known);
    for (unsigned i = HW_INVARIANT_NONE + 1; i < HW_INVARIANTS_; i++)
        cr_expect_eq(r->report->check.broken[i], 0, "%s", hw_invariant_info(i)->name);
}

Test(check, nobody_asked)
{
    build_top(b, 0x1000);
    struct builder *other = builder_create();
    build_top(other, 0x1000);
    r = builder_walk(other);
    cr_expect_not(r->report->check.done);
    builder_destroy(other);
}

Test(check, free_neighbours)
{
    hw_addr first = build_free(b, 0x100);
    build_unsorted(b, 0x200);
    build_used(b, 0x40);
    build_top(b, 0x1000);
    expect_broken(HW_INVARIANT_FREE_CHUNKS, first);
}

Test(check, a_free_neighbour_of_top)
{
    build_used(b, 0x40);
    hw_addr last = build_free(b, 0x100);
    build_top(b, 0x1000);
    expect_broken(HW_INVARIANT_FREE_CHUNKS, last);
}

Test(check, a_bin_that_is_not_in_the_map)
{
    build_free(b, 0x400 + 0x100);
    build_used(b, 0x40);
    build_top(b, 0x1000);
    builder_link(b);
    hw_addr map = builder_main_arena(b) + 112 + 254 * 8 + 8;
    builder_poke(b, map, 0);
    expect_broken(HW_INVARIANT_BINMAP, map);
}

Test(check, a_ring_of_sizes_that_leads_nowhere)
{
    hw_addr chunk = build_free(b, 0x1000);
    build_used(b, 0x40);
    build_top(b, 0x1000);
    builder_link(b);
    builder_poke(b, chunk + 32, 0x4141414141414141);
    expect_broken(HW_INVARIANT_BINS, chunk);
}

/* Both of one bin, the smaller one first. */
Test(check, large_chunks_that_are_not_in_order)
{
    hw_addr large = build_free(b, 0x1010);
    build_used(b, 0x40);
    hw_addr small = build_free(b, 0x1000);
    build_used(b, 0x40);
    build_top(b, 0x1000);
    builder_link(b);
    for (unsigned i = 32; i <= 40; i += 8) {
        builder_poke(b, large + i, small);
        builder_poke(b, small + i, large);
    }
    expect_broken(HW_INVARIANT_BINS, large);
}

Test(check, a_free_chunk_that_is_in_no_bin)
{
    hw_addr lost = build_free(b, 0x200);
    build_used(b, 0x40);
    build_top(b, 0x1000);
    builder_link(b);
    hw_addr head = builder_peek(b, lost + 16);
    builder_poke(b, head + 16, head);
    builder_poke(b, head + 24, head);
    r = builder_walk(b);
    cr_expect_eq(r->report->check.broken[HW_INVARIANT_BIN_SETS], 2, "the sums differ, too");
    cr_expect_eq(r->report->findings.data[0].address.n, lost);
}

Test(check, a_chunk_in_use_that_is_in_a_bin)
{
    hw_addr chunk = build_free(b, 0x200);
    hw_addr next = build_used(b, 0x40);
    build_top(b, 0x1000);
    builder_link(b);
    builder_poke(b, next + 8, 0x41);
    r = builder_walk(b);
    cr_expect_eq(r->report->check.broken[HW_INVARIANT_BINS], 1);
    cr_expect_eq(r->report->findings.data[0].address.n, chunk);
}

Test(check, a_cached_chunk_that_was_written_to)
{
    hw_addr chunk[4];
    for (unsigned i = 0; i < 4; i++)
        chunk[i] = build_tcache(b, 0x40);
    build_top(b, 0x1000);
    builder_link(b);
    for (unsigned i = 0; i < 4; i++)
        builder_poke(b, chunk[i] + 24, i == 2 ? 0x4141414141414141 : 0x9f3ac1d277e05b64);
    expect_broken(HW_INVARIANT_TCACHES, chunk[2]);
    cr_expect_eq(figure(r, 0, HW_M_TCACHE_CHUNKS), 4);
}

Test(check, more_threads_than_there_can_be)
{
    build_top(b, 0x1000);
    builder_link(b);
    hw_addr attached = builder_main_arena(b) + 2176;
    builder_poke(b, attached, (1 << 22) + 1);
    expect_broken(HW_INVARIANT_ARENAS, attached);
}

/* They never detached. */
Test(check, threads_that_are_gone)
{
    build_top(b, 0x1000);
    builder_link(b);
    builder_poke(b, builder_main_arena(b) + 2176, 5);
    r = builder_walk(b);
    cr_expect(hw_report_complete(r->report), "%s", hw_report_finding(r->report, 0));
}
