#include "alloc/glibc/caches.h"

#include "alloc/glibc/follow.h"

/* The tcaches of a group have so many bytes, or there is but one. What says how large they are may
 * be damaged. */
#define GROUP_BYTES ((size_t)256 << 10)

static size_t group_size(const struct walk *w, size_t first)
{
    uint64_t each = w->layout->struct_size[GLIBC_TCACHE];
    size_t left = w->target->thread_count - first, count = GROUP_MAX;
    if (each)
        count = (size_t)(GROUP_BYTES / each);
    if (count > GROUP_MAX)
        count = GROUP_MAX;
    if (count > left)
        count = left;
    return count && !glibc_moving(w) ? count : 1;
}

/* A word of each thread, at `offset` from its thread pointer. */
static void read_words(struct walk *w, const struct group *g, int64_t offset, uint64_t *words,
                       bool *there)
{
    hw_addr at[GROUP_MAX];
    uint8_t bytes[GROUP_MAX * 8];
    const unsigned word = w->rules.word;
    for (size_t i = 0; i < g->count; i++)
        at[i] = g->caches[i].thread->tp + (uint64_t)offset;
    glibc_read_places(w->target, at, g->count, word, bytes, there);
    for (size_t i = 0; i < g->count; i++)
        words[i] = there[i] ? hw_word(bytes + i * word, word) : 0;
}

/* Are the threads' TLS blocks there? At the thread pointer stands the thread pointer itself, or,
 * where blocks lie above it, a pointer to the thread vector. gcore saves a stack that it cannot
 * read as zeros, and what is in it. */
static void find_locals(struct walk *w, struct group *g)
{
    uint64_t words[GROUP_MAX];
    bool there[GROUP_MAX];
    read_words(w, g, 0, words, there);
    for (size_t i = 0; i < g->count; i++) {
        hw_addr tp = g->caches[i].thread->tp;
        bool right = w->target->who.machine->tls_above ? words[i] != 0 : words[i] == tp;
        g->caches[i].readable = tp != 0 && there[i] && right;
    }
}

/* A pointer of each thread, without tags: since 2.42 a tcache may come from malloc(). 0 where this
 * libc has no such variable. */
static void read_locals(struct walk *w, struct group *g, bool exists, int64_t offset,
                        uint64_t *words)
{
    bool there[GROUP_MAX];
    for (size_t i = 0; i < g->count; i++)
        words[i] = 0;
    if (!exists)
        return;
    read_words(w, g, offset, words, there);
    for (size_t i = 0; i < g->count; i++) {
        words[i] = hw_untag(w->target->who.machine, words[i]);
        g->caches[i].readable &= there[i];
    }
}

/* Since 2.43 a thread that has not freed anything yet shares a dummy in libc's read-only data. A
 * real tcache is an ordinary chunk. */
static bool is_dummy(const struct walk *w, hw_addr tcache)
{
    const struct hw_map *map = hw_map_at(w->target, tcache);
    return map && !(map->flags & HW_MAP_WRITE);
}

int glibc_find_group(struct walk *w, size_t first, struct group *ret, struct hw_error *err)
{
    const struct glibc *g = w->g;
    uint64_t tcaches[GROUP_MAX], arenas[GROUP_MAX], size = w->layout->struct_size[GLIBC_TCACHE];
    ret->count = group_size(w, first);
    ret->bytes = malloc(ret->count * size + 1);
    if (!ret->bytes)
        return hw_fail(err, HW_ERR_NOMEM, "no memory for threads");
    for (size_t i = 0; i < ret->count; i++)
        ret->caches[i] = (struct cache){
            .thread = &w->target->threads[first + i],
            .readable = true,
            .object = {.layout = w->layout, .len = size},
        };
    if (g->has_tcache || g->has_thread_arena)
        find_locals(w, ret);
    read_locals(w, ret, g->has_tcache, g->tcache_offset, tcaches);
    read_locals(w, ret, g->has_thread_arena, g->thread_arena_offset, arenas);
    for (size_t i = 0; i < ret->count; i++) {
        struct cache *c = &ret->caches[i];
        if (!c->readable)
            continue;
        c->arena = arenas[i];
        c->tcache = is_dummy(w, tcaches[i]) ? 0 : tcaches[i];
    }
    return HW_OK;
}

void glibc_read_group(struct walk *w, struct group *g)
{
    struct cache *wanted[GROUP_MAX];
    hw_addr at[GROUP_MAX];
    bool there[GROUP_MAX];
    size_t count = 0, size = w->layout->struct_size[GLIBC_TCACHE];
    for (size_t i = 0; i < g->count; i++)
        if (g->caches[i].tcache && !g->caches[i].shared) {
            wanted[count] = &g->caches[i];
            at[count++] = g->caches[i].tcache;
        }
    if (count == 0 || size == 0)
        return;
    glibc_read_places(w->target, at, count, size, g->bytes, there);
    for (size_t i = 0; i < count; i++) {
        wanted[i]->object.address = at[i];
        wanted[i]->object.bytes = there[i] ? g->bytes + i * size : NULL;
    }
}

bool glibc_read_cache(struct walk *w, struct cache *c)
{
    return hw_read_all(w->target, c->tcache, c->object.bytes, c->object.len, NULL) == HW_OK;
}

void glibc_drop_group(struct group *g)
{
    free(g->bytes);
    g->bytes = NULL;
}

/* ---- how links are stored ------------------------------------------------------------------- */

#define VOTING_THREADS 64
#define LEAD           64 /* so many votes more for the one than for the other decide */

static bool is_decided(const struct walk *w)
{
    return w->link_votes >= LEAD || w->link_votes <= -LEAD;
}

static void vote_heads(struct walk *w, const struct hw_object *object, unsigned field,
                       unsigned distance)
{
    for (unsigned i = 0; i < w->layout->field[field].count && !is_decided(w); i++) {
        hw_addr head = hw_untag(w->target->who.machine, hw_fetch(object, field, i));
        if (head)
            glibc_vote_link(w, head + distance, distance);
    }
}

static int let_threads_vote(struct walk *w, struct hw_error *err)
{
    struct group g = {.count = 0};
    int rc = HW_OK;
    for (size_t first = 0;
         first < w->target->thread_count && first < VOTING_THREADS && rc == HW_OK && !is_decided(w);
         first += g.count) {
        rc = glibc_find_group(w, first, &g, err);
        if (rc == HW_OK)
            glibc_read_group(w, &g);
        for (size_t i = 0; i < g.count && rc == HW_OK; i++)
            if (g.caches[i].object.bytes)
                vote_heads(w, &g.caches[i].object, GLIBC_F_TCACHE_ENTRIES, 0);
        glibc_drop_group(&g);
    }
    return rc;
}

int glibc_decide_links(struct walk *w, struct hw_error *err)
{
    if (glibc_know_links(w))
        return HW_OK;
    int rc = let_threads_vote(w, err);
    for (size_t i = 0; i < w->arenas.count && hw_has(w->layout, GLIBC_F_FASTBINS); i++)
        vote_heads(w, &w->arenas.data[i].state, GLIBC_F_FASTBINS, w->rules.header);
    glibc_count_votes(w);
    return rc;
}
