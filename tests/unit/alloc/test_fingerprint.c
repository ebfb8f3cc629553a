/*
 * By what an arena is known again without a walk: which of malloc's doings it shows, and which it
 * does not.
 */
#include "alloc/builder.h"

#include <criterion/criterion.h>

static struct builder *b;
static struct result *r;

static void setup(void)
{
    b = builder_create();
}

static void teardown(void)
{
    result_destroy(r);
    builder_destroy(b);
}

TestSuite(fingerprint, .init = setup, .fini = teardown);

static void walk(void)
{
    result_destroy(r);
    r = builder_walk(b);
    cr_assert_eq(r->code, HW_OK, "%s", r->err.text);
    cr_expect(hw_report_complete(r->report), "it is a heap as malloc leaves it");
}

static uint64_t print_of(size_t arena)
{
    return r->report->arenas.data[arena].fingerprint;
}

/* In malloc_state of 2.36. */
#define FASTBINS     16
#define STATE_TOP    96
#define STATE_BINS   112
#define STATE_NEXT   2168 /* and next_free: nothing that tells of chunks */
#define STATE_SYSTEM 2184
#define FLAG_P       1

/* Free chunks: three in a small bin, three in a large one, one in the unsorted bin. */
static hw_addr small[3], large[3], unsorted, used, top, thread_top;

static void build_bins(void)
{
    for (unsigned i = 0; i < 3; i++) {
        build_used(b, 0x500);
        small[i] = build_free(b, 0x90);
        build_used(b, 0x500);
        large[i] = build_free(b, 0x800);
    }
    build_used(b, 0x40);
    build_fast(b, 0x30);
    unsorted = build_unsorted(b, 0x600);
    build_tcache(b, 0x40);
    used = build_used(b, 0x500);
    top = build_top(b, 0x1000);
    build_arena(b);
    build_used(b, 0x40);
    thread_top = build_top(b, 0);
    builder_link(b);
}

static void add_to(hw_addr address, uint64_t n)
{
    builder_poke(b, address, builder_peek(b, address) + n);
}

static hw_addr fd_of(hw_addr chunk)
{
    return builder_peek(b, chunk + 16);
}

static hw_addr bk_of(hw_addr chunk)
{
    return builder_peek(b, chunk + 24);
}

static bool is_chunk(hw_addr p)
{
    return p >= SBRK_BASE && p < SBRK_BASE + PIECE_SIZE;
}

/* Of three chunks in a bin the one that follows so many others. */
static hw_addr nth(const hw_addr *chunks, unsigned n)
{
    for (unsigned i = 0; i < 3; i++) {
        unsigned before = 0;
        for (hw_addr p = bk_of(chunks[i]); is_chunk(p); p = bk_of(p))
            before++;
        if (before == n)
            return chunks[i];
    }
    cr_assert_fail("not in its bin");
    return 0;
}

/* malloc() takes all of it. */
static void take(hw_addr chunk)
{
    hw_addr next = chunk + (builder_peek(b, chunk + 8) & ~(uint64_t)7);
    builder_poke(b, fd_of(chunk) + 24, bk_of(chunk));
    builder_poke(b, bk_of(chunk) + 16, fd_of(chunk));
    builder_poke(b, next + 8, builder_peek(b, next + 8) | FLAG_P);
}

/* free() puts it in front of the unsorted bin. */
static void release(hw_addr chunk)
{
    uint64_t size = builder_peek(b, chunk + 8) & ~(uint64_t)7;
    hw_addr head = builder_main_arena(b) + STATE_BINS - 16, next = chunk + size;
    builder_poke(b, chunk + 16, fd_of(head));
    builder_poke(b, chunk + 24, head);
    builder_poke(b, fd_of(head) + 24, chunk);
    builder_poke(b, head + 16, chunk);
    builder_poke(b, next, size);
    builder_poke(b, next + 8, builder_peek(b, next + 8) & ~(uint64_t)FLAG_P);
}

static void no_change(void)
{
    builder_poke(b, builder_main_arena(b) + STATE_NEXT, 5);
}
static void from_tcache(void)
{
    builder_tcache_empty(b, 0x40);
}
static void from_fastbin(void)
{
    builder_poke(b, builder_main_arena(b) + FASTBINS + 8, 0);
}
static void to_unsorted(void)
{
    release(used);
}
static void from_unsorted(void)
{
    take(unsorted);
}
static void split(void)
{
    hw_addr chunk = nth(large, 1);
    take(chunk);
    builder_poke(b, chunk + 8, 0x401);
    builder_poke(b, chunk + 0x408, 0x401);
    release(chunk + 0x400);
}
static void last_of_small(void)
{
    take(nth(small, 2));
}
static void first_of_large(void)
{
    take(nth(large, 0));
}
static void last_of_large(void)
{
    take(nth(large, 2));
}
static void merged(void)
{
    hw_addr chunk = nth(large, 1);
    take(chunk);
    builder_poke(b, chunk + 8, 0xd01); /* with the one in use behind it */
    release(chunk);
}
static void cut_top(void)
{
    builder_poke(b, builder_main_arena(b) + STATE_TOP, top + 0x100);
    builder_poke(b, top + 8, 0x101);
    builder_poke(b, top + 0x108, 0xf01);
}
static void grown(void)
{
    add_to(builder_main_arena(b) + STATE_SYSTEM, 0x1000);
    add_to(builder_main_arena(b) + STATE_SYSTEM + 8, 0x1000);
    builder_poke(b, top + 8, 0x2001);
}
static void middle_of_large(void)
{
    take(nth(large, 1));
}
static void middle_of_small(void) /* realloc() grows what is in use before it */
{
    take(nth(small, 1));
}
static void two_as_one(void)
{
    add_to(SBRK_BASE + 8, 0x500);
}

/* Whether the fingerprint of the main arena is another one after this. */
static bool shows(void (*change)(void))
{
    builder_destroy(b);
    b = builder_create();
    if (change == two_as_one)
        build_used(b, 0x500);
    build_bins();
    walk();
    uint64_t before = print_of(0), other_before = print_of(1);
    int64_t chunks = figure(r, 0, HW_M_IN_USE_CHUNKS);
    change();
    walk();
    cr_expect_eq(print_of(1), other_before);
    bool same = change == no_change || change == grown;
    cr_expect_eq(figure(r, 0, HW_M_IN_USE_CHUNKS) == chunks, same);
    return print_of(0) != before;
}

Test(fingerprint, shows_what_changes_the_ends_of_lists_and_heaps)
{
    cr_expect_not(shows(no_change));
    cr_expect(shows(from_tcache));
    cr_expect(shows(from_fastbin));
    cr_expect(shows(to_unsorted));
    cr_expect(shows(from_unsorted));
    cr_expect(shows(split));
    cr_expect(shows(last_of_small));
    cr_expect(shows(first_of_large));
    cr_expect(shows(last_of_large));
    cr_expect(shows(merged));
    cr_expect(shows(cut_top));
    cr_expect(shows(grown));
}

/* What would have to be read for that is the heap itself. */
Test(fingerprint, does_not_show_what_happens_in_the_middle_of_a_bin)
{
    cr_expect_not(shows(middle_of_large));
    cr_expect_not(shows(middle_of_small));
    cr_expect_not(shows(two_as_one));
}

Test(fingerprint, of_a_thread_arena_shows_its_heaps)
{
    build_bins();
    walk();
    uint64_t before = print_of(1);
    hw_addr heap_size = HEAP_BASE + 16, system = HEAP_BASE + 48 + STATE_SYSTEM;
    add_to(heap_size, 0x1000);
    add_to(heap_size + 8, 0x1000); /* mprotect_size */
    add_to(system, 0x1000);
    add_to(system + 8, 0x1000); /* its maximum */
    add_to(thread_top + 8, 0x1000);
    walk();
    cr_expect_neq(print_of(1), before);
}
