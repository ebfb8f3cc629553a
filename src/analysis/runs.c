#include "analysis/runs.h"

static const struct hw_block nothing = {.state = HW_STATES_};

static bool merges(unsigned state)
{
    return state == HW_FREE || state == HW_PARKED || state == HW_TOP;
}

/* The run at hand, if there is one, is complete. */
static struct hw_run *end_run(struct hw_run_builder *u, const struct hw_block *above)
{
    struct hw_run *run = &u->runs[u->at];
    if (run->bytes == 0)
        return NULL;
    run->above = *above;
    u->at ^= 1;
    u->runs[u->at].bytes = 0;
    return run;
}

struct hw_run *hw_runs_end(struct hw_run_builder *u)
{
    u->state = HW_STATES_;
    return end_run(u, &nothing);
}

/* What is filled in later is not cleared first: there may be as many runs as blocks. */
static void begin_run(struct hw_run *run, const struct hw_span *s, const struct hw_block *below)
{
    run->address = s->address;
    run->arena = s->blocks->arena;
    run->chunks = 0;
    run->below = *below;
}

static void extend_run(struct hw_run_builder *u, const struct hw_span *s, bool adjoins)
{
    struct hw_run *run = &u->runs[u->at];
    if (run->bytes == 0)
        begin_run(run, s, adjoins ? &u->last : &nothing);
    run->bytes += s->bytes;
    run->chunks += (unsigned)s->count;
    run->has_top = s->state == HW_TOP;
}

struct hw_run *hw_runs_span(struct hw_run_builder *u, const struct hw_span *s)
{
    /* Behind top a heap ends, even where the next one begins at the same address. */
    bool adjoins = u->state != HW_STATES_ && u->state != HW_TOP && u->next == s->address;
    bool merge = merges(s->state);
    struct hw_run *ended = NULL;
    if (!(adjoins && merge))
        ended = end_run(u, adjoins ? s->blocks : &nothing);
    if (merge)
        extend_run(u, s, adjoins);
    else
        u->last = s->blocks[s->count - 1];
    u->state = s->state;
    u->next = s->address + s->bytes;
    return ended;
}
