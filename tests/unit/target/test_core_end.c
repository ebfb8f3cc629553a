/*
 * The signal that ended a process, from the notes of its core.
 */
#include "core_builder.h"

#include <criterion/criterion.h>
#include <signal.h>

TestSuite(core_end);

static struct hw_signal told(const struct builder *b)
{
    struct hw_target *t = core_must_open(b, WHOLE);
    struct hw_signal s = t->signal;
    hw_target_close(t);
    return s;
}

/* Two threads; the first one is not that of the lowest id. */
static struct builder *two_threads(enum hw_machine_id id)
{
    struct builder *b = core_new(id);
    core_add_thread(b, 77, 0x7000, 0x500100, 0x401010);
    core_add_load(b, 0x500000, 0x1000, 0x1000, PF_R | PF_W, 's');
    return b;
}

EACH_MACHINE(core_end, HW_X86_64, of_the_first_thread)
{
    struct builder *b = two_threads(id);
    core_set_signal(b, SIGSEGV, true);
    core_add_siginfo(b, SIGSEGV, 2, 0x12345678);
    core_add_thread(b, 70, 0x8000, 0x500200, 0x401020);
    core_add_siginfo(b, SIGSEGV, 1, 0xbad);
    struct hw_signal s = told(b);
    cr_expect_eq(s.number, SIGSEGV);
    cr_expect_eq(s.tid, 77);
    cr_expect(s.told);
    cr_expect_eq(s.code, 2);
    cr_expect_eq(s.address, 0x12345678);
}

EACH_MACHINE(core_end, HW_X86_64, without_an_address)
{
    struct builder *b = two_threads(id);
    core_set_signal(b, SIGABRT, true);
    core_add_siginfo(b, SIGABRT, -6, 0x12345678); /* of which process it came */
    struct hw_signal s = told(b);
    cr_expect_eq(s.number, SIGABRT);
    cr_expect(s.told);
    cr_expect_eq(s.code, -6);
    cr_expect_eq(s.address, 0);
}

Test(core_end, sent_by_somebody)
{
    struct builder *b = two_threads(HW_X86_64);
    core_set_signal(b, SIGSEGV, true);
    core_add_siginfo(b, SIGSEGV, 0, 0x12345678);
    cr_expect_eq(told(b).address, 0, "SI_USER: no address");
}

Test(core_end, of_another_signal)
{
    struct builder *b = two_threads(HW_X86_64);
    core_set_signal(b, SIGSEGV, true);
    core_add_siginfo(b, SIGBUS, 1, 0x12345678);
    struct hw_signal s = told(b);
    cr_expect(s.number == SIGSEGV && !s.told && s.address == 0);
}

/* A debugger's own signals ended nothing. */
Test(core_end, by_a_debugger)
{
    static const int own[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS};
    static const int others[] = {0, SIGTRAP, SIGSTOP, SIGINT, SIGQUIT};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        struct builder *b = two_threads(HW_X86_64);
        core_set_signal(b, own[i], false);
        cr_expect_eq(told(b).number, own[i]);
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct builder *b = two_threads(HW_X86_64);
        core_set_signal(b, others[i], false);
        core_add_siginfo(b, others[i], 1, 0x1000);
        struct hw_signal s = told(b);
        cr_expect(s.number == 0 && s.tid == 0 && !s.told, "signal %d", others[i]);
    }
}

Test(core_end, no_such_signal)
{
    struct builder *b = two_threads(HW_X86_64);
    core_set_signal(b, 0xffff, true);
    cr_expect_eq(told(b).number, 0);
}

Test(core_end, of_a_note_that_is_too_short)
{
    struct builder *b = two_threads(HW_X86_64);
    core_set_signal(b, SIGSEGV, true);
    core_add_note(b, "CORE", NT_SIGINFO, "\x0b\0\0\0\0\0\0\0\1\0\0\0\0\0\0", 16);
    struct hw_signal s = told(b);
    cr_expect(s.number == SIGSEGV && !s.told);
}
