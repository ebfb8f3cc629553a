/*
 * mmapped fixed|dynamic: blocks with mappings of their own, among mappings that only look like it.
 */
#include "victim.h"

#include <malloc.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE ((size_t)4096)
#define LEAD (VICTIM_ALIGN - VICTIM_HEADER) /* from the start of a mapping to its chunk */
#define UNIT (VICTIM_HEAP_MAX > (1 << 20) ? (size_t)1 << 20 : (size_t)64 << 10)

/* An anonymous mapping that begins like an mmapped chunk would: previous size, size, flags. */
static void decoy(size_t pages, size_t prev_size, size_t size_word)
{
    char *p = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        victim_die("mmap");
    for (size_t i = 0; i < pages; i++)
        memcpy(p + i * PAGE + LEAD, (size_t[]){prev_size, size_word}, VICTIM_HEADER);
}

/*
 * None of these can be a chunk: each breaks one rule. Up to glibc 2.42 a chunk's size reaches to
 * the end of its pages, since 2.43 to one header before it.
 */
static void decoys(void)
{
    size_t tail = victim_libc_since(2, 43) ? VICTIM_HEADER : 0, other = VICTIM_HEADER - tail;
    size_t one = PAGE - LEAD - tail, two = one + PAGE; /* what fills one page, two pages */

    decoy(4, LEAD, ((1 << 30) - LEAD - tail) | 2); /* larger than any mapping here */
    decoy(4, LEAD, (one - 16) | 2);                /* does not end on a page */
    decoy(4, LEAD, (PAGE - LEAD - other) | 2);     /* ends as it would in the other glibc */
    decoy(4, LEAD + 16, one | 2);                  /* the same with a lead */
    decoy(4, LEAD, 2);                             /* of no bytes */
    decoy(4, LEAD, one | 3);                       /* "previous in use" is never set */
    decoy(4, LEAD, one | 6);                       /* belongs to an arena and to none */
    decoy(4, LEAD - PAGE, two | 2);                /* lead and size wrap around to one page */
    decoy(4, LEAD + PAGE + 8, (one - 8) | 2);      /* not aligned */
}

/* Frees 8 of 40 blocks; the largest chunk among them. */
static size_t blocks(uint64_t *rng, size_t lo, size_t hi)
{
    void *p[40];
    size_t largest = 0;
    for (size_t i = 0; i < 40; i++) {
        p[i] = i % 2 ? victim_malloc(victim_between(rng, lo, hi))
                     : victim_calloc(lo + (hi - lo) / 48 * i);
        memset(p[i], 0x5A, 100);
    }
    for (size_t i = 0; i < 40; i += 5) {
        size_t chunk = malloc_usable_size(p[i]) + victim_mmapped_cost();
        largest = chunk > largest ? chunk : largest;
        victim_free(p[i]);
    }
    for (size_t i = 1; i < 40; i += 10) /* grow, so that they move; shrink, so that they stay */
        victim_realloc(p[i], 4 * hi + i * PAGE);
    for (size_t i = 2; i < 40; i += 10)
        victim_realloc(p[i], lo + 100);
    return largest;
}

int main(int argc, char **argv)
{
    uint64_t rng = 4711;
    victim_start(argc, argv);
    decoys();
    victim_malloc(1000);
    if (victim_is(0, "dynamic")) {
        /* The first free of a mapped block teaches the allocator that such sizes come and go. */
        void *p = victim_malloc(5 * UNIT);
        victim_free(p);
        for (size_t i = 0; i < 4; i++)
            victim_malloc(2 * UNIT + i * 12345); /* now in the heap */
        size_t largest = blocks(&rng, 6 * UNIT, 7 * UNIT);
        victim_expect("param mmap_threshold %zu", largest);
        victim_expect("param trim_threshold %zu", 2 * largest);
        victim_expect("param mmap_threshold_dynamic 1");
    } else {
        victim_mmap_threshold(64 * 1024);
        victim_expect("param mmap_threshold %d", 64 * 1024);
        victim_expect("param mmap_threshold_dynamic 0");
        blocks(&rng, 64 * 1024, 512 * 1024);
        for (size_t align = 32; align <= (2 << 20); align *= 4)
            victim_memalign(align, 70000 + align);
        victim_realloc(victim_memalign(1 << 16, 100000), 900000);
    }
    decoys();
    victim_ready();
}
