/*
 * What the rules of the verdict have in common: the case, comparisons, and sentences.
 */
#include "analysis/verdict.h"

#include "base/cleanup.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

/* Figures of damaged heaps may be negative. */
static uint64_t amount(const struct hw_figure *figures, enum hw_metric m)
{
    int64_t n = hw_get(figures, m);
    return n > 0 ? (uint64_t)n : 0;
}

uint64_t hw_case_held(const struct hw_case *c, const struct hw_arena *a)
{
    return amount(a->figures, c->resident ? HW_M_FREE_RESIDENT_BYTES : HW_M_FREE_BYTES);
}

static int larger_first(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x < y) - (x > y);
}

/* Sort free memory by where it is. */
static bool spread(struct hw_case *c)
{
    const struct hw_report *r = c->r;
    hw_autofree uint64_t *held = calloc(r->arenas.count + 1, sizeof *held);
    if (!held)
        return false;
    for (size_t i = 0; i < r->arenas.count; i++) {
        const struct hw_arena *a = &r->arenas.data[i];
        uint64_t bytes = hw_case_held(c, a);
        if (a->kind == HW_ARENA_MAIN) {
            c->main_held += bytes;
            continue;
        }
        c->arena_held += bytes;
        c->arena_in_use +=
            amount(a->figures, c->resident ? HW_M_IN_USE_RESIDENT_BYTES : HW_M_IN_USE_BYTES);
        if (bytes)
            held[c->holders++] = bytes;
    }
    qsort(held, c->holders, sizeof *held, larger_first);
    for (uint64_t sum = 0; c->half_arenas < c->holders && sum < c->arena_held - sum;)
        sum += held[c->half_arenas++];
    return true;
}

bool hw_case_init(struct hw_case *c, const struct hw_report *r)
{
    const struct hw_figure *f = r->totals;
    *c = (struct hw_case){.r = r, .resident = f[HW_M_FREE_RESIDENT_BYTES].known};
    uint64_t mapped = amount(f, HW_M_MMAPPED_BYTES);
    if (c->resident) {
        c->held = amount(f, HW_M_FREE_RESIDENT_BYTES);
        c->in_use = amount(f, HW_M_IN_USE_RESIDENT_BYTES) +
                    (r->rss.known ? r->rss.mmapped_chunk_bytes : mapped);
        c->whole = r->rss.known ? r->rss.rss_bytes : amount(f, HW_M_RESIDENT_BYTES) + mapped;
    } else {
        c->held = amount(f, HW_M_FREE_BYTES);
        c->in_use = amount(f, HW_M_IN_USE_BYTES) + mapped;
        c->whole = amount(f, HW_M_SYSTEM_BYTES) + mapped;
    }
    if (!spread(c))
        return false;
    c->worth = c->held >= HW_T_WORTH_BYTES && hw_at_least(c->held, HW_T_SOME_PERCENT, c->whole);
    return true;
}

/* ---- comparisons ----------------------------------------------------------------------------- */

bool hw_at_least(uint64_t part, uint64_t percent, uint64_t whole)
{
    return (__uint128_t)part * 100 >= (__uint128_t)whole * percent;
}

bool hw_more_than(uint64_t part, uint64_t percent, uint64_t whole)
{
    return (__uint128_t)part * 100 > (__uint128_t)whole * percent;
}

/* ---- sentences ------------------------------------------------------------------------------- */

char *hw_percent(char buf[HW_PERCENT_TEXT], uint64_t part, uint64_t whole)
{
    if (whole == 0 || part >= whole)
        snprintf(buf, HW_PERCENT_TEXT, "100%%");
    else if (!hw_at_least(part, 1, whole))
        snprintf(buf, HW_PERCENT_TEXT, "under 1%%");
    else if (hw_more_than(part, 99, whole))
        snprintf(buf, HW_PERCENT_TEXT, "over 99%%");
    else
        snprintf(buf, HW_PERCENT_TEXT, "%.0f%%", 100.0 * (double)part / (double)whole);
    return buf;
}

void hw_say(struct hw_verdict *v, const char *fmt, ...)
{
    size_t length = strlen(v->text);
    va_list args;
    va_start(args, fmt);
    vsnprintf(v->text + length, sizeof v->text - length, fmt, args);
    va_end(args);
}

void hw_propose(struct hw_verdict *v, const char *cost, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(v->command, sizeof v->command, fmt, args);
    va_end(args);
    snprintf(v->cost, sizeof v->cost, "%s", cost);
}

void hw_prove(struct hw_verdict *v, const char *name, uint64_t n, enum hw_unit unit)
{
    if (v->evidence_count == HW_EVIDENCE_MAX)
        return;
    struct hw_evidence *e = &v->evidence[v->evidence_count++];
    *e = (struct hw_evidence){.name = name, .unit = unit};
    e->value.known = true;
    e->value.n = n < INT64_MAX ? (int64_t)n : INT64_MAX;
}
