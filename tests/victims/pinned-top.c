/*
 * pinned-top: a large free top, which cannot be given back because the program break was moved by
 * somebody else.
 */
#include "victim.h"

#include <malloc.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    victim_start(argc, argv);
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
    for (size_t i = 0; i < 10; i++)
        victim_malloc(1000 * i);
    void *p = victim_malloc(20 << 20);
    memset(p, 1, 20 << 20); /* resident */
    if (sbrk(12288) == (void *)-1)
        victim_die("sbrk");
    victim_free(p);
    victim_expect("top_reason brk_moved");
    victim_ready();
}
