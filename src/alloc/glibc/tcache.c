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
#include "alloc/glibc/tcache_list.h"

#include "base/cleanup.h"

#include <inttypes.h>
#include <search.h>

/* What is read at a time. */
struct reading {
    struct group group;
    unsigned lists_each;
    struct tcache_list *lists; /* of the caches of the group, one cache after the other */
    struct chain **chains;
    size_t first_cached; /* what the group gave begins there in w->cached */
    void *claimed;       /* tcaches that are somebody's: tsearch(3) */
};

static int follow(struct walk *w, struct reading *r, size_t count, struct hw_error *err)
{
    return glibc_follow(w, r->chains, count, 2 * w->rules.header, glibc_tcache_step, err);
}

static int by_address(const void *a, const void *b)
{
    hw_addr x = *(const hw_addr *)a, y = *(const hw_addr *)b;
    return x < y ? -1 : x > y;
}

/* Remember an address. *known: it was already. False: no memory. */
static bool remember(void **known_ones, hw_addr address, bool *known)
{
    hw_autofree hw_addr *new = malloc(sizeof *new);
    if (!new)
        return false;
    *new = address;
    hw_addr **node = tsearch(new, known_ones, by_address);
    *known = node && *node != new;
    if (node && !*known)
        (void)hw_take(new);
    return node != NULL;
}

/* Damaged images name one tcache for many threads; it can be only one's. */
static int claim(struct walk *w, struct reading *r, struct hw_error *err)
{
    for (size_t i = 0; i < r->group.count; i++) {
        struct cache *c = &r->group.caches[i];
        if (c->tcache && (!remember(&r->claimed, c->tcache, &c->shared) ||
                          (!c->shared && !hw_vec_push(&w->caches, c->tcache))))
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
            struct tcache_list *l = &r->lists[i * r->lists_each + bin];
            glibc_tcache_begin(w, l, &r->group.caches[i], bin);
            r->chains[count++] = &l->chain;
        }
    return follow(w, r, count, err);
}

/* Drop what the broken lists of a thread gave. */
static void forget(struct walk *w, const struct reading *r, const struct tcache_list *lists,
                   int tid)
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
static int follow_anew(struct walk *w, struct reading *r, struct cache *c,
                       struct tcache_list *lists, struct hw_error *err)
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
                glibc_tcache_begin(w, &lists[bin], c, bin);
                r->chains[count++] = &lists[bin].chain;
            }
        rc = follow(w, r, count, err);
    }
    return rc;
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

static int settle_cache(struct walk *w, struct reading *r, struct cache *c,
                        struct tcache_list *lists, struct hw_thread_row *row, struct hw_error *err)
{
    bool in_act = false;
    int rc = follow_anew(w, r, c, lists, err);
    for (unsigned bin = 0; bin < r->lists_each && rc == HW_OK; bin++) {
        rc = glibc_tcache_settle(w, &lists[bin], r->first_cached, &in_act, err);
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
        glibc_tcache_complain(
            w, row.tid, (struct flaw){"the same tcache as another thread's", c->tcache, 0}, 0);
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

static void check_limit(struct walk *w)
{
    uint64_t limit = hw_fetch(&w->mp, GLIBC_F_MP_TCACHE_COUNT, 0);
    if (!hw_has(w->layout, GLIBC_F_TCACHE_NUM_SLOTS) || limit <= TCACHE_ENTRIES_MAX)
        return;
    hw_addr at = hw_field_addr(w->layout, GLIBC_F_MP_TCACHE_COUNT, w->g->mp, 0);
    hw_report_break(w->report, HW_INVARIANT_TCACHES, HW_FINDING_BAD_LIST, -1, hw_known(at),
                    (struct hw_maybe){0}, "mp_.tcache_count is %#" PRIx64 ", which cannot be",
                    limit);
}

int glibc_read_tcaches(struct walk *w, struct hw_error *err)
{
    uint32_t lists = w->layout->field[GLIBC_F_TCACHE_ENTRIES].count;
    struct reading r = {.lists_each = lists < TCACHE_LISTS_MAX ? lists : TCACHE_LISTS_MAX};
    size_t threads = w->target->thread_count < GROUP_MAX ? w->target->thread_count : GROUP_MAX;
    hw_autofree struct tcache_list *room = calloc(threads * r.lists_each + 1, sizeof *room);
    hw_autofree struct chain **chains = calloc(threads * r.lists_each + 1, sizeof(struct chain *));
    if (!room || !chains)
        return hw_fail(err, HW_ERR_NOMEM, "no memory for threads");
    r.lists = room;
    r.chains = chains;
    int rc = HW_OK;
    check_limit(w);
    for (size_t first = 0; first < w->target->thread_count && rc == HW_OK; first += r.group.count)
        rc = read_group(w, &r, first, err);
    tdestroy(r.claimed, free);
    return rc == HW_OK ? glibc_index_rows(w, err) : rc;
}
