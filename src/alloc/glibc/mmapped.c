/*
 * Chunks with a mapping of their own. glibc keeps no list of them, only how many there are and how
 * many bytes were mapped (mp_.n_mmaps, mp_.mmapped_mem); both must come out.
 *
 *     start                  start + lead
 *     +----------------------+----------+---------------------------+
 *     | lead                 |   lead   | size |M | user data ...    |
 *     +----------------------+----------+---------------------------+
 *     |<------------------ page multiple, the mapping ------------->|
 *                            |<--------------- size -------------->|   up to glibc 2.42
 *                            |<--------- size --------->|<- tail ->|   since 2.43
 *
 * The lead is what aligns the user pointer: nothing, or, where a header is shorter than the
 * alignment (i386 since 2.26), 8 bytes; more after memalign(). Since 2.43 the size does not count
 * the last header, as in a heap: the program may write behind it. And bit 0 of the first word says
 * that the mapping is of huge pages.
 *
 * Mappings begin on page boundaries, and the kernel joins neighbouring ones, so a chunk is
 * recognised by what stands at a page start: M alone is set, and lead, size and tail make a page
 * multiple that fits. Behind one there may be another.
 *
 * After memalign() the first header is left behind, unused and looking right; the real one stands
 * where its prev_size says how far it is from the start: at the first or second multiple of the
 * alignment, unless realloc() has since moved the mapping, which keeps only the place in the page.
 *
 * So there are several efforts, each made only if the ones before did not find what mp_ counts, and
 * those that look at every page of everybody's memory have a budget: the target stands still.
 */
#include "alloc/glibc/mmapped.h"

#define MAX_FOUND ((size_t)1 << 20)

/* Pages to look at in all efforts together. Each costs about a microsecond, of a live target's
 * time. */
#define PROBES_LIVE ((uint64_t)1 << 17) /* 512 MiB */
#define PROBES_CORE ((uint64_t)1 << 24)
/* Pages without data to pass over: much cheaper. */
#define SKIPS ((uint64_t)1 << 22)

/* Chunks that were never smaller than that are the likelier ones (DEFAULT_MMAP_THRESHOLD_MIN). */
#define USUAL_BYTES ((uint64_t)128 << 10)

static const struct effort efforts[] = {
    {.reach = 1},
    {.reach = 1, .split = true},
    {.reach = 64}, /* the kernel has joined it with a small mapping of somebody else */
    {.reach = UINT64_MAX},
    {.reach = UINT64_MAX, .split = true, .every_lead = true, .lenient = true},
};
#define EFFORTS (sizeof efforts / sizeof *efforts)

#define NEAR_BYTES ((size_t)2 * 4096)

static bool header_at(struct finder *f, hw_addr p, hw_addr end, struct chunk_header *h)
{
    const uint8_t *bytes = NULL;
    if (p < end && end - p >= f->w->rules.header)
        bytes = hw_window_at(&f->near, p, f->w->rules.header, end);
    if (bytes)
        *h = chunk_decode(&f->w->rules, bytes);
    return bytes != NULL;
}

/* A header at the start of a mapping, real or left behind: what it says of the mapping's size, or
 * 0. (Since 2.43 bit 0 of the first word says that the mapping is of huge pages.) */
static uint64_t first_header(struct finder *f, hw_addr p, hw_addr end)
{
    struct chunk_header h;
    uint64_t page = f->w->target->who.page_size;
    if (!header_at(f, p + f->lead, end, &h) || h.prev_size - f->lead > (f->tail ? 1 : 0) ||
        (h.raw & CHUNK_FLAGS) != CHUNK_M)
        return 0;
    uint64_t mapped = f->lead + chunk_size(h) + f->tail;
    return mapped >= page && mapped % page == 0 ? mapped : 0;
}

/* Can one chunk span [start, end)? What malloc maps is readable and writable, and mostly stays so.
 */
static bool is_whole(const struct finder *f, hw_addr start, hw_addr end)
{
    const struct hw_target *t = f->w->target;
    const unsigned usual = HW_MAP_READ | HW_MAP_WRITE;
    if (f->effort->split)
        return true;
    const struct hw_map *map = hw_map_at(t, start);
    for (; map && map < t->maps + t->map_count && map->start < end; map++)
        if ((map->flags & usual) != usual)
            return false;
    return map != NULL;
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
        size > room - f->tail || (lead + size + f->tail) % f->w->target->who.page_size != 0 ||
        !is_whole(f, start, start + lead + size + f->tail))
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
 * The first header spans `mapped` bytes, and the real one lies inside of that. */
static bool find_aligned(struct finder *f, hw_addr start, uint64_t mapped, hw_addr end,
                         struct hw_block *b)
{
    unsigned header = f->w->rules.header;
    for (uint64_t a = 2 * (uint64_t)f->w->rules.alignment; a < mapped; a *= 2) {
        hw_addr p = hw_align_up(start + f->lead + header, a) - header;
        for (unsigned i = 0; i < 2; i++, p += a)
            if (p > start + f->lead && p - start < mapped &&
                is_mmapped(f, start, p - start, end, b))
                return true;
    }
    return false;
}

/* The mapping was moved: try the place in front of each page that the first header spans, where an
 * image has something: a header may claim all of memory. */
static bool find_moved(struct finder *f, hw_addr start, uint64_t mapped, hw_addr end,
                       struct hw_block *b)
{
    unsigned header = f->w->rules.header;
    uint64_t page = f->w->target->who.page_size;
    for (uint64_t at = page; at < mapped && f->probes; at += page, f->probes--) {
        hw_addr until, p = start + at - header;
        if (hw_target_extent(f->w->target, p, end, &until) != HW_EXTENT_DATA)
            at = hw_align_up(until + header - start, page) - page;
        else if (is_mmapped(f, start, at - header, end, b))
            return true;
    }
    return false;
}

static int add(struct finder *f, const struct hw_block *b, struct hw_error *err)
{
    if (!hw_vec_push(&f->found, *b))
        return hw_fail(err, HW_ERR_NOMEM, "no memory for mmapped chunks");
    f->bytes += hw_mapping_bytes(b);
    return HW_OK;
}

/* The chunk whose mapping begins at p, if there is one. */
static bool chunk_at(struct finder *f, hw_addr p, hw_addr end, struct hw_block *b)
{
    uint64_t mapped = first_header(f, p, end);
    if (mapped > end - p) /* realloc() has made it smaller since */
        mapped = end - p;
    return mapped && (find_aligned(f, p, mapped, end, b) ||
                      (f->effort->every_lead && find_moved(f, p, mapped, end, b)) ||
                      is_mmapped(f, p, f->lead, end, b));
}

/*
 * Collect the chunks that begin in [from, until); they may reach up to `end`. Until as many and as
 * much is found as mp_ counts. Returns where it stopped, through *from.
 */
static int scan(struct finder *f, hw_addr *from, hw_addr until, hw_addr end, struct hw_error *err)
{
    uint64_t page = f->w->target->who.page_size;
    uint64_t reach = f->effort->reach;
    int rc = HW_OK;
    while (rc == HW_OK && !glibc_mmapped_found(f) && f->found.count < MAX_FOUND && f->probes &&
           reach) {
        struct hw_block b;
        hw_addr limit = reach < (until - *from) / page ? *from + (reach - 1) * page + 1 : until;
        hw_addr p = glibc_next_page(f->w, *from, limit, &f->skips);
        if (p >= limit || p >= until)
            break;
        f->probes--;
        if (chunk_at(f, p, end, &b)) {
            rc = add(f, &b, err);
            *from = p + hw_mapping_bytes(&b);
            reach = f->effort->reach;
        } else if (reach > 1 && p + page > p) {
            reach -= reach == UINT64_MAX ? 0 : (p - *from) / page + 1;
            *from = p + page;
        } else {
            break;
        }
    }
    return rc;
}

/* What no arena occupies of one mapping; a chunk may reach into the mappings behind it. */
static int scan_map(struct finder *f, const struct hw_map *map, hw_addr *done, struct hw_error *err)
{
    int rc = HW_OK;
    struct span span;
    hw_addr from = map->start > *done ? map->start : *done;
    while (from < map->end && rc == HW_OK && glibc_next_unknown(f->w, &from, &span) &&
           span.start < map->end) {
        hw_addr until = span.end < map->end ? span.end : map->end;
        *done = span.start;
        rc = scan(f, done, until, span.end, err);
    }
    return rc;
}

static int scan_all(struct finder *f, struct hw_error *err)
{
    const struct hw_target *t = f->w->target;
    hw_addr done = 0;
    int rc = HW_OK;
    f->found.count = 0;
    f->bytes = 0;
    for (size_t i = 0; i < t->map_count && rc == HW_OK && f->probes && f->skips; i++) {
        const struct hw_map *map = &t->maps[i];
        if (!(map->flags & HW_MAP_SHARED) && hw_map_is_anonymous(map) && map->end > done)
            rc = scan_map(f, map, &done, err);
    }
    return rc;
}

/* Memory of others may look like a chunk: where there are more than mp_ counts, small ones go
 * first. */
static void drop_surplus(struct finder *f)
{
    uint64_t wanted = f->w->report->params.n_mmaps.n;
    size_t kept = 0, surplus = f->found.count > wanted ? f->found.count - (size_t)wanted : 0;
    for (size_t i = 0; i < f->found.count; i++) {
        const struct hw_block *b = &f->found.data[i];
        if (surplus && hw_mapping_bytes(b) <= USUAL_BYTES) {
            f->bytes -= hw_mapping_bytes(b);
            surplus--;
        } else {
            f->found.data[kept++] = *b;
        }
    }
    f->found.count = kept;
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

/* How far the number of chunks found is from what mp_ counts. */
static uint64_t distance(const struct finder *f)
{
    uint64_t wanted = f->w->report->params.n_mmaps.n;
    return f->found.count > wanted ? f->found.count - wanted : wanted - f->found.count;
}

/* Make one effort after the other until all is found; otherwise keep what came nearest. */
static int search(struct finder *f, struct hw_error *err)
{
    size_t best = 0;
    uint64_t best_distance = UINT64_MAX;
    for (size_t i = 0; i < EFFORTS; i++) {
        f->effort = &efforts[i];
        glibc_count_mmapped(f->w);
        int rc = scan_all(f, err);
        if (rc == HW_OK && !glibc_mmapped_found(f))
            drop_surplus(f);
        if (rc != HW_OK || glibc_mmapped_found(f))
            return rc;
        if (distance(f) < best_distance) {
            best = i;
            best_distance = distance(f);
        }
    }
    if (best == EFFORTS - 1 || efforts[best].reach == UINT64_MAX)
        return HW_OK; /* the last one was as good, or it is too dear to repeat */
    f->effort = &efforts[best];
    f->probes += PROBES_LIVE; /* only starts of mappings are looked at */
    int rc = scan_all(f, err);
    drop_surplus(f);
    return rc;
}

int glibc_walk_mmapped(struct walk *w, struct hw_error *err)
{
    const struct hw_params *p = &w->report->params;
    bool live = w->target->who.kind == HW_TARGET_LIVE;
    /* The new header came with the end of fastbins (malloc/malloc.c, 2.43). */
    struct finder f = {.w = w,
                       .probes = live ? PROBES_LIVE : PROBES_CORE,
                       .skips = SKIPS,
                       .lead = w->rules.alignment - w->rules.header,
                       .tail = hw_has(w->layout, GLIBC_F_FASTBINS) ? 0 : w->rules.header};
    if (p->n_mmaps.n == 0 && p->mmapped_bytes.n == 0)
        return HW_OK;
    int rc = hw_window_init(&f.near, w->target, NEAR_BYTES, err);
    if (rc == HW_OK)
        rc = search(&f, err);
    if (rc == HW_OK)
        glibc_mmapped_report(&f);
    for (size_t i = 0; i < f.found.count && rc == HW_OK && !w->stopped; i++)
        emit(w, &f.found.data[i]);
    glibc_flush(w);
    hw_window_deinit(&f.near);
    hw_vec_free(&f.found);
    return rc;
}
