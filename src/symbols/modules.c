/*
 * A module is a run of mappings of one file, in the order of addresses:
 *
 *     7f10'0000'0000  r--  libc.so.6   offset 0        <- its ELF header: build-id, bias
 *     7f10'0002'6000  r-x  libc.so.6
 *     7f10'0017'c000  r--  libc.so.6
 *     7f10'001d'2000  rw-  libc.so.6
 *     7f10'001d'5000  rw-  (anonymous: its .bss)
 *     7f10'0020'0000  r--  libc.so.6   offset 0        <- dlmopen: a second copy, another module
 *
 * The dynamic linker reserves the whole range of a file at once, so nothing else comes between.
 */
#include "base/cleanup.h"
#include "base/vec.h"
#include "symbols/private.h"

#include <string.h>

typedef HW_VEC(struct hw_module) module_vec;

/* How far to look for an executable mapping: no linker makes more segments than a handful. */
enum { RUN_MAX = 16 };

/* Length of a path without the " (deleted)" that the kernel adds. */
static size_t path_len(const char *path)
{
    static const char gone[] = " (deleted)";
    size_t len = strlen(path), extra = sizeof gone - 1;
    return len > extra && strcmp(path + len - extra, gone) == 0 ? len - extra : len;
}

static bool is_file(const struct hw_map *map)
{
    return map->path && map->path[0] == '/';
}

/*
 * Looking at a page of a live process maps it there, so plain data files are left alone: only runs
 * with an executable part are taken for ELF files. A core loses nothing by a look, and may lack
 * flags.
 */
static bool worth_reading(const struct hw_target *t, size_t first)
{
    if (t->maps[first].offset != 0)
        return false;
    if (t->who.kind != HW_TARGET_LIVE)
        return true;
    for (size_t i = first; i < t->map_count && i - first < RUN_MAX; i++) {
        const struct hw_map *map = &t->maps[i];
        if (!is_file(map))
            continue;
        if (strcmp(map->path, t->maps[first].path) != 0)
            return false;
        if (map->flags & HW_MAP_EXEC)
            return true;
    }
    return false;
}

/* Fill in what the ELF headers in memory tell. */
static void identify(struct hw_target *t, struct hw_module *mod)
{
    struct hw_elf_image image;
    if (!hw_elf_image_read(t, mod->start, &image) ||
        !hw_phdrs_bias(image.phdr, image.phdr_count, t->who.page_size, mod->start, &mod->bias))
        return;
    mod->priv->headers_known = true;
    for (size_t i = 0; i < image.phdr_count; i++) {
        const Elf64_Phdr *p = &image.phdr[i];
        hw_addr page = (mod->bias + p->p_vaddr) / t->who.page_size * t->who.page_size;
        if (p->p_type == PT_LOAD && p->p_offset < t->who.page_size && page != mod->start)
            mod->priv->header_again = page;
    }
    mod->has_build_id =
        hw_elf_image_build_id(t, &image, mod->bias, mod->build_id, &mod->build_id_len);
}

/* Whether a mapping of the same file as the last module's begins another copy of it. Small files
 * have their header in two segments, so offset 0 alone does not tell; and a program may have mapped
 * the file as data right below the real thing, so neighbourhood does not, either. */
static bool begins_copy(const struct hw_module *last, const struct hw_map *map)
{
    return map->offset == 0 && map->start != last->priv->header_again;
}

static bool add_module(struct hw_target *t, size_t first, module_vec *list)
{
    const struct hw_map *map = &t->maps[first];
    struct hw_module mod = {.start = map->start, .end = map->end};
    mod.bias = map->start - map->offset; /* true of most files; headers know better */
    mod.path = strndup(map->path, path_len(map->path));
    mod.priv = calloc(1, sizeof *mod.priv);
    if (!mod.path || !mod.priv || !hw_vec_push(list, mod)) {
        free(mod.path);
        free(mod.priv);
        return false;
    }
    struct hw_module *added = &list->data[list->count - 1];
    const char *slash = strrchr(added->path, '/');
    added->name = slash ? slash + 1 : added->path;
    if (worth_reading(t, first))
        identify(t, added);
    return true;
}

static bool list_modules(struct hw_target *t, module_vec *list)
{
    const char *last_path = NULL;
    for (size_t i = 0; i < t->map_count; i++) {
        const struct hw_map *map = &t->maps[i];
        if (!is_file(map))
            continue;
        struct hw_module *last = list->count ? &list->data[list->count - 1] : NULL;
        if (last && strcmp(map->path, last_path) == 0 && !begins_copy(last, map))
            last->end = map->end;
        else if (!add_module(t, i, list))
            return false;
        last_path = map->path;
    }
    return true;
}

/* Mark the module that lies at this path. */
static bool mark_exe(struct hw_modules *m, const char *path)
{
    size_t len = path_len(path);
    for (size_t i = 0; i < m->count; i++) {
        const char *have = m->list[i].path;
        if (strlen(have) == len && memcmp(have, path, len) == 0) {
            m->list[i].is_exe = true;
            return true;
        }
    }
    return false;
}

/* Mark the module whose file is called the same. */
static void mark_exe_by_name(struct hw_modules *m, const char *path)
{
    const char *slash = strrchr(path, '/');
    for (size_t i = 0; i < m->count; i++) {
        if (strcmp(m->list[i].name, slash ? slash + 1 : path) == 0) {
            m->list[i].is_exe = true;
            return;
        }
    }
}

/* The path that the target knows itself; if there is none such, the file the caller named. */
static void find_exe(struct hw_modules *m)
{
    if (m->target->who.exe && mark_exe(m, m->target->who.exe))
        return;
    if (m->exe) {
        hw_autofree char *real = realpath(m->exe, NULL);
        if (!real || !mark_exe(m, real))
            mark_exe_by_name(m, m->exe);
    }
}

int hw_modules_open(struct hw_target *t, const struct hw_modules_options *opt,
                    struct hw_modules **ret, struct hw_error *err)
{
    *ret = NULL;
    struct hw_modules *m = calloc(1, sizeof *m);
    if (!m)
        return hw_fail(err, HW_ERR_NOMEM, "out of memory");
    m->target = t;
    module_vec list = {0};
    bool ok = true;
    if (opt && opt->exe)
        ok = (m->exe = strdup(opt->exe)) != NULL;
    if (opt && opt->debuginfo_path && ok)
        ok = (m->debuginfo_path = strdup(opt->debuginfo_path)) != NULL;
    ok = ok && list_modules(t, &list);
    m->list = list.data;
    m->count = list.count;
    if (!ok) {
        hw_modules_close(m);
        return hw_fail(err, HW_ERR_NOMEM, "out of memory listing the modules");
    }
    find_exe(m);
    *ret = m;
    return HW_OK;
}

void hw_modules_close(struct hw_modules *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->count; i++) {
        hw_module_unload(&m->list[i]);
        free(m->list[i].path);
        free(m->list[i].priv);
    }
    free(m->list);
    free(m->exe);
    free(m->debuginfo_path);
    free(m);
}

size_t hw_modules_count(const struct hw_modules *m)
{
    return m->count;
}

struct hw_module *hw_modules_get(struct hw_modules *m, size_t i)
{
    return i < m->count ? &m->list[i] : NULL;
}

struct hw_module *hw_modules_at(struct hw_modules *m, hw_addr addr)
{
    size_t low = 0, high = m->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (addr >= m->list[mid].end)
            low = mid + 1;
        else
            high = mid;
    }
    return low < m->count && addr >= m->list[low].start ? &m->list[low] : NULL;
}
