/*
 * What malloc goes by in this process, how many arenas that allows, and where our knowledge is
 * from.
 */
#include "render/text.h"

#include <inttypes.h>

#define DEFAULT_TOP_PAD (128 << 10)

/* ---- malloc's parameters -------------------------------------------------------------------- */

static void put_threshold(struct hw_flow *f, const char *name, struct hw_maybe value,
                          const char *suffix)
{
    char buf[HW_TEXT_NUMBER];
    if (!value.known)
        return;
    if (hw_is_never(f->t->r, value.n))
        hw_flow_piece(f, "%s off (-1)%s", name, suffix);
    else
        hw_flow_piece(f, "%s %s%s%s", name, hw_text_whole(f->t, buf, value.n),
                      f->t->opt->exact ? " B" : "", suffix);
}

/* What it mostly is goes without saying. */
static bool is_usual_tcache(const struct hw_report *r)
{
    return r->params.tcache_count.n == (hw_report_glibc_minor(r) >= 43 ? 16 : 7);
}

static void put_tcache(struct hw_flow *f, const struct hw_params *p)
{
    if (!p->tcache_count.known || is_usual_tcache(f->t->r))
        return;
    if (p->tcache_count.n == 0)
        hw_flow_piece(f, "tcache off");
    else if (p->tcache_max_bytes.known)
        hw_flow_piece(f, "tcache %" PRIu64 " of each size up to %" PRIu64 " B", p->tcache_count.n,
                      p->tcache_max_bytes.n);
    else
        hw_flow_piece(f, "tcache %" PRIu64 " of each size", p->tcache_count.n);
}

static bool knows_settings(const struct hw_params *p)
{
    return p->mmap_threshold.known || p->trim_threshold.known || p->tcache_count.known;
}

static void put_settings(struct hw_text *t)
{
    const struct hw_params *p = &t->r->params;
    if (!knows_settings(p))
        return;
    struct hw_flow f = hw_flow_label(t, "SETTINGS");
    const char *how = "";
    if (p->mmap_threshold_dynamic.known)
        how = p->mmap_threshold_dynamic.n ? " (dynamic)" : " (fixed)";
    put_threshold(&f, "mmap_threshold", p->mmap_threshold, how);
    put_threshold(&f, "trim_threshold", p->trim_threshold, "");
    if (p->top_pad.known && p->top_pad.n && p->top_pad.n != DEFAULT_TOP_PAD)
        put_threshold(&f, "top_pad", p->top_pad, "");
    put_tcache(&f, p);
    for (size_t i = 0; i < t->r->limits.settings.count; i++)
        hw_flow_piece(&f, "%s=%s", t->r->limits.settings.data[i].name,
                      t->r->limits.settings.data[i].value);
    hw_flow_end(&f);
}

/* ---- arenas --------------------------------------------------------------------------------- */

/* Without arena_max glibc makes up to 8 arenas for each core, 2 where words have 4 bytes. */
static void put_limit(struct hw_flow *f, const struct hw_report *r)
{
    const struct hw_params *p = &r->params;
    struct hw_maybe limit = r->limits.arenas, cores = r->limits.cores;
    unsigned each = r->target.word == 4 ? 2 : 8;
    char number[HW_TEXT_NUMBER];
    if (limit.known)
        hw_flow_words(f, "of at most %s", hw_text_count(f->t, number, hw_text_signed(limit.n)));
    if (p->arena_max.known && p->arena_max.n && limit.known)
        hw_flow_words(f, "(arena_max)");
    else if (p->arena_max.known && p->arena_max.n)
        hw_flow_words(f, "(arena_max %s)",
                      hw_text_count(f->t, number, hw_text_signed(p->arena_max.n)));
    else if (cores.known && limit.known && cores.n <= limit.n / each && each * cores.n == limit.n)
        hw_flow_words(f, "(%u for each of %" PRIu64 " core%s)", each, cores.n,
                      cores.n == 1 ? "" : "s");
    else if (p->arena_max.known && !limit.known)
        hw_flow_words(f, "(there may be %u for each core)", each);
}

static void put_arenas(struct hw_text *t)
{
    const struct hw_report *r = t->r;
    if (r->arenas.count == 0)
        return;
    const struct hw_limits *limits = &r->limits;
    char number[HW_TEXT_NUMBER];
    struct hw_flow f = hw_flow_label(t, "ARENAS");
    f.gap = 1;
    hw_flow_piece(&f, "%s", hw_text_count(t, number, (int64_t)r->arenas.count));
    put_limit(&f, r);
    f.gap = 2;
    if (r->totals[HW_M_SYSTEM_BYTES].known)
        hw_flow_piece(&f, "%s%s", hw_text_amount(t, number, r->totals[HW_M_SYSTEM_BYTES].n),
                      r->arenas.count == 1 ? "" : " together");
    if (limits->idle_arenas.known && limits->idle_arenas.n)
        hw_flow_piece(&f, "%s with no thread",
                      hw_text_count(t, number, hw_text_signed(limits->idle_arenas.n)));
    if (limits->cgroup_cpus.known && limits->cores.known && limits->cgroup_cpus.n < limits->cores.n)
        hw_flow_piece(&f, "the cgroup has %" PRIu64 " CPU%s", limits->cgroup_cpus.n,
                      limits->cgroup_cpus.n == 1 ? "" : "s");
    hw_flow_end(&f);
}

/* ---- sources -------------------------------------------------------------------------------- */

static void put_sources(struct hw_text *t)
{
    const struct hw_report *r = t->r;
    char size[HW_TEXT_NUMBER], time[HW_TEXT_NUMBER];
    if (!r->allocator.layout_source && !r->allocator.roots_source && !r->method.bytes_read)
        return;
    struct hw_flow f = hw_flow_label(t, "SOURCES");
    if (r->allocator.layout_source)
        hw_flow_piece(&f, "layout from %s", r->allocator.layout_source);
    if (r->allocator.roots_source)
        hw_flow_piece(&f, "main_arena from %s", r->allocator.roots_source);
    if (r->method.bytes_read && r->method.walk_ns)
        hw_flow_piece(&f, "%s read in %s",
                      hw_text_amount(t, size, hw_text_signed(r->method.bytes_read)),
                      hw_text_time(time, r->method.walk_ns));
    else if (r->method.bytes_read)
        hw_flow_piece(&f, "%s read", hw_text_amount(t, size, hw_text_signed(r->method.bytes_read)));
    if (r->method.sandbox)
        hw_flow_piece(&f, "sandboxed");
    hw_flow_end(&f);
}

/* ---- section -------------------------------------------------------------------------------- */

void hw_text_settings(struct hw_text *t)
{
    put_arenas(t);
    put_settings(t);
    put_sources(t);
}
