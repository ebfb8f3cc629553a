/*
 * Is this really an arena, and which of its members can be believed? Asked before a single figure
 * is taken from it, so that a wrong root, a smashed ring or a half-written core ends in a finding
 * and not in absurd totals.
 *
 * What proves an arena is what chance or damage cannot imitate: for main_arena its 127 bins, for a
 * thread arena these, or the heap_info in front of it. A single member that is wrong is a finding.
 */
#include "alloc/glibc/glibc.h"

#include <inttypes.h>

#define FLAGS_KNOWN 7 /* FASTCHUNKS, NONCONTIGUOUS, ARENA_CORRUPT (some versions) */

static bool is_readable(const struct hw_target *t, hw_addr addr)
{
    const struct hw_map *map = hw_map_at(t, addr);
    return map && (map->flags & HW_MAP_READ);
}

/* The head of a bin points to itself, or to a chunk that points back. */
static bool bin_is_sane(struct walk *w, const struct hw_object *state, unsigned bin)
{
    unsigned word = w->rules.word;
    hw_addr back;
    hw_addr head = hw_field_addr(w->layout, GLIBC_F_BINS, state->address, 2 * (bin - 1)) - 2 * word;
    hw_addr fd = hw_fetch(state, GLIBC_F_BINS, 2 * (bin - 1));
    return fd == head ||
           (is_readable(w->target, fd) &&
            hw_read_word(w->target, fd + 3 * word, &back, NULL) == HW_OK && back == head);
}

bool glibc_has_bins(struct walk *w, const struct hw_object *state, unsigned *sane, unsigned *all)
{
    *all = w->layout->field[GLIBC_F_BINS].count / 2;
    unsigned absent = 0; /* those tell nothing */
    *sane = 0;
    for (unsigned bin = 1; bin <= *all; bin++) {
        *sane += bin_is_sane(w, state, bin);
        absent +=
            glibc_is_absent(w, hw_fetch(state, GLIBC_F_BINS, 2 * (bin - 1)), 2 * w->rules.header);
    }
    return 2 * *sane > *all - absent;
}

int glibc_verify_main_arena(struct walk *w, const struct hw_object *state, struct hw_error *err)
{
    unsigned lists, sane, zero = 0;
    if (glibc_has_bins(w, state, &sane, &lists))
        return HW_OK;
    for (unsigned bin = 1; bin <= lists; bin++)
        zero += hw_fetch(state, GLIBC_F_BINS, 2 * (bin - 1)) == 0;
    if (zero == lists && hw_fetch(state, GLIBC_F_TOP, 0) == 0)
        return HW_OK; /* never used (until 2.41 it is initialised by the first malloc) */
    return hw_fail(err, HW_ERR_CORRUPT,
                   "there is no arena at %#" PRIx64
                   ": only %u of its %u bins point to themselves or "
                   "to chunks that point back",
                   state->address, sane, lists);
}

static void flaw(struct walk *w, unsigned index, struct arena *a, const char *what, uint64_t value)
{
    if (glibc_excuse(w, a, 0))
        return;
    hw_report_break(w->report, HW_INVARIANT_ARENAS, HW_FINDING_BAD_ARENA, (int)index,
                    hw_known(a->address), (struct hw_maybe){0}, "arena %u has %s (%#" PRIx64 ")",
                    index, what, value);
}

bool glibc_is_possible(const struct walk *w, uint64_t system_bytes)
{
    /* The list of mappings may be out of date when the target runs. */
    uint64_t more = w->private_bytes + ((uint64_t)256 << 20);
    return system_bytes <= w->private_bytes || (glibc_moving(w) && system_bytes / 4 <= more);
}

void glibc_check_arena(struct walk *w, struct arena *a, unsigned index)
{
    uint64_t flags = hw_fetch(&a->state, GLIBC_F_FLAGS, 0);
    if (flags & ~(uint64_t)FLAGS_KNOWN)
        flaw(w, index, a, "impossible flags", flags);
    if (!glibc_is_possible(w, a->system_bytes)) {
        flaw(w, index, a, "more system_mem than the target has memory", a->system_bytes);
        a->system_bytes = 0;
        a->distrusted = true;
    } else if (a->system_bytes > hw_fetch(&a->state, GLIBC_F_MAX_SYSTEM_MEM, 0)) {
        flaw(w, index, a, "more system_mem than its maximum", a->system_bytes);
    }
    char byte;
    if (a->top && !is_readable(w->target, a->top) && !glibc_is_absent(w, a->top, w->rules.header) &&
        !(glibc_moving(w) && hw_read(w->target, a->top, &byte, 1, NULL) == 1)) {
        glibc_distrust_top(w, a, index, "where there is no memory");
    }
}

void glibc_distrust_top(struct walk *w, struct arena *a, unsigned index, const char *where)
{
    if (!a->top_is_bad && !glibc_excuse(w, a, 0))
        hw_report_break(w->report, HW_INVARIANT_ARENAS, HW_FINDING_BAD_ARENA, (int)index,
                        hw_known(hw_field_addr(w->layout, GLIBC_F_TOP, a->address, 0)),
                        (struct hw_maybe){0}, "arena %u has its top %s (%#" PRIx64 ")", index,
                        where, a->top);
    a->top_is_bad = true;
    a->top = 0;
}

bool glibc_is_page_size(const struct walk *w, const struct hw_object *info)
{
    uint64_t page = hw_fetch(info, GLIBC_F_HEAP_PAGESIZE, 0);
    return !hw_has(w->layout, GLIBC_F_HEAP_PAGESIZE) ||
           (page >= w->target->who.page_size && page <= w->heap_max && (page & (page - 1)) == 0);
}

bool glibc_heap_is_sane(struct walk *w, hw_addr heap, hw_addr arena, struct hw_object *info)
{
    *info = (struct hw_object){0};
    if (hw_object_read(info, w->layout, w->target, GLIBC_HEAP_INFO, heap, NULL) != HW_OK)
        return false;
    uint64_t size = hw_fetch(info, GLIBC_F_HEAP_SIZE, 0);
    uint64_t mprotect_size = hw_fetch(info, GLIBC_F_HEAP_MPROTECT_SIZE, 0);
    hw_addr prev = hw_fetch(info, GLIBC_F_HEAP_PREV, 0);
    return hw_fetch(info, GLIBC_F_HEAP_ARENA, 0) == arena && prev % w->heap_max == 0 &&
           prev != heap && size > w->layout->struct_size[GLIBC_HEAP_INFO] &&
           size <= mprotect_size && mprotect_size <= w->heap_max &&
           size % w->target->who.page_size == 0 && glibc_is_page_size(w, info);
}
