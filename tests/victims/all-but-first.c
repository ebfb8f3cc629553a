/*
 * all-but-first [COUNT [SIZE [backwards]]]: every block is freed but the first. What follows melts
 * into the top, and the allocator gives most of that back by itself. Freed backwards, the very last
 * seven go into the tcache (if they are small enough) and hold everything in front of them.
 */
#include "victim.h"

int main(int argc, char **argv)
{
    victim_start(argc, argv);
    size_t count = victim_number(0, 20000), size = victim_number(1, 1024);
    victim_reserve(count);
    char *first = victim_malloc(size), *last = first;
    size_t step = 0;
    for (size_t i = 1; i < count; i++) {
        last = victim_malloc(size);
        if (i == 1)
            step = (size_t)(last - first);
    }
    if (victim_is(2, "backwards"))
        for (char *p = last; p != first; p -= step)
            victim_free(p);
    else
        for (char *p = first + step; p <= last; p += step)
            victim_free(p);
    victim_ready();
}
