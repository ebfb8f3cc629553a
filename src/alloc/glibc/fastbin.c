/*
 * Fastbins: freed chunks of small sizes that are not merged with their neighbours, one list for
 * each size in each arena (gone in glibc 2.43).
 */
#include "alloc/glibc/glibc.h"

#include <inttypes.h>

static void complain(struct walk *w, unsigned arena, unsigned bin, hw_addr at, const char *what)
{
    hw_report_add(w->report, HW_FINDING_BAD_LIST, (int)arena, hw_known(at), (struct hw_maybe){0},
                  "fastbin %u of arena %u: %s at %#" PRIx64, bin, arena, what, at);
}

static int walk_list(struct walk *w, unsigned arena, unsigned bin, hw_addr chunk,
                     struct hw_error *err)
{
    const struct chunk_rules *r = &w->rules;
    struct hw_list *list = &w->report->arenas.data[arena].fast[bin];
    struct loop_guard guard = {0};
    while (chunk) {
        const uint8_t *bytes = NULL;
        if (loop_guard_repeats(&guard, chunk)) {
            complain(w, arena, bin, chunk, "a loop");
            return HW_OK;
        }
        if ((chunk + r->header) % r->alignment == 0)
            bytes = glibc_fast_chunk(w, arena, chunk);
        if (!bytes) {
            complain(w, arena, bin, chunk, "a link that leads nowhere");
            return HW_OK;
        }
        uint64_t size = chunk_size(chunk_decode(r, bytes));
        if (size < r->min_size || chunk_fast_index(r, size) != bin) {
            complain(w, arena, bin, chunk, "a chunk of the wrong size");
            return HW_OK;
        }
        struct cached c = {.address = chunk, .bin = (uint16_t)bin, .state = HW_PARKED};
        bool full;
        int rc = glibc_remember(w, &c, &full, err);
        if (full)
            complain(w, arena, bin, chunk, "more chunks than there is memory");
        if (full || rc != HW_OK)
            return rc;
        list->chunks++;
        list->bytes += size;
        list->from = list->to = size;
        chunk = glibc_next_link(w, chunk + r->header, bytes + r->header);
    }
    return HW_OK;
}

int glibc_read_fastbins(struct walk *w, unsigned arena, struct hw_error *err)
{
    if (!hw_has(w->layout, GLIBC_F_FASTBINS))
        return HW_OK;
    unsigned lists = w->layout->field[GLIBC_F_FASTBINS].count;
    if (lists > HW_FAST_LISTS)
        lists = HW_FAST_LISTS;
    int rc = HW_OK;
    for (unsigned i = 0; i < lists && rc == HW_OK; i++) {
        hw_addr first = hw_fetch(&w->arenas.data[arena].state, GLIBC_F_FASTBINS, i);
        rc = walk_list(w, arena, i, hw_untag(w->target->who.machine, first), err);
    }
    return rc;
}
