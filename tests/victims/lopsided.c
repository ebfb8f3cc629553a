/*
 * lopsided [MIB [THREADS]]: a main arena of MIB megabytes in small blocks, and THREADS with small
 * arenas of their own. Each thread, the main one too, changes its arena again and again, with a
 * pause in between.
 *
 * To be run with MALLOC_ARENA_MAX of THREADS + 1 at least.
 */
#include "victim.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SMALL 24
#define HELD  100

static pthread_barrier_t filled;

static void *block(size_t bytes)
{
    void *p = malloc(bytes);
    if (p)
        return memset(p, 1, bytes);
    victim_die("malloc");
}

/* Of sizes that no tcache takes, so that the arena itself changes. */
static void *any_block(uint64_t *rng)
{
    return block(victim_between(rng, 1500, 3000));
}

static void exchange(uint64_t seed)
{
    void *held[HELD];
    for (size_t i = 0; i < HELD; i++)
        held[i] = any_block(&seed);
    pthread_barrier_wait(&filled);
    for (;; usleep(500)) {
        void **p = &held[victim_between(&seed, 0, HELD - 1)];
        free(*p);
        *p = any_block(&seed);
    }
}

static void *run(void *arg)
{
    exchange((uintptr_t)arg + 2);
    return NULL;
}

static void *say(void *arg)
{
    pthread_barrier_wait(&filled);
    if (write(STDOUT_FILENO, "ready\n", 6) != 6)
        exit(1);
    return arg;
}

int main(int argc, char **argv)
{
    victim_start(argc, argv);
    size_t mib = victim_number(0, 256), threads = victim_number(1, 4);
    for (size_t n = (mib << 20) / VICTIM_LEAST; n; n--)
        block(SMALL);
    pthread_barrier_init(&filled, NULL, (unsigned)threads + 2);
    for (size_t i = 0; i < threads; i++)
        victim_thread(run, (void *)i);
    victim_thread(say, NULL);
    exchange(1);
}
