#include "fake_image.h"

#include "target/window.h"

#include <criterion/criterion.h>

Test(window, walks_forward_in_large_blocks)
{
    struct fake f = make_fake(10000 * KIB);
    struct hw_window w;
    cr_assert_eq(hw_window_init(&w, &f.t, HW_WINDOW_BYTES, NULL), HW_OK);
    for (hw_addr a = BASE; a < f.end; a += 48)
        cr_assert(right(hw_window_at(&w, a, 16, f.end), a, 16));
    cr_expect_leq(f.reads, 11);
    cr_expect_leq(f.t.bytes_read, 10000 * KIB + 11 * 64);
    hw_window_deinit(&w);
}

Test(window, tells_what_is_here)
{
    struct fake f = make_fake(1000 * KIB);
    struct hw_window w;
    size_t len = 0;
    f.hole = BASE + 6000;
    f.hole_end = BASE + 7000;
    cr_assert_eq(hw_window_init(&w, &f.t, 4096, NULL), HW_OK);
    cr_expect(right(hw_window_span(&w, BASE, f.end, &len), BASE, 4096));
    cr_expect_eq(len, 4096);
    cr_expect(right(hw_window_span(&w, BASE + 4000, BASE + 4010, &len), BASE + 4000, 10));
    cr_expect_eq(len, 10);
    cr_expect_eq(f.reads, 1);
    cr_expect(right(hw_window_span(&w, BASE + 4096, f.end, &len), BASE + 4096, 1904));
    cr_expect_eq(len, 1904); /* up to the hole */
    cr_expect_null(hw_window_span(&w, BASE + 6000, f.end, &len));
    cr_expect_null(hw_window_span(&w, BASE, BASE, &len));
    hw_window_deinit(&w);
}

Test(window, does_not_read_past_the_limit_but_for_what_is_wanted)
{
    struct fake f = make_fake(1000 * KIB);
    struct hw_window w;
    cr_assert_eq(hw_window_init(&w, &f.t, 4096, NULL), HW_OK);
    cr_expect(right(hw_window_at(&w, BASE, 16, BASE + 100), BASE, 16));
    cr_expect_eq(f.t.bytes_read, 100);
    cr_expect(right(hw_window_at(&w, BASE + 96, 16, BASE + 100), BASE + 96, 16));
    cr_expect_eq(f.t.bytes_read, 116);
    cr_expect(right(hw_window_at(&w, BASE + 200, 8, BASE + 100), BASE + 200, 8));
    cr_expect_null(hw_window_at(&w, BASE, 4097, f.end));
    cr_expect(right(hw_window_at(&w, BASE + 1, 4096, f.end), BASE + 1, 4096));
    hw_window_reset(&w);
    size_t before = f.reads;
    cr_expect(right(hw_window_at(&w, BASE + 1, 8, f.end), BASE + 1, 8));
    cr_expect_eq(f.reads, before + 1);
    hw_window_deinit(&w);
}

Test(window, a_short_read_that_covers_what_is_wanted_is_fine)
{
    struct fake f = make_fake(100 * KIB);
    f.hole = BASE + 10 * KIB;
    f.hole_end = BASE + 20 * KIB;
    struct hw_window w;
    cr_assert_eq(hw_window_init(&w, &f.t, 64 * KIB, NULL), HW_OK);
    cr_expect(right(hw_window_at(&w, BASE, 64, f.end), BASE, 64));
    cr_expect(right(hw_window_at(&w, f.hole - 8, 8, f.end), f.hole - 8, 8));
    cr_expect_null(hw_window_at(&w, f.hole - 8, 9, f.end));
    cr_expect_null(hw_window_at(&w, f.hole, 1, f.end));
    cr_expect(right(hw_window_at(&w, f.hole_end, 64, f.end), f.hole_end, 64));
    cr_expect_null(hw_window_at(&w, UINT64_MAX - 4, 64, UINT64_MAX));
    hw_window_deinit(&w);
}

/* ---- pages that are not in RAM --------------------------------------------------------------- */

Test(window, reads_ahead_over_pages_in_ram_only)
{
    struct fake f = sparse_fake(1600);
    struct hw_window w;
    cr_assert_eq(hw_window_init(&w, &f.t, HW_WINDOW_BYTES, NULL), HW_OK);
    for (hw_addr a = BASE; a + 32 <= f.end; a += 32)
        if (hw_pages_at(&f.t.pages, a) == HW_PAGE_RESIDENT)
            cr_assert(right(hw_window_at(&w, a, 32, f.end), a, 32));
    cr_expect_eq(f.disturbed, 0, "%lu bytes", f.disturbed);
    cr_expect_eq(f.reads, 100);
    hw_window_deinit(&w);
    hw_pages_clear(&f.t.pages);
}

Test(window, what_is_asked_for_is_read_wherever_it_is)
{
    struct fake f = sparse_fake(64);
    struct hw_window w;
    cr_assert_eq(hw_window_init(&w, &f.t, HW_WINDOW_BYTES, NULL), HW_OK);
    hw_addr swapped = BASE + 11 * PAGE, absent = BASE + 14 * PAGE;
    cr_expect(right(hw_window_at(&w, swapped + 100, 16, f.end), swapped + 100, 16));
    cr_expect_leq(f.disturbed, PAGE - 100); /* the page is back anyway */
    f.disturbed = 0;
    cr_expect(right(hw_window_at(&w, absent + 8, 16, f.end), absent + 8, 16));
    cr_expect_leq(f.disturbed, PAGE - 8);
    f.disturbed = 0;
    /* Over an edge: both ends, but nothing more of the page behind it. */
    hw_addr edge = BASE + 26 * PAGE;
    cr_expect(right(hw_window_at(&w, edge - 8, 16, f.end), edge - 8, 16));
    cr_expect_eq(f.disturbed, 8);
    f.disturbed = 0;
    cr_expect(right(hw_window_at(&w, BASE + 9 * PAGE, 5 * PAGE, f.end), BASE + 9 * PAGE, 5 * PAGE));
    cr_expect_eq(f.disturbed, 4 * PAGE);
    hw_window_deinit(&w);
    hw_pages_clear(&f.t.pages);
}

/* Every offset of an edge, from either side. */
Test(window, edges)
{
    struct fake f = sparse_fake(32);
    struct hw_window w;
    cr_assert_eq(hw_window_init(&w, &f.t, 4 * PAGE, NULL), HW_OK);
    for (hw_addr page = 1; page < 32; page++)
        for (int64_t off = -48; off <= 48; off += 8) {
            hw_addr a = BASE + page * PAGE + (hw_addr)off;
            hw_window_reset(&w);
            cr_assert(a + 32 > f.end || right(hw_window_at(&w, a, 32, f.end), a, 32));
        }
    hw_window_deinit(&w);
    hw_pages_clear(&f.t.pages);
}
