/*
 * One mistake that hits many chunks: what lies between them is found again, although no row of
 * sound chunks is long.
 */
#include "alloc/built.h"

#define TEXT ((uint64_t)0x4141414141414141)

TestSuite(resync, .init = setup, .fini = teardown, .timeout = 20);

static void build_some(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        build_used(b, 0x110 + i % 7 * 0x30);
}

/* A string's end was written behind the chunk before: as many damaged chunks, with `good` between
 * them. Returns the bytes of the damaged ones. */
static int64_t end_strings(unsigned count, unsigned good)
{
    hw_addr bad[64];
    int64_t lost = 0;
    for (unsigned i = 0; i < count; i++) {
        build_some(good);
        bad[i] = build_used(b, 0x190 + i % 5 * 0x10);
        lost += 0x190 + i % 5 * 0x10;
    }
    build_some(good);
    build_top(b, 0x1000);
    for (unsigned i = 0; i < count; i++)
        builder_poke(b, bad[i] + 8, 0x100);
    walk_once();
    for (size_t i = 0; i < r->report->findings.count; i++)
        cr_expect_eq(r->report->findings.data[i].address.n, bad[i], "%s",
                     r->report->findings.data[i].line);
    return lost;
}

static void expect_all_others(unsigned count, unsigned good)
{
    int64_t lost = end_strings(count, good);
    cr_expect_eq(findings(r, HW_FINDING_BAD_CHUNK), count);
    cr_expect_eq(figure(r, 0, HW_M_UNACCOUNTED_BYTES), lost);
    cr_expect_eq(figure(r, 0, HW_M_IN_USE_CHUNKS), (count + 1) * good);
}

Test(resync, every_sixteenth_chunk)
{
    expect_all_others(20, 15);
}

Test(resync, every_tenth_chunk)
{
    expect_all_others(30, 9);
}

/* The last few before what is known for sure might be chance. */
Test(resync, every_sixth_chunk)
{
    end_strings(40, 5);
    cr_expect_eq(findings(r, HW_FINDING_BAD_CHUNK), 39);
    cr_expect_eq(figure(r, 0, HW_M_IN_USE_CHUNKS), 40 * 5);
}

/* In the data of a damaged chunk of 0x400 bytes. */
static hw_addr build_bad_with_chunks_inside(unsigned count)
{
    hw_addr bad = build_used(b, 0x400);
    for (unsigned i = 0; i < count; i++)
        builder_poke(b, bad + 0x40 + 0x40 * i + 8, 0x41);
    builder_poke(b, bad + 0x40 + 0x40 * count + 8, TEXT);
    builder_poke(b, bad + 8, TEXT);
    return bad;
}

static void expect_lost(uint64_t bytes)
{
    walk_once();
    cr_expect_eq(figure(r, 0, HW_M_UNACCOUNTED_BYTES), (int64_t)bytes);
}

Test(resync, what_looks_like_a_few_chunks_before_many)
{
    build_some(20);
    build_bad_with_chunks_inside(6);
    build_some(40);
    build_top(b, 0x1000);
    expect_lost(0x400);
}

Test(resync, what_looks_like_a_few_chunks_before_more)
{
    build_some(20);
    for (unsigned i = 0; i < 8; i++) {
        build_bad_with_chunks_inside(5);
        build_some(13);
    }
    build_top(b, 0x1000);
    expect_lost(8 * 0x400);
}

/* More places than are looked for: the last finding says where that ended. */
Test(resync, a_search_that_is_given_up)
{
    for (unsigned i = 0; i < 1200; i++) {
        for (unsigned k = 0; k < 5; k++)
            build_used(b, 0x20);
        builder_poke(b, build_used(b, 0x20) + 8, TEXT);
    }
    hw_addr top = build_top(b, 0x1000);
    walk_once();
    cr_assert_eq(findings(r, HW_FINDING_STOPPED_EARLY), 1);
    const struct hw_finding *f = &r->report->findings.data[r->report->findings.count - 1];
    cr_expect_eq(f->kind, HW_FINDING_STOPPED_EARLY);
    cr_expect(f->address.known && f->bytes.known);
    cr_expect_eq(f->address.n + f->bytes.n, top);
    cr_expect_eq(figure(r, 0, HW_M_TOP_BYTES), 0x1000);
}
