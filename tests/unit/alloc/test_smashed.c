/*
 * What one mistake does to a heap: the damaged chunk is named and nothing else is lost.
 */
#include "alloc/builder.h"

#include <criterion/criterion.h>

#define MANY 40 /* chunks in a row, more than a chain needs to be believed */

static struct builder *b;
static struct result *r;

static void setup(void)
{
    b = builder_create();
}

static void teardown(void)
{
    result_destroy(r);
    builder_destroy(b);
}

TestSuite(smashed, .init = setup, .fini = teardown, .timeout = 20);

static void build_many(void)
{
    for (unsigned i = 0; i < MANY; i++)
        build_used(b, 0x40 + i % 5 * 0x10);
}

/* One finding of that kind, there, with so many bytes lost; and no other. */
static void expect_only(enum hw_finding_kind kind, hw_addr address, int64_t lost)
{
    r = builder_walk(b);
    cr_assert_eq(r->code, HW_OK, "%s", r->err.text);
    cr_expect_eq(findings(r, kind), 1);
    for (size_t i = 0; i < r->report->findings.count; i++) {
        const struct hw_finding *f = &r->report->findings.data[i];
        cr_expect(f->kind == kind || f->kind == HW_FINDING_NOTE, "%s", f->line);
        cr_expect(f->kind != kind || f->address.n == address, "%s", f->line);
    }
    cr_expect_eq(figure(r, 0, HW_M_UNACCOUNTED_BYTES), lost);
}

Test(smashed, a_size_that_is_too_large)
{
    build_many();
    hw_addr bad = build_used(b, 0x100);
    build_used(b, 0x200);
    build_many();
    build_top(b, 0x1000);
    builder_poke(b, bad + 0x150 + 8, 0x4141414141414141); /* what the program keeps there */
    builder_poke(b, bad + 8, 0x151);
    expect_only(HW_FINDING_BAD_CHUNK, bad, 0x100);
    cr_expect_eq(figure(r, 0, HW_M_IN_USE_CHUNKS), 2 * MANY + 1);
}

/* Inside of the chunks behind it, the program's data look like chunks for a while. */
Test(smashed, a_size_that_leads_to_what_looks_like_chunks)
{
    build_many();
    hw_addr bad = build_used(b, 0x100);
    build_used(b, 0x400);
    build_many();
    build_top(b, 0x1000);
    for (hw_addr p = bad + 0x140; p < bad + 0x200; p += 0x40)
        builder_poke(b, p + 8, 0x41);
    builder_poke(b, bad + 0x200 + 8, 0x4141414141414141);
    builder_poke(b, bad + 8, 0x141);
    expect_only(HW_FINDING_BAD_CHUNK, bad, 0x100);
    cr_expect_eq(figure(r, 0, HW_M_IN_USE_CHUNKS), 2 * MANY + 1);
}

Test(smashed, a_size_that_is_too_small)
{
    build_many();
    hw_addr bad = build_used(b, 0x110);
    build_many();
    build_top(b, 0x1000);
    builder_poke(b, bad + 0x108, 0x4141414141414141);
    builder_poke(b, bad + 8, 0x101);
    expect_only(HW_FINDING_BAD_CHUNK, bad, 0x110);
}

/* A chunk was made of many, whose headers are still in it; then the one behind it was
 * overwritten. */
Test(smashed, what_is_left_inside_of_a_chunk_is_not_believed)
{
    build_many();
    hw_addr whole = build_used(b, 0x800);
    hw_addr bad = build_used(b, 0x100);
    build_many();
    build_top(b, 0x1000);
    for (hw_addr p = whole + 0x40; p < whole + 0x800; p += 0x40)
        builder_poke(b, p + 8, 0x41);
    builder_poke(b, bad + 8, 0x4141414141414141);
    expect_only(HW_FINDING_BAD_CHUNK, bad, 0x100);
    cr_expect_eq(block_at(r, whole)->bytes, 0x800);
}

/* It has the same size as before, so nothing is lost. */
Test(smashed, a_chunk_that_says_that_the_one_before_is_free)
{
    build_many();
    hw_addr before = build_used(b, 0x100), bad = build_used(b, 0x200);
    build_many();
    build_top(b, 0x1000);
    builder_poke(b, bad + 8, 0x200);
    expect_only(HW_FINDING_BAD_CHUNK, bad, 0);
    cr_expect_eq(block_at(r, before)->state, HW_USED);
    cr_expect_eq(r->report->findings.data[0].invariant, HW_INVARIANT_FREE_CHUNKS);
}

Test(smashed, a_first_chunk_that_says_that_there_is_one_before)
{
    hw_addr first = build_used(b, 0x100);
    build_many();
    build_top(b, 0x1000);
    builder_poke(b, first + 8, 0x100);
    expect_only(HW_FINDING_BAD_CHUNK, first, 0);
}

Test(smashed, a_header_full_of_zeros)
{
    build_many();
    hw_addr before = build_used(b, 0x100), bad = build_used(b, 0x200);
    build_many();
    build_top(b, 0x1000);
    builder_poke(b, bad + 8, 0);
    expect_only(HW_FINDING_BAD_CHUNK, bad, 0x200);
    cr_expect_eq(block_at(r, before)->state, HW_USED);
}

Test(smashed, the_size_of_a_free_chunk)
{
    build_many();
    hw_addr bad = build_free(b, 0x100);
    build_used(b, 0x200);
    build_many();
    build_top(b, 0x1000);
    builder_no_lists(b);
    builder_poke(b, bad + 8, 0x141);
    r = builder_walk(b);
    cr_expect_eq(findings(r, HW_FINDING_BAD_CHUNK), 1);
    cr_expect_eq(r->report->findings.data[0].address.n, bad);
    cr_expect_eq(figure(r, 0, HW_M_UNACCOUNTED_BYTES), 0x100);
    cr_expect_eq(figure(r, 0, HW_M_IN_USE_CHUNKS), 2 * MANY + 1);
}

Test(smashed, a_size_that_reaches_over_a_cached_chunk)
{
    build_many();
    hw_addr bad = build_used(b, 0x100), cached = build_tcache(b, 0x80);
    build_many();
    build_top(b, 0x1000);
    builder_poke(b, bad + 8, 0x181);
    expect_only(HW_FINDING_BAD_CHUNK, bad, 0x100);
    cr_expect_eq(block_at(r, cached)->state, HW_CACHED);
}

/* More blocks than are handed out at a time: the last ones are kept back. */
Test(smashed, damage_at_any_place_of_a_batch)
{
    hw_addr bad[300];
    for (unsigned i = 0; i < 300; i++) {
        for (unsigned k = 0; k < 20; k++)
            build_used(b, 0x20);
        bad[i] = build_used(b, 0x30 + i % 3 * 0x10);
        build_used(b, 0x60);
    }
    build_many();
    build_top(b, 0x1000);
    for (unsigned i = 0; i < 300; i++) {
        hw_addr at = bad[i] + 0x60 + i % 3 * 0x10;
        builder_poke(b, at + 8, 0x4141414141414141);
        builder_poke(b, bad[i] + 8, 0x61 + i % 3 * 0x10);
    }
    r = builder_walk(b);
    cr_expect_eq(findings(r, HW_FINDING_BAD_CHUNK), 300);
    for (unsigned i = 0; i < r->report->findings.count; i++)
        cr_expect_eq(r->report->findings.data[i].address.n, bad[i], "%u", i);
    cr_expect_eq(figure(r, 0, HW_M_UNACCOUNTED_BYTES), 300 * 0x40);
    cr_expect_eq(figure(r, 0, HW_M_IN_USE_CHUNKS), 300 * 21 + MANY);
}

/* ---- top ------------------------------------------------------------------------------------ */

static hw_addr noted_top(void)
{
    return builder_main_arena(b) + 96;
}

Test(smashed, a_top_in_the_middle)
{
    build_many();
    hw_addr chunk = build_used(b, 0x100);
    build_many();
    hw_addr top = build_top(b, 0x1000);
    builder_link(b);
    builder_poke(b, noted_top(), chunk);
    r = builder_walk(b);
    cr_expect_eq(findings(r, HW_FINDING_BAD_ARENA), 1);
    cr_expect_eq(r->report->arenas.data[0].top.address, top);
    cr_expect_eq(figure(r, 0, HW_M_TOP_BYTES), 0x1000);
    cr_expect_eq(figure(r, 0, HW_M_IN_USE_CHUNKS), 2 * MANY + 1);
    cr_expect_eq(figure(r, 0, HW_M_UNACCOUNTED_BYTES), 0);
}

Test(smashed, a_top_in_another_mapping)
{
    build_many();
    build_top(b, 0x1000);
    hw_addr other = build_foreign(b, 0x4000);
    builder_link(b);
    builder_poke(b, noted_top(), other);
    expect_only(HW_FINDING_BAD_ARENA, noted_top(), 0);
    cr_expect_eq(figure(r, 0, HW_M_TOP_BYTES), 0x1000);
}

Test(smashed, a_top_that_is_smaller_than_it_was)
{
    build_many();
    hw_addr top = build_top(b, 0x1000);
    builder_poke(b, top + 8, 0x101);
    r = builder_walk(b);
    cr_expect_eq(findings(r, HW_FINDING_BAD_CHUNK), 1);
    cr_expect_eq(figure(r, 0, HW_M_TOP_BYTES), 0x1000);
    cr_expect_eq(figure(r, 0, HW_M_UNACCOUNTED_BYTES), 0);
}

/* ---- lists ---------------------------------------------------------------------------------- */

/* Two chunks, each of them freed twice: a loop of two, however long the count says it is. */
Test(smashed, a_loop_in_a_tcache)
{
    hw_addr chunk[5];
    for (unsigned i = 0; i < 5; i++)
        chunk[i] = build_tcache(b, 0x40);
    build_top(b, 0x1000);
    builder_link(b); /* 4, 3, 2, 1, 0 */
    hw_addr link = chunk[1] + 16;
    builder_poke(b, link, (link >> 12) ^ (chunk[3] + 16));
    builder_tcache_count(b, 0x40, 20);
    expect_only(HW_FINDING_BAD_LIST, chunk[3], 0);
    cr_expect_eq(r->report->threads.data[0].tcache_chunks.n, 4);
    cr_expect_eq(r->report->threads.data[0].tcache_bytes.n, 4 * 0x40);
    cr_expect_eq(figure(r, 0, HW_M_TCACHE_CHUNKS), 4);
}

/* The lists that are empty tell how many chunks one may have. */
Test(smashed, the_limit_of_tcaches)
{
    builder_destroy(b);
    b = builder_create_of(HW_X86_64, FORM_2_42);
    for (unsigned i = 0; i < 5; i++)
        build_tcache(b, 0x40);
    build_top(b, 0x1000);
    hw_addr limit =
        builder_params(b) + (hw_addr)builder_form(b)->par.tcache_bins + (hw_addr)(2 * 8);
    cr_assert_eq(builder_peek(b, limit), 7);
    builder_poke(b, limit, 0x4141414141414141);
    expect_only(HW_FINDING_BAD_LIST, limit, 0);
    cr_expect_eq(r->report->threads.data[0].tcache_chunks.n, 5);
    cr_expect_eq(figure(r, 0, HW_M_TCACHE_CHUNKS), 5);
}

Test(smashed, a_loop_in_a_fastbin)
{
    hw_addr chunk[5];
    for (unsigned i = 0; i < 5; i++)
        chunk[i] = build_fast(b, 0x40);
    build_top(b, 0x1000);
    builder_link(b);
    hw_addr link = chunk[0] + 16;
    builder_poke(b, link, (link >> 12) ^ chunk[2]);
    expect_only(HW_FINDING_BAD_LIST, chunk[2], 0);
    cr_expect_eq(r->report->arenas.data[0].fast[2].chunks, 5);
    cr_expect_eq(figure(r, 0, HW_M_FASTBIN_CHUNKS), 5);
}

#define KEY 0x9f3ac1d277e05b64

/* What a tcache holds has malloc's mark, the others have not. */
static void mark(hw_addr chunk)
{
    builder_poke(b, chunk + 24, KEY);
}

Test(smashed, chunks_behind_a_broken_link_are_found_by_their_mark)
{
    hw_addr chunk[4];
    for (unsigned i = 0; i < 4; i++) {
        chunk[i] = build_tcache(b, 0x40);
        build_used(b, 0x40);
    }
    build_top(b, 0x1000);
    builder_link(b); /* 3, 2, 1, 0 */
    for (unsigned i = 0; i < 4; i++)
        mark(chunk[i]);
    builder_poke(b, chunk[2] + 16, 0x4141414141414141);
    expect_only(HW_FINDING_BAD_LIST, chunk[2], 0);
    cr_expect_eq(figure(r, 0, HW_M_TCACHE_CHUNKS), 4);
    cr_expect_eq(figure(r, 0, HW_M_IN_USE_CHUNKS), 4);
    cr_expect_eq(r->report->threads.data[0].tcache_chunks.n, 4);
    cr_expect_eq(block_at(r, chunk[0])->tid, THREAD_ID);
}

/* No more than are missing, whatever programs keep. */
Test(smashed, no_more_chunks_are_found_by_their_mark_than_are_missing)
{
    hw_addr chunk[3];
    for (unsigned i = 0; i < 3; i++)
        chunk[i] = build_tcache(b, 0x40);
    for (unsigned i = 0; i < 5; i++)
        mark(build_used(b, 0x40));
    build_top(b, 0x1000);
    builder_link(b);
    for (unsigned i = 0; i < 3; i++)
        mark(chunk[i]);
    builder_poke(b, chunk[1] + 16, 0x4141414141414141);
    expect_only(HW_FINDING_BAD_LIST, chunk[1], 0);
    cr_expect_eq(figure(r, 0, HW_M_TCACHE_CHUNKS), 3);
}

/* Where there is no mark it is the program's data that stand there. */
Test(smashed, what_is_behind_a_broken_link_without_marks_counts_as_in_use)
{
    builder_destroy(b);
    b = builder_create_of(HW_X86_64, FORM_2_27);
    hw_addr chunk[3];
    for (unsigned i = 0; i < 3; i++)
        chunk[i] = build_tcache(b, 0x40);
    build_top(b, 0x1000);
    builder_link(b);
    for (unsigned i = 0; i < 3; i++)
        mark(chunk[i]);
    builder_poke(b, chunk[1] + 16, 0x4141414141414141);
    expect_only(HW_FINDING_BAD_LIST, chunk[1], 0);
    cr_expect_eq(figure(r, 0, HW_M_TCACHE_CHUNKS), 2);
    cr_expect_eq(figure(r, 0, HW_M_IN_USE_CHUNKS), 1);
}

static void again(void)
{
    teardown();
    r = NULL;
    setup();
}

/* Five chunks in the unsorted bin; one of them gets this fd and, if that is another, this bk. */
static void smash_links(unsigned at, uint64_t fd, uint64_t bk)
{
    hw_addr chunk[5];
    builder_want_check(b);
    for (unsigned i = 0; i < 5; i++) {
        chunk[i] = build_unsorted(b, 0x100 + i * 0x10);
        build_used(b, 0x20);
    }
    build_top(b, 0x1000);
    builder_link(b);
    builder_poke(b, chunk[at] + 16, fd);
    if (bk != fd)
        builder_poke(b, chunk[at] + 24, bk);
    expect_only(HW_FINDING_BAD_LIST, chunk[at], 0);
    cr_expect_eq(r->report->arenas.data[0].bins[1].chunks, 5);
}

Test(smashed, the_rest_of_a_bin_is_reached_from_behind)
{
    smash_links(2, 0x4141414141414141, 0x4141414141414141);
}

/* What ends no list is no end. */
Test(smashed, a_null_in_a_bin)
{
    smash_links(2, 0, 0);
}

Test(smashed, a_null_at_either_end_of_a_bin)
{
    smash_links(0, 0, 0);
    again();
    smash_links(4, 0, 0);
}

/* The program has written into a chunk that it had freed; the links that lead there are right. */
Test(smashed, both_links_of_a_chunk_in_a_bin)
{
    for (unsigned at = 0; at < 5; at++) {
        smash_links(at, 0x4141414141414141, 0x4242424242424242);
        again();
    }
}

/* ---- arenas --------------------------------------------------------------------------------- */

Test(smashed, arenas_are_found_without_the_ring)
{
    build_top(b, 0x1000);
    for (unsigned i = 0; i < 3; i++) {
        build_arena(b);
        build_used(b, 0x300);
        build_top(b, 0);
    }
    hw_addr next = builder_main_arena(b) + 2160;
    builder_link(b);
    builder_poke(b, next, 0x4141414141414141);
    expect_only(HW_FINDING_ARENA_RING, next, 0);
    cr_expect_eq(r->report->arenas.count, 4);
    cr_expect_eq(figure(r, -1, HW_M_IN_USE_BYTES), 3 * 0x300);
}

Test(smashed, arenas_that_the_ring_leads_past)
{
    build_top(b, 0x1000);
    for (unsigned i = 0; i < 3; i++) {
        build_arena(b);
        build_top(b, 0);
    }
    hw_addr next = builder_main_arena(b) + 2160;
    builder_link(b);
    hw_addr newest = builder_peek(b, next);
    builder_poke(b, next, builder_peek(b, newest + 2160));
    expect_only(HW_FINDING_ARENA_RING, next, 0);
    cr_expect_eq(r->report->arenas.count, 4);
}

/* Heaps of the libc of another namespace: from there the ring leads to its own main_arena. */
Test(smashed, arenas_of_another_libc_are_not_taken)
{
    build_top(b, 0x1000);
    build_arena(b);
    build_top(b, 0);
    hw_addr next = builder_main_arena(b) + 2160, foreign = build_foreign(b, 0x4000);
    builder_link(b);
    hw_addr arena = builder_peek(b, next);
    builder_poke(b, next, builder_main_arena(b));
    builder_poke(b, arena + 2160, foreign);
    r = builder_walk(b);
    cr_expect_eq(r->report->arenas.count, 1);
    cr_expect(hw_report_complete(r->report));
}

Test(smashed, the_newest_heap_is_found_where_top_is_not_known)
{
    build_top(b, 0x1000);
    build_arena(b);
    uint64_t first = 0x4000 - builder_here(b) % 0x4000 - 0x20;
    build_used(b, first);
    build_heap_fence(b, 0x10);
    build_heap(b);
    build_used(b, 0x400);
    build_top(b, 0);
    builder_link(b);
    hw_addr noted = HEAP_BASE + 48 + 96;
    builder_poke(b, noted, 0x1230);
    expect_only(HW_FINDING_BAD_ARENA, noted, 0);
    cr_expect_eq(figure(r, 1, HW_M_IN_USE_BYTES), (int64_t)first + 0x400);
    cr_expect_eq(figure(r, 1, HW_M_UNACCOUNTED_BYTES), 0);
}

/* A chunk too large reaches over what a tcache holds; first over what a link of another one wrongly
 * leads to, so it is noticed late, and what the walk had passed is walked again. */
Test(smashed, a_tcache_chunk_in_what_is_taken_back)
{
    hw_addr end = build_tcache(b, 0x40);
    build_used(b, 0x50);
    hw_addr large = build_used(b, 0x200), bogus = large + 0x80;
    build_used(b, 0x50);
    hw_addr held = build_tcache(b, 0x60);
    for (unsigned i = 0; i < 20; i++)
        build_used(b, 0x70 + 0x10 * (i % 3));
    build_top(b, 0x1000);
    builder_link(b);
    builder_tcache_count(b, 0x40, 1);
    builder_poke(b, end + 16, ((end + 16) >> 12) ^ (bogus + 16));
    builder_poke(b, bogus + 8, 0x41);
    builder_poke(b, bogus + 16, (bogus + 16) >> 12);
    builder_poke(b, bogus + 24, builder_peek(b, end + 24));
    hw_addr behind = held + 0x60 + 0x70 + 0x30; /* inside the second chunk from there; */
    builder_poke(b, large + 8, (behind - large) | 1);
    builder_poke(b, behind + 8, 0x60 | 1); /* what seems to be one there leads to what cannot */
    builder_poke(b, behind + 0x60 + 8, 8 | 1);
    r = builder_walk(b);
    cr_assert_eq(r->code, HW_OK);
    cr_expect_eq(block_at(r, held)->state, HW_CACHED);
    cr_expect_eq(r->report->threads.data[0].tcache_chunks.n, 2);
    cr_expect_eq(figure(r, 0, HW_M_TCACHE_CHUNKS), 2);
    cr_expect_eq(findings(r, HW_FINDING_BAD_CHUNK), 1);
    cr_expect_eq(findings(r, HW_FINDING_LIST_MISMATCH), 1); /* that of the link */
}
