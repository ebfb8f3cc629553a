/*
 * Unknown is null. Addresses are strings, as not every reader of JSON has 64-bit integers. Names
 * and paths of the target may be any bytes: what is not UTF-8 in them is replaced.
 */
#include "render/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

json_t *hw_json_integer(uint64_t n)
{
    return json_integer(n <= INT64_MAX ? (json_int_t)n : INT64_MAX);
}

json_t *hw_json_maybe(struct hw_maybe m)
{
    return m.known ? hw_json_integer(m.n) : json_null();
}

json_t *hw_json_address(hw_addr a)
{
    char text[24];
    snprintf(text, sizeof text, "0x%" PRIx64, a);
    return json_string(text);
}

json_t *hw_json_address_or_null(hw_addr a)
{
    return a ? hw_json_address(a) : json_null();
}

/* Bytes of the UTF-8 character at `s`; 0 if there is none. */
static size_t utf8_length(const unsigned char *s)
{
    static const struct {
        unsigned char mask, lead;
        uint32_t least;
    } forms[] = {{0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
    for (size_t more = 0; more < 4; more++) {
        if ((s[0] & forms[more].mask) != forms[more].lead)
            continue;
        uint32_t c = s[0] & (unsigned char)~forms[more].mask;
        for (size_t i = 1; i <= more; i++) {
            if ((s[i] & 0xc0) != 0x80) /* also at the end of the string */
                return 0;
            c = c << 6 | (s[i] & 0x3f);
        }
        bool valid = c >= forms[more].least && c <= 0x10ffff && !(c >= 0xd800 && c <= 0xdfff);
        return valid ? more + 1 : 0;
    }
    return 0;
}

json_t *hw_json_text(const char *s)
{
    if (!s)
        return json_null();
    json_t *clean = json_string(s);
    if (clean)
        return clean;
    size_t len = strlen(s);
    if (len > (SIZE_MAX - 1) / 3)
        return NULL;
    char *copy = malloc(3 * len + 1), *out = copy;
    if (!copy)
        return NULL;
    while (*s) {
        size_t n = utf8_length((const unsigned char *)s);
        memcpy(out, n ? s : "\xef\xbf\xbd", n ? n : 3);
        out += n ? n : 3;
        s += n ? n : 1;
    }
    clean = json_stringn(copy, (size_t)(out - copy));
    free(copy);
    return clean;
}

json_t *hw_json_figure(const struct hw_figure *f, enum hw_unit unit)
{
    if (!f->known)
        return json_null();
    if (unit == HW_UNIT_RATIO)
        return isfinite(f->ratio) ? json_real(f->ratio) : json_null();
    return json_integer(f->n);
}
