/*
 * gap-of-words BYTES WORD|none: somebody else's piece of the heap is full of words that could be
 * sizes of chunks, or may not be read at all.
 */
#include "victim.h"

#include <sys/mman.h>
#include <unistd.h>

#define PAGE ((uintptr_t)4096)

static void forbid(char *gap, size_t bytes)
{
    char *first = (char *)(((uintptr_t)gap + PAGE - 1) & ~(PAGE - 1));
    if (mprotect(first, (bytes - PAGE) & ~(PAGE - 1), PROT_NONE) != 0)
        victim_die("mprotect");
}

int main(int argc, char **argv)
{
    void *held[3000];

    victim_start(argc, argv);
    size_t bytes = victim_number(0, 1 << 20);
    for (size_t i = 0; i < 1000; i++)
        held[i] = victim_malloc(1000);
    size_t *gap = sbrk((intptr_t)bytes);
    if (gap == (void *)-1)
        victim_die("sbrk");
    if (victim_is(1, "none"))
        forbid((char *)gap, bytes);
    else
        for (size_t i = 0; i < bytes / sizeof *gap; i++)
            gap[i] = victim_number(1, 33);
    for (size_t i = 1000; i < 3000; i++)
        held[i] = victim_malloc(1000);
    for (size_t i = 1000; i < 3000; i += 2)
        victim_free(held[i]);
    victim_ready();
}
