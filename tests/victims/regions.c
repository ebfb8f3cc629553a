/*
 * regions low|imitated|split: the main arena lives on mappings that no list names,
 * because something lies right above the program break.
 *
 *     low       from the very first malloc() on: the later regions lie below sbrk_base
 *     imitated  below all of them lies memory full of words that look like ends of regions
 *     split     mlock() has split one of them, and the part that came from the break
 */
#include "victim.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE   ((size_t)4096)
#define BLOCKS 150
#define FENCE  (VICTIM_HEADER | 1) /* P */

static void block_break(void)
{
    void *end = (void *)(((uintptr_t)sbrk(0) + PAGE - 1) & ~(PAGE - 1));
    if (mmap(end, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != end)
        victim_die("mmap above the break");
}

static void imitate(void)
{
    size_t *p = mmap((void *)0x10000000, 10 * PAGE, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (p == MAP_FAILED)
        victim_die("mmap");
    for (size_t i = 0; i < 10 * PAGE / sizeof *p; i++)
        p[i] = FENCE;
}

static void lock(void *p)
{
    if (mlock(p, 10) != 0)
        victim_die("mlock");
}

int main(int argc, char **argv)
{
    void *early = NULL, *held[BLOCKS];

    victim_start(argc, argv);
    if (victim_is(0, "imitated"))
        imitate();
    for (size_t i = 0; i < 50 && !victim_is(0, "low"); i++)
        early = victim_malloc(500);
    block_break();
    for (size_t i = 0; i < BLOCKS; i++) {
        held[i] = victim_malloc(20000 + i * 300);
        memset(held[i], 1, 1000);
    }
    for (size_t i = 0; i < BLOCKS; i += 3)
        victim_free(held[i]);
    if (victim_is(0, "split")) {
        lock(early);
        lock(held[100]);
    }
    victim_ready();
}
