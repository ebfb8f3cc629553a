#include "inspect/schedule.h"

#include "model/sample.h"

#define MS UINT64_C(1000000)

/* A report whose arenas take so many milliseconds each, and have as many MiB. */
static struct hw_report *report_of(const unsigned *ms, size_t count)
{
    struct hw_report *r = sample_report();
    for (size_t i = 0; i < count; i++) {
        struct hw_arena *a = sample_arena(r, 0, 0);
        a->address = 0x7f0000000000 - ms[i] * 64 * MIB;
        a->walk_ns = ms[i] * MS;
        hw_set(a->figures, HW_M_SYSTEM_BYTES, (int64_t)(ms[i] * MIB));
    }
    return r;
}

static const unsigned some[] = {90, 30, 60, 3, 12};
#define COUNT (sizeof some / sizeof *some)

static struct hw_report *earlier, *now;

static void setup(void)
{
    earlier = report_of(some, COUNT);
    now = report_of(some, COUNT);
}

static void teardown(void)
{
    hw_report_destroy(earlier);
    hw_report_destroy(now);
}

TestSuite(schedule, .init = setup, .fini = teardown);

/* The order of those that fit into so many milliseconds, then of the others: "4 3 | 1". */
static const char *order(int64_t ms, const char *arenas)
{
    static char text[64];
    unsigned list[COUNT];
    size_t count = 0;
    for (; arenas[count]; count++)
        list[count] = (unsigned)(arenas[count] - '0');
    size_t fit = hw_schedule(now, earlier, list, count, ms * (int64_t)MS);
    cr_assert_leq(fit, count);
    for (size_t i = 0, n = 0; i <= count; i++) {
        n += (size_t)snprintf(text + n, sizeof text - n, "%s", i == fit ? "|" : "");
        if (i < count)
            n += (size_t)snprintf(text + n, sizeof text - n, "%u", list[i]);
    }
    return text;
}

Test(schedule, the_shortest_first_and_only_what_fits)
{
    cr_expect_str_eq(order(1000, "01234"), "34120|");
    cr_expect_str_eq(order(20, "01234"), "34|120");
    cr_expect_str_eq(order(20, "02"), "|20");
    cr_expect_str_eq(order(20, "420"), "4|20");
    cr_expect_str_eq(order(0, "34"), "|34");
    cr_expect_str_eq(order(-5, "43"), "|34");
    cr_expect_str_eq(order(20, ""), "|");
}

/* It is begun where that may be in vain: what one walk took may have been too much. */
Test(schedule, it_is_rather_too_little)
{
    cr_expect_lt(hw_schedule_ns(now, earlier, 0), 90 * MS);
    cr_expect_gt(hw_schedule_ns(now, earlier, 0), 45 * MS);
}

Test(schedule, an_arena_that_has_grown_takes_longer)
{
    hw_set(now->arenas.data[3].figures, HW_M_SYSTEM_BYTES, (int64_t)(300 * MIB));
    cr_expect_geq(hw_schedule_ns(now, earlier, 3), 100 * hw_schedule_ns(now, earlier, 4) / 5);
    cr_expect_str_eq(order(20, "34"), "4|3");
    hw_set(now->arenas.data[4].figures, HW_M_SYSTEM_BYTES,
           4096); /* a smaller one has as many holes */
    cr_expect_eq(hw_schedule_ns(now, earlier, 4), hw_schedule_ns(earlier, earlier, 4));
}

/* Nothing is known of it: an arena that is new, or was not walked. */
Test(schedule, by_its_size_at_least)
{
    now->arenas.data[3].address = 0x1000;
    uint64_t by_size = hw_schedule_ns(now, earlier, 3);
    cr_expect_gt(by_size, 0);
    cr_expect_lt(by_size, 3 * MS);
    earlier->arenas.data[3].walk_ns = 0;
    now->arenas.data[3].address = earlier->arenas.data[3].address;
    cr_expect_eq(hw_schedule_ns(now, earlier, 3), by_size);
    hw_set(now->arenas.data[3].figures, HW_M_SYSTEM_BYTES, INT64_MAX);
    cr_expect_gt(hw_schedule_ns(now, earlier, 3), 1000 * MS);
    hw_set(now->arenas.data[3].figures, HW_M_SYSTEM_BYTES, INT64_MIN);
    cr_expect_eq(hw_schedule_ns(now, earlier, 3), 0);
}
