/*
 * Chunks with a mapping of their own, among mappings that have nothing to do with malloc.
 */
#include "alloc/built.h"

#define FOREIGN_BYTES ((size_t)2 << 20)

static void setup_used(void)
{
    setup();
    build_used(b, 0x100);
    build_top(b, 0xf00);
}

TestSuite(mmapped, .init = setup_used, .fini = teardown);

static void expect_mmapped(hw_addr address, uint64_t bytes, uint64_t lead)
{
    const struct hw_block *block = block_at(r, address);
    cr_expect_eq(block->state, HW_MMAPPED);
    cr_expect_eq(block->bytes, bytes);
    cr_expect_eq(block->lead, lead);
    cr_expect_eq(block->arena, -1);
}

Test(mmapped, neighbours_in_one_mapping)
{
    hw_addr start = build_mapping(b);
    builder_poke(b, start + 8, 0x3000 | 2);
    builder_poke(b, start + 0x3000 + 8, 0x5000 | 2);
    builder_mmaps(b, 2, 0x8000);
    walk_once();
    cr_expect(hw_report_complete(r->report));
    expect_mmapped(start, 0x3000, 0);
    expect_mmapped(start + 0x3000, 0x5000, 0);
    cr_expect_eq(figure(r, -1, HW_M_MMAPPED_BYTES), 0x8000);
    cr_expect_eq(figure(r, -1, HW_M_MMAPPED_CHUNKS), 2);
    cr_expect_eq(r->report->mallinfo2.hblkhd, 0x8000);
}

Test(mmapped, behind_foreign_memory_in_the_same_mapping)
{
    hw_addr start = build_mapping(b);
    builder_poke(b, start + 8, 0x1234);
    builder_poke(b, start + 0x6000 + 8, 0x2000 | 2);
    builder_mmaps(b, 1, 0x2000);
    walk_once();
    cr_expect(hw_report_complete(r->report));
    expect_mmapped(start + 0x6000, 0x2000, 0);
}

/* memalign(0x1000) leaves the header of the chunk it was cut from at the start of the mapping. */
Test(mmapped, memalign_leaves_a_stale_header)
{
    hw_addr start = build_mapping(b), real = start + 0x1000 - 16;
    builder_poke(b, start + 8, 0x4000 | 2);
    builder_poke(b, real, real - start);
    builder_poke(b, real + 8, (0x4000 - (real - start)) | 2);
    builder_mmaps(b, 1, 0x4000);
    walk_once();
    cr_expect(hw_report_complete(r->report));
    expect_mmapped(real, 0x4000 - (real - start), real - start);
    cr_expect_eq(figure(r, -1, HW_M_MMAPPED_BYTES), 0x4000);
}

Test(mmapped, memalign_then_mremap_leaves_a_stale_size_too)
{
    hw_addr start = build_mapping(b), real = start + 0x40 - 16;
    builder_poke(b, start + 8, 0x4000 | 2);
    builder_poke(b, real, real - start);
    builder_poke(b, real + 8, (0x7000 - (real - start)) | 2);
    builder_mmaps(b, 1, 0x7000);
    walk_once();
    cr_expect(hw_report_complete(r->report));
    expect_mmapped(real, 0x7000 - (real - start), real - start);
}

Test(mmapped, memalign_then_mremap_to_another_place)
{
    hw_addr start = build_mapping(b), real = start + 0x3000 - 16; /* aligned to 64 KiB no more */
    builder_poke(b, start + 8, 0x14000 | 2);
    builder_poke(b, real, real - start);
    builder_poke(b, real + 8, (0x20000 - (real - start)) | 2);
    builder_mmaps(b, 1, 0x20000);
    walk_once();
    cr_expect(hw_report_complete(r->report));
    expect_mmapped(real, 0x20000 - (real - start), real - start);
}

Test(mmapped, what_cannot_be_found_is_named)
{
    build_mapping(b);
    builder_mmaps(b, 1, 0x2000);
    walk_once();
    cr_expect_eq(findings(r, HW_FINDING_MMAPPED_MISMATCH), 1);
    cr_expect_not(hw_report_complete(r->report));
}

/* All memory is read a few times, not once for each page of it. */
Test(mmapped, a_vain_search_in_random_memory_is_bounded)
{
    hw_addr start = build_foreign(b, FOREIGN_BYTES);
    uint64_t word = 88172645463325252;
    for (hw_addr p = start; p < start + FOREIGN_BYTES; p += 8) {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        builder_poke(b, p, word);
    }
    builder_mmaps(b, 1, 0x2000);
    walk_once();
    cr_expect_eq(findings(r, HW_FINDING_MMAPPED_MISMATCH), 1);
    cr_expect_leq(r->bytes_read, 12 * r->image_bytes, "read %lu bytes of %lu",
                  (unsigned long)r->bytes_read, (unsigned long)r->image_bytes);
}

Test(mmapped, sizes_that_do_not_fit_are_no_chunks)
{
    hw_addr start = build_mapping(b);
    builder_poke(b, start + 8, (PIECE_SIZE + 0x1000) | 2);
    builder_poke(b, start + 0x1000 + 8, 0x1230 | 2);
    builder_poke(b, start + 0x2000 + 8, 0x2000 | 3);
    builder_poke(b, start + 0x4000 + 8, 0x2000 | 2);
    builder_mmaps(b, 1, 0x2000);
    walk_once();
    cr_expect(hw_report_complete(r->report));
    expect_mmapped(start + 0x4000, 0x2000, 0);
}

/* Just one mapping can be the one that is counted and not found. */
Test(mmapped, one_whose_header_was_written_over)
{
    hw_addr sound = build_mapping(b);
    builder_poke(b, sound + 8, PIECE_SIZE | 2);
    hw_addr smashed = build_mapping(b);
    builder_poke(b, smashed + 8, 0x4141414141414141);
    build_foreign(b, FOREIGN_BYTES);
    builder_mmaps(b, 2, 2 * PIECE_SIZE);
    walk_once();
    cr_assert_eq(findings(r, HW_FINDING_MMAPPED_MISMATCH), 1);
    cr_expect_eq(r->report->findings.data[0].address.n, smashed);
    cr_expect_eq(r->report->findings.data[0].bytes.n, PIECE_SIZE);
    expect_mmapped(sound, PIECE_SIZE, 0);
}

Test(mmapped, one_of_two_that_cannot_be_told_apart)
{
    for (unsigned i = 0; i < 2; i++)
        builder_poke(b, build_mapping(b) + 8, 0x4141414141414141);
    builder_mmaps(b, 1, PIECE_SIZE);
    walk_once();
    cr_assert_eq(findings(r, HW_FINDING_MMAPPED_MISMATCH), 1);
    cr_expect_not(r->report->findings.data[0].address.known);
}
