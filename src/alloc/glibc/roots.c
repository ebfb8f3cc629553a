/*
 * Where the allocator's roots are, from symbols, and how its structs are laid out, from DWARF. All
 * of this happens while the target runs; what is found here are addresses, not values.
 */
#include "alloc/glibc/glibc.h"

#include "base/cleanup.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

/* "libc.so.6", "libc-2.31.so"; not "libcrypt.so.1". */
static bool is_libc_name(const char *name)
{
    if (strncmp(name, "libc.so.", 8) == 0)
        return true;
    return strncmp(name, "libc-", 5) == 0 && isdigit((unsigned char)name[5]) &&
           strstr(name, ".so") != NULL;
}

/* Symbolizers map libc as mere data; the one in use has variables. */
static bool has_variables(const struct hw_target *t, const struct hw_module *mod)
{
    for (size_t i = 0; i < t->map_count; i++)
        if (t->maps[i].start >= mod->start && t->maps[i].end <= mod->end &&
            (t->maps[i].flags & HW_MAP_WRITE))
            return true;
    return false;
}

/* Is the main_arena of this libc the one that grows by brk? Only the first libc's is. */
static bool owns_break(const struct hw_image *image, struct hw_module *mod)
{
    struct hw_symbol curbrk;
    uint64_t brk;
    return hw_module_load(image->modules, mod, NULL) == HW_OK &&
           hw_module_symbol(mod, "__curbrk", &curbrk) &&
           hw_read_word(image->target, curbrk.address, &brk, NULL) == HW_OK && brk != 0;
}

struct hw_module *glibc_find_libc(const struct hw_image *image)
{
    struct hw_module *first = NULL;
    for (size_t i = 0; i < hw_modules_count(image->modules); i++) {
        struct hw_module *mod = hw_modules_get(image->modules, i);
        if (!is_libc_name(mod->name) || !has_variables(image->target, mod))
            continue;
        /* dlmopen() loads further copies */
        if (!first || (!owns_break(image, first) && owns_break(image, mod)))
            first = mod;
    }
    return first;
}

/* The module malloc lives in: libc, or a statically linked executable. */
static int load_malloc_module(struct glibc *g, struct hw_module **ret, struct hw_error *err)
{
    struct hw_module *libc = glibc_find_libc(&g->image);
    if (libc) {
        *ret = libc;
        return hw_module_load(g->image.modules, libc, err);
    }
    for (size_t i = 0; i < hw_modules_count(g->image.modules); i++) {
        struct hw_module *mod = hw_modules_get(g->image.modules, i);
        struct hw_symbol sym;
        if (!mod->is_exe)
            continue;
        int rc = hw_module_load(g->image.modules, mod, err);
        if (rc != HW_OK)
            return rc;
        if (!hw_module_symbol(mod, "main_arena", &sym))
            break;
        *ret = mod;
        return HW_OK;
    }
    hw_fail(err, HW_ERR_NO_HEAP, "no glibc is mapped into the target");
    hw_remedy(err, "heapwalk reads the heaps of glibc's malloc; this program has another C "
                   "library, or none, or glibc linked statically and stripped");
    return HW_ERR_NO_HEAP;
}

static int need_symbol(struct hw_module *mod, const char *name, hw_addr *ret, struct hw_error *err)
{
    struct hw_symbol sym;
    if (hw_module_symbol(mod, name, &sym) && !sym.is_tls) {
        *ret = sym.address;
        return HW_OK;
    }
    hw_fail(err, HW_ERR_NO_SYMBOLS, "%s has no symbol %s: its debug symbols are not there",
            mod->path, name);
    hw_remedy(err, "install the libc's debug symbols (Debian and Ubuntu: apt install "
                   "libc6-dbg) or name their place with --debuginfo-path");
    return HW_ERR_NO_SYMBOLS;
}

/*
 * tcache (since 2.26) and thread_arena (since 2.23; tsd_MALLOC before) live in every thread's TLS
 * block. Where the symbols of main_arena and mp_ are, these are too if they exist at all.
 */
static int find_thread_locals(struct glibc *g, struct hw_module *mod, struct hw_error *err)
{
    struct hw_symbol tcache, arena;
    int64_t offset;
    g->has_tcache = hw_module_symbol(mod, "tcache", &tcache) && tcache.is_tls;
    g->has_thread_arena = (hw_module_symbol(mod, "thread_arena", &arena) ||
                           hw_module_symbol(mod, "__libc_tsd_MALLOC", &arena)) &&
                          arena.is_tls;
    if (!g->has_tcache && !g->has_thread_arena)
        return HW_OK;
    int rc = hw_module_tls_offset(g->image.modules, mod, &offset, err);
    if (rc != HW_OK)
        return rc;
    if (g->has_tcache)
        g->tcache_offset = offset + (int64_t)tcache.address;
    if (g->has_thread_arena)
        g->thread_arena_offset = offset + (int64_t)arena.address;
    return HW_OK;
}

static int resolve_layout(struct glibc *g, struct hw_module *mod, struct hw_error *err)
{
    struct hw_types *types;
    int rc = hw_types_open(mod, "malloc", "malloc.c", &types, err);
    if (rc == HW_OK) {
        rc = hw_layout_from_types(&g->layout, types, err);
        hw_types_close(types);
    }
    if (rc == HW_ERR_NO_SYMBOLS)
        hw_remedy(err, "install the libc's debug symbols (Debian and Ubuntu: apt install "
                       "libc6-dbg) or name their place with --debuginfo-path");
    if (rc != HW_OK)
        return rc;
    bool counted = hw_has(&g->layout, GLIBC_F_TCACHE_COUNTS) ||
                   (hw_has(&g->layout, GLIBC_F_TCACHE_NUM_SLOTS) &&
                    hw_has(&g->layout, GLIBC_F_MP_TCACHE_COUNT));
    if (!g->has_tcache || (counted && hw_has(&g->layout, GLIBC_F_TCACHE_ENTRIES)))
        return HW_OK;
    hw_fail(err, HW_ERR_UNSUPPORTED,
            "%s (glibc %s) keeps its tcaches in a form heapwalk does not know", mod->path,
            g->version ? g->version : "of unknown version");
    hw_remedy(err, "heapwalk reads glibc 2.17 to 2.43");
    return HW_ERR_UNSUPPORTED;
}

/* "GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36." -> "2.36" */
static char *read_version(struct hw_module *mod)
{
    char banner[256];
    if (!hw_module_find_text(mod, "GNU C Library", banner, sizeof banner))
        return NULL;
    const char *v = strstr(banner, "release version ");
    if (!v)
        return NULL;
    v += strlen("release version ");
    size_t n = strspn(v, "0123456789.");
    while (n && v[n - 1] == '.')
        n--;
    return n ? strndup(v, n) : NULL;
}

static char *hex(const uint8_t *bytes, size_t len)
{
    char *text = malloc(2 * len + 1);
    if (!text)
        return NULL;
    for (size_t i = 0; i < len; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    text[2 * len] = '\0';
    return text;
}

int glibc_find_roots(struct glibc *g, struct hw_error *err)
{
    struct hw_module *mod = NULL;
    int rc = load_malloc_module(g, &mod, err);
    if (rc != HW_OK)
        return rc;
    g->rules = chunk_rules_x86_64();
    g->version = read_version(mod);
    g->libc_path = strdup(mod->path);
    g->libc_build_id = mod->build_id_len ? hex(mod->build_id, mod->build_id_len) : NULL;
    g->roots_source = "symtab";
    g->layout_source = "dwarf";

    if ((rc = need_symbol(mod, "main_arena", &g->main_arena, err)) != HW_OK ||
        (rc = need_symbol(mod, "mp_", &g->mp, err)) != HW_OK ||
        (rc = find_thread_locals(g, mod, err)) != HW_OK ||
        (rc = hw_layout_init(&g->layout, &glibc_layout_desc, g->rules.word, err)) != HW_OK ||
        (rc = resolve_layout(g, mod, err)) != HW_OK)
        return rc;

    struct hw_symbol sym;
    if (hw_module_symbol(mod, "__curbrk", &sym))
        g->curbrk = sym.address;
    return HW_OK;
}

void glibc_release_roots(struct glibc *g)
{
    hw_layout_deinit(&g->layout);
    free(g->version);
    free(g->libc_path);
    free(g->libc_build_id);
}
