/*
 * How much: where the bytes of the heap are, and what that means.
 *
 * Figures that nobody set are left out, so a new analysis (residency, say) shows up by itself: its
 * rows and sentences are already in the tables below.
 */
#include "render/text.h"

#include <inttypes.h>
#include <string.h>

/* ---- table ----------------------------------------------------------------------------------- */

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
    {"mmapped", HW_M_MMAPPED_BYTES, HW_M_MMAPPED_CHUNKS, false, false, false, HW_STYLE_HEAD},
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

/* ---- the answer in one sentence -------------------------------------------------------------- */

static void put_part(struct hw_text *t, struct hw_flow *f, int64_t part, int64_t whole,
                     const char *what, const char *stop)
{
    char size[HW_TEXT_NUMBER], percent[HW_TEXT_NUMBER];
    hw_flow_words(f, "%s %s", hw_text_amount(t, size, part), what);
    hw_flow_piece(f, "(%s)%s", hw_text_percent(percent, (double)part / (double)whole), stop);
}

static void put_answer(struct hw_text *t)
{
    const struct hw_figure *figures = t->r->totals;
    struct hw_figure used = figures[HW_M_IN_USE_BYTES], held = figures[HW_M_FREE_BYTES];
    int64_t mmapped = hw_get(figures, HW_M_MMAPPED_BYTES); /* in use, outside the arenas */
    int64_t whole = hw_get(figures, HW_M_SYSTEM_BYTES) + mmapped;
    if (whole <= 0 || !used.known || !held.known)
        return;
    char buf[HW_TEXT_NUMBER];
    putc('\n', t->out);
    struct hw_flow f = hw_flow_begin(t, 0, 0, 1);
    hw_flow_words(&f, "malloc holds %s:", hw_text_amount(t, buf, whole));
    put_part(t, &f, used.n + mmapped, whole, "in use", ",");
    put_part(t, &f, held.n, whole, "free", ".");
    hw_flow_end(&f);
}

void hw_text_totals(struct hw_text *t)
{
    put_answer(t);
    putc('\n', t->out);
    hw_text_breakdown(t, "HEAP", t->r->totals);
}

/* ---- what the totals mean -------------------------------------------------------------------- */

static void say_mmapped(struct hw_text *t)
{
    if (hw_get(t->r->totals, HW_M_MMAPPED_CHUNKS) == 0)
        return;
    hw_text_say(t, 2, 4,
                "mmapped chunks lie outside the arenas, on top of system; free() unmaps them");
}

static void say_largest(struct hw_text *t)
{
    const struct hw_figure *figures = t->r->totals;
    if (hw_get(figures, HW_M_LARGEST_FREE_BYTES) == 0)
        return;
    char size[HW_TEXT_NUMBER], percent[HW_TEXT_NUMBER];
    hw_text_amount(t, size, figures[HW_M_LARGEST_FREE_BYTES].n);
    double ratio;
    if (hw_text_ratio(figures[HW_M_EXTERNAL_FRAGMENTATION], &ratio))
        hw_text_say(t, 2, 4, "largest free chunk %s: external fragmentation %s (0%% is one piece)",
                    size, hw_text_percent(percent, ratio));
    else
        hw_text_say(t, 2, 4, "largest free chunk %s", size);
}

static void say_residency(struct hw_text *t)
{
    static const struct {
        enum hw_metric metric;
        const char *what;
    } parts[] = {
        {HW_M_FREE_RESIDENT_BYTES, "in RAM"},
        {HW_M_FREE_SWAPPED_BYTES, "swapped out"},
        {HW_M_FREE_RETURNED_BYTES, "given back or never touched"},
    };
    enum { PARTS = sizeof parts / sizeof *parts };
    const struct hw_figure *figures = t->r->totals;
    if (!figures[HW_M_FREE_RESIDENT_BYTES].known)
        return;
    char buf[HW_TEXT_NUMBER];
    struct hw_flow f = hw_flow_begin(t, 2, 4, 1);
    hw_flow_words(&f, "free:");
    for (size_t i = 0; i < PARTS; i++)
        if (figures[parts[i].metric].known)
            hw_flow_words(&f, "%s %s%s", hw_text_amount(t, buf, figures[parts[i].metric].n),
                          parts[i].what, i + 1 < PARTS ? "," : "");
    hw_flow_end(&f);
}

static void say_utilization(struct hw_text *t)
{
    double ratio;
    char buf[HW_TEXT_NUMBER];
    /* Without residency it is the share of "in use" in the table, there already. */
    if (t->r->totals[HW_M_RESIDENT_BYTES].known &&
        hw_text_ratio(t->r->totals[HW_M_UTILIZATION], &ratio))
        hw_text_say(t, 2, 4, "utilization %s: in use, of the heap's bytes in RAM",
                    hw_text_percent(buf, ratio));
}

/* Many believe that malloc_trim() only cuts the top, so never mention that alone. */
static void say_trim(struct hw_text *t)
{
    char buf[HW_TEXT_NUMBER];
    if (t->r->totals[HW_M_TRIM_BYTES].known)
        hw_text_say(t, 2, 4, "malloc_trim(0) would give back %s now, in all arenas together",
                    hw_text_amount(t, buf, t->r->totals[HW_M_TRIM_BYTES].n));
    else if (hw_get(t->r->totals, HW_M_BIN_BYTES) > 0)
        hw_text_say(
            t, 2, 4,
            "malloc_trim(0) also gives back whole pages inside larger free chunks, in every arena");
}

/* ---- the top of an arena --------------------------------------------------------------------- */

/* Reasons that hold for malloc_trim() and free() alike. */
static const char *why_it_stays(enum hw_trim_reason reason)
{
    switch (reason) {
    case HW_TRIM_BRK_MOVED:
        return "someone else moved the program break";
    case HW_TRIM_NONCONTIGUOUS:
        return "it lies in an mmap region";
    case HW_TRIM_SUB_PAGE:
        return "there is no whole page to spare";
    case HW_TRIM_NOT_LAST_HEAP:
        return "it is not in the last heap";
    case HW_TRIM_NONE:
    case HW_TRIM_BELOW_THRESHOLD:
    case HW_TRIM_THREAD_ARENA:
    case HW_TRIM_UNUSED:
        break;
    }
    return NULL;
}

static void put_by_trim(struct hw_text *t, struct hw_flow *f, const struct hw_arena *a)
{
    char buf[HW_TEXT_NUMBER];
    uint64_t bytes = a->top.malloc_trim_bytes.n;
    if (a->kind == HW_ARENA_THREAD)
        hw_flow_words(f, "malloc_trim(0) never touches the top of a thread arena,");
    else if (bytes)
        hw_flow_words(f, "malloc_trim(0) could cut %s off it,",
                      hw_text_amount(t, buf, hw_text_signed(bytes)));
    else
        hw_flow_words(f, "malloc_trim(0) cuts nothing off it,");
}

static void put_by_free(struct hw_text *t, struct hw_flow *f, const struct hw_top *top)
{
    char buf[HW_TEXT_NUMBER];
    if (!top->trimmable_bytes.known)
        hw_flow_words(f, "free() an unknown part");
    else if (top->trimmable_bytes.n)
        hw_flow_words(f, "the next large free() %s",
                      hw_text_amount(t, buf, hw_text_signed(top->trimmable_bytes.n)));
    else
        hw_flow_words(f, "free() by itself nothing%s",
                      top->reason == HW_TRIM_BELOW_THRESHOLD ? " (below trim_threshold)" : "");
}

void hw_text_top(struct hw_text *t, const struct hw_arena *a)
{
    const struct hw_top *top = &a->top;
    if (top->address == 0 || !top->malloc_trim_bytes.known)
        return;

    char name[HW_TEXT_NAME], size[HW_TEXT_NUMBER];
    struct hw_flow f = hw_flow_begin(t, 2, 4, 1);
    if (a->kind == HW_ARENA_MAIN)
        hw_flow_words(&f, "top of the main arena is");
    else
        hw_flow_words(&f, "top of arena %s is", hw_text_arena_name(name, a));

    const char *why = why_it_stays(top->reason);
    bool nothing =
        top->malloc_trim_bytes.n == 0 && top->trimmable_bytes.known && top->trimmable_bytes.n == 0;
    hw_text_amount(t, size, hw_text_signed(top->bytes));
    if (nothing && why) {
        hw_flow_words(&f, "%s and stays: %s", size, why);
    } else {
        hw_flow_words(&f, "%s:", size);
        put_by_trim(t, &f, a);
        put_by_free(t, &f, top);
    }
    hw_flow_end(&f);
}

void hw_text_facts(struct hw_text *t)
{
    t->gap = true;
    say_largest(t);
    say_residency(t);
    say_utilization(t);
    if (t->r->arenas.count) /* the top that glibc gives back by itself */
        hw_text_top(t, &t->r->arenas.data[0]);
    say_trim(t);
    say_mmapped(t);
    t->gap = false;
}
