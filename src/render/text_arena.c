/*
 * All about one arena (--arena).
 */
#include "render/text.h"

#include <inttypes.h>

#define TIDS_SHOWN 20

static void list_threads(struct hw_text *t, const struct hw_arena *a)
{
    struct hw_flow f = hw_flow_begin(t, 2, 4, 1);
    hw_flow_words(&f, "used by thread%s", a->tids.count == 1 ? "" : "s");
    size_t shown = a->tids.count < TIDS_SHOWN ? a->tids.count : TIDS_SHOWN;
    for (size_t i = 0; i < shown; i++)
        hw_flow_piece(&f, "%d", a->tids.data[i]);
    if (shown < a->tids.count)
        hw_flow_words(&f, "and %zu more", a->tids.count - shown);
    hw_flow_end(&f);
}

static void describe(struct hw_text *t, const struct hw_arena *a)
{
    char buf[HW_TEXT_NUMBER];
    struct hw_flow f = hw_flow_begin(t, 2, 4, 2);
    hw_flow_piece(&f, "at %#" PRIx64, a->address);
    hw_flow_piece(&f, "%zu heap%s", a->heaps.count, a->heaps.count == 1 ? "" : "s");
    if (a->figures[HW_M_LARGEST_FREE_BYTES].known)
        hw_flow_piece(&f, "largest free chunk %s",
                      hw_text_amount(t, buf, a->figures[HW_M_LARGEST_FREE_BYTES].n));
    double ratio;
    if (hw_text_ratio(a->figures[HW_M_EXTERNAL_FRAGMENTATION], &ratio))
        hw_flow_piece(&f, "external fragmentation %s", hw_text_percent(buf, ratio));
    if (a->max_system_bytes)
        hw_flow_piece(&f, "never held more than %s",
                      hw_text_amount(t, buf, hw_text_signed(a->max_system_bytes)));
    if (a->attached_threads.known)
        hw_flow_piece(&f, "%s attached thread%s",
                      hw_text_count(t, buf, hw_text_signed(a->attached_threads.n)),
                      a->attached_threads.n == 1 ? "" : "s");
    hw_flow_end(&f);
}

static void say_residency(struct hw_text *t, const struct hw_figure *figures)
{
    static const struct {
        enum hw_metric metric;
        const char *what;
    } parts[] = {
        {HW_M_FREE_RESIDENT_BYTES, "in RAM"},
        {HW_M_FREE_SWAPPED_BYTES, "swapped out"},
        {HW_M_FREE_RETURNED_BYTES, "given back or never touched"},
    };
    enum { PARTS = sizeof parts / sizeof *parts };
    if (!figures[HW_M_FREE_RESIDENT_BYTES].known)
        return;
    char buf[HW_TEXT_NUMBER];
    struct hw_flow f = hw_flow_begin(t, 2, 4, 1);
    hw_flow_words(&f, "free:");
    for (size_t i = 0; i < PARTS; i++)
        if (figures[parts[i].metric].known)
            hw_flow_words(&f, "%s %s%s", hw_text_amount(t, buf, figures[parts[i].metric].n),
                          parts[i].what, i + 1 < PARTS ? "," : "");
    hw_flow_end(&f);
}

void hw_text_arena(struct hw_text *t, const struct hw_arena *a)
{
    char title[HW_TEXT_NAME + 8], name[HW_TEXT_NAME];
    snprintf(title, sizeof title, "ARENA %s%s", hw_text_arena_mark(a), hw_text_arena_name(name, a));
    hw_text_breakdown(t, title, a->figures);
    putc('\n', t->out);
    describe(t, a);
    if (a->tids.count)
        list_threads(t, a);
    say_residency(t, a->figures);
    hw_text_prediction(t, a->figures, &a->residency);
    hw_text_top(t, a);
}
