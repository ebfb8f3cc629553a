#include "analysis/fed.h"
#include "analysis/trim.h"

#define KEPT  UINT64_C(33) /* of a top: MINSIZE and one byte */
#define WORDS UINT64_C(48) /* the bookkeeping of a free chunk: 6 words */

/* ---- one run --------------------------------------------------------------------------------- */

static struct hw_range range_of(struct hw_report *r, int arena, hw_addr start, hw_addr end,
                                bool has_top)
{
    struct hw_run run = {
        .address = start, .bytes = end - start, .arena = arena, .chunks = 1, .has_top = has_top};
    return hw_trim_range(r, &r->arenas.data[arena], &run);
}

static void expect_range(struct hw_range got, hw_addr start, hw_addr end)
{
    cr_expect_eq(got.start, start, "it begins at %#lx, not %#lx", got.start, start);
    cr_expect_eq(got.end, end, "it ends at %#lx, not %#lx", got.end, end);
}

#define P(n) (UINT64_C(0x100000) + (n)*PAGE)

Test(trim, whole_pages_behind_the_bookkeeping)
{
    struct hw_report *r = sample_report();
    sample_arena(r, 1 * MIB, 0);
    sample_arena(r, 1 * MIB, 0);
    for (int arena = 0; arena < 2; arena++) {
        expect_range(range_of(r, arena, P(0), P(4), false), P(1), P(4));
        expect_range(range_of(r, arena, P(1) - WORDS, P(4), false), P(1), P(4));
        expect_range(range_of(r, arena, P(1) - WORDS + 16, P(4), false), P(2), P(4));
        expect_range(range_of(r, arena, P(1) - 1000, P(4) + 4080, false), P(1), P(4));
        expect_range(range_of(r, arena, P(1) - 1000, P(4) - 16, false), P(1), P(3));
    }
    hw_report_destroy(r);
}

Test(trim, less_than_a_page_and_the_bookkeeping_is_nothing)
{
    struct hw_report *r = sample_report();
    sample_arena(r, 1 * MIB, 0);
    expect_range(range_of(r, 0, P(1) - WORDS, P(2), false), P(1), P(2)); /* 4144 bytes */
    expect_range(range_of(r, 0, P(1) - WORDS, P(2) - 16, false), 0, 0);
    expect_range(range_of(r, 0, P(1), P(2), false), 0, 0);
    expect_range(range_of(r, 0, P(1) - 32, P(3) - 16, false), 0, 0);
    expect_range(range_of(r, 0, P(1), P(1) + 32, false), 0, 0);
    hw_report_destroy(r);
}

Test(trim, the_words_of_a_32_bit_target_are_smaller)
{
    struct hw_report *r = sample_report();
    sample_arena(r, 1 * MIB, 0);
    r->target.word = 4;
    expect_range(range_of(r, 0, P(1) - 24, P(2), false), P(1), P(2));
    expect_range(range_of(r, 0, P(1) - 16, P(3), false), P(2), P(3));
    expect_range(range_of(r, 0, P(1) - 24, P(2) - 8, false), 0, 0);
    hw_report_destroy(r);
}

Test(trim, the_pages_may_be_larger)
{
    struct hw_report *r = sample_report();
    sample_arena(r, 1 * MIB, 0);
    r->target.page_size = 64 * KIB;
    expect_range(range_of(r, 0, 64 * KIB, 256 * KIB, false), 128 * KIB, 256 * KIB);
    expect_range(range_of(r, 0, 64 * KIB, 128 * KIB - 16, false), 0, 0);
    hw_report_destroy(r);
}

Test(trim, of_the_main_top_the_end)
{
    struct hw_report *r = sample_report();
    sample_arena(r, 1 * MIB, 512 * KIB);
    hw_addr end = MAIN_HEAP + 1 * MIB;
    expect_range(range_of(r, 0, end - 512 * KIB, end, true), end - 508 * KIB, end);
    expect_range(range_of(r, 0, end - 600 * KIB, end, true), end - 596 * KIB, end); /* merged */
    expect_range(range_of(r, 0, end - PAGE - KEPT, end, true), end - PAGE, end);
    expect_range(range_of(r, 0, end - PAGE - KEPT + 1, end, true), 0, 0);
    r->params.thp_pagesize = hw_known(256 * KIB);
    expect_range(range_of(r, 0, end - 512 * KIB, end, true), end - 256 * KIB, end);
    r->params.thp_pagesize = hw_known(2 * MIB);
    expect_range(range_of(r, 0, end - 512 * KIB, end, true), 0, 0);
    hw_report_destroy(r);
}

Test(trim, a_top_that_is_not_at_the_break_stays)
{
    struct hw_report *r = sample_report();
    struct hw_arena *a = sample_arena(r, 1 * MIB, 512 * KIB);
    hw_addr end = MAIN_HEAP + 1 * MIB;
    a->brk.n += 16;
    expect_range(range_of(r, 0, end - 512 * KIB, end, true), 0, 0);
    a->contiguous = false;
    expect_range(range_of(r, 0, end - 512 * KIB, end, true), 0, 0);
    a->brk.n = end; /* once noncontiguous, now at the break again */
    expect_range(range_of(r, 0, end - 512 * KIB, end, true), end - 508 * KIB, end);
    a->brk.known = false;
    expect_range(range_of(r, 0, end - 512 * KIB, end, true), 0, 0);
    hw_report_destroy(r);
}

Test(trim, tops_of_thread_arenas_stay)
{
    struct hw_report *r = sample_report();
    sample_arena(r, 1 * MIB, 0);
    struct hw_arena *a = sample_arena(r, 1 * MIB, 512 * KIB);
    hw_addr end = a->top.address + a->top.bytes;
    expect_range(range_of(r, 1, a->top.address, end, true), 0, 0);
    hw_report_destroy(r);
}

Test(trim, madvise_stops_at_the_first_locked_mapping)
{
    struct fed f = fed_new();
    sample_arena(f.r, 1 * MIB, 512 * KIB);
    f.r->pages = &f.pages;
    cr_assert_eq(hw_pages_lock(&f.pages, P(3), P(4), NULL), HW_OK);
    cr_assert_eq(hw_pages_lock(&f.pages, P(6), P(9), NULL), HW_OK);
    expect_range(range_of(f.r, 0, P(0), P(6), false), P(1), P(3));
    expect_range(range_of(f.r, 0, P(4), P(6), false), P(5), P(6));
    expect_range(range_of(f.r, 0, P(2), P(6), false), 0, 0);
    expect_range(range_of(f.r, 0, P(7), P(12), false), 0, 0);
    expect_range(range_of(f.r, 0, P(8), P(12), false), P(9), P(12));
    hw_addr end = MAIN_HEAP + 1 * MIB;
    hw_pages_clear(&f.pages);
    cr_assert_eq(hw_pages_lock(&f.pages, 0, UINT64_MAX, NULL), HW_OK);
    expect_range(range_of(f.r, 0, P(0), P(6), false), 0, 0);
    expect_range(range_of(f.r, 0, end - 512 * KIB, end, true), end - 508 * KIB, end); /* by brk */
    fed_drop(&f);
}

/* ---- a whole walk ---------------------------------------------------------------------------- */

static void expect_stays(const struct fed *f, int arena, const int64_t stays[HW_STAYS_])
{
    static const char *const names[HW_STAYS_] = {
        [HW_STAY_SHARED_PAGE] = "shared page",
        [HW_STAY_TCACHE] = "tcache",
        [HW_STAY_THREAD_TOP] = "thread top",
        [HW_STAY_MAIN_TOP] = "main top",
        [HW_STAY_OTHER] = "other",
    };
    int64_t sum = fed_figure(f, arena, HW_M_TRIM_RESIDENT_BYTES);
    for (size_t i = 0; i < HW_STAYS_; i++) {
        struct hw_figure got = fed_residency(f, arena)->stays[i];
        cr_expect(got.known);
        cr_expect_eq(got.n, stays[i], "arena %d, %s: %ld, not %ld", arena, names[i], (long)got.n,
                     (long)stays[i]);
        sum += got.n;
    }
    cr_expect_eq(sum, fed_figure(f, arena, HW_M_FREE_RESIDENT_BYTES));
}
#define STAYS(...) ((const int64_t[HW_STAYS_]){__VA_ARGS__})

static void expect_trim(const struct fed *f, int arena, uint64_t all, uint64_t resident)
{
    int64_t a = fed_figure(f, arena, HW_M_TRIM_BYTES);
    int64_t b = fed_figure(f, arena, HW_M_TRIM_RESIDENT_BYTES);
    cr_expect_eq(a, (int64_t)all, "arena %d, trim_bytes: %ld", arena, (long)a);
    cr_expect_eq(b, (int64_t)resident, "arena %d, trim_resident_bytes: %ld", arena, (long)b);
}

Test(trim, every_free_byte_in_ram_goes_or_stays)
{
    struct fed f = fed_new();
    sample_arena(f.r, 20 * PAGE, 5 * PAGE);
    fed_pages(&f, MAIN_HEAP, MAIN_HEAP + 20 * PAGE, HW_PAGE_RESIDENT);
    fed_begin(&f);
    feed(&f, HW_USED, 1000);
    feed(&f, HW_FREE, 9 * PAGE); /* 8 whole pages within */
    feed(&f, HW_CACHED, 96);
    feed(&f, HW_USED, 6 * PAGE - 1096);
    feed(&f, HW_TOP, 5 * PAGE);
    fed_end(&f);
    for (int arena = -1; arena < 1; arena++) {
        expect_trim(&f, arena, 12 * PAGE, 12 * PAGE);
        expect_stays(&f, arena, STAYS(PAGE, 96, 0, PAGE, 0));
    }
    fed_drop(&f);
}

Test(trim, swapped_pages_go_but_are_in_no_ram)
{
    struct fed f = fed_new();
    sample_arena(f.r, 10 * PAGE, 3 * PAGE);
    fed_pages(&f, MAIN_HEAP, MAIN_HEAP + 10 * PAGE, HW_PAGE_RESIDENT);
    fed_pages(&f, MAIN_HEAP + 2 * PAGE, MAIN_HEAP + 4 * PAGE, HW_PAGE_SWAPPED);
    fed_pages(&f, MAIN_HEAP + 4 * PAGE, MAIN_HEAP + 5 * PAGE, HW_PAGE_ABSENT);
    fed_pages(&f, MAIN_HEAP + 9 * PAGE, MAIN_HEAP + 10 * PAGE, HW_PAGE_SWAPPED);
    fed_begin(&f);
    feed(&f, HW_USED, 64);
    feed(&f, HW_FREE, 6 * PAGE); /* pages 1 to 5 */
    feed(&f, HW_USED, PAGE - 64);
    feed(&f, HW_TOP, 3 * PAGE); /* pages 8 and 9 */
    fed_end(&f);
    expect_trim(&f, 0, 6 * PAGE, 3 * PAGE);
    expect_stays(&f, 0, STAYS(PAGE, 0, 0, PAGE, 0));
    cr_expect_eq(fed_figure(&f, 0, HW_M_FREE_SWAPPED_BYTES), 3 * PAGE);
    cr_expect_eq(fed_figure(&f, 0, HW_M_FREE_RETURNED_BYTES), PAGE);
    fed_drop(&f);
}

Test(trim, fastbin_chunks_make_a_run_long_enough)
{
    struct fed f = fed_new();
    sample_arena(f.r, 4 * PAGE, 0);
    fed_pages(&f, MAIN_HEAP, MAIN_HEAP + 4 * PAGE, HW_PAGE_RESIDENT);
    fed_begin(&f);
    feed(&f, HW_USED, PAGE - 64);
    feed(&f, HW_PARKED, 64);
    for (size_t i = 0; i < PAGE / 64; i++)
        feed(&f, i % 2 ? HW_PARKED : HW_FREE, 64);
    feed(&f, HW_PARKED, 64);
    feed(&f, HW_USED, 2 * PAGE - 64);
    fed_end(&f);
    expect_trim(&f, 0, PAGE, PAGE);
    expect_stays(&f, 0, STAYS(128, 0, 0, 0, 0));
    fed_drop(&f);
}

Test(trim, a_cached_chunk_parts_a_run)
{
    struct fed f = fed_new();
    sample_arena(f.r, 4 * PAGE, 0);
    fed_pages(&f, MAIN_HEAP, MAIN_HEAP + 4 * PAGE, HW_PAGE_RESIDENT);
    fed_begin(&f);
    feed(&f, HW_USED, PAGE - 64);
    feed(&f, HW_FREE, 1024);
    feed(&f, HW_CACHED, 1024);
    feed(&f, HW_FREE, PAGE);
    feed(&f, HW_USED, 2 * PAGE - 1984);
    fed_end(&f);
    expect_trim(&f, 0, 0, 0);
    expect_stays(&f, 0, STAYS(1024 + PAGE, 1024, 0, 0, 0));
    fed_drop(&f);
}

Test(trim, what_joins_top_goes_with_it)
{
    struct fed f = fed_new();
    sample_arena(f.r, 10 * PAGE, PAGE);
    fed_pages(&f, MAIN_HEAP, MAIN_HEAP + 10 * PAGE, HW_PAGE_RESIDENT);
    fed_begin(&f);
    feed(&f, HW_USED, PAGE + 1000);
    feed(&f, HW_FREE, 8 * PAGE - 1064);
    feed(&f, HW_PARKED, 64);
    feed(&f, HW_TOP, PAGE);
    fed_end(&f);
    /* 9 pages less 1000 bytes of top: 8 go, where of the free chunk alone 7 would. */
    expect_trim(&f, 0, 8 * PAGE, 8 * PAGE);
    expect_stays(&f, 0, STAYS(0, 0, 0, PAGE - 1000, 0));
    cr_expect_eq(f.r->arenas.data[0].top.malloc_trim_bytes.n, 8 * PAGE);
    fed_drop(&f);
}

Test(trim, a_thread_arena_keeps_what_joins_its_top)
{
    struct fed f = fed_new();
    sample_arena(f.r, PAGE, 0);
    struct hw_arena *a = sample_arena(f.r, 10 * PAGE, 2 * PAGE);
    hw_addr heap = a->heaps.data[0].address;
    fed_pages(&f, heap, heap + 9 * PAGE, HW_PAGE_RESIDENT);
    fed_begin(&f);
    fed_to(&f, 1, heap);
    feed(&f, HW_OVERHEAD, 2256);
    feed(&f, HW_FREE, 4 * PAGE);
    feed(&f, HW_USED, PAGE - 2256);
    feed(&f, HW_FREE, 3 * PAGE - 64);
    feed(&f, HW_PARKED, 64);
    feed(&f, HW_TOP, 2 * PAGE);
    fed_end(&f);
    expect_trim(&f, 1, 3 * PAGE, 3 * PAGE);
    expect_stays(&f, 1, STAYS(PAGE, 0, 4 * PAGE, 0, 0));
    expect_trim(&f, 0, 0, 0);
    expect_stays(&f, -1, STAYS(PAGE, 0, 4 * PAGE, 0, 0));
    fed_drop(&f);
}

Test(trim, a_main_top_away_from_the_break_stays)
{
    struct fed f = fed_new();
    sample_arena(f.r, 10 * PAGE, 8 * PAGE)->brk.n += PAGE;
    fed_pages(&f, MAIN_HEAP, MAIN_HEAP + 10 * PAGE, HW_PAGE_RESIDENT);
    fed_begin(&f);
    feed(&f, HW_USED, 2 * PAGE);
    feed(&f, HW_TOP, 8 * PAGE);
    fed_end(&f);
    expect_trim(&f, 0, 0, 0);
    expect_stays(&f, 0, STAYS(0, 0, 0, 8 * PAGE, 0));
    fed_drop(&f);
}

Test(trim, what_is_locked_stays_for_that_reason)
{
    struct fed f = fed_new();
    sample_arena(f.r, 20 * PAGE, 5 * PAGE);
    fed_pages(&f, MAIN_HEAP, MAIN_HEAP + 20 * PAGE, HW_PAGE_RESIDENT);
    fed_pages(&f, MAIN_HEAP + 8 * PAGE, MAIN_HEAP + 9 * PAGE, HW_PAGE_ABSENT);
    cr_assert_eq(hw_pages_lock(&f.pages, MAIN_HEAP + 4 * PAGE, MAIN_HEAP + 5 * PAGE, NULL), HW_OK);
    fed_begin(&f);
    feed(&f, HW_USED, 1000);
    feed(&f, HW_FREE, 10 * PAGE); /* pages 1 to 9, of which 1 to 3 go; 8 is not there */
    feed(&f, HW_USED, 5 * PAGE - 1000);
    feed(&f, HW_TOP, 5 * PAGE);
    fed_end(&f);
    expect_trim(&f, 0, 7 * PAGE, 7 * PAGE);
    expect_stays(&f, 0, STAYS(PAGE, 0, 0, PAGE, 5 * PAGE));
    fed_drop(&f);
}

Test(trim, what_was_given_back_is_not_given_back_again)
{
    struct fed f = fed_new();
    sample_arena(f.r, 20 * PAGE, 5 * PAGE);
    fed_pages(&f, MAIN_HEAP, MAIN_HEAP + PAGE, HW_PAGE_RESIDENT);
    fed_begin(&f);
    feed(&f, HW_USED, 1000);
    feed(&f, HW_FREE, 14 * PAGE);
    feed(&f, HW_USED, PAGE - 1000);
    feed(&f, HW_TOP, 5 * PAGE);
    fed_end(&f);
    expect_trim(&f, 0, 0, 0);
    expect_stays(&f, 0, STAYS(PAGE - 1000, 0, 0, 0, 0));
    fed_drop(&f);
}
