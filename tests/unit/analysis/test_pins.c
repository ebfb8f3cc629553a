#include "analysis/walked.h"

#include <stdarg.h>

#define EXPECT_PINS(p, c, b, j)                                                                    \
    do {                                                                                           \
        cr_expect((p)->known);                                                                     \
        cr_expect_eq((p)->chunks, (uint64_t)(c), "%lu chunks", (unsigned long)(p)->chunks);        \
        cr_expect_eq((p)->bytes, (uint64_t)(b), "%lu bytes", (unsigned long)(p)->bytes);           \
        cr_expect_eq((p)->joins_bytes, (uint64_t)(j), "%lu join",                                  \
                     (unsigned long)(p)->joins_bytes);                                             \
    } while (0)

static void expect_main(const char *text, uint64_t chunks, uint64_t bytes, uint64_t joins)
{
    struct walked w = walk_main(text, false);
    const struct hw_top_pins *p = &w.r->arenas.data[0].top_pins;
    EXPECT_PINS(p, chunks, bytes, joins);
    cr_expect_eq(p->first.count, chunks < HW_TOP_PINS_KEPT ? chunks : HW_TOP_PINS_KEPT);
    walked_done(&w);
}

/* ---- main arena ------------------------------------------------------------------------------ */

Test(pins, the_last_of_a_million)
{
    expect_main("u656 f1000000 u1040 T5000", 1, 1040, 1000000);
}

Test(pins, free_memory_next_to_top_is_not_held_back)
{
    expect_main("u656 f1000000 u1040 f100000 p32 f100000 T5000", 1, 1040, 1000000);
    expect_main("u656 f1000000 T5000", 0, 0, 0);
    expect_main("u656 f1000000 p32 T5000", 0, 0, 0);
}

Test(pins, fastbin_chunks_are_free)
{
    expect_main("u656 f500000 p32 f500000 u48 T5000", 1, 48, 1000032);
}

Test(pins, an_island_may_have_many_chunks)
{
    expect_main("u656 f1000000 u1000 u1000 u2000 T5000", 3, 4000, 1000000);
}

Test(pins, islands_that_together_hold_back_much)
{
    expect_main("u500000 f1000000 u1000 f1000000 u2000 f1000000 u3000 T5000", 3, 6000, 3000000);
}

Test(pins, data_that_is_not_small_is_no_pin)
{
    expect_main("u656 f1000000 u1000000 T5000", 0, 0, 0);
    expect_main("u656 f1600000 u100000 T5000", 1, 100000, 1600000); /* a sixteenth */
    expect_main("u656 f1600000 u100016 T5000", 0, 0, 0);
}

Test(pins, little_is_not_mentioned)
{
    expect_main("u656 f65536 u32 T5000", 1, 32, 65536);
    expect_main("u656 f65520 u32 T5000", 0, 0, 0);
}

Test(pins, chunks_that_add_hardly_anything_are_left_out)
{
    /* The lower one is cheap enough, but holds back only a tenth. */
    expect_main("u90000 f100000 u2000 f1000000 u1000 T5000", 1, 1000, 1000000);
    expect_main("u90000 f200000 u2000 f1000000 u1000 T5000", 2, 3000, 1200000);
}

Test(pins, an_expensive_island_may_be_worth_what_lies_below_it)
{
    expect_main("u90000 f9000000 u100 f1000 u50000 T5000", 2, 50100, 9001000);
}

Test(pins, tcache_chunks_hold_on_but_are_not_in_use)
{
    struct walked w = walk_main("u656 f1000000 t48 u1000 t48 T5000", false);
    const struct hw_top_pins *p = &w.r->arenas.data[0].top_pins;
    EXPECT_PINS(p, 1, 1000, 1000000);
    cr_expect_eq(p->cached_chunks, 2);
    cr_expect_eq(p->cached_bytes, 96);
    cr_assert_eq(p->first.count, 3);
    cr_expect_eq(p->first.data[0].block.state, HW_CACHED);
    cr_expect_eq(p->first.data[0].block.address, 0x10000 + 656 + 1000000);
    cr_expect_eq(p->first.data[1].block.address, 0x10000 + 656 + 1000000 + 48);
    cr_expect_eq(p->first.data[2].block.tid, 77);
    walked_done(&w);
}

Test(pins, nothing_joins_across_a_fence_or_foreign_memory)
{
    expect_main("u656 f1000000 u32 o32 o100000 u1000 T5000", 0, 0, 0);
    expect_main("u656 f1000000 u32 o32 o100000 u1000 f300000 u640 T5000", 1, 640, 300000);
}

Test(pins, the_header_of_the_heap_is_no_fence)
{
    expect_main("o16 u656 f1000000 u1040 T5000", 1, 1040, 1000000);
}

Test(pins, regions_of_the_main_arena_do_not_join)
{
    expect_main("u656 f1000000 u32 o32 | u1000 f300000 u640 T5000", 1, 640, 300000);
    expect_main("u656 f1000000 u32 o32 | u1000 T5000", 0, 0, 0);
}

Test(pins, a_top_that_never_shrinks_has_no_pins)
{
    static const char text[] = "u656 f1000000 u1040 T5000";
    struct walked w = {.r = sample_report()};
    walked_layout(sample_arena(w.r, 0, 0), 0x10000, text);
    w.r->arenas.data[0].brk.n += 4096;
    walk_all(&w, (const char *const[]){text, NULL});
    EXPECT_PINS(&w.r->arenas.data[0].top_pins, 0, 0, 0);
    walked_done(&w);
}

Test(pins, without_a_known_break_the_best_is_believed)
{
    static const char text[] = "u656 f1000000 u1040 T5000";
    struct walked w = {.r = sample_report()};
    walked_layout(sample_arena(w.r, 0, 0), 0x10000, text);
    w.r->arenas.data[0].brk = (struct hw_maybe){0};
    walk_all(&w, (const char *const[]){text, NULL});
    EXPECT_PINS(&w.r->arenas.data[0].top_pins, 1, 1040, 1000000);
    cr_expect_not(w.r->arenas.data[0].top_pins.joins_trim.known);
    walked_done(&w);
}

Test(pins, unknown_after_damage_or_without_top)
{
    struct walked w = walk_main("u656 f1000000 u1040 ?5000 T5000", false);
    cr_expect_not(w.r->arenas.data[0].top_pins.known);
    walked_done(&w);
    w = walk_main("u656 f1000000 u1040", false);
    cr_expect_not(w.r->arenas.data[0].top_pins.known);
    walked_done(&w);
}

Test(pins, an_arena_that_was_never_used_has_none)
{
    struct walked w = {.r = sample_report()};
    sample_arena(w.r, 0, 0)->top = (struct hw_top){0};
    walk_all(&w, (const char *const[]){"", NULL});
    EXPECT_PINS(&w.r->arenas.data[0].top_pins, 0, 0, 0);
    walked_done(&w);
}

Test(pins, what_is_in_ram_and_what_a_trim_would_give_back)
{
    /* Pages from 0x10000 on: the runs begin at 0x10290 and end at 0x10290 + 0x40000. */
    struct walked w = walk_main("u0x290 f0x20000 p0x20 f0x1ffe0 u0x100 T0x1000", true);
    const struct hw_top_pins *p = &w.r->arenas.data[0].top_pins;
    EXPECT_PINS(p, 1, 0x100, 0x40000);
    cr_expect_eq(p->joins_resident, 0x40000);
    cr_expect(p->joins_trim.known);
    cr_expect_eq(p->joins_trim.n, 0x3f000);
    walked_done(&w);
}

Test(pins, runs_that_do_not_join_are_not_counted)
{
    struct walked w =
        walk_main("u0x290 f0x100 u0x9000 f0x40000 u0x100 f0x100 u0x100 f0x2000 T0x1000", true);
    const struct hw_top_pins *p = &w.r->arenas.data[0].top_pins;
    EXPECT_PINS(p, 2, 0x200, 0x40100);
    cr_expect_eq(p->joins_resident, 0x40100);
    walked_done(&w);
}

Test(pins, runs_of_another_region_are_not_counted)
{
    struct walked w = walk_main("u0x290 f0x100000 | f0x20000 u0x280 T0x1000", true);
    const struct hw_top_pins *p = &w.r->arenas.data[0].top_pins;
    EXPECT_PINS(p, 1, 0x280, 0x20000);
    cr_expect_eq(p->joins_resident, 0x20000);
    walked_done(&w);
}

/* ---- more islands than are remembered -------------------------------------------------------- */

static char *repeated(const char *head, unsigned times, const char *what, const char *tail)
{
    size_t room = strlen(head) + times * strlen(what) + strlen(tail) + 1;
    char *text = malloc(room), *p;
    cr_assert_not_null(text);
    p = stpcpy(text, head);
    for (unsigned i = 0; i < times; i++)
        p = stpcpy(p, what);
    stpcpy(p, tail);
    return text;
}

Test(pins, small_holes_do_not_hide_the_large_one_below_them)
{
    for (unsigned times = 1; times < 3000; times = times * 2 + 1) {
        char *text = repeated("u90000 f99000000", times, " u100 f32", " u640 T5000");
        expect_main(text, times + 1, 100 * times + 640, 99000000 + 32 * times);
        free(text);
    }
}

Test(pins, what_matters_is_found_among_many_islands)
{
    char *text = repeated("u656", 5000, " u100 f32", " u100 f1000000 u640 T5000");
    expect_main(text, 1, 640, 1000000);
    free(text);
}

Test(pins, where_all_are_alike_the_number_is_about_right)
{
    char *text = repeated("u900000", 1000, " f10000 u32", " T5000");
    struct walked w = walk_main(text, true);
    const struct hw_top_pins *p = &w.r->arenas.data[0].top_pins;
    cr_expect_geq(p->joins_bytes, 10000000 * 7 / 8);
    cr_expect_eq(p->joins_bytes, p->chunks * 10000);
    cr_expect_eq(p->bytes, p->chunks * 32);
    cr_expect_eq(p->joins_resident, p->joins_bytes);
    walked_done(&w);
    free(text);
}

/* ---- thread arenas --------------------------------------------------------------------------- */

/* A main arena with nothing of note and one thread arena. */
static struct walked walk_thread(const char *text, uint64_t top_pad)
{
    static const char plain[] = "u656 T5000";
    struct walked w = {.r = sample_report()};
    w.r->params.top_pad = hw_known(top_pad);
    walked_layout(sample_arena(w.r, 0, 0), 0x10000, plain);
    walked_layout(sample_arena(w.r, 0, 0), 0x7f0000000000, text);
    walk_all(&w, (const char *const[]){plain, text, NULL});
    return w;
}

static void expect_thread(const char *text, uint64_t chunks, uint64_t bytes, uint64_t joins)
{
    struct walked w = walk_thread(text, 0);
    EXPECT_PINS(&w.r->arenas.data[1].top_pins, chunks, bytes, joins);
    cr_expect(w.r->arenas.data[0].top_pins.known);
    walked_done(&w);
}

Test(pins, the_last_heap_of_a_thread_arena)
{
    expect_thread("o2200 u656 f1000000 u1040 T5000", 1, 1040, 1000000);
}

Test(pins, heaps_go_whole_and_top_continues_before_them)
{
    expect_thread("o2200 u656 f60000000 u1000 f5000 o32 | o32 u640 f30000000 u1040 T5000", 3, 2680,
                  90005000);
    /* The tail of the first heap joins, too, once the second is empty. */
    expect_thread("o2200 u900000 f60000000 o32 | o32 u640 f30000 u1040 T5000", 2, 1680, 60030000);
}

Test(pins, a_last_heap_with_nothing_but_top_holds_nothing_back)
{
    expect_thread("o2200 u900000 f60000000 o32 | o32 T5000", 0, 0, 0);
    expect_thread("o2200 u900000 f60000000 o32 | o32 f100000 T5000", 0, 0, 0);
    expect_thread("o2200 u900000 f60000000 u48 f6000 o32 | o32 T5000", 1, 48, 60000000);
}

Test(pins, a_heap_stays_where_the_one_before_has_no_room)
{
    /* 64 MiB in all, 100,000 of them free at the end: too few for a top_pad of 128 KiB. */
    static const char text[] = "o2200 u67006632 f100000 o32 | o32 u640 f80000 u1040 T5000";
    struct walked w = walk_thread(text, 0);
    EXPECT_PINS(&w.r->arenas.data[1].top_pins, 2, 1680, 180000);
    walked_done(&w);
    w = walk_thread(text, 128 * KIB);
    EXPECT_PINS(&w.r->arenas.data[1].top_pins, 1, 1040, 80000);
    walked_done(&w);
}

Test(pins, heaps_may_lie_next_to_each_other)
{
    expect_thread("o2200 u900000 f66206632 o32 | o32 u640 f67107152 u1008 o32 | o32 u48 T5000", 3,
                  1696, 133313784);
}

Test(pins, a_heap_that_ends_early_is_damage)
{
    static const char text[] = "o2200 u900000 f60000000 o32 | o32 u640 f3000000 u48 T5000";
    struct walked w = {.r = sample_report()};
    walked_layout(sample_arena(w.r, 0, 0), 0x10000, text);
    w.r->arenas.data[0].heaps.data[0].bytes += 4096;
    walk_all(&w, (const char *const[]){text, NULL});
    cr_expect_not(w.r->arenas.data[0].top_pins.known);
    walked_done(&w);
}

Test(pins, each_arena_has_its_own)
{
    static const char *const texts[] = {"u656 f1000000 u1040 T5000",
                                        "o2200 u656 f2000000 u64 T5000", "o2200 u656 T5000", NULL};
    struct walked w = {.r = sample_report()};
    for (size_t i = 0; texts[i]; i++)
        walked_layout(sample_arena(w.r, 0, 0), i ? 0x7f0000000000 - i * 256 * MIB : 0x10000,
                      texts[i]);
    walk_all(&w, texts);
    EXPECT_PINS(&w.r->arenas.data[0].top_pins, 1, 1040, 1000000);
    EXPECT_PINS(&w.r->arenas.data[1].top_pins, 1, 64, 2000000);
    EXPECT_PINS(&w.r->arenas.data[2].top_pins, 0, 0, 0);
    walked_done(&w);
}
