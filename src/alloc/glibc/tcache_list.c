/*
 * One list of a tcache: following it from entry to entry, and what may be wrong with it.
 */
#include "alloc/glibc/tcache_list.h"

#include <inttypes.h>

#define SMALL_LISTS 64
#define LARGE_FROM  1024 /* the first of the large lists holds 1040 to 2047 bytes */

static const char NOWHERE[] = "a link that leads nowhere";
static const char LONGER[] = "a list longer than its count";
static const char SHORTER[] = "a list shorter than its count";
static const char LOOP[] = "a loop in a list, maybe freed twice:";

/*
 * There is one list for each size up to 1040 bytes (1024 where words have 4), then (since 2.42,
 * where the tunable tcache_max allows it) one for each power of two. These are counted from the
 * largest small request (2.42) or chunk (2.43), which on i386 are on both sides of 1024: then the
 * first of them may be left out.
 */
bool glibc_tcache_takes(const struct chunk_rules *r, uint64_t size, unsigned list)
{
    if (size < r->min_size)
        return false;
    uint64_t small = (size - r->min_size) / r->alignment;
    if (small < SMALL_LISTS || list < SMALL_LISTS)
        return list == small;
    unsigned large = SMALL_LISTS;
    for (uint64_t limit = 2 * LARGE_FROM; size >= limit && large < TCACHE_LISTS_MAX; limit *= 2)
        large++;
    return list == large || (r->word == 4 && list == large + 1);
}

static void break_off(struct tcache_list *l, const char *what, hw_addr at, hw_addr to)
{
    l->flaw = (struct flaw){what, at, to};
    l->chain.at = 0;
}

/* The link that leads to where the list has come to is wrong. */
static void bad_link(struct tcache_list *l, const char *what)
{
    break_off(l, what, l->from, l->entry);
}

/* All entries that are counted were met. */
static bool is_through(const struct tcache_list *l)
{
    return l->chunks == l->wanted;
}

/* Entries are user pointers, as is the link's own place. */
static void go_to(struct walk *w, struct tcache_list *l, hw_addr entry)
{
    const struct chunk_rules *r = &w->rules;
    bool through = is_through(l);
    l->entry = entry;
    l->chain.at = 0;
    if (entry == 0 && l->from_chunk) /* its link is as it should be, so it is what it seems */
        glibc_vote_key(w, l->key, l->cache->tcache);
    if (entry == 0 && (through || l->chunks + 1 == l->wanted))
        l->in_act = !through;
    else if (!through && entry && loop_guard_repeats(&l->guard, entry))
        break_off(l, LOOP, entry - r->header, 0);
    else if (entry <= r->header || entry % r->alignment != 0)
        bad_link(l, entry ? NOWHERE : SHORTER);
    else
        l->chain.at = entry - r->header;
}

static int take(struct walk *w, struct tcache_list *l, uint64_t size, struct hw_error *err)
{
    struct cached c = {.address = l->entry - w->rules.header,
                       .tid = l->cache->thread->tid,
                       .bin = (uint16_t)l->bin,
                       .state = HW_CACHED};
    bool full;
    int rc = glibc_remember(w, &c, &full, err);
    if (full)
        break_off(l, "more chunks than there is memory", c.address, 0);
    if (full || rc != HW_OK)
        return rc;
    l->chunks++;
    l->bytes += size;
    return HW_OK;
}

/* The entry is missing, so nobody knows how the list goes on. */
static bool is_missing(struct walk *w, struct tcache_list *l)
{
    l->left_out = glibc_leads_out(w, HW_INVARIANT_TCACHES, -1, l->chain.at, 2 * w->rules.header);
    if (l->left_out)
        l->chain.at = 0;
    return l->left_out;
}

int glibc_tcache_step(struct walk *w, struct chain *chain, const uint8_t *bytes,
                      struct hw_error *err)
{
    struct tcache_list *l = (struct tcache_list *)chain;
    const struct chunk_rules *r = &w->rules;
    uint64_t size = bytes ? chunk_size(chunk_decode(r, bytes)) : 0;
    hw_addr next = bytes ? glibc_next_link(w, l->entry, bytes + r->header) : 0;
    uint64_t key = bytes ? hw_word(bytes + r->header + r->word, r->word) : 0;
    bool fits = bytes && glibc_tcache_takes(r, size, l->bin);
    int rc = HW_OK;
    if (!bytes && is_missing(w, l))
        return HW_OK;
    if (fits && l->from_chunk)
        glibc_vote_key(w, l->key, l->cache->tcache);
    if (is_through(l) && fits && next == 0) {
        l->in_act = true;
        l->entry_bytes = size;
        l->chain.at = 0;
    } else if (is_through(l)) {
        bad_link(l, fits ? LONGER : NOWHERE);
    } else if (!fits && bytes && (!l->from_chunk || key == l->key)) {
        /* The link is right: what it leads to has the mark of the one before. */
        break_off(l, "a chunk of the wrong size", l->entry - r->header, 0);
    } else if (!fits) {
        bad_link(l, NOWHERE);
    } else {
        rc = take(w, l, size, err);
        l->from = l->entry - r->header;
        l->from_chunk = true;
        l->key = key;
        if (!l->flaw.what)
            go_to(w, l, next);
    }
    return rc;
}

/*
 * How many entries a list may have. If mp_.tcache_count cannot be that, the empty lists tell, whose
 * slots are all free. (With a tcache where no list is empty, those of that one are off by what is
 * in the shortest.)
 */
static uint64_t most_entries(const struct walk *w, const struct hw_object *tcache)
{
    uint64_t most = 0, limit = hw_fetch(&w->mp, GLIBC_F_MP_TCACHE_COUNT, 0);
    uint32_t lists = w->layout->field[GLIBC_F_TCACHE_NUM_SLOTS].count;
    if (limit <= TCACHE_ENTRIES_MAX)
        return limit;
    for (uint32_t bin = 0; bin < lists; bin++) {
        uint64_t left = hw_fetch(tcache, GLIBC_F_TCACHE_NUM_SLOTS, bin);
        most = left > most ? left : most;
    }
    return most;
}

/* How many entries list `bin` has. */
static uint64_t entries(const struct walk *w, const struct hw_object *tcache, unsigned bin)
{
    if (hw_has(w->layout, GLIBC_F_TCACHE_COUNTS))
        return hw_fetch(tcache, GLIBC_F_TCACHE_COUNTS, bin);
    uint64_t limit = most_entries(w, tcache);
    uint64_t left = hw_fetch(tcache, GLIBC_F_TCACHE_NUM_SLOTS, bin);
    return left < limit ? limit - left : 0;
}

void glibc_tcache_begin(struct walk *w, struct tcache_list *l, const struct cache *c, unsigned bin)
{
    *l = (struct tcache_list){.cache = c,
                              .bin = bin,
                              .wanted = entries(w, &c->object, bin),
                              .from =
                                  hw_field_addr(w->layout, GLIBC_F_TCACHE_ENTRIES, c->tcache, bin)};
    go_to(w, l,
          hw_untag(w->target->who.machine, hw_fetch(&c->object, GLIBC_F_TCACHE_ENTRIES, bin)));
}

void glibc_tcache_complain(struct walk *w, int tid, struct flaw flaw, uint64_t bytes)
{
    if (!flaw.what || glibc_excuse(w, NULL, bytes))
        return;
    char to[32] = "";
    if (flaw.to)
        snprintf(to, sizeof to, ", it is %#" PRIx64, flaw.to);
    hw_report_break(w->report, HW_INVARIANT_TCACHES, HW_FINDING_BAD_LIST, -1, hw_known(flaw.at),
                    (struct hw_maybe){0}, "tcache of thread %d: %s at %#" PRIx64 "%s", tid,
                    flaw.what, flaw.at, to);
}

/* Keep each chunk of it once. */
static void cut_loop(struct walk *w, size_t first, struct tcache_list *l)
{
    struct tally dropped = {0};
    struct cached of = {.tid = l->cache->thread->tid, .bin = (uint16_t)l->bin, .state = HW_CACHED};
    l->flaw.at = glibc_cut_loop(w, first, &of, l->flaw.at, &dropped);
    l->chunks -= dropped.chunks;
    l->bytes -= dropped.bytes;
}

/* What is behind the break of a list may be found in another way. */
static int note_lost(struct walk *w, const struct tcache_list *l, struct hw_error *err)
{
    struct lost_list lost = {.tid = l->cache->thread->tid,
                             .row = w->report->threads.count, /* once it is there */
                             .bin = l->bin,
                             .missing = l->wanted > l->chunks ? l->wanted - l->chunks : 0,
                             .absent = l->left_out,
                             .cache = l->cache->tcache,
                             .key = l->key};
    return glibc_note_lost(w, &lost, err);
}

/*
 * The owner of a tcache takes no lock. Between its two writes, of the list's head and of its count
 * (tcache_put and tcache_get in malloc/malloc.c), the list has one entry more or less than the
 * count says. That is no damage; *in_act says that such a list was met. As a thread does one thing
 * at a time there can be no second one.
 */
int glibc_tcache_settle(struct walk *w, struct tcache_list *l, size_t first, bool *in_act,
                        struct hw_error *err)
{
    int rc = HW_OK;
    bool more = is_through(l);
    if (l->flaw.what == LOOP && !glibc_moving(w))
        cut_loop(w, first, l);
    if (l->in_act && *in_act && !glibc_moving(w))
        bad_link(l, more ? LONGER : SHORTER);
    else if (l->in_act && more)
        rc = take(w, l, l->entry_bytes, err);
    *in_act |= l->in_act;
    uint64_t size = w->rules.min_size + (uint64_t)l->bin * w->rules.alignment; /* or more */
    glibc_tcache_complain(w, l->cache->thread->tid, l->flaw, l->flaw.what ? l->wanted * size : 0);
    bool broken = (l->flaw.what || l->left_out) && !glibc_moving(w) && rc == HW_OK;
    return broken ? note_lost(w, l, err) : rc;
}
