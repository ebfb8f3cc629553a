#include "render/text.h"

#include <inttypes.h>
#include <string.h>

static uint64_t magnitude(int64_t n)
{
    return n < 0 ? -(uint64_t)n : (uint64_t)n;
}

char *hw_text_size(const struct hw_text *t, char buf[HW_TEXT_NUMBER], int64_t bytes)
{
    char size[HW_SIZE_TEXT];
    hw_format_size(size, magnitude(bytes), t->opt->exact);
    snprintf(buf, HW_TEXT_NUMBER, "%s%s", bytes < 0 ? "-" : "", size);
    return buf;
}

char *hw_text_amount(const struct hw_text *t, char buf[HW_TEXT_NUMBER], int64_t bytes)
{
    hw_text_size(t, buf, bytes);
    size_t length = strlen(buf);
    if (t->opt->exact)
        snprintf(buf + length, HW_TEXT_NUMBER - length, " B");
    return buf;
}

/* Only what is exactly so: 128 KiB and one byte stays "128.0 KiB". */
static bool is_whole(uint64_t bytes, const char *size)
{
    static const char prefixes[] = "KMGTPE";
    const char *unit = strchr(size, ' '), *prefix = unit ? strchr(prefixes, unit[1]) : NULL;
    if (!prefix)
        return false;
    unsigned shift = 10 * (unsigned)(prefix - prefixes + 1);
    return (bytes & ((UINT64_C(1) << shift) - 1)) == 0;
}

char *hw_text_whole(const struct hw_text *t, char buf[HW_TEXT_NUMBER], uint64_t bytes)
{
    char size[HW_SIZE_TEXT];
    hw_format_size(size, bytes, t->opt->exact);
    if (is_whole(bytes, size))
        snprintf(buf, HW_TEXT_NUMBER, "%.*s%s", (int)strcspn(size, "."), size, strchr(size, ' '));
    else
        snprintf(buf, HW_TEXT_NUMBER, "%s", size);
    return buf;
}

char *hw_text_count(const struct hw_text *t, char buf[HW_TEXT_NUMBER], int64_t n)
{
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%" PRIu64, magnitude(n));
    char *p = buf;
    if (n < 0)
        *p++ = '-';
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0 && !t->opt->exact)
            *p++ = ',';
        *p++ = digits[i];
    }
    *p = '\0';
    return buf;
}

char *hw_text_percent(char buf[HW_TEXT_NUMBER], double share)
{
    if (share > 0 && share < 0.0005)
        snprintf(buf, HW_TEXT_NUMBER, "<0.1%%");
    else if (share < 1 && share >= 0.9995)
        snprintf(buf, HW_TEXT_NUMBER, ">99.9%%");
    else if (!(share >= -9 && share <= 9)) /* nonsense of a damaged heap; also not a number */
        snprintf(buf, HW_TEXT_NUMBER, "-");
    else
        snprintf(buf, HW_TEXT_NUMBER, "%.1f%%", 100 * share);
    return buf;
}

char *hw_text_time(char buf[HW_TEXT_NUMBER], uint64_t ns)
{
    if (ns < 999500)
        snprintf(buf, HW_TEXT_NUMBER, "%" PRIu64 " us", (ns + 500) / 1000);
    else if (ns < 999950000)
        snprintf(buf, HW_TEXT_NUMBER, "%.1f ms", (double)ns / 1e6);
    else
        snprintf(buf, HW_TEXT_NUMBER, "%.2f s", (double)ns / 1e9);
    return buf;
}

bool hw_text_ratio(struct hw_figure f, double *ret)
{
    if (!f.known || !(f.ratio >= 0 && f.ratio <= 1))
        return false;
    *ret = f.ratio;
    return true;
}
