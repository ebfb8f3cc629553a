/*
 * big-arenas: two thread arenas of several 64 MiB heaps each, and every way in which a heap that is
 * not the last can end:
 *
 *     ... live chunk | fence              nothing was left before the fence
 *     ... live chunk | fence + 16         16 bytes were left, too few for a chunk
 *     ... live chunk | 32 free | fence    a remainder so small that it goes into a tcache
 *     ... live chunk | 8 KiB free | fence a remainder that goes into a bin
 *     ... free chunk | fence              the block before was freed and merged with the remainder
 */
#include "victim.h"

#include <malloc.h>

#define HEAP_MAX    ((uintptr_t)64 << 20)
#define BLOCK       ((size_t)100000)
#define HEADER      ((size_t)8) /* what a chunk adds to what malloc_usable_size() says */
#define BLOCK_COUNT 800
#define OLDER       3 /* heaps that are not the last */

struct ending {
    size_t left;   /* bytes of the heap that are left when it is given up; 32 at least */
    int free_last; /* free the block before them */
    size_t holes;  /* free every so many blocks of this heap */
};

static const struct ending older_heaps[2][OLDER] = {
    {{32, 0, 0}, {48, 0, 3}, {32 + 32, 0, 2}},
    {{32 + 8192, 0, 5}, {32 + 4096, 1, 0}, {32 + 112, 0, 2}},
};

/* Bytes between the end of the block's chunk and the end of its heap. */
static size_t left_behind(const void *block)
{
    uintptr_t chunk_end = (uintptr_t)block + malloc_usable_size((void *)block) - HEADER;
    return HEAP_MAX - chunk_end % HEAP_MAX;
}

/* The blocks of one heap, in order of address. */
struct heap {
    void *blocks[BLOCK_COUNT];
    size_t count;
};

/* Fill the heap that begins with `first` up to its end; returns the first block of the next. */
static void *fill_heap(struct heap *h, void *first, const struct ending *e)
{
    void *last = first;

    h->blocks[h->count++] = first;
    while (left_behind(last) > 4 * BLOCK && h->count < BLOCK_COUNT - 1)
        h->blocks[h->count++] = last = victim_malloc(BLOCK);
    /* Its chunk takes all but e->left bytes; the block in it is 8 bytes smaller. */
    h->blocks[h->count++] = last = victim_malloc(left_behind(last) - e->left - HEADER);
    if (left_behind(last) != e->left)
        victim_die("the heap does not end where it should");
    void *next = victim_malloc(BLOCK);
    if ((uintptr_t)next / HEAP_MAX == (uintptr_t)last / HEAP_MAX)
        victim_die("the next heap was not opened");
    return next;
}

static void drill(const struct heap *h, const struct ending *e)
{
    if (e->free_last)
        victim_free(h->blocks[h->count - 1]);
    for (size_t i = 1; e->holes && i < h->count - 2; i += e->holes)
        victim_free(h->blocks[i]);
}

static void *run(void *arg)
{
    static _Thread_local struct heap heaps[OLDER];
    const struct ending *endings = arg;
    void *next = victim_malloc(BLOCK);

    for (size_t i = 0; i < OLDER; i++)
        next = fill_heap(&heaps[i], next, &endings[i]);
    for (size_t i = 0; i < 100; i++)
        next = victim_malloc(BLOCK);
    victim_free(next);
    /* Only now, or the holes would be filled again. */
    for (size_t i = 0; i < OLDER; i++)
        drill(&heaps[i], &endings[i]);
    return victim_park();
}

int main(int argc, char **argv)
{
    victim_start(argc, argv);
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    victim_malloc(1000);
    for (size_t i = 0; i < 2; i++)
        victim_thread(run, (void *)older_heaps[i]);
    victim_wait_parked(2);
    victim_ready();
}
