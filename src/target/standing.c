#include "target/standing.h"

#include "target/proc.h"

#include <stdlib.h>

static uint64_t number(const char *status, const char *key)
{
    const char *value = hw_status_value(status, key);
    return value ? strtoull(value, NULL, 10) : 0;
}

/* The tracer that holds a thread, 0 if it is not held; and how often it was scheduled. */
static int holder(int tid, uint64_t *switches)
{
    char status[8192];
    if (!hw_proc_text(tid, "status", status, sizeof status))
        return 0;
    const char *state = hw_status_value(status, "State");
    *switches +=
        number(status, "voluntary_ctxt_switches") + number(status, "nonvoluntary_ctxt_switches");
    return state && *state == 't' ? (int)number(status, "TracerPid") : 0;
}

int hw_standing_find(int pid, struct hw_standing *ret)
{
    hw_tid_vec tids = {0};
    int by = 0;
    bool all = hw_proc_tids(pid, &tids);
    *ret = (struct hw_standing){0};
    for (size_t i = 0; i < tids.count && all; i++) {
        int tracer = holder(tids.data[i], &ret->switches);
        bool counts = tracer > 0 || !hw_proc_thread_ended(pid, tids.data[i]);
        all = tracer > 0 || !counts;
        by = tracer > 0 ? tracer : by;
        ret->threads += counts;
    }
    hw_vec_free(&tids);
    return all ? by : 0;
}

bool hw_standing_holds(int pid, const struct hw_standing *since)
{
    struct hw_standing now;
    return hw_standing_find(pid, &now) > 0 && now.switches == since->switches &&
           now.threads == since->threads;
}
