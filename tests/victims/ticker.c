/*
 * ticker [THREADS [MIB]]: many threads, a heap of MIB megabytes, and a sign of life: every thread
 * counts in a page of the file "ticks" of the oracle's directory, as fast as it is woken.
 */
#include "victim.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MOST_THREADS 128

static uint64_t *ticks; /* one word per thread */

static void *run(void *arg)
{
    volatile uint64_t *mine = &ticks[(size_t)arg];
    for (;;) {
        ++*mine;
        usleep(1000);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    char path[4096];
    victim_start(argc, argv);
    size_t threads = victim_number(0, 50), mib = victim_number(1, 300);

    snprintf(path, sizeof path, "%s/ticks", argv[1]);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (threads > MOST_THREADS || fd < 0 || ftruncate(fd, sizeof *ticks * MOST_THREADS) != 0)
        victim_die(path);
    ticks = mmap(NULL, sizeof *ticks * MOST_THREADS, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (ticks == MAP_FAILED)
        victim_die("mmap");

    victim_reserve(mib * 1024);
    for (size_t i = 0; i < mib * 1024; i++) {
        void *p = victim_malloc(1000);
        memset(p, 1, 1000);
    }
    for (size_t i = 0; i < threads; i++)
        victim_thread(run, (void *)i);
    victim_ready();
}
