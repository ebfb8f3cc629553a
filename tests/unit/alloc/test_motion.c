/*
 * A target that runs while it is read: what tears is met again, counted, and bounded; what did not
 * change is exact, and it is said which is which.
 */
#include "alloc/built.h"

#define STATE_TOP    96
#define STATE_NEXT   2160
#define STATE_SYSTEM 2184
#define FASTBINS     16

static hw_addr place, other; /* what a hook is about */
static unsigned calls;       /* of it that did something */

TestSuite(motion, .init = setup, .fini = teardown, .timeout = 30);

static void idle(struct builder *image, hw_addr addr, size_t len, _Atomic bool *moving)
{
    (void)image, (void)addr, (void)len, (void)moving;
}

static bool covers(hw_addr addr, size_t len, hw_addr at)
{
    return addr <= at && at - addr < len;
}

static void walk(bool moving, builder_read_fn hook)
{
    builder_runs(b, moving, hook);
    walk_once();
    for (int i = 0; i < (int)r->report->arenas.count; i++) {
        int64_t left = figure(r, i, HW_M_UNACCOUNTED_BYTES), all = figure(r, i, HW_M_SYSTEM_BYTES);
        cr_expect_geq(left, 0);
        cr_expect_leq(left, all);
        cr_expect_leq(figure(r, i, HW_M_IN_USE_BYTES) + figure(r, i, HW_M_FREE_BYTES), all);
    }
}

/* No damage is claimed, only movement. */
static void expect_moved(uint64_t arenas)
{
    cr_expect_not(hw_report_complete(r->report));
    cr_expect_eq(findings(r, HW_FINDING_MOVED), arenas);
    for (size_t i = 0; i < r->report->findings.count; i++)
        cr_expect_eq(r->report->findings.data[i].kind, HW_FINDING_MOVED, "%s",
                     r->report->findings.data[i].text);
}

static const struct hw_arena *arena(size_t i)
{
    return &r->report->arenas.data[i];
}

static void expect_exact(size_t i)
{
    cr_expect_not(arena(i)->moved);
    cr_expect_neq(arena(i)->fingerprint, 0);
}

/* A heap of everything; the 20th chunk in use is at `place`. */
static void build_some(void)
{
    for (unsigned i = 0; i < 40; i++) {
        hw_addr p = build_used(b, 0x100);
        if (i == 20)
            place = p;
        if (i % 3 == 0)
            build_tcache(b, 0x40);
        if (i % 4 == 0)
            build_free(b, 0x90);
        if (i % 5 == 0)
            build_fast(b, 0x30);
    }
    build_used(b, 0x20);
}

Test(motion, what_does_not_change_is_exact)
{
    build_some();
    build_top(b, 0x1000);
    build_arena(b);
    build_some();
    build_top(b, 0);
    walk(false, idle);
    cr_expect(hw_report_complete(r->report));
    uint64_t prints[] = {arena(0)->fingerprint, arena(1)->fingerprint};
    int64_t in_use = figure(r, -1, HW_M_IN_USE_BYTES);
    cr_expect_neq(prints[0], prints[1]);
    walk(true, idle);
    cr_expect(hw_report_complete(r->report));
    for (size_t i = 0; i < 2; i++) {
        expect_exact(i);
        cr_expect_eq(arena(i)->fingerprint, prints[i]);
    }
    cr_expect_eq(figure(r, -1, HW_M_IN_USE_BYTES), in_use);
}

/* ---- chunks --------------------------------------------------------------------------------- */

/* The header is half written when the heap is read first, and right from then on. */
static void heal(struct builder *image, hw_addr addr, size_t len, _Atomic bool *moving)
{
    (void)moving;
    if (covers(addr, len, place + 8) && calls++ == 0)
        builder_poke(image, place + 8, 0x101);
}

Test(motion, a_torn_header_is_read_again)
{
    build_some();
    build_top(b, 0x1000);
    builder_link(b);
    builder_poke(b, place + 8, 0x4141414141414141);
    walk(true, heal);
    cr_expect_geq(calls, 2);
    cr_expect(hw_report_complete(r->report));
    expect_exact(0);
    cr_expect_eq(block_at(r, place)->bytes, 0x100);
    cr_expect_eq(figure(r, 0, HW_M_UNACCOUNTED_BYTES), 0);
}

Test(motion, what_stays_torn_is_stepped_over_and_counted)
{
    build_some();
    build_top(b, 0x1000);
    builder_link(b);
    builder_poke(b, place + 8, 0x4141414141414141);
    walk(true, idle);
    expect_moved(1);
    cr_expect(arena(0)->moved);
    cr_expect_eq(arena(0)->fingerprint, 0);
    cr_expect_eq(figure(r, 0, HW_M_UNACCOUNTED_BYTES), 0x100);
    cr_expect_eq(r->report->findings.data[0].bytes.n,
                 0x100u + (uint64_t)figure(r, 0, HW_M_TCACHE_BYTES) +
                     (uint64_t)figure(r, 0, HW_M_FASTBIN_BYTES));
    cr_expect_eq(figure(r, 0, HW_M_TOP_BYTES), 0x1000);
}

/* What lies behind it does not look like a chunk by chance. */
Test(motion, the_walk_goes_on_at_a_chain_and_not_at_what_looks_like_a_chunk)
{
    build_used(b, 0x40);
    hw_addr torn = build_used(b, 0x400);
    hw_addr next = build_used(b, 0x50);
    for (unsigned i = 0; i < 30; i++)
        build_used(b, 0x50);
    build_top(b, 0x1000);
    builder_link(b);
    builder_poke(b, torn + 8, 3);
    for (hw_addr p = torn + 0x20; p < torn + 0x140; p += 0x40)
        builder_poke(b, p + 8, 0x41); /* seven in a row, then nothing */
    walk(true, idle);
    expect_moved(1);
    cr_expect_eq(block_at(r, next)->state, HW_USED);
    cr_expect_eq(figure(r, 0, HW_M_UNACCOUNTED_BYTES), 0x400);
}

/* A header that leads far away is not believed. */
Test(motion, a_torn_size_does_not_swallow_the_heap)
{
    build_used(b, 0x40);
    hw_addr torn = build_used(b, 0x40);
    for (unsigned i = 0; i < 1000; i++)
        build_used(b, 0x90);
    build_top(b, 0x1000);
    builder_link(b);
    builder_poke(b, torn + 8, 0x20011);
    walk(true, idle);
    expect_moved(1);
    cr_expect_eq(figure(r, 0, HW_M_UNACCOUNTED_BYTES), 0x40);
    cr_expect_eq(figure(r, 0, HW_M_IN_USE_BYTES), 0x40 + 1000 * 0x90);
}

Test(motion, a_cached_chunk_that_is_in_a_bin_by_now)
{
    hw_addr chunk = build_tcache(b, 0x90), next = build_used(b, 0x40);
    build_top(b, 0x1000);
    builder_link(b);
    builder_poke(b, next, 0x90);
    builder_poke(b, next + 8, 0x40);
    walk(true, idle);
    expect_moved(1);
    cr_expect_eq(block_at(r, chunk)->state, HW_FREE);
    cr_expect_eq(figure(r, 0, HW_M_UNACCOUNTED_BYTES), 0);
}

Test(motion, bins_that_do_not_fit_to_the_chunks)
{
    hw_addr chunk = build_free(b, 0x90);
    build_used(b, 0x40);
    build_top(b, 0x1000);
    builder_link(b);
    builder_poke(b, chunk + 16, chunk);
    walk(true, idle);
    expect_moved(1);
}

/* ---- top ------------------------------------------------------------------------------------ */

/* When the chunk at `place` is read, a chunk of 0x100 bytes is cut from top, at `other`. */
static void cut(struct builder *image, hw_addr addr, size_t len, _Atomic bool *moving)
{
    (void)moving;
    if (!builder_lists_read(image) || !covers(addr, len, place) || calls++)
        return;
    uint64_t size = builder_peek(image, other + 8);
    builder_poke(image, other + 8, 0x101);
    builder_poke(image, other + 0x108, size - 0x100);
    builder_poke(image, builder_main_arena(image) + STATE_TOP, other + 0x100);
}

Test(motion, a_top_that_goes_up)
{
    build_some();
    other = build_top(b, 0x1000);
    walk(true, cut);
    expect_moved(1);
    cr_expect_eq(block_at(r, other)->state, HW_USED);
    cr_expect_eq(block_at(r, other)->bytes, 0x100);
    cr_expect_eq(figure(r, 0, HW_M_TOP_BYTES), 0xf00);
    cr_expect_eq(arena(0)->top.address, other + 0x100);
    cr_expect_eq(figure(r, 0, HW_M_UNACCOUNTED_BYTES), 0);
    cr_expect_geq(r->report->findings.data[0].bytes.n, 0x100);
}

static void grow(struct builder *image, hw_addr addr, size_t len, _Atomic bool *moving)
{
    if (builder_lists_read(image) && covers(addr, len, place) && calls == 0) {
        uint64_t system = builder_peek(image, builder_main_arena(image) + STATE_SYSTEM);
        builder_poke(image, builder_main_arena(image) + STATE_SYSTEM, system + 0x2000);
        builder_poke(image, builder_main_arena(image) + STATE_SYSTEM + 8, system + 0x2000);
        builder_poke(image, other + 8, builder_peek(image, other + 8) + 0x2000);
        cut(image, addr, len, moving);
    }
}

Test(motion, an_arena_that_grows)
{
    build_some();
    other = build_top(b, 0x1000);
    walk(true, idle);
    int64_t system = figure(r, 0, HW_M_SYSTEM_BYTES);
    walk(true, grow);
    expect_moved(1);
    cr_expect_eq(figure(r, 0, HW_M_SYSTEM_BYTES), system + 0x2000);
    cr_expect_eq(figure(r, 0, HW_M_TOP_BYTES), 0x2f00);
    cr_expect_eq(figure(r, 0, HW_M_UNACCOUNTED_BYTES), 0);
    cr_expect_eq(arena(0)->heaps.data[0].bytes, (uint64_t)system + 0x2000);
    cr_expect_geq(r->report->findings.data[0].bytes.n, 0x2000);
}

/* Top takes in what lies before it, down to `place`. */
static void merge(struct builder *image, hw_addr addr, size_t len, _Atomic bool *moving)
{
    (void)moving;
    if (!builder_lists_read(image) || !covers(addr, len, place) || calls++)
        return;
    builder_poke(image, place + 8, builder_peek(image, other + 8) + (other - place));
    builder_poke(image, builder_main_arena(image) + STATE_TOP, place);
}

Test(motion, a_top_that_goes_down)
{
    build_some();
    other = build_top(b, 0x1000);
    walk(true, merge);
    expect_moved(1);
    cr_expect_eq(figure(r, 0, HW_M_TOP_BYTES), 0x1000, "what was given out stays so");
    cr_expect_eq(figure(r, 0, HW_M_UNACCOUNTED_BYTES), 0);
    cr_expect_geq(r->report->findings.data[0].bytes.n, other - place);
}

/* The arena gives memory back, and is smaller than what was met of it. */
static void trim(struct builder *image, hw_addr addr, size_t len, _Atomic bool *moving)
{
    if (!builder_lists_read(image) || !covers(addr, len, place) || calls)
        return;
    merge(image, addr, len, moving);
    hw_addr system = builder_main_arena(image) + STATE_SYSTEM;
    builder_poke(image, system, place + 0x40 - SBRK_BASE);
    builder_poke(image, place + 8, 0x41);
}

Test(motion, an_arena_that_shrinks)
{
    build_some();
    other = build_top(b, 0x1000);
    walk(true, trim);
    expect_moved(1);
    cr_expect_eq(figure(r, 0, HW_M_UNACCOUNTED_BYTES), 0);
}

/* What cannot be is not believed, and nothing is counted wrongly by more than there is. */
static void absurd(struct builder *image, hw_addr addr, size_t len, _Atomic bool *moving)
{
    (void)moving;
    if (!builder_lists_read(image) || !covers(addr, len, place) || calls++)
        return;
    builder_poke(image, builder_main_arena(image) + STATE_SYSTEM, other);
    builder_poke(image, builder_main_arena(image) + STATE_TOP, ~(hw_addr)0xf);
}

static void expect_sane(unsigned shift)
{
    builder_destroy(b);
    b = builder_create();
    build_some();
    build_top(b, 0x1000);
    walk(false, idle);
    int64_t system = figure(r, 0, HW_M_SYSTEM_BYTES);
    other = (hw_addr)1 << shift;
    calls = 0;
    walk(true, absurd);
    expect_moved(1);
    cr_expect_eq(figure(r, 0, HW_M_SYSTEM_BYTES), system);
    const struct hw_finding *f = &r->report->findings.data[0];
    cr_expect_leq(f->bytes.n, (uint64_t)system, "%s", f->text);
    cr_expect_null(strstr(f->text, "grew"), "%s", f->text);
    cr_expect_null(strstr(f->text, "shrank"), "%s", f->text);
}

Test(motion, a_size_that_cannot_be)
{
    for (unsigned shift = 40; shift < 64; shift++)
        expect_sane(shift);
}

/* After the pieces of the main arena have been found, and before it is read again, it gets
 * another. */
static void get_piece(struct builder *image, hw_addr addr, size_t len, _Atomic bool *moving)
{
    (void)moving;
    if (builder_lists_read(image) || !covers(addr, len, place) || calls++)
        return;
    hw_addr system = builder_main_arena(image) + STATE_SYSTEM;
    builder_poke(image, system, builder_peek(image, system) + 0x21000);
    builder_poke(image, system + 8, builder_peek(image, system) + 0x21000);
}

Test(motion, a_piece_that_came_too_late)
{
    builder_noncontiguous(b);
    place = build_used(b, 0x100);
    build_used(b, 0x300);
    build_top(b, 0);
    walk(true, get_piece);
    expect_moved(1);
    cr_expect(arena(0)->moved);
    cr_expect_eq(figure(r, 0, HW_M_UNACCOUNTED_BYTES), 0x21000);
    cr_expect_geq(r->report->findings.data[0].bytes.n, 0x21000);
}

/* ---- thread arenas -------------------------------------------------------------------------- */

/* The arena has one heap, with top at `old_top`, until it is read; then top is in another one. */
static hw_addr second_heap, old_top;
static void add_heap(struct builder *image, hw_addr addr, size_t len, _Atomic bool *moving)
{
    (void)moving;
    if (!builder_lists_read(image) || !covers(addr, len, place) || calls++)
        return;
    builder_poke(image, old_top + 8, 0x205);
    builder_poke(image, HEAP_BASE + 48 + STATE_TOP, other);
    builder_poke(image, HEAP_BASE + 48 + STATE_SYSTEM,
                 builder_peek(image, second_heap + 16) + builder_peek(image, HEAP_BASE + 16));
}

Test(motion, an_arena_that_gets_another_heap)
{
    build_top(b, 0x1000);
    build_arena(b);
    place = build_used(b, 0x4000 - builder_here(b) % 0x4000 - 0x220);
    old_top = build_used(b, 0x200);
    build_heap_fence(b, 0x10);
    build_heap(b);
    second_heap = hw_align_down(builder_here(b), HEAP_MAX);
    hw_addr chunk = build_used(b, 0x300);
    other = build_top(b, 0);
    builder_link(b);
    uint64_t size = builder_peek(b, HEAP_BASE + 16);
    builder_poke(b, old_top + 8, 0x221);
    builder_poke(b, HEAP_BASE + 48 + STATE_TOP, old_top);
    builder_poke(b, HEAP_BASE + 48 + STATE_SYSTEM, size);
    walk(true, add_heap);
    expect_moved(1);
    cr_expect(arena(1)->moved);
    expect_exact(0);
    cr_expect_eq(arena(1)->heaps.count, 2);
    cr_expect_eq(block_at(r, old_top)->state, HW_USED);
    cr_expect_eq(block_at(r, old_top)->bytes, 0x200);
    cr_expect_eq(block_at(r, chunk)->state, HW_USED);
    cr_expect_eq(block_at(r, chunk)->arena, 1);
    cr_expect_eq(block_at(r, other)->state, HW_TOP);
    cr_expect_eq(figure(r, 1, HW_M_UNACCOUNTED_BYTES), 0);
}

/* Nobody knows of the second arena until the first is walked. */
static void link_arena(struct builder *image, hw_addr addr, size_t len, _Atomic bool *moving)
{
    (void)moving;
    if (builder_lists_read(image) && covers(addr, len, place))
        builder_poke(image, builder_main_arena(image) + STATE_NEXT, other);
}

Test(motion, an_arena_that_came_too_late)
{
    build_used(b, 0x100);
    place = build_used(b, 0x100);
    build_top(b, 0x1000);
    build_arena(b);
    build_used(b, 0x100);
    build_top(b, 0);
    walk(false, idle);
    uint64_t system = (uint64_t)figure(r, 1, HW_M_SYSTEM_BYTES);
    other = builder_peek(b, builder_main_arena(b) + STATE_NEXT);
    builder_poke(b, builder_main_arena(b) + STATE_NEXT, builder_main_arena(b));
    walk(true, link_arena);
    expect_moved(1);
    expect_exact(0);
    cr_expect_eq(r->report->arenas.count, 1);
    cr_expect_eq(r->report->findings.data[0].arena, -1);
    cr_expect_eq(r->report->findings.data[0].bytes.n, system);
}

/* ---- lists ---------------------------------------------------------------------------------- */

static uint64_t right_link;

/* The link at `place` is right once it has been read wrong `other` times. */
static void mend_link(struct builder *image, hw_addr addr, size_t len, _Atomic bool *moving)
{
    (void)moving;
    if (covers(addr, len, place) && ++calls == other)
        builder_poke(image, place, right_link);
}

static void break_link(hw_addr chunk, unsigned times)
{
    builder_link(b);
    place = chunk + 16;
    other = times;
    right_link = builder_peek(b, place);
    builder_poke(b, place, (place >> 12) ^ 0x4141414141414140);
}

Test(motion, a_tcache_list_that_breaks_is_followed_again)
{
    hw_addr chunk = build_tcache(b, 0x40);
    build_top(b, 0x1000);
    break_link(chunk, 2);
    builder_tcache_count(b, 0x40, 1); /* so that its link is followed */
    walk(true, mend_link);
    cr_expect(hw_report_complete(r->report));
    cr_expect_eq(block_at(r, chunk)->state, HW_CACHED);
    cr_expect_eq(r->report->threads.data[0].tcache_chunks.n, 1);
}

/* It alone is followed again; nothing is given twice. */
Test(motion, one_of_many_tcache_lists_breaks)
{
    hw_addr chunk = 0;
    for (unsigned i = 0; i < 20; i++)
        for (unsigned k = 0; k < 4; k++) {
            hw_addr p = build_tcache(b, 0x20 + 0x10 * i);
            if (i == 10 && k == 1)
                chunk = p;
        }
    build_top(b, 0x1000);
    break_link(chunk, 2);
    walk(true, mend_link);
    cr_expect(hw_report_complete(r->report));
    expect_exact(0);
    cr_expect_eq(r->report->threads.data[0].tcache_chunks.n, 20 * 4);
    cr_expect_eq(figure(r, 0, HW_M_TCACHE_CHUNKS), 20 * 4);
}

Test(motion, a_tcache_list_that_stays_broken_is_uncertain)
{
    hw_addr chunk = build_tcache(b, 0x40);
    build_tcache(b, 0x60);
    build_top(b, 0x1000);
    break_link(chunk, 0);
    walk(true, mend_link);
    expect_moved(1);
    cr_expect_eq(r->report->threads.data[0].tcache_chunks.n, 2);
    cr_expect_eq(r->report->findings.data[0].arena, -1);
}

Test(motion, a_fastbin_that_breaks)
{
    hw_addr chunk = build_fast(b, 0x40);
    build_top(b, 0x1000);
    break_link(chunk, 2);
    walk(true, mend_link);
    cr_expect(hw_report_complete(r->report));
    cr_expect_eq(arena(0)->fast[2].chunks, 1);
    calls = 0;
    break_link(chunk, 0);
    walk(true, mend_link);
    expect_moved(1);
    cr_expect_eq(arena(0)->fast[2].chunks, 1);
}

/* The thread takes the only chunk of a list while the heap is read. */
static void take_cached(struct builder *image, hw_addr addr, size_t len, _Atomic bool *moving)
{
    (void)moving;
    if (!builder_lists_read(image) || !covers(addr, len, place) || calls++)
        return;
    builder_tcache_empty(image, 0x40);
}

Test(motion, a_tcache_that_changes_makes_its_arenas_inexact)
{
    build_used(b, 0x40);
    place = build_tcache(b, 0x40);
    build_used(b, 0x1000);
    build_top(b, 0x1000);
    walk(true, take_cached);
    cr_expect_eq(calls, 1);
    expect_moved(1);
    cr_expect(arena(0)->moved);
}

Test(motion, a_cached_chunk_that_is_none_any_more)
{
    hw_addr chunk = build_used(b, 0x100);
    build_top(b, 0x1000);
    builder_link(b);
    builder_poke(b, chunk + 0x48, 0x31);
    builder_poke(b, builder_main_arena(b) + FASTBINS + 8, chunk + 0x40);
    builder_poke(b, chunk + 0x50, (chunk + 0x50) >> 12);
    walk(true, idle);
    expect_moved(1);
    cr_expect_eq(findings(r, HW_FINDING_LIST_MISMATCH), 0);
}

/* ---- what is exact nevertheless ------------------------------------------------------------- */

Test(motion, a_locked_arena_is_not_exact)
{
    build_some();
    build_top(b, 0x1000);
    builder_link(b);
    builder_poke(b, builder_main_arena(b), 1);
    walk(true, idle);
    expect_moved(1);
}

/* The time that the target may stand still is up while the second arena is read. */
static void run_on(struct builder *image, hw_addr addr, size_t len, _Atomic bool *moving)
{
    if (!builder_lists_read(image) || !covers(addr, len, place) || calls++)
        return;
    *moving = true;
    builder_poke(image, SBRK_BASE + 8, 0x4141414141414141); /* arena 0, which was read before */
    builder_poke(image, place + 8, 0x4141414141414141);
}

Test(motion, what_was_read_while_it_stood_still_is_exact)
{
    build_some();
    build_top(b, 0x1000);
    build_arena(b);
    build_some();
    build_top(b, 0);
    walk(false, run_on);
    expect_moved(1);
    cr_expect_eq(r->report->findings.data[0].arena, 1);
    expect_exact(0);
    cr_expect_eq(figure(r, 0, HW_M_UNACCOUNTED_BYTES), 0);
    cr_expect_neq(arena(0)->fingerprint, 0);
    cr_expect(arena(1)->moved);
}

static uint64_t known_print;
static bool knows(const struct hw_arena *a)
{
    return a->fingerprint == known_print;
}

Test(motion, an_arena_that_is_known_is_not_walked)
{
    build_some();
    build_top(b, 0x1000);
    build_arena(b);
    hw_addr chunk = build_used(b, 0x500);
    build_top(b, 0);
    walk(true, idle);
    known_print = arena(0)->fingerprint;
    builder_knows(b, knows);
    walk(false, idle);
    cr_expect_eq(findings(r, HW_FINDING_LIST_MISMATCH), 0);
    cr_expect_eq(arena(0)->fingerprint, known_print);
    cr_expect_eq(figure(r, 0, HW_M_IN_USE_BYTES), 0);
    cr_expect_eq(block_at(r, chunk)->state, HW_USED);
}

/* The arenas whose blocks came, in order; m: mmapped chunks. */
static const char *order_of_blocks(void)
{
    static char order[16];
    size_t n = 0;
    for (size_t i = 0; i < r->blocks.count; i++) {
        int a = r->blocks.data[i].arena;
        char c = a < 0 ? 'm' : (char)('0' + a);
        if (n == 0 || order[n - 1] != c)
            order[n++] = c;
        cr_assert_lt(n, sizeof order);
    }
    order[n] = '\0';
    return order;
}

static size_t one_of_three(unsigned *arenas, size_t count)
{
    cr_expect_eq(count, 3);
    for (unsigned i = 0; i < 3; i++)
        cr_expect_eq(arenas[i], i);
    memcpy(arenas, (unsigned[]){2, 1, 0}, 3 * sizeof *arenas);
    return 1;
}

static size_t none_of_two(unsigned *arenas, size_t count)
{
    cr_expect_eq(count, 2);
    cr_expect_eq(arenas[0], 1);
    cr_expect_eq(arenas[1], 2);
    return 0;
}

static size_t all(unsigned *arenas, size_t count)
{
    (void)arenas;
    return count;
}

Test(motion, arenas_are_walked_when_the_listener_wants_it)
{
    build_some();
    build_top(b, 0x1000);
    for (int i = 0; i < 2; i++) {
        build_arena(b);
        build_used(b, 0x40);
        build_top(b, 0);
    }
    build_mmapped(b, 0x40000);
    walk(false, idle);
    cr_expect_str_eq(order_of_blocks(), "012m");
    cr_expect_eq(r->at_enough, 0);
    cr_expect(hw_report_complete(r->report));
    known_print = arena(0)->fingerprint;
    int64_t in_use = figure(r, -1, HW_M_IN_USE_BYTES);
    builder_schedules(b, one_of_three);
    walk(false, idle);
    cr_expect_str_eq(order_of_blocks(), "2m10");
    cr_expect_eq(r->blocks.data[r->at_enough - 1].arena, -1);
    cr_expect_eq(r->blocks.data[r->at_enough].arena, 1);
    cr_expect(hw_report_complete(r->report), "nothing has changed");
    cr_expect_eq(figure(r, -1, HW_M_IN_USE_BYTES), in_use);
    builder_knows(b, knows);
    builder_schedules(b, none_of_two);
    walk(false, idle);
    cr_expect_str_eq(order_of_blocks(), "m12");
    cr_expect_eq(r->at_enough, 1);
    builder_schedules(b, all);
    walk(false, idle);
    cr_expect_str_eq(order_of_blocks(), "12m");
    cr_expect_eq(r->at_enough, 0, "there is no rest");
}

Test(motion, mmapped_chunks_come_and_go)
{
    build_top(b, 0x1000);
    build_mmapped(b, 0x40000);
    builder_mmaps(b, 2, 0x80000);
    walk(true, idle);
    expect_moved(1);
    cr_expect_eq(figure(r, -1, HW_M_MMAPPED_CHUNKS), 1);
    cr_expect_eq(r->report->findings.data[0].bytes.n, 0x40000);
}

/* ---- anything at all ------------------------------------------------------------------------ */

static uint64_t seed;
static uint64_t random_number(void)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return seed;
}

/* After each read some words of the heap, its arena or the tcache are anything. */
static void scramble(struct builder *image, hw_addr addr, size_t len, _Atomic bool *moving)
{
    (void)addr, (void)len, (void)moving;
    for (unsigned i = 0; i < 3; i++) {
        hw_addr at = SBRK_BASE + random_number() % 0x4000 / 8 * 8;
        uint64_t word = random_number();
        if (i == 1)
            at = builder_main_arena(image) + random_number() % 2200 / 8 * 8;
        if (i == 2)
            at = HEAP_BASE + random_number() % 0x4000 / 8 * 8;
        if (word % 4 == 0) /* something that could be a size, or an address */
            word = word >> 8 & 0xfff;
        else if (word % 4 == 1)
            word = SBRK_BASE + (word >> 8 & 0x3ff0);
        else if (word % 4 == 2)
            word = HEAP_BASE + (word >> 8 & 0x3ff0);
        if (i != 1 || random_number() % 8 == 0)
            builder_poke(image, at, word);
    }
}

Test(motion, anything_may_change_at_any_time)
{
    for (unsigned round = 0; round < 200; round++) {
        seed = round * 7919 + 1;
        builder_destroy(b);
        b = builder_create();
        build_some();
        build_top(b, 0x1000);
        build_arena(b);
        build_some();
        build_top(b, 0);
        builder_link(b);
        builder_runs(b, true, scramble);
        result_destroy(r);
        r = builder_walk(b);
        if (r->code != HW_OK)
            continue; /* main_arena was none any more */
        for (int i = 0; i < (int)r->report->arenas.count; i++) {
            int64_t left = figure(r, i, HW_M_UNACCOUNTED_BYTES);
            int64_t all = figure(r, i, HW_M_SYSTEM_BYTES);
            cr_expect_geq(left, 0, "round %u", round);
            cr_expect_leq(left, all, "round %u", round);
        }
        cr_expect_eq(findings(r, HW_FINDING_BAD_CHUNK) + findings(r, HW_FINDING_BAD_LIST) +
                         findings(r, HW_FINDING_LIST_MISMATCH),
                     0);
    }
}
