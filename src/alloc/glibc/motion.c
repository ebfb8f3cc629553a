/*
 * What if the target runs while it is read? Then nothing that does not fit is damage for certain:
 * it is noted down (glibc_excuse()), looked at again, and in the end said for each arena whether it
 * is exact nevertheless. It is if
 *
 *     its malloc_state is the same before and after the walk, and was not locked
 *     the bins hold what was met, by their links (proof.c)
 *     tcaches and fastbins hold the same chunks of it before the walk and when all is over
 *     no place was met where chunks did not fit to each other
 *
 * Else it has moved, and one finding says by how much at least.
 *
 * The same members of malloc_state and the same cached chunks make the fingerprint of an arena, by
 * which two walks can be compared. Of what malloc and free do (malloc/malloc.c, 2.17 to 2.43)
 *
 *     it shows     a chunk that goes into a tcache or a fastbin, or out of it
 *                  a free chunk that is put in front of the unsorted bin: by free(), with what it
 *                  was merged with, and by malloc(), which splits a larger one and leaves a rest
 *                  a chunk taken from the end of a small bin, the first or last of any bin, the
 *                  only one
 *                  top and heaps: cut, grown, merged into, given back
 *     it does not  a chunk that leaves the middle of a bin and has no rest: malloc() that finds one
 *                  of that very size in a large bin, realloc() that takes in its free neighbour
 *                  a chunk that was sorted from the unsorted bin into the middle of a large one
 *                  memory that was free in between: two neighbours are freed, and given out as one
 *
 * The latter leave no trace but in the chunks themselves: who wants to see it has to read them all,
 * which is the walk. So what is called exact is so as far as this can tell.
 */
#include "alloc/glibc/glibc.h"

#include <inttypes.h>
#include <stdarg.h>

static uint64_t sum(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

bool glibc_excuse(struct walk *w, struct arena *a, uint64_t bytes)
{
    if (!glibc_moving(w))
        return false;
    struct motion *m = a ? &a->motion : &w->loose;
    m->places++;
    m->bytes = sum(m->bytes, bytes);
    return true;
}

static uint64_t distance(uint64_t a, uint64_t b)
{
    return a > b ? a - b : b - a;
}

/* ---- the state of an arena ------------------------------------------------------------------ */

/* A hash of what tells of chunks: not who holds the lock, what the next arena is, or who uses
 * it. */
static uint64_t digest_of(const struct walk *w, const struct hw_object *state)
{
    const struct hw_field *mutex = &w->layout->field[GLIBC_F_MUTEX];
    uint32_t next = w->layout->field[GLIBC_F_NEXT].offset;
    uint32_t system = w->layout->field[GLIBC_F_SYSTEM_MEM].offset;
    uint64_t digest = 0xcbf29ce484222325u;
    for (uint32_t i = 0; i < state->len; i++)
        if (i - mutex->offset >= mutex->size && !(i >= next && i < system))
            digest = (digest ^ state->bytes[i]) * 0x100000001b3u;
    return digest;
}

static struct snapshot snapshot(const struct walk *w, const struct arena *a,
                                const struct hw_object *state)
{
    hw_addr top = hw_fetch(state, GLIBC_F_TOP, 0);
    uint64_t system = hw_fetch(state, GLIBC_F_SYSTEM_MEM, 0);
    bool initial = top >= state->address && top - state->address < state->len;
    return (struct snapshot){.digest = digest_of(w, state),
                             .top = initial ? 0 : top,
                             .system_bytes =
                                 glibc_is_possible(w, system) ? system : a->system_bytes,
                             .locked = hw_fetch(state, GLIBC_F_MUTEX, 0) != 0};
}

static bool read_state(struct walk *w, hw_addr address, struct hw_object *state)
{
    return hw_object_read(state, w->layout, w->target, GLIBC_MALLOC_STATE, address, NULL) == HW_OK;
}

/* Where the main arena ends now, if it is one piece. */
static void refresh_main(struct walk *w, struct arena *a, struct hw_arena *row, hw_addr walked)
{
    if (w->g->curbrk && hw_read_word(w->target, w->g->curbrk, &w->brk, NULL) == HW_OK)
        row->brk = (struct hw_maybe){w->brk != 0, w->brk};
    struct region *r = &a->regions.data[0];
    if (!a->contiguous || r->start > UINT64_MAX - a->system_bytes)
        return;
    r->end = r->start + a->system_bytes;
    if (r->end < walked)
        r->end = walked;
    row->heaps.data[0].bytes = r->end - r->start;
}

/* Pieces of the main arena are looked for but once: what it has got since is not met. */
static void miss_pieces(struct walk *w, struct arena *a, uint64_t before)
{
    bool one_piece = a->contiguous && a->regions.count;
    if (a->main && !one_piece && a->system_bytes != before)
        glibc_excuse(w, a, distance(a->system_bytes, before));
}

int glibc_read_again(struct walk *w, unsigned index, size_t region, hw_addr walked,
                     struct hw_error *err)
{
    struct arena *a = &w->arenas.data[index];
    struct hw_arena *row = &w->report->arenas.data[index];
    struct hw_object state;
    if (!read_state(w, a->address, &state)) {
        glibc_excuse(w, a, 0);
        return HW_OK;
    }
    hw_object_deinit(&a->state);
    a->state = state;
    struct snapshot now = snapshot(w, a, &state);
    uint64_t before = a->system_bytes;
    a->top = row->top.address = now.top;
    if (!a->distrusted)
        a->system_bytes = now.system_bytes;
    hw_set(row->figures, HW_M_SYSTEM_BYTES, (int64_t)a->system_bytes);
    miss_pieces(w, a, before);
    if (region >= a->regions.count)
        return HW_OK;
    if (a->main) {
        refresh_main(w, a, row, walked);
        return HW_OK;
    }
    int rc = glibc_refresh_heaps(w, index, region, err);
    struct region *r = &a->regions.data[region];
    if (r->end < walked) {
        r->end = walked;
        row->heaps.data[region].bytes = r->end - r->start;
    }
    return rc;
}

/* ---- which arena what belongs to ------------------------------------------------------------ */

static int by_start(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    return x->start < y->start ? -1 : x->start > y->start;
}

static struct arena *arena_at(struct walk *w, hw_addr addr)
{
    size_t low = 0, high = w->places.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (w->places.data[middle].end <= addr)
            low = middle + 1;
        else
            high = middle;
    }
    bool inside = low < w->places.count && w->places.data[low].start <= addr;
    return inside ? &w->arenas.data[w->places.data[low].arena] : NULL;
}

static int list_places(struct walk *w, struct hw_error *err)
{
    for (unsigned i = 0; i < w->arenas.count; i++)
        for (size_t k = 0; k < w->arenas.data[i].regions.count; k++) {
            const struct region *r = &w->arenas.data[i].regions.data[k];
            if (!hw_vec_push(&w->places, (struct place){r->start, r->end, i}))
                return hw_fail(err, HW_ERR_NOMEM, "no memory for regions");
        }
    if (w->places.count)
        qsort(w->places.data, w->places.count, sizeof *w->places.data, by_start);
    return HW_OK;
}

static uint64_t cached_hash(const struct cached *c)
{
    return edge(c->address, (uint64_t)c->state + 1);
}

int glibc_prepare_motion(struct walk *w, struct hw_error *err)
{
    int rc = list_places(w, err);
    for (size_t i = 0; i < w->cached.count && rc == HW_OK; i++) {
        struct arena *a = arena_at(w, w->cached.data[i].address);
        if (a)
            a->cached_digest += cached_hash(&w->cached.data[i]);
    }
    return rc;
}

/* ---- before and after a walk ---------------------------------------------------------------- */

static uint64_t fingerprint(const struct arena *a)
{
    uint64_t print = edge(a->before.digest, a->cached_digest);
    for (size_t i = 0; i < a->regions.count; i++)
        print = edge(print ^ a->regions.data[i].start, a->regions.data[i].end);
    return print ? print : 1;
}

int glibc_begin_arena(struct walk *w, unsigned index, struct hw_error *err)
{
    struct arena *a = &w->arenas.data[index];
    struct hw_arena *row = &w->report->arenas.data[index];
    int rc = HW_OK;
    if (glibc_moving(w)) /* what was read before may be long ago */
        rc = glibc_read_again(w, index, 0, a->regions.count ? a->regions.data[0].first : 0, err);
    a->before = snapshot(w, a, &a->state);
    row->locked = a->before.locked;
    row->fingerprint = fingerprint(a);
    return rc;
}

/* What of an arena was given out, as blocks. */
static uint64_t given_bytes(const struct arena *a)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < a->regions.count; i++)
        bytes += a->regions.data[i].end - a->regions.data[i].start;
    return bytes - a->lost;
}

void glibc_end_arena(struct walk *w, unsigned index)
{
    struct arena *a = &w->arenas.data[index];
    struct hw_arena *row = &w->report->arenas.data[index];
    struct hw_object state;
    a->raced = glibc_moving(w);
    if (!a->raced || w->stopped)
        return;
    struct snapshot after = a->before;
    bool known = read_state(w, a->address, &state);
    if (known)
        after = snapshot(w, a, &state);
    hw_object_deinit(&state);
    a->moved = !known || after.digest != a->before.digest || after.locked || a->before.locked;
    a->motion.bytes = sum(a->motion.bytes, distance(after.system_bytes, a->before.system_bytes));
    if (a->regions.count == 1)
        a->motion.bytes = sum(a->motion.bytes, distance(after.top, a->before.top));
    /* Whatever moved, parts are not more than the whole. */
    uint64_t given = given_bytes(a), system = a->system_bytes;
    hw_set(row->figures, HW_M_SYSTEM_BYTES, (int64_t)(given > system ? given : system));
    row->top.bytes = a->top_bytes;
    row->fingerprint = fingerprint(a);
}

/* ---- when all is over ----------------------------------------------------------------------- */

/* Read the lists of tcaches and fastbins once more, by a walk that does nothing else. */
static int read_lists_again(struct walk *w, struct hw_error *err)
{
    struct walk *again = calloc(1, sizeof *again);
    struct hw_report *report = hw_report_create();
    int rc = HW_OK;
    if (!again || !report) {
        free(again);
        hw_report_destroy(report);
        return hw_fail(err, HW_ERR_NOMEM, "no memory to read lists again");
    }
    *again = (struct walk){.g = w->g, .target = w->target, .layout = w->layout, .rules = w->rules};
    again->report = report;
    again->mp = w->mp;
    again->link = w->link;
    again->private_bytes = w->private_bytes;
    again->arenas.data = w->arenas.data;
    again->arenas.count = w->arenas.count;
    again->seeker = w->seeker;
    for (size_t i = 0; i < w->arenas.count && rc == HW_OK; i++)
        if (!hw_vec_push(&report->arenas, (struct hw_arena){.index = (unsigned)i}))
            rc = hw_fail(err, HW_ERR_NOMEM, "no memory to read lists again");
    hw_seeker_reset(&again->seeker);
    if (rc == HW_OK)
        rc = glibc_read_tcaches(again, err);
    for (unsigned i = 0; i < w->arenas.count && rc == HW_OK; i++)
        if (w->arenas.data[i].raced && !w->arenas.data[i].moved)
            rc = glibc_read_fastbins(again, i, err);
    glibc_sort_cached(again);
    for (size_t i = 0; i < again->cached.count; i++) {
        struct arena *a = arena_at(w, again->cached.data[i].address);
        if (a)
            a->cached_later += cached_hash(&again->cached.data[i]);
    }
    w->seeker = again->seeker;
    hw_vec_free(&again->cached);
    hw_vec_free(&again->caches);
    hw_vec_free(&again->rows);
    hw_report_destroy(report);
    free(again);
    return rc;
}

/* So many of them are looked at. */
#define NEW_ARENAS 64

struct text {
    char s[320];
    size_t len;
};

static void __attribute__((format(printf, 2, 3))) append(struct text *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(t->s + t->len, sizeof t->s - t->len, fmt, ap);
    va_end(ap);
    if (n > 0)
        t->len += (size_t)n < sizeof t->s - t->len ? (size_t)n : sizeof t->s - t->len - 1;
}

static void tell(struct walk *w, unsigned index)
{
    struct arena *a = &w->arenas.data[index];
    struct hw_arena *row = &w->report->arenas.data[index];
    struct text t = {.len = 0};
    int64_t grown = (int64_t)(a->system_bytes - a->before.system_bytes);
    /* What the lists hold has changed since they were read, nobody knows how much of it. More than
     * all of the arena cannot be wrong, however often it was. */
    uint64_t off = sum(a->motion.bytes, a->cached_bytes);
    uint64_t all = (uint64_t)hw_get(row->figures, HW_M_SYSTEM_BYTES);
    all = a->before.system_bytes > all ? a->before.system_bytes : all;
    off = off < all ? off : all;
    row->moved = true;
    row->fingerprint = 0;
    append(&t, "arena %u changed while it was read", index);
    if (a->motion.places)
        append(&t, ", %" PRIu64 " place%s did not fit", a->motion.places,
               a->motion.places == 1 ? "" : "s");
    if (a->lost)
        append(&t, ", %" PRIu64 " bytes are not accounted for", a->lost);
    if (grown)
        append(&t, ", it %s by %" PRIu64 " bytes", grown > 0 ? "grew" : "shrank",
               (uint64_t)(grown > 0 ? grown : -grown));
    if (off)
        append(&t, ": %" PRIu64 " bytes, %.1f%% of it, or more may be counted wrongly", off,
               100.0 * (double)off / (double)all);
    else
        append(&t, ": its figures are about right");
    hw_report_add(w->report, HW_FINDING_MOVED, (int)index, (struct hw_maybe){0}, hw_known(off),
                  "%s", t.s);
}

/* Cached chunks that the walk did not meet have been used since, or their lists were not what they
 * seemed. */
static void note_unseen(struct walk *w)
{
    for (size_t i = 0; i < w->cached.count; i++) {
        struct cached *c = &w->cached.data[i];
        struct arena *a = c->seen ? NULL : arena_at(w, c->address);
        if (c->seen || (a && !a->raced) || !glibc_excuse(w, a, 0))
            continue;
        c->seen = true;
    }
}

/* Arenas that came to be since: a new one is put right behind the main arena. */
static void note_new_arenas(struct walk *w)
{
    hw_addr first = w->arenas.count > 1 ? w->arenas.data[1].address : w->g->main_arena;
    hw_addr at = w->g->main_arena;
    for (unsigned i = 0; i <= NEW_ARENAS; i++) {
        struct hw_object state;
        bool known = read_state(w, at, &state);
        uint64_t bytes = known && i ? hw_fetch(&state, GLIBC_F_SYSTEM_MEM, 0) : 0;
        at = known ? hw_fetch(&state, GLIBC_F_NEXT, 0) : first;
        hw_object_deinit(&state);
        if (i)
            glibc_excuse(w, NULL, glibc_is_possible(w, bytes) ? bytes : 0);
        if (at == first || at == w->g->main_arena)
            break;
    }
}

int glibc_settle_motion(struct walk *w, struct hw_error *err)
{
    bool doubt = false;
    int rc = HW_OK;
    if (!glibc_moving(w))
        return HW_OK;
    note_unseen(w);
    note_new_arenas(w);
    for (size_t i = 0; i < w->arenas.count; i++) {
        struct arena *a = &w->arenas.data[i];
        a->moved |= a->motion.places > 0;
        doubt |= a->raced && !a->moved;
    }
    if (doubt) {
        glibc_report_unseen(w);
        hw_vec_free(&w->cached); /* there may be as many again */
        rc = read_lists_again(w, err);
    }
    for (unsigned i = 0; i < w->arenas.count; i++) {
        struct arena *a = &w->arenas.data[i];
        bool same = !a->raced || (a->motion.places == 0 && a->cached_digest == a->cached_later);
        if (a->moved || !same)
            tell(w, i);
    }
    if (w->loose.bytes > w->private_bytes)
        w->loose.bytes = w->private_bytes;
    if (w->loose.places)
        hw_report_add(w->report, HW_FINDING_MOVED, -1, (struct hw_maybe){0},
                      hw_known(w->loose.bytes),
                      "tcaches, mmapped chunks or the list of arenas changed while they were read, "
                      "%" PRIu64 " time%s; %" PRIu64 " bytes or more may be counted wrongly",
                      w->loose.places, w->loose.places == 1 ? "" : "s", w->loose.bytes);
    return rc;
}
