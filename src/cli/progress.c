/*
 * The line about how far a walk has come. A thread of its own writes it: a terminal may have been
 * halted (^S), and a process must not stand still for that.
 */
#include "manners.h"

#include <heapwalk/heapwalk.h>

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define FIRST_MS 1000
#define EVERY_MS 200
#define BAR      40
#define MIB      1048576.0

struct progress_writer {
    struct progress *progress;
    pthread_t thread;
    sem_t end;
};

static bool wait_end(struct progress_writer *w, int64_t ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + ms * 1000000;
    until.tv_sec += ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    return sem_clockwait(&w->end, CLOCK_MONOTONIC, &until) == 0;
}

static void write_line(const struct progress *p)
{
    static const char marks[BAR + 1] = "########################################";
    double done = (double)p->done, expected = (double)p->expected;
    if (expected <= 0) {
        fputs("\r\033[Kheapwalk: looking for symbols", stderr);
        return;
    }
    double share = done < expected ? done / expected : 1;
    int filled = (int)(share * BAR);
    fprintf(stderr, "\r\033[Kheapwalk: [%.*s%*s] %3.0f %% of %.0f MiB", filled, marks, BAR - filled,
            "", share * 100, expected / MIB);
}

static void *run(void *arg)
{
    struct progress_writer *w = arg;
    if (wait_end(w, FIRST_MS))
        return NULL;
    do
        write_line(w->progress);
    while (!wait_end(w, EVERY_MS));
    fputs("\r\033[K", stderr);
    return NULL;
}

/* Signals are for the main thread. */
static bool start(struct progress_writer *w)
{
    sigset_t all, old;
    sigfillset(&all);
    sigdelset(&all, SIGSYS); /* that one is always for the thread that asked for it */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    bool started = pthread_create(&w->thread, NULL, run, w) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return started;
}

void progress_begin(struct progress *p, bool wanted)
{
    *p = (struct progress){0};
    struct progress_writer *w = wanted ? calloc(1, sizeof *w) : NULL;
    if (!w)
        return;
    w->progress = p;
    sem_init(&w->end, 0, 0);
    if (start(w)) {
        p->writer = w;
    } else {
        sem_destroy(&w->end);
        free(w);
    }
}

void progress_tell(void *arg, uint64_t done, uint64_t expected)
{
    struct progress *p = arg;
    p->done = done;
    p->expected = expected;
}

void progress_end(struct progress *p)
{
    struct progress_writer *w = p->writer;
    if (!w)
        return;
    p->writer = NULL;
    sem_post(&w->end);
    pthread_join(w->thread, NULL);
    sem_destroy(&w->end);
    free(w);
}
