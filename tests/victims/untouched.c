/*
 * untouched [MIB]: a heap of which hardly a page was ever touched: large chunks of the main arena,
 * of a thread arena and with mappings of their own, between small ones that are used. A core of it
 * has next to nothing but holes.
 */
#include "victim.h"

#include <malloc.h>
#include <stdlib.h>

#define MIB  ((size_t)1 << 20)
#define EACH (24 * MIB)

/* Some small blocks, of which some are freed, in fastbins, too. */
static void small(uint64_t *rng)
{
    void *p[60];
    for (size_t i = 0; i < 60; i++)
        p[i] = victim_malloc(victim_between(rng, 20, i % 6 ? 100 : 2000));
    for (size_t i = 0; i < 60; i += 3)
        victim_free(p[i]);
}

static void *in_thread(void *arg)
{
    uint64_t rng = 5;
    (void)arg;
    for (unsigned i = 0; i < 4; i++) {
        victim_malloc(EACH);
        small(&rng);
    }
    return victim_park();
}

int main(int argc, char **argv)
{
    victim_start(argc, argv);
    uint64_t rng = 4;
    size_t each = victim_number(0, 256) * MIB / 20;
    void *kept[16];
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    mallopt(M_MMAP_MAX, 0);
    for (unsigned i = 0; i < 16; i++) {
        kept[i] = victim_malloc(each);
        small(&rng);
    }
    for (unsigned i = 0; i < 16; i += 4)
        victim_free(kept[i]);
    victim_thread(in_thread, NULL);
    victim_wait_parked(1);
    mallopt(M_MMAP_MAX, 65536);
    mallopt(M_MMAP_THRESHOLD, 128 << 10);
    for (unsigned i = 0; i < 4; i++)
        victim_malloc(each + EACH);
    victim_ready();
}
