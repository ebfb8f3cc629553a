/*
 * Roots by what stands in data: two finders, which look for the same things in different bytes.
 *
 *     table   libc's .data as its file initialises it (main_arena and mp_ have initial values)
 *     scan    its .data as it stands in the target's memory, for cores without any file
 *
 * main_arena, before its first use: zeros, but for `next`, which points to main_arena itself, and
 * attached_threads, which is 1. From then on its bins tell: an empty one points to itself, and the
 * last one is never used.
 *
 *                   B - H     B                          B + 254 words      + 16
 *     candidate --> | header  | bin 1 | bin 2 | ... | bin 127 | binmap | next |  ...
 *                                                     ^ both words point 2 words below the first
 *
 * Only H differs between versions. The right one is that by which the ring of arenas comes back to
 * where it began; where damage has broken the ring, that by which mp_ fits.
 */
#include "alloc/glibc/roots.h"

#include "base/vec.h"
#include "symbols/initial.h"

#include <string.h>

#define DATA_MAX    ((size_t)64 << 20) /* of all segments that are looked at */
#define CLOSED_RING 1000               /* is worth more than anything that mp_ says */
#define ATTEMPTS    3
#define ANCHORS_MAX 4096           /* pairs that look like bin 127 before we give up */
#define FOUND_MAX   4096           /* arenas; a libc has one */
#define MP_BYTES    (3 * DATA_MAX) /* to go through for mp_, for all candidates together */

/* Bytes that are searched. */
struct data {
    hw_addr start;
    uint8_t *bytes;
    size_t len;
};

struct candidate {
    struct glibc_sighting main;
    hw_addr address;
    glibc_era_set eras;
    bool broken; /* its ring does not come back: believed only if mp_ says the same */
};

struct search {
    const struct glibc_search *where;
    HW_VEC(struct data) data;
    size_t bytes; /* in `data` */
    HW_VEC(struct candidate) found;
    unsigned anchors;
    size_t budget; /* of MP_BYTES */
};

static void release(struct search *s)
{
    for (size_t i = 0; i < s->data.count; i++)
        free(s->data.data[i].bytes);
    hw_vec_free(&s->data);
    hw_vec_free(&s->found);
}

static int out_of_memory(struct hw_error *err)
{
    return hw_fail(err, HW_ERR_NOMEM, "no memory to search libc's data");
}

/* Takes over `bytes`. */
static int add_data(struct search *s, hw_addr start, uint8_t *bytes, size_t len,
                    struct hw_error *err)
{
    s->bytes += len;
    if (hw_vec_push(&s->data, (struct data){start, bytes, len}))
        return HW_OK;
    free(bytes);
    return out_of_memory(err);
}

static int add_candidate(struct search *s, struct candidate c, struct hw_error *err)
{
    for (size_t i = 0; i < s->found.count; i++) {
        if (s->found.data[i].address == c.address) { /* in two variants: not to be told apart */
            s->found.data[i].eras |= c.eras;
            return HW_OK;
        }
    }
    if (s->found.count >= FOUND_MAX)
        return HW_OK;
    return hw_vec_push(&s->found, c) ? HW_OK : out_of_memory(err);
}

/* Bytes in a word of the target. */
static unsigned word_of(const struct search *s)
{
    return s->where->target->who.machine->word;
}

/* ---- main_arena as initialised --------------------------------------------------------------- */

static bool is_initial(const struct data *d, size_t at, enum glibc_variant v, unsigned word)
{
    size_t next = (size_t)glibc_variant_offset(v, GLIBC_F_NEXT);
    size_t attached = (size_t)glibc_variant_offset(v, GLIBC_F_ATTACHED); /* -1: none */
    size_t size = glibc_variant_size(v);
    if (size > d->len - at || hw_word(d->bytes + at + next, word) != d->start + at)
        return false;
    for (size_t i = 0; i < size; i += word)
        if (i != next && hw_word(d->bytes + at + i, word) != (i == attached))
            return false;
    return true;
}

static int find_initial(struct search *s, const struct data *d, enum glibc_variant v,
                        struct hw_error *err)
{
    int rc = HW_OK;
    for (size_t at = 0; at < d->len && rc == HW_OK; at += word_of(s)) {
        struct candidate c = {.main = {.state = v, .sbrk_base_known = true},
                              .address = d->start + at,
                              .eras = glibc_eras_with(v)};
        if (is_initial(d, at, v, word_of(s)))
            rc = add_candidate(s, c, err);
    }
    return rc;
}

/* ---- main_arena in use ----------------------------------------------------------------------- */

/* Bin 127 at `at`: the arena around it, if there is one. */
static int try_anchor(struct search *s, const struct data *d, size_t at, enum glibc_variant v,
                      struct hw_error *err)
{
    size_t before = (size_t)glibc_variant_offset(v, GLIBC_F_BINS) + 252 * (size_t)word_of(s);
    struct candidate c = {.address = d->start + at - before, .eras = glibc_eras_with(v)};
    struct hw_target *t = s->where->target;
    if (at < before || !glibc_sight_main_arena(t, c.address, v, &c.main))
        return HW_OK;
    enum glibc_ring ring = glibc_follow_ring(t, c.address, v, &c.eras);
    if (ring == GLIBC_RING_MISSED)
        return HW_OK;
    c.broken = ring == GLIBC_RING_BROKEN;
    return add_candidate(s, c, err);
}

static int find_used(struct search *s, const struct data *d, enum glibc_variant v,
                     struct hw_error *err)
{
    int rc = HW_OK;
    size_t word = word_of(s), pair = 2 * word;
    for (size_t at = 0; at + pair <= d->len && rc == HW_OK && s->anchors < ANCHORS_MAX;
         at += word) {
        const uint8_t *here = d->bytes + at;
        hw_addr head = d->start + at - pair;
        if (hw_word(here, (unsigned)word) != head || hw_word(here + word, (unsigned)word) != head)
            continue;
        /* Nearly all of these pairs are empty bins, so rather look at what follows: no bin. */
        if (at + 2 * pair <= d->len && hw_word(here + pair, (unsigned)word) == d->start + at)
            continue;
        s->anchors++;
        rc = try_anchor(s, d, at, v, err);
    }
    return rc;
}

/* ---- both ------------------------------------------------------------------------------------ */

static int search_mp(struct search *s, const struct candidate *c, const struct glibc_sighting *main,
                     struct glibc_roots *ret)
{
    *ret = (struct glibc_roots){.main_arena = c->address, .eras = c->eras};
    for (size_t i = 0; i < s->data.count; i++) {
        const struct data *d = &s->data.data[i];
        s->budget -= d->len < s->budget ? d->len : s->budget;
        if (!s->budget)
            break;
        int score = glibc_search_mp(d->bytes, d->len, d->start, main, ret);
        if (score)
            return score;
    }
    ret->mp = 0;
    return 0;
}

/* mp_ stands in the same segment; its place is searched anew for each candidate, as sbrk_base
 * depends on it. Where nothing fits that, top may be damaged: then mp_ by its other values. Returns
 * its score, 0 if it is not found. */
static int find_mp(struct search *s, const struct candidate *c, struct glibc_roots *ret)
{
    int score = search_mp(s, c, &c->main, ret);
    return score || c->broken ? score : search_mp(s, c, NULL, ret);
}

/* How good a candidate is: its ring closes and it has an mp_ and is used; or it is damaged, and mp_
 * fits. Negative: not to be believed. */
static int rank_of(const struct candidate *c, int mp_score)
{
    if (c->broken)
        return mp_score && c->main.sbrk_base ? mp_score : -1;
    return CLOSED_RING + 2 * (mp_score > 0) + c->main.used;
}

/* The best candidate. None is better than one of two, or of many that were not all compared. */
static void choose(struct search *s, struct glibc_roots *ret)
{
    int best = -1;
    bool unique = false;
    s->budget = MP_BYTES;
    for (size_t i = 0; i < s->found.count && s->budget; i++) {
        struct glibc_roots r;
        const struct candidate *c = &s->found.data[i];
        int rank = rank_of(c, find_mp(s, c, &r));
        if (rank < best || rank < 0)
            continue;
        unique = rank > best;
        if (unique)
            *ret = r;
        best = rank;
    }
    if (!unique || !s->budget)
        *ret = (struct glibc_roots){0};
}

static int search_data(struct search *s, bool memory, struct glibc_roots *ret, struct hw_error *err)
{
    int rc = HW_OK;
    for (size_t i = 0; i < s->data.count; i++)
        for (unsigned v = GLIBC_NO_STRUCT + 1; v < GLIBC_VARIANTS_ && rc == HW_OK; v++) {
            if (glibc_variant_struct(v) != GLIBC_MALLOC_STATE ||
                glibc_variant_word(v) != word_of(s))
                continue;
            rc = find_initial(s, &s->data.data[i], v, err);
            if (rc == HW_OK && memory)
                rc = find_used(s, &s->data.data[i], v, err);
        }
    if (rc == HW_OK)
        choose(s, ret);
    return rc;
}

static int read_initial(struct search *s, struct hw_error *err)
{
    hw_addr start, end;
    int rc = HW_OK;
    for (size_t i = 0; hw_module_data(s->where->mod, i, &start, &end) && rc == HW_OK; i++) {
        if (end - start > DATA_MAX - s->bytes)
            continue;
        uint8_t *bytes = malloc((size_t)(end - start));
        if (!bytes)
            return out_of_memory(err);
        size_t n = hw_module_initial(s->where->mod, start, bytes, (size_t)(end - start));
        rc = add_data(s, start, bytes, n, err);
    }
    return rc;
}

/* What can be read of one mapping, hole by hole. */
static int read_map(struct search *s, const struct hw_map *map, struct hw_error *err)
{
    struct hw_target *t = s->where->target;
    hw_addr p = map->start;
    int rc = HW_OK;
    while (p < map->end && rc == HW_OK) {
        size_t wanted = (size_t)(map->end - p);
        uint8_t *bytes = malloc(wanted);
        if (!bytes)
            return out_of_memory(err);
        ssize_t n = hw_read(t, p, bytes, wanted, NULL);
        if (n <= 0) {
            free(bytes);
            p = hw_align_down(p, t->who.page_size) + t->who.page_size;
            continue;
        }
        rc = add_data(s, p, bytes, (size_t)n, err);
        p += (size_t)n;
    }
    return rc;
}

/* main_arena has initial values, so it lies in a mapping of the file and never in .bss. */
static int read_memory(struct search *s, struct hw_error *err)
{
    const struct hw_target *t = s->where->target;
    const struct hw_module *mod = s->where->mod;
    int rc = HW_OK;
    for (size_t i = 0; i < t->map_count && rc == HW_OK; i++) {
        const struct hw_map *map = &t->maps[i];
        if (map->start >= mod->start && map->end <= mod->end && (map->flags & HW_MAP_WRITE) &&
            map->end - map->start <= DATA_MAX - s->bytes && !hw_map_is_anonymous(map))
            rc = read_map(s, map, err);
    }
    return rc;
}

static int find_in_file(const struct glibc_search *where, struct glibc_roots *ret,
                        struct hw_error *err)
{
    struct search s = {.where = where};
    int rc = read_initial(&s, err);
    if (rc == HW_OK)
        rc = search_data(&s, false, ret, err);
    release(&s);
    return rc;
}

static int find_in_memory(const struct glibc_search *where, struct glibc_roots *ret,
                          struct hw_error *err)
{
    int rc = HW_OK;
    /* What changes under our eyes may contradict itself. */
    unsigned attempts = where->target->who.kind == HW_TARGET_LIVE ? ATTEMPTS : 1;
    *ret = (struct glibc_roots){0};
    for (unsigned i = 0; i < attempts && rc == HW_OK && !ret->mp; i++) {
        struct search s = {.where = where};
        rc = read_memory(&s, err);
        if (rc == HW_OK)
            rc = search_data(&s, true, ret, err);
        release(&s);
    }
    return rc;
}

const struct glibc_finder glibc_finder_table = {"table", find_in_file};
const struct glibc_finder glibc_finder_scan = {"scan", find_in_memory};
