/*
 * Headers of thread heaps that were written over: the member is named, and nothing is lost for it.
 */
#include "alloc/built.h"

TestSuite(mend, .init = setup, .fini = teardown, .timeout = 20);

#define JUNK   ((uint64_t)0x4848484848484848)
#define AR_PTR ((hw_addr)0)
#define PREV   ((hw_addr)8)
#define SIZE   ((hw_addr)16)
#define WRITE  ((hw_addr)24) /* mprotect_size */
#define PAGE   ((hw_addr)32) /* pagesize */

static hw_addr second, third;
static int64_t used;

/* An arena of one heap. */
static void build_one(void)
{
    build_top(b, 0x1000);
    build_arena(b);
    used = 0;
    for (unsigned i = 0; i < 50; i++, used += 0x100) {
        build_used(b, 0x100);
        build_free(b, 0x500);
    }
    build_used(b, 0x100);
    used += 0x100;
    build_top(b, 0);
    builder_link(b);
}

static void fill_heap(void)
{
    uint64_t rest = 0x4000 - builder_here(b) % 0x4000 - 0x20;
    build_used(b, rest);
    build_heap_fence(b, 0x10);
    used += (int64_t)rest;
}

/* One of three. */
static void build_three(void)
{
    build_top(b, 0x1000);
    build_arena(b);
    used = 0;
    fill_heap();
    build_heap(b);
    second = builder_here(b) & ~(HEAP_MAX - 1);
    fill_heap();
    build_heap(b);
    third = builder_here(b) & ~(HEAP_MAX - 1);
    build_used(b, 0x400);
    used += 0x400;
    build_top(b, 0);
    builder_link(b);
}

static bool is_named(hw_addr address)
{
    for (size_t i = 0; i < r->report->findings.count; i++) {
        const struct hw_finding *f = &r->report->findings.data[i];
        if (f->kind == HW_FINDING_ARENA_HEAPS && f->address.n == address)
            return true;
    }
    return false;
}

/* All is counted, and there is one finding for each of these members. */
static void expect_mended(hw_addr heap, size_t count, const hw_addr *members)
{
    walk_once();
    cr_expect_eq(r->report->arenas.count, 2);
    cr_expect_eq(figure(r, 1, HW_M_IN_USE_BYTES), used);
    cr_expect_eq(figure(r, 1, HW_M_UNACCOUNTED_BYTES), 0);
    for (size_t i = 0; i < count; i++)
        cr_expect(is_named(heap + members[i]), "member %lu", (unsigned long)members[i]);
    for (size_t i = 0; i < r->report->findings.count; i++)
        cr_expect(i < count, "%s", r->report->findings.data[i].line);
}

static void expect_one_mended(hw_addr heap, hw_addr member)
{
    uint64_t was = builder_peek(b, heap + member);
    builder_poke(b, heap + member, JUNK);
    expect_mended(heap, 1, &member);
    builder_poke(b, heap + member, was);
}

Test(mend, each_member_of_the_only_heap)
{
    build_one();
    walk_once();
    cr_expect(hw_report_complete(r->report), "%s", hw_report_finding(r->report, 0));
    expect_one_mended(HEAP_BASE, AR_PTR);
    expect_one_mended(HEAP_BASE, PREV);
    expect_one_mended(HEAP_BASE, SIZE);
    expect_one_mended(HEAP_BASE, WRITE);
    expect_one_mended(HEAP_BASE, PAGE);
}

Test(mend, all_members_at_once)
{
    static const hw_addr members[] = {AR_PTR, PREV, SIZE, WRITE, PAGE};
    build_one();
    for (size_t i = 0; i < 5; i++)
        builder_poke(b, HEAP_BASE + members[i], JUNK);
    expect_mended(HEAP_BASE, 5, members);
}

/* The size is what system_mem says where top does not. */
Test(mend, the_size_where_top_is_damaged_too)
{
    build_one();
    hw_addr top = builder_peek(b, HEAP_BASE + 48 + 96);
    builder_poke(b, top + 8, JUNK);
    builder_poke(b, HEAP_BASE + SIZE, JUNK);
    walk_once();
    cr_expect(is_named(HEAP_BASE + SIZE));
    cr_expect_eq(findings(r, HW_FINDING_ARENA_HEAPS), 1);
    cr_expect_eq(figure(r, 1, HW_M_IN_USE_BYTES), used);
    cr_expect_eq(figure(r, 1, HW_M_UNACCOUNTED_BYTES), 0);
}

Test(mend, each_member_of_the_first_of_three)
{
    build_three();
    walk_once();
    cr_expect(hw_report_complete(r->report), "%s", hw_report_finding(r->report, 0));
    expect_one_mended(HEAP_BASE, AR_PTR);
    expect_one_mended(HEAP_BASE, PREV);
    expect_one_mended(HEAP_BASE, SIZE);
    expect_one_mended(HEAP_BASE, WRITE);
}

Test(mend, each_member_of_the_middle_one)
{
    build_three();
    expect_one_mended(second, AR_PTR);
    expect_one_mended(second, PREV);
    expect_one_mended(second, SIZE);
    expect_one_mended(second, WRITE);
}

Test(mend, each_member_of_the_last_one)
{
    build_three();
    expect_one_mended(third, AR_PTR);
    expect_one_mended(third, PREV);
    expect_one_mended(third, SIZE);
    expect_one_mended(third, WRITE);
    expect_one_mended(third, PAGE);
}

/* Nothing leads to it any more, and it does not say whose it is: its bytes are still the
 * arena's. */
Test(mend, a_heap_that_is_not_found)
{
    build_three();
    walk_once();
    int64_t system = figure(r, 1, HW_M_SYSTEM_BYTES);
    builder_poke(b, third + PREV, JUNK);
    builder_poke(b, second + AR_PTR, JUNK);
    walk_once();
    cr_expect(is_named(third + PREV));
    cr_expect_eq(figure(r, 1, HW_M_SYSTEM_BYTES), system);
    cr_expect_gt(figure(r, 1, HW_M_UNACCOUNTED_BYTES), 0x3000);
}

/* A top that is wrong must not make a heap of another arena one of this. */
Test(mend, a_top_in_the_heap_of_another_arena)
{
    build_one();
    build_arena(b);
    hw_addr other = builder_here(b) & ~(HEAP_MAX - 1);
    build_used(b, 0x300);
    hw_addr top = build_top(b, 0);
    builder_link(b);
    builder_poke(b, HEAP_BASE + 48 + 96, top);
    walk_once();
    cr_expect_eq(findings(r, HW_FINDING_ARENA_HEAPS), 0);
    cr_expect_eq(findings(r, HW_FINDING_BAD_ARENA), 1);
    cr_expect_eq(r->report->arenas.count, 3);
    for (size_t i = 1; i < 3; i++)
        cr_expect_eq(r->report->arenas.data[i].heaps.count, 1);
    cr_expect_neq(block_at(r, other)->state, HW_STATES_);
}

Test(mend, a_broken_ring_and_a_broken_header)
{
    build_one();
    hw_addr next = builder_main_arena(b) + 2160;
    builder_poke(b, next, JUNK);
    builder_poke(b, HEAP_BASE + AR_PTR, JUNK);
    walk_once();
    cr_expect_eq(r->report->arenas.count, 2);
    cr_expect_eq(findings(r, HW_FINDING_ARENA_RING), 1);
    cr_expect(is_named(HEAP_BASE + AR_PTR));
    cr_expect_eq(figure(r, 1, HW_M_IN_USE_BYTES), used);
    cr_expect_eq(figure(r, 1, HW_M_UNACCOUNTED_BYTES), 0);
}
