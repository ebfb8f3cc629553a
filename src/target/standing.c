#include "target/standing.h"

#include "target/proc.h"

#include <stdlib.h>

static uint64_t number(const char *status, const char *key)
{
    const char *value = hw_status_value(status, key);
    return value ? strtoull(value, NULL, 10) : 0;
}

/* Whether a thread is in a stop; then it is added to what is known of the others. */
static bool is_stopped(int tid, struct hw_standing *s)
{
    char status[8192];
    if (!hw_proc_text(tid, "status", status, sizeof status))
        return false;
    const char *state = hw_status_value(status, "State");
    bool traced = state && *state == 't';
    if (!traced && !(state && *state == 'T'))
        return false;
    s->switches +=
        number(status, "voluntary_ctxt_switches") + number(status, "nonvoluntary_ctxt_switches");
    s->threads++;
    if (traced)
        s->tracer = (int)number(status, "TracerPid");
    return true;
}

bool hw_standing_find(int pid, struct hw_standing *ret)
{
    hw_tid_vec tids = {0};
    bool all = hw_proc_tids(pid, &tids);
    *ret = (struct hw_standing){0};
    for (size_t i = 0; i < tids.count && all; i++)
        all = is_stopped(tids.data[i], ret) || hw_proc_thread_ended(pid, tids.data[i]);
    hw_vec_free(&tids);
    return all && ret->threads > 0;
}

bool hw_standing_holds(int pid, const struct hw_standing *since)
{
    struct hw_standing now;
    return hw_standing_find(pid, &now) && now.switches == since->switches &&
           now.threads == since->threads;
}
