/*
 * Where the allocator's roots are, and how its structs are laid out. All of this happens while the
 * target runs; what is found here are addresses, not values. Only where no symbol says so, the
 * thread-local pointers are found later, in the frozen target (glibc_settle_roots).
 *
 *     symbols and types          symbols, no types           no symbols
 *     ------------------         -----------------           ------------------------------
 *     roots     symtab           symtab                      table, disassembly, scan
 *     layout    DWARF            table.def, by evidence      table.def, by evidence
 *     locals    symtab           symtab                      by their values, when frozen
 */
#include "alloc/glibc/roots.h"

#include "base/cleanup.h"

#include <inttypes.h>
#include <string.h>

#define REMEDY                                                                                     \
    "install the libc's debug symbols (Debian and Ubuntu: apt install libc6-dbg) or name their "   \
    "place with --debuginfo-path"

/* Symbolizers map libc as mere data; the one in use has variables. */
static bool has_variables(const struct hw_target *t, const struct hw_module *mod)
{
    for (size_t i = 0; i < t->map_count; i++)
        if (t->maps[i].start >= mod->start && t->maps[i].end <= mod->end &&
            (t->maps[i].flags & HW_MAP_WRITE))
            return true;
    return false;
}

struct hw_module *glibc_find_libc(const struct hw_image *image)
{
    for (size_t i = 0; i < hw_modules_count(image->modules); i++) {
        struct hw_module *mod = hw_modules_get(image->modules, i);
        /* The program's own copy comes first (symbols/namespace.c). */
        if (hw_is_libc_name(mod->name) && has_variables(image->target, mod))
            return mod;
    }
    return NULL;
}

/* The module malloc lives in: libc, or an executable that it may be linked into. A file that cannot
 * be found is no failure yet: *why says what stood in the way. */
static int load_malloc_module(struct glibc *g, struct hw_error *why, struct hw_error *err)
{
    g->mod = glibc_find_libc(&g->image);
    g->is_static = !g->mod;
    for (size_t i = 0; !g->mod && i < hw_modules_count(g->image.modules); i++) {
        struct hw_module *mod = hw_modules_get(g->image.modules, i);
        if (mod->is_exe)
            g->mod = mod;
    }
    if (!g->mod)
        return hw_fail(err, HW_ERR_NO_HEAP, "no glibc is mapped into the target");
    int rc = hw_module_load(g->image.modules, g->mod, why);
    return rc == HW_ERR_NOMEM ? hw_fail(err, rc, "%s", why->text) : HW_OK;
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

/* ---- which finder is believed ---------------------------------------------------------------- */

/* What was proposed and what became of it, for the message when nothing is left. */
struct choice {
    struct glibc_search search;
    struct glibc_roots best;
    const char *refuted_by; /* a finder whose main_arena memory contradicts */
    hw_addr refuted;
};

static void note_doubt(struct glibc *g, const char *what, hw_addr ours, hw_addr theirs,
                       const char *by)
{
    if (ours && theirs && ours != theirs && !g->doubt[0])
        snprintf(g->doubt, sizeof g->doubt,
                 "%s is at %#" PRIx64 " (%s), or at %#" PRIx64 " (%s): two ways of finding it "
                 "disagree",
                 what, ours, g->roots_source, theirs, by);
}

/* Take a verified proposal: the first one, and of later ones what it lacks. */
static void take(struct glibc *g, struct choice *c, const struct glibc_roots *r, const char *name)
{
    if (!c->best.main_arena) {
        c->best = *r;
        g->roots_source = name;
        return;
    }
    note_doubt(g, "main_arena", c->best.main_arena, r->main_arena, name);
    if (c->best.main_arena != r->main_arena)
        return;
    note_doubt(g, "mp_", c->best.mp, r->mp, name);
    if (!c->best.mp && (c->best.eras & r->eras)) {
        c->best.mp = r->mp;
        c->best.eras &= r->eras;
    }
}

static int ask(struct glibc *g, struct choice *c, const struct glibc_finder *f,
               struct hw_error *err)
{
    struct glibc_roots r = {.eras = glibc_eras_of(g->image.target->who.machine->word)};
    int rc = f->find(&c->search, &r, err);
    if (rc != HW_OK || !r.main_arena)
        return rc;
    hw_addr proposed = r.main_arena;
    if (glibc_verify_roots(c->search.target, &r)) {
        take(g, c, &r, f->name);
    } else if (!c->refuted) {
        c->refuted = proposed;
        c->refuted_by = f->name;
    }
    return HW_OK;
}

static int ask_all(struct glibc *g, struct choice *c, struct hw_error *err)
{
    int rc = HW_OK;
    for (size_t i = 0; glibc_finders[i] && rc == HW_OK; i++) {
        const struct glibc_finder *f = glibc_finders[i];
        if (!g->image.roots || strcmp(g->image.roots, f->name) == 0)
            rc = ask(g, c, f, err);
    }
    return rc;
}

/* Why nothing was found, as well as it can be told. */
static int explain(const struct glibc *g, const struct choice *c, const struct hw_error *why,
                   struct hw_error *err)
{
    const char *path = g->mod->path, *version = g->version ? g->version : "of unknown version";
    if (why->code && g->is_static && !c->best.main_arena && !c->refuted) {
        hw_fail(err, why->code, "%s", why->text);
        hw_remedy(err, "%s", why->remedy);
        return why->code;
    }
    int rc;
    if (c->best.main_arena)
        rc = hw_fail(
            err, HW_ERR_NO_SYMBOLS,
            "%s (glibc %s) has no symbol mp_, and there is nothing in its data that looks like "
            "it",
            path, version);
    else if (c->refuted)
        rc = hw_fail(err, HW_ERR_CORRUPT,
                     "%s (glibc %s): main_arena should be at %#" PRIx64
                     " (%s), but no arena that heapwalk knows stands there",
                     path, version, c->refuted, c->refuted_by);
    else if (g->is_static)
        rc = hw_fail(err, HW_ERR_NO_HEAP, "no glibc is mapped into the target, nor linked into %s",
                     path);
    else
        rc = hw_fail(
            err, HW_ERR_NO_SYMBOLS,
            "%s (glibc %s) has no symbol main_arena, and neither its data nor its code nor the "
            "target's memory show where it is%s%.300s",
            path, version, why->code ? "; " : "", why->code ? why->text : "");
    if (why->code && why->remedy[0] && rc == HW_ERR_NO_SYMBOLS)
        hw_remedy(err, "%s", why->remedy);
    else
        hw_remedy(err, g->is_static && !c->refuted
                           ? "heapwalk reads the heaps of glibc's malloc; this program has another "
                             "C library, or none"
                           : REMEDY);
    return rc;
}

/* ---- layouts --------------------------------------------------------------------------------- */

/* tcache (since 2.26) and thread_arena (since 2.23; tsd_MALLOC before) live in every thread's TLS
 * block. */
static int find_locals_by_name(struct glibc *g, struct hw_error *err)
{
    struct hw_symbol tcache, arena;
    int64_t offset;
    g->has_tcache = hw_module_symbol(g->mod, "tcache", &tcache) && tcache.is_tls;
    g->has_thread_arena = (hw_module_symbol(g->mod, "thread_arena", &arena) ||
                           hw_module_symbol(g->mod, "__libc_tsd_MALLOC", &arena)) &&
                          arena.is_tls;
    if (!g->has_tcache && !g->has_thread_arena)
        return HW_OK;
    int rc = hw_module_tls_offset(g->image.modules, g->mod, &offset, err);
    if (rc != HW_OK)
        return rc;
    if (g->has_tcache)
        g->tcache_offset = offset + (int64_t)tcache.address;
    if (g->has_thread_arena)
        g->thread_arena_offset = offset + (int64_t)arena.address;
    return HW_OK;
}

/* On i386 the alignment of chunks changed. heap_info is padded so that chunks behind it are aligned
 * (malloc/arena.c), so its size tells. */
static void take_rules(struct glibc *g)
{
    unsigned word = g->layout.word;
    bool padded = (g->layout.struct_size[GLIBC_HEAP_INFO] + 2 * word) % 16 == 0;
    g->rules = chunk_rules(word, word == 8 || padded ? 16 : 8);
}

static int layout_from_types(struct glibc *g, struct hw_error *err)
{
    struct hw_types *types;
    int rc = hw_types_open(g->mod, "malloc", "malloc.c", &types, err);
    if (rc != HW_OK)
        return rc;
    rc = hw_layout_from_types(&g->layout, types, err);
    hw_types_close(types);
    g->layout_source = hw_origin_name(HW_ORIGIN_DWARF);
    take_rules(g);
    return rc;
}

static int check_tcache_layout(const struct glibc *g, struct hw_error *err)
{
    bool counted = hw_has(&g->layout, GLIBC_F_TCACHE_COUNTS) ||
                   (hw_has(&g->layout, GLIBC_F_TCACHE_NUM_SLOTS) &&
                    hw_has(&g->layout, GLIBC_F_MP_TCACHE_COUNT));
    if (!g->has_tcache || (counted && hw_has(&g->layout, GLIBC_F_TCACHE_ENTRIES)))
        return HW_OK;
    hw_fail(err, HW_ERR_UNSUPPORTED,
            "%s (glibc %s) keeps its tcaches in a form heapwalk does not know", g->mod->path,
            g->version ? g->version : "of unknown version");
    hw_remedy(err, "heapwalk reads glibc 2.17 to 2.43");
    return HW_ERR_UNSUPPORTED;
}

static void layout_from_table(struct glibc *g, glibc_era_set eras)
{
    g->eras = eras;
    g->layout_source = hw_origin_name(HW_ORIGIN_TABLE);
    glibc_layout_from_table(&g->layout, eras);
    take_rules(g);
}

/* Symbols are there. If types are too, nothing else is asked. */
static int resolve_named(struct glibc *g, const struct choice *c, struct hw_error *err)
{
    int rc = find_locals_by_name(g, err);
    g->locals_known = rc == HW_OK;
    if (rc == HW_ERR_NO_SYMBOLS) { /* where the TLS block lies is not known: the walk will say so */
        g->has_tcache = g->has_thread_arena = false;
        rc = HW_OK;
    }
    if (rc == HW_OK)
        rc = layout_from_types(g, err);
    if (rc == HW_ERR_NO_SYMBOLS) {
        struct glibc_roots r = c->best;
        if (!glibc_verify_roots(c->search.target, &r) || !r.mp) {
            hw_remedy(err, REMEDY);
            return rc;
        }
        layout_from_table(g, r.eras);
        g->locals_known = g->locals_known && (g->has_tcache || g->has_thread_arena);
        rc = HW_OK;
    }
    return rc == HW_OK ? check_tcache_layout(g, err) : rc;
}

/* Look for main_arena and mp_ by name, without asking memory: what a damaged target holds is the
 * walk's business. */
static bool find_by_name(struct glibc *g, struct choice *c)
{
    if (g->image.roots && strcmp(g->image.roots, glibc_finder_symtab.name) != 0)
        return false;
    c->best = (struct glibc_roots){.eras = glibc_eras_of(g->image.target->who.machine->word)};
    glibc_finder_symtab.find(&c->search, &c->best, NULL);
    if (c->best.main_arena && c->best.mp) {
        g->roots_source = glibc_finder_symtab.name;
        return true;
    }
    c->best = (struct glibc_roots){0};
    return false;
}

static int find_and_resolve(struct glibc *g, const struct hw_error *why, struct hw_error *err)
{
    struct choice c = {.search = {g->image.target, g->image.modules, g->mod}};
    bool named = find_by_name(g, &c);
    int rc = named ? HW_OK : ask_all(g, &c, err);
    if (rc != HW_OK)
        return rc;
    if (!c.best.main_arena || !c.best.mp)
        return explain(g, &c, why, err);
    g->main_arena = c.best.main_arena;
    g->mp = c.best.mp;
    if (named)
        return resolve_named(g, &c, err);
    layout_from_table(g, c.best.eras);
    return HW_OK;
}

int glibc_identify(struct glibc *g, struct hw_error *why, struct hw_error *err)
{
    int rc = load_malloc_module(g, why, err);
    if (rc != HW_OK)
        return rc;
    g->version = read_version(g->mod);
    g->libc_path = strdup(g->mod->path);
    g->libc_build_id = g->mod->build_id_len ? hex(g->mod->build_id, g->mod->build_id_len) : NULL;
    return HW_OK;
}

int glibc_find_roots(struct glibc *g, struct hw_error *err)
{
    struct hw_error why = {0};
    int rc = glibc_identify(g, &why, err);
    if (rc != HW_OK)
        return rc;
    if ((rc = hw_layout_init(&g->layout, &glibc_layout_desc, g->image.target->who.machine->word,
                             err)) != HW_OK ||
        (rc = find_and_resolve(g, &why, err)) != HW_OK)
        return rc;

    struct hw_symbol sym;
    if (hw_module_symbol(g->mod, "__curbrk", &sym))
        g->curbrk = sym.address;
    return HW_OK;
}

int glibc_settle_roots(struct glibc *g, struct hw_report *report, struct hw_error *err)
{
    if (g->doubt[0])
        hw_report_add(report, HW_FINDING_BAD_ARENA, -1, hw_known(g->main_arena),
                      (struct hw_maybe){0}, "%s", g->doubt);
    if (!g->eras)
        return HW_OK;
    /* The target may have gone on since: what was not to be told apart may be now. */
    struct glibc_roots r = {.main_arena = g->main_arena, .mp = g->mp, .eras = g->eras};
    if (glibc_verify_roots(g->image.target, &r) && r.mp)
        layout_from_table(g, r.eras);
    int rc = glibc_find_thread_locals(g, report, err);
    layout_from_table(g, g->eras);
    if (!g->version) {
        char versions[64];
        g->version = strdup(glibc_eras_versions(g->eras, versions, sizeof versions));
    }
    return rc;
}

void glibc_release_roots(struct glibc *g)
{
    hw_layout_deinit(&g->layout);
    free(g->version);
    free(g->libc_path);
    free(g->libc_build_id);
}

const struct glibc_finder *const glibc_finders[] = {
    &glibc_finder_symtab, &glibc_finder_table, &glibc_finder_disassembly, &glibc_finder_scan, NULL,
};
