/*
 * What a module's calls of other modules were bound to. The file has the relocations: each names a
 * function and the slot of the GOT through which the module calls it; the target's memory has what
 * the dynamic linker wrote there.
 */
#include "symbols/private.h"

#include <string.h>

/* The name of a relocation's symbol; NULL if it has none. */
static const char *symbol_name(const struct hw_elf_file *f, Elf_Data *symbols,
                               const GElf_Shdr *table, const GElf_Rela *r)
{
    GElf_Sym sym;
    if (!symbols || symbols->d_type != ELF_T_SYM || GELF_R_SYM(r->r_info) == 0 ||
        GELF_R_SYM(r->r_info) > INT32_MAX ||
        !gelf_getsym(symbols, (int)GELF_R_SYM(r->r_info), &sym))
        return NULL;
    return elf_strptr(f->elf, table->sh_link, sym.st_name);
}

/* Until its first call a lazily bound slot leads back into the module. */
static bool is_bound(const struct hw_module *mod, const GElf_Rela *r, hw_addr value)
{
    if (value == 0)
        return false;
    return GELF_R_TYPE(r->r_info) == R_X86_64_GLOB_DAT || value < mod->start || value >= mod->end;
}

static bool search(struct hw_modules *m, struct hw_module *mod, Elf_Scn *scn, const char *wanted,
                   hw_addr *ret)
{
    const struct hw_elf_file *f = &mod->priv->main;
    GElf_Shdr shdr, table;
    if (!gelf_getshdr(scn, &shdr) || shdr.sh_type != SHT_RELA)
        return false;
    Elf_Data *relocs = elf_getdata(scn, NULL);
    Elf_Scn *link = elf_getscn(f->elf, shdr.sh_link);
    Elf_Data *symbols = link && gelf_getshdr(link, &table) ? elf_getdata(link, NULL) : NULL;
    GElf_Rela r;
    for (int i = 0; relocs && gelf_getrela(relocs, i, &r); i++) {
        if (GELF_R_TYPE(r.r_info) != R_X86_64_GLOB_DAT &&
            GELF_R_TYPE(r.r_info) != R_X86_64_JUMP_SLOT)
            continue;
        const char *name = symbol_name(f, symbols, &table, &r);
        uint64_t value;
        if (name && strcmp(name, wanted) == 0 &&
            hw_read_word(m->target, f->bias + r.r_offset, &value, NULL) == HW_OK &&
            is_bound(mod, &r, value)) {
            *ret = value;
            return true;
        }
    }
    return false;
}

bool hw_module_import(struct hw_modules *m, struct hw_module *mod, const char *name, hw_addr *ret)
{
    const struct hw_elf_file *f = &mod->priv->main;
    for (Elf_Scn *scn = NULL; f->elf && (scn = elf_nextscn(f->elf, scn));)
        if (search(m, mod, scn, name, ret))
            return true;
    return false;
}
