/*
 * The figures of one arena as malloc counts them: rows that add up to what it has from the kernel.
 * Figures that nobody set are left out.
 */
#include "render/text.h"

#include <inttypes.h>
#include <string.h>

#define NO_COUNT HW_METRICS_

struct row {
    const char *label;
    enum hw_metric bytes, chunks;
    bool bar;          /* leaves have bars; they add up to the whole, so sums have none */
    bool share;        /* a part of the system bytes */
    bool hide_if_zero; /* as good as absent */
    enum hw_style style;
};

static const struct row rows[] = {
    {"in use", HW_M_IN_USE_BYTES, HW_M_IN_USE_CHUNKS, true, true, false, HW_STYLE_USED},
    {"free", HW_M_FREE_BYTES, NO_COUNT, false, true, false, HW_STYLE_FREE},
    {"  bins", HW_M_BIN_BYTES, HW_M_BIN_CHUNKS, true, true, false, HW_STYLE_FREE},
    {"  top", HW_M_TOP_BYTES, NO_COUNT, true, true, false, HW_STYLE_FREE},
    {"  fastbins", HW_M_FASTBIN_BYTES, HW_M_FASTBIN_CHUNKS, true, true, false, HW_STYLE_FREE},
    {"  tcache", HW_M_TCACHE_BYTES, HW_M_TCACHE_CHUNKS, true, true, false, HW_STYLE_FREE},
    {"overhead", HW_M_OVERHEAD_BYTES, NO_COUNT, true, true, false, HW_STYLE_HEAD},
    {"unaccounted", HW_M_UNACCOUNTED_BYTES, NO_COUNT, true, true, true, HW_STYLE_ALARM},
    {"system", HW_M_SYSTEM_BYTES, NO_COUNT, false, true, false, HW_STYLE_HEAD},
};
enum { ROWS = sizeof rows / sizeof *rows, LABEL = 11 };

struct columns {
    int size, share, chunks; /* widths; 0: the column is left out */
    unsigned bar;
};

static bool is_shown(const struct row *row, const struct hw_figure *figures)
{
    const struct hw_figure *f = &figures[row->bytes];
    return f->known && !(row->hide_if_zero && f->n == 0);
}

static int max_int(int a, int b)
{
    return a > b ? a : b;
}

static struct columns measure(const struct hw_text *t, const struct hw_figure *figures)
{
    char buf[HW_TEXT_NUMBER];
    struct columns c = {.size = 9, .share = 0, .chunks = 0};
    if (hw_get(figures, HW_M_SYSTEM_BYTES) > 0)
        c.share = 6;
    for (int i = 0; i < ROWS; i++) {
        if (!is_shown(&rows[i], figures))
            continue;
        c.size = max_int(c.size, (int)strlen(hw_text_size(t, buf, figures[rows[i].bytes].n)));
        if (rows[i].chunks != NO_COUNT && figures[rows[i].chunks].known)
            c.chunks = max_int(max_int(c.chunks, (int)strlen("CHUNKS")),
                               (int)strlen(hw_text_count(t, buf, figures[rows[i].chunks].n)));
    }
    int used = 2 + LABEL + 2 + c.size + (c.share ? 2 + c.share : 0);
    if (c.chunks && used + 2 + c.chunks > (int)t->width)
        c.chunks = 0;
    if (c.chunks)
        used += 2 + c.chunks;
    int left = (int)t->width - used - 2;
    c.bar = left < HW_TEXT_MIN_BAR ? 0 : (unsigned)left;
    if (c.bar > HW_TEXT_MAX_BAR)
        c.bar = HW_TEXT_MAX_BAR;
    return c;
}

static void print_row(struct hw_text *t, const struct row *row, const struct hw_figure *figures,
                      const struct columns *c)
{
    char buf[HW_TEXT_NUMBER];
    int64_t bytes = figures[row->bytes].n;
    bool has_share = c->share && row->share;
    double share = has_share ? (double)bytes / (double)hw_get(figures, HW_M_SYSTEM_BYTES) : 0;
    bool has_count = c->chunks && row->chunks != NO_COUNT && figures[row->chunks].known;
    bool has_bar = c->bar && row->bar && share > 0;

    fprintf(t->out, "  %-*s  %*s", LABEL, row->label, c->size, hw_text_size(t, buf, bytes));
    if (c->share && (has_share || has_count || has_bar))
        fprintf(t->out, "  %*s", c->share, has_share ? hw_text_percent(buf, share) : "");
    if (c->chunks && (has_count || has_bar))
        fprintf(t->out, "  %*s", c->chunks,
                has_count ? hw_text_count(t, buf, figures[row->chunks].n) : "");
    if (has_bar) {
        fputs("  ", t->out);
        hw_text_bar(t, row->style, share, c->bar);
    }
    putc('\n', t->out);
}

void hw_text_breakdown(struct hw_text *t, const char *title, const struct hw_figure *figures)
{
    struct columns c = measure(t, figures);
    fprintf(t->out, "%s%-*s  %*s", hw_text_on(t, HW_STYLE_HEAD), 2 + LABEL, title, c.size,
            t->opt->exact ? "BYTES" : "SIZE");
    if (c.share)
        fprintf(t->out, "  %*s", c.share, "SHARE");
    if (c.chunks)
        fprintf(t->out, "  %*s", c.chunks, "CHUNKS");
    fprintf(t->out, "%s\n", hw_text_off(t));
    for (int i = 0; i < ROWS; i++)
        if (is_shown(&rows[i], figures))
            print_row(t, &rows[i], figures, &c);
}
