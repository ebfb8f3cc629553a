#include "analysis/adopt.h"

#include <string.h>

/* ---- one row -------------------------------------------------------------------------------- */

/* Arenas that came to be in between have shifted the others. */
static void renumber(struct hw_arena *a)
{
    int32_t index = (int32_t)a->index;
    for (size_t i = 0; i < a->top_pins.first.count; i++)
        a->top_pins.first.data[i].block.arena = index;
    for (size_t i = 0; i < a->largest.count; i++) {
        struct hw_run *run = &a->largest.data[i];
        run->arena = run->below.arena = run->above.arena = index;
    }
}

static void adopt_heaps(struct hw_arena *to, const struct hw_arena *from)
{
    for (size_t i = 0; i < to->heaps.count && i < from->heaps.count; i++) {
        to->heaps.data[i].tail_free_bytes = from->heaps.data[i].tail_free_bytes;
        to->heaps.data[i].resident_bytes = from->heaps.data[i].resident_bytes;
        to->heaps.data[i].free = from->heaps.data[i].free;
    }
}

void hw_arena_adopt(struct hw_arena *to, struct hw_arena *from)
{
    struct hw_figure system = to->figures[HW_M_SYSTEM_BYTES]; /* the allocator's own */
    memcpy(to->figures, from->figures, sizeof to->figures);
    to->figures[HW_M_SYSTEM_BYTES] = system;
    to->residency = from->residency;
    to->histogram = from->histogram;
    to->in_use_histogram = from->in_use_histogram;
    to->smallest_in_use = from->smallest_in_use;
    to->top.bytes = from->top.bytes;
    to->top.merged_bytes = from->top.merged_bytes;
    adopt_heaps(to, from);

    hw_vec_free(&to->top_pins.first);
    to->top_pins = from->top_pins;
    from->top_pins = (struct hw_top_pins){0};
    hw_vec_free(&to->largest);
    memcpy(&to->largest, &from->largest, sizeof to->largest); /* types without a name */
    memset(&from->largest, 0, sizeof from->largest);
    renumber(to);
}

/* ---- whether it is the same ----------------------------------------------------------------- */

/* Arenas are never given up, and a new one comes right behind the main arena in the ring. */
struct hw_arena *hw_report_earlier(const struct hw_report *to, struct hw_report *from,
                                   unsigned index)
{
    size_t more = to->arenas.count - from->arenas.count;
    if (to->arenas.count < from->arenas.count || index >= to->arenas.count ||
        (index != 0 && index <= more) || from->arenas.count == 0)
        return NULL;
    return &from->arenas.data[index == 0 ? 0 : index - more];
}

static bool same_heaps(const struct hw_arena *a, const struct hw_arena *b)
{
    if (a->heaps.count != b->heaps.count)
        return false;
    for (size_t i = 0; i < a->heaps.count; i++)
        if (a->heaps.data[i].address != b->heaps.data[i].address ||
            a->heaps.data[i].bytes != b->heaps.data[i].bytes)
            return false;
    return true;
}

static bool same(const struct hw_arena *a, const struct hw_arena *b)
{
    return !a->moved && !b->moved && a->fingerprint != 0 && a->fingerprint == b->fingerprint &&
           a->address == b->address && a->kind == b->kind && a->top.address == b->top.address &&
           hw_get(a->figures, HW_M_SYSTEM_BYTES) == hw_get(b->figures, HW_M_SYSTEM_BYTES) &&
           same_heaps(a, b);
}

/* Something is to be said of this arena, or maybe: findings beyond those that are kept tell no
 * arena. Only a walk can say it again. Of those that moved the row itself tells. */
static bool has_findings(const struct hw_report *r, unsigned index)
{
    for (unsigned kind = 0; kind < HW_FINDINGS_; kind++)
        if (kind != HW_FINDING_NOTE && kind != HW_FINDING_MOVED &&
            r->finding_counts[kind] > HW_FINDINGS_KEPT)
            return true;
    for (size_t i = 0; i < r->findings.count; i++)
        if (r->findings.data[i].kind != HW_FINDING_NOTE && r->findings.data[i].arena == (int)index)
            return true;
    return false;
}

/* Whether both were asked for the same holes of this arena. */
static bool same_holes(const struct hw_report *to, const struct hw_arena *later,
                       const struct hw_report *from, const struct hw_arena *earlier)
{
    bool wanted = to->holes_arena < 0 || to->holes_arena == (int)later->index;
    bool had = from->holes_arena < 0 || from->holes_arena == (int)earlier->index;
    return to->holes_wanted == from->holes_wanted && (to->holes_wanted == 0 || wanted == had);
}

bool hw_report_adopt(struct hw_report *to, struct hw_report *from, unsigned index)
{
    struct hw_arena *earlier = hw_report_earlier(to, from, index);
    struct hw_arena *later = earlier ? &to->arenas.data[index] : NULL;
    if (!earlier || !same(later, earlier) ||
        later->residency.in_use.known != earlier->residency.in_use.known ||
        !same_holes(to, later, from, earlier) || has_findings(from, earlier->index))
        return false;
    earlier->fingerprint = 0; /* it has nothing more to give */
    hw_arena_adopt(later, earlier);
    return true;
}
