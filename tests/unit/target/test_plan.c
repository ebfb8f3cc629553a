#include "fake_image.h"

#include "target/plan.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static struct hw_plan make_plan(const struct hw_range *ranges, size_t count)
{
    struct hw_plan p;
    cr_assert_eq(hw_plan_init(&p, ranges, count, NULL), HW_OK);
    return p;
}

static struct hw_place start_of(const struct hw_plan *p)
{
    return (struct hw_place){0, p->count ? p->ranges[0].start : 0};
}

Test(plan, finds_places_in_the_order_of_reading)
{
    static const struct hw_range ranges[] = {{BASE + 100, BASE + 200},
                                             {BASE + 900, BASE + 900},
                                             {BASE, BASE + 50},
                                             {BASE + 300, BASE + 400}};
    struct hw_plan p = make_plan(ranges, 4);
    struct hw_place at;
    cr_expect_eq(p.count, 3, "without the empty one");
    cr_assert(hw_plan_find(&p, BASE + 100, &at));
    cr_expect(at.rank == 0 && at.addr == BASE + 100);
    cr_assert(hw_plan_find(&p, BASE + 49, &at));
    cr_expect_eq(at.rank, 1);
    cr_assert(hw_plan_find(&p, BASE + 399, &at));
    cr_expect_eq(at.rank, 2);
    static const hw_addr not_in_it[] = {0, BASE - 1, BASE + 50, BASE + 200, BASE + 400, UINT64_MAX};
    for (size_t i = 0; i < sizeof not_in_it / sizeof *not_in_it; i++)
        cr_expect_not(hw_plan_find(&p, not_in_it[i], &at), "%#lx", not_in_it[i]);
    hw_plan_deinit(&p);
    p = make_plan(NULL, 0);
    cr_expect_not(hw_plan_find(&p, BASE, &at));
    hw_plan_deinit(&p);
}

/* Claim one batch after the other; they must cover the plan without a gap. Returns their number. */
static size_t claim_all(const struct hw_plan *p, struct hw_target *t, size_t bytes,
                        uint64_t *claimed)
{
    struct hw_batch *b = calloc(1, sizeof *b);
    cr_assert_not_null(b);
    struct hw_place next = start_of(p);
    size_t batches = 0;
    *claimed = 0;
    for (; next.rank < p->count; batches++) {
        struct hw_place from = next;
        size_t used = 0;
        hw_batch_claim(b, p, t, &next, bytes);
        cr_assert(b->from.rank == from.rank && b->from.addr == from.addr);
        cr_assert(hw_place_before(from, next), "no progress");
        for (size_t i = 0; i < b->count; i++) {
            cr_assert_lt(b->runs[i].start, b->runs[i].end);
            cr_assert_eq(b->at[i], used);
            used += (size_t)(b->runs[i].end - b->runs[i].start);
        }
        cr_assert_leq(used, bytes);
        *claimed += used;
    }
    free(b);
    return batches;
}

Test(plan, batches_go_on_over_ranges)
{
    struct hw_range ranges[512];
    struct fake f = make_fake(512 * 128 * KIB);
    for (size_t i = 0; i < 512; i++) /* not in order of addresses */
        ranges[i] = (struct hw_range){BASE + (i * 37 % 512) * 128 * KIB,
                                      BASE + (i * 37 % 512) * 128 * KIB + 100 * KIB};
    struct hw_plan p = make_plan(ranges, 512);
    uint64_t claimed;
    cr_expect_leq(claim_all(&p, &f.t, 1 << 20, &claimed), 52);
    cr_expect_eq(claimed, 512 * 100 * KIB);
    cr_expect_leq(claim_all(&p, &f.t, 5000, &claimed), 512 * 26);
    cr_expect_eq(claimed, 512 * 100 * KIB);
    claim_all(&p, &f.t, 7, &claimed);
    cr_expect_eq(claimed, 512 * 100 * KIB);
    hw_plan_deinit(&p);
}

Test(plan, batches_are_cut_at_pages)
{
    struct fake f = make_fake(100 * KIB);
    struct hw_range range = {BASE + 16, BASE + 100 * KIB};
    struct hw_plan p = make_plan(&range, 1);
    struct hw_batch *b = calloc(1, sizeof *b);
    struct hw_place next = start_of(&p);
    hw_batch_claim(b, &p, &f.t, &next, 10 * KIB);
    cr_expect_eq(next.addr, BASE + 8 * KIB);
    free(b);
    hw_plan_deinit(&p);
}

Test(plan, only_what_is_in_ram_is_claimed)
{
    struct fake f = sparse_fake(16 * 1000);
    struct hw_range range = {BASE + 8, f.end};
    struct hw_plan p = make_plan(&range, 1);
    uint64_t claimed;
    size_t batches = claim_all(&p, &f.t, 1 << 20, &claimed);
    cr_expect_eq(claimed, 10 * 1000 * PAGE - 8);
    cr_expect_leq(batches, 10 * 1000 / 256 + 2);
    hw_plan_deinit(&p);
    hw_pages_clear(&f.t.pages);
}

/* Every other page of much memory is swapped out: a claim does not go on for ever. */
Test(plan, a_claim_ends_where_there_is_nothing_to_claim)
{
    struct fake f = make_fake(100000 * PAGE);
    f.t.pages_known = true;
    f.t.pages = hw_pages_empty(PAGE);
    for (hw_addr a = BASE; a < f.end; a += 2 * PAGE)
        cr_assert_eq(hw_pages_set(&f.t.pages, a, a + PAGE, HW_PAGE_SWAPPED, NULL), HW_OK);
    struct hw_range ranges[] = {{0x1000, BASE}, {BASE, f.end}, {f.end, UINT64_MAX}};
    struct hw_plan p = make_plan(ranges, 3);
    uint64_t claimed;
    size_t batches = claim_all(&p, &f.t, 1 << 20, &claimed);
    cr_expect_eq(claimed, 0);
    cr_expect(batches > 1 && batches < 100, "%zu", batches);
    hw_plan_deinit(&p);
    hw_pages_clear(&f.t.pages);
}

Test(plan, what_cannot_be_read_is_missing_in_a_batch)
{
    struct fake f = make_fake(64 * KIB);
    struct hw_range ranges[] = {{BASE, BASE + 4000},
                                {BASE + 8000, BASE + 12000},
                                {BASE + 12000, BASE + 13000},
                                {BASE + 20000, BASE + 30000}};
    f.hole = BASE + 9000;
    f.hole_end = BASE + 12500;
    struct hw_plan p = make_plan(ranges, 4);
    struct hw_batch *b = calloc(1, sizeof *b);
    cr_assert_not_null(b);
    b->buf = malloc(1 << 20);
    struct hw_place next = start_of(&p);
    hw_batch_claim(b, &p, &f.t, &next, 1 << 20);
    cr_expect_eq(next.rank, 4);
    cr_expect_eq(hw_batch_read(b, &f.t, NULL), HW_OK);
    static const struct {
        hw_addr addr;
        bool there;
    } places[] = {{BASE, true},          {BASE + 3999, true},  {BASE + 4000, false},
                  {BASE + 8999, true},   {BASE + 9000, false}, {BASE + 12000, false},
                  {BASE + 12600, false}, {BASE + 20000, true}, {BASE + 29999, true},
                  {BASE + 30000, false}, {BASE + 8000, true},  {0, false},
                  {UINT64_MAX, false}};
    size_t hint = 0;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const struct hw_range *run = hw_batch_run(b, places[i].addr, &hint);
        cr_expect_eq(run != NULL, places[i].there, "%#lx", places[i].addr);
        if (run)
            cr_expect(right(b->buf + b->at[hint], run->start, (size_t)(run->end - run->start)));
    }
    f.gone_from = BASE + 20001;
    next = start_of(&p);
    hw_batch_claim(b, &p, &f.t, &next, 1 << 20);
    cr_expect_eq(hw_batch_read(b, &f.t, NULL), HW_ERR_GONE);
    hint = 0;
    cr_expect_not_null(hw_batch_run(b, BASE + 8500, &hint), "what was read before is there");
    cr_expect_null(hw_batch_run(b, BASE + 20000, &hint));
    free(b->buf);
    free(b);
    hw_plan_deinit(&p);
}
