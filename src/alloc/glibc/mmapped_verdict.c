/*
 * Chunks with a mapping of their own: does what was found agree with what mp_ counts, and if not,
 * why, and where may the lost one be?
 */
#include "alloc/glibc/mmapped.h"

#include <inttypes.h>

/* 2.43 adds a header's size to mmapped_mem each time realloc() moves or resizes a mapping, so that
 * the count drifts upwards (mremap_chunk; measured). */
static bool bytes_agree(const struct finder *f)
{
    uint64_t counted = f->w->report->params.mmapped_bytes.n;
    if (!f->tail)
        return f->bytes == counted;
    uint64_t drift = counted - f->bytes, page = f->w->target->who.page_size;
    return f->bytes <= counted && drift % f->tail == 0 && (drift < page || f->effort->lenient);
}

bool glibc_mmapped_found(const struct finder *f)
{
    return f->found.count == f->w->report->params.n_mmaps.n && bytes_agree(f);
}

/* The kernel may have joined a mapping with smaller ones, of this many bytes. */
#define JOINED_MAX ((uint64_t)256 << 10)

/* Whether a chunk begins there. They were found one behind the other. */
static bool holds_found(const struct finder *f, const struct hw_map *map)
{
    size_t low = 0, high = f->found.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (f->found.data[middle].address < map->start)
            low = middle + 1;
        else
            high = middle;
    }
    return low < f->found.count && f->found.data[low].address < map->end;
}

/* What malloc mapped may be all of this mapping, or its beginning; no chunk was found there. */
static bool may_be_lost(const struct finder *f, const struct hw_map *map, uint64_t bytes)
{
    const unsigned usual = HW_MAP_READ | HW_MAP_WRITE;
    uint64_t size = map->end - map->start;
    hw_addr from = map->start;
    struct span span;
    if ((map->flags & (usual | HW_MAP_SHARED)) != usual || !hw_map_is_anonymous(map) ||
        size < bytes || size - bytes > JOINED_MAX || hw_map_stack_of(f->w->target, map) ||
        !glibc_next_unknown(f->w, &from, &span) || span.start != map->start ||
        span.end - span.start < bytes)
        return false;
    return !holds_found(f, map);
}

/* If one chunk of so many bytes was not found, and just one mapping may be that: its address. */
static struct hw_maybe lost_chunk(const struct finder *f, uint64_t bytes)
{
    const struct hw_target *t = f->w->target;
    struct hw_maybe at = {0};
    bytes -= bytes % t->who.page_size;
    if (!bytes || f->found.count + 1 != f->w->report->params.n_mmaps.n)
        return at;
    for (size_t i = 0; i < t->map_count; i++) {
        if (!may_be_lost(f, &t->maps[i], bytes))
            continue;
        if (at.known)
            return (struct hw_maybe){0};
        at = hw_known(t->maps[i].start + f->lead);
    }
    return at;
}

void glibc_mmapped_report(const struct finder *f)
{
    const struct hw_params *p = &f->w->report->params;
    if (glibc_mmapped_found(f)) {
        if (p->mmapped_bytes.n != f->bytes)
            hw_report_add(
                f->w->report, HW_FINDING_NOTE, -1, (struct hw_maybe){0},
                hw_known(p->mmapped_bytes.n - f->bytes),
                "mp_.mmapped_mem is higher than what is mapped: this glibc counts a header "
                "for each realloc() of an mmapped chunk");
        return;
    }
    uint64_t off = p->mmapped_bytes.n > f->bytes ? p->mmapped_bytes.n - f->bytes
                                                 : f->bytes - p->mmapped_bytes.n;
    if (glibc_excuse(f->w, NULL, off))
        return;
    /* A chunk is not found if only its header is missing. */
    if (f->bytes < p->mmapped_bytes.n && f->found.count < p->n_mmaps.n &&
        off <= glibc_absent_elsewhere(f->w).reach) {
        f->w->report->check.missed[HW_INVARIANT_MMAPPED]++;
        hw_report_add(f->w->report, HW_FINDING_MISSING, -1, (struct hw_maybe){0}, hw_known(off),
                      "of %" PRIu64 " mmapped chunks %zu were found: memory of the others is "
                      "missing from the core",
                      p->n_mmaps.n, f->found.count);
        return;
    }
    bool given_up = f->probes == 0 || f->skips == 0;
    struct hw_maybe lost = {0};
    if (f->bytes < p->mmapped_bytes.n)
        lost = lost_chunk(f, off);
    const char *more = lost.known ? "; the one that lacks may be here, with a damaged header" : "";
    hw_report_break(
        f->w->report, HW_INVARIANT_MMAPPED, HW_FINDING_MMAPPED_MISMATCH, -1, lost, hw_known(off),
        "found %zu mmapped chunks of %" PRIu64 " bytes, mp_ counts %" PRIu64 " of %" PRIu64 "%s",
        f->found.count, f->bytes, p->n_mmaps.n, p->mmapped_bytes.n,
        given_up ? "; the search was given up, not to take longer" : more);
}
