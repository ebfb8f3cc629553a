#include "alloc/glibc/chunk.h"

#include <criterion/criterion.h>

/* Boundaries of the size classes, as the facts in malloc/malloc.c (largebin_index_64) give them. */
Test(chunk, bin_index_at_every_boundary)
{
    static const struct {
        uint64_t size;
        unsigned bin;
    } cases[] = {
        {32, 2},      {48, 3},       {1008, 63},    {1024, 64},    {1072, 64},    {1088, 65},
        {3072, 96},   {3120, 96},    {3136, 97},    {3568, 97},    {3584, 98},    {10736, 111},
        {10752, 112}, {12272, 112},  {12288, 113},  {45040, 120},  {45056, 120},  {65520, 120},
        {65536, 121}, {163824, 123}, {163840, 124}, {262144, 125}, {524272, 125}, {524288, 126},
    };
    struct chunk_rules r = chunk_rules(8, 16);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_expect_eq(chunk_bin_index(&r, cases[i].size), cases[i].bin, "size %lu: bin %u, not %u",
                     (unsigned long)cases[i].size, chunk_bin_index(&r, cases[i].size),
                     cases[i].bin);
}

Test(chunk, bin_index_never_falls_and_ends_at_126)
{
    struct chunk_rules r = chunk_rules(8, 16);
    unsigned last = 0;
    for (uint64_t size = 32; size < (uint64_t)4 << 20; size += 16) {
        unsigned bin = chunk_bin_index(&r, size);
        cr_assert(bin >= last && bin <= last + 2 && bin <= 126);
        last = bin;
    }
    cr_assert_eq(last, 126);
    cr_assert_eq(chunk_bin_index(&r, UINT64_MAX & ~(uint64_t)15), 126);
}

Test(chunk, first_chunk_is_aligned_by_its_user_pointer)
{
    struct chunk_rules r = chunk_rules(8, 16);
    cr_expect_eq(chunk_first(&r, 0x1000), 0x1000);
    cr_expect_eq(chunk_first(&r, 0x1001), 0x1010);
    cr_expect_eq(chunk_first(&r, 0x1009), 0x1010);
    cr_expect_eq(chunk_first(&r, 0x8c8), 0x8d0); /* behind heap_info and malloc_state of 2.36 */
}

Test(chunk, sizes_that_fit)
{
    struct chunk_rules r = chunk_rules(8, 16);
    cr_expect(chunk_size_fits(&r, 32, 0x1000, 0x1020));
    cr_expect_not(chunk_size_fits(&r, 48, 0x1000, 0x1020));
    cr_expect_not(chunk_size_fits(&r, 16, 0x1000, 0x2000));
    cr_expect_not(chunk_size_fits(&r, 40, 0x1000, 0x2000));
    cr_expect_not(chunk_size_fits(&r, UINT64_MAX & ~(uint64_t)15, 0x1000, 0x2000));
}
