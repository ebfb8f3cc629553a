/*
 * tcache and thread_arena without symbols. Both are words in libc's thread-local block, at the same
 * distance from the thread pointer in every thread, and what they point to tells them apart:
 *
 *     word no.        0     1     2     3     4    ...
 *     thread 1        0     .     p     .     A         A: an arena; p: the user pointer of a chunk
 *     thread 2        0     .     q     .     B            of the size of a tcache, whose lists
 *     thread 3        0     .     0     .     0            agree with their counts
 *                                 |           |
 *                              tcache    thread_arena
 *
 * A word counts only if it may be one in every thread. The size of the chunk also tells which of
 * the layouts a tcache has. Since 2.43 a thread without a tcache has a pointer to read-only data
 * instead of NULL.
 */
#include "alloc/glibc/roots.h"

#include "base/cleanup.h"

#include <string.h>

_Static_assert(GLIBC_VARIANTS_ <= 32, "struct local has a bit for each variant");

#define PROOF     4
#define BLOCK_MAX ((uint64_t)1 << 20) /* thread-local memory that is looked at, of one thread */

/* What one word of the block was in the threads seen so far. */
struct local {
    uint32_t arenas, not_arena;
    uint32_t filled;  /* tcaches that hold something: this cannot be chance */
    uint32_t empty;   /* chunks of the right size that hold nothing */
    uint32_t damaged; /* chunks of the right size, and what they hold is not right */
    uint32_t not_tcache;
    uint32_t variants; /* bit for each layout that these tcaches may have */
};

struct locals {
    struct glibc *g;
    struct hw_target *target;
    uint64_t tcache_count; /* mp_.tcache_count: as many go into each list */
    size_t words;
    struct local *word;
    unsigned unreadable; /* threads */
};

enum content { NOT_TCACHE, TCACHE_DAMAGED, TCACHE_EMPTY, TCACHE_FILLED };

static bool is_writable(const struct hw_target *t, hw_addr addr)
{
    const struct hw_map *map = hw_map_at(t, addr);
    return map && (map->flags & HW_MAP_WRITE);
}

/* A chunk may be larger by what was too little for another. */
static enum glibc_variant variant_of_chunk(const struct chunk_rules *r, uint64_t size)
{
    for (unsigned v = GLIBC_NO_STRUCT + 1; v < GLIBC_VARIANTS_; v++) {
        uint64_t chunk = hw_align_up(glibc_variant_size(v) + r->word, r->alignment);
        if (glibc_variant_struct(v) == GLIBC_TCACHE &&
            (size == chunk || size == chunk + r->alignment))
            return v;
    }
    return GLIBC_NO_STRUCT;
}

/* How many chunks list `i` holds, as the tcache says; UINT64_MAX if that cannot be. */
static uint64_t list_count(const struct locals *l, enum glibc_variant v, const uint8_t *bytes,
                           unsigned i)
{
    struct hw_field counts = glibc_variant_field(v, GLIBC_F_TCACHE_COUNTS);
    struct hw_field slots = glibc_variant_field(v, GLIBC_F_TCACHE_NUM_SLOTS);
    struct hw_field f = counts.origin == HW_ORIGIN_ABSENT ? slots : counts;
    uint64_t n = glibc_word_of(bytes, f.offset + i * f.size, f.size);
    if (n > l->tcache_count)
        return UINT64_MAX;
    return counts.origin == HW_ORIGIN_ABSENT ? l->tcache_count - n : n;
}

/* The first entry of a list is the user pointer of a chunk. */
static bool is_entry(const struct locals *l, hw_addr entry)
{
    uint64_t raw;
    entry = hw_untag(l->target->who.machine, entry);
    return entry % l->g->rules.alignment == 0 && is_writable(l->target, entry) &&
           hw_read_word(l->target, entry - l->g->rules.word, &raw, NULL) == HW_OK &&
           (raw & ~(uint64_t)CHUNK_FLAGS) >= l->g->rules.min_size;
}

/* Its lists agree with their counts; one may be just about to change. */
static enum content content_of(const struct locals *l, hw_addr cache, enum glibc_variant v)
{
    uint8_t bytes[1024];
    struct hw_field entries = glibc_variant_field(v, GLIBC_F_TCACHE_ENTRIES);
    unsigned filled = 0, wrong = 0;
    if (hw_read_all(l->target, cache, bytes, glibc_variant_size(v), NULL) != HW_OK)
        return NOT_TCACHE;
    for (unsigned i = 0; i < entries.count; i++) {
        uint64_t n = list_count(l, v, bytes, i);
        hw_addr first = glibc_word_of(bytes, entries.offset + i * entries.size, entries.size);
        /* A few entries are proof enough; a thousand threads have many more. */
        bool right = n != UINT64_MAX && (n == 0) == (first == 0) &&
                     (n == 0 || filled >= PROOF || is_entry(l, first));
        filled += right && n > 0;
        wrong += !right;
    }
    if (wrong > 1 && wrong >= filled)
        return TCACHE_DAMAGED;
    return filled ? TCACHE_FILLED : TCACHE_EMPTY;
}

static enum content is_tcache(const struct locals *l, hw_addr word, enum glibc_variant *v)
{
    const struct chunk_rules *r = &l->g->rules;
    uint64_t raw;
    if (word < r->header || word % r->alignment != 0 || !is_writable(l->target, word) ||
        hw_read_word(l->target, word - r->word, &raw, NULL) != HW_OK || (raw & CHUNK_M))
        return NOT_TCACHE;
    *v = variant_of_chunk(r, raw & ~(uint64_t)CHUNK_FLAGS);
    if (*v == GLIBC_NO_STRUCT || !(glibc_eras_with(*v) & l->g->eras))
        return NOT_TCACHE;
    return content_of(l, word, *v);
}

static bool is_arena(const struct locals *l, hw_addr word)
{
    glibc_era_set eras = l->g->eras;
    return word == l->g->main_arena || glibc_is_thread_arena(l->target, word, &eras);
}

static bool is_read_only(const struct locals *l, hw_addr word)
{
    const struct hw_map *map = hw_map_at(l->target, word);
    return map && !(map->flags & HW_MAP_WRITE);
}

static void consider(const struct locals *l, struct local *local, hw_addr word)
{
    enum glibc_variant v = GLIBC_NO_STRUCT;
    word = hw_untag(l->target->who.machine, word);
    if (word == 0)
        return;
    if (is_arena(l, word))
        local->arenas++;
    else
        local->not_arena++;
    switch (is_tcache(l, word, &v)) {
    case TCACHE_FILLED:
        local->filled++;
        break;
    case TCACHE_EMPTY:
        local->empty++;
        break;
    case TCACHE_DAMAGED:
        local->damaged++;
        break;
    case NOT_TCACHE:
        local->not_tcache += !is_read_only(l, word);
        return;
    }
    local->variants |= 1U << v;
}

static int consider_thread(struct locals *l, const struct hw_thread *thread, int64_t offset,
                           struct hw_error *err)
{
    unsigned word = l->target->who.machine->word;
    hw_autofree uint8_t *block = malloc(l->words * word);
    if (!block)
        return hw_fail(err, HW_ERR_NOMEM, "no memory for thread-local storage");
    if (!thread->tp || hw_read_all(l->target, thread->tp + (uint64_t)offset, block, l->words * word,
                                   NULL) != HW_OK) {
        l->unreadable++;
        return HW_OK;
    }
    for (size_t i = 0; i < l->words; i++)
        consider(l, &l->word[i], hw_word(block + i * word, word));
    return HW_OK;
}

/* ---- the verdict ----------------------------------------------------------------------------- */

static bool find_thread_arena(struct locals *l, int64_t offset)
{
    struct glibc *g = l->g;
    unsigned found = 0;
    for (size_t i = 0; i < l->words; i++) {
        if (!l->word[i].arenas || l->word[i].not_arena)
            continue;
        g->thread_arena_offset = offset + (int64_t)(i * l->target->who.machine->word);
        found++;
    }
    return found == 1;
}

/* More full tcaches are better than empty ones, and those not at all than damaged ones. */
static bool better(const struct local *a, const struct local *b)
{
    if (a->filled != b->filled)
        return a->filled > b->filled;
    return a->empty > b->empty;
}

/* The word that is a tcache in some threads and may be one in all. Damage in a few threads does not
 * hide what the others show. */
static const struct local *find_tcache(const struct locals *l)
{
    const struct local *best = NULL;
    for (size_t i = 0; i < l->words; i++) {
        const struct local *local = &l->word[i];
        bool possible = local->filled + local->empty > local->damaged + local->not_tcache &&
                        (local->filled || !local->not_tcache);
        if (possible && (!best || better(local, best)))
            best = local;
    }
    return best;
}

void glibc_forget_tcaches(struct hw_report *report)
{
    for (size_t i = 0; i < report->threads.count; i++)
        report->threads.data[i].tcache_bytes = report->threads.data[i].tcache_chunks =
            (struct hw_maybe){0};
}

static void cannot_tell(struct glibc *g, struct hw_report *report, const char *why)
{
    g->tcaches_unknown = true;
    hw_report_add(report, HW_FINDING_THREAD_CACHE, -1, (struct hw_maybe){0}, (struct hw_maybe){0},
                  "the tcaches of the threads were not found: %s; what they hold is counted as in "
                  "use",
                  why);
}

/* The tcaches that were seen are of these layouts. */
static void narrow(struct glibc *g, const struct local *tcache)
{
    for (unsigned v = GLIBC_NO_STRUCT + 1; v < GLIBC_VARIANTS_; v++)
        if (tcache->variants & 1U << v && glibc_eras_with(v) & g->eras)
            g->eras &= glibc_eras_with(v);
}

static bool may_have_tcaches(const struct glibc *g)
{
    return g->eras ? (g->eras & glibc_eras_with_tcache()) != 0
                   : hw_has(&g->layout, GLIBC_F_TCACHE_ENTRIES);
}

static void decide(struct locals *l, int64_t offset, struct hw_report *report)
{
    struct glibc *g = l->g;
    bool damaged = false;
    g->has_thread_arena = find_thread_arena(l, offset);
    const struct local *tcache = find_tcache(l);
    for (size_t i = 0; i < l->words; i++)
        damaged |= l->word[i].damaged > 0;
    g->has_tcache = tcache != NULL;
    if (tcache) {
        g->tcache_offset = offset + (tcache - l->word) * l->target->who.machine->word;
        narrow(g, tcache);
    } else if (damaged) {
        cannot_tell(g, report, "what may be one is damaged");
    } else if (l->unreadable && may_have_tcaches(g)) {
        cannot_tell(g, report, "the thread-local storage of some cannot be read");
    }
}

/* Where tcache is was known; how it is laid out was not. */
static void decide_layout(struct locals *l, int64_t offset)
{
    uint64_t at = (uint64_t)(l->g->tcache_offset - offset) / l->target->who.machine->word;
    if (l->g->has_tcache && at < l->words)
        narrow(l->g, &l->word[at]);
}

int glibc_find_thread_locals(struct glibc *g, struct hw_report *report, struct hw_error *err)
{
    struct locals l = {.g = g, .target = g->image.target};
    struct hw_error why = {0};
    int64_t offset;
    uint64_t size = hw_module_tls_size(g->image.modules, g->mod);
    unsigned word_bytes = l.target->who.machine->word;
    int rc = hw_module_tls_offset(g->image.modules, g->mod, &offset, &why);
    g->tcaches_unknown = false;
    if (!g->locals_known)
        g->has_tcache = g->has_thread_arena = false;
    if (rc != HW_OK || size < word_bytes) {
        if (!g->locals_known && may_have_tcaches(g))
            cannot_tell(g, report, rc != HW_OK ? why.text : "libc's program headers are not known");
        return HW_OK;
    }
    struct hw_object mp;
    if (hw_object_read(&mp, &g->layout, l.target, GLIBC_MALLOC_PAR, g->mp, NULL) == HW_OK)
        l.tcache_count = hw_fetch(&mp, GLIBC_F_MP_TCACHE_COUNT, 0);
    hw_object_deinit(&mp);
    l.words = (size_t)((size < BLOCK_MAX ? size : BLOCK_MAX) / word_bytes);
    hw_autofree struct local *word = calloc(l.words, sizeof *word);
    l.word = word;
    if (!word)
        return hw_fail(err, HW_ERR_NOMEM, "no memory for thread-local storage");
    rc = HW_OK;
    for (size_t i = 0; i < l.target->thread_count && rc == HW_OK; i++)
        rc = consider_thread(&l, &l.target->threads[i], offset, err);
    if (rc == HW_OK && g->locals_known)
        decide_layout(&l, offset);
    else if (rc == HW_OK)
        decide(&l, offset, report);
    return rc;
}
