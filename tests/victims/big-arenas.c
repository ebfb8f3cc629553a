/*
 * big-arenas: two thread arenas of several heaps each (of 64 MiB, or 1 MiB where words have 4
 * bytes), and every way in which a heap that is not the last can end:
 *
 *     ... live chunk | fence              nothing was left before the fence
 *     ... live chunk | fence + 16         16 bytes were left, too few for a chunk of 8-byte words
 *     ... live chunk | 32 free | fence    a remainder so small that it goes into a tcache
 *     ... live chunk | 1 KiB free | fence a remainder that goes into a bin
 *     ... free chunk | fence              the block before was freed and merged with the remainder
 */
#include "victim.h"

#include <malloc.h>

#define BLOCK       (VICTIM_HEAP_MAX / 640)
#define BLOCK_COUNT 800
#define OLDER       3 /* heaps that are not the last */
/* The least that is left of a heap: the fence, with what the alignment of chunks costs before
 * it. */
#define FENCE (VICTIM_LEAST + (VICTIM_ALIGN - VICTIM_HEADER))

struct ending {
    size_t left;   /* bytes of the heap that are left when it is given up; FENCE at least */
    int free_last; /* free the block before them */
    size_t holes;  /* free every so many blocks of this heap */
};

static const struct ending older_heaps[2][OLDER] = {
    {{FENCE, 0, 0}, {FENCE + 16, 0, 3}, {FENCE + 32, 0, 2}},
    {{FENCE + 1216, 0, 5}, {FENCE + 1104, 1, 0}, {FENCE + 112, 0, 2}},
};

/* Bytes between the end of the block's chunk and the end of its heap. */
static size_t left_behind(const void *block)
{
    uintptr_t chunk_end = (uintptr_t)block + malloc_usable_size((void *)block) - VICTIM_WORD;
    return VICTIM_HEAP_MAX - chunk_end % VICTIM_HEAP_MAX;
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
    while (left_behind(last) > e->left + 4 * BLOCK && h->count < BLOCK_COUNT - 1)
        h->blocks[h->count++] = last = victim_malloc(BLOCK);
    /* Its chunk takes all but e->left bytes; the block in it is a word smaller. */
    h->blocks[h->count++] = last = victim_malloc(left_behind(last) - e->left - VICTIM_WORD);
    if (left_behind(last) != e->left)
        victim_die("the heap does not end where it should");
    void *next = victim_malloc(BLOCK);
    if ((uintptr_t)next / VICTIM_HEAP_MAX == (uintptr_t)last / VICTIM_HEAP_MAX)
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
    victim_mmap_threshold(32 << 20);
    victim_malloc(1000);
    for (size_t i = 0; i < 2; i++)
        victim_thread(run, (void *)older_heaps[i]);
    victim_wait_parked(2);
    victim_ready();
}
