/*
 * The verdict: what it is, what to do about it, what that costs.
 *
 *     VERDICT   Retention: 10.6 GiB, 72% of RSS, is memory that was freed ...
 *               malloc_trim(0) would give back 9.8 GiB of it now, in about 4.0 s; ...
 *                 do:    call malloc_trim(0) in the program, after what frees that much
 *                 cost:  Each arena is locked while it is trimmed; ...
 */
#include "render/text.h"

#include <string.h>

enum { INDENT = 10, ADVICE = 12, HANG = 19 };

static void put_text(struct hw_text *t, const char *text, bool first)
{
    struct hw_flow f = first ? hw_flow_label(t, "VERDICT") : hw_flow_begin(t, INDENT, INDENT, 1);
    f.gap = 1;
    f.hang = INDENT;
    f.limit = t->width < HW_TEXT_MAX_PROSE ? t->width : HW_TEXT_MAX_PROSE;
    hw_flow_words(&f, "%s", text);
    hw_flow_end(&f);
}

static void put_advice(struct hw_text *t, const char *label, const char *text)
{
    if (!*text)
        return;
    struct hw_flow f = hw_flow_begin(t, ADVICE, HANG, 1);
    fprintf(t->out, "%-*s", HANG - ADVICE, label);
    f.column = HANG;
    hw_flow_words(&f, "%s", text);
    hw_flow_end(&f);
}

void hw_text_verdict(struct hw_text *t)
{
    for (size_t i = 0; i < t->r->verdict.count; i++) {
        const struct hw_verdict *v = &t->r->verdict.data[i];
        put_text(t, v->text, i == 0);
        put_advice(t, "do:", v->command);
        put_advice(t, "cost:", v->cost);
    }
}
