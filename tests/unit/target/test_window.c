#include <criterion/criterion.h>

#include "target/seeker.h"
#include "target/window.h"

#include <stdlib.h>
#include <string.h>

/* An image without memory: each byte follows from its address. [start, end) is there, but for one
 * hole. Counts its reads, and what they touched of pages that are not in RAM. */
struct fake {
    struct hw_target t;
    hw_addr start, end, hole, hole_end;
    size_t reads;
    uint64_t disturbed;
};

static uint8_t byte_at(hw_addr addr)
{
    return (uint8_t)(addr ^ addr >> 8 ^ addr >> 16);
}

static ssize_t fake_read(struct hw_target *t, hw_addr addr, void *buf, size_t len,
                         struct hw_error *err)
{
    (void)err;
    struct fake *f = (struct fake *)t;
    f->reads++;
    if (addr < f->start || addr >= f->end || (addr >= f->hole && addr < f->hole_end))
        return 0;
    hw_addr end = addr < f->hole ? f->hole : f->end;
    if (len > end - addr)
        len = (size_t)(end - addr);
    for (size_t i = 0; i < len; i++)
        ((uint8_t *)buf)[i] = byte_at(addr + i);
    if (t->pages_known)
        f->disturbed += len - hw_pages_count(&t->pages, addr, addr + len).resident;
    return (ssize_t)len;
}

static const struct hw_target_ops fake_ops = {.read = fake_read};

#define BASE    UINT64_C(0x7f0000000000)
#define KIB     UINT64_C(1024)
#define ENTRIES 100000u

static struct fake make_fake(uint64_t bytes)
{
    return (struct fake){.t.ops = &fake_ops, .start = BASE, .end = BASE + bytes};
}

static bool right(const uint8_t *p, hw_addr addr, size_t len)
{
    for (size_t i = 0; p && i < len; i++)
        if (p[i] != byte_at(addr + i))
            return false;
    return p != NULL;
}

/* ---- window ---------------------------------------------------------------------------------- */

Test(window, walks_forward_in_large_blocks)
{
    struct fake f = make_fake(10000 * KIB);
    struct hw_window w;
    cr_assert_eq(hw_window_init(&w, &f.t, HW_WINDOW_BYTES, NULL), HW_OK);
    for (hw_addr a = BASE; a < f.end; a += 48)
        cr_assert(right(hw_window_at(&w, a, 16, f.end), a, 16));
    cr_expect_leq(f.reads, 11);
    cr_expect_leq(f.t.bytes_read, 10000 * KIB + 11 * 64);
    hw_window_deinit(&w);
}

Test(window, tells_what_is_here)
{
    struct fake f = make_fake(1000 * KIB);
    struct hw_window w;
    size_t len = 0;
    f.hole = BASE + 6000;
    f.hole_end = BASE + 7000;
    cr_assert_eq(hw_window_init(&w, &f.t, 4096, NULL), HW_OK);
    cr_expect(right(hw_window_span(&w, BASE, f.end, &len), BASE, 4096));
    cr_expect_eq(len, 4096);
    cr_expect(right(hw_window_span(&w, BASE + 4000, BASE + 4010, &len), BASE + 4000, 10));
    cr_expect_eq(len, 10);
    cr_expect_eq(f.reads, 1);
    cr_expect(right(hw_window_span(&w, BASE + 4096, f.end, &len), BASE + 4096, 1904));
    cr_expect_eq(len, 1904); /* up to the hole */
    cr_expect_null(hw_window_span(&w, BASE + 6000, f.end, &len));
    cr_expect_null(hw_window_span(&w, BASE, BASE, &len));
    hw_window_deinit(&w);
}

Test(window, does_not_read_past_the_limit_but_for_what_is_wanted)
{
    struct fake f = make_fake(1000 * KIB);
    struct hw_window w;
    cr_assert_eq(hw_window_init(&w, &f.t, 4096, NULL), HW_OK);
    cr_expect(right(hw_window_at(&w, BASE, 16, BASE + 100), BASE, 16));
    cr_expect_eq(f.t.bytes_read, 100);
    cr_expect(right(hw_window_at(&w, BASE + 96, 16, BASE + 100), BASE + 96, 16));
    cr_expect_eq(f.t.bytes_read, 116);
    cr_expect(right(hw_window_at(&w, BASE + 200, 8, BASE + 100), BASE + 200, 8));
    cr_expect_null(hw_window_at(&w, BASE, 4097, f.end));
    cr_expect(right(hw_window_at(&w, BASE + 1, 4096, f.end), BASE + 1, 4096));
    hw_window_reset(&w);
    size_t before = f.reads;
    cr_expect(right(hw_window_at(&w, BASE + 1, 8, f.end), BASE + 1, 8));
    cr_expect_eq(f.reads, before + 1);
    hw_window_deinit(&w);
}

Test(window, a_short_read_that_covers_what_is_wanted_is_fine)
{
    struct fake f = make_fake(100 * KIB);
    f.hole = BASE + 10 * KIB;
    f.hole_end = BASE + 20 * KIB;
    struct hw_window w;
    cr_assert_eq(hw_window_init(&w, &f.t, 64 * KIB, NULL), HW_OK);
    cr_expect(right(hw_window_at(&w, BASE, 64, f.end), BASE, 64));
    cr_expect(right(hw_window_at(&w, f.hole - 8, 8, f.end), f.hole - 8, 8));
    cr_expect_null(hw_window_at(&w, f.hole - 8, 9, f.end));
    cr_expect_null(hw_window_at(&w, f.hole, 1, f.end));
    cr_expect(right(hw_window_at(&w, f.hole_end, 64, f.end), f.hole_end, 64));
    cr_expect_null(hw_window_at(&w, UINT64_MAX - 4, 64, UINT64_MAX));
    hw_window_deinit(&w);
}

/* ---- seeker ---------------------------------------------------------------------------------- */

/* Read `count` entries of 32 bytes at BASE + order(i) * stride. */
static void follow(struct fake *f, const uint32_t *order, size_t count, uint64_t stride)
{
    struct hw_seeker s;
    cr_assert_eq(hw_seeker_init(&s, &f->t, NULL), HW_OK);
    for (size_t i = 0; i < count; i++) {
        hw_addr a = BASE + order[i] * stride;
        cr_assert(right(hw_seeker_at(&s, a, 32), a, 32), "entry %zu", i);
    }
    hw_seeker_deinit(&s);
}

static uint32_t *make_order(bool descending, bool shuffled)
{
    uint32_t *order = malloc(ENTRIES * sizeof *order);
    cr_assert_not_null(order);
    for (uint32_t i = 0; i < ENTRIES; i++)
        order[i] = descending ? ENTRIES - 1 - i : i;
    uint64_t x = 88172645463325252u;
    for (uint32_t i = ENTRIES - 1; shuffled && i > 0; i--) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        uint32_t j = (uint32_t)(x % (i + 1)), t = order[i];
        order[i] = order[j];
        order[j] = t;
    }
    return order;
}

Test(seeker, an_ascending_list_takes_few_reads)
{
    struct fake f = make_fake(ENTRIES * KIB);
    uint32_t *order = make_order(false, false);
    follow(&f, order, ENTRIES, KIB);
    cr_expect_leq(f.reads, ENTRIES / 50, "%zu reads", f.reads);
    cr_expect_leq(f.t.bytes_read, ENTRIES * KIB * 11 / 10);
    free(order);
}

Test(seeker, a_descending_list_takes_few_reads)
{
    struct fake f = make_fake(ENTRIES * KIB);
    uint32_t *order = make_order(true, false);
    follow(&f, order, ENTRIES, KIB);
    cr_expect_leq(f.reads, ENTRIES / 50, "%zu reads", f.reads);
    cr_expect_leq(f.t.bytes_read, ENTRIES * KIB * 11 / 10);
    free(order);
}

Test(seeker, in_random_order_little_is_read_in_vain)
{
    static const uint32_t spans[] = {ENTRIES, 10000, 1000, 100};
    uint32_t *order = make_order(false, true);
    for (size_t k = 0; k < sizeof spans / sizeof *spans; k++) {
        struct fake f = make_fake(ENTRIES * KIB);
        for (uint32_t i = 0; i < ENTRIES; i++)
            order[i] %= spans[k];
        follow(&f, order, ENTRIES, KIB);
        cr_expect_leq(f.t.bytes_read, ENTRIES * KIB, "span %u: %llu bytes", spans[k],
                      (unsigned long long)f.t.bytes_read);
    }
    free(order);
}

Test(seeker, a_wide_stride_is_not_read_through)
{
    struct fake f = make_fake(ENTRIES * 64 * KIB);
    uint32_t *order = make_order(false, false);
    follow(&f, order, ENTRIES, 64 * KIB);
    cr_expect_leq(f.t.bytes_read, ENTRIES * KIB);
    free(order);
}

Test(seeker, recovers_when_the_order_changes)
{
    struct fake f = make_fake(ENTRIES * KIB);
    uint32_t *up = make_order(false, false), *mixed = make_order(false, true);
    memcpy(up + ENTRIES / 2, mixed, ENTRIES / 2 * sizeof *up);
    follow(&f, up, ENTRIES, KIB);
    cr_expect_leq(f.reads, ENTRIES / 2 + ENTRIES / 100);
    cr_expect_leq(f.t.bytes_read, ENTRIES * KIB);
    free(up);
    free(mixed);
}

Test(seeker, works_at_the_edges_of_holes)
{
    struct fake f = make_fake(1000 * KIB);
    f.hole = BASE + 300 * KIB;
    f.hole_end = BASE + 400 * KIB;
    struct hw_seeker s;
    cr_assert_eq(hw_seeker_init(&s, &f.t, NULL), HW_OK);
    for (hw_addr a = f.end - 64; a >= BASE; a -= 512) {
        bool there = a + 32 <= f.hole || a >= f.hole_end;
        cr_assert_eq(right(hw_seeker_at(&s, a, 32), a, 32), there, "at %#llx",
                     (unsigned long long)a);
    }
    cr_expect_null(hw_seeker_at(&s, BASE - 1, 32));
    cr_expect_null(hw_seeker_at(&s, 0, 32));
    cr_expect_null(hw_seeker_at(&s, UINT64_MAX - 8, 32));
    cr_expect_null(hw_seeker_at(&s, BASE, 257), "longer than promised");
    cr_expect(right(hw_seeker_at(&s, BASE, 256), BASE, 256));
    cr_expect(right(hw_seeker_at(&s, f.end - 5, 5), f.end - 5, 5));
    hw_seeker_deinit(&s);
}

/* ---- pages that are not in RAM --------------------------------------------------------------- */

#define PAGE UINT64_C(4096)

/* Of each 16 pages the first 10 are in RAM, the next 3 swapped out, the others were never touched. */
static struct fake sparse_fake(uint64_t pages)
{
    struct fake f = make_fake(pages * PAGE);
    f.t.pages_known = true;
    f.t.pages = hw_pages_empty(PAGE);
    for (hw_addr a = BASE; a < f.end; a += 16 * PAGE) {
        cr_assert_eq(hw_pages_set(&f.t.pages, a, a + 10 * PAGE, HW_PAGE_RESIDENT, NULL), HW_OK);
        cr_assert_eq(hw_pages_set(&f.t.pages, a + 10 * PAGE, a + 13 * PAGE, HW_PAGE_SWAPPED, NULL),
                     HW_OK);
    }
    return f;
}

Test(window, reads_ahead_over_pages_in_ram_only)
{
    struct fake f = sparse_fake(1600);
    struct hw_window w;
    cr_assert_eq(hw_window_init(&w, &f.t, HW_WINDOW_BYTES, NULL), HW_OK);
    for (hw_addr a = BASE; a + 32 <= f.end; a += 32)
        if (hw_pages_at(&f.t.pages, a) == HW_PAGE_RESIDENT)
            cr_assert(right(hw_window_at(&w, a, 32, f.end), a, 32));
    cr_expect_eq(f.disturbed, 0, "%lu bytes", f.disturbed);
    cr_expect_eq(f.reads, 100);
    hw_window_deinit(&w);
    hw_pages_clear(&f.t.pages);
}

Test(window, what_is_asked_for_is_read_wherever_it_is)
{
    struct fake f = sparse_fake(64);
    struct hw_window w;
    cr_assert_eq(hw_window_init(&w, &f.t, HW_WINDOW_BYTES, NULL), HW_OK);
    hw_addr swapped = BASE + 11 * PAGE, absent = BASE + 14 * PAGE;
    cr_expect(right(hw_window_at(&w, swapped + 100, 16, f.end), swapped + 100, 16));
    cr_expect_leq(f.disturbed, PAGE - 100); /* the page is back anyway */
    f.disturbed = 0;
    cr_expect(right(hw_window_at(&w, absent + 8, 16, f.end), absent + 8, 16));
    cr_expect_leq(f.disturbed, PAGE - 8);
    f.disturbed = 0;
    /* Over an edge: both ends, but nothing more of the page behind it. */
    hw_addr edge = BASE + 26 * PAGE;
    cr_expect(right(hw_window_at(&w, edge - 8, 16, f.end), edge - 8, 16));
    cr_expect_eq(f.disturbed, 8);
    f.disturbed = 0;
    cr_expect(right(hw_window_at(&w, BASE + 9 * PAGE, 5 * PAGE, f.end), BASE + 9 * PAGE, 5 * PAGE));
    cr_expect_eq(f.disturbed, 4 * PAGE);
    hw_window_deinit(&w);
    hw_pages_clear(&f.t.pages);
}

/* Every offset of an edge, from either side. */
Test(window, edges)
{
    struct fake f = sparse_fake(32);
    struct hw_window w;
    cr_assert_eq(hw_window_init(&w, &f.t, 4 * PAGE, NULL), HW_OK);
    for (hw_addr page = 1; page < 32; page++)
        for (int64_t off = -48; off <= 48; off += 8) {
            hw_addr a = BASE + page * PAGE + (hw_addr)off;
            hw_window_reset(&w);
            cr_assert(a + 32 > f.end || right(hw_window_at(&w, a, 32, f.end), a, 32));
        }
    hw_window_deinit(&w);
    hw_pages_clear(&f.t.pages);
}

static void seek_resident(struct fake *f, bool descending)
{
    struct hw_seeker s;
    cr_assert_eq(hw_seeker_init(&s, &f->t, NULL), HW_OK);
    size_t count = (size_t)(f->end - BASE) / 64;
    for (size_t i = 0; i < count; i++) {
        hw_addr a = BASE + 64 * (descending ? count - 1 - i : i);
        if (hw_pages_at(&f->t.pages, a) == HW_PAGE_RESIDENT)
            cr_assert(right(hw_seeker_at(&s, a, 32), a, 32), "at %#lx", a);
    }
    cr_expect_eq(f->disturbed, 0, "%lu bytes", f->disturbed);
    hw_seeker_deinit(&s);
}

Test(seeker, reads_ahead_over_pages_in_ram_only)
{
    for (int descending = 0; descending < 2; descending++) {
        struct fake f = sparse_fake(1600);
        seek_resident(&f, descending);
        cr_expect_leq(f.reads, 1200, "%zu reads", f.reads);
        hw_pages_clear(&f.t.pages);
    }
}

Test(seeker, what_is_asked_for_is_read_wherever_it_is)
{
    for (int descending = 0; descending < 2; descending++) {
        struct fake f = sparse_fake(64);
        struct hw_seeker s;
        cr_assert_eq(hw_seeker_init(&s, &f.t, NULL), HW_OK);
        size_t count = 64 * PAGE / 48;
        for (size_t i = 0; i < count; i++) {
            hw_addr a = BASE + 48 * (descending ? count - 1 - i : i); /* over edges, too */
            cr_assert(a + 48 > f.end || right(hw_seeker_at(&s, a, 48), a, 48), "at %#lx", a);
        }
        hw_seeker_deinit(&s);
        hw_pages_clear(&f.t.pages);
    }
}

/* A list whose chunks lie far from each other on pages that were swapped out. */
Test(seeker, brings_back_no_more_than_the_pages_it_must)
{
    struct fake f = make_fake(6400 * PAGE);
    f.t.pages_known = true;
    f.t.pages = hw_pages_empty(PAGE);
    cr_assert_eq(hw_pages_set(&f.t.pages, BASE, f.end, HW_PAGE_SWAPPED, NULL), HW_OK);
    struct hw_seeker s;
    cr_assert_eq(hw_seeker_init(&s, &f.t, NULL), HW_OK);
    for (size_t i = 0; i < 400; i++) {
        hw_addr a = BASE + (i * 7919 % 400) * 16 * PAGE + 128;
        cr_assert(right(hw_seeker_at(&s, a, 32), a, 32));
    }
    cr_expect_leq(f.disturbed, 400 * PAGE);
    hw_seeker_deinit(&s);
    hw_pages_clear(&f.t.pages);
}
