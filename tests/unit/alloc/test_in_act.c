/*
 * Caught in the act: a thread that was stopped between two writes. That is no damage.
 */
#include "alloc/built.h"

TestSuite(in_act, .init = setup, .fini = teardown);

/* Chunks of a list of a tcache, and another list's; the count of the first is off by `n`. */
static void walk_with_count_off_by(enum form_id form, int n)
{
    builder_destroy(b);
    b = builder_create_of(HW_X86_64, form);
    for (unsigned i = 0; i < 3; i++)
        build_tcache(b, 0x40);
    build_tcache(b, 0x60);
    build_top(b, 0x1000);
    builder_link(b);
    builder_tcache_count(b, 0x40, n);
    walk_once();
}

static void expect_note(int64_t chunks)
{
    cr_expect(hw_report_complete(r->report));
    cr_expect_eq(findings(r, HW_FINDING_NOTE), 1);
    cr_expect_eq(figure(r, 0, HW_M_TCACHE_CHUNKS), chunks);
    cr_expect_eq(r->report->threads.data[0].tcache_chunks.n, (uint64_t)chunks);
    cr_expect_eq(figure(r, 0, HW_M_UNACCOUNTED_BYTES), 0);
}

Test(in_act, a_chunk_that_is_in_the_list_but_not_in_the_count)
{
    walk_with_count_off_by(FORM_2_27, -1);
    expect_note(4);
    walk_with_count_off_by(FORM_2_35, -1);
    expect_note(4);
    walk_with_count_off_by(FORM_2_42, -1);
    expect_note(4);
}

Test(in_act, a_chunk_that_is_in_the_count_but_no_more_in_the_list)
{
    walk_with_count_off_by(FORM_2_27, 1);
    expect_note(4);
    walk_with_count_off_by(FORM_2_35, 1);
    expect_note(4);
    walk_with_count_off_by(FORM_2_42, 1);
    expect_note(4);
}

Test(in_act, the_first_chunk_of_a_list)
{
    hw_addr chunk = build_tcache(b, 0x40);
    build_top(b, 0x1000);
    builder_link(b);
    builder_tcache_count(b, 0x40, -1);
    walk_once();
    cr_expect_eq(block_at(r, chunk)->state, HW_CACHED);
    expect_note(1);
}

static void expect_damage(void)
{
    cr_expect_not(hw_report_complete(r->report));
    cr_expect_eq(findings(r, HW_FINDING_BAD_LIST), 1);
}

Test(in_act, two_chunks_are_too_many)
{
    walk_with_count_off_by(FORM_2_35, -2);
    cr_expect_eq(figure(r, 0, HW_M_TCACHE_CHUNKS), 2, "no more than was counted");
    expect_damage();
    walk_with_count_off_by(FORM_2_35, 2);
    expect_damage();
}

/* A thread does one thing at a time. */
Test(in_act, two_lists_are_too_many)
{
    build_tcache(b, 0x40);
    build_tcache(b, 0x60);
    build_top(b, 0x1000);
    builder_link(b);
    builder_tcache_count(b, 0x40, -1);
    builder_tcache_count(b, 0x60, 1);
    walk_once();
    cr_expect_eq(findings(r, HW_FINDING_NOTE), 1);
    expect_damage();
}

Test(in_act, what_is_behind_the_last_one_must_be_a_chunk)
{
    hw_addr chunk = build_tcache(b, 0x40);
    build_top(b, 0x1000);
    builder_link(b);
    builder_poke(b, chunk + 16, ((chunk + 16) >> 12) ^ 0x4141414141414140);
    walk_once();
    expect_damage();
}

Test(in_act, a_heap_is_busy_while_an_arena_is_locked)
{
    build_top(b, 0x1000);
    build_arena(b);
    build_top(b, 0);
    cr_expect_not(builder_busy(b));
    builder_poke(b, HEAP_BASE + 48, 1);
    cr_expect(builder_busy(b));
    builder_poke(b, HEAP_BASE + 48, 0);
    builder_poke(b, builder_main_arena(b), 2);
    cr_expect(builder_busy(b));
    builder_poke(b, builder_main_arena(b), 0);
    cr_expect_not(builder_busy(b));
    builder_poke(b, builder_main_arena(b) + 2160, HEAP_BASE + 48);
    builder_poke(b, HEAP_BASE + 48 + 2160, HEAP_BASE + 48); /* a ring that does not come back */
    cr_expect_not(builder_busy(b));
}
