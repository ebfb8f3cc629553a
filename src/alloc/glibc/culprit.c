/*
 * Which chunk is the damaged one? Where the walk stumbles is often not where the damage is: sizes
 * lead from one chunk to the next, so a wrong one is noticed behind the chunk that has it.
 *
 *     as it was      | a        | b                | c                  | d
 *     b too large    | a        | b ......................| seems to be | ...    stumbles inside c
 *     b too small    | a        | b ........| seems to be | c                    stumbles inside b
 *     c overwritten  | a        | b                | ????               | d      stumbles at c
 *
 * So the last chunks before are looked at again. Only those in use: that a free one has the size
 * that it says is repeated at its end, and one in a tcache or a fastbin has the size of its list.
 *
 *     too large    inside it chunks begin that go on behind its end, and behind where the walk
 *                  stumbled. What is left over inside from the time before it was one chunk leads
 *                  to its end
 *     too small    behind it is less than a chunk until they go on
 *
 * A chunk that is to blame is taken back, with those behind it: the last ones were not handed out
 * yet (glibc_flush_most()).
 *
 * The other way to be wrong is the bit by which a chunk says that the one before it is in use;
 * which is settled by whether that one is in a bin.
 */
#include "alloc/glibc/walk.h"

#include <inttypes.h>

/* Where the chunks in use begin in the batch that lead to `at` without a gap; its end if none
 * does. */
static size_t first_leading_to(const struct cursor *c, hw_addr at)
{
    const struct walk *w = c->w;
    size_t i = w->batched;
    while (i > 0 && w->batched - i < KEPT_BACK) {
        const struct hw_block *b = &w->batch[i - 1];
        if (b->state != HW_USED || b->address + b->bytes != at || b->address < c->region->first)
            break;
        at = b->address;
        i--;
    }
    return i;
}

/* The block is no chunk of its size: what lies between it and `next` is lost, and the walk goes on
 * there. From `at` on to c->p is lost already. */
static bool take_back(struct cursor *c, size_t block, hw_addr at, hw_addr next, struct culprit *ret)
{
    struct walk *w = c->w;
    hw_addr from = w->batch[block].address, end = c->region->end;
    struct chunk_header h, own;
    if (!header_at(w, from, end, &own) || !header_at(w, next, end, &h))
        return false;
    c->a->lost -= c->p - at;
    c->a->lost += next - from;
    w->batched = block;
    c->p = next;
    c->h = h;
    c->next_cached = glibc_cached_from(w, next); /* the walk goes back there */
    *ret = (struct culprit){.address = from, .raw = own.raw, .lost = next - from};
    return true;
}

/* What is taken back is never given out again, so this ends; and it counts as a new start, of which
 * there are not too many. */
bool glibc_find_too_large(struct cursor *c, struct culprit *ret)
{
    struct walk *w = c->w;
    bool may = !glibc_moving(w) && glibc_may_start(c);
    for (size_t i = may ? first_leading_to(c, c->p) : w->batched; i < w->batched; i++) {
        hw_addr next = glibc_chain_inside(w, c->a, c->region, &w->batch[i], c->p, 0);
        if (!next)
            continue;
        c->starts++;
        return take_back(c, i, c->p, next, ret);
    }
    return false;
}

bool glibc_find_too_small(struct cursor *c, hw_addr at, struct culprit *ret)
{
    struct walk *w = c->w;
    bool is_less = c->p < c->region->end && c->p - at < w->rules.min_size;
    if (glibc_moving(w) || !is_less || first_leading_to(c, at) == w->batched)
        return false;
    return take_back(c, w->batched - 1, at, c->p, ret);
}

/* ---- what a chunk says of the one before ---------------------------------------------------- */

unsigned glibc_links_back(struct walk *w, hw_addr p)
{
    unsigned word = w->rules.word, header = w->rules.header, count = 0;
    const uint8_t *bytes = hw_seeker_at(&w->seeker, p + header, header);
    if (!bytes)
        return 0;
    struct chunk_header links = chunk_decode(&w->rules, bytes); /* fd, bk */
    bytes = hw_seeker_at(&w->seeker, links.prev_size + header + word, word);
    count += bytes && hw_word(bytes, word) == p;
    bytes = hw_seeker_at(&w->seeker, links.raw + header, word);
    return count + (bytes && hw_word(bytes, word) == p);
}

/* It was taken for one in use, as the header behind it seems to say so. */
static void is_free(struct cursor *c, struct hw_block *b)
{
    struct walk *w = c->w;
    const uint8_t *bytes = hw_seeker_at(&w->seeker, b->address + w->rules.header, w->rules.header);
    if (!bytes)
        return;
    struct chunk_header links = chunk_decode(&w->rules, bytes); /* fd, bk */
    b->state = HW_FREE;
    if (w->sink->want_bins)
        b->bin = glibc_bin_of(w, c->a, b->address, b->bytes);
    tally_add(&c->a->walked, b->address, b->bytes);
    add_edges(c->a, b->address, links.prev_size, links.raw);
}

void glibc_judge_by_bins(struct cursor *c, const struct culprit *bad)
{
    struct walk *w = c->w;
    struct hw_block *before = w->batched ? &w->batch[w->batched - 1] : NULL;
    if (glibc_moving(w))
        return;
    if (glibc_links_back(w, bad->address))
        tally_add(&c->a->bad, bad->address,
                  glibc_listed_size(w, c->index, (struct chunk_header){.raw = bad->raw}));
    if (before && before->state == HW_USED && before->address + before->bytes == bad->address &&
        glibc_links_back(w, before->address) == 2)
        is_free(c, before);
}

/* Chunks seem to go on at q, whatever the header there, n, says of others. */
static bool follows_at(struct cursor *c, hw_addr q, struct chunk_header n)
{
    hw_addr end = c->region->end;
    return glibc_may_be_chain(c->w, c->a, c->region, q, end) ||
           (chunk_size_fits(&c->w->rules, chunk_size(n), q, end) &&
            glibc_may_be_chain(c->w, c->a, c->region, q + chunk_size(n), end));
}

enum doubt glibc_doubt(struct cursor *c, hw_addr q, struct chunk_header n)
{
    bool follows = follows_at(c, q, n);
    if (glibc_links_back(c->w, c->p) == 2)
        return follows ? DOUBT_FOOT : DOUBT_SIZE;
    return follows ? DOUBT_FLAG : DOUBT_HEADER;
}

hw_addr glibc_cached_inside(struct cursor *c, uint64_t size)
{
    struct walk *w = c->w;
    size_t i = glibc_cached_from(w, c->p + 1);
    if (glibc_moving(w) || i == w->cached.count || w->cached.data[i].address >= c->p + size)
        return 0;
    struct hw_block b = {.address = c->p, .bytes = size};
    return glibc_chain_inside(w, c->a, c->region, &b, c->p + size, w->cached.data[i].address);
}
