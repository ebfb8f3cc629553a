#include "analysis/runs.h"
#include "analysis/spans.h"
#include "model/sample.h"

#define MOST 16

/* The runs of a walk, in the order in which they were told. */
struct told {
    struct hw_run_builder builder;
    struct hw_run runs[MOST];
    size_t count, blocks_before[MOST], blocks;
    hw_addr at;
    int arena;
};

static struct told start(void)
{
    return (struct told){.builder = hw_run_builder(), .at = 0x10000};
}

static void keep(struct told *t, const struct hw_run *run)
{
    if (!run)
        return;
    cr_assert_lt(t->count, (size_t)MOST);
    t->blocks_before[t->count] = t->blocks;
    t->runs[t->count++] = *run;
}

static void block(struct told *t, enum hw_state state, uint64_t bytes)
{
    struct hw_block b = sample_block(state, t->arena, bytes);
    b.address = t->at;
    t->blocks++;
    keep(t, hw_runs_span(&t->builder, &(struct hw_span){.blocks = &b,
                                                        .count = 1,
                                                        .address = b.address,
                                                        .bytes = b.bytes,
                                                        .state = state}));
    t->at += bytes;
}

static void end(struct told *t)
{
    keep(t, hw_runs_end(&t->builder));
}

static void expect_run(const struct told *t, size_t i, hw_addr address, uint64_t bytes,
                       unsigned chunks)
{
    cr_assert_lt(i, t->count);
    const struct hw_run *run = &t->runs[i];
    cr_expect_eq(run->address, address, "run %zu begins at %#lx", i, run->address);
    cr_expect_eq(run->bytes, bytes, "run %zu has %lu bytes", i, run->bytes);
    cr_expect_eq(run->chunks, chunks, "run %zu has %u chunks", i, run->chunks);
}

static void expect_neighbours(const struct told *t, size_t i, unsigned below, unsigned above)
{
    cr_expect_eq(t->runs[i].below.state, below, "below run %zu: %d", i, t->runs[i].below.state);
    cr_expect_eq(t->runs[i].above.state, above, "above run %zu: %d", i, t->runs[i].above.state);
}

Test(runs, free_chunks_next_to_each_other_are_one)
{
    struct told t = start();
    block(&t, HW_USED, 32);
    block(&t, HW_FREE, 64);
    block(&t, HW_PARKED, 48);
    block(&t, HW_PARKED, 32);
    block(&t, HW_FREE, 4096);
    block(&t, HW_USED, 112);
    end(&t);
    cr_assert_eq(t.count, 1);
    expect_run(&t, 0, 0x10020, 64 + 48 + 32 + 4096, 4);
    expect_neighbours(&t, 0, HW_USED, HW_USED);
    cr_expect_eq(t.runs[0].below.address, 0x10000);
    cr_expect_eq(t.runs[0].above.bytes, 112);
    cr_expect_not(t.runs[0].has_top);
}

Test(runs, a_run_is_told_after_the_block_above_it)
{
    struct told t = start();
    block(&t, HW_FREE, 64);
    block(&t, HW_USED, 64);
    cr_assert_eq(t.count, 1);
    cr_expect_eq(t.blocks_before[0], 2);
}

Test(runs, what_a_thread_caches_and_overhead_part_them)
{
    struct told t = start();
    block(&t, HW_FREE, 64);
    block(&t, HW_CACHED, 32);
    block(&t, HW_FREE, 96);
    block(&t, HW_OVERHEAD, 32);
    end(&t);
    cr_assert_eq(t.count, 2);
    expect_run(&t, 0, 0x10000, 64, 1);
    expect_run(&t, 1, 0x10060, 96, 1);
    expect_neighbours(&t, 0, HW_STATES_, HW_CACHED);
    expect_neighbours(&t, 1, HW_CACHED, HW_OVERHEAD);
}

Test(runs, fastbin_chunks_and_what_is_free_before_them_join_top)
{
    struct told t = start();
    block(&t, HW_USED, 64);
    block(&t, HW_FREE, 640);
    block(&t, HW_PARKED, 32);
    block(&t, HW_TOP, 1000);
    end(&t);
    cr_assert_eq(t.count, 1);
    expect_run(&t, 0, 0x10040, 640 + 32 + 1000, 3);
    expect_neighbours(&t, 0, HW_USED, HW_STATES_);
    cr_expect(t.runs[0].has_top);
}

/* A main arena that fell back to mappings has its top in the middle of addresses. */
Test(runs, nothing_lies_above_top_but_another_region)
{
    struct told t = start();
    block(&t, HW_TOP, 4096);
    t.at += 4096;
    block(&t, HW_FREE, 64);
    block(&t, HW_USED, 64);
    cr_assert_eq(t.count, 2);
    cr_expect(t.runs[0].has_top);
    cr_expect_not(t.runs[1].has_top);
    expect_run(&t, 1, 0x12000, 64, 1);
    expect_neighbours(&t, 1, HW_STATES_, HW_USED);
}

Test(runs, a_region_may_begin_right_behind_top)
{
    struct told t = start();
    block(&t, HW_PARKED, 64);
    block(&t, HW_TOP, 4096 - 64);
    block(&t, HW_FREE, 64);
    block(&t, HW_USED, 64);
    cr_assert_eq(t.count, 2);
    expect_run(&t, 0, 0x10000, 4096, 2);
    cr_expect(t.runs[0].has_top);
    expect_run(&t, 1, 0x11000, 64, 1);
    cr_expect_not(t.runs[1].has_top);
    expect_neighbours(&t, 0, HW_STATES_, HW_STATES_);
    expect_neighbours(&t, 1, HW_STATES_, HW_USED);

    t = start();
    block(&t, HW_TOP, 4096);
    block(&t, HW_USED, 64);
    cr_assert_eq(t.count, 1);
    expect_neighbours(&t, 0, HW_STATES_, HW_STATES_);
}

Test(runs, a_hole_in_the_addresses_parts_them)
{
    struct told t = start();
    block(&t, HW_USED, 64);
    block(&t, HW_FREE, 64);
    t.at += 16; /* could not be read */
    block(&t, HW_FREE, 64);
    block(&t, HW_USED, 64);
    t.at += 16;
    block(&t, HW_FREE, 64);
    end(&t);
    cr_assert_eq(t.count, 3);
    expect_neighbours(&t, 0, HW_USED, HW_STATES_);
    expect_neighbours(&t, 1, HW_STATES_, HW_USED);
    expect_neighbours(&t, 2, HW_STATES_, HW_STATES_);
}

Test(runs, arenas_never_share_one)
{
    struct told t = start();
    block(&t, HW_FREE, 64);
    end(&t);
    t.arena = 1; /* right behind it */
    block(&t, HW_FREE, 64);
    block(&t, HW_USED, 32);
    end(&t);
    cr_assert_eq(t.count, 2);
    cr_expect_eq(t.runs[0].arena, 0);
    cr_expect_eq(t.runs[1].arena, 1);
    expect_neighbours(&t, 0, HW_STATES_, HW_STATES_);
    expect_neighbours(&t, 1, HW_STATES_, HW_USED);
}

Test(runs, spans_may_be_long)
{
    struct told t = start();
    struct hw_block b[] = {sample_block(HW_USED, 0, 32),   sample_block(HW_USED, 0, 48),
                           sample_block(HW_PARKED, 0, 64), sample_block(HW_PARKED, 0, 80),
                           sample_block(HW_USED, 0, 96),   sample_block(HW_USED, 0, 112)};
    struct hw_span spans[sizeof b / sizeof *b];
    for (size_t i = 0; i < sizeof b / sizeof *b; t.at += b[i++].bytes)
        b[i].address = t.at;
    size_t count = hw_spans(b, sizeof b / sizeof *b, spans);
    cr_assert_eq(count, 3);
    for (size_t i = 0; i < count; i++)
        keep(&t, hw_runs_span(&t.builder, &spans[i]));
    cr_assert_eq(t.count, 1);
    expect_run(&t, 0, 0x10050, 144, 2);
    expect_neighbours(&t, 0, HW_USED, HW_USED);
    cr_expect_eq(t.runs[0].below.bytes, 48);
    cr_expect_eq(t.runs[0].above.bytes, 96);
}

Test(runs, a_walk_without_free_memory_has_none)
{
    struct told t = start();
    end(&t);
    block(&t, HW_USED, 64);
    block(&t, HW_OVERHEAD, 64);
    block(&t, HW_CACHED, 64);
    end(&t);
    end(&t);
    cr_expect_eq(t.count, 0);
}

Test(runs, the_end_of_the_walk_ends_the_last)
{
    struct told t = start();
    block(&t, HW_USED, 64);
    block(&t, HW_PARKED, 64);
    end(&t);
    cr_assert_eq(t.count, 1);
    expect_run(&t, 0, 0x10040, 64, 1);
    expect_neighbours(&t, 0, HW_USED, HW_STATES_);
    end(&t);
    cr_expect_eq(t.count, 1);
}
