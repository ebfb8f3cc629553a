/*
 * What the free memory is like: in which lists of malloc's, how large its largest piece is, and how
 * full of live data the pages are. What shares a page with a little live data, no trim gives back.
 */
#include "render/text.h"

/* The free memory by list, for they differ in what they can give back. */
static void put_lists(struct hw_text *t, struct hw_flow *f)
{
    static const struct {
        const char *label;
        enum hw_metric metric;
    } lists[] = {{"bins", HW_M_BIN_BYTES},
                 {"tops", HW_M_TOP_BYTES},
                 {"fastbins", HW_M_FASTBIN_BYTES},
                 {"tcaches", HW_M_TCACHE_BYTES}};
    enum { LISTS = sizeof lists / sizeof *lists };
    uint64_t bytes[LISTS];
    char numbers[LISTS][HW_SIZE_TEXT], buf[HW_TEXT_NUMBER];
    for (size_t i = 0; i < LISTS; i++) {
        int64_t n = hw_get(t->r->totals, lists[i].metric);
        if (n < 0 || n > INT64_MAX / LISTS) /* nonsense of a damaged heap */
            return;
        bytes[i] = (uint64_t)n;
    }
    uint64_t sum = hw_format_parts(numbers, bytes, LISTS, t->opt->exact);
    if (sum == 0)
        return;
    hw_flow_words(f, "%s", hw_text_amount(t, buf, (int64_t)sum));
    const char *sign = "=";
    for (size_t i = 0; i < LISTS; i++) {
        if (hw_is_zero_text(numbers[i]))
            continue;
        hw_flow_piece(f, "%s %s %s", sign, lists[i].label, numbers[i]);
        sign = "+";
    }
}

bool hw_text_holds_little(const struct hw_report *r)
{
    struct hw_figure held = r->totals[HW_M_FREE_RESIDENT_BYTES];
    return held.known && r->rss.known && (uint64_t)held.n < r->rss.rss_bytes / 100;
}

/* Not where a top is all there is. */
static void put_largest(struct hw_text *t, struct hw_flow *f)
{
    const struct hw_figure *figures = t->r->totals;
    char size[HW_TEXT_NUMBER], percent[HW_TEXT_NUMBER];
    double ratio;
    hw_text_amount(t, size, hw_get(figures, HW_M_LARGEST_FREE_BYTES));
    hw_flow_piece(f, "largest chunk %s", size);
    f->gap = 1;
    if (hw_text_ratio(figures[HW_M_EXTERNAL_FRAGMENTATION], &ratio))
        hw_flow_piece(f, "(fragmentation %s)", hw_text_percent(percent, ratio));
}

static void say_lists(struct hw_text *t)
{
    const struct hw_figure *figures = t->r->totals;
    /* Where the pages are not known, each list has a row of its own above. */
    bool lists = figures[HW_M_FREE_RESIDENT_BYTES].known && hw_get(figures, HW_M_FREE_BYTES);
    bool largest = hw_get(figures, HW_M_LARGEST_FREE_BYTES) && hw_get(figures, HW_M_BIN_BYTES);
    if (!lists && !largest)
        return;
    struct hw_flow f = hw_flow_label(t, "FREE");
    f.gap = 1;
    if (lists)
        put_lists(t, &f);
    f.gap = f.fresh ? 1 : 2;
    if (largest)
        put_largest(t, &f);
    hw_flow_end(&f);
}

static void say_pages(struct hw_text *t)
{
    const struct hw_report *r = t->r;
    char buf[HW_TEXT_NUMBER];
    uint64_t all = 0;
    for (size_t i = 0; i < HW_FULLNESS; i++)
        all += r->residency.fullness[i];
    if (all == 0)
        return;
    struct hw_flow f = hw_flow_label(t, "PAGES");
    f.gap = 1;
    hw_flow_words(&f, "by live data:");
    f.gap = 2;
    for (size_t i = 0; i < HW_FULLNESS; i++) {
        uint64_t bytes = r->residency.fullness[i];
        if (bytes == 0)
            continue;
        hw_text_amount(t, buf, hw_text_signed(bytes));
        if (i == 0)
            hw_flow_piece(&f, "none %s", buf);
        else
            hw_flow_piece(&f, "to %u%% %s", hw_fullness_percent[i], buf);
    }
    hw_flow_end(&f);
}

void hw_text_free(struct hw_text *t)
{
    if (hw_text_holds_little(t->r))
        return;
    say_lists(t);
    say_pages(t);
}
