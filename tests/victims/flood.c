/*
 * flood [THREADS [BLOCKS]]: allocates and frees as fast as it can, and always knows how much it
 * holds. THREADS hold about BLOCKS of mixed sizes each and exchange one after the other; one more
 * grows and ends, again and again, so that heaps grow and shrink. The file "flood" of the oracle's
 * directory is a page of words: the bytes of all live chunks, the least and the most that they have
 * been (set these to ~0 and 0 to begin anew), and the longest time in nanoseconds that a ticking
 * thread stood still (set it to 0).
 */
#include "victim.h"

#include <fcntl.h>
#include <malloc.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { LIVE, LEAST, MOST, GAP, WORDS };
#define EXTRA_BLOCKS 2000 /* of the thread that comes and goes */

static uint64_t *word;
static size_t blocks;
static pthread_barrier_t filled;

/* ---- the count ------------------------------------------------------------------------------ */

static void lower(uint64_t *to, uint64_t value)
{
    uint64_t old = __atomic_load_n(to, __ATOMIC_RELAXED);
    while (value < old &&
           !__atomic_compare_exchange_n(to, &old, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

static void raise_to(uint64_t *to, uint64_t value)
{
    uint64_t old = __atomic_load_n(to, __ATOMIC_RELAXED);
    while (value > old &&
           !__atomic_compare_exchange_n(to, &old, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

static void count(uint64_t bytes)
{
    uint64_t live = __atomic_add_fetch(&word[LIVE], bytes, __ATOMIC_RELAXED);
    lower(&word[LEAST], live);
    raise_to(&word[MOST], live);
}

static uint64_t chunk_bytes(void *p)
{
    return malloc_usable_size(p) + VICTIM_WORD;
}

static void let_go(void *p)
{
    if (!p)
        return;
    count(-chunk_bytes(p));
    free(p);
}

static void *take(uint64_t *rng)
{
    static const size_t most[] = {100, 300, 300, 1000, 1000, 4000, 20000};
    size_t limit = most[victim_between(rng, 0, sizeof most / sizeof *most - 1)];
    if (victim_between(rng, 0, 9999) == 0)
        limit = 400000; /* some have mappings of their own */
    size_t size = victim_between(rng, 1, limit);
    void *p = malloc(size);
    if (p) {
        memset(p, 1, size < 64 ? size : 64);
        count(chunk_bytes(p));
        return p;
    }
    victim_die("malloc");
}

/* ---- the threads ---------------------------------------------------------------------------- */

static void **new_list(size_t size)
{
    void **list =
        mmap(NULL, size * sizeof *list, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (list == MAP_FAILED)
        victim_die("mmap");
    return list;
}

static void *exchange(void *arg)
{
    uint64_t rng = (uintptr_t)arg + 1;
    void **held = new_list(blocks);
    for (size_t i = 0; i < blocks; i++)
        held[i] = take(&rng);
    pthread_barrier_wait(&filled);
    for (;;) {
        void **p = &held[victim_between(&rng, 0, blocks - 1)];
        let_go(*p);
        *p = take(&rng);
    }
    return NULL;
}

static void *come_and_go(void *list)
{
    static uint64_t seed = 99;
    void **held = list;
    uint64_t rng = seed++;
    for (size_t i = 0; i < EXTRA_BLOCKS; i++)
        held[i] = take(&rng);
    for (size_t i = 0; i < EXTRA_BLOCKS; i++)
        let_go(held[i]);
    return NULL;
}

static void *tick(void *arg)
{
    const struct timespec pause = {0, 100000};
    const struct sched_param before_others = {.sched_priority = 1};
    prctl(PR_SET_TIMERSLACK, 1);
    /* Where it may: what counts is standing still, not who else wants the CPU. */
    sched_setscheduler(0, SCHED_RR, &before_others);
    for (uint64_t last = 0;;) {
        struct timespec t;
        nanosleep(&pause, NULL);
        clock_gettime(CLOCK_MONOTONIC, &t);
        uint64_t now = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
        if (last)
            raise_to(&word[GAP], now - last);
        last = now;
    }
    return arg;
}

static void share_page(const char *directory)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/flood", directory);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || ftruncate(fd, sizeof *word * WORDS) != 0)
        victim_die(path);
    word = mmap(NULL, sizeof *word * WORDS, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (word == MAP_FAILED)
        victim_die("mmap");
}

int main(int argc, char **argv)
{
    victim_start(argc, argv);
    share_page(argv[1]);
    size_t threads = victim_number(0, 4);
    blocks = victim_number(1, 20000);

    pthread_barrier_init(&filled, NULL, (unsigned)threads + 1);
    for (size_t i = 0; i < threads; i++)
        victim_thread(exchange, (void *)i);
    pthread_barrier_wait(&filled);
    victim_thread(tick, NULL);
    if (write(STDOUT_FILENO, "ready\n", 6) != 6)
        return 1;
    for (void **list = new_list(EXTRA_BLOCKS);;)
        pthread_join(victim_thread(come_and_go, list), NULL);
}
