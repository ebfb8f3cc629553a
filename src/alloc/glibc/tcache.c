/*
 * The cache of each thread (tcache): chunks that were freed and will be handed out again by the
 * same thread without a lock. To their neighbours and to mallinfo2(3) they look in use.
 *
 * An entry belongs to the thread that freed it, not to that thread's arena: a worker's tcache may
 * hold chunks of any arena. Which one shows only in the linear walk, by address.
 */
#include "alloc/glibc/glibc.h"

#include <inttypes.h>

#define SMALL_LISTS 64
#define LARGE_FROM  1024 /* the first of the large lists holds 1040 to 2047 bytes */

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

/*
 * There is one list for each size up to 1040 bytes (1024
 * where words have 4), then (since 2.42, where the tunable tcache_max allows it) one for each power
 * of two. These are counted from the largest small request (2.42) or chunk (2.43), which on i386 are on
 * both sides of 1024: then the first of them may be left out.
 */
bool glibc_tcache_takes(const struct chunk_rules *r, uint64_t size, unsigned list)
{
    if (size < r->min_size)
        return false;
    uint64_t small = (size - r->min_size) / r->alignment;
    if (small < SMALL_LISTS || list < SMALL_LISTS)
        return list == small;
    unsigned large = SMALL_LISTS;
    for (uint64_t limit = 2 * LARGE_FROM; size >= limit && large < 2 * SMALL_LISTS; limit *= 2)
        large++;
    return list == large || (r->word == 4 && list == large + 1);
}

/* A chunk of a list, as it stands in memory. */
struct entry {
    hw_addr chunk;
    uint64_t size;
    hw_addr next; /* as links lead to user pointers */
    uint64_t key;
};

static const char no_chunk[] = "a link that leads nowhere";

/* The chunk of an entry of list `bin`. NULL, or what is wrong. Entries are user pointers, as is the
 * link's own place. */
static const char *read_entry(struct walk *w, unsigned bin, hw_addr entry, struct entry *ret)
{
    const struct chunk_rules *r = &w->rules;
    const uint8_t *bytes = NULL;
    if (entry > r->header && entry % r->alignment == 0)
        bytes = hw_seeker_at(&w->seeker, entry - r->header, r->header + 2 * r->word);
    if (!bytes)
        return no_chunk;
    *ret = (struct entry){.chunk = entry - r->header,
                          .size = chunk_size(chunk_decode(r, bytes)),
                          .next = glibc_next_link(w, entry, bytes + r->header),
                          .key = hw_word(bytes + r->header + r->word, r->word)};
    return glibc_tcache_takes(r, ret->size, bin) ? NULL : "a chunk of the wrong size";
}

static int take(struct walk *w, struct hw_thread_row *row, unsigned bin, const struct entry *e,
                struct flaw *flaw, struct hw_error *err)
{
    struct cached c = {
        .address = e->chunk, .tid = row->tid, .bin = (uint16_t)bin, .state = HW_CACHED};
    bool full;
    int rc = glibc_remember(w, &c, &full, err);
    if (full)
        *flaw = (struct flaw){.what = "more chunks than there is memory", .at = c.address};
    if (full || rc != HW_OK)
        return rc;
    row->tcache_chunks.n++;
    row->tcache_bytes.n += e->size;
    return HW_OK;
}

/* A list that is followed. */
struct list {
    hw_addr cache;
    unsigned bin;
    uint64_t count;    /* of entries that it should have */
    hw_addr from;      /* the chunk, or the list's head, whose link is followed */
    struct entry last; /* that chunk; its size is 0 if there is none */
};

/* Which is wrong, the link or what it leads to? A chunk with the mark of the one before is one. */
static struct flaw blame(const struct list *l, const char *what, hw_addr entry,
                         const struct entry *e)
{
    bool is_one = what != no_chunk && (l->last.size == 0 || e->key == l->last.key);
    if (is_one)
        return (struct flaw){.what = what, .at = e->chunk};
    return (struct flaw){
        .what = entry ? no_chunk : "a list shorter than its count", .at = l->from, .to = entry};
}

/* The list comes back to a chunk that it had. */
static struct flaw cut_loop(struct walk *w, struct hw_thread_row *row, size_t first, hw_addr chunk)
{
    struct tally dropped = {0};
    hw_addr twice = glibc_cut_loop(w, first, chunk, &dropped);
    row->tcache_chunks.n -= dropped.chunks;
    row->tcache_bytes.n -= dropped.bytes;
    return (struct flaw){.what = "a loop in a list, maybe freed twice:", .at = twice};
}

static void step(struct walk *w, struct list *l, const struct entry *e)
{
    if (l->last.size) /* its link was all right, so it is what it seems */
        glibc_vote_key(w, l->last.key, l->cache);
    l->from = e->chunk;
    l->last = *e;
}

/*
 * One list.
 *
 * The owner of a tcache takes no lock. Between its two writes, of the list's head and of its count
 * (tcache_put and tcache_get in malloc/malloc.c), the list has one entry more or less than the count
 * says. That is no damage; *in_act says that such a list was met. As a thread does one thing at a time
 * there can be no second one.
 */
static int walk_list(struct walk *w, struct hw_thread_row *row, struct list *l, hw_addr entry,
                     bool *in_act, struct flaw *flaw, struct hw_error *err)
{
    struct loop_guard guard = {0};
    size_t first = w->cached.count;
    struct entry e;
    const char *what;
    *flaw = (struct flaw){0};
    for (uint64_t n = 0; n < l->count; n++) {
        if (entry == 0 && n + 1 == l->count && !*in_act) {
            *in_act = true;
            return HW_OK;
        }
        if (loop_guard_repeats(&guard, entry)) {
            *flaw = cut_loop(w, row, first, entry - w->rules.header);
            return HW_OK;
        }
        what = read_entry(w, l->bin, entry, &e);
        if (what) {
            *flaw = blame(l, what, entry, &e);
            return HW_OK;
        }
        int rc = take(w, row, l->bin, &e, flaw, err);
        if (flaw->what || rc != HW_OK)
            return rc;
        step(w, l, &e);
        entry = e.next;
    }
    if (entry == 0) {
        step(w, l, &(struct entry){0});
        return HW_OK;
    }
    what = read_entry(w, l->bin, entry, &e);
    if (*in_act || what != NULL || e.next != 0) {
        *flaw = (struct flaw){
            .what = what ? what : "a list longer than its count", .at = l->from, .to = entry};
        return HW_OK;
    }
    *in_act = true;
    return take(w, row, l->bin, &e, flaw, err);
}

/* How many entries list `i` has. */
static uint64_t entries(const struct walk *w, const struct hw_object *tcache, unsigned i)
{
    if (hw_has(w->layout, GLIBC_F_TCACHE_COUNTS))
        return hw_fetch(tcache, GLIBC_F_TCACHE_COUNTS, i);
    uint64_t limit = hw_fetch(&w->mp, GLIBC_F_MP_TCACHE_COUNT, 0);
    uint64_t left = hw_fetch(tcache, GLIBC_F_TCACHE_NUM_SLOTS, i);
    return left < limit ? limit - left : 0;
}

/* Since 2.43 a thread that has not freed anything yet shares a dummy in libc's read-only data. A
 * real tcache is an ordinary chunk. */
static bool is_dummy(const struct walk *w, hw_addr cache)
{
    const struct hw_map *map = hw_map_at(w->target, cache);
    return map && !(map->flags & HW_MAP_WRITE);
}

static void tell_act(struct walk *w, int tid, hw_addr cache)
{
    hw_report_add(w->report, HW_FINDING_NOTE, -1, hw_known(cache), (struct hw_maybe){0},
                  "thread %d was just putting a chunk into its tcache, or taking one out", tid);
}

static int read_cache(struct walk *w, hw_addr cache, struct hw_object *tcache)
{
    return hw_object_read(tcache, w->layout, w->target, GLIBC_TCACHE, cache, NULL);
}

/* A list that breaks while the target runs is followed anew, some times; then what it holds stays
 * uncertain. In one that stands still, what is behind the break may be found in another way. */
static int read_list(struct walk *w, struct hw_thread_row *row, struct hw_object *tcache,
                     unsigned list, bool *in_act, struct hw_error *err)
{
    struct hw_thread_row before = *row;
    hw_addr cache = tcache->address;
    size_t count = w->cached.count;
    struct flaw flaw = {0};
    struct list l;
    bool met = *in_act;
    int rc = HW_OK;
    for (unsigned tries = 0; rc == HW_OK; tries++) {
        hw_addr first =
            hw_untag(w->target->who.machine, hw_fetch(tcache, GLIBC_F_TCACHE_ENTRIES, list));
        l = (struct list){.cache = cache,
                          .bin = list,
                          .count = entries(w, tcache, list),
                          .from = hw_field_addr(w->layout, GLIBC_F_TCACHE_ENTRIES, cache, list)};
        *in_act = met && !glibc_moving(w);
        rc = walk_list(w, row, &l, first, in_act, &flaw, err);
        if (!flaw.what || !glibc_moving(w) || tries == LIST_TRIES)
            break;
        *row = before;
        w->cached.count = count;
        hw_seeker_reset(&w->seeker);
        hw_object_deinit(tcache);
        if (read_cache(w, cache, tcache) != HW_OK)
            break;
    }
    uint64_t size = w->rules.min_size + (uint64_t)list * w->rules.alignment; /* or more */
    complain(w, row->tid, flaw, flaw.what ? l.count * size : 0);
    uint64_t got = w->cached.count - count;
    struct lost_list lost = {.tid = row->tid,
                             .row = w->report->threads.count, /* once it is there */
                             .bin = list,
                             .missing = l.count > got ? l.count - got : 0,
                             .cache = cache,
                             .key = l.last.key};
    bool broken = flaw.what && !glibc_moving(w) && rc == HW_OK;
    return broken ? glibc_note_lost(w, &lost, err) : rc;
}

static int walk_cache(struct walk *w, struct hw_thread_row *row, hw_addr cache,
                      struct hw_error *err)
{
    struct hw_object tcache;
    if (read_cache(w, cache, &tcache) != HW_OK) {
        if (!glibc_excuse(w, NULL, 0))
            hw_report_add(w->report, HW_FINDING_THREAD_CACHE, -1, hw_known(cache),
                          (struct hw_maybe){0},
                          "tcache of thread %d at %#" PRIx64 " cannot be read", row->tid, cache);
        return HW_OK;
    }
    int rc = HW_OK;
    bool in_act = false;
    unsigned lists = w->layout->field[GLIBC_F_TCACHE_ENTRIES].count;
    if (glibc_moving(w))
        hw_seeker_reset(&w->seeker);
    for (unsigned i = 0; i < lists && rc == HW_OK && tcache.bytes; i++)
        rc = read_list(w, row, &tcache, i, &in_act, err);
    if (in_act && !glibc_moving(w))
        tell_act(w, row->tid, cache);
    hw_object_deinit(&tcache);
    return rc;
}

/* Damaged images name one tcache for many threads; it can be only one's. */
static int walk_own_cache(struct walk *w, struct hw_thread_row *row, hw_addr cache,
                          struct hw_error *err)
{
    for (size_t i = 0; i < w->caches.count; i++) {
        if (w->caches.data[i] != cache)
            continue;
        complain(w, row->tid,
                 (struct flaw){.what = "the same tcache as another thread's", .at = cache}, 0);
        return HW_OK;
    }
    if (!hw_vec_push(&w->caches, cache))
        return hw_fail(err, HW_ERR_NOMEM, "no memory for threads");
    return walk_cache(w, row, cache, err);
}

/* Is the thread's TLS block there? At the thread pointer stands the thread pointer itself, or, where
 * blocks lie above it, a pointer to the thread vector. gcore saves a stack that it cannot read as
 * zeros, and what is in it. */
static bool has_locals(struct walk *w, const struct hw_thread *thread)
{
    uint64_t first;
    if (!thread->tp || hw_read_word(w->target, thread->tp, &first, NULL) != HW_OK)
        return false;
    return w->target->who.machine->tls_above ? first != 0 : first == thread->tp;
}

/* A pointer in the thread's TLS block; 0 where this libc has no such variable. */
static bool read_local(struct walk *w, const struct hw_thread *thread, bool exists, int64_t offset,
                       uint64_t *ret)
{
    *ret = 0;
    if (!exists)
        return true;
    if (!has_locals(w, thread) ||
        hw_read_word(w->target, thread->tp + (uint64_t)offset, ret, NULL) != HW_OK)
        return false;
    *ret = hw_untag(w->target->who.machine, *ret); /* since 2.42 a tcache may come from malloc() */
    return true;
}

/* Its thread_arena and its tcache; NULL until first used. */
static int read_thread(struct walk *w, const struct hw_thread *thread, struct hw_error *err)
{
    const struct glibc *g = w->g;
    struct hw_thread_row row = {.tid = thread->tid, .arena = -1};
    uint64_t cache, arena;
    int rc = HW_OK;
    if (!read_local(w, thread, g->has_tcache, g->tcache_offset, &cache) ||
        !read_local(w, thread, g->has_thread_arena, g->thread_arena_offset, &arena)) {
        hw_report_add(w->report, HW_FINDING_THREAD_CACHE, -1, (struct hw_maybe){0},
                      (struct hw_maybe){0},
                      "thread %d: its thread-local storage cannot be read; what its tcache holds "
                      "is counted as in use",
                      thread->tid);
    } else {
        row.arena = glibc_arena_index(w, arena);
        row.tcache_bytes = row.tcache_chunks = hw_known(0);
        if (cache && !is_dummy(w, cache))
            rc = walk_own_cache(w, &row, cache, err);
    }
    if (rc == HW_OK && row.arena >= 0 &&
        !hw_vec_push(&w->report->arenas.data[row.arena].tids, row.tid))
        rc = hw_fail(err, HW_ERR_NOMEM, "no memory for threads");
    if (rc == HW_OK && !hw_vec_push(&w->report->threads, row))
        rc = hw_fail(err, HW_ERR_NOMEM, "no memory for threads");
    return rc;
}

int glibc_read_tcaches(struct walk *w, struct hw_error *err)
{
    int rc = HW_OK;
    for (size_t i = 0; i < w->target->thread_count && rc == HW_OK; i++)
        rc = read_thread(w, &w->target->threads[i], err);
    return rc;
}

/* ---- how links are stored -----------------------------------------------------------------------
 */

#define VOTING_THREADS 64

static void vote_heads(struct walk *w, const struct hw_object *object, unsigned field,
                       unsigned distance)
{
    for (unsigned i = 0; i < w->layout->field[field].count; i++) {
        hw_addr head = hw_untag(w->target->who.machine, hw_fetch(object, field, i));
        if (head)
            glibc_vote_link(w, head + distance, distance);
    }
}

static void vote_thread(struct walk *w, const struct hw_thread *thread)
{
    uint64_t cache;
    struct hw_object tcache;
    if (!read_local(w, thread, w->g->has_tcache, w->g->tcache_offset, &cache) || !cache ||
        is_dummy(w, cache))
        return;
    if (hw_object_read(&tcache, w->layout, w->target, GLIBC_TCACHE, cache, NULL) == HW_OK)
        vote_heads(w, &tcache, GLIBC_F_TCACHE_ENTRIES, 0);
    hw_object_deinit(&tcache);
}

void glibc_decide_links(struct walk *w)
{
    for (size_t i = 0; i < w->target->thread_count && i < VOTING_THREADS; i++)
        vote_thread(w, &w->target->threads[i]);
    for (size_t i = 0; i < w->arenas.count && hw_has(w->layout, GLIBC_F_FASTBINS); i++)
        vote_heads(w, &w->arenas.data[i].state, GLIBC_F_FASTBINS, w->rules.header);
    glibc_count_votes(w);
}
