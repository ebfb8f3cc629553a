/*
 * every-other [COUNT [SIZE]]: COUNT blocks, every other one freed. Half of the heap is free, and
 * next to none of it can be given back: the classic.
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
    for (char *p = first; p < last; p += 2 * step)
        victim_free(p);
    victim_ready();
}
