#include "inspect/missing.h"

#include <inttypes.h>
#include <stdio.h>

void hw_missing_blocks(const struct hw_target *t, const struct hw_block *b, size_t count,
                       struct hw_missing *mmapped)
{
    for (size_t i = 0; i < count && b[i].arena < 0; i++) {
        hw_addr start = b[i].address - b[i].lead;
        hw_target_missing(t, start, start + hw_mapping_bytes(&b[i]), mmapped);
    }
}

/* Why they are, for the end of a sentence. */
static void say_why(const struct hw_missing *m, char *buf, size_t size)
{
    if (m->cut_off == 0)
        snprintf(buf, size, ", which was written without them (coredump_filter, MADV_DONTDUMP)");
    else if (m->cut_off == m->bytes)
        snprintf(buf, size, ", which ends before them");
    else
        snprintf(buf, size,
                 ", which ends before %" PRIu64 " of them, and was written without the "
                 "rest",
                 m->cut_off);
}

static void report_one(struct hw_report *r, int arena, const char *whose,
                       const struct hw_missing *m, const char *but)
{
    char why[100];
    say_why(m, why, sizeof why);
    hw_report_add(r, HW_FINDING_MISSING, arena, hw_known(m->first), hw_known(m->bytes),
                  "%s: %" PRIu64 " bytes, from %#" PRIx64 " on, are missing from the core%s%s",
                  whose, m->bytes, m->first, why, but);
}

/* The file ends too early, and nothing else is known to be wrong. (What other heaps have lost is
 * not known.) */
static bool is_only_cut(const struct hw_target *t, const struct hw_report *r)
{
    for (size_t i = 0; i < r->findings.count; i++) {
        enum hw_finding_kind kind = r->findings.data[i].kind;
        if (kind != HW_FINDING_NOTE && kind != HW_FINDING_TRUNCATED_CORE)
            return false;
    }
    return t->truncated && r->arenas.count > 0 && r->allocator.others.count == 0;
}

void hw_missing_report(const struct hw_target *t, const struct hw_missing *mmapped,
                       struct hw_report *r)
{
    for (size_t i = 0; i < r->arenas.count; i++) {
        const struct hw_arena *a = &r->arenas.data[i];
        struct hw_missing m = {0};
        char whose[32];
        for (size_t k = 0; k < a->heaps.count; k++)
            hw_target_missing(t, a->heaps.data[k].address,
                              a->heaps.data[k].address + a->heaps.data[k].bytes, &m);
        if (m.bytes == 0)
            continue;
        bool whole = hw_get(a->figures, HW_M_UNACCOUNTED_BYTES) == 0;
        snprintf(whose, sizeof whose, "arena %zu", i);
        report_one(r, (int)i, whose, &m, whole ? "; its chunk headers are all there" : "");
    }
    if (mmapped->bytes)
        report_one(r, -1, "mmapped chunks", mmapped, "");
    if (is_only_cut(t, r))
        hw_report_add(r, HW_FINDING_NOTE, -1, (struct hw_maybe){0}, (struct hw_maybe){0},
                      "nothing of the heap was lost with the end of the core file");
}
