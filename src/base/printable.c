#include "base/printable.h"

#include <stdbool.h>
#include <string.h>

size_t hw_printable(const char *s, size_t left)
{
    const unsigned char *p = (const unsigned char *)s;
    if (p[0] < 0x80)
        return p[0] >= 0x20 && p[0] != 0x7f;
    size_t n = p[0] >= 0xc2 && p[0] < 0xe0   ? 2
               : p[0] >= 0xe0 && p[0] < 0xf0 ? 3
               : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
                                             : 0;
    if (n == 0 || n > left)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    bool c1_control = p[0] == 0xc2 && p[1] < 0xa0;
    bool overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
    bool surrogate = p[0] == 0xed && p[1] >= 0xa0;
    bool too_large = p[0] == 0xf4 && p[1] >= 0x90;
    return c1_control || overlong || surrogate || too_large ? 0 : n;
}

void hw_make_printable(char *s)
{
    for (size_t left = strlen(s); left > 0;) {
        size_t step = hw_printable(s, left);
        if (step == 0)
            *s = '?';
        s += step ? step : 1;
        left -= step ? step : 1;
    }
}

void hw_put_printable(const char *s, FILE *out)
{
    for (size_t left = strlen(s); left > 0;) {
        size_t step = hw_printable(s, left);
        if (step)
            fwrite(s, 1, step, out);
        else
            putc('?', out);
        s += step ? step : 1;
        left -= step ? step : 1;
    }
}
