#include "render/render.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <string.h>

static void expect(uint64_t bytes, const char *text)
{
    char buf[HW_SIZE_TEXT];
    cr_expect_str_eq(hw_format_size(buf, bytes, false), text, "%" PRIu64 ": %s, not %s", bytes, buf,
                     text);
}

Test(size, bytes)
{
    expect(0, "0 B");
    expect(1, "1 B");
    expect(512, "512 B");
    expect(1023, "1023 B");
}

Test(size, units)
{
    expect(1024, "1.0 KiB");
    expect(12595, "12.3 KiB");
    expect(UINT64_C(1) << 20, "1.0 MiB");
    expect(UINT64_C(3) << 29, "1.5 GiB");
    expect(UINT64_C(1) << 40, "1.0 TiB");
    expect(UINT64_C(1) << 50, "1.0 PiB");
    expect(UINT64_C(1) << 60, "1.0 EiB");
    expect(UINT64_MAX, "16.0 EiB");
}

Test(size, rounding_goes_to_the_next_unit)
{
    expect(1024 * 1024 - 1, "1.0 MiB");
    expect(1023 * 1024 + 972, "1023.9 KiB");
    expect(1023 * 1024 + 973, "1.0 MiB");
    expect((UINT64_C(1) << 60) - 1, "1.0 EiB");
}

Test(size, rounding_is_to_nearest)
{
    expect(1024 + 51, "1.0 KiB");
    expect(1024 + 52, "1.1 KiB");
    expect(10 * 1024 + 1023, "11.0 KiB");
}

Test(size, exact)
{
    char buf[HW_SIZE_TEXT];
    cr_expect_str_eq(hw_format_size(buf, 0, true), "0");
    cr_expect_str_eq(hw_format_size(buf, 1234567, true), "1234567");
    cr_expect_str_eq(hw_format_size(buf, UINT64_MAX, true), "18446744073709551615");
}

Test(size, never_1024_of_a_unit_and_never_long)
{
    char buf[HW_SIZE_TEXT];
    for (unsigned shift = 0; shift < 64; shift++) {
        for (int d = -2000; d <= 2000; d += 7) {
            uint64_t bytes = (UINT64_C(1) << shift) + (uint64_t)(int64_t)d;
            hw_format_size(buf, bytes, false);
            cr_assert(strncmp(buf, "1024", 4) != 0, "%" PRIu64 " is %s", bytes, buf);
            cr_assert(strlen(buf) <= strlen("1023.9 KiB"));
        }
    }
}
