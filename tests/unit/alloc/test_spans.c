/*
 * What arenas occupy, in whatever order that is found out.
 */
#include "alloc/glibc/glibc.h"

#include <criterion/criterion.h>

#define STEP ((hw_addr)0x10000)
#define BASE ((hw_addr)1 << 32)

static struct walk w;

static void setup_stretch(void)
{
    w = (struct walk){0};
    cr_assert(hw_vec_push(&w.stretches, (struct span){BASE, BASE + 100 * STEP}));
}

static void free_spans(void)
{
    hw_vec_free(&w.stretches);
    hw_vec_free(&w.occupied);
}

TestSuite(spans, .init = setup_stretch, .fini = free_spans);

static void occupy(unsigned i)
{
    cr_assert_eq(glibc_occupy(&w, BASE + i * STEP, BASE + i * STEP + STEP / 2, NULL), HW_OK);
}

static void expect_all(unsigned count)
{
    hw_addr from = 0;
    struct span s;
    cr_expect_eq(w.occupied.count, count);
    for (unsigned i = 0; i < count; i++) {
        hw_addr start = BASE + i * STEP, next = i + 1 < 100 ? start + STEP : BASE + 100 * STEP;
        cr_expect_eq(w.occupied.data[i].start, start);
        cr_expect_eq(glibc_room_end(&w, start + 1), start + 1, "%u belongs to nobody", i);
        cr_expect_eq(glibc_room_end(&w, start + STEP / 2), next);
        cr_assert(glibc_next_unknown(&w, &from, &s));
        cr_expect_eq(s.start, start + STEP / 2);
        cr_expect_eq(s.end, next);
    }
}

Test(spans, found_from_below)
{
    for (unsigned i = 0; i < 100; i++)
        occupy(i);
    expect_all(100);
}

Test(spans, found_from_above)
{
    for (unsigned i = 100; i-- > 0;)
        occupy(i);
    expect_all(100);
}

Test(spans, found_in_between)
{
    for (unsigned i = 0; i < 100; i++)
        occupy(i * 37 % 100);
    expect_all(100);
}
