#include "fake_image.h"

#include "target/window.h"

#include <criterion/criterion.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/resource.h>

#define MIB (UINT64_C(1024) * KIB)

static struct hw_window plan_window(struct fake *f, const struct hw_range *ranges, size_t count)
{
    struct hw_window w;
    cr_assert_eq(hw_window_init(&w, &f->t, HW_WINDOW_BYTES, NULL), HW_OK);
    cr_assert_eq(hw_window_plan(&w, ranges, count, NULL), HW_OK);
    return w;
}

/* Go through a range as the walk does; returns the bytes that were there. Holes are passed page by
 * page. */
static uint64_t walk(struct hw_window *w, hw_addr from, hw_addr to)
{
    uint64_t bytes = 0;
    while (from < to) {
        size_t len;
        const uint8_t *p = hw_window_span(w, from, to, &len);
        cr_assert(!p || (len > 0 && len <= to - from && right(p, from, len)), "at %#lx", from);
        bytes += p ? len : 0;
        from += p ? len : PAGE - from % PAGE;
    }
    return bytes;
}

/* Only pages in RAM, each once. */
static uint64_t walk_resident(struct fake *f, struct hw_window *w)
{
    uint64_t bytes = 0;
    for (hw_addr a = f->start; a < f->end;) {
        hw_addr end = hw_pages_run_end(&f->t.pages, a, f->end);
        if (hw_pages_at(&f->t.pages, a) == HW_PAGE_RESIDENT)
            bytes += walk(w, a, end);
        a = end;
    }
    return bytes;
}

Test(readahead, a_range_is_read_once_in_large_blocks)
{
    for (int alone = 0; alone < 2; alone++) {
        struct fake f = make_fake(40 * MIB);
        struct hw_range range = {BASE, f.end};
        f.t.read_alone = alone;
        struct hw_window w = plan_window(&f, &range, 1);
        cr_expect_eq(walk(&w, BASE, f.end), 40 * MIB);
        cr_expect_eq(f.t.bytes_read, 40 * MIB);
        cr_expect_leq(f.reads, 45);
        cr_expect_eq(walk(&w, f.end, f.end + 3 * PAGE), 0);
        hw_window_deinit(&w);
        cr_expect(!alone || f.by_others == 0);
        cr_expect_not(f.others_take_signals);
    }
}

Test(readahead, goes_on_over_many_small_ranges)
{
    struct hw_range ranges[512];
    struct fake f = make_fake(512 * 128 * KIB);
    for (size_t i = 0; i < 512; i++) /* not in order of addresses */
        ranges[i] = (struct hw_range){BASE + (i * 37 % 512) * 128 * KIB + 32,
                                      BASE + (i * 37 % 512) * 128 * KIB + 100 * KIB};
    struct hw_window w = plan_window(&f, ranges, 512);
    for (size_t i = 0; i < 512; i++)
        cr_expect_eq(walk(&w, ranges[i].start, ranges[i].end), 100 * KIB - 32);
    cr_expect_eq(f.t.bytes_read, 512 * (100 * KIB - 32));
    cr_expect_leq(f.reads, 60, "%zu", f.reads);
    hw_window_deinit(&w);
}

Test(readahead, takes_part_of_the_work)
{
    cpu_set_t set;
    struct fake f = make_fake(40 * MIB);
    struct hw_range range = {BASE, f.end};
    if (sched_getaffinity(0, sizeof set, &set) != 0 || CPU_COUNT(&set) < 2)
        cr_skip_test("there is one processor only");
    f.delay_us = 2000;
    struct hw_window w = plan_window(&f, &range, 1);
    cr_expect_eq(walk(&w, BASE, f.end), 40 * MIB);
    hw_window_deinit(&w);
    cr_expect(f.by_others > 5 && f.by_others < f.reads, "%zu of %zu", f.by_others, f.reads);
}

static size_t reads_by_others(uint64_t bytes)
{
    struct fake f = make_fake(bytes);
    struct hw_range range = {BASE, f.end};
    f.delay_us = 100;
    struct hw_window w = plan_window(&f, &range, 1);
    cr_expect_eq(walk(&w, BASE, f.end), bytes);
    hw_window_deinit(&w);
    return f.by_others;
}

Test(readahead, no_thread_where_it_would_not_pay_off)
{
    cr_expect_eq(reads_by_others(2 * MIB), 0);
    cpu_set_t set;
    cr_assert_eq(sched_getaffinity(0, sizeof set, &set), 0);
    for (unsigned i = 0, seen = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &set) && seen++ > 0)
            CPU_CLR(i, &set);
    cr_assert_eq(sched_setaffinity(0, sizeof set, &set), 0);
    cr_expect_eq(reads_by_others(20 * MIB), 0);
}

Test(readahead, works_where_no_thread_can_be_had)
{
    struct rlimit none = {0, 0};
    cr_assert_eq(setrlimit(RLIMIT_NPROC, &none), 0); /* does not bind root */
    reads_by_others(20 * MIB);
}

/* A free chunk of many MiB: its inside is not read, but for what was under way. */
Test(readahead, what_is_jumped_over_is_not_read)
{
    struct fake f = make_fake(1000 * MIB);
    struct hw_range range = {BASE, f.end};
    struct hw_window w = plan_window(&f, &range, 1);
    for (uint64_t at = 0; at < 1000; at += 100)
        cr_expect_eq(walk(&w, BASE + at * MIB + 48, BASE + (at + 1) * MIB), MIB - 48);
    hw_window_deinit(&w);
    cr_expect_leq(f.t.bytes_read, 10 * 7 * MIB);
}

/* Chunks that are somewhat larger than the blocks of the reader. */
Test(readahead, long_strides)
{
    struct fake f = make_fake(200 * MIB);
    struct hw_range range = {BASE, f.end};
    struct hw_window w = plan_window(&f, &range, 1);
    for (hw_addr a = BASE; a + 16 <= f.end; a += 1500 * KIB + 16)
        cr_assert(right(hw_window_at(&w, a, 16, f.end), a, 16));
    hw_window_deinit(&w);
    cr_expect_leq(f.t.bytes_read, 200 * MIB);
}

Test(readahead, only_pages_in_ram_by_few_calls)
{
    struct fake f = make_fake(64 * MIB);
    f.t.pages_known = true;
    f.t.pages = hw_pages_empty(PAGE);
    for (hw_addr a = BASE; a < f.end; a += 2 * PAGE)
        cr_assert_eq(hw_pages_set(&f.t.pages, a, a + PAGE, HW_PAGE_RESIDENT, NULL), HW_OK);
    struct hw_range range = {BASE, f.end};
    struct hw_window w = plan_window(&f, &range, 1);
    cr_expect_eq(walk_resident(&f, &w), 32 * MIB);
    cr_expect_eq(f.t.bytes_read, 32 * MIB);
    cr_expect_eq(f.disturbed, 0);
    cr_expect_leq(f.reads, 40, "%zu", f.reads);
    hw_window_deinit(&w);
    hw_pages_clear(&f.t.pages);
}

Test(readahead, what_is_asked_for_is_read_wherever_it_is)
{
    struct fake f = sparse_fake(16 * 200);
    struct hw_range range = {BASE, f.end};
    struct hw_window w = plan_window(&f, &range, 1);
    for (hw_addr a = BASE; a + 56 <= f.end; a += 56) /* over edges, too */
        cr_assert(right(hw_window_at(&w, a, 56, f.end), a, 56), "at %#lx", a);
    /* Nothing was read of absent and swapped pages but by itself, and nothing in RAM twice but at
     * edges. */
    cr_expect_leq(f.t.bytes_read, 16 * 200 * PAGE + f.reads * 128);
    hw_window_deinit(&w);
    hw_pages_clear(&f.t.pages);
}

Test(readahead, holes_in_the_plan)
{
    struct fake f = make_fake(40 * MIB);
    struct hw_range range = {BASE - 10 * PAGE, f.end + 10 * PAGE};
    f.hole = BASE + 10 * MIB + 1000;
    f.hole_end = BASE + 13 * MIB + 5000;
    struct hw_window w = plan_window(&f, &range, 1);
    size_t len;
    cr_expect_null(hw_window_span(&w, range.start, range.end, &len));
    cr_expect_eq(walk(&w, BASE, f.hole), 10 * MIB + 1000);
    cr_expect_null(hw_window_span(&w, f.hole, f.end, &len));
    cr_expect_null(hw_window_at(&w, f.hole - 8, 16, f.end));
    cr_expect_eq(walk(&w, f.hole_end, f.end), f.end - f.hole_end);
    cr_expect_null(hw_window_span(&w, f.end, range.end, &len));
    cr_expect_leq(f.t.bytes_read, 42 * MIB);
    hw_window_deinit(&w);
}

Test(readahead, an_image_that_goes_away)
{
    for (int alone = 0; alone < 2; alone++) {
        struct fake f = make_fake(60 * MIB);
        struct hw_range range = {BASE, f.end};
        f.t.read_alone = alone;
        f.gone_from = BASE + 20 * MIB + 100;
        struct hw_window w = plan_window(&f, &range, 1);
        uint64_t got = walk(&w, BASE, f.end);
        cr_expect(got >= 19 * MIB && got <= 20 * MIB + 100);
        cr_expect_null(hw_window_at(&w, BASE + 30 * MIB, 16, f.end));
        hw_window_deinit(&w);
    }
}

/* A short look at what lies behind does not stop the reading ahead. */
Test(readahead, looks_back_and_elsewhere)
{
    struct fake f = make_fake(60 * MIB);
    struct hw_range range = {BASE + 10 * MIB, BASE + 50 * MIB};
    struct hw_window w = plan_window(&f, &range, 1);
    for (uint64_t at = 10; at < 50; at += 4) {
        hw_addr a = BASE + at * MIB;
        cr_expect_eq(walk(&w, a, a + 4 * MIB), 4 * MIB);
        cr_expect(right(hw_window_at(&w, a + 64, 16, a + 128), a + 64, 16));
        cr_expect(right(hw_window_at(&w, BASE + 64, 16, BASE + 128), BASE + 64, 16));
        cr_expect(right(hw_window_at(&w, f.end - 64, 16, f.end), f.end - 64, 16));
    }
    cr_expect_leq(f.t.bytes_read, 41 * MIB);
    hw_window_deinit(&w);
}

/* A search runs to the end, in vain, and then the walk comes. */
Test(readahead, walks_again_what_lies_behind)
{
    struct fake f = make_fake(60 * MIB);
    struct hw_range range = {BASE, f.end};
    struct hw_window w = plan_window(&f, &range, 1);
    cr_expect_eq(walk(&w, BASE, f.end), 60 * MIB);
    cr_expect_eq(walk(&w, BASE + 5 * MIB, f.end), 55 * MIB);
    hw_window_deinit(&w);
    cr_expect_leq(f.t.bytes_read, 117 * MIB);
}

Test(readahead, a_reset_reads_anew)
{
    struct fake f = make_fake(60 * MIB);
    struct hw_range range = {BASE, f.end};
    struct hw_window w = plan_window(&f, &range, 1);
    for (unsigned i = 0; i < 200; i++) {
        hw_addr a = BASE + i * 256 * KIB;
        uint8_t version = (uint8_t)(f.version + 1);
        cr_assert_not_null(hw_window_at(&w, a, 16, f.end));
        f.version = version; /* what is being read now is a mixture of both */
        hw_window_reset(&w);
        const uint8_t *p = hw_window_at(&w, a, 16, f.end);
        cr_assert(p && p[0] == (uint8_t)(byte_at(a) + version) &&
                  p[15] == (uint8_t)(byte_at(a + 15) + version));
    }
    hw_window_reset(&w);
    hw_window_reset(&w);
    f.version = 0;
    cr_expect_eq(walk(&w, BASE, f.end), 60 * MIB, "from the beginning again");
    hw_window_deinit(&w);
}

Test(readahead, headers_over_the_edges_of_blocks)
{
    struct fake f = make_fake(20 * MIB);
    struct hw_range range = {BASE + 5, f.end - 3};
    struct hw_window w = plan_window(&f, &range, 1);
    for (hw_addr a = BASE + 5; a + 24 <= f.end; a += 24)
        cr_assert(right(hw_window_at(&w, a, 24, f.end), a, 24), "at %#lx", a);
    cr_expect_leq(f.t.bytes_read, 20 * MIB + 2000);
    hw_window_deinit(&w);
}

Test(readahead, may_end_at_any_time)
{
    for (unsigned i = 0; i < 30; i++) {
        struct fake f = make_fake(60 * MIB);
        struct hw_range range = {BASE, f.end};
        f.delay_us = i * 50;
        struct hw_window w = plan_window(&f, &range, 1);
        if (i % 3)
            walk(&w, BASE, BASE + i % 5 * MIB);
        if (i % 3 == 2) /* another plan */
            cr_assert_eq(hw_window_plan(&w, &range, 1, NULL), HW_OK);
        if (i % 4 == 3)
            hw_window_reset(&w);
        hw_window_deinit(&w);
    }
}

Test(readahead, an_empty_plan)
{
    struct fake f = make_fake(MIB);
    struct hw_range empty = {BASE, BASE};
    struct hw_window w = plan_window(&f, NULL, 0);
    cr_expect_eq(walk(&w, BASE, f.end), MIB);
    cr_assert_eq(hw_window_plan(&w, &empty, 1, NULL), HW_OK);
    cr_expect_eq(walk(&w, BASE, f.end), MIB);
    hw_window_reset(&w);
    cr_expect_eq(walk(&w, BASE, f.end), MIB);
    hw_window_deinit(&w);
}

/* Whatever is asked for, in whatever order. */
Test(readahead, random_access)
{
    struct fake f = sparse_fake(16 * 1000);
    struct hw_range ranges[] = {{BASE + 20 * MIB, BASE + 40 * MIB},
                                {BASE + 30, BASE + 19 * MIB},
                                {BASE + 41 * MIB, f.end + MIB}};
    struct hw_window w = plan_window(&f, ranges, 3);
    uint64_t x = 88172645463325252u;
    for (unsigned i = 0; i < 20000; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        hw_addr a = BASE + x % (f.end - BASE - 64);
        unsigned steps = (unsigned)(x >> 60);
        for (unsigned k = 0; k <= steps && a + 64 <= f.end; k++, a += 4000)
            cr_assert(right(hw_window_at(&w, a, 1 + (x >> 32) % 64, f.end), a, 1 + (x >> 32) % 64));
        if (x >> 52 == 7)
            hw_window_reset(&w);
    }
    hw_window_deinit(&w);
    hw_pages_clear(&f.t.pages);
}
