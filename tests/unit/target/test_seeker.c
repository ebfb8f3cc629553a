#include "fake_image.h"

#include "target/seeker.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define ENTRIES 100000u

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
        cr_expect_leq(f.t.bytes_read, ENTRIES * PAGE, "span %u: %llu bytes", spans[k],
                      (unsigned long long)f.t.bytes_read);
    }
    free(order);
}

Test(seeker, a_wide_stride_is_not_read_through)
{
    struct fake f = make_fake(ENTRIES * 64 * KIB);
    uint32_t *order = make_order(false, false);
    follow(&f, order, ENTRIES, 64 * KIB);
    cr_expect_leq(f.t.bytes_read, ENTRIES * PAGE * 11 / 10);
    free(order);
}

Test(seeker, recovers_when_the_order_changes)
{
    struct fake f = make_fake(ENTRIES * KIB);
    uint32_t *up = make_order(false, false), *mixed = make_order(false, true);
    memcpy(up + ENTRIES / 2, mixed, ENTRIES / 2 * sizeof *up);
    follow(&f, up, ENTRIES, KIB);
    cr_expect_leq(f.reads, ENTRIES / 2 + ENTRIES / 100);
    cr_expect_leq(f.t.bytes_read, ENTRIES * PAGE * 11 / 10);
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

/* All of it is read once, in small pieces at first. */
Test(seeker, a_short_heap_in_random_order)
{
    struct fake f = make_fake(12000 * KIB);
    uint32_t *order = make_order(false, true);
    follow(&f, order, ENTRIES, 120);
    cr_expect_leq(f.reads, 8000, "%zu reads", f.reads);
    cr_expect_leq(f.t.bytes_read, 3 * 12000 * KIB);
    free(order);
}

/* A list that several threads freed into takes turns between heaps, which begin at multiples of 64
 * MiB. */
Test(seeker, several_places_in_turn)
{
    struct fake f = make_fake(16 * 64 * KIB * KIB);
    struct hw_seeker s;
    cr_assert_eq(hw_seeker_init(&s, &f.t, NULL), HW_OK);
    for (hw_addr i = 0; i < ENTRIES; i++) {
        hw_addr a = BASE + i % 8 * 64 * KIB * KIB + i / 8 * 112;
        cr_assert(right(hw_seeker_at(&s, a, 32), a, 32), "entry %lu", i);
    }
    cr_expect_leq(f.reads, ENTRIES / 10, "%zu reads", f.reads);
    hw_seeker_deinit(&s);
}

Test(seeker, a_reset_reads_anew)
{
    struct fake f = make_fake(100 * KIB);
    struct hw_seeker s;
    cr_assert_eq(hw_seeker_init(&s, &f.t, NULL), HW_OK);
    cr_assert(right(hw_seeker_at(&s, BASE, 16), BASE, 16));
    f.version = 1;
    cr_assert(right(hw_seeker_at(&s, BASE, 16), BASE, 16));
    hw_seeker_reset(&s);
    const uint8_t *p = hw_seeker_at(&s, BASE, 16);
    cr_assert(p && p[0] == (uint8_t)(byte_at(BASE) + 1));
    hw_seeker_deinit(&s);
}

/* Nothing lies on the boundaries of sectors, lines or groups, or is there in multiples of them. */
Test(seeker, odd_places)
{
    struct fake f = make_fake(400 * KIB);
    struct hw_seeker s;
    f.start += 77;
    f.end -= 33;
    f.hole = BASE + 100 * KIB + 5;
    f.hole_end = BASE + 101 * KIB + 1001;
    cr_assert_eq(hw_seeker_init(&s, &f.t, NULL), HW_OK);
    uint64_t x = 88172645463325252u;
    for (unsigned i = 0; i < 100000; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        hw_addr a = BASE + x % (400 * KIB);
        size_t len = (x >> 40) % 256 + 1;
        bool there = a >= f.start && a + len <= f.end && (a + len <= f.hole || a >= f.hole_end);
        cr_assert_eq(right(hw_seeker_at(&s, a, len), a, len), there, "%zu at %#lx", len, a);
    }
    hw_seeker_deinit(&s);
}
