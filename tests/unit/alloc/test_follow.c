/*
 * Many lists side by side: each is followed as if it were alone, by few calls, whatever cannot be
 * read.
 */
#include "alloc/glibc/follow.h"

#include "alloc/glibc/glibc.h"

#include <criterion/criterion.h>

#define BASE  ((hw_addr)0x10000000)
#define BYTES ((size_t)4 << 20)
#define HOLE  (BASE + BYTES)
#define LISTS 1500
#define MOST  40

static uint8_t image[BYTES];
static unsigned calls; /* of either read */
static const struct hw_target_ops *buffer_ops;
static struct hw_target_ops ops;
static struct walk w;

static ssize_t count_read(struct hw_target *t, hw_addr addr, void *buf, size_t len,
                          struct hw_error *err)
{
    calls++;
    return buffer_ops->read(t, addr, buf, len, err);
}

static size_t count_ranges(struct hw_target *t, const struct hw_range *ranges, size_t count,
                           void *buf)
{
    size_t done = 0;
    calls++;
    for (size_t i = 0; i < count; i++) {
        size_t len = (size_t)(ranges[i].end - ranges[i].start);
        ssize_t n = len <= UINT64_MAX - ranges[i].start
                        ? buffer_ops->read(t, ranges[i].start, (char *)buf + done, len, NULL)
                        : 0;
        done += n > 0 ? (size_t)n : 0;
        if (n != (ssize_t)len)
            break;
    }
    return done;
}

static void setup(void)
{
    struct hw_buffer_range range = {.start = BASE, .bytes = image, .len = BYTES};
    cr_assert_eq(hw_target_open_buffer(&range, 1, NULL, 0, &w.target, NULL), HW_OK);
    buffer_ops = w.target->ops;
    ops = *buffer_ops;
    ops.read = count_read;
    ops.read_ranges = count_ranges;
    w.target->ops = &ops;
    cr_assert_eq(hw_seeker_init(&w.seeker, w.target, NULL), HW_OK);
}

static void teardown(void)
{
    hw_seeker_deinit(&w.seeker);
    hw_target_close(w.target);
}

TestSuite(follow, .init = setup, .fini = teardown, .timeout = 20);

/* ---- places --------------------------------------------------------------------------------- */

Test(follow, what_cannot_be_read_is_told_and_nothing_else)
{
    static hw_addr at[2000];
    static uint8_t buf[2000 * 4];
    static bool there[2000];
    for (size_t i = 0; i < BYTES; i++)
        image[i] = (uint8_t)(i ^ i >> 8);
    for (size_t i = 0; i < 2000; i++) {
        at[i] = BASE + i * 997;
        if (i < 2 || i == 511 || i == 513 || (i > 700 && i % 7 == 0) || i == 1999)
            at[i] = i % 2 ? UINT64_MAX - i % 3 : HOLE - 4 + i % 4 + 1; /* or its end only */
    }
    for (size_t count = 1; count <= 2000; count += 1999) {
        glibc_read_places(w.target, at, count, 4, buf, there);
        for (size_t i = 0; i < count; i++) {
            size_t offset = (size_t)(at[i] - BASE);
            cr_assert_eq(there[i], at[i] < HOLE - 3, "%zu", i);
            cr_assert(!there[i] || memcmp(buf + i * 4, image + offset, 4) == 0, "%zu", i);
        }
    }
}

Test(follow, no_place_is_no_call)
{
    glibc_read_places(w.target, NULL, 0, 8, NULL, NULL);
    cr_expect_eq(calls, 0);
}

/* ---- lists ---------------------------------------------------------------------------------- */

/* A piece: the address of the next one, and what to expect there. */
struct item {
    struct chain chain;
    unsigned number, met;
    bool broken;
};

static struct item items[LISTS];
static struct chain *chains[LISTS];
static unsigned steps, fail_at;

static uint64_t *word_at(hw_addr addr)
{
    return (uint64_t *)(void *)(image + (addr - BASE));
}

static int step(struct walk *walk, struct chain *c, const uint8_t *bytes, struct hw_error *err)
{
    struct item *item = (struct item *)c;
    cr_assert_eq(walk, &w);
    steps++;
    c->at = 0;
    if (steps == fail_at)
        return hw_fail(err, HW_ERR_NOMEM, "enough");
    item->broken = bytes == NULL;
    if (!bytes)
        return HW_OK;
    cr_assert_eq(hw_word(bytes + 8, 8), (uint64_t)item->number << 32 | item->met);
    item->met++;
    c->at = hw_word(bytes, 8);
    return HW_OK;
}

/* Lists of `length` pieces: those of one list are `stride` bytes apart, in a part of the image that
 * is its own, or anywhere if that is 0. */
static void build(unsigned lists, unsigned length, size_t stride)
{
    uint64_t seed = 4711;
    static bool used[BYTES / 16];
    for (unsigned i = 0; i < lists; i++) {
        hw_addr *link = &items[i].chain.at;
        items[i].number = i;
        for (unsigned k = 0; k < length; k++) {
            size_t slot = i * (BYTES / 16 / lists) + k * stride / 16;
            while (!stride && used[slot]) {
                seed = seed * 6364136223846793005 + 1442695040888963407;
                slot = seed >> 33 & (BYTES / 16 - 1);
            }
            used[slot] = true;
            hw_addr at = BASE + slot * 16;
            *link = at;
            *word_at(at + 8) = (uint64_t)i << 32 | k;
            link = word_at(at);
        }
        *link = 0;
        chains[i] = &items[i].chain;
    }
}

static int follow(unsigned lists)
{
    return glibc_follow(&w, chains, lists, 16, step, NULL);
}

static void expect_all(unsigned lists, unsigned length)
{
    cr_assert_eq(follow(lists), HW_OK);
    for (unsigned i = 0; i < lists; i++) {
        cr_expect_eq(items[i].met, length, "list %u: %u", i, items[i].met);
        cr_expect_eq(items[i].chain.at, 0);
    }
}

Test(follow, one_step_of_all_lists_takes_few_calls)
{
    build(LISTS, 7, 0);
    expect_all(LISTS, 7);
    cr_expect_eq(calls, 7 * 3, "%u", calls);
}

Test(follow, lists_of_different_lengths)
{
    build(LISTS, MOST, 0);
    for (unsigned i = 0; i < LISTS; i++) { /* cut off */
        hw_addr *link = &items[i].chain.at;
        for (unsigned k = 0; k < i % MOST; k++)
            link = word_at(*link);
        *link = 0;
    }
    cr_assert_eq(follow(LISTS), HW_OK);
    for (unsigned i = 0; i < LISTS; i++)
        cr_expect_eq(items[i].met, i % MOST);
}

Test(follow, no_lists_and_empty_ones)
{
    cr_expect_eq(follow(0), HW_OK);
    build(20, 0, 0);
    expect_all(20, 0);
    cr_expect_eq(calls, 0);
}

Test(follow, a_list_that_breaks_is_the_only_one)
{
    build(600, 6, 0);
    for (unsigned i = 0; i < 600; i += 10)
        *word_at(items[i].chain.at) = HOLE + i;
    cr_assert_eq(follow(600), HW_OK);
    for (unsigned i = 0; i < 600; i++) {
        cr_expect_eq(items[i].broken, i % 10 == 0, "%u", i);
        cr_expect_eq(items[i].met, i % 10 ? 6 : 1, "%u", i);
    }
}

Test(follow, few_lists_are_read_ahead)
{
    build(3, 1000, 128);
    expect_all(3, 1000);
    cr_expect_lt(calls, 3 * 1000 / 16);
}

Test(follow, many_lists_of_neighbours_are_read_ahead)
{
    build(20, 5000, 32);
    expect_all(20, 5000);
    cr_expect_lt(calls, 500);
}

Test(follow, what_fails_ends_all)
{
    struct hw_error err = {0};
    build(100, 10, 0);
    fail_at = 250;
    cr_expect_eq(glibc_follow(&w, chains, 100, 16, step, &err), HW_ERR_NOMEM);
    cr_expect_eq(steps, 250);
    cr_expect_str_eq(err.text, "enough");
}

Test(follow, what_fails_when_few_are_left_ends_all)
{
    build(2, 10, 0);
    fail_at = 5;
    cr_expect_eq(follow(2), HW_ERR_NOMEM);
    cr_expect_eq(steps, 5);
}
