/*
 * What the registers of a thread say, on each machine.
 */
#include "target/regs.h"

#include <criterion/criterion.h>

TestSuite(regs);

/* A thread whose registers are their own numbers in the kernel's block, and a bit. */
#define MARK 0x100u
static struct hw_thread marked(enum hw_machine_id id)
{
    const struct hw_machine *m = hw_machine(id);
    struct hw_thread th = {.tid = 1, .regs_known = true};
    uint8_t block[HW_REGS_MAX] = {0};
    cr_assert_leq(hw_regs_bytes(m), HW_REG_WORDS * sizeof(uint64_t));
    for (size_t i = 0; i < hw_regs_bytes(m) / m->word; i++)
        block[i * m->word] = (uint8_t)i, block[i * m->word + 1] = MARK >> 8;
    hw_regs_words(m, block, th.regs);
    struct hw_regs regs;
    cr_assert(hw_regs_decode(m, block, hw_regs_bytes(m), &regs));
    th.sp = regs.sp;
    th.pc = regs.pc;
    return th;
}

static unsigned place(const struct hw_dwarf_regs *r, unsigned number)
{
    cr_expect(r->known >> number & 1, "register %u", number);
    return (unsigned)r->value[number] - MARK;
}

/* From <sys/user.h> and the psABIs. */
Test(regs, numbers_of_debug_information)
{
    struct hw_dwarf_regs r;
    struct hw_thread th = marked(HW_X86_64);
    hw_regs_dwarf(hw_machine(HW_X86_64), &th, &r);
    cr_expect_eq(place(&r, 0), 10, "rax");
    cr_expect_eq(place(&r, 3), 5, "rbx");
    cr_expect_eq(place(&r, 5), 14, "rdi");
    cr_expect_eq(place(&r, 6), 4, "rbp");
    cr_expect_eq(place(&r, 12), 3, "r12");
    cr_expect_eq(place(&r, 15), 0, "r15");
    cr_expect_eq(r.value[hw_dwarf_sp(hw_machine(HW_X86_64))], th.sp);
    cr_expect_eq(r.value[16], th.pc);

    th = marked(HW_I386);
    hw_regs_dwarf(hw_machine(HW_I386), &th, &r);
    cr_expect_eq(place(&r, 3), 0, "ebx");
    cr_expect_eq(place(&r, 5), 5, "ebp");
    cr_expect_eq(place(&r, 6), 3, "esi");
    cr_expect_eq(place(&r, 7), 4, "edi");
    cr_expect_eq(r.value[hw_dwarf_sp(hw_machine(HW_I386))], th.sp);
    cr_expect_eq(r.value[8], th.pc);

    th = marked(HW_AARCH64);
    hw_regs_dwarf(hw_machine(HW_AARCH64), &th, &r);
    cr_expect_eq(place(&r, 19), 19);
    cr_expect_eq(place(&r, 30), 30, "lr");
    cr_expect_eq(r.value[hw_dwarf_sp(hw_machine(HW_AARCH64))], th.sp);
    cr_expect_not(r.known >> 32, "its pc has no number");
}

static const struct {
    unsigned call, first, second, number;
} calls[] = {
    [HW_X86_64] = {15, 14, 13, 202}, [HW_I386] = {11, 0, 1, 240}, [HW_AARCH64] = {8, 0, 1, 98}};

Test(regs, who_waits_in_futex)
{
    for (enum hw_machine_id id = HW_X86_64; id <= HW_AARCH64; id++) {
        const struct hw_machine *m = hw_machine(id);
        struct hw_thread th = {.regs_known = true};
        th.regs[calls[id].call] = calls[id].number;
        th.regs[calls[id].first] = 0x5000;
        th.regs[calls[id].second] = 128; /* FUTEX_WAIT_PRIVATE */
        cr_expect_eq(hw_regs_futex(m, &th), 0x5000, "%s", m->name);
        th.regs[calls[id].second] = 128 | 256 | 9; /* FUTEX_WAIT_BITSET */
        cr_expect_eq(hw_regs_futex(m, &th), 0x5000, "%s", m->name);
        th.regs[calls[id].second] = 129; /* FUTEX_WAKE */
        cr_expect_eq(hw_regs_futex(m, &th), 0, "%s wakes others", m->name);
        th.regs[calls[id].second] = 128;
        th.regs[calls[id].call] = UINT64_MAX;
        cr_expect_eq(hw_regs_futex(m, &th), 0, "%s is in no call", m->name);
        th.regs[calls[id].call] = calls[id].number;
        th.regs_known = false;
        cr_expect_eq(hw_regs_futex(m, &th), 0, "%s: nothing is known", m->name);
    }
}
