/*
 * What stands around the figures: the warning that something is missing, malloc's settings, where
 * our knowledge is from, and the findings.
 */
#include "render/text.h"

#include <inttypes.h>
#include <string.h>

#define SHOWN_OF_KIND 3

static uint64_t count_problems(const struct hw_report *r)
{
    uint64_t n = 0;
    for (unsigned kind = 0; kind < HW_FINDINGS_; kind++)
        if (kind != HW_FINDING_NOTE)
            n += r->finding_counts[kind];
    return n;
}

void hw_text_partial(struct hw_text *t)
{
    uint64_t problems = count_problems(t->r);
    if (problems == 0)
        return;
    char buf[HW_TEXT_NUMBER];
    fputs(hw_text_on(t, HW_STYLE_ALARM), t->out);
    hw_text_say(t, 0, strlen("PARTIAL: "),
                "PARTIAL: %s finding%s, listed at the end. The figures are of what could be read.",
                hw_text_count(t, buf, hw_text_signed(problems)), problems == 1 ? "" : "s");
    fputs(hw_text_off(t), t->out);
}

/* ---- settings -------------------------------------------------------------------------------- */

static void put_threshold(struct hw_flow *f, const char *name, struct hw_maybe value,
                          const char *suffix)
{
    char buf[HW_TEXT_NUMBER];
    if (!value.known)
        return;
    if (hw_text_is_never(f->t->r, value.n))
        hw_flow_piece(f, "%s off (-1)%s", name, suffix);
    else
        hw_flow_piece(f, "%s %s%s%s", name, hw_text_whole(f->t, buf, value.n),
                      f->t->opt->exact ? " B" : "", suffix);
}

static void put_tcache(struct hw_flow *f, const struct hw_params *p)
{
    if (!p->tcache_count.known)
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
    return p->mmap_threshold.known || p->trim_threshold.known || p->arena_max.known ||
           p->tcache_count.known;
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
    if (p->top_pad.known && p->top_pad.n)
        put_threshold(&f, "top_pad", p->top_pad, "");
    /* Without arena_max glibc makes up to 8 arenas for each CPU, 2 where words have 4 bytes. */
    if (p->arena_max.known && p->arena_max.n)
        hw_flow_piece(&f, "arena_max %" PRIu64, p->arena_max.n);
    else if (p->arena_max.known)
        hw_flow_piece(&f, "arena_max unset (%d per CPU)", t->r->target.word == 4 ? 2 : 8);
    put_tcache(&f, p);
    hw_flow_end(&f);
}

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
    hw_flow_end(&f);
}

void hw_text_settings(struct hw_text *t)
{
    t->gap = true;
    put_settings(t);
    put_sources(t);
    t->gap = false;
}

/* ---- findings -------------------------------------------------------------------------------- */

/* The first ones of a kind, and how many more there are: no kind may hide the others. */
static void list_kind(struct hw_text *t, enum hw_finding_kind kind)
{
    const struct hw_report *r = t->r;
    uint64_t shown = 0, total = r->finding_counts[kind];
    for (size_t i = 0; i < r->findings.count && shown < SHOWN_OF_KIND; i++) {
        const struct hw_finding *f = &r->findings.data[i];
        if (f->kind != kind)
            continue;
        hw_text_say(t, 2, 4, "%s", kind == HW_FINDING_NOTE ? f->text : f->line);
        shown++;
    }
    char buf[HW_TEXT_NUMBER];
    if (shown < total)
        hw_text_say(t, 2, 4, "... %s more %s finding%s (--json lists the first %d)",
                    hw_text_count(t, buf, hw_text_signed(total - shown)), hw_finding_name(kind),
                    total - shown == 1 ? "" : "s", HW_FINDINGS_KEPT);
}

void hw_text_findings(struct hw_text *t)
{
    uint64_t problems = count_problems(t->r);
    char buf[HW_TEXT_NUMBER];
    if (problems)
        fprintf(t->out, "\n%sFINDINGS (%s)%s\n", hw_text_on(t, HW_STYLE_ALARM),
                hw_text_count(t, buf, hw_text_signed(problems)), hw_text_off(t));
    for (unsigned kind = 0; kind < HW_FINDINGS_; kind++)
        if (kind != HW_FINDING_NOTE)
            list_kind(t, (enum hw_finding_kind)kind);
    if (t->r->finding_counts[HW_FINDING_NOTE]) {
        fprintf(t->out, "\n%sNOTES%s\n", hw_text_on(t, HW_STYLE_HEAD), hw_text_off(t));
        list_kind(t, HW_FINDING_NOTE);
    }
}
