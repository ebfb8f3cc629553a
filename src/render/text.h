/*
 * What the parts of the text report share. Each part is a section: a function that prints its lines
 * with a blank line before them, or nothing where nothing is known. text.c has the list of sections
 * and so the order of the report; to add one: a function in a text_*.c, one line in that list.
 *
 * The text is plain ASCII (bars too), so that it survives tickets, logs and any locale; only names
 * that come from outside may hold more. No line is longer than `width`, none ends in a space, and
 * colour only repeats what words say.
 */
#ifndef HW_RENDER_TEXT_H
#define HW_RENDER_TEXT_H

#include "render/render.h"

#define HW_TEXT_MIN_WIDTH 60
#define HW_TEXT_MAX_PROSE 100 /* longer lines of prose are hard to read */
#define HW_TEXT_MAX_BAR   60
#define HW_TEXT_GOOD_BAR  12
#define HW_TEXT_MIN_BAR   5 /* a shorter bar says nothing: leave it out */

struct hw_text {
    const struct hw_report *r;
    const struct hw_render_options *opt;
    FILE *out;
    unsigned width;
    bool gap;   /* a blank line is due before the next flow */
    bool nomem; /* set by a section that had to leave something out */
};

/* A blank line, now. */
static inline void hw_text_blank(struct hw_text *t)
{
    putc('\n', t->out);
    t->gap = false;
}

/* ---- sections ------------------------------------------------------------------------------- */

void hw_text_head(struct hw_text *t);     /* who, which libc, how it was read; no blank line */
void hw_text_partial(struct hw_text *t);  /* loud, only where something is missing */
void hw_text_abort(struct hw_text *t);    /* glibc's last words, where it said any */
void hw_text_other(struct hw_text *t);    /* only where the program's malloc is another one */
void hw_text_ledger(struct hw_text *t);   /* what RSS is for; no blank line */
void hw_text_verdict(struct hw_text *t);  /* what it means; no blank line */
void hw_text_memory(struct hw_text *t);   /* where malloc's memory is, with bars */
void hw_text_trim(struct hw_text *t);     /* what would go back to the kernel, and what not */
void hw_text_arenas(struct hw_text *t);   /* the worst arenas, or the one that was asked for */
void hw_text_sizes(struct hw_text *t);    /* histograms */
void hw_text_pins(struct hw_text *t);     /* the chunks that hold back most; no blank line */
void hw_text_holes(struct hw_text *t);    /* the largest free runs, and all pins: where asked for */
void hw_text_free(struct hw_text *t);     /* what the free memory is like; no blank line */
void hw_text_settings(struct hw_text *t); /* malloc's parameters; no blank line */
void hw_text_acts(struct hw_text *t);     /* which threads stood in malloc */
void hw_text_check(struct hw_text *t);    /* what must hold in a heap: where asked for */
void hw_text_findings(struct hw_text *t);

/* The listing of chunks. */
void hw_text_list_head(const struct hw_report *r, const struct hw_render_options *opt, FILE *out);
void hw_text_list_block(const struct hw_report *r, const struct hw_render_options *opt,
                        const struct hw_block *b, FILE *out);

/* ---- parts of sections ---------------------------------------------------------------------- */

/* What stands where a finding is, where asked for. */
void hw_text_scene(struct hw_text *t, const struct hw_finding *f);

/* Everything about one arena. */
void hw_text_arena(struct hw_text *t, const struct hw_arena *a);

/* Table of size, share, chunks and bar for the figures of an arena. */
void hw_text_breakdown(struct hw_text *t, const char *title, const struct hw_figure *figures);

/* What malloc_trim(0) would give back, of an arena or of all, and why the rest would stay. */
void hw_text_prediction(struct hw_text *t, const struct hw_figure *figures,
                        const struct hw_residency *res);
/* Free bytes in RAM that would stay. */
struct hw_figure hw_text_stays(const struct hw_residency *res);

/* True where the free memory in RAM is known to be hardly anything: then nobody needs its
 * details. */
bool hw_text_holds_little(const struct hw_report *r);

/* How large the top of an arena is and who would give it back. */
void hw_text_top(struct hw_text *t, const struct hw_arena *a);

/* ---- arenas --------------------------------------------------------------------------------- */

/* The arenas to show, the one with most free memory first, the `*shown` first ones of them; the
 * rest is what the report leaves out. Allocated, freed by the caller; NULL (and t->nomem) when
 * memory is out or there is none. */
const struct hw_arena **hw_text_worst(struct hw_text *t, size_t *shown, size_t *count);

/* What its name is marked with: its figures may not be what they seem. "" for most. */
const char *hw_text_arena_mark(const struct hw_arena *a);

/* "main" or the index; buf is returned. */
#define HW_TEXT_NAME 16
char *hw_text_arena_name(char buf[HW_TEXT_NAME], const struct hw_arena *a);

/* ---- numbers as text ------------------------------------------------------------------------ */

/* Room for any number here: 20 digits, a sign, commas, a unit. */
#define HW_TEXT_NUMBER 32

/* Sizes as the options ask for them. Damaged heaps may give negative figures. buf is returned. */
char *hw_text_size(const struct hw_text *t, char buf[HW_TEXT_NUMBER], int64_t bytes);
/* The same for sentences: exact bytes get a " B", which columns can do without. */
char *hw_text_amount(const struct hw_text *t, char buf[HW_TEXT_NUMBER], int64_t bytes);
/* As hw_text_size, but whole units without decimals ("128 KiB"): for thresholds and ranges. */
char *hw_text_whole(const struct hw_text *t, char buf[HW_TEXT_NUMBER], uint64_t bytes);
/* "1,234,567"; digits only where exact bytes are asked for. */
char *hw_text_count(const struct hw_text *t, char buf[HW_TEXT_NUMBER], int64_t n);
/* "12.3%". Never "0.0%" for something nor "100.0%" for less than all. */
char *hw_text_percent(char buf[HW_TEXT_NUMBER], double share);
/* "850 us", "12.3 ms", "1.25 s". */
char *hw_text_time(char buf[HW_TEXT_NUMBER], uint64_t ns);

/* Counts come unsigned from lists and headers; nothing real is cut off. */
static inline int64_t hw_text_signed(uint64_t n)
{
    return n > INT64_MAX ? INT64_MAX : (int64_t)n;
}

/* The value of a figure: false if unknown, or no number between 0 and 1. */
bool hw_text_ratio(struct hw_figure f, double *ret);

/* ---- lines ---------------------------------------------------------------------------------- */

enum hw_style { HW_STYLE_HEAD, HW_STYLE_ALARM, HW_STYLE_WARN, HW_STYLE_USED, HW_STYLE_FREE };

/* The escape sequence that starts a style or ends any; "" without colour. */
const char *hw_text_on(const struct hw_text *t, enum hw_style style);
const char *hw_text_off(const struct hw_text *t);

/* A bar of `share` (0..1) of `room` columns; "." where there is something, but too little. Returns
 * the columns it took. */
unsigned hw_text_bar(struct hw_text *t, enum hw_style style, double share, unsigned room);

/*
 * Pieces that flow into lines of at most `limit` columns, following ones indented by `hang`:
 *     struct hw_flow f = hw_flow_begin(t, 2, 4, 2);
 *     hw_flow_piece(&f, "pid %d", 7);    never broken inside unless longer than a line
 *     hw_flow_words(&f, "%s", text);     each word a piece
 *     hw_flow_end(&f);                   newline
 * Whatever could move a terminal's cursor is replaced by '?'; valid UTF-8 passes.
 */
struct hw_flow {
    struct hw_text *t;
    unsigned column, hang, gap, limit;
    bool fresh; /* nothing is on this line yet */
};
struct hw_flow hw_flow_begin(struct hw_text *t, unsigned indent, unsigned hang, unsigned gap);
/* Pieces behind a heading of at most 8 columns, on its line. */
struct hw_flow hw_flow_label(struct hw_text *t, const char *label);
void hw_flow_piece(struct hw_flow *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void hw_flow_words(struct hw_flow *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void hw_flow_end(struct hw_flow *f);

/* One paragraph of words: begin, words, end. */
#define hw_text_say(t, indent, hang, ...)                                                          \
    do {                                                                                           \
        struct hw_flow hw_flow_ = hw_flow_begin(t, indent, hang, 1);                               \
        hw_flow_words(&hw_flow_, __VA_ARGS__);                                                     \
        hw_flow_end(&hw_flow_);                                                                    \
    } while (0)

#endif
