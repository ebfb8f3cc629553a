/*
 * Where: a table of the arenas with most free memory, or all about the one that was asked for.
 */
#include "render/text.h"

#include "base/cleanup.h"

#include <libsmartcols/libsmartcols.h>
#include <string.h>

#define WORST 10

/* ---- which arenas ---------------------------------------------------------------------------- */

#define MOVED_NAMED   20
#define HOLDERS_NAMED 3

const char *hw_text_arena_mark(const struct hw_arena *a)
{
    return a->moved ? "~" : a->locked ? "*" : "";
}

char *hw_text_arena_name(char buf[HW_TEXT_NAME], const struct hw_arena *a)
{
    if (a->kind == HW_ARENA_MAIN)
        snprintf(buf, HW_TEXT_NAME, "main");
    else
        snprintf(buf, HW_TEXT_NAME, "%u", a->index);
    return buf;
}

/* What makes an arena bad: free memory that costs RAM where that is known, else free memory. */
static enum hw_metric badness(const struct hw_report *r)
{
    return r->totals[HW_M_FREE_RESIDENT_BYTES].known ? HW_M_FREE_RESIDENT_BYTES : HW_M_FREE_BYTES;
}

static int compare_badness(const void *left, const void *right, void *metric)
{
    const struct hw_arena *a = *(const struct hw_arena *const *)left;
    const struct hw_arena *b = *(const struct hw_arena *const *)right;
    int64_t x = hw_get(a->figures, *(enum hw_metric *)metric);
    int64_t y = hw_get(b->figures, *(enum hw_metric *)metric);
    if (x != y)
        return x > y ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

const struct hw_arena **hw_text_worst(struct hw_text *t, size_t *shown, size_t *count)
{
    *shown = *count = 0;
    if (t->r->arenas.count == 0)
        return NULL;
    const struct hw_arena **list = calloc(t->r->arenas.count, sizeof(struct hw_arena *));
    if (!list) {
        t->nomem = true;
        return NULL;
    }
    for (size_t i = 0; i < t->r->arenas.count; i++)
        if (hw_shows_arena(t->opt, (int)i))
            list[(*count)++] = &t->r->arenas.data[i];
    enum hw_metric metric = badness(t->r);
    qsort_r(list, *count, sizeof(struct hw_arena *), compare_badness, &metric);
    *shown = t->opt->all_arenas || *count < WORST ? *count : WORST;
    return list;
}

/* ---- columns --------------------------------------------------------------------------------- */

/*
 * A cell's text; false where it is unknown. `compact` sizes read "1.2G" instead of "1.2 GiB".
 */
struct cell_style {
    const struct hw_text *t;
    bool compact;
};
typedef bool (*cell_fn)(const struct cell_style *s, const struct hw_arena *a, enum hw_metric metric,
                        char buf[HW_TEXT_NUMBER]);

static bool size_cell(const struct cell_style *s, const struct hw_arena *a, enum hw_metric metric,
                      char buf[HW_TEXT_NUMBER])
{
    if (!a->figures[metric].known)
        return false;
    hw_text_size(s->t, buf, a->figures[metric].n);
    if (s->compact)
        hw_compact_size(buf);
    return true;
}

static bool ratio_cell(const struct cell_style *s, const struct hw_arena *a, enum hw_metric metric,
                       char buf[HW_TEXT_NUMBER])
{
    (void)s;
    double ratio;
    return hw_text_ratio(a->figures[metric], &ratio) && hw_text_percent(buf, ratio);
}

static bool stays_cell(const struct cell_style *s, const struct hw_arena *a, enum hw_metric metric,
                       char buf[HW_TEXT_NUMBER])
{
    (void)metric;
    struct hw_figure stays = hw_text_stays(&a->residency);
    if (!stays.known)
        return false;
    hw_text_size(s->t, buf, stays.n);
    if (s->compact)
        hw_compact_size(buf);
    return true;
}

/* All free memory, where it is not known which of it costs RAM. */
static bool free_cell(const struct cell_style *s, const struct hw_arena *a, enum hw_metric metric,
                      char buf[HW_TEXT_NUMBER])
{
    return badness(s->t->r) == metric && size_cell(s, a, metric, buf);
}

static bool name_cell(const struct cell_style *s, const struct hw_arena *a, enum hw_metric metric,
                      char buf[HW_TEXT_NUMBER])
{
    (void)s;
    (void)metric;
    char name[HW_TEXT_NAME];
    snprintf(buf, HW_TEXT_NUMBER, "%s%s", hw_text_arena_mark(a), hw_text_arena_name(name, a));
    return true;
}

static bool heaps_cell(const struct cell_style *s, const struct hw_arena *a, enum hw_metric metric,
                       char buf[HW_TEXT_NUMBER])
{
    (void)metric;
    hw_text_count(s->t, buf, hw_text_signed(a->heaps.count));
    return true;
}

static bool threads_cell(const struct cell_style *s, const struct hw_arena *a,
                         enum hw_metric metric, char buf[HW_TEXT_NUMBER])
{
    (void)metric;
    if (!a->attached_threads.known && a->tids.count == 0)
        return false;
    hw_text_count(s->t, buf,
                  a->attached_threads.known ? hw_text_signed(a->attached_threads.n)
                                            : hw_text_signed(a->tids.count));
    return true;
}

struct column {
    const char *title;
    cell_fn cell;
    enum hw_metric metric;
    unsigned expendable; /* the largest is left out first where room is short; 0: never */
};

static const struct column columns[] = {
    {"ARENA", name_cell, HW_METRICS_, 0},
    {"HEAPS", heaps_cell, HW_METRICS_, 8},
    {"SYSTEM", size_cell, HW_M_SYSTEM_BYTES, 3},
    {"IN-USE", size_cell, HW_M_IN_USE_BYTES, 1},
    {"FREE", free_cell, HW_M_FREE_BYTES, 0},
    {"FREE-RES", free_cell, HW_M_FREE_RESIDENT_BYTES, 0},
    {"LARGEST", size_cell, HW_M_LARGEST_FREE_BYTES, 6},
    {"FRAG", ratio_cell, HW_M_EXTERNAL_FRAGMENTATION, 5},
    {"TOP", size_cell, HW_M_TOP_BYTES, 9},
    {"TRIM", size_cell, HW_M_TRIM_BYTES, 2},
    {"STAYS", stays_cell, HW_METRICS_, 4},
    {"THREADS", threads_cell, HW_METRICS_, 7},
};
enum { COLUMNS = sizeof columns / sizeof *columns };

/* ---- fitting the table into the width -------------------------------------------------------- */

struct fit {
    struct cell_style style;
    unsigned widths[COLUMNS]; /* 0: the column is left out */
    unsigned gap;
};

static unsigned measure(struct fit *f, const struct hw_arena **list, size_t shown)
{
    unsigned total = 0;
    char buf[HW_TEXT_NUMBER];
    for (unsigned c = 0; c < COLUMNS; c++) {
        bool any = false;
        size_t widest = strlen(columns[c].title);
        for (size_t i = 0; i < shown; i++) {
            if (!columns[c].cell(&f->style, list[i], columns[c].metric, buf))
                continue;
            any = true;
            if (strlen(buf) > widest)
                widest = strlen(buf);
        }
        f->widths[c] = any ? (unsigned)widest : 0;
        total += any ? f->widths[c] + f->gap : 0;
    }
    return total;
}

/* First smaller units, then smaller gaps, and only then fewer columns. */
static void fit_columns(struct fit *f, const struct hw_arena **list, size_t shown)
{
    static const struct {
        bool compact;
        unsigned gap;
    } ways[] = {{false, 2}, {true, 2}, {true, 1}};
    unsigned total = 0;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        f->style.compact = ways[i].compact && !f->style.t->opt->exact;
        f->gap = ways[i].gap;
        total = measure(f, list, shown);
        if (total <= f->style.t->width)
            return;
    }
    for (unsigned rank = COLUMNS; rank > 0 && total > f->style.t->width; rank--) {
        for (unsigned c = 0; c < COLUMNS; c++) {
            if (columns[c].expendable != rank || f->widths[c] == 0)
                continue;
            total -= f->widths[c] + f->gap;
            f->widths[c] = 0;
        }
    }
}

/* ---- printing -------------------------------------------------------------------------------- */

static bool fill_table(struct libscols_table *table, const struct fit *f,
                       const struct hw_arena **list, size_t shown)
{
    char buf[HW_TEXT_NUMBER];
    for (unsigned c = 0; c < COLUMNS; c++)
        if (f->widths[c] &&
            !scols_table_new_column(table, columns[c].title, (double)f->widths[c], SCOLS_FL_RIGHT))
            return false;
    for (size_t i = 0; i < shown; i++) {
        struct libscols_line *line = scols_table_new_line(table, NULL);
        if (!line)
            return false;
        size_t cell = 0;
        for (unsigned c = 0; c < COLUMNS; c++) {
            if (!f->widths[c])
                continue;
            bool known = columns[c].cell(&f->style, list[i], columns[c].metric, buf);
            if (scols_line_set_data(line, cell++, known ? buf : "-") != 0)
                return false;
        }
    }
    return true;
}

/* Indented, the first line in bold: simpler than teaching libsmartcols about either. */
static void print_lines(struct hw_text *t, char *text, unsigned indent)
{
    char *rest = text;
    bool head = true;
    for (char *line; (line = strsep(&rest, "\n")) != NULL; head = false) {
        if (*line)
            fprintf(t->out, "%s%*s%s%s\n", head ? hw_text_on(t, HW_STYLE_HEAD) : "", (int)indent,
                    "", line, head ? hw_text_off(t) : "");
    }
}

static void print_table(struct hw_text *t, const struct hw_arena **list, size_t shown)
{
    struct fit f = {.style.t = t};
    fit_columns(&f, list, shown);
    struct libscols_table *table = scols_new_table();
    hw_autofree char *text = NULL;
    if (!table || scols_table_set_column_separator(table, f.gap == 2 ? "  " : " ") != 0 ||
        scols_table_set_termforce(table, SCOLS_TERMFORCE_ALWAYS) != 0 ||
        scols_table_set_termwidth(table, t->width - f.gap) != 0 ||
        !fill_table(table, &f, list, shown) || scols_print_table_to_string(table, &text) != 0)
        t->nomem = true;
    else
        print_lines(t, text, f.gap);
    scols_unref_table(table);
}

static void say_left_out(struct hw_text *t, const struct hw_arena **rest, size_t count)
{
    enum hw_metric metric = badness(t->r);
    int64_t held = 0;
    for (size_t i = 0; i < count; i++)
        if (__builtin_add_overflow(held, hw_get(rest[i]->figures, metric), &held))
            held = INT64_MAX; /* only in nonsense */
    char number[HW_TEXT_NUMBER], size[HW_TEXT_NUMBER];
    hw_text_say(t, 2, 4, "... %s more arena%s, holding %s free%s (--all-arenas shows them)",
                hw_text_count(t, number, (int64_t)count), count == 1 ? "" : "s",
                hw_text_amount(t, size, held), metric == HW_M_FREE_BYTES ? "" : " in RAM");
}

static bool is_moved(const struct hw_text *t, size_t i)
{
    return t->r->arenas.data[i].moved && hw_shows_arena(t->opt, (int)i);
}

/* All of them, also where they have no line: what there is of them is in the totals, too. */
static void say_moved(struct hw_text *t, size_t moved)
{
    char name[HW_TEXT_NAME], number[HW_TEXT_NUMBER];
    size_t named = moved < MOVED_NAMED ? moved : MOVED_NAMED, said = 0;
    fputs(hw_text_on(t, HW_STYLE_WARN), t->out);
    struct hw_flow f = hw_flow_begin(t, 2, 4, 1);
    hw_flow_words(&f, "~ figures of arena%s", moved == 1 ? "" : "s");
    for (size_t i = 0; i < t->r->arenas.count && said < named; i++)
        if (is_moved(t, i))
            hw_flow_piece(&f, "%s%s", hw_text_arena_name(name, &t->r->arenas.data[i]),
                          ++said < named ? "," : "");
    if (named < moved)
        hw_flow_words(&f, "and %s more", hw_text_count(t, number, hw_text_signed(moved - named)));
    hw_flow_words(&f, "are about right, not exact: %s read",
                  moved == 1 ? "it changed while it was" : "they changed while they were");
    hw_flow_end(&f);
    fputs(hw_text_off(t), t->out);
}

/* Who the thread is, where that is known. */
static void say_holders(struct hw_flow *f, const struct hw_arena **list, size_t shown)
{
    char name[HW_TEXT_NAME];
    for (size_t i = 0; i < shown; i++)
        for (size_t j = 0; j < list[i]->held_by.count && j < HOLDERS_NAMED; j++)
            if (j == 0)
                hw_flow_words(f, "- %s by thread %d", hw_text_arena_name(name, list[i]),
                              list[i]->held_by.data[0]);
            else
                hw_flow_words(f, "or %d", list[i]->held_by.data[j]);
}

static void say_locked(struct hw_text *t, const struct hw_arena **list, size_t shown)
{
    fputs(hw_text_on(t, HW_STYLE_WARN), t->out);
    struct hw_flow f = hw_flow_begin(t, 2, 4, 1);
    hw_flow_words(&f, "* locked: a thread was inside malloc or free there when it was read, so "
                      "these figures may be those of a half-made change");
    say_holders(&f, list, shown);
    hw_flow_end(&f);
    fputs(hw_text_off(t), t->out);
}

/* ---- section --------------------------------------------------------------------------------- */

static void explain_marks(struct hw_text *t, const struct hw_arena **list, size_t shown)
{
    size_t moved = 0;
    for (size_t i = 0; i < t->r->arenas.count; i++)
        moved += is_moved(t, i);
    if (moved)
        say_moved(t, moved);
    for (size_t i = 0; i < shown; i++) {
        if (list[i]->locked && !list[i]->moved) {
            say_locked(t, list, shown);
            break;
        }
    }
}

void hw_text_arenas(struct hw_text *t)
{
    const struct hw_report *r = t->r;
    /* One arena: the totals have said it all. */
    if (r->arenas.count == 1 && !*hw_text_arena_mark(&r->arenas.data[0]) && !t->opt->only_arena &&
        !t->opt->all_arenas)
        return;
    size_t shown, count;
    hw_autofree const struct hw_arena **list = hw_text_worst(t, &shown, &count);
    if (!list)
        return;
    putc('\n', t->out);
    if (t->opt->only_arena) {
        hw_text_arena(t, list[0]);
        explain_marks(t, list, 1);
        return;
    }
    print_table(t, list, shown);
    if (shown < count)
        say_left_out(t, list + shown, count - shown);
    explain_marks(t, list, shown);
}
