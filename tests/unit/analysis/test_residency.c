#include "analysis/fed.h"

static void expect_split(const struct hw_split *s, uint64_t resident, uint64_t swapped,
                         uint64_t returned)
{
    cr_expect(s->known);
    cr_expect_eq(s->resident, resident, "resident: %lu, not %lu", s->resident, resident);
    cr_expect_eq(s->swapped, swapped, "swapped: %lu, not %lu", s->swapped, swapped);
    cr_expect_eq(s->returned, returned, "returned: %lu, not %lu", s->returned, returned);
}

/* The rows of the histogram of fullness, in pages: 0, to 10, 25, 50, 75, 100 %. */
static void expect_fullness(const struct fed *f, int arena, const uint64_t pages[HW_FULLNESS])
{
    const uint64_t *got = fed_residency(f, arena)->fullness;
    for (size_t i = 0; i < HW_FULLNESS; i++)
        cr_expect_eq(got[i], pages[i] * PAGE, "arena %d, row %zu: %lu bytes, not %lu", arena, i,
                     got[i], pages[i] * PAGE);
}
#define ROWS(...) ((const uint64_t[HW_FULLNESS]){__VA_ARGS__})

/* ---- the split ------------------------------------------------------------------------------- */

Test(residency, each_byte_goes_by_the_page_under_it)
{
    struct fed f = fed_new();
    sample_arena(f.r, 8 * PAGE, PAGE);
    fed_pages(&f, MAIN_HEAP, MAIN_HEAP + 2 * PAGE, HW_PAGE_RESIDENT);
    fed_pages(&f, MAIN_HEAP + 3 * PAGE, MAIN_HEAP + 4 * PAGE, HW_PAGE_SWAPPED);
    fed_pages(&f, MAIN_HEAP + 7 * PAGE, MAIN_HEAP + 8 * PAGE, HW_PAGE_RESIDENT);
    fed_begin(&f);
    feed(&f, HW_USED, PAGE + 1000);
    feed(&f, HW_FREE, 2 * PAGE + 96); /* 3096 in RAM, 4096 gone, 1096 swapped out */
    feed(&f, HW_USED, 3 * PAGE - 1096);
    feed(&f, HW_CACHED, 32);
    feed(&f, HW_PARKED, 64);
    feed(&f, HW_USED, PAGE - 96 - 16); /* its last 16 bytes are on the page of top */
    fed_to(&f, 0, MAIN_HEAP + 7 * PAGE - 16);
    feed(&f, HW_USED, 16);
    feed(&f, HW_TOP, PAGE);
    fed_end(&f);
    const struct hw_residency *res = fed_residency(&f, 0);
    expect_split(&res->free[HW_FREE_BIN], 3096, 1096, 4096);
    expect_split(&res->free[HW_FREE_TCACHE], 0, 0, 32);
    expect_split(&res->free[HW_FREE_FASTBIN], 0, 0, 64);
    expect_split(&res->free[HW_FREE_TOP], PAGE, 0, 0);
    cr_expect_eq(res->in_use.resident, PAGE + 1000);
    cr_expect_eq(res->in_use.swapped, 3000);
    for (int arena = -1; arena < 1; arena++) {
        cr_expect_eq(fed_figure(&f, arena, HW_M_FREE_RESIDENT_BYTES), 3096 + 4096);
        cr_expect_eq(fed_figure(&f, arena, HW_M_FREE_SWAPPED_BYTES), 1096);
        cr_expect_eq(fed_figure(&f, arena, HW_M_FREE_RETURNED_BYTES), 4096 + 32 + 64);
        cr_expect_eq(fed_figure(&f, arena, HW_M_IN_USE_RESIDENT_BYTES), PAGE + 1000);
        cr_expect_eq(fed_figure(&f, arena, HW_M_RESIDENT_BYTES), 3 * PAGE);
    }
    cr_expect_eq(f.r->arenas.data[0].top.resident_bytes.n, PAGE);
    fed_drop(&f);
}

Test(residency, heaps_have_their_own_part)
{
    struct fed f = fed_new();
    sample_arena(f.r, PAGE, 0);
    struct hw_arena *a = sample_arena(f.r, 2 * PAGE, 0);
    hw_addr first = a->heaps.data[0].address, second = first - 64 * MIB;
    struct hw_heap more = {.address = second, .bytes = 3 * PAGE};
    cr_assert(hw_vec_push(&a->heaps, more));
    fed_pages(&f, first, first + PAGE, HW_PAGE_RESIDENT);
    fed_pages(&f, second + PAGE, second + 3 * PAGE, HW_PAGE_RESIDENT);
    fed_begin(&f);
    fed_to(&f, 1, first);
    feed(&f, HW_OVERHEAD, 2000);
    feed(&f, HW_FREE, 2 * PAGE - 2000);
    fed_to(&f, 1, second);
    feed(&f, HW_FREE, PAGE);
    feed(&f, HW_TOP, 2 * PAGE);
    fed_end(&f);
    a = &f.r->arenas.data[1];
    expect_split(&a->heaps.data[0].free, PAGE - 2000, 0, PAGE);
    expect_split(&a->heaps.data[1].free, 2 * PAGE, 0, PAGE);
    cr_expect_eq(a->heaps.data[0].resident_bytes.n, PAGE);
    cr_expect_eq(a->heaps.data[1].resident_bytes.n, 2 * PAGE);
    expect_split(&f.r->arenas.data[0].heaps.data[0].free, 0, 0, 0);
    cr_expect_eq(fed_figure(&f, 1, HW_M_RESIDENT_BYTES), 3 * PAGE);
    cr_expect_eq(fed_figure(&f, 0, HW_M_RESIDENT_BYTES), 0);
    cr_expect_eq(fed_figure(&f, -1, HW_M_RESIDENT_BYTES), 3 * PAGE);
    cr_expect_eq(fed_figure(&f, -1, HW_M_FREE_RESIDENT_BYTES), 3 * PAGE - 2000);
    fed_drop(&f);
}

Test(residency, without_pages_all_of_it_is_unknown)
{
    struct fed f = fed_new();
    sample_arena(f.r, 2 * PAGE, PAGE);
    cr_assert_eq(hw_analyses_begin(f.r, &f.work, NULL), HW_OK);
    fed_to(&f, 0, MAIN_HEAP);
    feed(&f, HW_USED, PAGE);
    feed(&f, HW_TOP, PAGE);
    fed_end(&f);
    for (int arena = -1; arena < 1; arena++) {
        for (int m = HW_M_RESIDENT_BYTES; m <= HW_M_TRIM_BYTES; m++)
            cr_expect_eq(fed_figure(&f, arena, (enum hw_metric)m), -1);
        for (size_t kind = 0; kind < HW_FREE_KINDS_; kind++)
            cr_expect_not(fed_residency(&f, arena)->free[kind].known);
        cr_expect_eq(fed_figure(&f, arena, HW_M_PACKED_BYTES), PAGE);
    }
    cr_expect_not(f.r->arenas.data[0].heaps.data[0].resident_bytes.known);
    cr_expect_not(f.r->arenas.data[0].heaps.data[0].free.known);
    cr_expect_not(f.r->arenas.data[0].top.resident_bytes.known);
    fed_drop(&f);
}

Test(residency, packed_bytes_are_whole_pages)
{
    static const uint64_t used[][2] = {{PAGE, PAGE}, {PAGE + 16, 2 * PAGE}, {16, PAGE}};
    for (size_t i = 0; i < sizeof used / sizeof *used; i++) {
        struct fed f = fed_new();
        sample_arena(f.r, 64 * PAGE, 0);
        fed_begin(&f);
        feed(&f, HW_USED, used[i][0]);
        feed(&f, HW_FREE, 64 * PAGE - used[i][0]);
        fed_end(&f);
        cr_expect_eq(fed_figure(&f, 0, HW_M_PACKED_BYTES), (int64_t)used[i][1]);
        cr_expect_eq(fed_figure(&f, -1, HW_M_PACKED_BYTES), (int64_t)used[i][1]);
        fed_drop(&f);
    }
}

/* ---- fullness -------------------------------------------------------------------------------- */

/* One page with so many bytes in use. */
static void expect_row(uint64_t used, size_t row)
{
    struct fed f = fed_new();
    uint64_t rows[HW_FULLNESS] = {0};
    sample_arena(f.r, PAGE, 0);
    fed_pages(&f, MAIN_HEAP, MAIN_HEAP + PAGE, HW_PAGE_RESIDENT);
    fed_begin(&f);
    if (used)
        feed(&f, HW_USED, used);
    if (used < PAGE)
        feed(&f, HW_FREE, PAGE - used);
    fed_end(&f);
    rows[row] = 1;
    expect_fullness(&f, 0, rows);
    fed_drop(&f);
}

Test(residency, the_rows_of_fullness)
{
    expect_row(0, 0);
    expect_row(16, 1);
    expect_row(PAGE / 10, 1); /* 409: below 10 % */
    expect_row(PAGE / 10 + 1, 2);
    expect_row(PAGE / 4, 2);
    expect_row(PAGE / 4 + 1, 3);
    expect_row(PAGE / 2, 3);
    expect_row(PAGE / 2 + 1, 4);
    expect_row(3 * PAGE / 4, 4);
    expect_row(3 * PAGE / 4 + 1, 5);
    expect_row(PAGE, 5);
}

Test(residency, a_chunk_over_many_pages_fills_those_within)
{
    struct fed f = fed_new();
    sample_arena(f.r, 10 * PAGE, 0);
    fed_pages(&f, MAIN_HEAP, MAIN_HEAP + 10 * PAGE, HW_PAGE_RESIDENT);
    fed_pages(&f, MAIN_HEAP + 4 * PAGE, MAIN_HEAP + 6 * PAGE, HW_PAGE_ABSENT);
    fed_pages(&f, MAIN_HEAP + 6 * PAGE, MAIN_HEAP + 7 * PAGE, HW_PAGE_SWAPPED);
    fed_begin(&f);
    feed(&f, HW_FREE, PAGE - 16);
    feed(&f, HW_USED, 8 * PAGE + 16 + 48); /* 16 on the first page, 48 on the last */
    feed(&f, HW_FREE, PAGE - 48);
    fed_end(&f);
    expect_fullness(&f, 0, ROWS(0, 2, 0, 0, 0, 5));
    expect_fullness(&f, -1, ROWS(0, 2, 0, 0, 0, 5));
    fed_drop(&f);
}

Test(residency, chunks_that_end_with_a_page)
{
    struct fed f = fed_new();
    sample_arena(f.r, 6 * PAGE, 0);
    fed_pages(&f, MAIN_HEAP, MAIN_HEAP + 6 * PAGE, HW_PAGE_RESIDENT);
    fed_begin(&f);
    feed(&f, HW_USED, PAGE);
    feed(&f, HW_FREE, 2 * PAGE);
    feed(&f, HW_USED, PAGE / 2);
    feed(&f, HW_USED, PAGE / 2 + PAGE);
    feed(&f, HW_FREE, PAGE);
    fed_end(&f);
    expect_fullness(&f, 0, ROWS(3, 0, 0, 0, 0, 3));
    fed_drop(&f);
}

Test(residency, many_small_chunks_on_a_page_add_up)
{
    struct fed f = fed_new();
    sample_arena(f.r, 2 * PAGE, 0);
    fed_pages(&f, MAIN_HEAP, MAIN_HEAP + 2 * PAGE, HW_PAGE_RESIDENT);
    fed_begin(&f);
    for (size_t i = 0; i < PAGE / 64; i++) {
        feed(&f, HW_USED, 32);
        feed(&f, i % 2 ? HW_CACHED : HW_PARKED, 32);
    }
    feed(&f, HW_USED, 32); /* and overhead is not in use */
    feed(&f, HW_OVERHEAD, PAGE - 32);
    fed_end(&f);
    expect_fullness(&f, 0, ROWS(0, 1, 0, 1, 0, 0));
    fed_drop(&f);
}

/* The main arena's heap may end, and another begin, within a page. */
Test(residency, a_page_of_two_heaps_counts_for_each)
{
    struct fed f = fed_new();
    sample_arena(f.r, PAGE + PAGE / 2, 0);
    struct hw_arena *b = sample_arena(f.r, PAGE + PAGE / 2, 0);
    b->heaps.data[0].address = MAIN_HEAP + PAGE + PAGE / 2;
    fed_pages(&f, MAIN_HEAP, MAIN_HEAP + 3 * PAGE, HW_PAGE_RESIDENT);
    fed_begin(&f);
    feed(&f, HW_USED, PAGE + PAGE / 4);
    feed(&f, HW_FREE, PAGE / 4);
    fed_to(&f, 1, MAIN_HEAP + PAGE + PAGE / 2);
    feed(&f, HW_FREE, PAGE / 2);
    feed(&f, HW_USED, PAGE);
    fed_end(&f);
    expect_fullness(&f, 0, ROWS(0, 0, 1, 0, 0, 1));
    expect_fullness(&f, 1, ROWS(1, 0, 0, 0, 0, 1));
    cr_expect_eq(fed_figure(&f, 0, HW_M_RESIDENT_BYTES), PAGE + PAGE / 2);
    cr_expect_eq(fed_figure(&f, 1, HW_M_RESIDENT_BYTES), PAGE + PAGE / 2);
    fed_drop(&f);
}

Test(residency, two_regions_of_one_arena_may_share_a_page)
{
    struct fed f = fed_new();
    sample_arena(f.r, 2 * PAGE, 0);
    fed_pages(&f, MAIN_HEAP, MAIN_HEAP + 2 * PAGE, HW_PAGE_RESIDENT);
    fed_begin(&f);
    feed(&f, HW_USED, PAGE);
    feed(&f, HW_USED, 512);
    fed_to(&f, 0, MAIN_HEAP + PAGE + 2048); /* what lies between is not malloc's */
    feed(&f, HW_USED, 512);
    feed(&f, HW_FREE, 1536);
    fed_end(&f);
    expect_fullness(&f, 0, ROWS(0, 0, 1, 0, 0, 1));
    fed_drop(&f);
}

/* ---- what must not happen -------------------------------------------------------------------- */

Test(residency, blocks_that_make_no_sense_are_ignored)
{
    struct fed f = fed_new();
    sample_arena(f.r, PAGE, 0);
    fed_pages(&f, MAIN_HEAP, MAIN_HEAP + 4 * PAGE, HW_PAGE_RESIDENT);
    fed_begin(&f);
    fed_to(&f, 5, MAIN_HEAP);
    feed(&f, HW_FREE, PAGE);
    fed_to(&f, -1, MAIN_HEAP);
    feed(&f, HW_FREE, PAGE);
    feed(&f, HW_MMAPPED, PAGE);
    feed(&f, HW_CACHED, PAGE);
    fed_to(&f, 0, MAIN_HEAP + 3 * PAGE);
    feed(&f, (enum hw_state)99, PAGE);
    fed_to(&f, 0, MAIN_HEAP + 2 * PAGE); /* in no heap: the arena has it all the same */
    feed(&f, HW_FREE, PAGE);
    fed_end(&f);
    cr_expect_eq(fed_figure(&f, -1, HW_M_FREE_RESIDENT_BYTES), PAGE);
    expect_split(&f.r->arenas.data[0].heaps.data[0].free, 0, 0, 0);
    expect_fullness(&f, 0, ROWS(1, 0, 0, 0, 0, 0));
    fed_drop(&f);
}
