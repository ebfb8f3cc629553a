/*
 * The cache of each thread (tcache): chunks that were freed and will be handed out again by the
 * same thread without a lock. To their neighbours and to mallinfo2(3) they look in use.
 *
 * An entry belongs to the thread that freed it, not to that thread's arena: a worker's tcache may
 * hold chunks of any arena. Which one shows only in the linear walk, by address.
 *
 * The lists are short and there are many: some dozens in each thread. So those of many threads are
 * followed side by side (follow.h), and what was found is told in the order of threads and lists.
 */
#include "alloc/glibc/caches.h"
#include "alloc/glibc/follow.h"

#include "base/cleanup.h"

#include <inttypes.h>
#include <string.h>

#define SMALL_LISTS 64
#define LARGE_FROM  1024 /* the first of the large lists holds 1040 to 2047 bytes */
#define LISTS_MAX   (2 * SMALL_LISTS)

static const char NOWHERE[] = "a link that leads nowhere";
static const char LONGER[] = "a list longer than its count";
static const char SHORTER[] = "a list shorter than its count";
static const char LOOP[] = "a loop in a list, maybe freed twice:";

struct list {
    struct chain chain; /* first: where the chunk of `entry` begins */
    const struct cache *cache;
    unsigned bin;
    bool in_act;            /* it has one entry more or less than it should; see settle_list() */
    uint64_t wanted;        /* entries, as its count says */
    uint64_t chunks, bytes; /* that it gave so far */
    hw_addr entry;          /* where it has come to */
    hw_addr from;           /* the chunk, or the head of the list, with the link to that */
    bool from_chunk;        /* it is a chunk, ... */
    uint64_t key;           /* ... with this mark of malloc's (rescue.c) */
    uint64_t entry_bytes;   /* in_act, one more: of the chunk there */
    struct loop_guard guard;
    struct flaw flaw;
    bool left_out; /* its end is missing */
};

/* What is read at a time. */
struct reading {
    struct group group;
    unsigned lists_each;
    struct list *lists; /* of the caches of the group, one cache after the other */
    struct chain **chains;
    size_t first_cached; /* what the group gave begins there in w->cached */
};

/* While the target runs: `bytes` are uncertain then. */
static void complain(struct walk *w, int tid, struct flaw flaw, uint64_t bytes)
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

/* ---- one list ------------------------------------------------------------------------------- */

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
    for (uint64_t limit = 2 * LARGE_FROM; size >= limit && large < LISTS_MAX; limit *= 2)
        large++;
    return list == large || (r->word == 4 && list == large + 1);
}

static void break_off(struct list *l, const char *what, hw_addr at, hw_addr to)
{
    l->flaw = (struct flaw){what, at, to};
    l->chain.at = 0;
}

/* The link that leads to where the list has come to is wrong. */
static void bad_link(struct list *l, const char *what)
{
    break_off(l, what, l->from, l->entry);
}

/* All entries that are counted were met. */
static bool is_through(const struct list *l)
{
    return l->chunks == l->wanted;
}

/* Entries are user pointers, as is the link's own place. */
static void go_to(struct walk *w, struct list *l, hw_addr entry)
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

static int take(struct walk *w, struct list *l, uint64_t size, struct hw_error *err)
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
static bool is_missing(struct walk *w, struct list *l)
{
    l->left_out = glibc_leads_out(w, HW_INVARIANT_TCACHES, -1, l->chain.at, 2 * w->rules.header);
    if (l->left_out)
        l->chain.at = 0;
    return l->left_out;
}

/* The chunk of an entry. */
static int step(struct walk *w, struct chain *chain, const uint8_t *bytes, struct hw_error *err)
{
    struct list *l = (struct list *)chain;
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

/* How many entries list `bin` has. */
static uint64_t entries(const struct walk *w, const struct hw_object *tcache, unsigned bin)
{
    if (hw_has(w->layout, GLIBC_F_TCACHE_COUNTS))
        return hw_fetch(tcache, GLIBC_F_TCACHE_COUNTS, bin);
    uint64_t limit = hw_fetch(&w->mp, GLIBC_F_MP_TCACHE_COUNT, 0);
    uint64_t left = hw_fetch(tcache, GLIBC_F_TCACHE_NUM_SLOTS, bin);
    return left < limit ? limit - left : 0;
}

static void begin_list(struct walk *w, struct list *l, const struct cache *c, unsigned bin)
{
    *l = (struct list){.cache = c,
                       .bin = bin,
                       .wanted = entries(w, &c->object, bin),
                       .from = hw_field_addr(w->layout, GLIBC_F_TCACHE_ENTRIES, c->tcache, bin)};
    go_to(w, l,
          hw_untag(w->target->who.machine, hw_fetch(&c->object, GLIBC_F_TCACHE_ENTRIES, bin)));
}

/* ---- the lists of many threads -------------------------------------------------------------- */

/* Piece: the header of a chunk, the link behind it, and malloc's mark. */
static int follow(struct walk *w, struct reading *r, size_t count, struct hw_error *err)
{
    return glibc_follow(w, r->chains, count, 2 * w->rules.header, step, err);
}

/* Damaged images name one tcache for many threads; it can be only one's. */
static int claim(struct walk *w, struct reading *r, struct hw_error *err)
{
    for (size_t i = 0; i < r->group.count; i++) {
        struct cache *c = &r->group.caches[i];
        for (size_t k = 0; k < w->caches.count && c->tcache && !c->shared; k++)
            c->shared = w->caches.data[k] == c->tcache;
        if (c->tcache && !c->shared && !hw_vec_push(&w->caches, c->tcache))
            return hw_fail(err, HW_ERR_NOMEM, "no memory for threads");
    }
    return HW_OK;
}

static int read_lists(struct walk *w, struct reading *r, struct hw_error *err)
{
    size_t count = 0;
    if (glibc_moving(w))
        hw_seeker_reset(&w->seeker);
    glibc_read_group(w, &r->group);
    r->first_cached = w->cached.count;
    for (size_t i = 0; i < r->group.count; i++)
        for (unsigned bin = 0; bin < r->lists_each && r->group.caches[i].object.bytes; bin++) {
            struct list *l = &r->lists[i * r->lists_each + bin];
            begin_list(w, l, &r->group.caches[i], bin);
            r->chains[count++] = &l->chain;
        }
    return follow(w, r, count, err);
}

/* Drop what the broken lists of a thread gave. */
static void forget(struct walk *w, const struct reading *r, const struct list *lists, int tid)
{
    size_t kept = r->first_cached;
    for (size_t i = kept; i < w->cached.count; i++) {
        const struct cached *c = &w->cached.data[i];
        if (c->tid != tid || !lists[c->bin].flaw.what)
            w->cached.data[kept++] = *c;
    }
    w->cached.count = kept;
}

/* Lists that break while the target runs are followed anew, some times; then what they hold stays
 * uncertain. */
static int follow_anew(struct walk *w, struct reading *r, struct cache *c, struct list *lists,
                       struct hw_error *err)
{
    int rc = HW_OK;
    for (unsigned tries = 0; tries < LIST_TRIES && glibc_moving(w) && rc == HW_OK; tries++) {
        size_t count = 0;
        for (unsigned bin = 0; bin < r->lists_each; bin++)
            count += lists[bin].flaw.what != NULL;
        hw_seeker_reset(&w->seeker);
        if (count == 0 || !glibc_read_cache(w, c))
            break;
        forget(w, r, lists, c->thread->tid);
        count = 0;
        for (unsigned bin = 0; bin < r->lists_each; bin++)
            if (lists[bin].flaw.what) {
                begin_list(w, &lists[bin], c, bin);
                r->chains[count++] = &lists[bin].chain;
            }
        rc = follow(w, r, count, err);
    }
    return rc;
}

/* Keep each chunk of it once. */
static void cut_loop(struct walk *w, const struct reading *r, struct list *l)
{
    struct tally dropped = {0};
    struct cached of = {.tid = l->cache->thread->tid, .bin = (uint16_t)l->bin, .state = HW_CACHED};
    l->flaw.at = glibc_cut_loop(w, r->first_cached, &of, l->flaw.at, &dropped);
    l->chunks -= dropped.chunks;
    l->bytes -= dropped.bytes;
}

/* What is behind the break of a list may be found in another way. */
static int note_lost(struct walk *w, const struct list *l, struct hw_error *err)
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
static int settle_list(struct walk *w, const struct reading *r, struct list *l, bool *in_act,
                       struct hw_error *err)
{
    int rc = HW_OK;
    bool more = is_through(l);
    if (l->flaw.what == LOOP && !glibc_moving(w))
        cut_loop(w, r, l);
    if (l->in_act && *in_act && !glibc_moving(w))
        bad_link(l, more ? LONGER : SHORTER);
    else if (l->in_act && more)
        rc = take(w, l, l->entry_bytes, err);
    *in_act |= l->in_act;
    uint64_t size = w->rules.min_size + (uint64_t)l->bin * w->rules.alignment; /* or more */
    complain(w, l->cache->thread->tid, l->flaw, l->flaw.what ? l->wanted * size : 0);
    bool broken = (l->flaw.what || l->left_out) && !glibc_moving(w) && rc == HW_OK;
    return broken ? note_lost(w, l, err) : rc;
}

static void tell_unreadable(struct walk *w, const struct cache *c)
{
    if (glibc_excuse(w, NULL, 0))
        return;
    bool absent = glibc_is_absent(w, c->tcache, c->object.len);
    w->report->check.missed[HW_INVARIANT_TCACHES]++;
    hw_report_add(w->report, HW_FINDING_THREAD_CACHE, -1, hw_known(c->tcache), (struct hw_maybe){0},
                  "tcache of thread %d at %#" PRIx64 " %s", c->thread->tid, c->tcache,
                  absent ? "is missing from the core" : "cannot be read");
}

static int settle_cache(struct walk *w, struct reading *r, struct cache *c, struct list *lists,
                        struct hw_thread_row *row, struct hw_error *err)
{
    bool in_act = false;
    int rc = follow_anew(w, r, c, lists, err);
    for (unsigned bin = 0; bin < r->lists_each && rc == HW_OK; bin++) {
        rc = settle_list(w, r, &lists[bin], &in_act, err);
        row->tcache_chunks.n += lists[bin].chunks;
        row->tcache_bytes.n += lists[bin].bytes;
    }
    if (in_act && !glibc_moving(w))
        hw_report_add(w->report, HW_FINDING_NOTE, -1, hw_known(c->tcache), (struct hw_maybe){0},
                      "thread %d was just putting a chunk into its tcache, or taking one out",
                      row->tid);
    return rc;
}

/* The row of thread `i` of the group, with all that is to be said of it. */
static int settle_thread(struct walk *w, struct reading *r, size_t i, struct hw_error *err)
{
    struct cache *c = &r->group.caches[i];
    struct hw_thread_row row = {.tid = c->thread->tid, .arena = -1};
    int rc = HW_OK;
    if (c->readable) {
        row.arena = glibc_arena_index(w, c->arena);
        row.tcache_bytes = row.tcache_chunks = hw_known(0);
    } else {
        w->report->check.missed[HW_INVARIANT_TCACHES]++;
        hw_report_add(w->report, HW_FINDING_THREAD_CACHE, -1, (struct hw_maybe){0},
                      (struct hw_maybe){0},
                      "thread %d: its thread-local storage cannot be read; what its tcache holds "
                      "is counted as in use",
                      row.tid);
    }
    if (c->shared)
        complain(w, row.tid, (struct flaw){"the same tcache as another thread's", c->tcache, 0}, 0);
    else if (c->object.bytes)
        rc = settle_cache(w, r, c, &r->lists[i * r->lists_each], &row, err);
    else if (c->tcache)
        tell_unreadable(w, c);
    if (rc == HW_OK && row.arena >= 0 &&
        !hw_vec_push(&w->report->arenas.data[row.arena].tids, row.tid))
        rc = hw_fail(err, HW_ERR_NOMEM, "no memory for threads");
    if (rc == HW_OK && !hw_vec_push(&w->report->threads, row))
        rc = hw_fail(err, HW_ERR_NOMEM, "no memory for threads");
    return rc;
}

static int read_group(struct walk *w, struct reading *r, size_t first, struct hw_error *err)
{
    int rc = glibc_find_group(w, first, &r->group, err);
    if (rc == HW_OK)
        rc = claim(w, r, err);
    if (rc == HW_OK)
        rc = read_lists(w, r, err);
    for (size_t i = 0; i < r->group.count && rc == HW_OK; i++)
        rc = settle_thread(w, r, i, err);
    glibc_drop_group(&r->group);
    return rc;
}

int glibc_read_tcaches(struct walk *w, struct hw_error *err)
{
    uint32_t lists = w->layout->field[GLIBC_F_TCACHE_ENTRIES].count;
    struct reading r = {.lists_each = lists < LISTS_MAX ? lists : LISTS_MAX};
    size_t threads = w->target->thread_count < GROUP_MAX ? w->target->thread_count : GROUP_MAX;
    hw_autofree struct list *room = calloc(threads * r.lists_each + 1, sizeof *room);
    hw_autofree struct chain **chains = calloc(threads * r.lists_each + 1, sizeof(struct chain *));
    if (!room || !chains)
        return hw_fail(err, HW_ERR_NOMEM, "no memory for threads");
    r.lists = room;
    r.chains = chains;
    int rc = HW_OK;
    for (size_t first = 0; first < w->target->thread_count && rc == HW_OK; first += r.group.count)
        rc = read_group(w, &r, first, err);
    return rc;
}
