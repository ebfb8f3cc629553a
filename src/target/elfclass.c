#include "target/elfclass.h"

#include <string.h>

static void widen_ehdr(const Elf32_Ehdr *h, Elf64_Ehdr *ret)
{
    memcpy(ret->e_ident, h->e_ident, sizeof ret->e_ident);
    ret->e_type = h->e_type;
    ret->e_machine = h->e_machine;
    ret->e_version = h->e_version;
    ret->e_entry = h->e_entry;
    ret->e_phoff = h->e_phoff;
    ret->e_shoff = h->e_shoff;
    ret->e_flags = h->e_flags;
    ret->e_ehsize = h->e_ehsize;
    ret->e_phentsize = h->e_phentsize;
    ret->e_phnum = h->e_phnum;
    ret->e_shentsize = h->e_shentsize;
    ret->e_shnum = h->e_shnum;
    ret->e_shstrndx = h->e_shstrndx;
}

bool hw_elf_ehdr(const uint8_t *bytes, size_t len, Elf64_Ehdr *ret)
{
    Elf32_Ehdr narrow;
    if (len < EI_NIDENT || memcmp(bytes, ELFMAG, SELFMAG) != 0 || bytes[EI_DATA] != ELFDATA2LSB)
        return false;
    if (bytes[EI_CLASS] == ELFCLASS64 && len >= sizeof *ret) {
        memcpy(ret, bytes, sizeof *ret);
        return ret->e_phentsize == sizeof(Elf64_Phdr);
    }
    if (bytes[EI_CLASS] != ELFCLASS32 || len < sizeof narrow)
        return false;
    memcpy(&narrow, bytes, sizeof narrow);
    widen_ehdr(&narrow, ret);
    return ret->e_phentsize == sizeof(Elf32_Phdr);
}

size_t hw_elf_phdr_size(const struct hw_machine *m)
{
    return m->elf_class == ELFCLASS64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
}

Elf64_Phdr hw_elf_phdr(const struct hw_machine *m, const uint8_t *bytes)
{
    Elf64_Phdr wide;
    Elf32_Phdr p;
    if (m->elf_class == ELFCLASS64) {
        memcpy(&wide, bytes, sizeof wide);
        return wide;
    }
    memcpy(&p, bytes, sizeof p);
    return (Elf64_Phdr){.p_type = p.p_type,
                        .p_flags = p.p_flags,
                        .p_offset = p.p_offset,
                        .p_vaddr = p.p_vaddr,
                        .p_paddr = p.p_paddr,
                        .p_filesz = p.p_filesz,
                        .p_memsz = p.p_memsz,
                        .p_align = p.p_align};
}

size_t hw_elf_dyn_size(const struct hw_machine *m)
{
    return m->elf_class == ELFCLASS64 ? sizeof(Elf64_Dyn) : sizeof(Elf32_Dyn);
}

Elf64_Dyn hw_elf_dyn(const struct hw_machine *m, const uint8_t *bytes)
{
    Elf64_Dyn wide;
    Elf32_Dyn d;
    if (m->elf_class == ELFCLASS64) {
        memcpy(&wide, bytes, sizeof wide);
        return wide;
    }
    memcpy(&d, bytes, sizeof d);
    return (Elf64_Dyn){.d_tag = d.d_tag, .d_un.d_val = d.d_un.d_val};
}
