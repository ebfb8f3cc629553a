/*
 * Live or free? Where the memory that malloc holds is: in a live process by what is in RAM, in a
 * core, which does not tell that, by malloc's own lists.
 */
#include "render/text.h"

#include <string.h>

enum { LABEL = 20, SIZE = 9, SHARE = 6, ROWS_MAX = 12 };

struct row {
    const char *label;
    int64_t bytes;
    int64_t part; /* of `whole`; -1: it is no part of that */
    enum hw_style style;
    const char *remark; /* instead of a bar */
};

struct table {
    struct row rows[ROWS_MAX];
    size_t count;
    int64_t whole; /* 0: no shares */
    const char *of;
};

static void add(struct table *table, struct row row)
{
    if (table->count < ROWS_MAX)
        table->rows[table->count++] = row;
}

static void add_if(struct table *table, const char *label, struct hw_figure f, enum hw_style style)
{
    if (f.known && f.n != 0)
        add(table, (struct row){label, f.n, f.n, style, NULL});
}

/* ---- live: by the pages --------------------------------------------------------------------- */

/* One row where (nearly) all of it is in RAM, else one for each state. */
static void add_in_use(struct table *table, struct hw_figure bytes, const struct hw_split *split)
{
    if (!bytes.known)
        return;
    bool all = bytes.n >= 0 && split->swapped <= (uint64_t)bytes.n / 200 &&
               split->returned <= (uint64_t)bytes.n / 200;
    add(table, (struct row){.label = all ? "in use" : "in use, in RAM",
                            .bytes = all ? bytes.n : hw_text_signed(split->resident),
                            .part = hw_text_signed(split->resident),
                            .style = HW_STYLE_USED});
    if (!all && split->swapped)
        add(table, (struct row){"in use, swapped out", hw_text_signed(split->swapped), -1,
                                HW_STYLE_USED, NULL});
    if (!all && split->returned)
        add(table, (struct row){"in use, untouched", hw_text_signed(split->returned), -1,
                                HW_STYLE_USED, "(never written to: costs no RAM)"});
}

static void add_mmapped(struct table *table, const struct hw_report *r)
{
    int64_t all = hw_get(r->totals, HW_M_MMAPPED_BYTES);
    if (all == 0)
        return;
    if (!r->rss.known) {
        add(table, (struct row){"mmapped chunks", all, -1, HW_STYLE_USED, NULL});
        return;
    }
    int64_t resident = hw_text_signed(r->rss.mmapped_chunk_bytes);
    int64_t away = all > resident ? all - resident : 0;
    bool mostly = away < all / 100;
    add(table, (struct row){mostly ? "mmapped chunks" : "mmapped, in RAM", mostly ? all : resident,
                            resident, HW_STYLE_USED, NULL});
    if (!mostly && away)
        add(table, (struct row){"mmapped, not in RAM", away, -1, HW_STYLE_USED, NULL});
}

static void by_pages(struct table *table, const struct hw_report *r)
{
    const struct hw_figure *f = r->totals;
    table->whole = r->rss.known ? hw_text_signed(r->rss.rss_bytes) : 0;
    table->of = "OF RSS";
    add_in_use(table, f[HW_M_IN_USE_BYTES], &r->residency.in_use);
    add_mmapped(table, r);
    int64_t resident = f[HW_M_FREE_RESIDENT_BYTES].n;
    add(table, (struct row){"free, in RAM", resident, resident, HW_STYLE_FREE, NULL});
    if (hw_get(f, HW_M_FREE_SWAPPED_BYTES))
        add(table, (struct row){"free, swapped out", f[HW_M_FREE_SWAPPED_BYTES].n, -1,
                                HW_STYLE_FREE, NULL});
    if (hw_get(f, HW_M_FREE_RETURNED_BYTES))
        add(table, (struct row){"free, given back", f[HW_M_FREE_RETURNED_BYTES].n, -1,
                                HW_STYLE_FREE, "(or never touched: costs no RAM)"});
    if (hw_get(f, HW_M_UNACCOUNTED_BYTES))
        add(table, (struct row){"unaccounted", f[HW_M_UNACCOUNTED_BYTES].n, -1, HW_STYLE_ALARM,
                                "(no chunk explains it)"});
}

/* ---- a core: by malloc's lists -------------------------------------------------------------- */

static void by_lists(struct table *table, const struct hw_report *r)
{
    const struct hw_figure *f = r->totals;
    int64_t system = hw_get(f, HW_M_SYSTEM_BYTES), mmapped = hw_get(f, HW_M_MMAPPED_BYTES);
    if (system > 0 && mmapped >= 0 && system <= INT64_MAX - mmapped)
        table->whole = system + mmapped;
    table->of = "SHARE";
    if (f[HW_M_IN_USE_BYTES].known)
        add(table, (struct row){"in use", f[HW_M_IN_USE_BYTES].n, f[HW_M_IN_USE_BYTES].n,
                                HW_STYLE_USED, NULL});
    add_if(table, "mmapped chunks", f[HW_M_MMAPPED_BYTES], HW_STYLE_USED);
    add_if(table, "free in bins", f[HW_M_BIN_BYTES], HW_STYLE_FREE);
    add_if(table, "free in tops", f[HW_M_TOP_BYTES], HW_STYLE_FREE);
    add_if(table, "free in fastbins", f[HW_M_FASTBIN_BYTES], HW_STYLE_FREE);
    add_if(table, "free in tcaches", f[HW_M_TCACHE_BYTES], HW_STYLE_FREE);
    add_if(table, "overhead", f[HW_M_OVERHEAD_BYTES], HW_STYLE_HEAD);
    add_if(table, "unaccounted", f[HW_M_UNACCOUNTED_BYTES], HW_STYLE_ALARM);
}

/* ---- printing ------------------------------------------------------------------------------- */

static void print_row(struct hw_text *t, const struct table *table, const struct row *row, int size)
{
    char buf[HW_TEXT_NUMBER];
    fprintf(t->out, "  %-*s  %*s", LABEL, row->label, size, hw_text_size(t, buf, row->bytes));
    int used = 2 + LABEL + 2 + size + 2 + SHARE + 2;
    bool has_share = table->whole > 0 && row->part >= 0;
    double share = has_share ? (double)row->part / (double)table->whole : 0;
    if (has_share)
        fprintf(t->out, "  %*s", SHARE, hw_text_percent(buf, share));
    int room = (int)t->width - used;
    bool remark = row->remark && (int)strlen(row->remark) <= room;
    bool bar = has_share && share > 0 && room >= HW_TEXT_MIN_BAR;
    if (!has_share && (remark || table->whole > 0))
        fprintf(t->out, "  %*s", SHARE, table->whole > 0 ? "-" : "");
    if (remark) {
        fprintf(t->out, "  %s", row->remark);
    } else if (bar) {
        fputs("  ", t->out);
        hw_text_bar(t, row->style, share,
                    (unsigned)(room < HW_TEXT_MAX_BAR ? room : HW_TEXT_MAX_BAR));
    }
    putc('\n', t->out);
}

static void print(struct hw_text *t, const struct table *table)
{
    char buf[HW_TEXT_NUMBER];
    int size = SIZE;
    for (size_t i = 0; i < table->count; i++) {
        int length = (int)strlen(hw_text_size(t, buf, table->rows[i].bytes));
        size = length > size ? length : size;
    }
    fprintf(t->out, "%s%-*s  %*s", hw_text_on(t, HW_STYLE_HEAD), 2 + LABEL, "MALLOC", size,
            t->opt->exact ? "BYTES" : "SIZE");
    if (table->whole > 0)
        fprintf(t->out, "  %*s", SHARE, table->of);
    fprintf(t->out, "%s\n", hw_text_off(t));
    for (size_t i = 0; i < table->count; i++)
        print_row(t, table, &table->rows[i], size);
}

/* ---- section -------------------------------------------------------------------------------- */

void hw_text_memory(struct hw_text *t)
{
    struct table table = {.count = 0};
    if (t->r->totals[HW_M_FREE_RESIDENT_BYTES].known)
        by_pages(&table, t->r);
    else
        by_lists(&table, t->r);
    if (table.count == 0)
        return;
    hw_text_blank(t);
    print(t, &table);
}
