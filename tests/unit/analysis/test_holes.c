#include "analysis/walked.h"

/* The main arena alone, with so many holes asked for. */
static struct walked holes_of(const char *text, size_t wanted, bool resident)
{
    struct walked w = {.r = sample_report()};
    w.r->holes_wanted = wanted;
    w.r->holes_arena = -1;
    walked_layout(sample_arena(w.r, 0, 0), 0x10000, text);
    if (resident)
        walked_resident(&w);
    walk_all(&w, (const char *const[]){text, NULL});
    return w;
}

static void expect_sizes(const struct walked *w, const uint64_t *sizes, size_t count)
{
    cr_assert_eq(w->r->holes.count, count, "%zu holes", w->r->holes.count);
    for (size_t i = 0; i < count; i++)
        cr_expect_eq(w->r->holes.data[i].bytes, sizes[i], "hole %zu has %lu bytes", i,
                     (unsigned long)w->r->holes.data[i].bytes);
}
#define EXPECT_SIZES(w, ...)                                                                       \
    expect_sizes(w, (const uint64_t[]){__VA_ARGS__},                                               \
                 sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

Test(holes, none_unless_asked_for)
{
    struct walked w = walk_main("u100 f200 u100 T1000", false);
    cr_expect_eq(w.r->holes.count, 0);
    walked_done(&w);
}

Test(holes, the_largest_in_order)
{
    struct walked w = holes_of("u16 f300 u16 f100 u16 f500 u16 f200 u16 f400 u16 T350", 4, false);
    EXPECT_SIZES(&w, 500, 400, 350, 300);
    cr_expect(w.r->holes.data[2].has_top);
    cr_expect_not(w.r->holes.data[0].resident_bytes.known);
    cr_expect_not(w.r->holes.data[0].trim_bytes.known);
    walked_done(&w);
}

Test(holes, fewer_than_asked_for)
{
    struct walked w = holes_of("u16 f300 u16 f100 u16", 1000, false);
    EXPECT_SIZES(&w, 300, 100);
    walked_done(&w);
}

Test(holes, of_equal_ones_the_lowest)
{
    struct walked w = holes_of("u16 f32 u16 f32 u16 f32 u16 f32 u16 f32 u16 T16", 3, false);
    EXPECT_SIZES(&w, 32, 32, 32);
    for (size_t i = 0; i < 3; i++)
        cr_expect_eq(w.r->holes.data[i].address, 0x10010 + i * 48);
    walked_done(&w);
}

Test(holes, the_largest_of_many_in_any_order)
{
    static char text[200000];
    uint64_t x = 88172645463325252u;
    char *p = text;
    uint64_t seen[2000];
    for (size_t i = 0; i < 2000; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        seen[i] = 32 + x % 100000 * 16;
        p += sprintf(p, " u32 f%lu", (unsigned long)seen[i]);
    }
    strcpy(p, " u32 T32");
    struct walked w = holes_of(text, 50, false);
    cr_assert_eq(w.r->holes.count, 50);
    uint64_t least = w.r->holes.data[49].bytes;
    size_t larger = 0;
    for (size_t i = 0; i < 2000; i++)
        larger += seen[i] > least;
    cr_expect_leq(larger, 49);
    for (size_t i = 1; i < 50; i++)
        cr_expect_geq(w.r->holes.data[i - 1].bytes, w.r->holes.data[i].bytes);
    walked_done(&w);
}

Test(holes, neighbours_merge_and_tell_what_they_lie_between)
{
    struct walked w = holes_of("u64 f100 p32 f100 t48 f64 u16 T100", 2, false);
    EXPECT_SIZES(&w, 232, 100);
    const struct hw_hole *h = &w.r->holes.data[0];
    cr_expect_eq(h->chunks, 3);
    cr_expect_eq(h->address, 0x10040);
    cr_expect_eq(h->below.block.address, 0x10000);
    cr_expect_eq(h->below.block.state, HW_USED);
    cr_expect_eq(h->above.block.address, 0x10040 + 232);
    cr_expect_eq(h->above.block.state, HW_CACHED);
    cr_expect_eq(h->above.block.tid, 77);
    h = &w.r->holes.data[1];
    cr_expect(h->has_top);
    cr_expect_eq(h->above.block.state, HW_STATES_);
    walked_done(&w);
}

Test(holes, memory_in_ram_comes_first)
{
    static const char text[] = "u0x1000 f0x10000 u0x1000 f0x4000 u0x1000 T0x1000";
    struct walked w = {.r = sample_report()};
    w.r->holes_wanted = 2;
    w.r->holes_arena = -1;
    walked_layout(sample_arena(w.r, 0, 0), 0x10000, text);
    walked_resident(&w);
    cr_assert_eq(hw_pages_set(&w.pages, 0x12000, 0x20000, HW_PAGE_ABSENT, NULL), HW_OK);
    cr_assert_eq(hw_pages_set(&w.pages, 0x24000, 0x25000, HW_PAGE_SWAPPED, NULL), HW_OK);
    walk_all(&w, (const char *const[]){text, NULL});
    EXPECT_SIZES(&w, 0x4000, 0x10000);
    cr_expect_eq(w.r->holes.data[0].resident_bytes.n, 0x3000);
    cr_expect_eq(w.r->holes.data[0].trim_bytes.n, 0x3000, "its first page has the header");
    cr_expect_eq(w.r->holes.data[1].resident_bytes.n, 0x2000);
    cr_expect_eq(w.r->holes.data[1].trim_bytes.n, 0x1000);
    walked_done(&w);
}

Test(holes, nothing_goes_back_from_locked_memory)
{
    static const char text[] = "u0x1000 f0x10000 u0x1000 T0x100";
    struct walked w = {.r = sample_report()};
    w.r->holes_wanted = 1;
    w.r->holes_arena = -1;
    walked_layout(sample_arena(w.r, 0, 0), 0x10000, text);
    walked_resident(&w);
    cr_assert_eq(hw_pages_lock(&w.pages, 0, UINT64_MAX, NULL), HW_OK);
    walk_all(&w, (const char *const[]){text, NULL});
    cr_expect_eq(w.r->holes.data[0].resident_bytes.n, 0x10000);
    cr_expect_eq(w.r->holes.data[0].trim_bytes.n, 0);
    walked_done(&w);
}

Test(holes, of_one_arena_only)
{
    static const char *const texts[] = {"u16 f1000 u16 T32", "o16 f500 u16 T32", NULL};
    for (int only = -1; only < 3; only++) {
        struct walked w = {.r = sample_report()};
        w.r->holes_wanted = 10;
        w.r->holes_arena = only;
        walked_layout(sample_arena(w.r, 0, 0), 0x10000, texts[0]);
        walked_layout(sample_arena(w.r, 0, 0), 0x7f0000000000, texts[1]);
        walk_all(&w, texts);
        cr_expect_eq(w.r->holes.count, only < 0 ? 4 : only < 2 ? 2 : 0);
        for (size_t i = 0; only >= 0 && i < w.r->holes.count; i++)
            cr_expect_eq(w.r->holes.data[i].arena, only);
        walked_done(&w);
    }
}
