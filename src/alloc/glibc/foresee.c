/*
 * What files alone tell of the roots, without a look at the target's memory (--dry-run).
 */
#include "alloc/glibc/roots.h"

#include <string.h>

static void copy_text(char *to, size_t size, const char *from)
{
    snprintf(to, size, "%s", from ? from : "");
}

static bool has_symbol(struct hw_module *mod, const char *name)
{
    struct hw_symbol sym;
    return hw_module_symbol(mod, name, &sym) && !sym.is_tls;
}

static bool has_types(struct hw_module *mod)
{
    struct hw_types *types;
    if (hw_types_open(mod, "malloc", "malloc.c", &types, NULL) != HW_OK)
        return false;
    hw_types_close(types);
    return true;
}

/* An executable without a libc may be linked with glibc or with none. */
static bool may_be_glibc(const struct glibc *g)
{
    return !g->is_static || has_symbol(g->mod, "main_arena") || has_symbol(g->mod, "__libc_malloc");
}

void glibc_foresee(const struct hw_image *image, struct hw_dryrun_allocator *ret)
{
    struct glibc g = {.image = *image};
    struct hw_error why = {0};
    ret->name = hw_allocator_glibc.name;
    ret->found = glibc_identify(&g, &why, &ret->why_not) == HW_OK;
    if (ret->found && !may_be_glibc(&g)) {
        ret->found = false;
        hw_fail(&ret->why_not, HW_ERR_NO_HEAP,
                "no symbol of %.200s shows that it has a glibc in it", g.mod->path);
    }
    if (ret->found) {
        copy_text(ret->version, sizeof ret->version, g.version);
        copy_text(ret->libc_path, sizeof ret->libc_path, g.libc_path);
        copy_text(ret->libc_build_id, sizeof ret->libc_build_id, g.libc_build_id);
        copy_text(ret->symbols_file, sizeof ret->symbols_file, g.mod->file);
        copy_text(ret->problem, sizeof ret->problem, g.mod->problem);
        ret->roots_named = has_symbol(g.mod, "main_arena") && has_symbol(g.mod, "mp_");
        ret->types_known = ret->roots_named && has_types(g.mod);
    }
    glibc_release_roots(&g);
}
