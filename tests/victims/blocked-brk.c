/*
 * blocked-brk [SEED]: something lies right above the program break, so the main arena must live on
 * mappings: it is not contiguous any more, and nothing lists its regions.
 */
#include "victim.h"

#include <sys/mman.h>
#include <unistd.h>

#define BLOCKS 120

int main(int argc, char **argv)
{
    void *held[BLOCKS];

    victim_start(argc, argv);
    uint64_t rng = victim_number(0, 31337);
    for (size_t i = 0; i < 50; i++)
        victim_malloc(victim_between(&rng, 10, 3000));

    void *end = (void *)(((uintptr_t)sbrk(0) + 4095) & ~(uintptr_t)4095);
    if (mmap(end, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != end)
        victim_die("mmap above the break");

    for (size_t i = 0; i < BLOCKS; i++) {
        held[i] = victim_malloc(victim_between(&rng, 20000, 120000));
        /* Keeps the next region from lying right below the last one, now and then. */
        if (i % 40 == 20 &&
            mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
            victim_die("mmap");
    }
    for (size_t i = 0; i < BLOCKS; i += 3)
        victim_free(held[i]);
    for (size_t i = 0; i < 200; i++) {
        void *p = victim_malloc(victim_between(&rng, 1, 200));
        if (i % 2)
            victim_free(p);
    }
    victim_expect("noncontiguous 1");
    victim_ready();
}
