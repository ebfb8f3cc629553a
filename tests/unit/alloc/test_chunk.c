#include "alloc/glibc/chunk.h"

#include <criterion/criterion.h>

struct boundary {
    uint64_t size;
    unsigned bin;
};

static void expect_bins(struct chunk_rules r, const struct boundary *cases, size_t count)
{
    for (size_t i = 0; i < count; i++)
        cr_expect_eq(chunk_bin_index(&r, cases[i].size), cases[i].bin, "size %lu: bin %u, not %u",
                     (unsigned long)cases[i].size, chunk_bin_index(&r, cases[i].size),
                     cases[i].bin);
}

/* From 10 KiB on all agree. */
static const struct boundary far[] = {
    {10752, 112}, {12272, 112},  {12288, 113},  {45040, 120},  {45056, 120},  {65520, 120},
    {65536, 121}, {163824, 123}, {163840, 124}, {262144, 125}, {524272, 125}, {524288, 126},
};

/* Boundaries of the size classes, as the facts in malloc/malloc.c (largebin_index_64) give them. */
Test(chunk, bin_index_at_every_boundary)
{
    static const struct boundary near[] = {
        {32, 2},    {48, 3},    {1008, 63}, {1024, 64}, {1072, 64}, {1088, 65},
        {3072, 96}, {3120, 96}, {3136, 97}, {3568, 97}, {3584, 98}, {10736, 111},
    };
    expect_bins(chunk_rules(8, 16), near, sizeof near / sizeof *near);
    expect_bins(chunk_rules(8, 16), far, sizeof far / sizeof *far);
}

/* largebin_index_32_big: bin 1 is the unsorted one, so small bins begin one later. */
Test(chunk, bin_index_on_i386)
{
    static const struct boundary near[] = {
        {16, 2},    {32, 3},    {992, 63},  {1008, 64}, {1024, 65}, {1072, 65},
        {1088, 66}, {2880, 94}, {2928, 94}, {2944, 96}, {3072, 97}, {10736, 111},
    };
    expect_bins(chunk_rules(4, 16), near, sizeof near / sizeof *near);
    expect_bins(chunk_rules(4, 16), far, sizeof far / sizeof *far);
}

/* largebin_index_32, with chunks that are multiples of 8. */
Test(chunk, bin_index_on_old_i386)
{
    static const struct boundary near[] = {
        {16, 2},    {24, 3},    {504, 63},  {512, 64},  {568, 64},  {576, 65},
        {2432, 94}, {2488, 94}, {2496, 95}, {2552, 95}, {2560, 96}, {10736, 111},
    };
    expect_bins(chunk_rules(4, 8), near, sizeof near / sizeof *near);
    expect_bins(chunk_rules(4, 8), far, sizeof far / sizeof *far);
}

static void expect_rising(struct chunk_rules r)
{
    unsigned last = 0;
    for (uint64_t size = r.min_size; size < (uint64_t)4 << 20; size += r.alignment) {
        unsigned bin = chunk_bin_index(&r, size);
        cr_assert(bin >= last && bin <= last + 2 && bin >= 2 && bin <= 126);
        last = bin;
    }
    cr_assert_eq(last, 126);
    cr_assert_eq(chunk_bin_index(&r, UINT64_MAX & ~(uint64_t)15), 126);
}

Test(chunk, bin_index_never_falls_and_ends_at_126)
{
    expect_rising(chunk_rules(8, 16));
    expect_rising(chunk_rules(4, 16));
    expect_rising(chunk_rules(4, 8));
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

Test(chunk, on_i386_user_pointers_are_aligned_and_headers_are_not)
{
    struct chunk_rules r = chunk_rules(4, 16), old = chunk_rules(4, 8);
    cr_expect_eq(r.min_size, 16);
    cr_expect_eq(r.header, 8);
    cr_expect_eq(chunk_first(&r, 0x1000), 0x1008);
    cr_expect_eq(chunk_first(&r, 0x1009), 0x1018);
    cr_expect_eq(chunk_first(&r, 0x474), 0x478); /* behind heap_info and malloc_state of 2.36 */
    cr_expect_eq(chunk_first(&r, 24), 24);
    cr_expect_eq(chunk_first(&old, 0x1000), 0x1000);
    cr_expect_eq(chunk_first(&old, 0x1001), 0x1008);
}

Test(chunk, the_last_header_of_a_heap)
{
    struct chunk_rules r = chunk_rules(8, 16), i386 = chunk_rules(4, 16), old = chunk_rules(4, 8);
    cr_expect_eq(chunk_last_fence(&r, 0x4000), 0x4000 - 16);
    cr_expect_eq(chunk_last_fence(&i386, 0x4000), 0x4000 - 16);
    cr_expect_eq(chunk_last_fence(&old, 0x4000), 0x4000 - 8);
}

Test(chunk, headers_are_words)
{
    static const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    struct chunk_rules r = chunk_rules(8, 16), i386 = chunk_rules(4, 16);
    cr_expect_eq(chunk_decode(&r, bytes).prev_size, 0x0807060504030201);
    cr_expect_eq(chunk_decode(&r, bytes).raw, 0x100f0e0d0c0b0a09);
    cr_expect_eq(chunk_decode(&i386, bytes).prev_size, 0x04030201);
    cr_expect_eq(chunk_decode(&i386, bytes).raw, 0x08070605);
}
