#include "analysis/analysis.h"

#include "analysis/runs.h"
#include "analysis/spans.h"
#include "analysis/trim.h"

#define ANALYSES_MAX 16

struct hw_analyzing {
    struct hw_report *report;
    int32_t arena; /* at hand; -1: none */
    bool blocks_done;
    struct hw_run_builder runs;
    struct hw_page_cursor cursor; /* of runs */
    struct hw_span spans[HW_SPAN_BLOCKS];
    void *state[ANALYSES_MAX];
    size_t run_count; /* those who want runs, of which there may be as many as blocks */
    struct {
        void (*tell)(void *state, struct hw_report *r, struct hw_arena *a,
                     const struct hw_run *run);
        void *state;
    } run[ANALYSES_MAX];
};

/* ---- life ------------------------------------------------------------------------------------ */

void hw_analyses_drop(struct hw_analyzing *a)
{
    for (size_t i = 0; a && hw_analyses[i]; i++)
        free(a->state[i]);
    free(a);
}

int hw_analyses_begin(struct hw_report *r, struct hw_analyzing **ret, struct hw_error *err)
{
    *ret = NULL;
    struct hw_analyzing *a = calloc(1, sizeof *a);
    if (!a)
        return hw_fail(err, HW_ERR_NOMEM, "no memory for the analyses");
    a->report = r;
    a->arena = -1;
    a->runs = hw_run_builder();
    a->cursor.pages = r->pages;
    for (size_t i = 0; hw_analyses[i]; i++) {
        size_t bytes = hw_analyses[i]->state_bytes;
        if (bytes && !(a->state[i] = calloc(1, bytes))) {
            hw_analyses_drop(a);
            return hw_fail(err, HW_ERR_NOMEM, "no memory for the analysis of %s",
                           hw_analyses[i]->name);
        }
        if (hw_analyses[i]->run) {
            a->run[a->run_count].tell = hw_analyses[i]->run;
            a->run[a->run_count++].state = a->state[i];
        }
    }
    for (size_t i = 0; hw_analyses[i]; i++)
        if (hw_analyses[i]->begin)
            hw_analyses[i]->begin(a->state[i], r);
    *ret = a;
    return HW_OK;
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static void tell_run(struct hw_analyzing *a, struct hw_arena *row, struct hw_run *run)
{
    if (!run)
        return;
    hw_addr end = run->address + run->bytes;
    if (a->report->pages)
        run->trim = run->has_top ? hw_trim_top(a->report, row, &a->cursor, run->address, end)
                                 : hw_trim_free(a->report, &a->cursor, run->address, end);
    for (size_t i = 0; i < a->run_count; i++)
        a->run[i].tell(a->run[i].state, a->report, row, run);
}

static void tell_spans(struct hw_analyzing *a, struct hw_arena *row, size_t count)
{
    for (size_t i = 0; hw_analyses[i]; i++)
        if (hw_analyses[i]->spans)
            hw_analyses[i]->spans(a->state[i], a->report, row, a->spans, count);
    for (size_t i = 0; i < count; i++)
        tell_run(a, row, hw_runs_span(&a->runs, &a->spans[i]));
}

static void tell_mapped(struct hw_analyzing *a, const struct hw_block *b)
{
    for (size_t i = 0; hw_analyses[i]; i++)
        if (hw_analyses[i]->mapped && b->state == HW_MMAPPED)
            hw_analyses[i]->mapped(a->state[i], a->report, b);
}

/* The row of the arena that these are of, which is at hand from now on; NULL: of none. */
static struct hw_arena *to_arena(struct hw_analyzing *a, const struct hw_block *b)
{
    struct hw_report *r = a->report;
    bool known = b->state != HW_MMAPPED && b->arena >= 0 && (size_t)b->arena < r->arenas.count;
    if (!known || b->arena != a->arena)
        hw_analyses_arena_done(a);
    a->arena = known ? b->arena : -1;
    return known ? &r->arenas.data[b->arena] : NULL;
}

void hw_analyses_blocks(struct hw_analyzing *a, const struct hw_block *b, size_t count)
{
    struct hw_arena *row = count ? to_arena(a, b) : NULL;
    for (size_t i = 0; !row && i < count; i++)
        tell_mapped(a, &b[i]);
    while (row && count) {
        size_t some = count < HW_SPAN_BLOCKS ? count : HW_SPAN_BLOCKS;
        tell_spans(a, row, hw_spans(b, some, a->spans));
        b += some;
        count -= some;
    }
}

void hw_analyses_arena_done(struct hw_analyzing *a)
{
    if (!a || a->arena < 0)
        return;
    struct hw_arena *row = &a->report->arenas.data[a->arena];
    a->arena = -1;
    tell_run(a, row, hw_runs_end(&a->runs));
    for (size_t i = 0; hw_analyses[i]; i++)
        if (hw_analyses[i]->arena_done)
            hw_analyses[i]->arena_done(a->state[i], a->report, row);
}

void hw_analyses_blocks_done(struct hw_analyzing *a)
{
    if (!a || a->blocks_done)
        return;
    hw_analyses_arena_done(a);
    a->blocks_done = true;
    for (size_t i = 0; hw_analyses[i]; i++)
        if (hw_analyses[i]->blocks_done)
            hw_analyses[i]->blocks_done(a->state[i], a->report);
}

void hw_analyses_end(struct hw_analyzing *a)
{
    if (!a)
        return;
    hw_analyses_blocks_done(a);
    for (size_t i = 0; hw_analyses[i]; i++)
        if (hw_analyses[i]->end)
            hw_analyses[i]->end(a->state[i], a->report);
    hw_analyses_drop(a);
}

const struct hw_analysis *const hw_analyses[] = {
    &hw_analysis_usage,
    &hw_analysis_histogram,
    &hw_analysis_residency,
    &hw_analysis_fragmentation,
    &hw_analysis_trim,
    &hw_analysis_top,
    &hw_analysis_mallinfo,
    &hw_analysis_pins,
    &hw_analysis_holes,
    &hw_analysis_limits,
    NULL,
};
_Static_assert(sizeof hw_analyses / sizeof *hw_analyses <= ANALYSES_MAX, "room for all analyses");
