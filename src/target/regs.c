#include "target/regs.h"

#include <string.h>

/* Where things are in the block, in words of the machine. */
struct layout {
    unsigned words, sp, pc;
    unsigned tp; /* 0: elsewhere */
    unsigned gs; /* 0: not needed */
    unsigned dwarf_sp, dwarf_count;
    uint8_t dwarf[HW_DWARF_REGS]; /* each register that debug information numbers */
    unsigned call, first, second; /* of a system call: its number, arguments */
    unsigned futex, futex_time64; /* the numbers of those that wait */
};

static const struct layout layouts[] = {
    [HW_X86_64] = {.words = 27,
                   .sp = 19,
                   .pc = 16,
                   .tp = 21 /* fs_base */,
                   .dwarf_sp = 7,
                   .dwarf_count = 17,
                   .dwarf = {10, 12, 11, 5, 13, 14, 4, 19, 9, 8, 7, 6, 3, 2, 1, 0, 16},
                   .call = 15,
                   .first = 14,
                   .second = 13,
                   .futex = 202,
                   .futex_time64 = 202},
    [HW_I386] = {.words = 17,
                 .sp = 15,
                 .pc = 12,
                 .gs = 10,
                 .dwarf_sp = 4,
                 .dwarf_count = 9,
                 .dwarf = {6, 1, 2, 0, 15, 5, 3, 4, 12},
                 .call = 11,
                 .first = 0,
                 .second = 1,
                 .futex = 240,
                 .futex_time64 = 422},
    [HW_AARCH64] = {.words = 34,
                    .sp = 31,
                    .pc = 32,
                    .dwarf_sp = 31,
                    .dwarf_count = 32,
                    .dwarf = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                              16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31},
                    .call = 8,
                    .first = 0,
                    .second = 1,
                    .futex = 98,
                    .futex_time64 = 98},
};

/*
 * A selector of x86 is the number of a descriptor, one bit that names its table and two of
 * privilege. Thread pointers are in the global table, for user mode.
 */
static unsigned descriptor(uint64_t selector)
{
    return (selector & 7) == 3 ? (unsigned)(selector & 0xffff) >> 3 : 0;
}

bool hw_regs_decode(const struct hw_machine *m, const uint8_t *block, size_t bytes,
                    struct hw_regs *ret)
{
    const struct layout *l = &layouts[m->id];
    unsigned w = m->word;
    if (bytes != hw_regs_bytes(m))
        return false;
    *ret = (struct hw_regs){
        .sp = hw_word(block + l->sp * w, w),
        .pc = hw_word(block + l->pc * w, w),
        .tp = l->tp ? hw_word(block + l->tp * w, w) : 0,
        .tls_entry = l->gs ? descriptor(hw_word(block + l->gs * w, w)) : 0,
    };
    return true;
}

size_t hw_regs_bytes(const struct hw_machine *m)
{
    return (size_t)layouts[m->id].words * m->word;
}

void hw_regs_words(const struct hw_machine *m, const uint8_t *block, uint64_t ret[HW_REG_WORDS])
{
    memset(ret, 0, HW_REG_WORDS * sizeof *ret);
    for (unsigned i = 0; i < layouts[m->id].words; i++)
        ret[i] = hw_word(block + i * m->word, m->word);
}

void hw_regs_dwarf(const struct hw_machine *m, const struct hw_thread *th,
                   struct hw_dwarf_regs *ret)
{
    const struct layout *l = &layouts[m->id];
    *ret = (struct hw_dwarf_regs){0};
    for (unsigned i = 0; i < l->dwarf_count; i++) {
        ret->value[i] = th->regs[l->dwarf[i]];
        ret->known |= UINT64_C(1) << i;
    }
}

unsigned hw_dwarf_sp(const struct hw_machine *m)
{
    return layouts[m->id].dwarf_sp;
}

/* The operations of futex(2) that wait, without what says how. */
#define FUTEX_OP(n)  ((n)&0x7f)
#define FUTEX_WAIT   0
#define FUTEX_BITSET 9

hw_addr hw_regs_futex(const struct hw_machine *m, const struct hw_thread *th)
{
    const struct layout *l = &layouts[m->id];
    uint64_t call = th->regs[l->call], op = FUTEX_OP(th->regs[l->second]);
    if (!th->regs_known || (call != l->futex && call != l->futex_time64) ||
        (op != FUTEX_WAIT && op != FUTEX_BITSET))
        return 0;
    return th->regs[l->first];
}
