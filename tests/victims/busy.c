/*
 * busy [THREADS]: never stands still. Threads allocate and free as fast as they can, and some end
 * and are born again. No oracle: whoever looks must cope with locked arenas and half-done work.
 */
#include "victim.h"

#include <stdlib.h>
#include <unistd.h>

#define HELD 400

static void churn(uint64_t seed, size_t operations)
{
    void *held[HELD] = {0};
    uint64_t rng = seed;
    for (size_t n = 0; !operations || n < operations; n++) {
        void **p = &held[victim_between(&rng, 0, HELD - 1)];
        free(*p);
        *p = malloc(victim_between(&rng, 0, 99) ? victim_between(&rng, 0, 3000)
                                                : victim_between(&rng, 3000, 300000));
        if (!*p)
            victim_die("malloc");
    }
    for (size_t i = 0; i < HELD; i++)
        free(held[i]);
}

static void *run(void *arg)
{
    churn((uintptr_t)arg + 1, 0);
    return NULL;
}

static void *mayfly(void *arg)
{
    churn((uintptr_t)arg + 1, 2000);
    return NULL;
}

int main(int argc, char **argv)
{
    victim_start(argc, argv);
    for (size_t i = 0; i < victim_number(0, 6); i++)
        victim_thread(run, (void *)i);
    if (write(STDOUT_FILENO, "ready\n", 6) != 6)
        return 1;
    for (size_t i = 0;; i++)
        pthread_join(victim_thread(mayfly, (void *)i), NULL);
}
