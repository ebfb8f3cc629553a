/*
 * busy [THREADS [LINES [BLOCKS]]]: never stands still. THREADS allocate and free as fast as they
 * can; in each of LINES a thread ends after a while, and has started the next one before. Each
 * holds up to BLOCKS. No oracle: whoever looks must cope with locked arenas and half-done work.
 */
#include "victim.h"

#include <stdlib.h>
#include <unistd.h>

#define MOST_BLOCKS 400

static size_t blocks;

static void churn(uint64_t seed, size_t operations)
{
    void *held[MOST_BLOCKS] = {0};
    uint64_t rng = seed;
    for (size_t n = 0; !operations || n < operations; n++) {
        void **p = &held[victim_between(&rng, 0, blocks - 1)];
        free(*p);
        *p = malloc(victim_between(&rng, 0, 99) ? victim_between(&rng, 0, 3000)
                                                : victim_between(&rng, 3000, 300000));
        if (!*p)
            victim_die("malloc");
    }
    for (size_t i = 0; i < blocks; i++)
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
    pthread_detach(victim_thread(mayfly, (char *)arg + 1));
    return NULL;
}

int main(int argc, char **argv)
{
    victim_start(argc, argv);
    blocks = victim_number(2, MOST_BLOCKS);
    if (blocks < 1 || blocks > MOST_BLOCKS)
        victim_die("blocks");
    for (size_t i = 0; i < victim_number(0, 6); i++)
        victim_thread(run, (void *)i);
    for (size_t i = 0; i < victim_number(1, 1); i++)
        pthread_detach(victim_thread(mayfly, (void *)(i << 32)));
    if (write(STDOUT_FILENO, "ready\n", 6) != 6)
        return 1;
    for (;;)
        pause();
}
