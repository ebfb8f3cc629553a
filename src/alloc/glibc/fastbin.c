/*
 * Fastbins: freed chunks of small sizes that are not merged with their neighbours, one list for
 * each size in each arena (gone in glibc 2.43).
 */
#include "alloc/glibc/glibc.h"

#include <inttypes.h>

static int take(struct walk *w, unsigned arena, unsigned bin, hw_addr chunk, uint64_t size,
                struct flaw *flaw, struct hw_error *err)
{
    struct hw_list *list = &w->report->arenas.data[arena].fast[bin];
    struct cached c = {.address = chunk, .bin = (uint16_t)bin, .state = HW_PARKED};
    bool full;
    int rc = glibc_remember(w, &c, &full, err);
    if (full)
        *flaw = (struct flaw){.what = "more chunks than there is memory", .at = chunk};
    if (full || rc != HW_OK)
        return rc;
    list->chunks++;
    list->bytes += size;
    list->from = list->to = size;
    return HW_OK;
}

/* The list comes back to a chunk that it had. Chunks that were swept up are not in its order. */
static struct flaw cut_loop(struct walk *w, unsigned arena, unsigned bin, size_t first,
                            hw_addr chunk)
{
    struct hw_list *list = &w->report->arenas.data[arena].fast[bin];
    struct tally dropped = {0};
    struct cached of = {.bin = (uint16_t)bin, .state = HW_PARKED};
    if (!w->sweep.blocks)
        chunk = glibc_cut_loop(w, first, &of, chunk, &dropped);
    list->chunks -= dropped.chunks;
    list->bytes -= dropped.bytes;
    return (struct flaw){.what = "a loop, maybe freed twice:", .at = chunk};
}

static int walk_list(struct walk *w, unsigned arena, unsigned bin, hw_addr chunk, struct flaw *flaw,
                     struct hw_error *err)
{
    const struct chunk_rules *r = &w->rules;
    struct loop_guard guard = {0};
    size_t first = w->cached.count;
    hw_addr from = hw_field_addr(w->layout, GLIBC_F_FASTBINS, w->arenas.data[arena].address, bin);
    int rc = HW_OK;
    *flaw = (struct flaw){0};
    while (chunk && rc == HW_OK && !flaw->what) {
        const uint8_t *bytes = NULL;
        if (loop_guard_repeats(&guard, chunk)) {
            *flaw = cut_loop(w, arena, bin, first, chunk);
            return HW_OK;
        }
        if ((chunk + r->header) % r->alignment == 0)
            bytes = glibc_fast_chunk(w, arena, chunk);
        if (!bytes && glibc_leads_out(w, HW_INVARIANT_FASTBINS, (int)arena, chunk, 3 * r->word))
            return HW_OK;
        uint64_t size = bytes ? chunk_size(chunk_decode(r, bytes)) : 0;
        hw_addr next = bytes ? glibc_next_link(w, chunk + r->header, bytes + r->header) : 0;
        if (!bytes)
            *flaw = (struct flaw){.what = "a link that leads nowhere", .at = from, .to = chunk};
        else if (size < r->min_size || chunk_fast_index(r, size) != bin)
            *flaw = (struct flaw){
                .what = "a link to a chunk of the wrong size", .at = from, .to = chunk};
        else
            rc = take(w, arena, bin, chunk, size, flaw, err);
        from = chunk;
        chunk = next;
    }
    return rc;
}

/* The head of a list as it is now. */
static hw_addr read_head(struct walk *w, const struct arena *a, unsigned bin)
{
    uint64_t head;
    hw_addr at = hw_field_addr(w->layout, GLIBC_F_FASTBINS, a->address, bin);
    hw_seeker_reset(&w->seeker);
    return hw_read_word(w->target, at, &head, NULL) == HW_OK ? head : 0;
}

/* A list that breaks while the target runs is followed anew, some times; then what it holds stays
 * uncertain. */
static int read_list(struct walk *w, unsigned index, unsigned bin, struct hw_error *err)
{
    struct arena *a = &w->arenas.data[index];
    struct hw_list *list = &w->report->arenas.data[index].fast[bin];
    struct flaw flaw = {0};
    size_t before = w->cached.count;
    hw_addr first = hw_fetch(&a->state, GLIBC_F_FASTBINS, bin);
    int rc = HW_OK;
    for (unsigned tries = 0; rc == HW_OK; tries++) {
        rc = walk_list(w, index, bin, hw_untag(w->target->who.machine, first), &flaw, err);
        /* What was swept up once is not swept up again. */
        if (!flaw.what || !glibc_moving(w) || w->sweep.blocks || tries == LIST_TRIES)
            break;
        first = read_head(w, a, bin);
        w->cached.count = before;
        *list = (struct hw_list){0};
    }
    if (!flaw.what || glibc_excuse(w, a, list->bytes))
        return rc;
    char to[32] = "";
    if (flaw.to)
        snprintf(to, sizeof to, ", it is %#" PRIx64, flaw.to);
    hw_report_break(w->report, HW_INVARIANT_FASTBINS, HW_FINDING_BAD_LIST, (int)index,
                    hw_known(flaw.at), (struct hw_maybe){0},
                    "fastbin %u of arena %u: %s at %#" PRIx64 "%s", bin, index, flaw.what, flaw.at,
                    to);
    return rc;
}

int glibc_read_fastbins(struct walk *w, unsigned arena, struct hw_error *err)
{
    if (!hw_has(w->layout, GLIBC_F_FASTBINS))
        return HW_OK;
    unsigned lists = w->layout->field[GLIBC_F_FASTBINS].count;
    int rc = HW_OK;
    if (glibc_moving(w))
        hw_seeker_reset(&w->seeker);
    for (unsigned i = 0; i < lists && i < HW_FAST_LISTS && rc == HW_OK; i++)
        rc = read_list(w, arena, i, err);
    return rc;
}
