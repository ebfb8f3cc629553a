/*
 * A program with two well-known ways to hold memory that it has long freed.
 *
 *   A pinned top. The main thread fills a queue of a million buffers of 1 KB and frees all of them
 * but the last. The brk heap can only shrink from its end, where that last buffer lies: the program
 *   holds 1 KB, the process keeps 1 GB.
 *
 *   Idle arenas. A few dozen threads have one busy moment each: they fill the arena that malloc
 * gave them with some tens of MB, free all of it but one small block, and wait for more work, for
 * ever. A thread's heaps can only shrink from their ends as well.
 *
 * usage: fragmented [BUFFERS [THREADS [MIB_PER_THREAD]]]
 * Prints what it thinks it holds and what the kernel says, then a line "ready", then waits. SIGUSR1
 * makes it call malloc_trim(0).
 */
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define BUFFER_BYTES 1000
#define MAX_THREADS  1000
#define MIB          ((size_t)1 << 20)

struct worker {
    pthread_t thread;
    size_t bytes; /* how much it allocates in its busy moment */
    char *kept;   /* the one block it still holds */
    pthread_barrier_t
        *go; /* all are busy at the same time, so that each gets an arena of its own */
    pthread_barrier_t *done;
};

static void *allocate(size_t bytes)
{
    void *p = malloc(bytes);
    if (!p) {
        fprintf(stderr, "fragmented: out of memory\n");
        exit(1);
    }
    memset(p, 0x5a, bytes); /* only what is written becomes resident */
    return p;
}

/* Requests of a server: mostly small, now and then some pages; all below the mmap threshold. */
static size_t request_bytes(unsigned i)
{
    static const size_t sizes[] = {72, 200, 1500, 4096, 24, 900, 16384, 320};
    return sizes[i % (sizeof sizes / sizeof *sizes)];
}

/* Allocates `bytes` in a list of blocks, then frees the list and keeps one last small block. */
static void *busy_moment(void *arg)
{
    struct worker *w = arg;
    void **list = NULL;

    pthread_barrier_wait(w->go);
    for (size_t done = 0, i = 0; done < w->bytes; i++) {
        size_t size = request_bytes((unsigned)i);
        void **block = allocate(size);
        *block = list;
        list = block;
        done += size;
    }
    w->kept = allocate(100);
    while (list) {
        void **next = *list;
        free(list);
        list = next;
    }
    pthread_barrier_wait(w->done);
    for (;;)
        pause();
    return NULL;
}

/* A million buffers, all freed but the last. */
static char *fill_queue(size_t buffers)
{
    char **queue = allocate(buffers * sizeof *queue);
    for (size_t i = 0; i < buffers; i++)
        queue[i] = allocate(BUFFER_BYTES);
    for (size_t i = 0; i + 1 < buffers; i++)
        free(queue[i]);
    char *last = queue[buffers - 1];
    free(queue);
    return last;
}

static size_t resident_bytes(void)
{
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%*s %lu", &pages) != 1)
        pages = 0;
    if (f)
        fclose(f);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void trim(void)
{
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    malloc_trim(0);
    clock_gettime(CLOCK_MONOTONIC, &to);
    printf("trimmed in %.2f s\n",
           (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9);
    fflush(stdout);
}

static size_t number(char **argv, int argc, int i, size_t otherwise)
{
    return i < argc ? strtoul(argv[i], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    static struct worker workers[MAX_THREADS];
    size_t buffers = number(argv, argc, 1, 1000000);
    size_t threads = number(argv, argc, 2, 24);
    size_t mib = number(argv, argc, 3, 24);
    if (buffers < 1 || threads > MAX_THREADS) {
        fprintf(stderr, "usage: fragmented [BUFFERS [THREADS [MIB_PER_THREAD]]]\n");
        return 64;
    }

    /* Some systems let only a parent look at its children (Yama); heapwalk is not our parent. */
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
    alarm(600); /* nobody waits that long for a demo */

    sigset_t wake;
    int signal;
    sigemptyset(&wake);
    sigaddset(&wake, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &wake, NULL); /* for the threads, too */

    char *last = fill_queue(buffers);

    pthread_barrier_t go, done;
    pthread_barrier_init(&go, NULL, (unsigned)threads + 1);
    pthread_barrier_init(&done, NULL, (unsigned)threads + 1);
    for (size_t i = 0; i < threads; i++) {
        workers[i] = (struct worker){.bytes = mib * MIB, .go = &go, .done = &done};
        if (pthread_create(&workers[i].thread, NULL, busy_moment, &workers[i]) != 0) {
            fprintf(stderr, "fragmented: cannot start thread %zu\n", i);
            return 1;
        }
    }
    pthread_barrier_wait(&go);
    pthread_barrier_wait(&done);

    size_t held = BUFFER_BYTES + threads * 100;
    size_t used = buffers * BUFFER_BYTES + threads * mib * MIB;
    printf("the program   allocated %zu MiB, freed it again, and holds %zu blocks of %.1f KiB "
           "together\n",
           used / MIB, threads + 1, (double)held / 1024.0);
    printf("the kernel    says that %zu MiB of it are resident\n", resident_bytes() / MIB);
    printf("ready\n");
    fflush(stdout);
    while (sigwait(&wake, &signal) == 0)
        trim();
    free(last); /* held until then */
    return 0;
}
