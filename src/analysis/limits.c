/*
 * How many arenas there may be, and how threads are spread over them.
 *
 * glibc (malloc/arena.c, arena_get2(); 2.17 to 2.43) makes a new arena for a thread that has none,
 * if no arena is idle, until there are `limit` of them; then threads share. The limit is
 *
 *     arena_max                      if it was set,
 *     8 (32-bit: 2) for each CPU     else; but it is only worked out once there are more than
 *                                    arena_test arenas, so arena_test + 1 there may always be.
 */
#include "analysis/analysis.h"

static struct hw_maybe most_arenas(const struct hw_report *r)
{
    const struct hw_params *p = &r->params;
    const struct hw_maybe unknown = {0};
    if (!p->arena_max.known || p->arena_max.n)
        return p->arena_max;
    if (!r->limits.cores.known || !p->arena_test.known)
        return unknown;
    uint64_t by_cores = r->limits.cores.n * (r->target.word == 4 ? 2 : 8);
    uint64_t untested = p->arena_test.n < UINT64_MAX ? p->arena_test.n + 1 : UINT64_MAX;
    return hw_known(by_cores > untested ? by_cores : untested);
}

static void count_threads(const struct hw_report *r, struct hw_limits *l)
{
    for (size_t i = 0; i < r->arenas.count; i++) {
        struct hw_maybe threads = r->arenas.data[i].attached_threads;
        if (!threads.known)
            continue;
        l->idle_arenas = hw_known(l->idle_arenas.n + (threads.n == 0));
        l->most_threads = hw_known(threads.n > l->most_threads.n ? threads.n : l->most_threads.n);
    }
}

static void end(void *state, struct hw_report *r)
{
    (void)state;
    r->limits.arenas = most_arenas(r);
    count_threads(r, &r->limits);
}

const struct hw_analysis hw_analysis_limits = {
    .name = "limits",
    .end = end,
};
