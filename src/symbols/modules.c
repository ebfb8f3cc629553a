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
#include "base/file.h"
#include "base/vec.h"
#include "symbols/private.h"

#include <ctype.h>
#include <fcntl.h>
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
    return map->path && map->path[0] != '['; /* cores may know no more than how it was called */
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

/* What is wrong with the file that the caller named. Where the target does not tell its build-id,
 * another name makes it suspicious, no more. */
static void check_exe(struct hw_modules *m)
{
    struct hw_error why = {0};
    struct hw_elf_file f;
    const struct hw_module *mod = NULL;
    for (size_t i = 0; i < m->count && !mod; i++)
        mod = m->list[i].is_exe ? &m->list[i] : NULL;
    if (!m->exe || !mod)
        return;
    int fd = hw_open_regular(AT_FDCWD, m->exe, false, &why);
    if (fd >= 0 && hw_elf_open(fd, m->exe, m->target->who.machine, &f, &why) == HW_OK) {
        const char *slash = strrchr(m->exe, '/'), *name = slash ? slash + 1 : m->exe;
        if (hw_check_build_id(mod, &f, &why) == HW_OK && !mod->has_build_id &&
            strcmp(name, mod->name) != 0)
            hw_fail(&why, HW_ERR_NO_SYMBOLS,
                    "%s may be another program than %s, whose build-id is not known", m->exe,
                    mod->path);
        hw_elf_close(&f);
    }
    m->exe_problem = why.code ? strdup(why.text) : NULL;
}

const char *hw_modules_exe_problem(const struct hw_modules *m)
{
    return m->exe_problem;
}

bool hw_is_libc_name(const char *name)
{
    if (strncmp(name, "libc.so.", 8) == 0)
        return true;
    return strncmp(name, "libc-", 5) == 0 && isdigit((unsigned char)name[5]) &&
           strstr(name, ".so") != NULL;
}

/* The module that a file of this build-id can be: the one that has it; else, by its name, one that
 * has none, or any. */
static struct hw_module *libc_for(struct hw_modules *m, const struct hw_elf_file *f)
{
    struct hw_module *best = NULL;
    for (size_t i = 0; i < m->count; i++) {
        struct hw_module *mod = hw_modules_get(m, i);
        if (mod->has_build_id && mod->build_id_len == f->build_id_len &&
            memcmp(mod->build_id, f->build_id, f->build_id_len) == 0)
            return mod;
        if (hw_is_libc_name(mod->name) && (!best || (best->has_build_id && !mod->has_build_id)))
            best = mod;
    }
    return best;
}

static int assign_libc(struct hw_modules *m, struct hw_error *err)
{
    struct hw_elf_file f;
    int fd = hw_open_regular(AT_FDCWD, m->libc, false, err);
    if (fd < 0)
        return fd;
    int rc = hw_elf_open(fd, m->libc, m->target->who.machine, &f, err);
    if (rc != HW_OK)
        return rc;
    struct hw_module *mod = libc_for(m, &f);
    if (!mod)
        rc = hw_fail(err, HW_ERR_NO_SYMBOLS, "%s: no libc is mapped that it could be", m->libc);
    else if ((rc = hw_check_build_id(mod, &f, err)) == HW_OK)
        mod->priv->named = m->libc;
    hw_elf_close(&f);
    return rc;
}

/* Say at once what is wrong with the places that the caller names. */
static int check_places(struct hw_modules *m, struct hw_error *err)
{
    if (m->sysroot) {
        hw_autoclose int dir = open(m->sysroot, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0)
            return hw_fail_errno(err, HW_ERR_NO_SYMBOLS, "cannot open %s", m->sysroot);
    }
    return m->libc ? assign_libc(m, err) : HW_OK;
}

static bool copy(char **to, const char *from)
{
    *to = from ? strdup(from) : NULL;
    return *to || !from;
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
    static const struct hw_modules_options none = {0};
    if (!opt)
        opt = &none;
    bool ok = copy(&m->exe, opt->exe) && copy(&m->libc, opt->libc) &&
              copy(&m->sysroot, opt->sysroot) && copy(&m->debuginfo_path, opt->debuginfo_path) &&
              list_modules(t, &list);
    m->list = list.data;
    m->count = list.count;
    if (!ok || !hw_modules_order(m)) {
        hw_modules_close(m);
        return hw_fail(err, HW_ERR_NOMEM, "out of memory listing the modules");
    }
    find_exe(m);
    check_exe(m);
    int rc = check_places(m, err);
    if (rc == HW_OK)
        *ret = m;
    else
        hw_modules_close(m);
    return rc;
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
    free(m->order);
    free(m->exe);
    free(m->exe_problem);
    free(m->libc);
    free(m->sysroot);
    free(m->debuginfo_path);
    free(m);
}

size_t hw_modules_count(const struct hw_modules *m)
{
    return m->count;
}

struct hw_module *hw_modules_get(struct hw_modules *m, size_t i)
{
    return i < m->count ? m->order[i] : NULL;
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
