/*
 * The walk over hand-built heaps: every state, every shape of fence, every kind of region.
 */
#include "alloc/built.h"

TestSuite(walk, .init = setup, .fini = teardown);

/* Whether bins are followed or proven, the walk tells the same. */
static void walk(void)
{
    walk_once();
    cr_expect(r->report->lists_known);
    builder_no_lists(b);
    struct result *other = builder_walk(b);
    cr_assert_eq(other->code, HW_OK, "%s", other->err.text);
    cr_assert_eq(other->blocks.count, r->blocks.count);
    for (size_t i = 0; i < r->blocks.count; i++) {
        const struct hw_block *x = &r->blocks.data[i], *y = &other->blocks.data[i];
        cr_expect_eq(x->address, y->address);
        cr_expect_eq(x->bytes, y->bytes);
        cr_expect_eq(x->state, y->state, "at %#lx", (unsigned long)x->address);
        cr_expect_eq(x->arena, y->arena);
    }
    cr_expect_eq(other->report->findings.count, r->report->findings.count);
    result_destroy(other);
}

/* The block at `address` has this state and size. */
static void expect(hw_addr address, enum hw_state state, uint64_t bytes, int arena)
{
    const struct hw_block *block = block_at(r, address);
    cr_expect_eq(block->state, state, "state at %#lx is %d, not %d", (unsigned long)address,
                 block->state, (int)state);
    cr_expect_eq(block->bytes, bytes);
    cr_expect_eq(block->arena, arena);
}

static void expect_complete(void)
{
    for (size_t i = 0; i < r->report->findings.count; i++)
        cr_expect(false, "finding: %s", r->report->findings.data[i].text);
    cr_expect(hw_report_complete(r->report));
    for (int i = -1; i < (int)r->report->arenas.count; i++)
        cr_expect_eq(figure(r, i, HW_M_UNACCOUNTED_BYTES), 0, "arena %d", i);
}

Test(walk, an_arena_that_was_never_used)
{
    walk();
    expect_complete();
    cr_expect(r->report->allocator.unused);
    cr_expect_eq(r->report->arenas.count, 1);
    cr_expect_eq(r->blocks.count, 0);
    cr_expect_eq(figure(r, -1, HW_M_SYSTEM_BYTES), 0);
    cr_expect_eq(r->report->mallinfo2.ordblks, 1);
}

Test(walk, every_state)
{
    hw_addr used = build_used(b, 0x20), cached = build_tcache(b, 0x40);
    hw_addr fast = build_fast(b, 0x30), free_ = build_free(b, 0x90);
    hw_addr last = build_used(b, 0x500), top = build_top(b, 0x1000);
    walk();
    expect_complete();
    expect(used, HW_USED, 0x20, 0);
    expect(cached, HW_CACHED, 0x40, 0);
    expect(fast, HW_PARKED, 0x30, 0);
    expect(free_, HW_FREE, 0x90, 0);
    expect(last, HW_USED, 0x500, 0);
    expect(top, HW_TOP, 0x1000, 0);
    cr_expect_eq(block_at(r, cached)->tid, THREAD_ID);
    cr_expect_eq(block_at(r, cached)->bin, 2);
    cr_expect_eq(block_at(r, fast)->bin, 1);
    cr_expect_eq(figure(r, 0, HW_M_IN_USE_BYTES), 0x520);
    cr_expect_eq(figure(r, 0, HW_M_IN_USE_CHUNKS), 2);
    cr_expect_eq(figure(r, 0, HW_M_TCACHE_BYTES), 0x40);
    cr_expect_eq(figure(r, 0, HW_M_FASTBIN_BYTES), 0x30);
    cr_expect_eq(figure(r, 0, HW_M_BIN_BYTES), 0x90);
    cr_expect_eq(figure(r, 0, HW_M_TOP_BYTES), 0x1000);
    cr_expect_eq(r->report->threads.data[0].tcache_bytes.n, 0x40);
}

Test(walk, a_locked_arena_is_marked)
{
    build_top(b, 0x1000);
    builder_link(b);
    builder_poke(b, builder_main_arena(b), 1); /* mutex */
    walk();
    cr_expect(r->report->arenas.data[0].locked);
}

Test(walk, adjacent_cached_and_free_chunks_in_any_order)
{
    build_tcache(b, 0x40);
    build_free(b, 0x100);
    build_fast(b, 0x20);
    build_tcache(b, 0x40);
    build_fast(b, 0x20);
    build_free(b, 0x100);
    build_tcache(b, 0x20);
    build_top(b, 0x200);
    walk();
    expect_complete();
    cr_expect_eq(figure(r, 0, HW_M_TCACHE_CHUNKS), 3);
    cr_expect_eq(figure(r, 0, HW_M_FASTBIN_CHUNKS), 2);
    cr_expect_eq(figure(r, 0, HW_M_BIN_CHUNKS), 2);
    cr_expect_eq(figure(r, 0, HW_M_IN_USE_CHUNKS), 0);
}

Test(walk, links_without_safe_linking)
{
    builder_destroy(b);
    b = builder_create_of(HW_X86_64, FORM_2_30); /* which may be either */
    for (int i = 0; i < 5; i++) {
        build_tcache(b, 0x40);
        build_fast(b, 0x20);
    }
    build_top(b, 0x200);
    walk();
    expect_complete();
    cr_expect_eq(figure(r, 0, HW_M_TCACHE_CHUNKS), 5);
    cr_expect_eq(figure(r, 0, HW_M_FASTBIN_CHUNKS), 5);
}

/* Then every link is 0: the end of a plain list, which a mangled one never has. */
Test(walk, plain_lists_of_one_chunk_each)
{
    builder_destroy(b);
    b = builder_create_of(HW_X86_64, FORM_2_30); /* which may be either */
    hw_addr cached = build_tcache(b, 0x40), fast = build_fast(b, 0x20);
    build_tcache(b, 0x60);
    build_top(b, 0x200);
    walk();
    expect_complete();
    expect(cached, HW_CACHED, 0x40, 0);
    expect(fast, HW_PARKED, 0x20, 0);
    cr_expect_eq(figure(r, 0, HW_M_TCACHE_CHUNKS), 2);
}

Test(walk, unsorted_and_small_chunks_are_told_apart_where_asked_for)
{
    hw_addr unsorted = build_unsorted(b, 0x90);
    build_used(b, 0x20);
    hw_addr small = build_free(b, 0x90);
    build_used(b, 0x20);
    build_top(b, 0x200);
    builder_want_bins(b);
    walk();
    expect_complete();
    cr_expect_eq(block_at(r, unsorted)->bin, 1);
    cr_expect_eq(block_at(r, small)->bin, 9);
    cr_expect_eq(r->report->arenas.data[0].bins[1].chunks, 1);
    cr_expect_eq(r->report->arenas.data[0].bins[9].chunks, 1);
    cr_expect_eq(r->report->arenas.data[0].bins[9].raw_bytes, 0x91, "flag bits are counted");
}

Test(walk, an_unaligned_first_break)
{
    builder_sbrk_base(b, SBRK_BASE + 9);
    hw_addr used = build_used(b, 0x20);
    build_top(b, 0x100);
    walk();
    expect_complete();
    cr_expect_eq(used, SBRK_BASE + 16);
    expect(SBRK_BASE + 9, HW_OVERHEAD, 7, 0);
    cr_expect_eq(figure(r, 0, HW_M_OVERHEAD_BYTES), 7);
}

/* ---- thread arenas and the fences of their older heaps ------------------------------------------
 */

#define FIRST_OFFSET 0x8d0

/* Fill the current heap so that a fence of `fence` bytes ends it on a page boundary. */
static hw_addr fill_to_fence(unsigned fence, bool free_before, unsigned first)
{
    uint64_t room = 0x4000 - (builder_here(b) % 0x4000) - fence - (free_before ? 0x100 : 0);
    hw_addr p = build_used(b, room);
    if (free_before)
        p = build_free(b, 0x100);
    build_heap_fence(b, first);
    return p;
}

static void second_heap(void)
{
    build_heap(b);
    build_used(b, 0x100);
    build_top(b, 0);
}

Test(walk, a_thread_arena_with_one_heap)
{
    build_top(b, 0x1000);
    build_arena(b);
    hw_addr used = build_used(b, 0x30);
    build_top(b, 0);
    walk();
    expect_complete();
    expect(HEAP_BASE, HW_OVERHEAD, FIRST_OFFSET, 1);
    expect(used, HW_USED, 0x30, 1);
    cr_expect_eq(r->report->arenas.count, 2);
    cr_expect_eq(r->report->arenas.data[1].address, HEAP_BASE + 48);
}

Test(walk, an_older_heap_that_ends_in_a_live_chunk)
{
    build_top(b, 0x1000);
    build_arena(b);
    hw_addr last = fill_to_fence(32, false, 16);
    second_heap();
    walk();
    expect_complete();
    cr_expect_eq(block_at(r, last)->state, HW_USED, "not free: no top follows it");
    expect(HEAP_BASE + 0x4000 - 32, HW_OVERHEAD, 32, 1);
    cr_expect_eq(r->report->arenas.data[1].heaps.count, 2);
    cr_expect_eq(r->report->arenas.data[1].heaps.data[0].tail_free_bytes, 32);
}

Test(walk, an_older_heap_that_ends_in_a_free_chunk)
{
    build_top(b, 0x1000);
    build_arena(b);
    hw_addr last = fill_to_fence(32, true, 16);
    second_heap();
    walk();
    expect_complete();
    expect(last, HW_FREE, 0x100, 1);
    expect(HEAP_BASE + 0x4000 - 32, HW_OVERHEAD, 32, 1);
    cr_expect_eq(r->report->arenas.data[1].heaps.data[0].tail_free_bytes, 32 + 0x100);
}

Test(walk, an_older_heap_whose_rest_was_too_small_to_free)
{
    build_top(b, 0x1000);
    build_arena(b);
    hw_addr last = fill_to_fence(48, false, 32); /* looks like a chunk of MINSIZE */
    second_heap();
    walk();
    expect_complete();
    cr_expect_eq(block_at(r, last)->state, HW_USED);
    expect(HEAP_BASE + 0x4000 - 48, HW_OVERHEAD, 48, 1);
}

Test(walk, a_live_chunk_of_minsize_in_the_last_heap_is_no_fence)
{
    build_top(b, 0x1000);
    build_arena(b);
    build_used(b, 0x4000 - (builder_here(b) % 0x4000) - 64);
    hw_addr last = build_used(b, 32);
    build_top(b, 32);
    walk();
    expect_complete();
    expect(last, HW_USED, 32, 1);
}

Test(walk, entries_of_one_tcache_lie_in_several_arenas)
{
    hw_addr in_main = build_tcache(b, 0x40);
    build_top(b, 0x1000);
    build_arena(b);
    hw_addr in_thread = build_tcache(b, 0x40);
    build_top(b, 0);
    walk();
    expect_complete();
    expect(in_main, HW_CACHED, 0x40, 0);
    expect(in_thread, HW_CACHED, 0x40, 1);
    cr_expect_eq(r->report->threads.data[0].tcache_chunks.n, 2);
    cr_expect_eq(r->report->threads.data[0].arena, 0);
    cr_expect_eq(figure(r, 1, HW_M_TCACHE_BYTES), 0x40);
}

Test(walk, arenas_come_in_the_order_of_the_ring)
{
    build_top(b, 0x1000);
    for (int i = 0; i < 3; i++) {
        build_arena(b);
        build_top(b, 0);
    }
    walk();
    expect_complete();
    cr_assert_eq(r->report->arenas.count, 4);
    for (unsigned i = 1; i < 4; i++)
        cr_expect_eq(r->report->arenas.data[i].address, HEAP_BASE + (3 - i) * HEAP_MAX + 48);
}

/* ---- the main arena in pieces -------------------------------------------------------------------
 */

static void gap_case(unsigned headers, bool free_before, uint64_t gap, uint8_t fill)
{
    build_used(b, 0x2000 - 16 * headers - (free_before ? 0x200 : 0));
    if (free_before)
        build_free(b, 0x200);
    build_main_fence(b, headers);
    hw_addr end = builder_here(b);
    build_gap(b, gap, fill);
    hw_addr resumed = builder_here(b);
    hw_addr used = build_used(b, 0x70);
    build_tcache(b, 0x40);
    build_free(b, 0x300);
    build_used(b, 0x20);
    build_top(b, 0x1000);
    walk();
    expect_complete();
    expect(end, HW_OVERHEAD, resumed - end, 0);
    expect(used, HW_USED, 0x70, 0);
    cr_expect_eq(figure(r, 0, HW_M_TCACHE_CHUNKS), 1);
    cr_expect_eq(figure(r, 0, HW_M_OVERHEAD_BYTES), (int64_t)(resumed - end + 16 * headers));
}

Test(walk, a_foreign_sbrk_gap_of_zeros)
{
    gap_case(2, true, 0x3000, 0);
}

Test(walk, an_odd_foreign_sbrk_gap_of_junk)
{
    gap_case(2, false, 70001, 0xa5);
}

Test(walk, a_gap_full_of_ones_that_look_like_sizes)
{
    gap_case(2, true, 0x1230, 0x21);
}

/* A row of words 33 is a perfect chain of in-use chunks of 32 bytes. What tells it from malloc's
 * memory is the word in front of its first size. */
Test(walk, a_gap_that_imitates_chunks)
{
    build_used(b, 0x1000 - 32);
    build_main_fence(b, 2);
    hw_addr gap = builder_here(b);
    build_gap(b, 0x1000, 0);
    hw_addr resumed = builder_here(b);
    hw_addr used = build_used(b, 0x70);
    build_top(b, 0x1000);
    for (hw_addr p = gap; p < resumed; p += 8)
        builder_poke(b, p, 33);
    walk();
    expect_complete();
    expect(gap, HW_OVERHEAD, resumed - gap, 0);
    expect(used, HW_USED, 0x70, 0);
    cr_expect_eq(figure(r, 0, HW_M_IN_USE_CHUNKS), 2);
}

Test(walk, a_fence_of_three_headers)
{
    gap_case(3, false, 0x1000, 0xff);
}

Test(walk, a_noncontiguous_main_arena)
{
    builder_noncontiguous(b);
    build_used(b, 0x1000 - 32 - 0x100);
    hw_addr early = build_free(b, 0x100);
    build_main_fence(b, 2);
    build_mapping(b);
    build_used(b, 0x2000 - 32 - 0x400);
    hw_addr binned = build_free(b, 0x400);
    build_main_fence(b, 2);
    hw_addr second = build_used(b, 0x100); /* regions may be neighbours in one mapping */
    hw_addr top = build_top(b, 0xf00);
    walk();
    expect_complete();
    expect(early, HW_FREE, 0x100, 0);
    expect(binned, HW_FREE, 0x400, 0);
    expect(second, HW_USED, 0x100, 0);
    expect(top, HW_TOP, 0xf00, 0);
    cr_expect_eq(r->report->arenas.data[0].heaps.count, 3);
    cr_expect_not(r->report->arenas.data[0].contiguous);
}

Test(walk, a_region_that_is_not_found_is_named)
{
    builder_noncontiguous(b);
    build_used(b, 0x100);
    build_top(b, 0xf00);
    builder_system_extra(b, 0x3000);
    walk();
    cr_expect_eq(findings(r, HW_FINDING_REGION_NOT_FOUND), 1);
    cr_expect_eq(figure(r, 0, HW_M_UNACCOUNTED_BYTES), 0x3000);
    cr_expect_not(hw_report_complete(r->report));
}

/* ---- order of blocks ----------------------------------------------------------------------------
 */

Test(walk, blocks_cover_every_heap_without_gap_or_overlap)
{
    build_used(b, 0x2000 - 32);
    build_main_fence(b, 2);
    build_gap(b, 0x500, 0x5a);
    build_free(b, 0x100);
    build_used(b, 0x20);
    build_top(b, 0x1000);
    build_arena(b);
    fill_to_fence(32, true, 16);
    second_heap();
    walk();
    expect_complete();
    hw_addr next = 0;
    unsigned heaps = 0;
    for (size_t i = 0; i < r->blocks.count; i++) {
        const struct hw_block *block = &r->blocks.data[i];
        if (block->address != next)
            heaps++;
        next = block->address + block->bytes;
    }
    cr_expect_eq(heaps, 3);
}
