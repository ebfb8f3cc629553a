/*
 * grower: grows by known amounts, for reports that are compared. Each order "g" allocates
 *
 *     SMALL blocks in the main thread, in the main arena
 *     LARGE blocks in each of two threads, in the arena of each
 *     one block with a mapping of its own
 *
 * and the second order starts a thread, with an arena that was not there before, which does as the
 * two. The answer is what glibc counts, and what chunks the victim got: uordblks before and after,
 * hblkhd before and after, arena before and after, bytes of the chunks in the main arena, bytes of
 * those in each thread's.
 */
#include "victim.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { SMALL = 2000, SMALL_SIZE = 200, LARGE = 500, LARGE_SIZE = 3000, MAPPED_SIZE = 1 << 20 };

static unsigned wanted, done, threads;

/* Bytes of so many chunks, written to. */
static size_t take(size_t count, size_t size)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        void *p = memset(victim_malloc(size), 1, size);
        bytes += malloc_usable_size(p) + VICTIM_WORD;
    }
    return bytes;
}

static size_t taken_by_thread;

/* One round for each order. */
static void *run(void *arg)
{
    unsigned round = (unsigned)(uintptr_t)arg;
    take(10, LARGE_SIZE);
    __atomic_add_fetch(&done, 1, __ATOMIC_SEQ_CST);
    for (;; round++) {
        while (__atomic_load_n(&wanted, __ATOMIC_SEQ_CST) <= round)
            usleep(1000);
        size_t bytes = take(LARGE, LARGE_SIZE);
        __atomic_store_n(&taken_by_thread, bytes, __ATOMIC_SEQ_CST);
        __atomic_add_fetch(&done, 1, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

static void start(unsigned round)
{
    __atomic_store_n(&done, 0, __ATOMIC_SEQ_CST);
    victim_thread(run, (void *)(uintptr_t)round);
    threads++;
    while (__atomic_load_n(&done, __ATOMIC_SEQ_CST) != 1)
        usleep(1000);
}

struct count {
    size_t used, mapped, system;
};

static struct count count(void)
{
#if __GLIBC_PREREQ(2, 33)
    struct mallinfo2 m = mallinfo2();
    return (struct count){m.uordblks, m.hblkhd, m.arena};
#else
    struct mallinfo m = mallinfo();
    return (struct count){(size_t)m.uordblks, (size_t)m.hblkhd, (size_t)m.arena};
#endif
}

static void grow(char answer[VICTIM_ANSWER])
{
    struct count before = count();
    unsigned round = wanted;
    if (round == 1)
        start(round);
    __atomic_store_n(&done, 0, __ATOMIC_SEQ_CST);
    size_t main_bytes = take(SMALL, SMALL_SIZE);
    take(1, MAPPED_SIZE);
    __atomic_store_n(&wanted, round + 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&done, __ATOMIC_SEQ_CST) != threads)
        usleep(1000);
    struct count after = count();
    snprintf(answer, VICTIM_ANSWER, "%zu %zu %zu %zu %zu %zu %zu %zu", before.used, after.used,
             before.mapped, after.mapped, before.system, after.system, main_bytes, taken_by_thread);
}

int main(int argc, char **argv)
{
    victim_start(argc, argv);
    victim_mmap_threshold(MAPPED_SIZE / 2);
    take(100, SMALL_SIZE);
    start(0);
    start(0);
    victim_obey(grow);
    victim_ready();
}
