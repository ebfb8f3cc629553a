/*
 * The registers of a thread that a reader of memory wants, out of the block in which the kernel
 * gives all of them: the same for ptrace (PTRACE_GETREGSET, NT_PRSTATUS) and for cores (pr_reg).
 */
#ifndef HW_TARGET_REGS_H
#define HW_TARGET_REGS_H

#include "target/target.h"

#define HW_REGS_MAX 512 /* no machine's block is larger */

struct hw_regs {
    hw_addr sp, pc, tp; /* tp is 0 if it is not among the registers */
    unsigned tls_entry; /* i386: which descriptor has the thread pointer as its base; else 0 */
};

/* False if `bytes` is not the length of this machine's block: then it is of another machine. */
bool hw_regs_decode(const struct hw_machine *m, const uint8_t *block, size_t bytes,
                    struct hw_regs *ret);

/* The length of the block. */
size_t hw_regs_bytes(const struct hw_machine *m);

/* The block as words, for struct hw_thread. Of the right length. */
void hw_regs_words(const struct hw_machine *m, const uint8_t *block, uint64_t ret[HW_REG_WORDS]);

/* Registers by the numbers that debug information gives them (DWARF). */
#define HW_DWARF_REGS 33
struct hw_dwarf_regs {
    uint64_t value[HW_DWARF_REGS];
    uint64_t known; /* a bit for each */
};
/* Those of a thread; the thread's registers are known. */
void hw_regs_dwarf(const struct hw_machine *m, const struct hw_thread *th,
                   struct hw_dwarf_regs *ret);
/* The number of the stack pointer. */
unsigned hw_dwarf_sp(const struct hw_machine *m);

/*
 * The address that a thread waits at with futex(2); 0 if it does not. On aarch64 the registers do
 * not tell whether a thread is in a system call at all: what they hold may be left over from one.
 */
hw_addr hw_regs_futex(const struct hw_machine *m, const struct hw_thread *th);

#endif
