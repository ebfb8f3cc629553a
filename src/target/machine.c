#include "target/machine.h"

#include <elf.h>

static const struct hw_machine machines[] = {
    [HW_X86_64] = {.id = HW_X86_64,
                   .name = "x86_64",
                   .word = 8,
                   .elf_machine = EM_X86_64,
                   .elf_class = ELFCLASS64,
                   .runs_here = true},
    [HW_I386] = {.id = HW_I386,
                 .name = "i386",
                 .word = 4,
                 .elf_machine = EM_386,
                 .elf_class = ELFCLASS32,
                 .runs_here = true},
    [HW_AARCH64] = {.id = HW_AARCH64,
                    .name = "aarch64",
                    .word = 8,
                    .elf_machine = EM_AARCH64,
                    .elf_class = ELFCLASS64,
                    .tls_above = true,
                    .tagged = true},
};

const struct hw_machine *hw_machine(enum hw_machine_id id)
{
    return &machines[id];
}

const struct hw_machine *hw_machine_of_elf(unsigned elf_machine, unsigned elf_class)
{
    for (size_t i = 0; i < sizeof machines / sizeof *machines; i++)
        if (machines[i].elf_machine == elf_machine && machines[i].elf_class == elf_class)
            return &machines[i];
    return NULL;
}
