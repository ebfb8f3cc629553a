/*
 * Chunks with a mapping of their own. glibc keeps no list of them, only how many there are and how
 * many bytes were mapped (mp_.n_mmaps, mp_.mmapped_mem); both must come out.
 *
 *     start                  start + lead
 *     +----------------------+----------+---------------------------+
 *     | (memalign only) lead | 0 or lead| size |M | user data ...    |
 *     +----------------------+----------+---------------------------+
 *     |<------------------ page multiple, the mapping ------------->|
 *                            |<-------------- size ---------------->|   up to glibc 2.42
 *                            |<-------------- size --------->| header|   2.43: as in a heap, the
 * user may write behind `size` and from 2.43 on bit 0 of lead says that the mapping is of huge
 * pages.
 *
 * Mappings begin on page boundaries, and the kernel joins neighbouring ones, so a chunk is
 * recognised by what stands at a page start: M alone is set and lead + size is a page multiple that
 * fits. Behind one there may be another. If following on from the start of each mapping does not
 * find all of them, every page is tried.
 *
 * After memalign() the first header is left behind, unused and looking right; the real one stands
 * where its prev_size says how far it is from the start.
 */
#include "alloc/glibc/glibc.h"

#include <inttypes.h>

#define MAX_FOUND ((size_t)1 << 20)

enum effort {
    FOLLOW,     /* from the start of each mapping, one chunk behind the other */
    EVERY_PAGE, /* any page may begin a chunk: mappings of others lie in between */
    EVERY_LEAD, /* and the real header may stand in front of any page of it */
};

struct finder {
    struct walk *w;
    HW_VEC(struct hw_block) found; /* at most as many as glibc lets there be: n_mmaps_max */
    uint64_t bytes;                /* mapped by those found */
    unsigned tail;                 /* mapped behind each chunk */
    enum effort effort;
};

/* A part of a mapping that no arena lies in. */
struct stretch {
    hw_addr start, end;
};

static bool header_at(struct finder *f, hw_addr p, hw_addr end, struct chunk_header *h)
{
    const uint8_t *bytes = NULL;
    if (p < end && end - p >= f->w->rules.header)
        bytes = hw_seeker_at(&f->w->seeker, p, f->w->rules.header);
    if (bytes)
        *h = chunk_decode(bytes);
    return bytes != NULL;
}

/* Is there the header of an mmapped chunk `lead` bytes behind the start of a mapping? */
static bool is_mmapped(struct finder *f, hw_addr start, uint64_t lead, hw_addr end,
                       struct hw_block *b)
{
    struct chunk_header h;
    if (!header_at(f, start + lead, end, &h) || (h.raw & CHUNK_FLAGS) != CHUNK_M)
        return false;
    uint64_t huge = f->tail ? h.prev_size & 1 : 0;
    uint64_t size = chunk_size(h), room = end - start - lead;
    if (h.prev_size - huge != lead || size < f->w->rules.min_size || room < f->tail ||
        size > room - f->tail || (lead + size + f->tail) % f->w->target->who.page_size != 0)
        return false;
    *b = (struct hw_block){.address = start + lead,
                           .bytes = size,
                           .lead = lead,
                           .tail = (uint8_t)f->tail,
                           .arena = -1,
                           .bin = HW_BIN_UNKNOWN,
                           .state = HW_MMAPPED};
    return true;
}

/* memalign() to `a` puts the user pointer on the first or second multiple of `a` behind the start.
 */
static bool find_aligned(struct finder *f, hw_addr start, hw_addr end, struct hw_block *b)
{
    unsigned header = f->w->rules.header;
    for (uint64_t a = 2 * (uint64_t)f->w->rules.alignment; a && a < end - start; a *= 2) {
        hw_addr p = hw_align_up(start + header, a) - header;
        for (unsigned i = 0; i < 2; i++, p += a)
            if (p > start && p < end && is_mmapped(f, start, p - start, end, b))
                return true;
    }
    return false;
}

/* The mapping was moved: try the place in front of each page that the first header spans. */
static bool find_moved(struct finder *f, hw_addr start, struct chunk_header first, hw_addr end,
                       struct hw_block *b)
{
    unsigned header = f->w->rules.header;
    uint64_t page = f->w->target->who.page_size;
    if (f->effort < EVERY_LEAD)
        return false;
    for (uint64_t at = page; at < chunk_size(first) && at < end - start; at += page)
        if (is_mmapped(f, start, at - header, end, b))
            return true;
    return false;
}

/* 2.43 adds a header's size to mmapped_mem each time realloc() moves or resizes a mapping, so that
 * the count drifts upwards (mremap_chunk; measured). */
static bool bytes_agree(const struct finder *f)
{
    uint64_t counted = f->w->report->params.mmapped_bytes.n;
    if (!f->tail)
        return f->bytes == counted;
    return f->bytes <= counted && (counted - f->bytes) % f->tail == 0;
}

static bool all_found(const struct finder *f)
{
    return f->found.count == f->w->report->params.n_mmaps.n && bytes_agree(f);
}

/* Collect the chunks of a stretch, until as many and as much is found as mp_ counts. */
static int scan(struct finder *f, struct stretch s, struct hw_error *err)
{
    uint64_t page = f->w->target->who.page_size;
    hw_addr p = hw_align_up(s.start, page);
    while (p >= s.start && p < s.end && f->found.count < MAX_FOUND && !all_found(f)) {
        struct hw_block b;
        struct chunk_header h;
        bool maybe = header_at(f, p, s.end, &h) && (h.raw & CHUNK_FLAGS) == CHUNK_M;
        if (maybe && (find_aligned(f, p, s.end, &b) || find_moved(f, p, h, s.end, &b) ||
                      is_mmapped(f, p, 0, s.end, &b))) {
            if (!hw_vec_push(&f->found, b))
                return hw_fail(err, HW_ERR_NOMEM, "no memory for mmapped chunks");
            f->bytes += hw_mapping_bytes(&b);
            p += hw_mapping_bytes(&b);
        } else if (f->effort >= EVERY_PAGE) {
            p += page;
        } else {
            return HW_OK;
        }
    }
    return HW_OK;
}

/* The lowest region of any arena that ends behind `p`; NULL if there is none. */
static const struct region *region_behind(const struct walk *w, hw_addr p)
{
    const struct region *best = NULL;
    for (size_t i = 0; i < w->arenas.count; i++)
        for (size_t j = 0; j < w->arenas.data[i].regions.count; j++) {
            const struct region *r = &w->arenas.data[i].regions.data[j];
            if (r->end > p && (!best || r->start < best->start))
                best = r;
        }
    return best;
}

static int scan_map(struct finder *f, const struct hw_map *map, struct hw_error *err)
{
    int rc = HW_OK;
    hw_addr p = map->start;
    while (p < map->end && rc == HW_OK) {
        const struct region *r = region_behind(f->w, p);
        hw_addr end = r && r->start < map->end ? r->start : map->end;
        if (end > p)
            rc = scan(f, (struct stretch){p, end}, err);
        p = r && r->end > end ? r->end : map->end;
    }
    return rc;
}

static int scan_all(struct finder *f, struct hw_error *err)
{
    const struct hw_target *t = f->w->target;
    int rc = HW_OK;
    f->found.count = 0;
    f->bytes = 0;
    for (size_t i = 0; i < t->map_count && rc == HW_OK; i++) {
        const struct hw_map *map = &t->maps[i];
        bool candidate = (map->flags & HW_MAP_WRITE) && !(map->flags & HW_MAP_SHARED) &&
                         hw_map_is_anonymous(map) && !hw_map_stack_of(t, map);
        if (candidate)
            rc = scan_map(f, map, err);
    }
    return rc;
}

static void compare(const struct finder *f)
{
    const struct hw_params *p = &f->w->report->params;
    if (all_found(f)) {
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
    hw_report_add(
        f->w->report, HW_FINDING_MMAPPED_MISMATCH, -1, (struct hw_maybe){0}, hw_known(off),
        "found %zu mmapped chunks of %" PRIu64 " bytes, mp_ counts %" PRIu64 " of %" PRIu64,
        f->found.count, f->bytes, p->n_mmaps.n, p->mmapped_bytes.n);
}

/* Since 2.43 a small mapping may be in a tcache; mp_ still counts it. */
static void emit(struct walk *w, struct hw_block *b)
{
    size_t i = glibc_cached_from(w, b->address);
    if (i < w->cached.count && w->cached.data[i].address == b->address) {
        w->cached.data[i].seen = true;
        b->tid = w->cached.data[i].tid;
    }
    glibc_emit(w, b);
}

int glibc_walk_mmapped(struct walk *w, struct hw_error *err)
{
    const struct hw_params *p = &w->report->params;
    /* The new header came with the end of fastbins (malloc/malloc.c, 2.43). */
    struct finder f = {.w = w, .tail = hw_has(w->layout, GLIBC_F_FASTBINS) ? 0 : w->rules.header};
    if (p->n_mmaps.n == 0 && p->mmapped_bytes.n == 0)
        return HW_OK;
    int rc = HW_OK;
    for (f.effort = FOLLOW; f.effort <= EVERY_LEAD && rc == HW_OK && !all_found(&f); f.effort++)
        rc = scan_all(&f, err);
    if (rc == HW_OK)
        compare(&f);
    for (size_t i = 0; i < f.found.count && rc == HW_OK && !w->stopped; i++)
        emit(w, &f.found.data[i]);
    hw_vec_free(&f.found);
    return rc;
}
