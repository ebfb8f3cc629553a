/*
 * Heaps that contradict themselves: each flaw is named and counted, the rest is still reported, and
 * no total is ever larger than what is there.
 */
#include "alloc/built.h"

TestSuite(heap_damage, .init = setup, .fini = teardown, .timeout = 20);

/* Walked without following the bins first, the heap has the same findings. */
static void expect_the_same_without_lists(void)
{
    builder_no_lists(b);
    struct result *other = builder_walk(b);
    cr_assert_eq(other->code, r->code);
    cr_expect_eq(other->report->findings.count, r->report->findings.count);
    for (size_t i = 0; i < other->report->findings.count; i++) {
        const struct hw_finding *f = &other->report->findings.data[i];
        bool found = false;
        for (size_t j = 0; j < r->report->findings.count && !found; j++) {
            const struct hw_finding *g = &r->report->findings.data[j];
            found = f->kind == g->kind && f->address.n == g->address.n &&
                    f->bytes.n == g->bytes.n && f->arena == g->arena;
        }
        cr_expect(found, "only without lists: %s", f->text);
    }
    result_destroy(other);
}

static void expect_finding(enum hw_finding_kind kind)
{
    walk_once();
    expect_the_same_without_lists();
    cr_expect_eq(findings(r, kind), 1, "%lu findings of kind %s", (unsigned long)findings(r, kind),
                 hw_finding_name(kind));
    cr_expect_not(hw_report_complete(r->report));
    int64_t system = figure(r, 0, HW_M_SYSTEM_BYTES);
    cr_expect_leq(figure(r, 0, HW_M_IN_USE_BYTES) + figure(r, 0, HW_M_FREE_BYTES), system);
}

Test(heap_damage, a_smashed_size_word)
{
    build_used(b, 0x100);
    hw_addr smashed = build_used(b, 0x200);
    build_used(b, 0x300);
    build_top(b, 0x1000);
    builder_poke(b, smashed + 8, 0x4141414141414141);
    expect_finding(HW_FINDING_BAD_CHUNK);
    cr_expect_eq(r->report->findings.data[0].address.n, smashed);
    cr_expect_eq(r->report->findings.data[0].bytes.n, 0x200);
    cr_expect_eq(figure(r, 0, HW_M_UNACCOUNTED_BYTES), 0x200, "the walk goes on behind it");
    cr_expect_eq(figure(r, 0, HW_M_IN_USE_BYTES), 0x400);
    cr_expect_eq(figure(r, 0, HW_M_TOP_BYTES), 0x1000);
}

/* Its size is possible, and the finding says what is not. */
Test(heap_damage, the_flag_of_mmapped_chunks_inside_a_heap)
{
    build_used(b, 0x100);
    hw_addr flagged = build_used(b, 0x200);
    build_used(b, 0x300);
    build_top(b, 0x1000);
    builder_poke(b, flagged + 8, 0x203);
    expect_finding(HW_FINDING_BAD_CHUNK);
    cr_expect(strstr(r->report->findings.data[0].text, "flag of mmapped ones"), "%s",
              r->report->findings.data[0].text);
    cr_expect_eq(figure(r, 0, HW_M_UNACCOUNTED_BYTES), 0x200);
}

Test(heap_damage, only_what_is_damaged_is_lost)
{
    for (unsigned i = 0; i < 200; i++)
        build_used(b, 0x40 + i % 5 * 0x10);
    hw_addr smashed = build_used(b, 0x200);
    for (unsigned i = 0; i < 200; i++)
        build_used(b, 0x40 + i % 7 * 0x10);
    build_top(b, 0x1000);
    builder_poke(b, smashed + 8, 0x4141414141414141);
    expect_finding(HW_FINDING_BAD_CHUNK);
    cr_expect_eq(r->report->findings.data[0].bytes.n, 0x200);
    cr_expect_eq(figure(r, 0, HW_M_UNACCOUNTED_BYTES), 0x200);
    cr_expect_eq(figure(r, 0, HW_M_IN_USE_CHUNKS), 400);
}

/* The program's own data may look like some chunks in a row. */
Test(heap_damage, what_looks_like_a_few_chunks_is_not_believed)
{
    hw_addr smashed = build_used(b, 0x400);
    hw_addr next = build_used(b, 0x50);
    build_used(b, 0x60);
    build_top(b, 0x1000);
    builder_poke(b, smashed + 8, 3);
    for (hw_addr p = smashed + 0x20; p < smashed + 0x200; p += 0x20)
        builder_poke(b, p + 8, 0x21);
    expect_finding(HW_FINDING_BAD_CHUNK);
    cr_expect_eq(block_at(r, next)->state, HW_USED);
    cr_expect_eq(figure(r, 0, HW_M_UNACCOUNTED_BYTES), 0x400);
}

/* Chunks that lists tell of are known, however few follow. */
Test(heap_damage, the_walk_goes_on_at_a_chunk_that_a_list_tells_of)
{
    hw_addr smashed = build_used(b, 0x400);
    hw_addr cached = build_tcache(b, 0x50);
    hw_addr bad = build_used(b, 0x60);
    build_used(b, 0x60);
    build_top(b, 0x1000);
    builder_poke(b, smashed + 8, 3);
    builder_poke(b, bad + 8, 3);
    builder_link(b);
    walk_once();
    cr_expect_eq(findings(r, HW_FINDING_BAD_CHUNK), 2);
    cr_expect_eq(block_at(r, cached)->state, HW_CACHED);
    cr_expect_eq(figure(r, 0, HW_M_UNACCOUNTED_BYTES), 0x400 + 0x60);
}

Test(heap_damage, a_size_of_zero_does_not_hang)
{
    hw_addr smashed = build_used(b, 0x200);
    build_top(b, 0x1000);
    builder_poke(b, smashed + 8, 1);
    expect_finding(HW_FINDING_BAD_CHUNK);
}

Test(heap_damage, a_size_that_leads_past_the_end)
{
    hw_addr smashed = build_used(b, 0x200);
    build_top(b, 0x1000);
    builder_poke(b, smashed + 8, 0x100001);
    expect_finding(HW_FINDING_BAD_CHUNK);
}

Test(heap_damage, a_smashed_top)
{
    build_used(b, 0x200);
    hw_addr top = build_top(b, 0x1000);
    builder_poke(b, top + 8, (uint64_t)-1);
    walk_once();
    expect_the_same_without_lists();
    cr_expect_not(hw_report_complete(r->report));
    cr_expect_eq(figure(r, 0, HW_M_TOP_BYTES), 0x1000, "no more than is left of the arena");
}

Test(heap_damage, a_free_chunk_whose_foot_was_overwritten)
{
    hw_addr chunk = build_free(b, 0x100);
    build_used(b, 0x40);
    build_top(b, 0x1000);
    builder_poke(b, chunk + 0x100, 0x4141);
    expect_finding(HW_FINDING_BAD_CHUNK);
}

Test(heap_damage, a_bin_list_with_a_loop)
{
    hw_addr first = build_unsorted(b, 0x100);
    build_used(b, 0x20);
    hw_addr second = build_unsorted(b, 0x100);
    build_used(b, 0x20);
    build_top(b, 0x1000);
    builder_link(b);
    builder_poke(b, first + 16, second); /* fd: back to where we came from */
    builder_poke(b, second + 24, first);
    walk_once();
    expect_the_same_without_lists();
    cr_expect_geq(findings(r, HW_FINDING_BAD_LIST), 1);
}

Test(heap_damage, a_free_chunk_that_no_bin_lists)
{
    build_free(b, 0x100);
    build_used(b, 0x20);
    hw_addr lost = build_free(b, 0x100);
    build_used(b, 0x20);
    build_top(b, 0x1000);
    builder_link(b);
    hw_addr head = builder_peek(b, lost + 24), next = builder_peek(b, lost + 16);
    builder_poke(b, head + 16, next); /* unlink it, but leave its neighbours' flags */
    builder_poke(b, next + 24, head);
    expect_finding(HW_FINDING_LIST_MISMATCH);
}

/* As many chunks of the same sizes in the bin as the walk meets, but not the same ones. */
Test(heap_damage, a_bin_that_lists_a_chunk_in_use_instead_of_a_free_one)
{
    hw_addr used = build_used(b, 0x100);
    hw_addr lost = build_free(b, 0x100);
    build_used(b, 0x20);
    build_top(b, 0x1000);
    builder_link(b);
    hw_addr head = builder_peek(b, lost + 24);
    builder_poke(b, used + 16, head);
    builder_poke(b, used + 24, head);
    builder_poke(b, head + 16, used);
    builder_poke(b, head + 24, used);
    expect_finding(HW_FINDING_LIST_MISMATCH);
}

Test(heap_damage, a_free_chunk_that_does_not_point_back)
{
    hw_addr first = build_unsorted(b, 0x100);
    build_used(b, 0x20);
    build_unsorted(b, 0x200);
    build_used(b, 0x20);
    build_top(b, 0x1000);
    builder_link(b);
    builder_poke(b, first + 24, 0x4141414141414141);
    walk_once();
    expect_the_same_without_lists();
    cr_expect_eq(findings(r, HW_FINDING_BAD_LIST), 1);
    cr_expect_eq(r->report->findings.data[0].address.n, first);
}

/* Only the way back is wrong where it ends: following a list forward does not show it. */
Test(heap_damage, the_head_of_a_bin_that_does_not_point_back)
{
    hw_addr chunk = build_unsorted(b, 0x100);
    build_used(b, 0x20);
    build_top(b, 0x1000);
    builder_link(b);
    hw_addr head = builder_peek(b, chunk + 24);
    builder_poke(b, head + 24, chunk + 0x100);
    builder_no_lists(b);
    expect_finding(HW_FINDING_LIST_MISMATCH);
}

/* gcore saves the thread-local storage that it cannot read as zeros. */
Test(heap_damage, a_thread_whose_local_storage_is_not_there)
{
    build_tcache(b, 0x40);
    build_top(b, 0x1000);
    builder_poke(b, builder_thread_pointer(b), 0);
    expect_finding(HW_FINDING_THREAD_CACHE);
    cr_expect_not(r->report->threads.data[0].tcache_bytes.known);
}

Test(heap_damage, a_fastbin_with_a_loop)
{
    hw_addr chunk = build_fast(b, 0x30);
    build_top(b, 0x1000);
    builder_link(b);
    builder_poke(b, chunk + 16, ((chunk + 16) >> 12) ^ chunk);
    expect_finding(HW_FINDING_BAD_LIST);
}

Test(heap_damage, a_tcache_link_that_was_overwritten)
{
    build_tcache(b, 0x40);
    hw_addr chunk = build_tcache(b, 0x40);
    build_top(b, 0x1000);
    builder_link(b);
    builder_poke(b, chunk + 16, 0x4141414141414141);
    expect_finding(HW_FINDING_BAD_LIST);
}

/* The first list breaks last: what is wrong is told in the order of lists, not of steps. */
Test(heap_damage, broken_tcache_lists_are_told_in_their_order)
{
    hw_addr chunk[20][4];
    for (unsigned i = 0; i < 20; i++)
        for (unsigned k = 4; k-- > 0;)
            chunk[i][k] = build_tcache(b, 0x20 + 0x10 * i);
    build_top(b, 0x1000);
    builder_link(b);
    for (unsigned i = 0; i < 20; i += 5)
        builder_poke(b, chunk[i][3 - i / 5] + 16, 0x4141414141414141);
    r = builder_walk(b);
    cr_assert_eq(r->report->findings.count, 4);
    cr_expect_eq(findings(r, HW_FINDING_BAD_LIST), 4);
    for (size_t i = 0; i < 4; i++) {
        const char *text = r->report->findings.data[i].text;
        cr_expect_eq(r->report->findings.data[i].address.n, chunk[5 * i][3 - i], "%s", text);
        cr_expect_eq(block_at(r, chunk[5 * i][3 - i])->state, HW_CACHED);
    }
    cr_expect_eq(r->report->threads.data[0].tcache_chunks.n, 20 * 4 - 1 - 2 - 3);
    cr_expect_eq(figure(r, 0, HW_M_TCACHE_CHUNKS), 20 * 4 - 1 - 2 - 3);
    cr_expect_eq(figure(r, 0, HW_M_UNACCOUNTED_BYTES), 0);
}

/* Use after free. A plain link of 0 ends a list, but these are mangled, as all others show. */
Test(heap_damage, a_tcache_link_that_was_cleared)
{
    builder_destroy(b);
    b = builder_create_of(HW_X86_64, FORM_2_32); /* whose structs do not tell */
    hw_addr lost = build_tcache(b, 0x20), first = build_tcache(b, 0x20);
    for (unsigned i = 0; i < 3; i++) {
        build_tcache(b, 0x40);
        build_fast(b, 0x30);
    }
    build_top(b, 0x1000);
    builder_link(b);
    builder_poke(b, first + 16, 0);
    expect_finding(HW_FINDING_BAD_LIST);
    cr_expect_eq(r->report->findings.count, 1);
    cr_expect_eq(block_at(r, first)->state, HW_CACHED);
    cr_expect_eq(block_at(r, lost)->state, HW_USED, "nothing says that it is not");
    cr_expect_eq(figure(r, 0, HW_M_TCACHE_CHUNKS), 4);
    cr_expect_eq(figure(r, 0, HW_M_FASTBIN_CHUNKS), 3);
    cr_expect_eq(figure(r, 0, HW_M_UNACCOUNTED_BYTES), 0);
}

Test(heap_damage, a_double_free_into_tcache_and_fastbin)
{
    hw_addr chunk = build_tcache(b, 0x30);
    build_top(b, 0x1000);
    builder_link(b);
    builder_poke(b, builder_main_arena(b) + 16 + 8, chunk); /* also fastbinsY[1] */
    builder_poke(b, chunk + 16, (chunk + 16) >> 12);
    expect_finding(HW_FINDING_BAD_LIST);
}

Test(heap_damage, a_cached_address_in_the_middle_of_a_chunk)
{
    hw_addr chunk = build_used(b, 0x100);
    build_top(b, 0x1000);
    builder_link(b);
    builder_poke(b, chunk + 0x48, 0x31);
    builder_poke(b, builder_main_arena(b) + 16 + 8, chunk + 0x40); /* fastbinsY[1] */
    builder_poke(b, chunk + 0x50, (chunk + 0x50) >> 12);
    expect_finding(HW_FINDING_LIST_MISMATCH);
}

Test(heap_damage, a_wrong_arena_flag)
{
    hw_addr chunk = build_used(b, 0x100);
    build_top(b, 0x1000);
    builder_poke(b, chunk + 8, 0x100 | 1 | 4);
    expect_finding(HW_FINDING_BAD_CHUNK);
    cr_expect_eq(figure(r, 0, HW_M_IN_USE_BYTES), 0x100, "it is counted all the same");
}

Test(heap_damage, a_ring_that_leads_nowhere)
{
    build_used(b, 0x100);
    build_top(b, 0x1000);
    builder_poke(b, builder_main_arena(b) + 2160, 0x1234);
    expect_finding(HW_FINDING_ARENA_RING);
    cr_expect_eq(r->report->arenas.count, 1);
}

Test(heap_damage, what_is_no_arena_ends_the_ring)
{
    build_top(b, 0x1000);
    build_arena(b);
    build_top(b, 0);
    builder_link(b);
    for (hw_addr word = 0; word < 0x900; word += 8)
        builder_poke(b, HEAP_BASE + word, 0x4141414141414141);
    expect_finding(HW_FINDING_ARENA_RING);
    cr_expect_eq(r->report->arenas.count, 1);
}

Test(heap_damage, an_arena_that_claims_more_than_all_memory)
{
    build_used(b, 0x100);
    build_top(b, 0x1000);
    builder_system_extra(b, (int64_t)1 << 50);
    expect_finding(HW_FINDING_BAD_ARENA);
    cr_expect_eq(figure(r, 0, HW_M_SYSTEM_BYTES), 0x1100, "what top's end says instead");
    cr_expect_eq(figure(r, 0, HW_M_UNACCOUNTED_BYTES), 0);
}

/* What a core left out may have been memory, but not all of a GiB between two mappings. */
Test(heap_damage, an_arena_that_claims_what_was_never_mapped)
{
    builder_destroy(b);
    b = builder_create_of(HW_I386, FORM_2_35);
    builder_leaves_out(b);
    build_used(b, 0x100);
    build_top(b, 0);
    build_arena(b);
    build_top(b, 0);
    builder_system_extra(b, (int64_t)1 << 30);
    walk_once();
    cr_expect_geq(findings(r, HW_FINDING_BAD_ARENA), 1);
    cr_expect_leq(figure(r, -1, HW_M_SYSTEM_BYTES), (int64_t)r->image_bytes);
}

Test(heap_damage, a_top_that_points_nowhere)
{
    build_used(b, 0x100);
    build_free(b, 0x200);
    build_used(b, 0x20);
    build_top(b, 0x1000);
    builder_link(b);
    builder_poke(b, builder_main_arena(b) + 96, 0x1230);
    expect_finding(HW_FINDING_BAD_ARENA);
    cr_expect_eq(figure(r, 0, HW_M_IN_USE_BYTES), 0x120);
    cr_expect_eq(figure(r, 0, HW_M_BIN_BYTES), 0x200);
    cr_expect_eq(figure(r, 0, HW_M_TOP_BYTES), 0x1000, "what is left is taken for it");
    cr_expect_eq(figure(r, 0, HW_M_UNACCOUNTED_BYTES), 0);
}

Test(heap_damage, the_top_of_a_thread_arena_points_nowhere)
{
    build_top(b, 0x1000);
    build_arena(b);
    build_used(b, 0x300);
    build_top(b, 0);
    builder_poke(b, HEAP_BASE + 48 + 96, 0x1230);
    expect_finding(HW_FINDING_BAD_ARENA);
    cr_expect_eq(r->report->arenas.count, 2);
    cr_expect_eq(figure(r, 1, HW_M_IN_USE_BYTES), 0x300);
}

Test(heap_damage, impossible_flags)
{
    build_used(b, 0x100);
    build_top(b, 0x1000);
    builder_link(b);
    builder_poke(b, builder_main_arena(b), 0x4141410000000000);
    expect_finding(HW_FINDING_BAD_ARENA);
    cr_expect_eq(figure(r, 0, HW_M_IN_USE_BYTES), 0x100);
}

Test(heap_damage, main_arena_full_of_junk_is_refused)
{
    build_top(b, 0x1000);
    builder_link(b);
    for (hw_addr offset = 0; offset < 2160; offset += 8)
        builder_poke(b, builder_main_arena(b) + offset, 0x4141414141414141);
    r = builder_walk(b);
    cr_assert_eq(r->code, HW_ERR_CORRUPT);
}
