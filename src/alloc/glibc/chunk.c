#include "alloc/glibc/chunk.h"

/*
 * Large bins lie ever wider apart: 32 bins of 64 bytes each, then 16 of 512, 8 of 4 KiB, 4 of 32
 * KiB, 2 of 256 KiB, and one for the rest (malloc/malloc.c, largebin_index_64).
 */
unsigned chunk_bin_index(const struct chunk_rules *r, uint64_t size)
{
    static const struct {
        unsigned shift, last, base;
    } steps[] = {{6, 48, 48}, {9, 20, 91}, {12, 10, 110}, {15, 4, 119}, {18, 2, 124}};

    if (size < (uint64_t)64 * r->alignment)
        return (unsigned)(size / r->alignment);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if (size >> steps[i].shift <= steps[i].last)
            return steps[i].base + (unsigned)(size >> steps[i].shift);
    return 126;
}
