/*
 * lost-chunk MIB: the header of an mmapped chunk was overwritten, so that it cannot be found; and
 * in other memory each page begins like a chunk that spans all of it.
 */
#include "victim.h"

#include <stdlib.h>
#include <sys/mman.h>

#define PAGE ((size_t)4096)
#define M    ((size_t)2)

int main(int argc, char **argv)
{
    victim_start(argc, argv);
    size_t bytes = victim_number(0, 16) << 20;
    size_t *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        victim_die("mmap");
    for (size_t i = 0; i < bytes / sizeof *p; i += PAGE / sizeof *p)
        p[i + 1] = (2 * bytes) | M;
    volatile size_t *lost =
        malloc(1 << 20); /* not noted: its usable size cannot be asked for any more */
    if (!lost)
        victim_die("out of memory");
    lost[-1] = 0;
    victim_ready();
}
