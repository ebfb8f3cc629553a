#include "target/regs.h"

/* In words of the machine. */
struct layout {
    unsigned words, sp, pc;
    unsigned tp; /* 0: elsewhere */
    unsigned gs; /* 0: not needed */
};

static const struct layout layouts[] = {
    [HW_X86_64] = {.words = 27, .sp = 19, .pc = 16, .tp = 21 /* fs_base */},
    [HW_I386] = {.words = 17, .sp = 15, .pc = 12, .gs = 10},
    [HW_AARCH64] = {.words = 34, .sp = 31, .pc = 32},
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
