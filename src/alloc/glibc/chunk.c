#include "alloc/glibc/chunk.h"

/*
 * Small bins lie one alignment apart, large ones ever wider: 32 bins of 64 bytes each, then 16 of
 * 512, 8 of 4 KiB, 4 of 32 KiB, 2 of 256 KiB, and one for the rest (malloc/malloc.c, smallbin_index
 * and the three forms of largebin_index). Where the first ones of these begin depends on where the
 * small bins end.
 */
unsigned chunk_bin_index(const struct chunk_rules *r, uint64_t size)
{
    static const struct step {
        unsigned shift, last, base;
    } steps[] = {{9, 20, 91}, {12, 10, 110}, {15, 4, 119}, {18, 2, 124}};
    static const struct step on_64_bit = {6, 48, 48}, on_i386 = {6, 45, 49},
                             on_old_i386 = {6, 38, 56};

    /* Where MINSIZE is one alignment, small bins would begin at bin 1, which is another's. */
    unsigned shift_up = r->alignment > r->header;
    if (size < (uint64_t)(64 - shift_up) * r->alignment)
        return (unsigned)(size / r->alignment) + shift_up;
    const struct step *step = r->word == 8 ? &on_64_bit : shift_up ? &on_i386 : &on_old_i386;
    for (size_t i = 0; i <= sizeof steps / sizeof *steps; step = &steps[i++])
        if (size >> step->shift <= step->last)
            return step->base + (unsigned)(size >> step->shift);
    return 126;
}
