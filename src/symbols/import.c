/*
 * What a module's calls of other modules were bound to. The file has the relocations: each names a
 * function and the slot of the GOT through which the module calls it; the target's memory has what
 * the dynamic linker wrote there.
 */
#include "symbols/private.h"

#include <string.h>

/* Until its first call a lazily bound slot leads back into the module. */
static bool is_bound(const struct hw_module *mod, const struct hw_reloc *r, hw_addr value)
{
    if (value == 0)
        return false;
    return r->kind == HW_RELOC_GLOB_DAT || value < mod->start || value >= mod->end;
}

static bool search(struct hw_modules *m, struct hw_module *mod, const struct hw_relocs *relocs,
                   const char *wanted, hw_addr *ret)
{
    struct hw_reloc r;
    for (int i = 0; hw_elf_reloc(relocs, i, &r); i++) {
        GElf_Sym sym;
        if ((r.kind != HW_RELOC_GLOB_DAT && r.kind != HW_RELOC_JUMP_SLOT) ||
            !hw_elf_reloc_symbol(relocs, &r, &sym))
            continue;
        const char *name = elf_strptr(relocs->file->elf, relocs->strings, sym.st_name);
        uint64_t value;
        if (name && strcmp(name, wanted) == 0 &&
            hw_read_word(m->target, relocs->file->bias + r.place, &value, NULL) == HW_OK &&
            is_bound(mod, &r, value)) {
            *ret = value;
            return true;
        }
    }
    return false;
}

bool hw_module_import(struct hw_modules *m, struct hw_module *mod, const char *name, hw_addr *ret)
{
    struct hw_relocs relocs;
    for (Elf_Scn *scn = NULL; hw_elf_relocs(&mod->priv->main, &scn, &relocs);)
        if (search(m, mod, &relocs, name, ret))
            return true;
    return false;
}
