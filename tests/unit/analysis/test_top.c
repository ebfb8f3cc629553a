#include "analysis/analysis.h"
#include "model/sample.h"

static void expect(struct hw_report *r, size_t arena, int64_t by_free, int64_t by_trim,
                   enum hw_trim_reason reason)
{
    hw_analysis_top.end(NULL, r);
    const struct hw_top *t = &r->arenas.data[arena].top;
    int64_t f = t->trimmable_bytes.known ? (int64_t)t->trimmable_bytes.n : -1;
    int64_t m = t->malloc_trim_bytes.known ? (int64_t)t->malloc_trim_bytes.n : -1;
    cr_expect_eq(f, by_free, "trimmable_bytes is %ld, not %ld", (long)f, (long)by_free);
    cr_expect_eq(m, by_trim, "malloc_trim_bytes is %ld, not %ld", (long)m, (long)by_trim);
    cr_expect_eq(t->reason, reason, "the reason is %s", hw_trim_reason_name(t->reason));
    hw_report_destroy(r);
}
#define UNKNOWN (-1)

/* ---- main arena ------------------------------------------------------------------------------ */

Test(top, a_large_top_of_the_main_arena_goes_but_for_a_page)
{
    struct hw_report *r = sample_report();
    sample_arena(r, 10 * MIB, 1 * MIB);
    expect(r, 0, 1 * MIB - 4096, 1 * MIB - 4096, HW_TRIM_NONE);
}

Test(top, top_pad_is_kept_by_free_only)
{
    struct hw_report *r = sample_report();
    sample_arena(r, 10 * MIB, 1 * MIB);
    r->params.top_pad = hw_known(64 * KIB);
    expect(r, 0, 1 * MIB - 64 * KIB - 4096, 1 * MIB - 4096, HW_TRIM_NONE);
}

Test(top, below_the_threshold_only_malloc_trim_gives_back)
{
    struct hw_report *r = sample_report();
    sample_arena(r, 10 * MIB, 128 * KIB - 16);
    expect(r, 0, 0, 124 * KIB, HW_TRIM_BELOW_THRESHOLD);
}

Test(top, at_the_threshold_free_does_too)
{
    struct hw_report *r = sample_report();
    sample_arena(r, 10 * MIB, 128 * KIB);
    expect(r, 0, 124 * KIB, 124 * KIB, HW_TRIM_NONE);
}

Test(top, a_threshold_of_minus_one_means_never)
{
    struct hw_report *r = sample_report();
    sample_arena(r, 10 * MIB, 1 * MIB);
    r->params.trim_threshold = hw_known(UINT64_MAX);
    expect(r, 0, 0, 1 * MIB - 4096, HW_TRIM_BELOW_THRESHOLD);
}

Test(top, a_top_of_less_than_a_page_stays)
{
    struct hw_report *r = sample_report();
    sample_arena(r, 10 * MIB, 4096 + 32); /* MINSIZE + 1 is kept: one byte is missing */
    r->params.trim_threshold = hw_known(0);
    expect(r, 0, 0, 0, HW_TRIM_SUB_PAGE);
}

Test(top, one_byte_more_than_what_is_kept_is_a_page)
{
    struct hw_report *r = sample_report();
    sample_arena(r, 10 * MIB, 4096 + 33);
    r->params.trim_threshold = hw_known(0);
    expect(r, 0, 4096, 4096, HW_TRIM_NONE);
}

Test(top, the_smallest_top_does_not_underflow)
{
    struct hw_report *r = sample_report();
    sample_arena(r, 10 * MIB, 32);
    r->params.trim_threshold = hw_known(0);
    expect(r, 0, 0, 0, HW_TRIM_SUB_PAGE);
}

Test(top, a_pad_larger_than_top_leaves_nothing)
{
    struct hw_report *r = sample_report();
    sample_arena(r, 10 * MIB, 1 * MIB);
    r->params.top_pad = hw_known(UINT64_MAX);
    expect(r, 0, 0, 1 * MIB - 4096, HW_TRIM_SUB_PAGE);
}

Test(top, huge_pages_are_the_unit)
{
    struct hw_report *r = sample_report();
    sample_arena(r, 10 * MIB, 5 * MIB);
    r->params.thp_pagesize = hw_known(2 * MIB);
    r->arenas.data[0].granule = 2 * MIB;
    expect(r, 0, 4 * MIB, 4 * MIB, HW_TRIM_NONE);

    r = sample_report();
    sample_arena(r, 10 * MIB, 2 * MIB);
    r->params.thp_pagesize = hw_known(2 * MIB);
    expect(r, 0, 0, 0, HW_TRIM_SUB_PAGE);
}

Test(top, a_foreign_break_keeps_everything)
{
    struct hw_report *r = sample_report();
    sample_arena(r, 10 * MIB, 1 * MIB)->brk.n += 4096;
    expect(r, 0, 0, 0, HW_TRIM_BRK_MOVED);
}

Test(top, the_moved_break_is_named_before_the_threshold)
{
    struct hw_report *r = sample_report();
    sample_arena(r, 10 * MIB, 8192)->brk.n += 4096;
    expect(r, 0, 0, 0, HW_TRIM_BRK_MOVED);
}

Test(top, a_top_in_a_mapping_of_the_main_arena_stays)
{
    struct hw_report *r = sample_report();
    struct hw_arena *a = sample_arena(r, 10 * MIB, 1 * MIB);
    a->contiguous = false;
    a->brk.n += 64 * MIB;
    expect(r, 0, 0, 0, HW_TRIM_NONCONTIGUOUS);
}

Test(top, a_noncontiguous_arena_that_is_back_at_the_break_is_trimmed)
{
    struct hw_report *r = sample_report();
    sample_arena(r, 10 * MIB, 1 * MIB)->contiguous = false;
    expect(r, 0, 1 * MIB - 4096, 1 * MIB - 4096, HW_TRIM_NONE);
}

Test(top, nothing_is_claimed_without_the_break)
{
    struct hw_report *r = sample_report();
    sample_arena(r, 10 * MIB, 1 * MIB)->brk.known = false;
    expect(r, 0, UNKNOWN, UNKNOWN, HW_TRIM_NONE);
}

Test(top, nothing_is_claimed_without_the_threshold)
{
    struct hw_report *r = sample_report();
    sample_arena(r, 10 * MIB, 1 * MIB);
    r->params.trim_threshold.known = false;
    expect(r, 0, UNKNOWN, 1 * MIB - 4096, HW_TRIM_NONE);
}

Test(top, an_arena_without_top_is_unused)
{
    struct hw_report *r = sample_report();
    sample_arena(r, 0, 0)->top.address = 0;
    expect(r, 0, 0, 0, HW_TRIM_UNUSED);
}

/* ---- thread arenas --------------------------------------------------------------------------- */

/* A report with a main arena, and a thread arena whose heaps have these sizes; its top is the last
 * `top` bytes. Heaps go downwards, as mmap() hands them out. */
static struct hw_report *with_heaps(size_t count, const uint64_t *sizes, uint64_t top)
{
    struct hw_report *r = sample_report();
    sample_arena(r, 1 * MIB, 64 * KIB);
    struct hw_arena *a = sample_arena(r, sizes[0], top);
    for (size_t i = 1; i < count; i++) {
        struct hw_heap heap = {.address = a->heaps.data[i - 1].address - 64 * MIB,
                               .bytes = sizes[i]};
        cr_assert(hw_vec_push(&a->heaps, heap));
    }
    const struct hw_heap *last = &a->heaps.data[count - 1];
    a->top.address = last->address + last->bytes - top;
    return r;
}

Test(top, malloc_trim_never_touches_the_top_of_a_thread_arena)
{
    struct hw_report *r = with_heaps(1, (uint64_t[]){2 * MIB}, 1 * MIB);
    expect(r, 1, 1 * MIB - 4096, 0, HW_TRIM_THREAD_ARENA);
}

Test(top, a_thread_arena_below_the_threshold)
{
    struct hw_report *r = with_heaps(1, (uint64_t[]){2 * MIB}, 100 * KIB);
    expect(r, 1, 0, 0, HW_TRIM_BELOW_THRESHOLD);
}

Test(top, a_thread_arena_with_less_than_a_page)
{
    struct hw_report *r = with_heaps(1, (uint64_t[]){2 * MIB}, 4000);
    r->params.trim_threshold = hw_known(0);
    expect(r, 1, 0, 0, HW_TRIM_SUB_PAGE);
}

Test(top, the_granule_of_the_heap_is_the_unit)
{
    struct hw_report *r = with_heaps(1, (uint64_t[]){8 * MIB}, 5 * MIB);
    r->arenas.data[1].granule = 2 * MIB;
    expect(r, 1, 4 * MIB, 0, HW_TRIM_THREAD_ARENA);
}

Test(top, an_empty_last_heap_goes_whole)
{
    /* The first heap ends in a fence of 32 bytes behind a free chunk of 1 MiB. */
    struct hw_report *r = with_heaps(2, (uint64_t[]){64 * MIB, 40 * KIB}, 40 * KIB - 48);
    r->arenas.data[1].heaps.data[0].tail_free_bytes = 1 * MIB + 32;
    /* All of the heap, then the new top of 1 MiB + 32 without MINSIZE + 1, in pages. */
    expect(r, 1, 40 * KIB + 1 * MIB - 4096, 0, HW_TRIM_THREAD_ARENA);
}

Test(top, a_heap_that_goes_may_leave_a_top_below_the_threshold)
{
    struct hw_report *r = with_heaps(2, (uint64_t[]){64 * MIB, 40 * KIB}, 40 * KIB - 32);
    r->arenas.data[1].heaps.data[0].tail_free_bytes = 64 * KIB;
    expect(r, 1, 40 * KIB, 0, HW_TRIM_THREAD_ARENA);
}

Test(top, a_heap_with_a_chunk_before_top_stays)
{
    struct hw_report *r = with_heaps(2, (uint64_t[]){64 * MIB, 40 * KIB}, 40 * KIB - 32 - 32);
    r->arenas.data[1].heaps.data[0].tail_free_bytes = 1 * MIB;
    expect(r, 1, 0, 0, HW_TRIM_BELOW_THRESHOLD);
}

Test(top, a_heap_stays_where_the_one_before_has_no_room)
{
    /* pad + MINSIZE + a page are needed: 32 bytes of fence are not enough. */
    struct hw_report *r = with_heaps(2, (uint64_t[]){64 * MIB, 1 * MIB}, 1 * MIB - 48);
    r->arenas.data[1].heaps.data[0].tail_free_bytes = 32;
    expect(r, 1, 1 * MIB - 4096, 0, HW_TRIM_THREAD_ARENA);

    r = with_heaps(2, (uint64_t[]){64 * MIB, 40 * KIB}, 40 * KIB - 48);
    r->arenas.data[1].heaps.data[0].tail_free_bytes = 4096 + 31;
    expect(r, 1, 0, 0, HW_TRIM_BELOW_THRESHOLD);

    r = with_heaps(2, (uint64_t[]){64 * MIB, 40 * KIB}, 40 * KIB - 48);
    r->arenas.data[1].heaps.data[0].tail_free_bytes = 4096 + 32;
    expect(r, 1, 40 * KIB, 0, HW_TRIM_THREAD_ARENA);
}

Test(top, room_behind_a_heap_that_is_not_full_counts_too)
{
    struct hw_report *r = with_heaps(2, (uint64_t[]){64 * MIB - 8192, 40 * KIB}, 40 * KIB - 48);
    r->arenas.data[1].heaps.data[0].tail_free_bytes = 32;
    expect(r, 1, 40 * KIB, 0, HW_TRIM_THREAD_ARENA);
}

Test(top, several_heaps_go_one_after_the_other)
{
    struct hw_report *r = with_heaps(3, (uint64_t[]){60 * MIB, 64 * MIB, 64 * MIB}, 64 * MIB - 48);
    r->arenas.data[1].heaps.data[0].tail_free_bytes = 32;
    r->arenas.data[1].heaps.data[1].tail_free_bytes = 64 * MIB - 48; /* all of it is free */
    expect(r, 1, 128 * MIB, 0, HW_TRIM_THREAD_ARENA);
}

Test(top, the_first_heap_never_goes)
{
    struct hw_report *r = with_heaps(1, (uint64_t[]){1 * MIB}, 1 * MIB);
    expect(r, 1, 1 * MIB - 4096, 0, HW_TRIM_THREAD_ARENA);
}

Test(top, a_top_outside_the_last_heap_is_told)
{
    struct hw_report *r = with_heaps(2, (uint64_t[]){64 * MIB, 1 * MIB}, 512 * KIB);
    r->arenas.data[1].top.address = r->arenas.data[1].heaps.data[0].address + 4096;
    expect(r, 1, 0, 0, HW_TRIM_NOT_LAST_HEAP);
}

Test(top, damaged_heaps_do_not_go)
{
    struct hw_report *r = with_heaps(2, (uint64_t[]){64 * MIB, 40 * KIB}, 40 * KIB - 48);
    r->arenas.data[1].heaps.data[0].tail_free_bytes = 65 * MIB;
    expect(r, 1, 0, 0, HW_TRIM_BELOW_THRESHOLD);

    r = with_heaps(2, (uint64_t[]){UINT64_MAX, 40 * KIB}, 40 * KIB - 48);
    r->arenas.data[1].heaps.data[0].tail_free_bytes = 4 * MIB;
    expect(r, 1, 0, 0, HW_TRIM_BELOW_THRESHOLD);

    r = with_heaps(1, (uint64_t[]){2 * MIB}, 1 * MIB);
    r->arenas.data[1].heaps.count = 0;
    expect(r, 1, UNKNOWN, 0, HW_TRIM_THREAD_ARENA);
}

Test(top, older_versions_shrink_heaps_more_readily)
{
    struct hw_report *r = with_heaps(1, (uint64_t[]){2 * MIB}, 100 * KIB);
    strcpy(r->allocator.version, "2.17");
    expect(r, 1, 96 * KIB, 0, HW_TRIM_THREAD_ARENA);

    r = with_heaps(1, (uint64_t[]){2 * MIB}, 128 * KIB); /* 124 KiB could go */
    strcpy(r->allocator.version, "2.22");
    expect(r, 1, 0, 0, HW_TRIM_BELOW_THRESHOLD);
}
