/*
 * The report for people: the answer in the first lines, then the evidence. This file has the order
 * of the sections; each text_*.c has one.
 */
#include "render/text.h"

#include <string.h>

typedef void (*section_fn)(struct hw_text *t);

/* Unless the verdict has said it. */
static void pins(struct hw_text *t)
{
    for (size_t i = 0; i < t->r->verdict.count; i++)
        if (strcmp(t->r->verdict.data[i].rule, "top_pinned") == 0)
            return;
    hw_text_pins(t);
}

static void details(struct hw_text *t)
{
    t->gap = true;
}

/* First what it means, then why one may believe that. */
static const section_fn sections[] = {
    hw_text_head,     hw_text_abort,  hw_text_partial,  hw_text_other, hw_text_ledger,
    hw_text_verdict,  hw_text_memory, hw_text_trim,     pins,          hw_text_arenas,
    hw_text_acts,     hw_text_sizes,  hw_text_holes,    details,       hw_text_free,
    hw_text_settings, hw_text_check,  hw_text_findings,
};

/* Where there is no heap to describe. */
static const section_fn unused_sections[] = {
    hw_text_head,    hw_text_abort, hw_text_partial,  hw_text_other, hw_text_ledger,
    hw_text_verdict, details,       hw_text_settings, hw_text_check, hw_text_findings,
};

static unsigned usable_width(unsigned wanted)
{
    if (wanted == 0)
        return 80;
    return wanted < HW_TEXT_MIN_WIDTH ? HW_TEXT_MIN_WIDTH : wanted;
}

static int report(const struct hw_report *r, const struct hw_render_options *opt, FILE *out,
                  struct hw_error *err)
{
    struct hw_text t = {.r = r, .opt = opt, .out = out, .width = usable_width(opt->width)};
    const section_fn *list = r->allocator.unused ? unused_sections : sections;
    size_t count = r->allocator.unused ? sizeof unused_sections / sizeof *unused_sections
                                       : sizeof sections / sizeof *sections;
    for (size_t i = 0; i < count; i++)
        list[i](&t);

    if (t.nomem)
        return hw_fail(err, HW_ERR_NOMEM, "out of memory while the report was written");
    return HW_OK;
}

const struct hw_renderer hw_render_text = {
    .format = HW_FORMAT_TEXT,
    .report = report,
    .list_head = hw_text_list_head,
    .list_block = hw_text_list_block,
};
