#include "base/printable.h"
#include "render/text.h"

#include "base/cleanup.h"

#include <stdarg.h>
#include <string.h>

const char *hw_text_on(const struct hw_text *t, enum hw_style style)
{
    static const char *const sequences[] = {
        [HW_STYLE_HEAD] = "\033[1m",  [HW_STYLE_ALARM] = "\033[1;31m", [HW_STYLE_WARN] = "\033[33m",
        [HW_STYLE_USED] = "\033[32m", [HW_STYLE_FREE] = "\033[33m",
    };
    return t->opt->color ? sequences[style] : "";
}

const char *hw_text_off(const struct hw_text *t)
{
    return t->opt->color ? "\033[0m" : "";
}

unsigned hw_text_bar(struct hw_text *t, enum hw_style style, double share, unsigned room)
{
    if (!(share > 0) || room == 0)
        return 0;
    unsigned cells = share < 1 ? (unsigned)(share * room + 0.5) : room;
    fputs(hw_text_on(t, style), t->out);
    for (unsigned i = 0; i < cells; i++)
        putc('#', t->out);
    if (cells == 0)
        putc('.', t->out);
    fputs(hw_text_off(t), t->out);
    return cells ? cells : 1;
}

/* ---- flowing text ---------------------------------------------------------------------------- */

/* Columns of a text; every character counts as one. */
static unsigned columns(const char *s, size_t length)
{
    unsigned n = 0;
    for (size_t i = 0; i < length; n++) {
        size_t step = hw_printable(s + i, length - i);
        i += step ? step : 1;
    }
    return n;
}

static void new_line(struct hw_flow *f)
{
    fprintf(f->t->out, "\n%*s", (int)f->hang, "");
    f->column = f->hang;
    f->fresh = true;
}

static void put(struct hw_flow *f, const char *s, size_t length)
{
    FILE *out = f->t->out;
    if (!f->fresh && f->column + f->gap + columns(s, length) > f->limit)
        new_line(f);
    if (!f->fresh) {
        fprintf(out, "%*s", (int)f->gap, "");
        f->column += f->gap;
    }
    for (size_t i = 0; i < length;) {
        if (f->column >= f->limit) /* only a piece longer than a whole line comes here */
            new_line(f);
        size_t step = hw_printable(s + i, length - i);
        if (step)
            fwrite(s + i, 1, step, out);
        else
            putc('?', out);
        i += step ? step : 1;
        f->column++;
        f->fresh = false;
    }
}

struct hw_flow hw_flow_begin(struct hw_text *t, unsigned indent, unsigned hang, unsigned gap)
{
    if (t->gap)
        putc('\n', t->out);
    t->gap = false;
    fprintf(t->out, "%*s", (int)indent, "");
    return (struct hw_flow){
        .t = t,
        .column = indent,
        .hang = hang,
        .gap = gap,
        .limit = t->width < HW_TEXT_MAX_PROSE ? t->width : HW_TEXT_MAX_PROSE,
        .fresh = true,
    };
}

struct hw_flow hw_flow_label(struct hw_text *t, const char *label)
{
    enum { HANG = 10 };
    struct hw_flow f = hw_flow_begin(t, 0, HANG, 2);
    fprintf(t->out, "%s%s%s%*s", hw_text_on(t, HW_STYLE_HEAD), label, hw_text_off(t),
            HANG - (int)strlen(label), "");
    f.column = HANG;
    f.limit = t->width; /* a list, not prose */
    return f;
}

void hw_flow_piece(struct hw_flow *f, const char *fmt, ...)
{
    hw_autofree char *text = NULL;
    va_list args;
    va_start(args, fmt);
    int length = vasprintf(&text, fmt, args);
    va_end(args);
    if (length < 0) {
        text = NULL; /* undefined after a failure */
        f->t->nomem = true;
        return;
    }
    put(f, text, (size_t)length);
}

void hw_flow_words(struct hw_flow *f, const char *fmt, ...)
{
    hw_autofree char *text = NULL;
    va_list args;
    va_start(args, fmt);
    int length = vasprintf(&text, fmt, args);
    va_end(args);
    if (length < 0) {
        text = NULL;
        f->t->nomem = true;
        return;
    }
    for (const char *p = text; *p;) {
        size_t blanks = strspn(p, " \t\n");
        size_t word = strcspn(p + blanks, " \t\n");
        if (word)
            put(f, p + blanks, word);
        p += blanks + word;
    }
}

void hw_flow_end(struct hw_flow *f)
{
    putc('\n', f->t->out);
}
