/*
 * A comparison as CSV: a row for each figure. An empty field is an unknown one, or, of an arena
 * that is new or gone, one that was not there.
 */
#include "render/diff.h"
#include "render/table.h"

#include <inttypes.h>

struct sheet {
    FILE *out;
    const char *part;
    char key[32]; /* of the arena, or of the size */
};

static void field(FILE *out, struct hw_figure f, enum hw_unit unit)
{
    struct hw_cell cell = hw_cell_figure(&f, unit);
    char buf[HW_CELL_TEXT_MAX];
    const char *text = hw_cell_text(&cell, true, buf);
    fprintf(out, ",%s", text ? text : "");
}

/* Ratios have no change: a difference of ratios is the measure of nothing. */
static void row(const struct sheet *s, const char *figure, enum hw_unit unit, struct hw_figure a,
                struct hw_figure b)
{
    struct hw_figure change = {0};
    if (unit != HW_UNIT_RATIO)
        change = hw_change(a, b);
    fprintf(s->out, "%s,%s,%s", s->part, s->key, figure);
    field(s->out, a, unit);
    field(s->out, b, unit);
    field(s->out, change, unit);
    putc('\n', s->out);
}

static void put_totals(struct sheet *s, const struct hw_diff *d)
{
    s->part = "totals";
    for (size_t m = 0; m < HW_METRICS_; m++) {
        const struct hw_metric_info *info = hw_metric_info((enum hw_metric)m);
        row(s, info->name, info->unit, d->before.totals[m], d->after.totals[m]);
    }
    s->part = "rss";
    row(s, "rss_bytes", HW_UNIT_BYTES, d->before.rss_bytes, d->after.rss_bytes);
}

static void put_histogram(struct sheet *s, const char *part, const struct hw_saved_histogram *a,
                          const struct hw_saved_histogram *b)
{
    s->part = part;
    for (unsigned i = 0; i < HW_BUCKETS; i++) {
        if (!a->h.chunks[i] && !b->h.chunks[i])
            continue;
        snprintf(s->key, sizeof s->key, "%" PRIu64, UINT64_C(1) << i);
        row(s, "chunks", HW_UNIT_COUNT, hw_bucket_figure(a, i, false),
            hw_bucket_figure(b, i, false));
        row(s, "bytes", HW_UNIT_BYTES, hw_bucket_figure(a, i, true), hw_bucket_figure(b, i, true));
    }
}

static void put_arena(struct sheet *s, const struct hw_diff *d, const struct hw_arena_pair *p)
{
    const struct hw_saved_arena *a = p->after ? p->after : p->before;
    if (!a)
        return; /* never so: one of them is there */
    struct hw_figure was = {.known = true, .n = p->before != NULL},
                     is = {.known = true, .n = p->after != NULL};
    if (d->by_address && a->address.known)
        snprintf(s->key, sizeof s->key, "0x%" PRIx64, a->address.n);
    else if (a->index.known)
        snprintf(s->key, sizeof s->key, "%" PRIu64, a->index.n);
    else
        snprintf(s->key, sizeof s->key, "%s", "?");
    row(s, "present", HW_UNIT_COUNT, was, is);
    for (size_t m = 0; m < HW_METRICS_; m++) {
        const struct hw_metric_info *info = hw_metric_info((enum hw_metric)m);
        if (info->scope == HW_SCOPE_EVERY)
            row(s, info->name, info->unit, hw_saved_figure(p->before, (enum hw_metric)m),
                hw_saved_figure(p->after, (enum hw_metric)m));
    }
}

int hw_diff_csv(const struct hw_diff *d, const struct hw_render_options *opt, FILE *out,
                struct hw_error *err)
{
    struct sheet s = {.out = out, .part = "report"};
    (void)err;
    if (!opt->no_headings)
        fputs("part,key,figure,before,after,change\n", out);
    row(&s, "complete", HW_UNIT_COUNT, (struct hw_figure){.known = true, .n = d->before.complete},
        (struct hw_figure){.known = true, .n = d->after.complete});
    put_totals(&s, d);
    put_histogram(&s, "histogram", &d->before.histogram, &d->after.histogram);
    put_histogram(&s, "in_use_histogram", &d->before.in_use_histogram, &d->after.in_use_histogram);
    s.part = "arenas";
    for (size_t i = 0; i < d->arenas.count; i++)
        put_arena(&s, d, &d->arenas.data[i]);
    return HW_OK;
}
