/*
 * How chunks are sorted in bins (malloc/malloc.c, "Bins"). In bins of large chunks, which have more
 * than one size, they descend along fd, and the first one of each size is also in a ring of sizes:
 *
 *     head --> 0x890 --> 0x890 --> 0x850 --> 0x810 --> 0x810 --> head       fd
 *              |   fd_nextsize -->  |   -->   |                             and back to the first:
 *              '------------- <-----'--- <----'  bk_nextsize
 *
 * The links of all other chunks for that ring are NULL, those of large chunks in the unsorted bin,
 * too.
 */
#include "alloc/glibc/check.h"

#include <inttypes.h>

#define FIRST_LARGE 64 /* the first bin of large chunks */

/* The chunks of one size of a bin before `next`, the first of the next size, are over. */
static void check_ring(struct walk *w, unsigned arena, unsigned bin, const struct binned *of_size,
                       const struct binned *next)
{
    if (of_size->smaller != next->chunk)
        glibc_bad_bin(w, arena, bin, of_size->chunk,
                      "a chunk that does not lead to the next smaller size", of_size->smaller);
    if (next->larger != of_size->chunk)
        glibc_bad_bin(w, arena, bin, next->chunk,
                      "a chunk that does not lead back to the next larger size", next->larger);
}

/* What the chunk behind it says, unless that is damaged itself: the walk will tell of it. */
static void check_state(struct walk *w, unsigned arena, unsigned bin, const struct binned *c)
{
    uint64_t size = chunk_size(c->h);
    const uint8_t *bytes = hw_seeker_at(&w->seeker, c->chunk + size, w->rules.header);
    struct chunk_header n = bytes ? chunk_decode(&w->rules, bytes) : (struct chunk_header){0};
    if (n.raw & CHUNK_P && !(n.raw & CHUNK_M) && glibc_listed_size(w, arena, n))
        glibc_bad_bin(w, arena, bin, c->chunk, "a chunk that is in use, as the next one says,", 0);
}

static void check_large(struct walk *w, unsigned arena, unsigned bin, struct bin_check *check,
                        const struct binned *c)
{
    uint64_t size = chunk_size(c->h);
    bool first_of_size = check->chunks == 0 || size != check->size;
    if (check->chunks && size > check->size)
        glibc_bad_bin(w, arena, bin, c->chunk, "a chunk that is larger than the one before it", 0);
    if (!first_of_size && (c->smaller || c->larger))
        glibc_bad_bin(w, arena, bin, c->chunk, "a link of sizes that is not NULL",
                      c->smaller ? c->smaller : c->larger);
    if (first_of_size && check->chunks)
        check_ring(w, arena, bin, &check->of_size, c);
    if (first_of_size)
        check->of_size = *c;
}

void glibc_check_binned(struct walk *w, unsigned arena, unsigned bin, struct bin_check *check,
                        const struct binned *c)
{
    if (glibc_moving(w))
        return;
    check_state(w, arena, bin, c);
    if (bin >= FIRST_LARGE)
        check_large(w, arena, bin, check, c);
    if (check->chunks++ == 0)
        check->first = *c;
    check->size = chunk_size(c->h);
}

/* A bin that is not empty is in the map; one that is may be, until somebody looks into it. */
static bool is_mapped(const struct walk *w, const struct arena *a, unsigned bin)
{
    return bin < 2 || !hw_has(w->layout, GLIBC_F_BINMAP) ||
           (hw_fetch(&a->state, GLIBC_F_BINMAP, bin / 32) >> bin % 32 & 1);
}

void glibc_check_bin(struct walk *w, unsigned arena, unsigned bin, struct bin_check *check)
{
    const struct arena *a = &w->arenas.data[arena];
    if (check->chunks == 0 || glibc_moving(w))
        return;
    if (bin >= FIRST_LARGE)
        check_ring(w, arena, bin, &check->of_size, &check->first);
    if (!is_mapped(w, a, bin))
        hw_report_break(w->report, HW_INVARIANT_BINMAP, HW_FINDING_BAD_ARENA, (int)arena,
                        hw_known(hw_field_addr(w->layout, GLIBC_F_BINMAP, a->address, bin / 32)),
                        (struct hw_maybe){0},
                        "arena %u: bin %u has %" PRIu64 " chunks, but is not in the map of bins",
                        arena, bin, check->chunks);
}
