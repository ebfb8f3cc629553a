#include "analysis/analysis.h"

#include "analysis/runs.h"

#define ANALYSES_MAX 16

struct hw_analyzing {
    struct hw_report *report;
    struct hw_run_builder runs;
    void *state[ANALYSES_MAX];
};

static void tell_run(struct hw_analyzing *a, const struct hw_run *run)
{
    for (size_t i = 0; hw_analyses[i]; i++)
        if (hw_analyses[i]->run)
            hw_analyses[i]->run(a->state[i], a->report, run);
}

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
    a->runs = hw_run_builder();
    for (size_t i = 0; hw_analyses[i]; i++) {
        size_t bytes = hw_analyses[i]->state_bytes;
        if (bytes && !(a->state[i] = calloc(1, bytes))) {
            hw_analyses_drop(a);
            return hw_fail(err, HW_ERR_NOMEM, "no memory for the analysis of %s",
                           hw_analyses[i]->name);
        }
    }
    for (size_t i = 0; hw_analyses[i]; i++)
        if (hw_analyses[i]->begin)
            hw_analyses[i]->begin(a->state[i], r);
    *ret = a;
    return HW_OK;
}

static void tell_block(struct hw_analyzing *a, const struct hw_block *b)
{
    struct hw_run run;
    for (size_t i = 0; hw_analyses[i]; i++)
        if (hw_analyses[i]->block)
            hw_analyses[i]->block(a->state[i], a->report, b);
    if (hw_runs_block(&a->runs, b, &run))
        tell_run(a, &run);
}

void hw_analyses_blocks(struct hw_analyzing *a, const struct hw_block *b, size_t count)
{
    for (size_t i = 0; i < count; i++)
        tell_block(a, &b[i]);
}

void hw_analyses_blocks_done(struct hw_analyzing *a)
{
    struct hw_run run;
    if (a && hw_runs_end(&a->runs, &run))
        tell_run(a, &run);
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
