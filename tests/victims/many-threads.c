/*
 * many-threads [THREADS [BLOCKS]]: threads with blocks of mixed sizes, half of which are freed by
 * their neighbour: its tcache then holds chunks of an arena that is not its own.
 */
#include "victim.h"

#include <sys/mman.h>

#define MOST_THREADS 1024

static struct {
    size_t threads, blocks;
    void **held[MOST_THREADS]; /* each in a mapping of its own: another decoy */
    pthread_barrier_t created, filled;
} shared;

static size_t mixed_size(uint64_t *rng)
{
    switch (victim_between(rng, 0, 9)) {
    case 0:
        return victim_between(rng, 2000, 20000);
    case 1:
    case 2:
        return victim_between(rng, 500, 2000);
    default:
        return victim_between(rng, 0, 500);
    }
}

static void *run(void *arg)
{
    size_t me = (size_t)arg, next = (me + 1) % shared.threads;
    uint64_t rng = 77 + me;

    /* What a thread frees early, the first one may be given for the dtv of a later thread. From
     * 2.43 on it then has a tcache, or has none, by chance. */
    pthread_barrier_wait(&shared.created);
    for (size_t i = 0; i < shared.blocks; i++)
        shared.held[me][i] = victim_malloc(mixed_size(&rng));
    for (size_t i = 0; i < shared.blocks; i += 4)
        victim_free(shared.held[me][i]);
    pthread_barrier_wait(&shared.filled);
    for (size_t i = 1; i < shared.blocks; i += 4)
        victim_free(shared.held[next][i]);
    return victim_park();
}

int main(int argc, char **argv)
{
    victim_start(argc, argv);
    shared.threads = victim_number(0, 40);
    shared.blocks = victim_number(1, 500);
    if (shared.threads < 1 || shared.threads > MOST_THREADS)
        victim_die("threads");
    victim_reserve(shared.threads * shared.blocks);

    pthread_barrier_init(&shared.created, NULL, (unsigned)shared.threads + 1);
    pthread_barrier_init(&shared.filled, NULL, (unsigned)shared.threads);
    for (size_t i = 0; i < shared.threads; i++) {
        shared.held[i] = mmap(NULL, shared.blocks * sizeof(void *), PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (shared.held[i] == MAP_FAILED)
            victim_die("mmap");
    }
    victim_malloc(1);
    for (size_t i = 0; i < shared.threads; i++)
        victim_thread(run, (void *)i);
    pthread_barrier_wait(&shared.created);
    victim_wait_parked((unsigned)shared.threads);
    victim_ready();
}
