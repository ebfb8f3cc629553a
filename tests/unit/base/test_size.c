#include "base/size.h"

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
    expect(1024, "1.00 KiB");
    expect(12595, "12.3 KiB");
    expect(UINT64_C(1) << 20, "1.00 MiB");
    expect(UINT64_C(3) << 29, "1.50 GiB");
    expect(UINT64_C(1) << 40, "1.00 TiB");
    expect(UINT64_C(1) << 50, "1.00 PiB");
    expect(UINT64_C(1) << 60, "1.00 EiB");
    expect(UINT64_MAX, "16.0 EiB");
}

Test(size, rounding_goes_to_the_next_unit)
{
    expect(1024 * 1024 - 1, "1.00 MiB");
    expect(1023 * 1024 + 972, "1023.9 KiB");
    expect(1023 * 1024 + 973, "1.00 MiB");
    expect((UINT64_C(1) << 60) - 1, "1.00 EiB");
}

Test(size, rounding_is_to_nearest)
{
    expect(1024 + 5, "1.00 KiB");
    expect(1024 + 6, "1.01 KiB");
    expect(9 * 1024 + 1018, "9.99 KiB");
    expect(9 * 1024 + 1019, "10.0 KiB");
    expect(10 * 1024 + 51, "10.0 KiB");
    expect(10 * 1024 + 52, "10.1 KiB");
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

/* ---- sums ------------------------------------------------------------------------------------ */

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

Test(size, parts_add_up)
{
    char buf[3][HW_SIZE_TEXT];
    /* 0.674, 0.674 and 0.001: 0.67 and 0.67 would not be 1.35. */
    cr_expect_eq(hw_format_parts(buf, (uint64_t[]){690 * MIB, 690 * MIB + 1, MIB}, 3, false),
                 1381 * MIB + 1);
    cr_expect_str_eq(buf[0], "0.67");
    cr_expect_str_eq(buf[1], "0.68");
    cr_expect_str_eq(buf[2], "0.00");
    cr_expect(hw_is_zero_text(buf[2]));
    cr_expect_not(hw_is_zero_text(buf[1]));
}

Test(size, parts_share_a_unit)
{
    char buf[3][HW_SIZE_TEXT];
    hw_format_parts(buf, (uint64_t[]){13 * GIB + GIB / 2, 100, 900 * MIB}, 3, false);
    cr_expect_str_eq(buf[0], "13.5");
    cr_expect_str_eq(buf[1], "0.0");
    cr_expect_str_eq(buf[2], "0.9");
    hw_format_parts(buf, (uint64_t[]){100, 0, 900}, 3, false);
    cr_expect_str_eq(buf[0], "100");
    cr_expect_str_eq(buf[1], "0");
    hw_format_parts(buf, (uint64_t[]){5 * GIB, 1, 0}, 3, true);
    cr_expect_str_eq(buf[0], "5368709120");
    cr_expect_str_eq(buf[1], "1");
}

/* In hundredths or tenths, or whole bytes. */
static uint64_t digits(const char *number)
{
    uint64_t n = 0;
    for (; (*number >= '0' && *number <= '9') || *number == '.'; number++)
        n = *number == '.' ? n : 10 * n + (uint64_t)(*number - '0');
    return n;
}

Test(size, parts_of_anything_add_up)
{
    uint64_t random = 42;
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t parts[HW_PARTS_MAX], sum = 0;
        size_t count = 1 + i % HW_PARTS_MAX;
        for (size_t p = 0; p < count; p++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            parts[p] = random >> (4 + (random >> 32) % 60);
            sum += parts[p];
        }
        char buf[HW_PARTS_MAX][HW_SIZE_TEXT], whole[HW_SIZE_TEXT];
        cr_assert_eq(hw_format_parts(buf, parts, count, false), sum);
        uint64_t written = 0;
        for (size_t p = 0; p < count; p++)
            written += digits(buf[p]);
        cr_assert_eq(written, digits(hw_format_size(whole, sum, false)), "%u: %s", i, whole);
    }
}
