/*
 * Cores that lack a part of a heap: nothing is broken, and nothing that is broken is taken for
 * missing.
 */
#include "alloc/builder.h"

#include <criterion/criterion.h>

#define MANY 40 /* chunks in a row, more than a chain needs to be believed */

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

TestSuite(absent, .init = setup, .fini = teardown, .timeout = 20);

static void build_many(void)
{
    for (unsigned i = 0; i < MANY; i++)
        build_used(b, 0x40 + i % 5 * 0x10);
}

/* Nothing is broken, and these, up to one of NONE, were examined in part. */
static void expect_in_part(const enum hw_invariant *in_part)
{
    r = builder_walk(b);
    cr_assert_eq(r->code, HW_OK, "%s", r->err.text);
    for (unsigned i = HW_INVARIANT_NONE + 1; i < HW_INVARIANTS_; i++)
        cr_expect_eq(r->report->check.broken[i], 0, "%s", hw_invariant_info(i)->name);
    for (size_t i = 0; i < r->report->findings.count; i++) {
        const struct hw_finding *f = &r->report->findings.data[i];
        cr_expect(f->kind == HW_FINDING_MISSING || f->kind == HW_FINDING_UNREADABLE ||
                      f->kind == HW_FINDING_NOTE,
                  "%s", f->line);
    }
    for (; *in_part; in_part++)
        cr_expect_gt(r->report->check.missed[*in_part], 0, "%s", hw_invariant_info(*in_part)->name);
}

/* Lists go by way of a chunk between used ones; then that is missing, with all of its
 * neighbourhood. */
static void lose_one_of(hw_addr (*build)(struct builder *, uint64_t), uint64_t size)
{
    build_many();
    build(b, size);
    build_used(b, 0x100);
    hw_addr lost = build(b, size);
    build_used(b, 0x100);
    build(b, size);
    build_many();
    build_top(b, 0x1000);
    builder_lacks(b, lost, lost + size);
}

#define OF(...) ((const enum hw_invariant[]){__VA_ARGS__, HW_INVARIANT_NONE})

Test(absent, a_chunk_of_a_tcache)
{
    lose_one_of(build_tcache, 0x40);
    expect_in_part(OF(HW_INVARIANT_TCACHES, HW_INVARIANT_CHUNKS));
}

Test(absent, a_chunk_of_a_fastbin)
{
    lose_one_of(build_fast, 0x40);
    expect_in_part(OF(HW_INVARIANT_FASTBINS, HW_INVARIANT_CHUNKS));
}

Test(absent, a_chunk_of_a_bin)
{
    lose_one_of(build_free, 0x200);
    expect_in_part(OF(HW_INVARIANT_BINS, HW_INVARIANT_BIN_SETS, HW_INVARIANT_CHUNKS));
    cr_expect_eq(r->report->arenas.data[0].bins[32].chunks, 2); /* from both ends */
}

/* Nobody asked for lists, and they are followed only as the sums differ. */
Test(absent, bins_that_are_proven)
{
    lose_one_of(build_free, 0x200);
    builder_no_lists(b);
    r = builder_walk(b);
    cr_expect_eq(findings(r, HW_FINDING_BAD_LIST), 0);
    cr_expect_eq(findings(r, HW_FINDING_LIST_MISMATCH), 0);
    cr_expect_gt(findings(r, HW_FINDING_UNREADABLE), 0);
}

/* All but what is smashed is as above. */
static void expect_broken(enum hw_invariant invariant, hw_addr at)
{
    r = builder_walk(b);
    cr_assert_eq(r->code, HW_OK, "%s", r->err.text);
    for (unsigned i = HW_INVARIANT_NONE + 1; i < HW_INVARIANTS_; i++)
        cr_expect_eq(r->report->check.broken[i] > 0, i == invariant, "%s: %lu",
                     hw_invariant_info(i)->name, (unsigned long)r->report->check.broken[i]);
    bool found = false;
    for (size_t i = 0; i < r->report->findings.count; i++)
        found |= r->report->findings.data[i].invariant == invariant &&
                 r->report->findings.data[i].address.n == at;
    cr_expect(found, "no finding at %#lx", (unsigned long)at);
}

/* A link into the middle of nowhere is none into what is missing. */
Test(absent, a_smashed_link_beside)
{
    build_many();
    hw_addr lost = build_used(b, 0x100);
    build_many();
    hw_addr fast = build_fast(b, 0x40);
    build_many();
    build_top(b, 0x1000);
    builder_lacks(b, lost, lost + 0x100);
    builder_link(b);
    builder_poke(b, fast + 16, 0x4141414141414140);
    expect_broken(HW_INVARIANT_FASTBINS, fast);
}

/* Nor is one that no chunk can have. */
Test(absent, an_unaligned_link_into_it)
{
    build_many();
    hw_addr lost = build_used(b, 0x100);
    build_many();
    hw_addr fast = build_fast(b, 0x40);
    build_many();
    build_top(b, 0x1000);
    builder_lacks(b, lost, lost + 0x100);
    builder_link(b);
    builder_poke(b, fast + 16, (fast + 16) >> 12 ^ (lost + 8));
    expect_broken(HW_INVARIANT_FASTBINS, fast);
}

/* Where the end of the main arena is missing, nobody knows whether it is right. */
Test(absent, the_header_of_top)
{
    build_many();
    hw_addr top = build_top(b, 0x1000);
    builder_lacks(b, top, top + 0x1000);
    expect_in_part(OF(HW_INVARIANT_MAIN_END, HW_INVARIANT_CHUNKS));
}

static hw_addr build_thread_arena(void)
{
    build_arena(b);
    hw_addr heap = builder_here(b) & ~(HEAP_MAX - 1);
    build_many();
    build_top(b, 0);
    return heap;
}

/* Those behind it in the ring are found all the same. */
Test(absent, an_arena)
{
    build_many();
    build_top(b, 0x1000);
    build_thread_arena();
    hw_addr lost = build_thread_arena();
    build_thread_arena();
    builder_lacks(b, lost, lost + 0x1000);
    expect_in_part(OF(HW_INVARIANT_ARENA_RING));
    cr_expect_eq(r->report->arenas.count, 3);
    cr_assert_eq(findings(r, HW_FINDING_MISSING), 1);
    for (size_t i = 0; i < r->report->findings.count; i++)
        if (r->report->findings.data[i].kind == HW_FINDING_MISSING)
            cr_expect_eq(r->report->findings.data[i].bytes.n, 0x1000);
}

/* What leads to no arena is smashed, whatever is missing. */
Test(absent, a_smashed_ring)
{
    build_many();
    build_top(b, 0x1000);
    hw_addr heap = build_thread_arena();
    builder_lacks(b, heap + 0x2000, heap + 0x3000);
    builder_link(b);
    hw_addr next = builder_main_arena(b) + 2160;
    builder_poke(b, next, heap + 0x2000);
    expect_broken(HW_INVARIANT_ARENA_RING, next);
}

Test(absent, a_heap_of_an_arena)
{
    build_many();
    build_top(b, 0x1000);
    build_arena(b);
    build_many();
    build_used(b, 0x4000 - builder_here(b) % 0x4000 -
                      0x20); /* up to a page's end, but for the fence */
    build_heap_fence(b, 0x10);
    build_heap(b);
    hw_addr heap = builder_here(b) & ~(HEAP_MAX - 1);
    build_many();
    build_top(b, 0);
    builder_lacks(b, heap, heap + 0x1000);
    expect_in_part(OF(HW_INVARIANT_THREAD_HEAPS));
    cr_expect_eq(r->report->arenas.data[1].heaps.count, 1);
    cr_assert_eq(findings(r, HW_FINDING_MISSING), 1);
}

/* ---- mmapped chunks ------------------------------------------------------------------------- */

#define MMAPPED_BYTES ((hw_addr)1 << 20)

static hw_addr build_two_mmapped(void)
{
    build_many();
    build_top(b, 0x1000);
    build_mmapped(b, MMAPPED_BYTES);
    return build_mmapped(b, MMAPPED_BYTES);
}

/* All of it is there but for the page with its header. */
Test(absent, the_header_of_an_mmapped_chunk)
{
    hw_addr chunk = build_two_mmapped();
    builder_lacks(b, chunk, chunk + 0x1000);
    expect_in_part(OF(HW_INVARIANT_MMAPPED));
    cr_expect_eq(figure(r, -1, HW_M_MMAPPED_BYTES), (int64_t)MMAPPED_BYTES);
    cr_assert_eq(findings(r, HW_FINDING_MISSING), 1);
}

/* A header that is there cannot be missing, though the end of the chunk is. */
Test(absent, a_smashed_mmapped_chunk)
{
    hw_addr chunk = build_two_mmapped();
    builder_poke(b, chunk + 8, 0x4141414141414141);
    builder_lacks(b, chunk + MMAPPED_BYTES - 0x1000, chunk + MMAPPED_BYTES);
    expect_broken(HW_INVARIANT_MMAPPED, chunk);
}
