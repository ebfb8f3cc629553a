/*
 * ELF structures as they stand in bytes, in memory or in a core file, of either class, in their
 * 64-bit form: nobody else has to know that there are two. (Of other files libelf does the same.)
 */
#ifndef HW_TARGET_ELFCLASS_H
#define HW_TARGET_ELFCLASS_H

#include "target/machine.h"

#include <elf.h>

/* The ELF header at `bytes`; false if there is none, or its program headers have an odd size. */
bool hw_elf_ehdr(const uint8_t *bytes, size_t len, Elf64_Ehdr *ret);

/* A program header and an entry of a dynamic section, and how many bytes each takes. */
size_t hw_elf_phdr_size(const struct hw_machine *m);
Elf64_Phdr hw_elf_phdr(const struct hw_machine *m, const uint8_t *bytes);
size_t hw_elf_dyn_size(const struct hw_machine *m);
Elf64_Dyn hw_elf_dyn(const struct hw_machine *m, const uint8_t *bytes);

#endif
