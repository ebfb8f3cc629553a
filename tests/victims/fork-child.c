/*
 * fork-child: the target is the child of a process with threads. Their arenas and their blocks are
 * there, the threads are not; what their tcaches held is lost for good and looks in use.
 */
#include "victim.h"

#include <sys/wait.h>
#include <unistd.h>

#define THREADS 8
#define CACHED  5 /* chunks that each thread leaves in its tcache */

static void *in_parent(void *arg)
{
    uint64_t rng = 1000 + (uintptr_t)arg;
    void *p[CACHED];

    for (size_t i = 0; i < 100; i++)
        victim_malloc(victim_between(&rng, 1, 5000));
    for (size_t i = 0; i < CACHED; i++)
        p[i] = victim_malloc(100);
    for (size_t i = 0; i < CACHED; i++)
        victim_free(p[i]);
    return victim_park();
}

static void *in_child(void *arg)
{
    uint64_t rng = 55;
    (void)arg;
    for (size_t i = 0; i < 100; i++) {
        void *p = victim_malloc(victim_between(&rng, 1, 5000));
        if (i % 3 == 0)
            victim_free(p);
    }
    return victim_park();
}

static void child(void)
{
    victim_is_child();
    for (size_t i = 0; i < 50; i++)
        victim_malloc(10 * i);
    victim_thread(in_child, NULL);
    victim_wait_parked(THREADS + 1); /* the parent's count was copied */
    victim_ready();
}

int main(int argc, char **argv)
{
    victim_start(argc, argv);
    for (size_t i = 0; i < THREADS; i++)
        victim_thread(in_parent, (void *)i);
    victim_wait_parked(THREADS);
    pid_t pid = fork();
    if (pid < 0)
        victim_die("fork");
    if (pid == 0)
        child();
    while (waitpid(pid, NULL, 0) < 0)
        ;
    return 0;
}
