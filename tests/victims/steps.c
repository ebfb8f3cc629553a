/*
 * steps STEP ...: a heap built by a small language, for tests that need many heaps that differ
 * little. Blocks are written to, and are not the oracle's: they are too many to be listed.
 *
 *     fill:COUNT:SIZE    blocks on the list
 *     free:KEEP          free the list from its begin, but every KEEP-th block; 0: all of them
 *     hold:COUNT:SIZE    blocks that stay, and are on no list
 *     map:BYTES          memory that is not malloc's, written to
 *     trim               malloc_trim(0)
 *     lock               mlockall()
 *     lock:BYTES         as map, locked
 *     pageout            ask the kernel to swap out all that malloc has by brk
 *     threads:COUNT      so many threads do the steps from here to the next `main` or the end, each
 *                        for itself, and park
 *     main               back to the main thread, once all threads are parked
 */
#include "victim.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

static struct {
    int count;
    char **steps;
    unsigned threads;
    char *first_break;
} self;

/* The blocks of one thread, in a mapping of their own that is gone when they are. */
struct list {
    void **blocks;
    size_t count, room;
};

static void *block(size_t size)
{
    void *p = malloc(size);
    if (p)
        return memset(p, 1, size);
    victim_die("malloc");
}

static void *map(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        victim_die("mmap");
    return memset(p, 1, bytes);
}

static void fill(struct list *l, size_t count, size_t size)
{
    l->room = count * sizeof *l->blocks;
    l->blocks = map(l->room);
    for (l->count = 0; l->count < count; l->count++)
        l->blocks[l->count] = block(size);
}

static void free_list(struct list *l, size_t keep)
{
    for (size_t i = 0; i < l->count; i++)
        if (keep == 0 || i % keep != keep - 1)
            free(l->blocks[i]);
    munmap(l->blocks, l->room);
    *l = (struct list){0};
}

static int first_step_of_threads;
static void do_steps(int i, int until);

static int is(const char *step, const char *word)
{
    size_t length = strlen(word);
    return strncmp(step, word, length) == 0 && (step[length] == ':' || step[length] == '\0');
}

static int next_main(int i)
{
    while (i < self.count && !is(self.steps[i], "main"))
        i++;
    return i;
}

static void *run_thread(void *arg)
{
    (void)arg;
    do_steps(first_step_of_threads, next_main(first_step_of_threads));
    return victim_park();
}

static void start_threads(unsigned count, int first)
{
    first_step_of_threads = first;
    for (unsigned n = 0; n < count; n++)
        victim_thread(run_thread, NULL);
    self.threads += count;
    victim_wait_parked(self.threads);
}

static void do_step(struct list *list, const char *step, size_t a, size_t b)
{
    if (is(step, "fill"))
        fill(list, a, b);
    else if (is(step, "free"))
        free_list(list, a);
    else if (is(step, "hold"))
        for (size_t n = 0; n < a; n++)
            block(b);
    else if (is(step, "map"))
        map(a);
    else if (is(step, "trim"))
        malloc_trim(0);
    else if (is(step, "lock") && (a ? mlock(map(a), a) : mlockall(MCL_CURRENT)) != 0)
        victim_die("mlock");
    else if (is(step, "pageout") &&
             madvise(self.first_break, (size_t)((char *)sbrk(0) - self.first_break),
                     MADV_PAGEOUT) != 0)
        victim_die("madvise");
}

static void do_steps(int i, int until)
{
    struct list list = {0};
    for (; i < until; i++) {
        size_t a = 0, b = 0;
        sscanf(self.steps[i], "%*[a-z]:%zu:%zu", &a, &b);
        if (is(self.steps[i], "threads")) {
            start_threads((unsigned)a, i + 1);
            i = next_main(i);
        } else {
            do_step(&list, self.steps[i], a, b);
        }
    }
}

int main(int argc, char **argv)
{
    victim_start(argc, argv);
    self.count = argc - 2;
    self.steps = argv + 2;
    self.first_break = sbrk(0);
    self.first_break += (0x1000 - (uintptr_t)self.first_break % 0x1000) % 0x1000;
    do_steps(0, self.count);
    victim_ready();
}
