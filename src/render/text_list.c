/*
 * The listing of chunks. A live target stands still while it is written and there may be millions
 * of lines, so a line is put together by hand and written at once.
 *
 * Sizes are always exact here: a chunk's size is what one looks for in such a list.
 */
#include "render/text.h"

#include <inttypes.h>
#include <string.h>

/* Columns where the fields begin (SIZE is right-aligned, and ends before STATE). */
enum { AT_POINTER = 20, AT_SIZE = 40, AT_STATE = 54, AT_ARENA = 64, AT_DETAIL = 71 };

struct line {
    size_t length;
    char text[192];
};

static void pad(struct line *l, size_t column)
{
    do /* at least one space, even behind a field that is too long */
        l->text[l->length++] = ' ';
    while (l->length < column);
}

static void put_text(struct line *l, const char *s)
{
    size_t n = strlen(s);
    memcpy(l->text + l->length, s, n);
    l->length += n;
}

/* Number in base 10 or 16, right-aligned so that it ends before column `end` if it fits (0: not
 * aligned). */
static void put_number(struct line *l, uint64_t n, unsigned base, size_t end)
{
    char digits[20]; /* of UINT64_MAX */
    size_t count = 0;
    do
        digits[count++] = "0123456789abcdef"[n % base];
    while (n /= base);
    while (l->length + count < end)
        l->text[l->length++] = ' ';
    while (count)
        l->text[l->length++] = digits[--count];
}

static void put_address(struct line *l, hw_addr address)
{
    put_text(l, "0x");
    put_number(l, address, 16, 0);
}

static void put_signed(struct line *l, int64_t n)
{
    if (n < 0)
        put_text(l, "-");
    put_number(l, n < 0 ? -(uint64_t)n : (uint64_t)n, 10, 0);
}

static void put_detail(struct line *l, const struct hw_block *b)
{
    bool has_bin = b->bin != HW_BIN_UNKNOWN;
    if (b->state == HW_FREE && has_bin) {
        pad(l, AT_DETAIL);
        put_text(l, b->bin == 1 ? "unsorted" : "bin ");
        if (b->bin != 1)
            put_signed(l, b->bin);
    } else if (b->state == HW_PARKED && has_bin) {
        pad(l, AT_DETAIL);
        put_text(l, "fastbin ");
        put_signed(l, b->bin);
    } else if (b->state == HW_CACHED) {
        pad(l, AT_DETAIL);
        put_text(l, "tcache of ");
        put_signed(l, b->tid);
        if (has_bin) {
            put_text(l, ", bin ");
            put_signed(l, b->bin);
        }
    } else if (b->state == HW_MMAPPED && b->lead) {
        pad(l, AT_DETAIL);
        put_text(l, "lead ");
        put_number(l, b->lead, 10, 0);
    }
}

/* Top and overhead were never handed out, so malloc() never returned a pointer to them. */
static bool has_pointer(const struct hw_block *b)
{
    return b->state != HW_TOP && b->state != HW_OVERHEAD;
}

void hw_text_list_head(const struct hw_report *r, const struct hw_render_options *opt, FILE *out)
{
    (void)r;
    (void)opt;
    fprintf(out, "%-*s%-*s%*s  %-*s%-*s%s\n", AT_POINTER, "ADDRESS", AT_SIZE - AT_POINTER,
            "POINTER", AT_STATE - AT_SIZE - 2, "BYTES", AT_ARENA - AT_STATE, "STATE",
            AT_DETAIL - AT_ARENA, "ARENA", "DETAIL");
}

void hw_text_list_block(const struct hw_report *r, const struct hw_render_options *opt,
                        const struct hw_block *b, FILE *out)
{
    if (!hw_shows_arena(opt, b->arena))
        return;
    struct line l;
    l.length = 0;
    put_address(&l, b->address);
    pad(&l, AT_POINTER);
    if (has_pointer(b))
        put_address(&l, b->address + hw_header_bytes(r));
    else
        put_text(&l, "-");
    pad(&l, AT_SIZE);
    put_number(&l, b->bytes, 10, AT_STATE - 2);
    pad(&l, AT_STATE);
    put_text(&l, hw_state_name((enum hw_state)b->state));
    pad(&l, AT_ARENA);
    if (b->arena < 0)
        put_text(&l, "-");
    else if (b->arena == 0)
        put_text(&l, "main");
    else
        put_signed(&l, b->arena);
    put_detail(&l, b);
    l.text[l.length++] = '\n';
    fwrite(l.text, 1, l.length, out);
}
