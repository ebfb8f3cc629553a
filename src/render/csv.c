/*
 * Comma-separated values (RFC 4180 but for the line ends). An empty field is an unknown one.
 */
#include "render/render.h"
#include "render/row.h"
#include "render/table.h"

#include <inttypes.h>

/* Ratios by hand: printf() would write a comma for the point in many locales. */
static void put_figure(FILE *out, const struct hw_figure *f, enum hw_unit unit)
{
    putc(',', out);
    if (!f->known)
        return;
    if (unit != HW_UNIT_RATIO) {
        fprintf(out, "%" PRId64, f->n);
        return;
    }
    if (!(f->ratio >= 0 && f->ratio <= 1))
        return;
    unsigned millionths = (unsigned)(f->ratio * 1e6 + 0.5);
    fprintf(out, "%u.%06u", millionths / 1000000, millionths % 1000000);
}

static void put_figures(FILE *out, const struct hw_figure *figures)
{
    for (size_t m = 0; m < HW_METRICS_; m++)
        put_figure(out, &figures[m], hw_metric_info((enum hw_metric)m)->unit);
    putc('\n', out);
}

static int report(const struct hw_report *r, const struct hw_render_options *opt, FILE *out,
                  struct hw_error *err)
{
    (void)err;
    if (!opt->no_headings) {
        fputs("arena,address,kind", out);
        for (size_t m = 0; m < HW_METRICS_; m++)
            fprintf(out, ",%s", hw_metric_info((enum hw_metric)m)->name);
        putc('\n', out);
    }
    for (size_t i = 0; i < r->arenas.count; i++) {
        const struct hw_arena *a = &r->arenas.data[i];
        if (!hw_shows_arena(opt, (int)i))
            continue;
        fprintf(out, "%zu,0x%" PRIx64 ",%s", i, a->address,
                a->kind == HW_ARENA_MAIN ? "main" : "thread");
        put_figures(out, a->figures);
    }
    fputs("total,,", out);
    put_figures(out, r->totals);
    return HW_OK;
}

/* ---- chunks ---------------------------------------------------------------------------------- */

static void list_head(const struct hw_report *r, const struct hw_render_options *opt, FILE *out)
{
    (void)r;
    (void)opt;
    fputs("address,pointer,bytes,state,arena,bin,tid\n", out);
}

static void list_block(const struct hw_report *r, const struct hw_render_options *opt,
                       const struct hw_block *b, FILE *out)
{
    (void)opt;
    struct hw_row row;
    row.len = 0;
    hw_row_hex(&row, b->address);
    hw_row_text(&row, ",");
    if (hw_has_pointer(b))
        hw_row_hex(&row, b->address + hw_header_bytes(r));
    hw_row_text(&row, ",");
    hw_row_decimal(&row, b->bytes);
    hw_row_text(&row, ",");
    hw_row_text(&row, hw_state_name((enum hw_state)b->state)); /* none needs quotes */
    hw_row_text(&row, ",");
    if (b->arena >= 0)
        hw_row_decimal(&row, (uint64_t)b->arena);
    hw_row_text(&row, ",");
    if (b->bin >= 0)
        hw_row_decimal(&row, (uint64_t)b->bin);
    hw_row_text(&row, ",");
    if (b->tid > 0)
        hw_row_decimal(&row, (uint64_t)b->tid);
    hw_row_text(&row, "\n");
    hw_row_write(&row, out);
}

const struct hw_renderer hw_render_csv = {
    .format = HW_FORMAT_CSV,
    .report = report,
    .list_head = list_head,
    .list_block = list_block,
};
