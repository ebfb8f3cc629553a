/*
 * What is wrong or missing: the warning at the beginning, the list at the end.
 */
#include "render/text.h"

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
    bool moved = problems == t->r->finding_counts[HW_FINDING_MOVED];
    fputs(hw_text_on(t, HW_STYLE_ALARM), t->out);
    hw_text_say(t, 0, strlen("PARTIAL: "), "PARTIAL: %s finding%s, listed at the end. %s",
                hw_text_count(t, buf, hw_text_signed(problems)), problems == 1 ? "" : "s",
                moved ? "What changed while it was read is about right, not exact."
                      : "The figures are of what could be read.");
    fputs(hw_text_off(t), t->out);
}

/* ---- findings -------------------------------------------------------------------------------- */

/* The first ones of a kind, and how many more there are: no kind may hide the others. */
static void list_kind(struct hw_text *t, enum hw_finding_kind kind)
{
    const struct hw_report *r = t->r;
    uint64_t shown = 0, total = r->finding_counts[kind];
    uint64_t limit = r->check.done ? HW_FINDINGS_KEPT : SHOWN_OF_KIND;
    for (size_t i = 0; i < r->findings.count && shown < limit; i++) {
        const struct hw_finding *f = &r->findings.data[i];
        if (f->kind != kind)
            continue;
        hw_text_say(t, 2, 4, "%s", kind == HW_FINDING_NOTE ? f->text : f->line);
        hw_text_scene(t, f);
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
    if (problems) {
        hw_text_blank(t);
        fprintf(t->out, "%sFINDINGS (%s)%s\n", hw_text_on(t, HW_STYLE_ALARM),
                hw_text_count(t, buf, hw_text_signed(problems)), hw_text_off(t));
    }
    for (unsigned kind = 0; kind < HW_FINDINGS_; kind++)
        if (kind != HW_FINDING_NOTE)
            list_kind(t, (enum hw_finding_kind)kind);
    if (t->r->finding_counts[HW_FINDING_NOTE]) {
        hw_text_blank(t);
        fprintf(t->out, "%sNOTES%s\n", hw_text_on(t, HW_STYLE_HEAD), hw_text_off(t));
        list_kind(t, HW_FINDING_NOTE);
    }
}
