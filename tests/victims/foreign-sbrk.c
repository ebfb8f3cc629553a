/*
 * foreign-sbrk BYTES zero|junk [first|later [SEED]]: somebody else moves the program break in the
 * middle of the heap, several times; with "first", also before the allocator ever used it.
 */
#include "victim.h"

#include <string.h>
#include <unistd.h>

static void foreign(size_t bytes, int junk, uint64_t *rng)
{
    unsigned char *p = sbrk((intptr_t)bytes);
    if (p == (void *)-1)
        victim_die("sbrk");
    for (size_t i = 0; junk && i < bytes; i++)
        p[i] = (unsigned char)(1 + victim_random(rng) % 255);
}

static void fill(size_t count, uint64_t *rng)
{
    for (size_t i = 0; i < count; i++) {
        char *keep = victim_malloc(victim_between(rng, 10, 9000));
        char *drop = victim_malloc(victim_between(rng, 10, 9000));
        memset(keep, 0xFF, 10);
        memset(drop, 0xFF, 10);
        if (i % 2)
            victim_free(drop);
    }
}

int main(int argc, char **argv)
{
    victim_start(argc, argv);
    size_t bytes = victim_number(0, 65536);
    uint64_t rng = victim_number(3, 99);
    int junk = victim_is(1, "junk");

    if (victim_is(2, "first"))
        foreign(bytes, junk, &rng);
    fill(100, &rng);
    for (size_t i = 0; i < 3; i++) {
        foreign(bytes + i * 32, junk, &rng);
        fill(100, &rng);
    }
    victim_ready();
}
