/*
 * From blocks to runs: see analysis.h.
 */
#ifndef HW_ANALYSIS_RUNS_H
#define HW_ANALYSIS_RUNS_H

#include "analysis/analysis.h"

struct hw_run_builder {
    struct hw_block last; /* the block before; state HW_STATES_ if there is none */
    struct hw_run run;    /* being built where run.bytes is not 0 */
};

static inline struct hw_run_builder hw_run_builder(void)
{
    return (struct hw_run_builder){.last = {.state = HW_STATES_}};
}

/* Take the next block. True if it ended a run, which is then in *ret. */
bool hw_runs_block(struct hw_run_builder *u, const struct hw_block *b, struct hw_run *ret);
/* After the last block: the run that is still being built, if any. */
bool hw_runs_end(struct hw_run_builder *u, struct hw_run *ret);

#endif
