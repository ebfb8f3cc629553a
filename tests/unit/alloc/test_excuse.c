/*
 * Whose fault it is not: what may be said of an arena that somebody was just changing.
 */
#include "alloc/glibc/glibc.h"

#include <criterion/criterion.h>
#include <signal.h>

static struct hw_report *r;

/* One arena, and a thread that works in it. */
static void setup_arena(void)
{
    struct hw_thread_row row = {.tid = 7, .arena = 0};
    row.in_malloc = (struct hw_in_malloc){.known = true, .works_in = 0, .waits_for = -1};
    r = hw_report_create();
    cr_assert(r && hw_vec_push(&r->arenas, (struct hw_arena){.index = 0}));
    cr_assert(hw_vec_push(&r->threads, row));
}

static void drop_report(void)
{
    hw_report_destroy(r);
}

TestSuite(excuse, .init = setup_arena, .fini = drop_report);

static void add_flaw(void)
{
    hw_report_break(r, HW_INVARIANT_CHUNKS, HW_FINDING_BAD_CHUNK, 0, hw_known(0x1000),
                    (struct hw_maybe){0}, "a bad chunk");
}

static void expect_notes(uint64_t with_lock, uint64_t without)
{
    const struct hw_target t = {.who = {.kind = HW_TARGET_CORE}};
    uint64_t before = r->finding_counts[HW_FINDING_NOTE];
    r->arenas.data[0].locked = true;
    glibc_excuse_locked(&t, r);
    cr_expect_eq(r->finding_counts[HW_FINDING_NOTE], before + with_lock);
    before = r->finding_counts[HW_FINDING_NOTE];
    r->arenas.data[0].locked = false;
    glibc_excuse_acts(&t, r);
    cr_expect_eq(r->finding_counts[HW_FINDING_NOTE], before + without);
}

Test(excuse, what_is_wrong_is_half_done)
{
    add_flaw();
    expect_notes(1, 1);
}

Test(excuse, nothing_is_wrong)
{
    expect_notes(0, 0);
}

Test(excuse, what_is_missing_nobody_left_half_done)
{
    hw_report_add(r, HW_FINDING_MISSING, 0, hw_known(0x1000), hw_known(16), "missing");
    hw_report_add(r, HW_FINDING_UNREADABLE, 0, hw_known(0x1000), hw_known(16), "unreadable");
    expect_notes(0, 0);
}

Test(excuse, it_aborted_for_that)
{
    add_flaw();
    r->abort.said = true;
    expect_notes(0, 0);
}

Test(excuse, it_may_have_died_of_that)
{
    add_flaw();
    r->target.ended = (struct hw_ended){.signal = SIGSEGV, .tid = 7, .code = hw_known(SEGV_MAPERR)};
    expect_notes(0, 0);
    r->target.ended.code = (struct hw_maybe){0}; /* gdb does not tell */
    expect_notes(0, 0);
}

Test(excuse, somebody_has_killed_it)
{
    add_flaw();
    r->target.ended =
        (struct hw_ended){.signal = SIGQUIT, .tid = 7, .code = hw_known((uint32_t)SI_USER)};
    expect_notes(1, 1);
    r->target.ended.code = hw_known((uint32_t)SI_TKILL);
    expect_notes(1, 1);
}
