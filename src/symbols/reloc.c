/*
 * Relocations of all machines in one form.
 *
 * A table is RELA, where each entry has the addend, or REL (i386), where the addend is what the
 * file has at the place itself. In memory that word is gone as soon as the place is relocated.
 */
#include "symbols/private.h"

#include <string.h>

/* R_386_TLS_TPOFF32, a TPOFF with the opposite sign, is left out: compilers of today do not ask for
 * it, and no libc has one. */
static const struct {
    enum hw_machine_id machine;
    uint32_t type;
    enum hw_reloc_kind kind;
} kinds[] = {
    {HW_X86_64, R_X86_64_RELATIVE, HW_RELOC_RELATIVE},
    {HW_X86_64, R_X86_64_TPOFF64, HW_RELOC_TPOFF},
    {HW_X86_64, R_X86_64_GLOB_DAT, HW_RELOC_GLOB_DAT},
    {HW_X86_64, R_X86_64_JUMP_SLOT, HW_RELOC_JUMP_SLOT},
    {HW_I386, R_386_RELATIVE, HW_RELOC_RELATIVE},
    {HW_I386, R_386_TLS_TPOFF, HW_RELOC_TPOFF},
    {HW_I386, R_386_GLOB_DAT, HW_RELOC_GLOB_DAT},
    {HW_I386, R_386_JMP_SLOT, HW_RELOC_JUMP_SLOT},
    {HW_AARCH64, R_AARCH64_RELATIVE, HW_RELOC_RELATIVE},
    {HW_AARCH64, R_AARCH64_TLS_TPREL, HW_RELOC_TPOFF},
    {HW_AARCH64, R_AARCH64_GLOB_DAT, HW_RELOC_GLOB_DAT},
    {HW_AARCH64, R_AARCH64_JUMP_SLOT, HW_RELOC_JUMP_SLOT},
};

static enum hw_reloc_kind kind_of(const struct hw_machine *m, uint64_t type)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].machine == m->id && kinds[i].type == type)
            return kinds[i].kind;
    return HW_RELOC_OTHER;
}

/* libelf gives r_info in its 64-bit form, whatever the class. */
static struct hw_reloc widen(const struct hw_machine *m, uint64_t place, uint64_t info)
{
    return (struct hw_reloc){
        .place = place, .symbol = GELF_R_SYM(info), .kind = kind_of(m, GELF_R_TYPE(info))};
}

bool hw_elf_relocs(const struct hw_elf_file *f, Elf_Scn **scn, struct hw_relocs *ret)
{
    while (f->elf && (*scn = elf_nextscn(f->elf, *scn)) != NULL) {
        GElf_Shdr shdr, table;
        if (!gelf_getshdr(*scn, &shdr) || (shdr.sh_type != SHT_RELA && shdr.sh_type != SHT_REL))
            continue;
        *ret = (struct hw_relocs){.file = f,
                                  .data = elf_getdata(*scn, NULL),
                                  .rela = shdr.sh_type == SHT_RELA,
                                  .loaded = (shdr.sh_flags & SHF_ALLOC) != 0};
        Elf_Scn *link = elf_getscn(f->elf, shdr.sh_link);
        Elf_Data *symbols = link && gelf_getshdr(link, &table) ? elf_getdata(link, NULL) : NULL;
        if (symbols && symbols->d_type == ELF_T_SYM) {
            ret->symbols = symbols;
            ret->strings = table.sh_link;
        }
        if (ret->data)
            return true;
    }
    return false;
}

bool hw_elf_reloc(const struct hw_relocs *r, int i, struct hw_reloc *ret)
{
    GElf_Rela rela;
    GElf_Rel rel;
    if (r->rela) {
        if (!gelf_getrela(r->data, i, &rela))
            return false;
        *ret = widen(r->file->machine, rela.r_offset, rela.r_info);
        ret->addend = rela.r_addend;
        return true;
    }
    if (!gelf_getrel(r->data, i, &rel))
        return false;
    *ret = widen(r->file->machine, rel.r_offset, rel.r_info);
    ret->in_place = true;
    return true;
}

bool hw_elf_reloc_symbol(const struct hw_relocs *relocs, const struct hw_reloc *r, GElf_Sym *ret)
{
    return r->symbol != 0 && r->symbol <= INT32_MAX && relocs->symbols &&
           gelf_getsym(relocs->symbols, (int)r->symbol, ret);
}

bool hw_elf_reloc_addend(const struct hw_relocs *relocs, const struct hw_reloc *r, int64_t *ret)
{
    uint64_t word;
    *ret = r->addend;
    if (!r->in_place)
        return true;
    if (!hw_elf_word(relocs->file, r->place, &word))
        return false;
    *ret = hw_word_signed(relocs->file->machine, word);
    return true;
}

size_t hw_elf_reloc_size(const struct hw_machine *m)
{
    return m->elf_class == ELFCLASS64 ? sizeof(Elf64_Rela) : sizeof(Elf32_Rel);
}

struct hw_reloc hw_elf_reloc_of(const struct hw_machine *m, const uint8_t *bytes)
{
    struct hw_reloc ret;
    if (m->elf_class == ELFCLASS64) {
        Elf64_Rela r;
        memcpy(&r, bytes, sizeof r);
        ret = widen(m, r.r_offset, r.r_info);
        ret.addend = r.r_addend;
    } else {
        Elf32_Rel r;
        memcpy(&r, bytes, sizeof r);
        ret = widen(m, r.r_offset, ELF64_R_INFO(ELF32_R_SYM(r.r_info), ELF32_R_TYPE(r.r_info)));
        ret.in_place = true;
    }
    return ret;
}
