/*
 * mixed [OPERATIONS [SEED]]: malloc, calloc, memalign, realloc and free at random, in two threads,
 * from some bytes to blocks with mappings of their own.
 */
#include "victim.h"

#define HELD 1500

static size_t some_size(uint64_t *rng)
{
    switch (victim_between(rng, 0, 99)) {
    case 0:
        return victim_between(rng, 100000, 400000);
    case 1:
    case 2:
    case 3:
    case 4:
        return victim_between(rng, 5000, 60000);
    default:
        return victim_between(rng, 0, 1500);
    }
}

static void *some_block(uint64_t *rng)
{
    switch (victim_between(rng, 0, 5)) {
    case 0:
        return victim_calloc(some_size(rng));
    case 1:
        return victim_memalign((size_t)1 << victim_between(rng, 4, 13), some_size(rng));
    default:
        return victim_malloc(some_size(rng));
    }
}

static void churn(uint64_t seed)
{
    static _Thread_local void *held[HELD];
    uint64_t rng = seed;
    size_t operations = victim_number(0, 20000);

    for (size_t i = 0; i < operations; i++) {
        void **p = &held[victim_between(&rng, 0, HELD - 1)];
        if (!*p) {
            *p = some_block(&rng);
        } else if (victim_between(&rng, 0, 2) == 0) {
            *p = victim_realloc(*p, 1 + some_size(&rng));
        } else {
            victim_free(*p);
            *p = NULL;
        }
    }
}

static void *run(void *arg)
{
    churn((uintptr_t)arg);
    return victim_park();
}

int main(int argc, char **argv)
{
    victim_start(argc, argv);
    victim_thread(run, (void *)(2023 + victim_number(1, 1)));
    victim_wait_parked(1);
    churn(victim_number(1, 1));
    victim_ready();
}
