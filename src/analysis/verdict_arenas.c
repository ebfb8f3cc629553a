/*
 * In which arenas free memory is, and what keeps it there.
 */
#include "analysis/verdict.h"

#include <inttypes.h>

/* ---- arenas ---------------------------------------------------------------------------------- */

/* The cap to propose: as many arenas as threads can run at once, but few enough to matter. */
static uint64_t cap_of(const struct hw_report *r)
{
    uint64_t cap = r->arenas.count / HW_T_CAP_DIVISOR;
    struct hw_maybe cpus = r->limits.cgroup_cpus.known ? r->limits.cgroup_cpus : r->limits.cores;
    if (cpus.known && cpus.n < cap)
        cap = cpus.n;
    return cap > HW_T_CAP_LEAST ? cap : HW_T_CAP_LEAST;
}

static bool is_in_thread_arenas(const struct hw_case *c)
{
    return c->worth && hw_at_least(c->arena_held, HW_T_MOST_PERCENT, c->held);
}

static bool is_spread(const struct hw_case *c)
{
    return c->half_arenas >= HW_T_SPREAD_ARENAS;
}

/* Of what the thread arenas keep, most is free. */
static bool is_hardly_used(const struct hw_case *c)
{
    return hw_at_least(c->arena_held, HW_T_MOST_PERCENT, c->arena_held + c->arena_in_use);
}

static void prove_arenas(const struct hw_case *c, struct hw_verdict *v)
{
    const struct hw_limits *l = &c->r->limits;
    hw_prove(v, "in_thread_arenas_bytes", c->arena_held, HW_UNIT_BYTES);
    hw_prove(v, "in_main_arena_bytes", c->main_held, HW_UNIT_BYTES);
    hw_prove(v, "thread_arenas", c->holders, HW_UNIT_COUNT);
    hw_prove(v, "arenas_with_half", c->half_arenas, HW_UNIT_COUNT);
    hw_prove(v, "threads", c->r->target.threads, HW_UNIT_COUNT);
    if (l->idle_arenas.known)
        hw_prove(v, "idle_arenas", l->idle_arenas.n, HW_UNIT_COUNT);
    if (l->arenas.known)
        hw_prove(v, "arena_limit", l->arenas.n, HW_UNIT_COUNT);
}

bool hw_rule_arena_cap(const struct hw_case *c, struct hw_verdict *v)
{
    char held[HW_SIZE_TEXT], percent[HW_PERCENT_TEXT];
    uint64_t threads = c->r->target.threads, cap = cap_of(c->r);
    const struct hw_limits *l = &c->r->limits;
    if (!is_in_thread_arenas(c) || !is_spread(c) || !is_hardly_used(c) ||
        cap * 2 > c->r->arenas.count)
        return false;
    hw_say(v, "Spread: %s of thread arenas is free, %s of what they keep, in %zu arenas",
           hw_format_size(held, c->arena_held, false),
           hw_percent(percent, c->arena_held, c->arena_held + c->arena_in_use), c->holders);
    if (l->idle_arenas.known && l->idle_arenas.n)
        hw_say(v, " (%" PRIu64 " without a thread)", l->idle_arenas.n);
    hw_say(v,
           "; a thread cannot use what is free in another's. With fewer arenas threads share them "
           "and reuse more: %" PRIu64 " threads in %" PRIu64 " arenas are %" PRIu64 " each.",
           threads, cap, (threads + cap - 1) / cap);
    prove_arenas(c, v);
    hw_prove(v, "proposed_arenas", cap, HW_UNIT_COUNT);
    hw_propose(v,
               "From the next start on; threads then wait for each other's locks: watch the CPU. "
               "One service lost 60% of it at a cap of 2.",
               "MALLOC_ARENA_MAX=%" PRIu64, cap);
    return true;
}

bool hw_rule_main_arena(const struct hw_case *c, struct hw_verdict *v)
{
    char percent[HW_PERCENT_TEXT];
    if (!c->worth || is_in_thread_arenas(c))
        return false;
    hw_say(v,
           "A cap on arenas (MALLOC_ARENA_MAX) will not help: %s of the free memory is in "
           "the main arena.",
           hw_percent(percent, c->main_held, c->held));
    prove_arenas(c, v);
    return true;
}

/* Most is in thread arenas, but in so few that it is about these. */
static size_t largest_arena(const struct hw_case *c)
{
    const struct hw_report *r = c->r;
    size_t best = 0;
    for (size_t i = 0; i < r->arenas.count; i++)
        if (r->arenas.data[i].kind == HW_ARENA_THREAD &&
            (r->arenas.data[best].kind != HW_ARENA_THREAD ||
             hw_case_held(c, &r->arenas.data[i]) > hw_case_held(c, &r->arenas.data[best])))
            best = i;
    return best;
}

bool hw_rule_few_arenas(const struct hw_case *c, struct hw_verdict *v)
{
    char held[HW_SIZE_TEXT];
    if (!is_in_thread_arenas(c) || is_spread(c))
        return false;
    const struct hw_arena *worst = &c->r->arenas.data[largest_arena(c)];
    hw_say(v, "Half of what is free in thread arenas is in %zu of them, most in arena %u (%s",
           c->half_arenas, worst->index, hw_format_size(held, hw_case_held(c, worst), false));
    if (worst->tids.count)
        hw_say(v, "; thread %d%s", worst->tids.data[0], worst->tids.count > 1 ? " and others" : "");
    else if (worst->attached_threads.known && worst->attached_threads.n == 0)
        hw_say(v, "; no thread is attached to it");
    hw_say(v, "): a cap on arenas (MALLOC_ARENA_MAX) would change little.");
    prove_arenas(c, v);
    hw_prove(v, "largest_arena", worst->index, HW_UNIT_COUNT);
    return true;
}

/* ---- the end of an arena --------------------------------------------------------------------- */

/* Free memory that would join top but for few chunks, and would be given back from there. */
static uint64_t joining(const struct hw_case *c, const struct hw_arena *a)
{
    const struct hw_top_pins *pins = &a->top_pins;
    const struct hw_maybe threshold = c->r->params.trim_threshold;
    uint64_t top = hw_merged_top_bytes(&a->top);
    bool movable = a->top.reason != HW_TRIM_BRK_MOVED && a->top.reason != HW_TRIM_NONCONTIGUOUS;
    if (!pins->known || pins->chunks + pins->cached_chunks == 0 || !movable ||
        (threshold.known && hw_heeds_trim_threshold(c->r, a) &&
         top + pins->joins_bytes + pins->bytes + pins->cached_bytes < threshold.n))
        return 0;
    return c->resident ? pins->joins_resident : pins->joins_bytes;
}

static void say_first_pin(struct hw_verdict *v, const struct hw_top_pins *pins)
{
    if (pins->first.count == 0)
        return;
    const struct hw_pin *pin = &pins->first.data[0];
    char size[HW_SIZE_TEXT];
    hw_say(v, "; the first is at %#" PRIx64 ", %s (--holes names them)", pin->block.address,
           hw_format_size(size, pin->block.bytes, false));
}

bool hw_rule_top_pinned(const struct hw_case *c, struct hw_verdict *v)
{
    uint64_t chunks = 0, pinning = 0, joins = 0, arenas = 0;
    const struct hw_top_pins *first = NULL;
    char text[HW_SIZE_TEXT], size[HW_SIZE_TEXT];
    for (size_t i = 0; c->worth && i < c->r->arenas.count; i++) {
        const struct hw_arena *a = &c->r->arenas.data[i];
        uint64_t bytes = joining(c, a);
        if (bytes == 0)
            continue;
        first = first ? first : &a->top_pins;
        joins += bytes;
        chunks += a->top_pins.chunks + a->top_pins.cached_chunks;
        pinning += a->top_pins.bytes + a->top_pins.cached_bytes;
        arenas++;
    }
    if (chunks == 0 || chunks > HW_T_FEW_CHUNKS || joins < HW_T_WORTH_BYTES ||
        !hw_at_least(joins, HW_T_MOST_PERCENT, c->held))
        return false;
    hw_say(v,
           "%" PRIu64 " chunk%s (%s) at the end of %" PRIu64 " arena%s keep%s %s from being "
           "given back by free() itself",
           chunks, chunks == 1 ? "" : "s", hw_format_size(size, pinning, false), arenas,
           arenas == 1 ? "" : "s", chunks == 1 ? "s" : "", hw_format_size(text, joins, false));
    say_first_pin(v, first);
    hw_say(v, ".");
    hw_prove(v, "pinning_chunks", chunks, HW_UNIT_COUNT);
    hw_prove(v, "pinning_bytes", pinning, HW_UNIT_BYTES);
    hw_prove(v, "joins_bytes", joins, HW_UNIT_BYTES);
    hw_prove(v, "arenas", arenas, HW_UNIT_COUNT);
    return true;
}
