/*
 * idle-arenas [ARENAS [BUSY]]: that many threads at a time, each with an arena of its own. All but
 * BUSY of them are gone: their arenas keep what other threads hold of them, and the free memory.
 *
 * To be run with MALLOC_ARENA_MAX of ARENAS + 1 at least.
 */
#include "victim.h"

#include <string.h>

#define MOST   128
#define BLOCKS 60

static struct {
    size_t arenas, busy;
    pthread_barrier_t filled;
} shared;

static void *run(void *arg)
{
    size_t me = (size_t)arg;
    uint64_t rng = 5 + me;
    void *blocks[BLOCKS];

    for (size_t i = 0; i < BLOCKS; i++) {
        size_t bytes = victim_between(&rng, 100, 20000);
        blocks[i] = memset(victim_malloc(bytes), 0xFF, bytes);
    }
    pthread_barrier_wait(&shared.filled);
    for (size_t i = 0; i < BLOCKS; i++)
        if (me % 3 == 0 || i % 7)
            victim_free(blocks[i]);
    return me < shared.busy ? victim_park() : NULL;
}

int main(int argc, char **argv)
{
    static pthread_t threads[MOST];

    victim_start(argc, argv);
    shared.arenas = victim_number(0, 64);
    shared.busy = victim_number(1, 6);
    if (shared.arenas > MOST || shared.busy > shared.arenas)
        victim_die("arenas");
    pthread_barrier_init(&shared.filled, NULL, (unsigned)shared.arenas);
    for (size_t i = 0; i < shared.arenas; i++)
        threads[i] = victim_thread(run, (void *)i);
    for (size_t i = shared.busy; i < shared.arenas; i++)
        if (pthread_join(threads[i], NULL) != 0)
            victim_die("pthread_join");
    victim_wait_parked((unsigned)shared.busy);
    victim_ready();
}
