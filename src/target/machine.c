#include "target/machine.h"

#include <elf.h>

static const struct hw_machine machines[] = {
    [HW_X86_64] = {HW_X86_64, "x86_64", 8, EM_X86_64, ELFCLASS64, false, false},
    [HW_I386] = {HW_I386, "i386", 4, EM_386, ELFCLASS32, false, false},
    [HW_AARCH64] = {HW_AARCH64, "aarch64", 8, EM_AARCH64, ELFCLASS64, true, true},
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
