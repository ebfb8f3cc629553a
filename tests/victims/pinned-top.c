/*
 * pinned-top: a large free top, which cannot be given back because the program break was moved by
 * somebody else.
 */
#include "victim.h"

#include <malloc.h>
#include <string.h>
#include <unistd.h>

#define BLOCKS 80
#define BLOCK  ((size_t)256 << 10)

int main(int argc, char **argv)
{
    victim_start(argc, argv);
    victim_mmap_threshold(32 << 20);
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
    for (size_t i = 0; i < 10; i++)
        victim_malloc(1000 * i);
    void *p[BLOCKS];
    for (size_t i = 0; i < BLOCKS; i++)
        p[i] = memset(victim_malloc(BLOCK), 1, BLOCK); /* resident */
    if (sbrk(12288) == (void *)-1)
        victim_die("sbrk");
    for (size_t i = 0; i < BLOCKS; i++)
        victim_free(p[i]);
    victim_expect("top_reason brk_moved");
    victim_ready();
}
