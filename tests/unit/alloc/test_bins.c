/*
 * Bins of damaged heaps: what is followed, what is summed up, and who is right where they
 * contradict headers.
 */
#include "alloc/built.h"

#define FIRST_BIN 112 /* in malloc_state: its fd */
#define ARENA(n)  (HEAP_BASE + (hw_addr)(n)*HEAP_MAX + 48)
#define TEXT      ((uint64_t)0x4646464646464646)

TestSuite(bins, .init = setup, .fini = teardown, .timeout = 20);

static void build_many(void)
{
    for (unsigned i = 0; i < 40; i++)
        build_used(b, 0x40 + i % 5 * 0x10);
}

static void expect_no_other(enum hw_finding_kind kind)
{
    for (size_t i = 0; i < r->report->findings.count; i++)
        cr_expect_eq(r->report->findings.data[i].kind, kind, "%s",
                     r->report->findings.data[i].line);
}

/* Its chunks point to each other, but not to the head that leads there. */
Test(bins, the_list_of_another_arena)
{
    for (unsigned i = 0; i < 5; i++) {
        build_unsorted(b, 0x100 + i * 0x10);
        build_used(b, 0x20);
    }
    build_top(b, 0x1000);
    for (unsigned i = 0; i < 3; i++) {
        build_arena(b);
        build_used(b, 0x300);
        build_top(b, 0);
    }
    builder_link(b);
    hw_addr first = builder_peek(b, builder_main_arena(b) + FIRST_BIN);
    for (unsigned i = 0; i < 3; i++)
        builder_poke(b, ARENA(i) + FIRST_BIN, first);
    walk_once();
    cr_expect_eq(findings(r, HW_FINDING_BAD_LIST), 3);
    cr_expect_eq(r->report->arenas.data[0].bins[1].chunks, 5);
    for (unsigned i = 1; i < 4; i++)
        cr_expect_eq(r->report->arenas.data[i].bins[1].chunks, 0);
    expect_no_other(HW_FINDING_BAD_LIST);
}

/* Its size and its first link. */
Test(bins, a_free_chunk_that_is_overwritten)
{
    build_many();
    hw_addr bad = build_unsorted(b, 0x200);
    build_many();
    build_top(b, 0x1000);
    builder_link(b);
    for (unsigned i = 0; i < 3; i++)
        builder_poke(b, bad + 8 * i, TEXT);
    walk_once();
    cr_expect_eq(findings(r, HW_FINDING_BAD_CHUNK), 1);
    cr_expect_eq(findings(r, HW_FINDING_LIST_MISMATCH), 0);
    cr_expect_leq(findings(r, HW_FINDING_BAD_LIST), 1);
    cr_expect_lt(r->report->arenas.data[0].bins[1].bytes, 0x10000);
    cr_expect_eq(figure(r, 0, HW_M_UNACCOUNTED_BYTES), 0x200);
}

/* A header says nothing about the chunk before it when it is overwritten. */
static void overwrite_behind(hw_addr (*build)(struct builder *, uint64_t), enum hw_state state)
{
    build_many();
    hw_addr before = build(b, 0x500), bad = build_used(b, 0x200);
    build_many();
    build_top(b, 0x1000);
    builder_link(b);
    builder_poke(b, bad, TEXT | CHUNK_P);
    builder_poke(b, bad + 8, TEXT | CHUNK_P);
    walk_once();
    cr_expect_eq(findings(r, HW_FINDING_BAD_CHUNK), 1);
    cr_expect_eq(r->report->findings.data[0].address.n, bad);
    expect_no_other(HW_FINDING_BAD_CHUNK);
    cr_expect_eq(block_at(r, before)->state, state);
    cr_expect_eq(figure(r, 0, HW_M_UNACCOUNTED_BYTES), 0x200);
}

Test(bins, the_header_behind_a_free_chunk)
{
    overwrite_behind(build_free, HW_FREE);
}

Test(bins, the_header_behind_an_unsorted_chunk)
{
    overwrite_behind(build_unsorted, HW_FREE);
}

Test(bins, the_header_behind_a_chunk_in_use)
{
    overwrite_behind(build_used, HW_USED);
}

/* Where chunks in use have a flag that free ones have not. */
Test(bins, the_header_behind_a_free_chunk_of_a_thread)
{
    build_top(b, 0x1000);
    build_arena(b);
    build_many();
    hw_addr before = build_free(b, 0x500), bad = build_used(b, 0x200);
    build_many();
    build_top(b, 0);
    builder_link(b);
    builder_poke(b, bad, TEXT | CHUNK_P);
    builder_poke(b, bad + 8, TEXT | CHUNK_P);
    builder_poke(b, before + 8, 0x501);
    walk_once();
    cr_expect_eq(findings(r, HW_FINDING_BAD_CHUNK), 1);
    expect_no_other(HW_FINDING_BAD_CHUNK);
    cr_expect_eq(block_at(r, before)->state, HW_FREE);
    cr_expect_eq(figure(r, 1, HW_M_UNACCOUNTED_BYTES), 0x200);
}
