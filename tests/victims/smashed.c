/*
 * smashed HOW [thread]: a heap that is sound when it is written down, and then one mistake of the
 * usual kind. What that hits is known here alone, in expect.txt:
 *
 *     damage KIND ADDRESS   the finding that must name it
 *     hit POINTER           this live block, which cannot be understood any more
 *     skip ...              this libc cannot be smashed so
 *     lost BYTES FREE       so much of the heap cannot, so much of it free memory
 *
 * With "thread" it happens in the arena of a thread. There are three more arenas of threads.
 */
#include "victim.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#define MANY   400
#define OTHERS 3
#define HIT                                                                                        \
    ((size_t)0xd10) /* of neighbours; too large for a tcache, and for what is free by then */
#define LARGE ((size_t)0x1800)
#define ROOM  ((size_t)0x18000) /* no free chunk is as large */
#define FREED ((size_t)0x90)    /* of chunks in a tcache */
#define FAST  ((size_t)0x40)
#define BINS  ((size_t)127)

static struct {
    char *a, *b;    /* neighbours */
    char *row[24];  /* more of them, behind those, for "strings" */
    void *freed[9]; /* as far as it is needed, in this order */
    size_t *fake;   /* on the stack */
    size_t **top;   /* where the arena notes its top, right before its bins */
    size_t **newest_top;
} self;

/* ---- what malloc keeps ---------------------------------------------------------------------- */

static void *chunk_of(void *p)
{
    return (char *)p - VICTIM_HEADER;
}

static size_t chunk_size(void *p)
{
    return ((size_t *)p)[-1] & ~(size_t)7;
}

/* What happens behind malloc's back is none of the compiler's business either. */
static void *unseen(void *p)
{
    __asm__ volatile("" : "+r"(p) : : "memory");
    return p;
}

/* The ring of arenas: behind the bins and the map of them. */
static size_t **next_arena(size_t **top)
{
    return top + 2 + 2 * BINS + 16 / VICTIM_WORD;
}

/* ---- before it is written down -------------------------------------------------------------- */

static void nothing(void)
{
}

static void free_a(void)
{
    victim_free(self.a);
}

static void free_b(void)
{
    victim_free(self.b);
}

/* Chunks of just this size: some are larger, where the rest was too small for a chunk. */
static void free_some(size_t count, size_t chunk)
{
    for (size_t i = 0; i < count;) {
        self.freed[i] = victim_malloc(chunk - VICTIM_WORD);
        i += chunk_size(self.freed[i]) == chunk;
    }
    for (size_t i = 0; i < count; i++)
        victim_free(self.freed[i]);
}

/* Into the tcache; the last one is the first of its list. */
static void free_three(void)
{
    free_some(3, FREED);
}

/* What a tcache does not take goes to a fastbin. */
static void free_many(void)
{
    free_some(9, FAST);
}

/* Into a bin: sorted by the request that none of them is large enough for. */
static void free_large(void)
{
    for (size_t i = 0; i < 3; i++) {
        self.freed[i] = malloc(LARGE + 0x20 * i - VICTIM_WORD);
        victim_malloc(LARGE);
    }
    for (size_t i = 0; i < 3; i++)
        free(self.freed[i]);
    victim_malloc(0x8000);
}

/* ---- mistakes ------------------------------------------------------------------------------- */

static void damage(const char *kind, void *at)
{
    victim_expect("damage %s %p", kind, at);
}

static void damage_block(void *p)
{
    damage("bad_chunk", chunk_of(p));
    victim_expect("hit %p", p);
    victim_expect("lost %zu 0", chunk_size(p));
}

/* One byte too many. */
static void overrun_by_one(int byte)
{
    memset(unseen(self.a), byte, malloc_usable_size(self.a) + 1);
}

static int flags_of(const void *p)
{
    return ((const unsigned char *)p)[-(int)VICTIM_WORD] & 7;
}

/* To the middle of the one behind it. */
static void grow(void)
{
    damage_block(self.b);
    overrun_by_one(0xf0 | flags_of(self.b));
}

/* By less than a chunk. */
static void shrink(void)
{
    if (VICTIM_LEAST <= VICTIM_ALIGN) {
        victim_expect("skip %s", "a chunk may be as small");
        return;
    }
    damage_block(self.b);
    overrun_by_one(0x00 | flags_of(self.b));
}

/* That of a string. */
static void terminator(void)
{
    damage_block(self.b);
    overrun_by_one('\0');
}

/* Of some strings, each as long as its buffer. */
static void strings(void)
{
    size_t lost = 0;
    for (size_t i = 3; i < 20; i += 10) {
        char *hit = self.row[i + 1];
        damage("bad_chunk", chunk_of(hit));
        victim_expect("hit %p", hit);
        lost += chunk_size(hit);
        memset(unseen(self.row[i]), '\0', malloc_usable_size(self.row[i]) + 1);
    }
    victim_expect("lost %zu 0", lost);
}

/* Which changes nothing here but that b seems to say that a is free. */
static void flag(void)
{
    damage("bad_chunk", chunk_of(self.b));
    overrun_by_one('\0');
}

static void overrun(int byte)
{
    damage_block(self.b);
    memset(unseen(self.a), byte, malloc_usable_size(self.a) + 100);
}

static void text(void)
{
    overrun('A');
}

static void zeros(void)
{
    overrun(0);
}

static void ones(void)
{
    overrun(0xff);
}

/* What b says of a, which is free, too. */
static void header(void)
{
    damage_block(self.b);
    memset(chunk_of(unseen(self.b)), 'U', VICTIM_HEADER);
}

static void free_chunk(void)
{
    damage("bad_chunk", chunk_of(self.b));
    victim_expect("lost %zu %zu", chunk_size(self.b), chunk_size(self.b));
    memset(unseen(self.a), 'A', malloc_usable_size(self.a) + 100);
}

/* Written to after it was freed. */
static void link_of(void *p, size_t words)
{
    damage("bad_list", chunk_of(p));
    memset(unseen(p), 'A', words * VICTIM_WORD);
}

static void tcache_link(void)
{
    link_of(self.freed[2], 1);
}

/* And what malloc knows it by. */
static void tcache_entry(void)
{
    link_of(self.freed[1], 2);
}

static void bin_link(void)
{
    link_of(self.freed[1], 1);
}

static void bin_back(void)
{
    damage("bad_list", chunk_of(self.freed[1]));
    memset((size_t *)unseen(self.freed[1]) + 1, 'A', VICTIM_WORD);
}

/* The row of sizes in a bin of large chunks. */
static void bin_row(void)
{
    victim_expect("checked bad_list %p", chunk_of(self.freed[1]));
    memset((size_t *)unseen(self.freed[1]) + 2, 'A', VICTIM_WORD);
}

/* Freed twice. What malloc would know it by was overwritten meanwhile. */
static void twice(void)
{
    damage("bad_list", chunk_of(self.freed[2]));
    ((size_t *)unseen(self.freed[2]))[1] = 0;
    free(unseen(self.freed[2]));
}

/* malloc looks at the first one of a fastbin only. */
static void twice_fast(void)
{
    if (victim_libc_since(2, 43)) {
        victim_expect("skip %s", "there are no fastbins");
        return;
    }
    damage("bad_list", chunk_of(self.freed[7]));
    free(unseen(self.freed[7]));
}

/* Freed, although malloc never gave it out. */
static void not_malloced(void)
{
    size_t *p = unseen(self.fake + (VICTIM_ALIGN - VICTIM_HEADER) / VICTIM_WORD);
    damage("list_mismatch", p);
    p[1] = FREED | 1;
    p[FREED / VICTIM_WORD + 1] = FREED | 1;
    free(unseen(p + 2));
}

static void top_huge(void)
{
    damage("bad_chunk", *self.top);
    (*self.top)[1] = (size_t)-1;
}

static void top_text(void)
{
    damage("bad_chunk", *self.top);
    memset(*self.top, 'A', 100);
}

static void top_small(void)
{
    damage("bad_chunk", *self.top);
    (*self.top)[1] = 0x101;
}

static void top_nowhere(void)
{
    damage("bad_arena", self.top);
    memset(self.top, 'A', VICTIM_WORD);
}

static void top_elsewhere(void)
{
    damage("bad_arena", self.top);
    *self.top = unseen(self.fake);
}

static void top_inside(void)
{
    damage("bad_arena", self.top);
    *self.top = chunk_of(self.b);
}

static void ring(void)
{
    size_t **next = next_arena(self.top);
    damage("arena_ring", next);
    memset(next, 'A', VICTIM_WORD);
}

/* Past the newest one. */
static void ring_short(void)
{
    size_t **next = next_arena(self.top);
    damage("arena_ring", next);
    *next = *next_arena(self.newest_top);
}

/* A word of the header of the newest heap of threads, which whatever lies in front of it may run
 * into. */
static void heap_info(size_t word)
{
    uintptr_t most = VICTIM_WORD == 8 ? 64 << 20 : 1 << 20;
    char *heap = (char *)((uintptr_t)self.newest_top & ~(most - 1));
    damage("arena_heaps", heap + word * VICTIM_WORD);
    memset((size_t *)unseen(heap) + word, 'A', VICTIM_WORD);
}

static void heap_owner(void)
{
    heap_info(0);
}

static void heap_size(void)
{
    heap_info(2);
}

static const struct {
    const char *name;
    void (*prepare)(void);
    void (*hit)(void);
} mistakes[] = {
    {"grow", nothing, grow},
    {"shrink", nothing, shrink},
    {"terminator", nothing, terminator},
    {"strings", nothing, strings},
    {"flag", nothing, flag},
    {"text", nothing, text},
    {"zeros", nothing, zeros},
    {"ones", nothing, ones},
    {"header", free_a, header},
    {"free-chunk", free_b, free_chunk},
    {"tcache-link", free_three, tcache_link},
    {"tcache-entry", free_three, tcache_entry},
    {"bin-link", free_large, bin_link},
    {"bin-back", free_large, bin_back},
    {"bin-row", free_large, bin_row},
    {"twice", free_three, twice},
    {"twice-fast", free_many, twice_fast},
    {"not-malloced", free_three, not_malloced},
    {"top-huge", nothing, top_huge},
    {"top-text", nothing, top_text},
    {"top-small", nothing, top_small},
    {"top-nowhere", nothing, top_nowhere},
    {"top-elsewhere", nothing, top_elsewhere},
    {"top-inside", nothing, top_inside},
    {"ring", nothing, ring},
    {"ring-short", nothing, ring_short},
    {"heap-owner", nothing, heap_owner},
    {"heap-size", nothing, heap_size},
};

/* ---- a heap --------------------------------------------------------------------------------- */

static void fill(uint64_t seed)
{
    void *p[MANY];
    for (size_t i = 0; i < MANY; i++) {
        size_t size = victim_between(&seed, 600, 3000);
        p[i] = memset(victim_malloc(size), 'u', size);
    }
    for (size_t i = 0; i < MANY; i += 3)
        victim_free(p[i]);
}

static char *neighbour(void)
{
    size_t size = (victim_is(0, "flag") ? HIT & ~(size_t)0xff : HIT) - VICTIM_WORD;
    return memset(victim_malloc(size), 'u', size);
}

/* The first chunk of the unsorted bin leads back to where the arena notes its top. */
static size_t **find_top(void)
{
    void *p = malloc(ROOM);
    size_t ***links = unseen(p);
    victim_malloc(ROOM);
    free(p);
    return links[1];
}

static void build(void)
{
    fill(1);
    void *room = malloc(ROOM); /* in one piece, so that neighbours are neighbours */
    victim_malloc(ROOM);
    free(room);
    self.a = neighbour();
    self.b = neighbour();
    neighbour();
    for (size_t i = 0; victim_is(0, "strings") && i < sizeof self.row / sizeof *self.row; i++)
        self.row[i] = neighbour();
    fill(2);
    self.top = find_top();
}

static void mistake(void)
{
    build();
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++)
        if (victim_is(0, mistakes[i].name)) {
            mistakes[i].prepare();
            victim_note_down();
            mistakes[i].hit();
            return;
        }
    victim_die("no such mistake");
}

static void *run_other(void *arg)
{
    (void)arg;
    fill(3);
    self.newest_top = find_top();
    return victim_park();
}

static void *run(void *arg)
{
    size_t fake[64] __attribute__((aligned(16))) = {0};
    self.fake = fake;
    mistake();
    if (!arg)
        victim_ready_noted();
    return victim_park();
}

int main(int argc, char **argv)
{
    victim_start(argc, argv);
    for (unsigned i = 1; i <= OTHERS; i++) {
        victim_thread(run_other, NULL);
        victim_wait_parked(i);
    }
    if (!victim_is(1, "thread"))
        run(NULL);
    victim_free(victim_malloc(1)); /* since 2.43 that makes a tcache */
    victim_thread(run, &self);
    victim_wait_parked(OTHERS + 1);
    victim_ready_noted();
}
