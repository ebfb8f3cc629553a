/*
 * bins: something in every kind of list: fastbins, small bins, large bins (several sizes in one,
 * several chunks of one size), the unsorted bin; in the main arena and in one of a thread.
 */
#include "victim.h"

#define EACH  10 /* 7 of them stay in the tcache where the size is small enough */
#define SIZES 160

static size_t size_of(size_t i)
{
    size_t size = 24;
    if (i < 70)
        return size + 16 * i; /* each its own small bin */
    for (size_t k = 70; k <= i; k++)
        size += size / 12 + 16; /* then ever sparser, up to hundreds of KiB */
    return 1100 + size;
}

static void free_some(void *held[SIZES][EACH], size_t first, size_t step)
{
    for (size_t i = first; i < SIZES; i += step)
        for (size_t k = 0; k < EACH; k++)
            victim_free(held[i][k]);
}

static void fill(void *held[SIZES][EACH])
{
    for (size_t i = 0; i < SIZES; i++) {
        size_t count = i < 70 ? EACH : 2 + i % 3;
        for (size_t k = 0; k < EACH; k++) {
            held[i][k] = victim_malloc(k < count ? size_of(i) : 24);
            victim_malloc(16); /* keeps neighbours from merging */
        }
    }
    free_some(held, 0, 3);
    victim_malloc(4 << 20); /* larger than all of them: sorts everything into its bin */
    free_some(held, 1, 3);  /* unsorted, and fastbins */
}

static void *run(void *arg)
{
    fill(arg);
    return victim_park();
}

int main(int argc, char **argv)
{
    static void *mine[SIZES][EACH], *theirs[SIZES][EACH];

    victim_start(argc, argv);
    victim_mmap_threshold(8 << 20);
    victim_malloc(10 << 20); /* one with a mapping of its own */
    victim_thread(run, theirs);
    victim_wait_parked(1);
    fill(mine);
    victim_ready();
}
