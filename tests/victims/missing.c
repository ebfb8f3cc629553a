/*
 * missing dontdump|none|guard main|thread|mmapped|regions|small|arenas: a part of malloc's memory
 * is not in a core of this program. Either the program asks for that, as numerical libraries do for
 * large buffers and as programs do for what is secret; or it is PROT_NONE and was never touched,
 * which gdb's gcore leaves out without a trace; or it has guard pages, which gcore cannot read and
 * saves as zeros, with all that lies around them.
 *
 * In expect.txt: "missing ADDRESS BYTES" for each part.
 */
#include "victim.h"

#include <malloc.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE  ((uintptr_t)4096)
#define LARGE ((size_t)400000)

#define GUARD_INSTALL 102 /* MADV_GUARD_INSTALL */

static void lose(uintptr_t start, uintptr_t end)
{
    start = (start + PAGE - 1) / PAGE * PAGE;
    end = end / PAGE * PAGE;
    if (victim_is(0, "guard") && madvise((void *)start, end - start, GUARD_INSTALL) != 0)
        return; /* since Linux 6.13 */
    if (victim_is(0, "none") && mprotect((void *)start, end - start, PROT_NONE) != 0)
        victim_die("mprotect");
    if (victim_is(0, "dontdump") && madvise((void *)start, end - start, MADV_DONTDUMP) != 0)
        victim_die("madvise");
    victim_expect("missing %#zx %zu", (size_t)start, (size_t)(end - start));
}

/* A chunk of which only the ends are there: its own header, and that of the next one. */
static void *lose_within(size_t bytes)
{
    char *p = victim_malloc(bytes);
    lose((uintptr_t)p + 1, (uintptr_t)p + bytes - VICTIM_HEADER);
    return p;
}

static void surround(void)
{
    void *first = victim_malloc(2000);
    victim_malloc(300);
    lose_within(LARGE);
    victim_malloc(40);
    void *second = victim_malloc(5000);
    victim_malloc(700);
    victim_free(first);
    victim_free(second);
}

static void *in_thread(void *arg)
{
    surround();
    return arg ? arg : victim_park();
}

static void block_break(void)
{
    void *end = (void *)(((uintptr_t)sbrk(0) + PAGE - 1) & ~(PAGE - 1));
    if (mmap(end, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != end)
        victim_die("mmap above the break");
    victim_expect("noncontiguous 1");
}

/* First in what sbrk() gave, then in memory from mmap(), which no list names. */
static void in_regions(void)
{
    surround();
    block_break();
    for (unsigned i = 0; i < 10; i++)
        victim_malloc(200000);
    surround();
    for (unsigned i = 0; i < 10; i++)
        victim_malloc(200000);
}

/* Pages full of chunks: their headers are lost, too. */
static void small_chunks(void)
{
    char *p[4000];
    for (size_t i = 0; i < 4000; i++)
        p[i] = victim_malloc(120);
    for (size_t i = 0; i < 4000; i += 3)
        victim_free(p[i]);
    lose((uintptr_t)p[1000], (uintptr_t)p[1500]);
    lose((uintptr_t)p[2500], (uintptr_t)p[2600]);
}

/* Chunks of many sizes, in use, in bins, fastbins and the tcache, that lead to each other all over
 * the arena. */
static void mix(void **p, size_t count)
{
    for (size_t i = 0; i < count; i++)
        p[i] = victim_malloc(20 + i * 37 % 900);
    for (size_t i = 0; i < count; i += 3)
        victim_free(p[i]);
    for (size_t i = 1; i < count; i += 7)
        if (i % 3)
            victim_free(p[i]);
}

#define MIXED    3000
#define HEAP_MAX ((uintptr_t)64 << 20)

enum {
    LOSE_ARENA = 1, /* heap_info, malloc_state and tcache */
    LOSE_LAST_HEAP, /* its heap_info */
    LOSE_FIRST_OF_TWO,
    LOSE_NO_MORE,
    LOSE_ARENA_TOO,
    ARENAS,
};

static void *in_arena(void *arg)
{
    uintptr_t what = (uintptr_t)arg;
    static void *all[ARENAS][MIXED];
    void **p = all[what];
    mix(p, MIXED);
    lose((uintptr_t)p[1500], (uintptr_t)p[1500] + 65536);
    uintptr_t first = (uintptr_t)p[0] / HEAP_MAX * HEAP_MAX, last = first;
    if (what == LOSE_LAST_HEAP || what == LOSE_FIRST_OF_TWO)
        for (unsigned i = 0; i < 80; i++)
            last = (uintptr_t)victim_malloc(1000000) / HEAP_MAX * HEAP_MAX;
    if (what == LOSE_ARENA || what == LOSE_FIRST_OF_TWO || what == LOSE_ARENA_TOO)
        lose(first, first + PAGE);
    if (what == LOSE_LAST_HEAP)
        lose(last, last + PAGE);
    return victim_park();
}

/* One after the other, as each loses other parts. */
static void in_arenas(void)
{
    static void *p[MIXED];
    mix(p, MIXED);
    lose((uintptr_t)p[1500], (uintptr_t)p[1500] + 65536);
    for (uintptr_t i = 1; i < ARENAS; i++) {
        victim_thread(in_arena, (void *)i);
        victim_wait_parked((unsigned)i);
    }
}

int main(int argc, char **argv)
{
    victim_start(argc, argv);
    if (victim_is(1, "mmapped")) {
        victim_malloc(100);
        lose_within(2 * LARGE);
        lose_within(LARGE);
        victim_ready();
    }
    victim_mmap_threshold((size_t)1 << 30);
    victim_malloc(100);
    if (victim_is(1, "main"))
        surround();
    else if (victim_is(1, "regions"))
        in_regions();
    else if (victim_is(1, "small"))
        small_chunks();
    else if (victim_is(1, "arenas"))
        in_arenas();
    else if (!victim_is(1, "thread"))
        victim_die("where?");
    if (victim_is(1, "thread")) {
        victim_thread(in_thread, NULL);
        victim_wait_parked(1);
    }
    victim_ready();
}
