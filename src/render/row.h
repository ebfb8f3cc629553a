/*
 * One line of a listing, put together in a buffer. A listing has millions of lines and is written
 * while the target is stopped, and printf() would take most of that time.
 */
#ifndef HW_RENDER_ROW_H
#define HW_RENDER_ROW_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define HW_ROW_MAX 256 /* far more than any line of fixed text and seven numbers needs */

struct hw_row {
    char buf[HW_ROW_MAX];
    size_t len;
};

/* What does not fit any more is left out whole. */
static inline void hw_row_bytes(struct hw_row *row, const char *s, size_t len)
{
    if (len > sizeof row->buf - row->len)
        return;
    memcpy(row->buf + row->len, s, len);
    row->len += len;
}

static inline void hw_row_text(struct hw_row *row, const char *s)
{
    hw_row_bytes(row, s, strlen(s));
}

static inline void hw_row_decimal(struct hw_row *row, uint64_t n)
{
    char digits[20], *p = digits + sizeof digits;
    do {
        *--p = (char)('0' + n % 10);
    } while (n /= 10);
    hw_row_bytes(row, p, (size_t)(digits + sizeof digits - p));
}

/* "0x7f00" */
static inline void hw_row_hex(struct hw_row *row, uint64_t n)
{
    char digits[18], *p = digits + sizeof digits;
    do {
        *--p = "0123456789abcdef"[n % 16];
    } while (n /= 16);
    *--p = 'x';
    *--p = '0';
    hw_row_bytes(row, p, (size_t)(digits + sizeof digits - p));
}

static inline void hw_row_write(const struct hw_row *row, FILE *out)
{
    fwrite(row->buf, 1, row->len, out);
}

#endif
