#include "base/cleanup.h"
#include "base/file.h"
#include "symbols/private.h"

#include <fcntl.h>
#include <string.h>

const char *hw_hex(const uint8_t *bytes, size_t len, char *buf, size_t size)
{
    buf[0] = '\0';
    for (size_t i = 0; i < len && 2 * i + 2 < size; i++)
        snprintf(buf + 2 * i, 3, "%02x", bytes[i]);
    return buf;
}

int hw_check_build_id(const struct hw_module *mod, const struct hw_elf_file *f,
                      struct hw_error *err)
{
    if (!mod->has_build_id || (f->build_id_len == mod->build_id_len &&
                               memcmp(f->build_id, mod->build_id, mod->build_id_len) == 0))
        return HW_OK;
    char theirs[17], ours[17]; /* enough to tell two apart */
    hw_hex(mod->build_id, mod->build_id_len, ours, sizeof ours);
    if (f->build_id_len == 0)
        snprintf(theirs, sizeof theirs, "none");
    else
        hw_hex(f->build_id, f->build_id_len, theirs, sizeof theirs);
    return hw_fail(err, HW_ERR_NO_SYMBOLS,
                   "%s is not the file in memory: its build-id is %s, in memory %s", f->path,
                   theirs, ours);
}

/* Neither file nor debug file. Whatever stood in the way, symbols are what is missing. */
static int fail_no_file(const struct hw_module *mod, struct hw_error *cause, struct hw_error *err)
{
    cause->code = HW_ERR_NO_SYMBOLS;
    char hex[129];
    if (mod->has_build_id)
        hw_remedy(cause, "install the file or the debug package of build-id %s",
                  hw_hex(mod->build_id, mod->build_id_len, hex, sizeof hex));
    if (err)
        *err = *cause;
    return HW_ERR_NO_SYMBOLS;
}

/* Take over what `fd` is open on, if it is the file in memory; an `fd` below 0 is an error code. */
static int take_main(struct hw_modules *m, struct hw_module *mod, int fd, const char *path,
                     struct hw_error *err)
{
    struct hw_elf_file f;
    if (fd < 0)
        return fd;
    int rc = hw_elf_open(fd, path, m->target->who.machine, &f, err);
    if (rc != HW_OK)
        return rc;
    rc = hw_check_build_id(mod, &f, err);
    if (rc == HW_OK)
        mod->priv->main = f;
    else
        hw_elf_close(&f);
    return rc;
}

/* The file of the same path below the sysroot. */
static int open_in_sysroot(struct hw_modules *m, struct hw_module *mod, struct hw_error *err)
{
    hw_autofree char *path = NULL;
    hw_autoclose int root = open(m->sysroot, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return hw_fail_errno(err, HW_ERR_SYSTEM, "cannot open %s", m->sysroot);
    if (asprintf(&path, "%s/%s", m->sysroot, mod->path + (mod->path[0] == '/')) < 0) {
        path = NULL;
        return hw_fail(err, HW_ERR_NOMEM, "out of memory");
    }
    return take_main(m, mod, hw_open_regular(root, mod->path, true, err), path, err);
}

/* The file at the module's own place. */
static int open_in_place(struct hw_modules *m, struct hw_module *mod, struct hw_error *err)
{
    const struct hw_map *map = hw_map_at(m->target, mod->start);
    if (!map)
        return hw_fail(err, HW_ERR_NO_SYMBOLS, "%s is no longer mapped", mod->path);
    return take_main(m, mod, hw_target_open_file(m->target, map, err), mod->path, err);
}

static int open_main(struct hw_modules *m, struct hw_module *mod, struct hw_error *err)
{
    const char *named = mod->priv->named;
    if (!named && mod->is_exe)
        named = m->exe;
    int rc = HW_OK;
    if (named)
        rc = take_main(m, mod, hw_open_regular(AT_FDCWD, named, false, err), named, err);
    if (named && (rc == HW_OK || mod->priv->named))
        return rc;
    if (m->sysroot && open_in_sysroot(m, mod, NULL) == HW_OK)
        return HW_OK;
    /* A wrong executable was named: the right one may be where it was. */
    if (named)
        return open_in_place(m, mod, NULL) == HW_OK ? HW_OK : rc;
    return open_in_place(m, mod, err);
}

/* Where this file's addresses lie in the target; the module's bias if its headers do not tell. */
static void set_bias(struct hw_modules *m, const struct hw_module *mod, struct hw_elf_file *f)
{
    Elf64_Phdr phdr[HW_IMAGE_PHDRS];
    size_t count = hw_elf_phdrs(f, phdr, HW_IMAGE_PHDRS);
    const struct hw_map *map = hw_map_at(m->target, mod->start);
    if (!map || map->offset != 0 ||
        !hw_phdrs_bias(phdr, count, m->target->who.page_size, mod->start, &f->bias))
        f->bias = mod->bias;
}

/* The sysroot, or the root directory of a live process; -1 if there is none or it is not for us to
 * look at. */
static int open_root(const struct hw_modules *m)
{
    char root[32];
    if (m->sysroot)
        return open(m->sysroot, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (m->target->who.kind != HW_TARGET_LIVE)
        return -1;
    snprintf(root, sizeof root, "/proc/%d/root", m->target->who.pid);
    return open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static void open_debug(struct hw_modules *m, struct hw_module *mod)
{
    struct hw_module_private *p = mod->priv;
    struct hw_debug_search s = {.machine = m->target->who.machine,
                                .build_id = mod->build_id,
                                .build_id_len = mod->build_id_len,
                                .debuginfo_path = m->debuginfo_path};
    if (!mod->has_build_id) {
        s.build_id = p->main.build_id;
        s.build_id_len = p->main.build_id_len;
    }
    hw_autoclose int root = open_root(m);
    s.root = root;
    if (!p->main.elf)
        hw_find_by_build_id(&s, "", &p->main);
    /* A symbol table alone says nothing: some files keep a small part of theirs when stripped. */
    if (!hw_elf_has_dwarf(&p->main))
        hw_find_debug_file(&s, &p->main, &p->debug);
}

/* What is known from the file itself. */
static void use_main(struct hw_modules *m, struct hw_module *mod)
{
    struct hw_module_private *p = mod->priv;
    if (p->opened || !p->main.elf)
        return;
    set_bias(m, mod, &p->main);
    if (!p->headers_known)
        mod->bias = p->main.bias;
    hw_symtab_init(&p->tables[1], &p->main, SHT_SYMTAB);
    hw_symtab_init(&p->tables[2], &p->main, SHT_DYNSYM);
    p->opened = true;
}

int hw_module_open(struct hw_modules *m, struct hw_module *mod, struct hw_error *err)
{
    if (mod->priv->opened)
        return HW_OK;
    int rc = open_main(m, mod, err);
    use_main(m, mod);
    return rc;
}

int hw_module_load(struct hw_modules *m, struct hw_module *mod, struct hw_error *err)
{
    struct hw_module_private *p = mod->priv;
    if (p->loaded)
        return HW_OK;
    struct hw_error cause = {0};
    int rc = hw_module_open(m, mod, &cause);
    if (rc == HW_ERR_NOMEM) {
        if (err)
            *err = cause;
        return rc;
    }
    open_debug(m, mod);
    free(mod->problem);
    mod->problem = p->main.elf ? NULL : strdup(cause.text);
    if (!p->main.elf && !p->debug.elf)
        return fail_no_file(mod, &cause, err);
    use_main(m, mod);
    const struct hw_elf_file *best = p->debug.elf ? &p->debug : &p->main;
    mod->file = strdup(best->path);
    if (!mod->file) {
        hw_module_unload(mod);
        return hw_fail(err, HW_ERR_NOMEM, "out of memory");
    }
    set_bias(m, mod, &p->debug);
    if (!p->headers_known && !p->main.elf)
        mod->bias = p->debug.bias;
    hw_symtab_init(&p->tables[0], &p->debug, SHT_SYMTAB);
    p->loaded = true;
    return HW_OK;
}

void hw_module_unload(struct hw_module *mod)
{
    struct hw_module_private *p = mod->priv;
    for (size_t i = 0; i < HW_SYMTABS; i++)
        hw_symtab_deinit(&p->tables[i]);
    hw_elf_close(&p->debug);
    hw_elf_close(&p->main);
    free(mod->file);
    free(mod->problem);
    mod->file = mod->problem = NULL;
    p->opened = p->loaded = false;
}
