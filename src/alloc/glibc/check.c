#include "alloc/glibc/check.h"

#include <inttypes.h>

/* ---- tcaches -------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    hw_addr x = *(const hw_addr *)a, y = *(const hw_addr *)b;
    return x < y ? -1 : x > y;
}

static bool is_cache(const struct walk *w, hw_addr address)
{
    return bsearch(&address, w->caches.data, w->caches.count, sizeof address, by_value) != NULL;
}

/* Each chunk in a tcache has malloc's mark (rescue.c). */
static void check_keys(struct walk *w)
{
    bool shared = !w->keys_are_caches;
    if (shared && (w->link == LINK_PLAIN || w->key_votes == 0))
        return;
    if (w->caches.count)
        qsort(w->caches.data, w->caches.count, sizeof *w->caches.data, by_value);
    for (size_t i = 0; i < w->cached.count; i++) {
        const struct cached *c = &w->cached.data[i];
        hw_addr at = c->address + w->rules.header + w->rules.word;
        const uint8_t *word =
            c->state == HW_CACHED ? hw_seeker_at(&w->seeker, at, w->rules.word) : NULL;
        uint64_t key = word ? hw_word(word, w->rules.word) : 0;
        if (word && !(shared ? key == w->key : is_cache(w, key)))
            hw_report_break(w->report, HW_INVARIANT_TCACHES, HW_FINDING_BAD_LIST, -1,
                            hw_known(c->address), (struct hw_maybe){0},
                            "tcache of thread %d: chunk %#" PRIx64
                            " was written to after it was freed: malloc's mark is not in it",
                            c->tid, c->address);
    }
}

/* There cannot be more threads on a machine (PID_MAX_LIMIT, include/linux/threads.h). */
#define THREADS_MAX ((uint64_t)1 << 22)

/*
 * Threads that ended without a word to malloc stay attached: the main thread after pthread_exit(),
 * those that end by the system call itself, those that the forking process had, after _Fork(). And
 * for a moment, while a thread changes its arena, fewer are attached than have it. So only what
 * nothing can explain is wrong.
 */
static void check_attached(struct walk *w)
{
    for (size_t i = 0; i < w->arenas.count; i++) {
        struct hw_maybe attached = w->report->arenas.data[i].attached_threads;
        if (attached.known && attached.n > THREADS_MAX)
            hw_report_break(
                w->report, HW_INVARIANT_ARENAS, HW_FINDING_BAD_ARENA, (int)i,
                hw_known(hw_field_addr(w->layout, GLIBC_F_ATTACHED, w->arenas.data[i].address, 0)),
                (struct hw_maybe){0}, "arena %zu has %" PRIu64 " threads attached", i, attached.n);
    }
}

void glibc_check_lists(struct walk *w)
{
    if (!w->sink->want_check || glibc_moving(w))
        return;
    check_keys(w);
    check_attached(w);
}

/* ---- neighbours ----------------------------------------------------------------------------- */

static void check_pair(struct walk *w, const struct hw_block *a, const struct hw_block *b)
{
    bool free_pair = a->state == HW_FREE && (b->state == HW_FREE || b->state == HW_TOP);
    if (free_pair && a->address + a->bytes == b->address && !glibc_moving(w))
        hw_report_break(w->report, HW_INVARIANT_FREE_CHUNKS, HW_FINDING_BAD_CHUNK, a->arena,
                        hw_known(a->address), hw_known(a->bytes),
                        "arena %d: a free chunk at %#" PRIx64
                        " that was not merged with %s behind it",
                        a->arena, a->address, b->state == HW_TOP ? "top" : "the free one");
}

void glibc_check_blocks(struct walk *w, const struct hw_block *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        check_pair(w, i ? &b[i - 1] : &w->last, &b[i]);
        w->blocks += b[i].state != HW_OVERHEAD;
    }
    if (count)
        w->last = b[count - 1];
}

/* ---- the end -------------------------------------------------------------------------------- */

static void examined(struct walk *w, enum hw_invariant i, uint64_t n)
{
    w->report->check.examined[i] = hw_known(n);
}

void glibc_end_check(struct walk *w)
{
    uint64_t heaps = 0, regions = 0, free_chunks = 0, cached = 0;
    bool contiguous = w->arenas.count && w->arenas.data[0].contiguous;
    if (!w->sink->want_check)
        return;
    for (size_t i = 0; i < w->arenas.count; i++) {
        *(i ? &heaps : &regions) += w->arenas.data[i].regions.count;
        free_chunks += w->arenas.data[i].walked.chunks;
    }
    for (size_t i = 0; i < w->cached.count; i++)
        cached += w->cached.data[i].state == HW_CACHED;
    w->report->check.done = true;
    examined(w, HW_INVARIANT_ARENA_RING, w->arenas.count);
    examined(w, HW_INVARIANT_ARENAS, w->arenas.count);
    examined(w, contiguous ? HW_INVARIANT_MAIN_END : HW_INVARIANT_MAIN_REGIONS, regions);
    examined(w, HW_INVARIANT_THREAD_HEAPS, heaps);
    examined(w, HW_INVARIANT_CHUNKS, w->blocks);
    examined(w, HW_INVARIANT_FREE_CHUNKS, free_chunks);
    examined(w, HW_INVARIANT_BINS, free_chunks);
    examined(w, HW_INVARIANT_BIN_SETS, free_chunks);
    if (hw_has(w->layout, GLIBC_F_BINMAP))
        examined(w, HW_INVARIANT_BINMAP, w->arenas.count);
    if (!w->g->tcaches_unknown && hw_has(w->layout, GLIBC_F_TCACHE_ENTRIES))
        examined(w, HW_INVARIANT_TCACHES, cached);
    if (hw_has(w->layout, GLIBC_F_FASTBINS))
        examined(w, HW_INVARIANT_FASTBINS, w->cached.count - cached);
    examined(w, HW_INVARIANT_MMAPPED, w->report->params.n_mmaps.n);
}
