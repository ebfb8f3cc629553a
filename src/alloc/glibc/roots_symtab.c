/*
 * Roots by their names. Where the names are, so are their sizes, which tell the era if there is no
 * type information.
 */
#include "alloc/glibc/roots.h"

static hw_addr look_up(struct hw_module *mod, const char *name, enum glibc_struct strct,
                       glibc_era_set *eras)
{
    struct hw_symbol sym;
    if (!hw_module_symbol(mod, name, &sym) || sym.is_tls)
        return 0;
    glibc_era_set by_size = glibc_eras_with_size(strct, sym.size);
    if (sym.size)
        *eras &= by_size;
    return sym.address;
}

static int find(const struct glibc_search *s, struct glibc_roots *ret, struct hw_error *err)
{
    (void)err;
    ret->main_arena = look_up(s->mod, "main_arena", GLIBC_MALLOC_STATE, &ret->eras);
    ret->mp = look_up(s->mod, "mp_", GLIBC_MALLOC_PAR, &ret->eras);
    return HW_OK;
}

const struct glibc_finder glibc_finder_symtab = {"symtab", find};
