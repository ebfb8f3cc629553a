/*
 * What is to be said before anything else: whoever reads only the verdict must not take half a heap
 * for the whole, nor what changed while it was read for exact.
 */
#include "analysis/verdict.h"

#include <inttypes.h>

static void say_missing(const struct hw_case *c, struct hw_verdict *v, const char *fmt)
{
    char text[HW_SIZE_TEXT], whole[HW_SIZE_TEXT];
    const struct hw_figure *missing = &c->r->totals[HW_M_UNACCOUNTED_BYTES];
    hw_say(v, "%s of %s %s", hw_format_size(text, (uint64_t)missing->n, false),
           hw_format_size(whole, (uint64_t)hw_get(c->r->totals, HW_M_SYSTEM_BYTES), false), fmt);
    hw_prove(v, "unaccounted_bytes", (uint64_t)missing->n, HW_UNIT_BYTES);
}

/* Nothing is wrong but that the heap did not stand still. */
static void say_moved(const struct hw_case *c, struct hw_verdict *v, uint64_t moved, bool missing)
{
    size_t arenas = c->r->arenas.count;
    hw_say(v, "About right, not exact: ");
    if (arenas == 1 && moved)
        hw_say(v, "the arena");
    else if (moved)
        hw_say(v, "%" PRIu64 " of %zu arenas", moved, arenas);
    else
        hw_say(v, "something");
    hw_say(v, " changed while %s read.", moved > 1 ? "they were" : "it was");
    hw_prove(v, "moved_arenas", moved, HW_UNIT_COUNT);
    if (missing) {
        hw_say(v, " ");
        say_missing(c, v, "could not be followed.");
    }
}

bool hw_rule_incomplete(const struct hw_case *c, struct hw_verdict *v)
{
    const struct hw_figure *unaccounted = &c->r->totals[HW_M_UNACCOUNTED_BYTES];
    bool missing = unaccounted->known && unaccounted->n > 0;
    uint64_t moved = 0;
    for (size_t i = 0; i < c->r->arenas.count; i++)
        moved += c->r->arenas.data[i].moved;
    if (hw_report_complete(c->r) && !moved)
        return false;
    if (!hw_report_flawed(c->r)) {
        say_moved(c, v, moved, missing);
        return true;
    }
    hw_say(v, "Incomplete: ");
    if (missing)
        say_missing(c, v, "could not be made sense of; the findings below say where. ");
    else
        hw_say(v, "not all could be read, or something contradicts itself; the findings below say "
                  "what. ");
    if (moved)
        hw_prove(v, "moved_arenas", moved, HW_UNIT_COUNT);
    hw_say(v, "These figures may be wrong.");
    return true;
}
