/*
 * What the memory is: not malloc's at all, free but kept, or in use.
 */
#include "analysis/verdict.h"

#include <string.h>

/* ---- not glibc's ----------------------------------------------------------------------------- */

static const struct hw_other *serving(const struct hw_report *r)
{
    for (size_t i = 0; i < r->allocator.others.count; i++)
        if (r->allocator.others.data[i].serves_malloc)
            return &r->allocator.others.data[i];
    return NULL;
}

static const struct hw_other *known_one(const struct hw_report *r)
{
    for (size_t i = 0; i < r->allocator.others.count; i++)
        if (r->allocator.others.data[i].name)
            return &r->allocator.others.data[i];
    return NULL;
}

static const char *name_of(const struct hw_other *o)
{
    return o->name ? o->name : "another allocator";
}

static uint64_t glibc_bytes(const struct hw_case *c)
{
    const struct hw_rss *rss = &c->r->rss;
    return rss->known ? rss->glibc_heap_bytes + rss->mmapped_chunk_bytes : c->whole;
}

/* Hardly anything of the process is in glibc's heap. */
static bool is_elsewhere(const struct hw_case *c)
{
    const struct hw_rss *rss = &c->r->rss;
    return rss->known && rss->rss_bytes >= HW_T_ELSEWHERE_BYTES &&
           !hw_at_least(glibc_bytes(c), HW_T_ELSEWHERE_PERCENT, rss->rss_bytes);
}

static void prove_ledger(const struct hw_case *c, struct hw_verdict *v)
{
    const struct hw_rss *rss = &c->r->rss;
    if (!rss->known) {
        hw_prove(v, "system_and_mmapped_bytes", c->whole, HW_UNIT_BYTES);
        return;
    }
    hw_prove(v, "rss_bytes", rss->rss_bytes, HW_UNIT_BYTES);
    hw_prove(v, "glibc_heap_bytes", rss->glibc_heap_bytes, HW_UNIT_BYTES);
    hw_prove(v, "mmapped_chunk_bytes", rss->mmapped_chunk_bytes, HW_UNIT_BYTES);
    hw_prove(v, "other_anon_bytes", rss->other_anon_bytes, HW_UNIT_BYTES);
    hw_prove(v, "file_bytes", rss->file_bytes, HW_UNIT_BYTES);
    hw_prove(v, "shmem_bytes", rss->shmem_bytes, HW_UNIT_BYTES);
    hw_prove(v, "stack_bytes", rss->stack_bytes, HW_UNIT_BYTES);
}

bool hw_rule_unused(const struct hw_case *c, struct hw_verdict *v)
{
    if (!c->r->allocator.unused)
        return false;
    const struct hw_other *o = serving(c->r);
    hw_say(v, "glibc's malloc was never used: %s",
           o ? name_of(o) : "memory comes from another allocator or from mmap()");
    hw_say(v, "%s.", o ? " serves this program" : "");
    prove_ledger(c, v);
    return true;
}

bool hw_rule_other_allocator(const struct hw_case *c, struct hw_verdict *v)
{
    const struct hw_rss *rss = &c->r->rss;
    char glibc[HW_SIZE_TEXT], whole[HW_SIZE_TEXT];
    const struct hw_other *o = serving(c->r);
    bool little = rss->known ? !hw_at_least(glibc_bytes(c), HW_T_ELSEWHERE_PERCENT, rss->rss_bytes)
                             : c->whole < HW_T_WORTH_BYTES;
    if (!o && is_elsewhere(c) &&
        hw_at_least(rss->other_anon_bytes, HW_T_MOST_PERCENT, rss->rss_bytes))
        o = known_one(c->r);
    if (!o || !little)
        return false;
    hw_say(v, "Not glibc's: the place to look is %s; glibc's malloc has only %s", name_of(o),
           hw_format_size(glibc, glibc_bytes(c), false));
    if (rss->known)
        hw_say(v, " of %s RSS", hw_format_size(whole, rss->rss_bytes, false));
    hw_say(v, ", so none of its settings will help.");
    prove_ledger(c, v);
    return true;
}

/* The largest part of RSS that is not malloc's. */
static const char *largest_part(const struct hw_rss *rss, uint64_t *bytes)
{
    const struct {
        const char *what;
        uint64_t bytes;
    } parts[] = {
        {"anonymous memory that is not malloc's (mmap() by the program, or by an allocator or "
         "runtime of its own)",
         rss->other_anon_bytes},
        {"pages of files", rss->file_bytes},
        {"shared memory", rss->shmem_bytes},
        {"stacks", rss->stack_bytes},
    };
    size_t best = 0;
    for (size_t i = 1; i < sizeof parts / sizeof *parts; i++)
        if (parts[i].bytes > parts[best].bytes)
            best = i;
    *bytes = parts[best].bytes;
    return parts[best].what;
}

bool hw_rule_not_malloc(const struct hw_case *c, struct hw_verdict *v)
{
    const struct hw_rss *rss = &c->r->rss;
    char glibc[HW_SIZE_TEXT], whole[HW_SIZE_TEXT], part[HW_SIZE_TEXT], percent[HW_PERCENT_TEXT];
    uint64_t bytes;
    if (!is_elsewhere(c))
        return false;
    const char *what = largest_part(rss, &bytes);
    hw_say(v, "Not malloc's: its heaps and mmapped chunks are %s, %s of %s RSS. %s are %s.",
           hw_format_size(glibc, glibc_bytes(c), false),
           hw_percent(percent, glibc_bytes(c), rss->rss_bytes),
           hw_format_size(whole, rss->rss_bytes, false), hw_format_size(part, bytes, false), what);
    prove_ledger(c, v);
    return true;
}

/* ---- free, but kept -------------------------------------------------------------------------- */

/* Where it is: one piece of a sentence. */
static void say_where(const struct hw_case *c, struct hw_verdict *v)
{
    char percent[HW_PERCENT_TEXT];
    if (c->holders == 0)
        hw_say(v, "all of it in the main arena");
    else if (hw_at_least(c->arena_held, HW_T_MOST_PERCENT, c->held))
        hw_say(v, "%s of it in %zu thread arena%s", hw_percent(percent, c->arena_held, c->held),
               c->holders, c->holders == 1 ? "" : "s");
    else
        hw_say(v, "%s of it in the main arena", hw_percent(percent, c->main_held, c->held));
}

static void prove_held(const struct hw_case *c, struct hw_verdict *v)
{
    const struct hw_figure *f = c->r->totals;
    hw_prove(v, c->resident ? "free_resident_bytes" : "free_bytes", c->held, HW_UNIT_BYTES);
    if (c->resident)
        hw_prove(v, c->r->rss.known ? "rss_bytes" : "heap_resident_and_mmapped_bytes", c->whole,
                 HW_UNIT_BYTES);
    else
        hw_prove(v, "system_and_mmapped_bytes", c->whole, HW_UNIT_BYTES);
    hw_prove(v, c->resident ? "in_use_resident_bytes" : "in_use_and_mmapped_bytes", c->in_use,
             HW_UNIT_BYTES);
    if (c->held) {
        hw_prove(v, "in_main_arena_bytes", c->main_held, HW_UNIT_BYTES);
        hw_prove(v, "in_thread_arenas_bytes", c->arena_held, HW_UNIT_BYTES);
        hw_prove(v, "thread_arenas", c->holders, HW_UNIT_COUNT);
    }
    if (c->resident && f[HW_M_FREE_SWAPPED_BYTES].known)
        hw_prove(v, "free_swapped_bytes", (uint64_t)hw_get(f, HW_M_FREE_SWAPPED_BYTES),
                 HW_UNIT_BYTES);
}

static bool retention(const struct hw_case *c, struct hw_verdict *v, const char *name)
{
    char held[HW_SIZE_TEXT], percent[HW_PERCENT_TEXT];
    hw_say(v, "%s: %s, %s of %s, is memory that was freed but is still in RAM, ", name,
           hw_format_size(held, c->held, false), hw_percent(percent, c->held, c->whole),
           c->r->rss.known ? "RSS" : "what malloc has");
    say_where(c, v);
    hw_say(v, ".");
    prove_held(c, v);
    return true;
}

bool hw_rule_retention(const struct hw_case *c, struct hw_verdict *v)
{
    return c->resident && c->worth && hw_more_than(c->held, HW_T_RETENTION_PERCENT, c->whole) &&
           retention(c, v, "Retention");
}

bool hw_rule_some_retention(const struct hw_case *c, struct hw_verdict *v)
{
    return c->resident && c->worth && retention(c, v, "Some retention");
}

bool hw_rule_free_in_books(const struct hw_case *c, struct hw_verdict *v)
{
    char held[HW_SIZE_TEXT], whole[HW_SIZE_TEXT], percent[HW_PERCENT_TEXT];
    if (c->resident || !c->worth)
        return false;
    hw_say(v, "%s, %s of the %s that malloc has, is free in glibc's books, ",
           hw_format_size(held, c->held, false), hw_percent(percent, c->held, c->whole),
           hw_format_size(whole, c->whole, false));
    say_where(c, v);
    hw_say(v, ". Whether it is in RAM %s.",
           c->r->target.live ? "could not be found out" : "a core does not tell");
    prove_held(c, v);
    return true;
}

/* ---- all well -------------------------------------------------------------------------------- */

bool hw_rule_live_data(const struct hw_case *c, struct hw_verdict *v)
{
    char used[HW_SIZE_TEXT], held[HW_SIZE_TEXT], percent[HW_PERCENT_TEXT];
    if (c->in_use < HW_T_WORTH_BYTES || !hw_at_least(c->in_use, HW_T_MOST_PERCENT, c->whole))
        return false;
    hw_say(v,
           "Live data: %s, %s of %s, is in use by the program and only %s is free%s, so there is "
           "nothing that the allocator could give back.",
           hw_format_size(used, c->in_use, false), hw_percent(percent, c->in_use, c->whole),
           !c->resident      ? "what malloc has"
           : c->r->rss.known ? "RSS"
                             : "what malloc has in RAM",
           hw_format_size(held, c->held, false), c->resident ? " and in RAM" : "");
    prove_held(c, v);
    return true;
}

bool hw_rule_healthy(const struct hw_case *c, struct hw_verdict *v)
{
    char held[HW_SIZE_TEXT], whole[HW_SIZE_TEXT];
    bool is_most = hw_at_least(c->held, 50, c->whole);
    hw_say(v, "Nothing worth doing: of %s %s %s%s is free memory%s%s.",
           hw_format_size(whole, c->whole, false),
           c->resident && c->r->rss.known ? "RSS" : "that malloc has", is_most ? "" : "only ",
           hw_format_size(held, c->held, false), c->resident ? " in RAM" : "",
           is_most ? ", too little to matter" : "");
    prove_held(c, v);
    return true;
}
