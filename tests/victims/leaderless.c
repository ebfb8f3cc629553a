/*
 * leaderless: the main thread has left by pthread_exit(), and the others go on, all of them in the
 * main arena. It never detached from that: so more threads are attached to it than there are.
 *
 * To be run with MALLOC_ARENA_MAX=1.
 */
#include "victim.h"

#define OTHERS 3
#define BLOCKS 200

static pthread_t leader;

static void *run(void *arg)
{
    size_t me = (size_t)arg;
    uint64_t rng = 7 + me;
    void *blocks[BLOCKS];

    for (size_t i = 0; i < BLOCKS; i++)
        blocks[i] = victim_malloc(victim_between(&rng, 20, 5000));
    for (size_t i = 0; i < BLOCKS; i += 3)
        victim_free(blocks[i]);
    if (me > 0)
        return victim_park();
    victim_wait_parked(OTHERS - 1);
    if (pthread_join(leader, NULL) != 0)
        victim_die("pthread_join");
    victim_ready();
}

int main(int argc, char **argv)
{
    victim_start(argc, argv);
    leader = pthread_self();
    victim_free(victim_malloc(100)); /* which attaches it */
    for (size_t i = 0; i < OTHERS; i++)
        victim_thread(run, (void *)i);
    pthread_exit(NULL);
}
