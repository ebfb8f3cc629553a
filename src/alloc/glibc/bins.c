/*
 * The unsorted, small and large bins: circular, doubly linked lists of free chunks that are merged
 * with their neighbours. bins[] holds a pair of links for each; a bin's head is a fake chunk placed
 * so that its fd and bk are that pair. Bin 1 is the unsorted one (malloc/malloc.c, "Bins").
 *
 * The linear walk finds the same chunks by their headers. Both sums are kept and compared.
 *
 * Bounded: what heads and links lead to may be the list of another arena, as often as there are
 * arenas. So a chunk that does not point back has to lie in the arena, the head of no other is
 * passed, and all lists together have no more steps than there is room for chunks.
 */
#include "alloc/glibc/check.h"

#include <inttypes.h>
#include <stdio.h>

/* Something there was found to be bad: what else is wrong with it comes of that. Few findings of
 * each kind are kept; those that are only counted need not be told apart. */
static bool is_blamed(const struct walk *w, unsigned arena, hw_addr at)
{
    const struct hw_report *r = w->report;
    if (r->finding_counts[HW_FINDING_BAD_LIST] > HW_FINDINGS_KEPT)
        return false;
    for (size_t i = 0; i < r->findings.count; i++) {
        const struct hw_finding *f = &r->findings.data[i];
        bool is_bad = f->kind == HW_FINDING_BAD_CHUNK || f->kind == HW_FINDING_BAD_LIST;
        if (is_bad && f->arena == (int)arena && f->address.known && f->address.n == at)
            return true;
    }
    return false;
}

void glibc_bad_bin(struct walk *w, unsigned arena, unsigned bin, hw_addr at, const char *what,
                   hw_addr to)
{
    char link[32] = "";
    if (glibc_excuse(w, &w->arenas.data[arena], 0))
        return;
    w->bin_flaws++;
    if (is_blamed(w, arena, at))
        return;
    if (to)
        snprintf(link, sizeof link, ", it is %#" PRIx64, to);
    hw_report_break(w->report, HW_INVARIANT_BINS, HW_FINDING_BAD_LIST, (int)arena, hw_known(at),
                    (struct hw_maybe){0}, "bin %u of arena %u: %s at %#" PRIx64 "%s", bin, arena,
                    what, at, link);
}

/* No chunk of the arena is larger. */
static uint64_t largest(const struct walk *w, unsigned arena)
{
    const struct arena *a = &w->arenas.data[arena];
    return glibc_moving(w) || a->distrusted ? w->private_bytes : a->system_bytes;
}

uint64_t glibc_listed_size(const struct walk *w, unsigned arena, struct chunk_header h)
{
    uint64_t size = chunk_size(h);
    return size <= largest(w, arena) ? size : 0;
}

static void count_chunk(struct hw_list *list, struct chunk_header h, uint64_t size)
{
    if (list->chunks == 0 || h.raw < list->from)
        list->from = h.raw;
    if (h.raw > list->to)
        list->to = h.raw;
    list->chunks++;
    list->bytes += size;
    list->raw_bytes += h.raw;
}

/* One for each place where a chunk can be, and as many again for what is followed from both
 * ends. */
static bool spend(struct walk *w, uint64_t steps)
{
    uint64_t limit = 2 * (w->private_bytes / w->rules.min_size) + 4096;
    w->bin_steps += steps;
    return w->bin_steps <= limit;
}

/* A list that is followed, forward by fd or back by bk. */
struct list {
    unsigned arena, bin;
    hw_addr head;
    bool back;
};

/* The chunk and its links; false if there is none. */
static bool read_chunk(struct walk *w, hw_addr chunk, struct binned *ret)
{
    const struct chunk_rules *r = &w->rules;
    const uint8_t *bytes = NULL;
    if ((chunk + r->header) % r->alignment == 0)
        bytes = hw_seeker_at(&w->seeker, chunk, 6 * r->word);
    if (!bytes) /* the last of all memory may have no room for a large one's links */
        return false;
    struct chunk_header links = chunk_decode(r, bytes + r->header);
    struct chunk_header sizes = chunk_decode(r, bytes + 2 * r->header);
    *ret = (struct binned){.chunk = chunk,
                           .h = chunk_decode(r, bytes),
                           .fd = links.prev_size,
                           .bk = links.raw,
                           .smaller = sizes.prev_size,
                           .larger = sizes.raw};
    return true;
}

/* Where the arena's own chunks are. The pieces of the main one are perhaps not known yet: then all
 * that is not taken by others. */
static bool lies_in_arena(struct walk *w, unsigned arena, hw_addr chunk)
{
    const struct arena *a = &w->arenas.data[arena];
    if (glibc_moving(w))
        return true;
    if (a->main && a->regions.count == 0)
        return glibc_stretch_end(w, chunk) && glibc_room_end(w, chunk) > chunk;
    if (!spend(w, a->regions.count))
        return false;
    for (size_t i = 0; i < a->regions.count; i++)
        if (chunk >= a->regions.data[i].first && chunk < a->regions.data[i].end)
            return true;
    return false;
}

/* That its neighbour on the other side points back shows that something is a chunk. */
static bool is_known_behind(struct walk *w, const struct list *l, const struct binned *c)
{
    struct binned next;
    hw_addr behind = l->back ? c->bk : c->fd;
    uint64_t word;
    if (behind == l->head)
        return hw_read_word(w->target, l->head + (l->back ? 2 : 3) * w->rules.word, &word, NULL) ==
                   HW_OK &&
               word == c->chunk;
    return read_chunk(w, behind, &next) && (l->back ? next.fd : next.bk) == c->chunk;
}

static bool size_is_possible(const struct walk *w, const struct list *l, uint64_t size)
{
    return size >= w->rules.min_size && size % w->rules.alignment == 0 &&
           size <= largest(w, l->arena) &&
           (l->bin < 2 || chunk_bin_index(&w->rules, size) == l->bin);
}

/* Its size stands once more behind it, and there it is free. */
static bool has_footer(struct walk *w, const struct binned *c)
{
    uint64_t size = chunk_size(c->h);
    const uint8_t *bytes = c->chunk + size > c->chunk
                               ? hw_seeker_at(&w->seeker, c->chunk + size, w->rules.header)
                               : NULL;
    if (!bytes)
        return false;
    struct chunk_header behind = chunk_decode(&w->rules, bytes);
    return behind.prev_size == size && !(behind.raw & CHUNK_P);
}

enum judgement { GOOD, FLAWED, NOT_A_CHUNK };

/* The link that is followed next will tell what is wrong. */
static enum judgement accept_unlinked(struct walk *w, hw_addr chunk)
{
    if (w->unlinked_count < UNLINKED_MAX)
        w->unlinked[w->unlinked_count++] = chunk;
    return GOOD;
}

bool glibc_is_unlinked(const struct walk *w, hw_addr chunk)
{
    for (unsigned i = 0; i < w->unlinked_count; i++)
        if (w->unlinked[i] == chunk)
            return true;
    return false;
}

/* What the link of `prev` leads to. A chunk that has a flaw is one all the same, and what it is is
 * reported. */
static enum judgement judge(struct walk *w, const struct list *l, hw_addr prev,
                            const struct binned *c)
{
    bool sized = size_is_possible(w, l, chunk_size(c->h));
    bool points_back = (l->back ? c->fd : c->bk) == prev;
    if (sized && points_back)
        return GOOD;
    if (!lies_in_arena(w, l->arena, c->chunk))
        return NOT_A_CHUNK;
    if (!points_back && !(sized && is_known_behind(w, l, c)))
        return sized && has_footer(w, c) ? accept_unlinked(w, c->chunk) : NOT_A_CHUNK;
    glibc_bad_bin(w, l->arena, l->bin, c->chunk,
                  points_back ? "a chunk of the wrong size" : "a chunk that does not point back",
                  0);
    return FLAWED;
}

/* The link that leads to what is no chunk is that of `prev`. */
static void bad_link(struct walk *w, const struct list *l, hw_addr prev, hw_addr to)
{
    unsigned word = w->rules.word;
    bool of_head = prev == l->head; /* which is no chunk: only the link is there */
    glibc_bad_bin(w, l->arena, l->bin, of_head ? prev + (l->back ? 3 : 2) * word : prev,
                  l->back ? "a link back that leads nowhere" : "a link that leads nowhere", to);
}

static int count_binned(struct walk *w, const struct list *l, const struct binned *c,
                        struct hw_error *err)
{
    struct arena *a = &w->arenas.data[l->arena];
    uint64_t size = glibc_listed_size(w, l->arena, c->h);
    count_chunk(&w->report->arenas.data[l->arena].bins[l->bin], c->h, size);
    tally_add(&a->listed, c->chunk, size);
    if (l->bin == 1 && w->sink->want_bins && !hw_vec_push(&a->unsorted, c->chunk))
        return hw_fail(err, HW_ERR_NOMEM, "no memory for unsorted chunks");
    return HW_OK;
}

/* What hostile lists lead to is too much to follow, which is said once. */
static void give_up(struct walk *w, const struct list *l, hw_addr chunk)
{
    if (!w->bins_given_up)
        glibc_bad_bin(w, l->arena, l->bin, chunk,
                      "more chunks than there is room for, so no bin is followed any more,", 0);
    w->bins_given_up = true;
}

/* Until the list is back at its head, or at `until`, or broken; then *last is the chunk with the
 * link that is, or the head. */
static int follow(struct walk *w, const struct list *l, hw_addr chunk, hw_addr until, bool *broken,
                  hw_addr *last, struct hw_error *err)
{
    struct loop_guard guard = {0};
    struct bin_check check = {0};
    bool checked = w->sink->want_check && !l->back;
    int rc = HW_OK;
    *last = l->head;
    *broken = false;
    while (chunk != l->head && chunk != until && rc == HW_OK) {
        struct binned c;
        if (!spend(w, 1)) {
            give_up(w, l, chunk);
            return HW_OK;
        }
        if (loop_guard_repeats(&guard, chunk)) {
            glibc_bad_bin(w, l->arena, l->bin, *last, "a link that leads in a circle", chunk);
            return HW_OK;
        }
        bool there = read_chunk(w, chunk, &c);
        if (!there || judge(w, l, *last, &c) == NOT_A_CHUNK) {
            if (there ||
                !glibc_leads_out(w, HW_INVARIANT_BINS, (int)l->arena, chunk, 6 * w->rules.word))
                bad_link(w, l, *last, chunk);
            *broken = true;
            return HW_OK;
        }
        if (checked)
            glibc_check_binned(w, l->arena, l->bin, &check, &c);
        rc = count_binned(w, l, &c, err);
        *last = chunk;
        chunk = l->back ? c.bk : c.fd;
    }
    if (checked)
        glibc_check_bin(w, l->arena, l->bin, &check);
    return rc;
}

/* Where it is broken, the rest is reached from its other end. */
static int walk_bin(struct walk *w, struct list l, hw_addr first, hw_addr last_of_all,
                    struct hw_error *err)
{
    bool broken;
    hw_addr last, from_behind;
    int rc = follow(w, &l, first, l.head, &broken, &last, err);
    if (rc != HW_OK || !broken || glibc_moving(w))
        return rc;
    l.back = true;
    return follow(w, &l, last_of_all, last, &broken, &from_behind, err);
}

static int by_value(const void *a, const void *b)
{
    hw_addr x = *(const hw_addr *)a, y = *(const hw_addr *)b;
    return x < y ? -1 : x > y;
}

int glibc_read_bins(struct walk *w, unsigned arena, struct hw_error *err)
{
    struct arena *a = &w->arenas.data[arena];
    unsigned lists = w->layout->field[GLIBC_F_BINS].count / 2;
    int rc = HW_OK;
    for (unsigned bin = 1; bin <= lists && bin < HW_BIN_LISTS && rc == HW_OK; bin++) {
        hw_addr head =
            hw_field_addr(w->layout, GLIBC_F_BINS, a->address, 2 * (bin - 1)) - 2 * w->rules.word;
        hw_addr first = hw_fetch(&a->state, GLIBC_F_BINS, 2 * (bin - 1));
        hw_addr last = hw_fetch(&a->state, GLIBC_F_BINS, 2 * (bin - 1) + 1);
        struct list l = {.arena = arena, .bin = bin, .head = head};
        if (first) /* all bins are 0 before the first malloc */
            rc = walk_bin(w, l, first, last, err);
    }
    if (a->unsorted.count)
        qsort(a->unsorted.data, a->unsorted.count, sizeof *a->unsorted.data, by_value);
    return rc;
}

static bool is_unsorted(const struct arena *a, hw_addr p)
{
    size_t low = 0, high = a->unsorted.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (a->unsorted.data[middle] < p)
            low = middle + 1;
        else
            high = middle;
    }
    return low < a->unsorted.count && a->unsorted.data[low] == p;
}

int16_t glibc_bin_of(const struct walk *w, const struct arena *a, hw_addr chunk, uint64_t size)
{
    return is_unsorted(a, chunk) ? 1 : (int16_t)chunk_bin_index(&w->rules, size);
}
