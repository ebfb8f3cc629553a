#include "base/pages.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define PAGE UINT64_C(4096)

static void set(struct hw_pages *p, uint64_t from, uint64_t to, enum hw_page_state state)
{
    cr_assert_eq(hw_pages_set(p, from * PAGE, to * PAGE, state, NULL), HW_OK);
}

static void expect_bytes(const struct hw_pages *p, hw_addr start, hw_addr end, uint64_t resident,
                         uint64_t swapped)
{
    struct hw_page_bytes n = hw_pages_count(p, start, end);
    cr_expect_eq(n.resident, resident, "resident: %lu, not %lu", n.resident, resident);
    cr_expect_eq(n.swapped, swapped, "swapped: %lu, not %lu", n.swapped, swapped);
}

Test(pages, what_was_never_set_is_absent)
{
    struct hw_pages p = hw_pages_empty(PAGE);
    cr_expect_eq(hw_pages_at(&p, 0x7f0000000000), HW_PAGE_ABSENT);
    expect_bytes(&p, 0, UINT64_MAX, 0, 0);
    cr_expect_eq(hw_pages_run_end(&p, 5 * PAGE, 9 * PAGE + 7), 9 * PAGE + 7);
}

Test(pages, bytes_are_counted_by_the_page_under_each)
{
    struct hw_pages p = hw_pages_empty(PAGE);
    set(&p, 10, 12, HW_PAGE_RESIDENT);
    set(&p, 12, 13, HW_PAGE_SWAPPED);
    expect_bytes(&p, 9 * PAGE + 1, 10 * PAGE + 3, 3, 0);
    expect_bytes(&p, 10 * PAGE + 5, 10 * PAGE + 6, 1, 0);
    expect_bytes(&p, 11 * PAGE + 4000, 12 * PAGE + 10, 96, 10);
    expect_bytes(&p, 0, 100 * PAGE, 2 * PAGE, PAGE);
    expect_bytes(&p, 12 * PAGE, 12 * PAGE, 0, 0);
    hw_pages_clear(&p);
    expect_bytes(&p, 0, 100 * PAGE, 0, 0);
}

Test(pages, runs_end_where_the_state_changes)
{
    struct hw_pages p = hw_pages_empty(PAGE);
    set(&p, 4090, 9000, HW_PAGE_RESIDENT); /* over three slices */
    set(&p, 5000, 5001, HW_PAGE_ABSENT);
    cr_expect_eq(hw_pages_run_end(&p, 4090 * PAGE + 8, 20000 * PAGE), 5000 * PAGE);
    cr_expect_eq(hw_pages_run_end(&p, 5000 * PAGE, 20000 * PAGE), 5001 * PAGE);
    cr_expect_eq(hw_pages_run_end(&p, 5001 * PAGE, 20000 * PAGE), 9000 * PAGE);
    cr_expect_eq(hw_pages_run_end(&p, 5001 * PAGE, 6000 * PAGE + 9), 6000 * PAGE + 9);
    cr_expect_eq(hw_pages_run_end(&p, 9000 * PAGE, 20000 * PAGE), 20000 * PAGE);
    cr_expect_eq(hw_pages_run_end(&p, 1, UINT64_MAX), 4090 * PAGE);
    hw_pages_clear(&p);
}

/* Against one byte for each page. */
Test(pages, any_order_of_settings_gives_what_a_plain_array_gives)
{
    enum { PAGES = 20000, ROUNDS = 400 };
    static uint8_t plain[PAGES];
    struct hw_pages p = hw_pages_empty(PAGE);
    srand(1);
    for (int round = 0; round < ROUNDS; round++) {
        unsigned from = (unsigned)rand() % PAGES, len = (unsigned)rand() % 3000;
        unsigned to = from + len < PAGES ? from + len : PAGES, state = (unsigned)rand() % 3;
        set(&p, from, to, (enum hw_page_state)state);
        for (unsigned i = from; i < to; i++)
            plain[i] = (uint8_t)state;

        hw_addr start = (hw_addr)rand() % (PAGES * PAGE), end = (hw_addr)rand() % (PAGES * PAGE);
        uint64_t bytes[3] = {0};
        for (hw_addr a = start; a < end;) {
            hw_addr next = (a / PAGE + 1) * PAGE < end ? (a / PAGE + 1) * PAGE : end;
            bytes[plain[a / PAGE]] += next - a;
            a = next;
        }
        expect_bytes(&p, start, end, bytes[HW_PAGE_RESIDENT], bytes[HW_PAGE_SWAPPED]);
        cr_assert_eq(hw_pages_at(&p, start), plain[start / PAGE]);
        if (start < end) {
            hw_addr a = start;
            while (a < end && plain[a / PAGE] == plain[start / PAGE])
                a = (a / PAGE + 1) * PAGE;
            cr_assert_eq(hw_pages_run_end(&p, start, end), a < end ? a : end);
        }
    }
    hw_pages_clear(&p);
}

/* ---- locks ----------------------------------------------------------------------------------- */

static void lock(struct hw_pages *p, uint64_t from, uint64_t to)
{
    cr_assert_eq(hw_pages_lock(p, from * PAGE, to * PAGE, NULL), HW_OK);
}

static void expect_first(const struct hw_pages *p, uint64_t from, uint64_t to, uint64_t first)
{
    uint64_t got = hw_pages_first_locked(p, from * PAGE, to * PAGE) / PAGE;
    cr_expect_eq(got, first, "page %lu, not %lu", got, first);
}

Test(pages, the_first_locked_page_of_a_range)
{
    struct hw_pages p = hw_pages_empty(PAGE);
    expect_first(&p, 0, 100, 100);
    lock(&p, 10, 12);
    lock(&p, 12, 14); /* right behind it */
    lock(&p, 20, 21);
    lock(&p, 30, 30); /* nothing */
    cr_expect_eq(p.locked.count, 2);
    expect_first(&p, 0, 100, 10);
    expect_first(&p, 0, 10, 10);
    expect_first(&p, 11, 100, 11);
    expect_first(&p, 13, 100, 13);
    expect_first(&p, 14, 100, 20);
    expect_first(&p, 14, 18, 18);
    expect_first(&p, 20, 21, 20);
    expect_first(&p, 21, 100, 100);
    hw_pages_clear(&p);
    expect_first(&p, 0, 100, 100);
    cr_assert_eq(hw_pages_lock(&p, 0, UINT64_MAX, NULL), HW_OK);
    expect_first(&p, 7, 9, 7);
    hw_pages_clear(&p);
}

/* ---- cursors --------------------------------------------------------------------------------- */

/* Whatever was asked before, the answer is that of the map. */
Test(pages, a_cursor_counts_as_the_map_does)
{
    enum { PAGES = 9000, ROUNDS = 20000 };
    struct hw_pages p = hw_pages_empty(PAGE);
    for (uint64_t page = 0, until; page < PAGES; page = until) {
        until = page + 1 + (uint64_t)(rand() % 64);
        set(&p, page, until, (enum hw_page_state)(rand() % 3));
    }
    struct hw_page_cursor c = {.pages = &p};
    hw_addr at = 0;
    for (int i = 0; i < ROUNDS; i++) {
        hw_addr start = rand() % 8 ? at : (hw_addr)rand() % (PAGES * PAGE);
        uint64_t bytes = (uint64_t)rand() % (i % 3 ? 500 : 100 * PAGE);
        struct hw_page_bytes all = hw_pages_count(&p, start, start + bytes);
        struct hw_page_bytes n = hw_cursor_count(&c, start, start + bytes);
        cr_assert_eq(n.resident, all.resident, "%lx, %lu bytes", start, bytes);
        cr_assert_eq(n.swapped, all.swapped, "%lx, %lu bytes", start, bytes);
        at = start + bytes < PAGES * PAGE ? start + bytes : 0;
    }
    hw_pages_clear(&p);
}

Test(pages, a_cursor_at_the_end_of_all_addresses)
{
    struct hw_pages p = hw_pages_empty(PAGE);
    struct hw_page_cursor c = {.pages = &p};
    cr_expect_eq(hw_cursor_count(&c, UINT64_MAX - 10, UINT64_MAX).resident, 0);
    cr_expect_eq(hw_cursor_count(&c, 0, UINT64_MAX).resident, 0);
    cr_expect_eq(hw_cursor_count(&c, UINT64_MAX - 10, 5).resident, 0); /* wrapped */
    set(&p, 100, 101, HW_PAGE_RESIDENT);
    c = (struct hw_page_cursor){.pages = &p};
    cr_expect_eq(hw_cursor_count(&c, 100 * PAGE + 5, 100 * PAGE + 5).resident, 0);
    cr_expect_eq(hw_cursor_count(&c, 100 * PAGE + 5, 100 * PAGE + 6).resident, 1);
    cr_expect_eq(hw_cursor_count(&c, 101 * PAGE - 5, 101 * PAGE).resident, 5);
    cr_expect_eq(hw_cursor_count(&c, 101 * PAGE - 5, 101 * PAGE + 1).resident, 5);
    hw_pages_clear(&p);
}
