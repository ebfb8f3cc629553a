/*
 * fork-gap [MIB]: a heap of MIB megabytes in small pages, and a clock. The file "gap" of the
 * oracle's directory is a page of words: the longest time that a ticking thread stood still (set it
 * to 0 to begin anew), the number of forks asked for, the number done, and how long the last one
 * took, in nanoseconds.
 */
#include "victim.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { GAP, ASKED, DONE, TOOK, WORDS };
static volatile uint64_t *word;

static uint64_t now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void *tick(void *arg)
{
    for (uint64_t last = now();;) {
        usleep(100);
        uint64_t t = now();
        if (t - last > word[GAP])
            word[GAP] = t - last;
        last = t;
    }
    return arg;
}

static void *fork_when_asked(void *arg)
{
    for (;; usleep(1000)) {
        if (word[DONE] == word[ASKED])
            continue;
        uint64_t start = now();
        pid_t child = fork();
        uint64_t end = now();
        if (child == 0)
            _exit(0);
        waitpid(child, NULL, 0);
        word[TOOK] = end - start;
        word[DONE] = word[ASKED];
    }
    return arg;
}

int main(int argc, char **argv)
{
    char path[4096];
    victim_start(argc, argv);
    size_t mib = victim_number(0, 512);

    snprintf(path, sizeof path, "%s/gap", argv[1]);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || ftruncate(fd, sizeof *word * WORDS) != 0)
        victim_die(path);
    word = mmap(NULL, sizeof *word * WORDS, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (word == MAP_FAILED)
        victim_die("mmap");

    victim_reserve(mib * 1024);
    for (size_t i = 0; i < mib * 1024; i++)
        memset(victim_malloc(1000), 1, 1000);
    victim_thread(tick, NULL);
    victim_thread(fork_when_asked, NULL);
    victim_ready();
}
