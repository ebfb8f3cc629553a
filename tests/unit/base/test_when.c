#include "base/when.h"

#include <criterion/criterion.h>

Test(when, utc)
{
    char buf[HW_WHEN_TEXT];
    cr_expect_str_eq(hw_format_utc(buf, INT64_C(1748779200250999999)), "2025-06-01T12:00:00.250Z");
    cr_expect_str_eq(hw_format_utc(buf, 0), "1970-01-01T00:00:00.000Z");
    cr_expect_str_eq(hw_format_utc(buf, -1), "");
    cr_expect_eq(strlen(hw_format_utc(buf, INT64_MAX)), 24);
}

Test(when, now)
{
    char buf[HW_WHEN_TEXT];
    int64_t now = hw_wall_clock_ns();
    cr_expect_gt(now, INT64_C(1600000000000000000));
    cr_expect_eq(strlen(hw_format_utc(buf, now)), 24);
    cr_expect_eq(strlen(hw_format_local(buf, now)), 8);
}
