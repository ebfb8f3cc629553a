/*
 * One field of a table.
 */
#include "render/table.h"

#include <inttypes.h>

struct hw_cell hw_cell_size(uint64_t n)
{
    return (struct hw_cell){.kind = HW_CELL_SIZE, .n = n <= INT64_MAX ? (int64_t)n : INT64_MAX};
}

struct hw_cell hw_cell_maybe(struct hw_maybe m, enum hw_cell_kind kind)
{
    struct hw_cell c = hw_cell_size(m.n);
    c.kind = m.known ? kind : HW_CELL_UNKNOWN;
    return c;
}

struct hw_cell hw_cell_figure(const struct hw_figure *f, enum hw_unit unit)
{
    if (!f->known || (unit == HW_UNIT_RATIO && !(f->ratio >= 0 && f->ratio <= 1)))
        return (struct hw_cell){0}; /* damaged heaps may give any ratio */
    if (unit == HW_UNIT_RATIO)
        return (struct hw_cell){.kind = HW_CELL_RATIO, .ratio = f->ratio};
    return (struct hw_cell){.kind = unit == HW_UNIT_BYTES ? HW_CELL_SIZE : HW_CELL_COUNT,
                            .n = f->n};
}

struct hw_cell hw_cell_words(const char *s)
{
    return s && *s ? (struct hw_cell){.kind = HW_CELL_TEXT, .text = s} : (struct hw_cell){0};
}

struct hw_cell hw_cell_address(hw_addr a)
{
    return a ? (struct hw_cell){.kind = HW_CELL_ADDRESS, .address = a} : (struct hw_cell){0};
}

struct hw_cell hw_cell_yes(bool yes)
{
    return (struct hw_cell){.kind = HW_CELL_YES_NO, .n = yes};
}

static void put_size(int64_t n, bool exact, char buf[HW_CELL_TEXT_MAX])
{
    char size[HW_SIZE_TEXT];
    uint64_t magnitude = n < 0 ? -(uint64_t)n : (uint64_t)n;
    hw_compact_size(hw_format_size(size, magnitude, exact));
    snprintf(buf, HW_CELL_TEXT_MAX, "%s%s", n < 0 ? "-" : "", size);
}

/* By hand: printf() would write a comma for the point in many locales. */
static void put_ratio(double ratio, char buf[HW_CELL_TEXT_MAX])
{
    unsigned millionths = (unsigned)(ratio * 1e6 + 0.5);
    snprintf(buf, HW_CELL_TEXT_MAX, "%u.%06u", millionths / 1000000, millionths % 1000000);
}

const char *hw_cell_text(const struct hw_cell *c, bool exact, char buf[HW_CELL_TEXT_MAX])
{
    switch (c->kind) {
    case HW_CELL_UNKNOWN:
        return NULL;
    case HW_CELL_SIZE:
        put_size(c->n, exact, buf);
        return buf;
    case HW_CELL_COUNT:
        snprintf(buf, HW_CELL_TEXT_MAX, "%" PRId64, c->n);
        return buf;
    case HW_CELL_RATIO:
        put_ratio(c->ratio, buf);
        return buf;
    case HW_CELL_ADDRESS:
        snprintf(buf, HW_CELL_TEXT_MAX, "0x%" PRIx64, c->address);
        return buf;
    case HW_CELL_YES_NO:
        return c->n ? "yes" : "no";
    case HW_CELL_TEXT:
        return c->text;
    }
    return NULL;
}
