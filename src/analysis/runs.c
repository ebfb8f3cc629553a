#include "analysis/runs.h"

static const struct hw_block nothing = {.state = HW_STATES_};

static bool merges(const struct hw_block *b)
{
    return b->state == HW_FREE || b->state == HW_PARKED || b->state == HW_TOP;
}

bool hw_runs_end(struct hw_run_builder *u, struct hw_run *ret)
{
    bool ended = u->run.bytes > 0;
    *ret = u->run;
    u->run = (struct hw_run){0};
    u->last = nothing;
    return ended;
}

bool hw_runs_block(struct hw_run_builder *u, const struct hw_block *b, struct hw_run *ret)
{
    /* Behind top a heap ends, even where the next one begins at the same address. */
    bool adjoins = u->last.state != HW_STATES_ && u->last.state != HW_TOP &&
                   u->last.arena == b->arena && u->last.address + u->last.bytes == b->address &&
                   b->state != HW_MMAPPED;
    bool merge = merges(b), ended = false;
    if (u->run.bytes && !(adjoins && merge)) {
        u->run.above = adjoins ? *b : nothing;
        *ret = u->run;
        u->run = (struct hw_run){0};
        ended = true;
    }
    if (merge && u->run.bytes == 0)
        u->run = (struct hw_run){.address = b->address,
                                 .arena = b->arena,
                                 .below = adjoins ? u->last : nothing,
                                 .above = nothing};
    if (merge) {
        u->run.bytes += b->bytes;
        u->run.chunks++;
        u->run.has_top = b->state == HW_TOP;
    }
    u->last = *b;
    return ended;
}
