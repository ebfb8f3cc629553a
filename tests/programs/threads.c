/*
 * Five threads besides the first, each of which has freed a block of its own and sleeps. Says
 * "ready" when all do.
 */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define THREADS 5

static pthread_barrier_t freed;

static void free_one(void)
{
    free(malloc(100));
    pthread_barrier_wait(&freed);
}

static void *run(void *arg)
{
    free_one();
    for (;;)
        pause();
    return arg;
}

int main(void)
{
    pthread_t thread;
    pthread_barrier_init(&freed, NULL, THREADS + 1);
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&thread, NULL, run, NULL) != 0)
            return 1;
    free_one();
    if (write(STDOUT_FILENO, "ready\n", 6) != 6)
        return 1;
    for (;;)
        pause();
}
