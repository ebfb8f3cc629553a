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

#endif
