/*
 * all-but-last [COUNT [SIZE]]: every block is freed but the last, which holds all of it in place:
 * one huge free chunk in front of it, nothing at the end to give back.
 */
#include "victim.h"

int main(int argc, char **argv)
{
    victim_start(argc, argv);
    size_t count = victim_number(0, 20000), size = victim_number(1, 1024);
    victim_reserve(count);
    /* The victims' own bookkeeping of order: blocks come from the top, one behind the other. */
    char *first = victim_malloc(size), *last = first;
    size_t step = 0;
    for (size_t i = 1; i < count; i++) {
        last = victim_malloc(size);
        if (i == 1)
            step = (size_t)(last - first);
    }
    for (char *p = first; p != last; p += step)
        victim_free(p);
    victim_ready();
}
