/*
 * From spans to runs: see struct hw_run.
 */
#ifndef HW_ANALYSIS_RUNS_H
#define HW_ANALYSIS_RUNS_H

#include "analysis/analysis.h"

/* Of one arena. */
struct hw_run_builder {
    hw_addr next;         /* where the span before ends; ... */
    unsigned state;       /* ... its state, HW_STATES_ if there is none, ... */
    struct hw_block last; /* ... and its last block, unless it is free */
    /* Two, since the span that ends one may begin the next. */
    struct hw_run runs[2];
    unsigned at; /* which is being built, where its `bytes` is not 0 */
};

static inline struct hw_run_builder hw_run_builder(void)
{
    return (struct hw_run_builder){.state = HW_STATES_};
}

/* Take the next span. The run that it ended, but for what is known of its pages; NULL: it ended
 * none. It stays until the next call. */
struct hw_run *hw_runs_span(struct hw_run_builder *u, const struct hw_span *s);
/* After the last span of an arena: the run that is still being built, if any. */
struct hw_run *hw_runs_end(struct hw_run_builder *u);

#endif
