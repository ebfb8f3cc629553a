/*
 * Who is in malloc and who holds what: of threads whose registers are made by hand. There is no
 * file, so only the innermost frame of each is known.
 */
#include "alloc/glibc/act.h"

#include <criterion/criterion.h>

#define CODE  ((hw_addr)0x400000) /* malloc() has a page, free() the next, abort() one more */
#define STACK ((hw_addr)0x500000)
#define ARENA ((hw_addr)0x600000)
#define PAGE  ((hw_addr)0x1000)
#define STATE 2200 /* bytes of a malloc_state */

enum { RAX = 10, R12 = 3, RDI = 14, RSI = 13, CALL = 15, FUTEX = 202, THREADS = 6, ARENAS = 3 };

static uint8_t stack[PAGE];
static struct hw_thread threads[THREADS];
static size_t count;
static bool locked[ARENAS];
static struct hw_report *report;
static struct hw_signal ended;
static bool aborts;

static hw_addr arena(unsigned i)
{
    return ARENA + i * PAGE + 0x20;
}

/* A thread with its pc there, and a register that leads to an arena; -1: none does. */
static struct hw_thread *add(hw_addr pc, int refers)
{
    struct hw_thread *th = &threads[count++];
    *th = (struct hw_thread){
        .tid = 100 + (int)count, .regs_known = true, .pc = pc, .sp = STACK + 0x100};
    th->regs[16] = pc;
    th->regs[19] = th->sp;
    th->regs[CALL] = UINT64_MAX;
    if (refers >= 0)
        th->regs[R12] = arena((unsigned)refers) + 96; /* a bin of it */
    return th;
}

static void wait_for(struct hw_thread *th, unsigned i)
{
    th->regs[CALL] = FUTEX;
    th->regs[RDI] = arena(i);
    th->regs[RSI] = 128;
}

static void add_function(struct glibc_acts *a, hw_addr start, const char *name)
{
    struct glibc_function fn = {.start = start, .end = start + PAGE};
    strcpy(fn.name, name);
    strcpy(fn.entry, name);
    fn.aborts = strcmp(name, "abort") == 0;
    cr_assert(hw_vec_push(&a->code, fn));
}

static void tell_all(void)
{
    struct hw_buffer_range range = {.start = STACK, .bytes = stack, .len = sizeof stack};
    struct hw_target *t;
    static struct walk w;
    uint64_t sizes[GLIBC_MALLOC_STATE + 1] = {[GLIBC_MALLOC_STATE] = STATE};
    cr_assert_eq(hw_target_open_buffer(&range, 1, threads, count, &t, NULL), HW_OK);
    t->signal = ended;
    struct glibc g = {.image = {.target = t}, .layout = {.word = 8, .struct_size = sizes}};
    cr_assert_eq(hw_modules_open(t, NULL, &g.image.modules, NULL), HW_OK);
    g.acts = calloc(1, sizeof *g.acts);
    cr_assert_eq(hw_unwinder_open(t, g.image.modules, &g.acts->unwinder, NULL), HW_OK);
    add_function(g.acts, CODE, "malloc");
    add_function(g.acts, CODE + PAGE, "free");
    add_function(g.acts, CODE + 2 * PAGE, "abort");
    report = hw_report_create();
    report->abort = (struct hw_abort){.said = aborts, .arena = -1};
    report->target.ended = (struct hw_ended){.signal = ended.number, .tid = ended.tid};
    w = (struct walk){.g = &g, .target = t, .report = report};
    for (unsigned i = 0; i < ARENAS; i++) {
        struct hw_arena row = {.index = i, .address = arena(i), .locked = locked[i]};
        cr_assert(hw_vec_push(&report->arenas, row));
        cr_assert(hw_vec_push(&w.arenas, (struct arena){.address = arena(i)}));
    }
    for (size_t i = 0; i < count; i++)
        cr_assert(hw_vec_push(&report->threads, (struct hw_thread_row){.tid = threads[i].tid}));
    glibc_take_acts(&w);
    glibc_tell_acts(&g, report);
    hw_vec_free(&w.arenas);
    glibc_close_acts(&g);
    hw_modules_close(g.image.modules);
    hw_target_close(t);
}

static void end(void)
{
    hw_report_destroy(report);
}

TestSuite(act_tell, .fini = end);

static void expect(size_t i, const char *entry, int works, int waits, int holds)
{
    const struct hw_in_malloc *in = &report->threads.data[i].in_malloc;
    cr_assert_eq(in->known, entry != NULL, "thread %zu", i);
    if (!entry)
        return;
    cr_expect_str_eq(in->entry, entry);
    cr_expect_eq(in->pc, threads[i].pc);
    cr_expect(in->works_in == works && in->waits_for == waits && in->holds == holds,
              "thread %zu works in %d, waits for %d, holds %d", i, in->works_in, in->waits_for,
              in->holds);
}

static void expect_held(unsigned i, size_t n)
{
    cr_expect_eq(report->arenas.data[i].held_by.count, n, "arena %u", i);
}

Test(act_tell, one_holds_and_others_wait)
{
    locked[1] = true;
    add(CODE + 8, 1);
    wait_for(add(0x1000, -1), 1);
    wait_for(add(CODE + PAGE + 8, 1), 1);
    add(CODE + 8, -1);
    add(0x1000, 1); /* whatever it has to do with that arena, it is not in malloc */
    tell_all();
    expect(0, "malloc", 1, -1, 1);
    expect(1, "", 1, 1, -1);
    expect(2, "free", 1, 1, -1);
    expect(3, "malloc", -1, -1, -1);
    expect(4, NULL, 0, 0, 0);
    expect_held(0, 0);
    expect_held(1, 1);
    cr_expect_eq(report->arenas.data[1].held_by.data[0], threads[0].tid);
}

Test(act_tell, nobody_knows_which_of_two)
{
    locked[2] = true;
    add(CODE + 8, 2);
    add(CODE + PAGE, 2);
    tell_all();
    expect(0, "malloc", 2, -1, -1);
    expect(1, "free", 2, -1, -1);
    expect_held(2, 2);
}

Test(act_tell, an_arena_that_is_not_locked)
{
    add(CODE + 8, 0);
    tell_all();
    expect(0, "malloc", 0, -1, -1);
    expect_held(0, 0);
}

Test(act_tell, one_that_refers_to_several)
{
    struct hw_thread *th = add(CODE + 8, 0);
    th->regs[RAX] = arena(1);
    locked[1] = true;
    tell_all();
    expect(0, "malloc", 1, -1, 1);
}

Test(act_tell, one_that_refers_to_several_locked_ones)
{
    struct hw_thread *th = add(CODE + 8, 0);
    th->regs[RAX] = arena(1);
    locked[0] = locked[1] = true;
    tell_all();
    expect(0, "malloc", -1, -1, -1);
    expect_held(0, 1);
    expect_held(1, 1);
}

Test(act_tell, beside_an_arena)
{
    struct hw_thread *th = add(CODE + 8, -1);
    th->regs[RAX] = arena(0) - 1;
    th->regs[R12] = arena(0) + STATE;
    th->regs[RSI] = arena(2) + STATE;
    tell_all();
    expect(0, "malloc", -1, -1, -1);
}

/* What was left on the stack by calls that are long done does not count. */
Test(act_tell, old_return_addresses)
{
    hw_addr old = CODE + 0x123;
    memcpy(stack + 0x140, &old, sizeof old);
    locked[1] = true;
    add(0x1000, 1);
    tell_all();
    expect(0, NULL, 0, 0, 0);
    expect_held(1, 0);
}

Test(act_tell, registers_that_nobody_knows)
{
    wait_for(add(CODE, 0), 0);
    threads[0].regs_known = false;
    tell_all();
    expect(0, NULL, 0, 0, 0);
}

Test(act_tell, who_aborts)
{
    aborts = true;
    add(CODE + 8, 1);
    add(CODE + 2 * PAGE + 8, -1);
    tell_all();
    expect(1, NULL, 0, 0, 0);
    cr_expect_eq(report->abort.tid, threads[1].tid);
    cr_expect_eq(report->abort.arena, -1);
}

Test(act_tell, several_abort)
{
    aborts = true;
    add(CODE + 2 * PAGE + 8, -1);
    add(CODE + 2 * PAGE + 8, -1);
    tell_all();
    cr_expect_eq(report->abort.tid, 0);
}

Test(act_tell, who_aborts_in_a_core)
{
    aborts = true;
    add(CODE + 2 * PAGE + 8, -1);
    add(CODE + 8, 2);
    ended = (struct hw_signal){.number = 6, .tid = threads[1].tid};
    tell_all();
    cr_expect_eq(report->abort.tid, threads[1].tid);
    cr_expect_eq(report->abort.arena, 2);
}
