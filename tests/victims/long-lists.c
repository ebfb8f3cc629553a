/*
 * long-lists [COUNT]: the main arena and that of a thread, each with COUNT chunks of two fast
 * sizes, most of which are freed in random order: fastbins that jump about in more memory than
 * anybody would remember. The thread's are in two heaps, as large blocks nearly fill the first one.
 * What is in use begins with the address of a freed neighbour: words that look like links.
 */
#include "victim.h"

#include <stdlib.h>
#include <sys/mman.h>

#define KEPT_ONE_IN 8

static size_t count;

static size_t size_of(size_t i)
{
    return (i % 16 ? 14 : 5) * VICTIM_WORD - VICTIM_WORD; /* chunks of 112 or, some, of 48 bytes */
}

static void fill_and_free(uint64_t seed)
{
    void ***p =
        mmap(NULL, count * sizeof *p, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        victim_die("no memory for a list");
    for (size_t i = 0; i < count; i++)
        p[i] = victim_malloc(size_of(i));
    for (size_t i = 1; i < count; i += KEPT_ONE_IN)
        *p[i] = (char *)p[i - 1] - VICTIM_HEADER;
    size_t order = 0;
    for (size_t i = 0; i < count; i++)
        if (i % KEPT_ONE_IN != 1)
            p[order++] = p[i];
    for (size_t i = order - 1; i > 0; i--) {
        size_t k = victim_between(&seed, 0, i);
        void **other = p[i];
        p[i] = p[k];
        p[k] = other;
    }
    for (size_t i = 0; i < order; i++)
        victim_free(p[i]);
    munmap(p, count * sizeof *p);
}

static void *run(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < 3; i++)
        victim_malloc(VICTIM_HEAP_MAX / 16 * 5);
    fill_and_free(12345);
    return victim_park();
}

int main(int argc, char **argv)
{
    victim_start(argc, argv);
    count = victim_number(0, 200000);
    victim_reserve(2 * count);
    victim_mmap_threshold(VICTIM_HEAP_MAX / 2);
    victim_thread(run, NULL);
    victim_wait_parked(1);
    fill_and_free(54321);
    victim_ready();
}
