/*
 * The CPUs whose processes heapwalk reads, and what of them matters to a reader of memory.
 *
 * All are little-endian. Code that differs by machine asks for a property here and not for a name,
 * except where an instruction set or a register layout itself is the subject.
 */
#ifndef HW_TARGET_MACHINE_H
#define HW_TARGET_MACHINE_H

#include "base/err.h"

enum hw_machine_id { HW_X86_64, HW_I386, HW_AARCH64 };

struct hw_machine {
    enum hw_machine_id id;
    const char *name;     /* "x86_64", "i386", "aarch64" */
    unsigned word;        /* bytes in a pointer */
    unsigned elf_machine; /* EM_... */
    unsigned elf_class;   /* ELFCLASS32, ELFCLASS64 */
    bool tls_above;       /* static TLS blocks lie above the thread pointer (TLS variant I) */
    bool runs_here;       /* there are live processes of it to read: heapwalk runs on x86_64 */
    bool tagged;          /* the top byte of a pointer may be a tag that the CPU ignores */
};

const struct hw_machine *hw_machine(enum hw_machine_id id);

/* By what an ELF header says; NULL if heapwalk cannot read that. */
const struct hw_machine *hw_machine_of_elf(unsigned elf_machine, unsigned elf_class);

/* The address that a pointer of the target means: without its tag, where there are tags. */
static inline hw_addr hw_untag(const struct hw_machine *m, hw_addr pointer)
{
    return m->tagged ? pointer & (UINT64_MAX >> 8) : pointer;
}

/* The little-endian word of a target that stands at `bytes`; `word` is 4 or 8. */
static inline uint64_t hw_word(const uint8_t *bytes, unsigned word)
{
    if (word == 4)
        return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
               (uint32_t)bytes[3] << 24;
    uint64_t low = hw_word(bytes, 4), high = hw_word(bytes + 4, 4);
    return low | high << 32;
}

#endif
