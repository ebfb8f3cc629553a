#include "analysis/adopt.h"
#include "analysis/walked.h"
#include "base/cleanup.h"
#include "render/rendered.h"

/* A small heap with everything that is measured: pins below tops, holes, chunks in tcaches and
 * fastbins, whole pages in use and free, two heaps, a fence, pages that are not in RAM. */
static const char *const texts[] = {
    "u32 u4064 f200000 u64 p32 f100000 u32 u48 t64 f30000 u9000 u17 p80 T50000",
    "o2048 u64 f300000 u32 t32 f40000 o32 | o32 u32 f70000 u1000 T5000",
    "o2048 u5000 u32 p32 p48 u32 f9000 u32 f10000 t2000 T9000",
    NULL,
};
enum { ARENAS = sizeof texts / sizeof *texts - 1 };

/* A report with the first `count` arenas, the last of which was the first to come after the main
 * arena, as in glibc's ring: {0, 2, 1}. Not walked yet. */
static struct walked report_of(size_t count)
{
    struct walked w = {.r = sample_report()};
    w.r->holes_wanted = 4;
    w.r->holes_arena = -1;
    for (size_t i = 0; i < count; i++) {
        size_t text = i ? count - i : 0;
        struct hw_arena *a = sample_arena(w.r, 0, 0);
        a->address = 0x7f0000000000 - text * 256 * MIB;
        walked_layout(a, i ? a->address : 0x10000, texts[text]);
        hw_set(a->figures, HW_M_SYSTEM_BYTES, 0);
        for (size_t h = 0; h < a->heaps.count; h++)
            hw_add(a->figures, HW_M_SYSTEM_BYTES, a->heaps.data[h].bytes);
        a->fingerprint = 1000 + text;
    }
    walked_resident(&w);
    hw_addr some = w.r->arenas.data[0].heaps.data[0].address + 0x8000;
    cr_assert_eq(hw_pages_set(&w.pages, some, some + 0x4000, HW_PAGE_SWAPPED, NULL), HW_OK);
    cr_assert_eq(hw_pages_set(&w.pages, some + 0x5000, some + 0x9000, HW_PAGE_ABSENT, NULL), HW_OK);
    return w;
}

/* What the backend finds out in the walk of an arena. */
static void walk_arena(struct walked *w, struct hw_analyzing *z, size_t i)
{
    struct hw_arena *a = &w->r->arenas.data[i];
    for (size_t h = 0; h + 1 < a->heaps.count; h++)
        a->heaps.data[h].tail_free_bytes = 40032;
    walked_blocks(z, a, texts[i ? w->r->arenas.count - i : 0]);
    hw_analyses_arena_done(z);
}

/* Walk all arenas but those that may be taken from `earlier`, and are in the set `known` of
 * bits. */
static unsigned walk_rest(struct walked *w, struct walked *earlier, unsigned known)
{
    struct hw_analyzing *z;
    struct hw_block mapped = sample_block(HW_MMAPPED, -1, 200704);
    unsigned adopted = 0;
    if (w->r->pages)
        w->r->pages = &w->pages;
    cr_assert_eq(hw_analyses_begin(w->r, &z, NULL), HW_OK);
    for (unsigned i = 0; i < w->r->arenas.count; i++) {
        w->r->arenas.data[i].top.bytes += known >> i & 1; /* it is not known yet */
        if ((known >> i & 1) && hw_report_adopt(w->r, earlier->r, i)) {
            adopted |= 1U << i;
            continue;
        }
        w->r->arenas.data[i].top.bytes -= known >> i & 1;
        walk_arena(w, z, i);
    }
    hw_analyses_blocks(z, &mapped, 1);
    hw_analyses_end(z);
    return adopted;
}

static char *json_of(struct walked *w)
{
    w->r->pages = NULL;
    return rendered(w->r, "json");
}

static void expect_same(struct walked *a, struct walked *b)
{
    hw_autofree char *x = json_of(a), *y = json_of(b);
    size_t at = 0;
    while (x[at] && x[at] == y[at])
        at++;
    cr_expect_str_eq(x, y, "they differ at %.80s", x + at);
}

Test(adopt, the_report_is_as_if_the_arenas_had_been_walked)
{
    for (unsigned known = 0; known < 1U << ARENAS; known++) {
        struct walked first = report_of(ARENAS), second = report_of(ARENAS),
                      whole = report_of(ARENAS);
        walk_rest(&first, NULL, 0);
        walk_rest(&whole, NULL, 0);
        cr_expect_eq(walk_rest(&second, &first, known), known);
        expect_same(&second, &whole);
        walked_done(&first);
        walked_done(&second);
        walked_done(&whole);
    }
}

Test(adopt, there_is_something_to_compare)
{
    struct walked w = report_of(ARENAS);
    walk_rest(&w, NULL, 0);
    cr_expect_eq(w.r->holes.count, 4);
    cr_expect_gt(w.r->arenas.data[0].top_pins.first.count, 0);
    cr_expect_gt(hw_get(w.r->totals, HW_M_FREE_SWAPPED_BYTES), 0);
    cr_expect_gt(hw_get(w.r->totals, HW_M_TRIM_BYTES), 0);
    cr_expect_gt(w.r->arenas.data[1].top.merged_bytes, 0);
    walked_done(&w);
}

Test(adopt, a_new_arena_shifts_the_others)
{
    struct walked first = report_of(ARENAS - 1), second = report_of(ARENAS),
                  whole = report_of(ARENAS);
    walk_rest(&first, NULL, 0);
    walk_rest(&whole, NULL, 0);
    cr_expect_eq(walk_rest(&second, &first, 7), 1 | 4); /* not the one behind the main arena */
    expect_same(&second, &whole);
    for (size_t i = 0; i < second.r->holes.count; i++)
        cr_expect_eq(second.r->holes.data[i].below.block.arena, second.r->holes.data[i].arena);
    walked_done(&first);
    walked_done(&second);
    walked_done(&whole);
}

/* Whether arena 1 is adopted once `change` was done to both of its rows. */
static bool adopts(void (*change)(struct hw_report *later, struct hw_report *earlier))
{
    struct walked first = report_of(ARENAS), second = report_of(ARENAS);
    walk_rest(&first, NULL, 0);
    change(second.r, first.r);
    bool ret = walk_rest(&second, &first, 2) != 0;
    walked_done(&first);
    walked_done(&second);
    return ret;
}

static void nothing(struct hw_report *later, struct hw_report *earlier)
{
    (void)later;
    (void)earlier;
}
static void moved_before(struct hw_report *later, struct hw_report *earlier)
{
    (void)later;
    earlier->arenas.data[1].moved = true;
}
static void moved_now(struct hw_report *later, struct hw_report *earlier)
{
    (void)earlier;
    later->arenas.data[1].moved = true;
}
static void changed(struct hw_report *later, struct hw_report *earlier)
{
    (void)earlier;
    later->arenas.data[1].fingerprint++;
}
static void not_taken(struct hw_report *later, struct hw_report *earlier)
{
    later->arenas.data[1].fingerprint = earlier->arenas.data[1].fingerprint = 0;
}
static void grown(struct hw_report *later, struct hw_report *earlier)
{
    (void)earlier;
    later->arenas.data[1].heaps.data[0].bytes += 4096;
}
static void replaced(struct hw_report *later, struct hw_report *earlier)
{
    (void)earlier;
    later->arenas.data[1].address += 64 * MIB;
}
static void damaged(struct hw_report *later, struct hw_report *earlier)
{
    (void)later;
    hw_report_add(earlier, HW_FINDING_BAD_CHUNK, 1, (struct hw_maybe){0}, hw_known(64), "so so");
}
static void much_damaged(struct hw_report *later, struct hw_report *earlier)
{
    (void)later;
    for (size_t i = 0; i <= HW_FINDINGS_KEPT; i++)
        hw_report_add(earlier, HW_FINDING_BAD_CHUNK, 0, (struct hw_maybe){0}, hw_known(64), "so");
}
static void others_moved(struct hw_report *later, struct hw_report *earlier)
{
    (void)later;
    for (size_t i = 0; i <= HW_FINDINGS_KEPT; i++)
        hw_report_add(earlier, HW_FINDING_MOVED, 0, (struct hw_maybe){0}, (struct hw_maybe){0},
                      "it changed");
}
static void other_holes(struct hw_report *later, struct hw_report *earlier)
{
    (void)earlier;
    later->holes_wanted = 5;
}
static void holes_of_another(struct hw_report *later, struct hw_report *earlier)
{
    later->holes_arena = 1;
    earlier->holes_arena = 0;
}
static void no_pages(struct hw_report *later, struct hw_report *earlier)
{
    (void)earlier;
    later->pages = NULL;
}

Test(adopt, only_what_is_the_same)
{
    cr_expect(adopts(nothing));
    cr_expect(adopts(others_moved));
    cr_expect_not(adopts(moved_before));
    cr_expect_not(adopts(moved_now));
    cr_expect_not(adopts(changed));
    cr_expect_not(adopts(not_taken));
    cr_expect_not(adopts(grown));
    cr_expect_not(adopts(replaced));
    cr_expect_not(adopts(damaged));
    cr_expect_not(adopts(much_damaged));
    cr_expect_not(adopts(other_holes));
    cr_expect_not(adopts(holes_of_another));
    cr_expect_not(adopts(no_pages));
}

Test(adopt, only_once)
{
    struct walked first = report_of(ARENAS), second = report_of(ARENAS);
    walk_rest(&first, NULL, 0);
    cr_expect_eq(walk_rest(&second, &first, 7), 7);
    cr_expect_not(hw_report_adopt(second.r, first.r, 0));
    cr_expect_not(hw_report_adopt(second.r, first.r, 99));
    walked_done(&first);
    walked_done(&second);
}

Test(adopt, more_arenas_than_there_are_now)
{
    struct walked first = report_of(ARENAS), second = report_of(1);
    walk_rest(&first, NULL, 0);
    cr_expect_eq(walk_rest(&second, &first, 1), 0);
    walked_done(&first);
    walked_done(&second);
}
