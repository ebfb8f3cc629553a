/*
 * A comparison for people: what grew in one line, then the totals, the arenas and the sizes that
 * changed.
 */
#include "base/cleanup.h"
#include "render/diff.h"
#include "render/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define ARENAS_SHOWN 10

struct doc {
    struct hw_text t;
    const struct hw_diff *d;
    int width; /* of a column */
};

static char *size_text(const struct doc *d, char buf[HW_TEXT_NUMBER], struct hw_figure f)
{
    if (f.known)
        return hw_text_size(&d->t, buf, f.n);
    snprintf(buf, HW_TEXT_NUMBER, "-");
    return buf;
}

static void put_change(const struct doc *d, struct hw_figure change)
{
    char buf[HW_CHANGE_TEXT];
    fprintf(d->t.out, " %*s", d->width, hw_change_text(buf, change, d->t.opt->exact));
}

static void head(struct doc *d, const char *line)
{
    fprintf(d->t.out, "\n%s%s%s\n", hw_text_on(&d->t, HW_STYLE_HEAD), line, hw_text_off(&d->t));
}

/* ---- who ------------------------------------------------------------------------------------ */

static void put_report(struct doc *d, struct hw_flow *f, const struct hw_saved *s)
{
    (void)d;
    hw_flow_piece(f, "%s", s->file);
    if (s->pid.known)
        hw_flow_piece(f, "(%s, pid %" PRIu64 ")", s->comm[0] ? s->comm : "?", s->pid.n);
    if (s->time[0])
        hw_flow_piece(f, "of %.10s %.8s UTC", s->time, s->time + 11);
}

static void put_head(struct doc *d)
{
    double seconds = hw_diff_seconds(d->d);
    char summary[HW_SUMMARY_MAX];
    struct hw_flow f = hw_flow_label(&d->t, "BEFORE");
    f.gap = 1;
    put_report(d, &f, &d->d->before);
    hw_flow_end(&f);
    f = hw_flow_label(&d->t, "AFTER");
    f.gap = 1;
    put_report(d, &f, &d->d->after);
    if (seconds != 0)
        hw_flow_piece(&f, "(%.1f s later)", seconds);
    hw_flow_end(&f);
    for (size_t i = 0; i < d->d->notes.count; i++) {
        f = hw_flow_label(&d->t, "NOTE");
        f.gap = 1;
        hw_flow_words(&f, "%s", d->d->notes.data[i]);
        hw_flow_end(&f);
    }
    f = hw_flow_label(&d->t, "GREW");
    f.gap = 1;
    hw_flow_words(&f, "%s", hw_diff_summary(d->d, d->t.opt->exact, summary));
    hw_flow_end(&f);
}

/* ---- totals --------------------------------------------------------------------------------- */

static void total_row(struct doc *d, const char *name, struct hw_figure a, struct hw_figure b)
{
    char before[HW_TEXT_NUMBER], after[HW_TEXT_NUMBER];
    if (!a.known && !b.known)
        return;
    fprintf(d->t.out, "  %-20s %*s %*s", name, d->width, size_text(d, before, a), d->width,
            size_text(d, after, b));
    put_change(d, hw_change(a, b));
    putc('\n', d->t.out);
}

static void put_totals(struct doc *d)
{
    static const struct {
        const char *name;
        enum hw_metric metric;
    } rows[] = {
        {"from the kernel", HW_M_SYSTEM_BYTES},
        {"  in use", HW_M_IN_USE_BYTES},
        {"  in tcaches", HW_M_TCACHE_BYTES},
        {"  in fastbins", HW_M_FASTBIN_BYTES},
        {"  in bins", HW_M_BIN_BYTES},
        {"  in tops", HW_M_TOP_BYTES},
        {"  overhead", HW_M_OVERHEAD_BYTES},
        {"  unaccounted", HW_M_UNACCOUNTED_BYTES},
        {"mmapped", HW_M_MMAPPED_BYTES},
        {"free", HW_M_FREE_BYTES},
        {"free in RAM", HW_M_FREE_RESIDENT_BYTES},
        {"free, swapped", HW_M_FREE_SWAPPED_BYTES},
        {"malloc_trim(0) frees", HW_M_TRIM_BYTES},
    };
    char line[128];
    snprintf(line, sizeof line, "%-22s %*s %*s %*s", "TOTAL", d->width, "BEFORE", d->width, "AFTER",
             d->width, "CHANGE");
    head(d, line);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        total_row(d, rows[i].name, d->d->before.totals[rows[i].metric],
                  d->d->after.totals[rows[i].metric]);
    total_row(d, "RSS", d->d->before.rss_bytes, d->d->after.rss_bytes);
}

/* ---- arenas --------------------------------------------------------------------------------- */

static const struct {
    const char *title;
    enum hw_metric metric;
} arena_columns[] = {
    {"SYSTEM", HW_M_SYSTEM_BYTES}, {"IN-USE", HW_M_IN_USE_BYTES},
    {"FREE", HW_M_FREE_BYTES},     {"FREE-RES", HW_M_FREE_RESIDENT_BYTES},
    {"TRIM", HW_M_TRIM_BYTES},
};
#define ARENA_COLUMNS (sizeof arena_columns / sizeof *arena_columns)

/* How much has happened there. */
static uint64_t weight(const struct hw_arena_pair *p)
{
    uint64_t sum = 0;
    for (size_t c = 0; c < ARENA_COLUMNS; c++) {
        struct hw_figure change = hw_pair_change(p, arena_columns[c].metric);
        uint64_t n = change.n < 0 ? -(uint64_t)change.n : (uint64_t)change.n;
        if (change.known && __builtin_add_overflow(sum, n, &sum))
            return UINT64_MAX;
    }
    return sum;
}

static int compare(const void *left, const void *right)
{
    const struct hw_arena_pair *a = *(const struct hw_arena_pair *const *)left;
    const struct hw_arena_pair *b = *(const struct hw_arena_pair *const *)right;
    uint64_t x = weight(a), y = weight(b);
    if (x != y)
        return x > y ? -1 : 1;
    return a < b ? -1 : a > b;
}

static void arena_row(struct doc *d, const struct hw_arena_pair *p)
{
    const struct hw_saved_arena *a = p->after ? p->after : p->before;
    char name[HW_TEXT_NUMBER] = "?";
    if (a->index.known)
        snprintf(name, sizeof name, "%" PRIu64, a->index.n);
    fprintf(d->t.out, "  %-6s", a->index.known && a->index.n == 0 ? "main" : name);
    for (size_t c = 0; c < ARENA_COLUMNS; c++)
        put_change(d, hw_pair_change(p, arena_columns[c].metric));
    if (!p->before || !p->after)
        fprintf(d->t.out, "  %s", hw_pair_state(p));
    putc('\n', d->t.out);
}

static void arena_table(struct doc *d, const struct hw_arena_pair **list, size_t count)
{
    size_t shown = d->t.opt->all_arenas || count < ARENAS_SHOWN ? count : ARENAS_SHOWN;
    char line[160];
    int at = snprintf(line, sizeof line, "%-8s", "ARENA");
    for (size_t c = 0; c < ARENA_COLUMNS; c++)
        at +=
            snprintf(line + at, sizeof line - (size_t)at, " %*s", d->width, arena_columns[c].title);
    head(d, line);
    for (size_t i = 0; i < shown; i++)
        arena_row(d, list[i]);
    if (shown < count)
        fprintf(d->t.out, "  ... %zu more arena%s changed (--all-arenas shows them)\n",
                count - shown, count - shown == 1 ? "" : "s");
}

static bool put_arenas(struct doc *d)
{
    size_t count = 0;
    hw_autofree const struct hw_arena_pair **list =
        calloc(d->d->arenas.count + 1, sizeof(struct hw_arena_pair *));
    if (!list)
        return false;
    for (size_t i = 0; i < d->d->arenas.count; i++)
        if (hw_pair_changed(&d->d->arenas.data[i]))
            list[count++] = &d->d->arenas.data[i];
    qsort(list, count, sizeof *list, compare);
    if (count)
        arena_table(d, list, count);
    return true;
}

/* ---- sizes ---------------------------------------------------------------------------------- */

static void size_cells(struct doc *d, const struct hw_saved_histogram *a,
                       const struct hw_saved_histogram *b, unsigned bucket)
{
    char count[HW_CHANGE_TEXT];
    struct hw_figure chunks =
        hw_change(hw_bucket_figure(a, bucket, false), hw_bucket_figure(b, bucket, false));
    hw_change_text(count, chunks, true);
    fprintf(d->t.out, " %10s", count);
    put_change(d, hw_change(hw_bucket_figure(a, bucket, true), hw_bucket_figure(b, bucket, true)));
}

static void put_sizes(struct doc *d)
{
    char range[HW_CHANGE_TEXT + HW_CHANGE_TEXT], line[128];
    bool any = false;
    for (unsigned i = 0; i < HW_BUCKETS; i++) {
        if (!hw_bucket_changed(d->d, i))
            continue;
        if (!any) {
            snprintf(line, sizeof line, "%-21s %10s %*s %10s %*s", "SIZE", "IN BINS", d->width,
                     "BYTES", "IN USE", d->width, "BYTES");
            head(d, line);
        }
        any = true;
        fprintf(d->t.out, "  %19s", hw_bucket_text(range, i));
        size_cells(d, &d->d->before.histogram, &d->d->after.histogram, i);
        size_cells(d, &d->d->before.in_use_histogram, &d->d->after.in_use_histogram, i);
        putc('\n', d->t.out);
    }
}

int hw_diff_text(const struct hw_diff *diff, const struct hw_render_options *opt, FILE *out,
                 struct hw_error *err)
{
    unsigned width = opt->width < HW_TEXT_MIN_WIDTH ? 80 : opt->width;
    struct doc d = {.t = {.opt = opt, .out = out, .width = width}, .d = diff};
    d.width = opt->exact ? 14 : 11;
    put_head(&d);
    put_totals(&d);
    if (!put_arenas(&d) || d.t.nomem)
        return hw_fail(err, HW_ERR_NOMEM, "out of memory while the comparison was written");
    put_sizes(&d);
    return HW_OK;
}
