#include "alloc/foreign.h"

#include "alloc/foreign_rules.h"

#include <fnmatch.h>
#include <string.h>

/* What is added to the evidence of the one that malloc's callers were bound to. */
#define BOUND_TO_IT "; calls of malloc lead there"

/* ---- evidence -------------------------------------------------------------------------------- */

/* The first of the names that the module defines, or NULL. */
static const char *defined_name(struct hw_module *mod, const char *const *names)
{
    struct hw_symbol sym;
    for (; *names; names++)
        if (hw_module_symbol(mod, *names, &sym))
            return *names;
    return NULL;
}

/* A star in the last part of a pattern does not reach into directories. */
static bool is_library_of(const struct hw_foreign_rule *rule, const struct hw_module *mod)
{
    for (const char *const *p = rule->files; *p; p++)
        if (fnmatch(*p, mod->path, 0) == 0 && fnmatch(strrchr(*p, '/') + 1, mod->name, 0) == 0)
            return true;
    return false;
}

/* Mapped as a program, not read as data. */
static bool has_code(const struct hw_target *t, const struct hw_module *mod)
{
    for (size_t i = 0; i < t->map_count; i++)
        if (t->maps[i].start >= mod->start && t->maps[i].end <= mod->end &&
            (t->maps[i].flags & HW_MAP_EXEC))
            return true;
    return false;
}

/*
 * Libraries bear their names. Whoever links an allocator statically puts it into the program itself
 * or into a plugin ("oxlint.node", "_native.so"), which by custom is not called lib*.so; to look
 * into every library would mean to open them all.
 */
static bool may_hide_one(const struct hw_module *mod)
{
    return mod->is_exe ||
           (fnmatch("lib*", mod->name, 0) != 0 && fnmatch("ld-*", mod->name, 0) != 0);
}

/* Whether the module holds this allocator, and how that is known. `opened`: its file could be read.
 */
static bool recognise(const struct hw_foreign_rule *rule, struct hw_module *mod, bool opened,
                      char *evidence, size_t size)
{
    char text[8];
    const char *symbol;
    if (is_library_of(rule, mod))
        snprintf(evidence, size, "%.63s is mapped", mod->name);
    else if (opened && (symbol = defined_name(mod, rule->symbols)) != NULL)
        snprintf(evidence, size, "%.63s defines %s", mod->name, symbol);
    else if (opened && rule->marker && hw_module_find_text(mod, rule->marker, text, sizeof text))
        snprintf(evidence, size, "%.63s holds the text \"%s\"", mod->name, rule->marker);
    else
        return false;
    return true;
}

/* ---- who serves malloc ----------------------------------------------------------------------- */

static struct hw_module *find_module(struct hw_modules *m, bool (*is)(const struct hw_module *mod))
{
    struct hw_module *mod = NULL;
    for (size_t i = 0; (mod = hw_modules_get(m, i)) != NULL && !is(mod);)
        i++;
    return mod;
}

static bool is_libc(const struct hw_module *mod)
{
    return hw_is_libc_name(mod->name);
}

static bool is_exe(const struct hw_module *mod)
{
    return mod->is_exe;
}

/* The module whose malloc `caller` calls, or NULL. The address must be that of a malloc there: one
 * that the executable takes the address of may stand for its PLT entry. */
static struct hw_module *provider_for(struct hw_modules *m, struct hw_module *caller)
{
    hw_addr at;
    struct hw_symbol sym;
    if (!caller || hw_module_open(m, caller, NULL) != HW_OK ||
        !hw_module_import(m, caller, "malloc", &at))
        return NULL;
    struct hw_module *mod = hw_modules_at(m, at);
    return mod && hw_module_open(m, mod, NULL) == HW_OK && hw_module_symbol(mod, "malloc", &sym) &&
                   sym.address == at
               ? mod
               : NULL;
}

static struct hw_module *find_provider(struct hw_modules *m)
{
    struct hw_module *mod = provider_for(m, find_module(m, is_libc));
    return mod ? mod : provider_for(m, find_module(m, is_exe));
}

/* ---- the search ------------------------------------------------------------------------------ */

/* mimalloc's mi_version() is "mov eax, VERSION; ret", maybe behind an endbr64. */
static void read_mimalloc_version(const struct hw_image *image, struct hw_module *mod,
                                  char version[32])
{
    static const uint8_t endbr64[4] = {0xf3, 0x0f, 0x1e, 0xfa};
    uint8_t code[10];
    uint32_t n;
    struct hw_symbol sym;
    if (!hw_module_symbol(mod, "mi_version", &sym) ||
        hw_read_all(image->target, sym.address, code, sizeof code, NULL) != HW_OK)
        return;
    size_t at = memcmp(code, endbr64, sizeof endbr64) == 0 ? sizeof endbr64 : 0;
    if (code[at] != 0xb8 || code[at + 5] != 0xc3)
        return;
    memcpy(&n, code + at + 1, sizeof n);
    /* 209 is 2.0.9, 3208 is 3.2.8, 20302 is 2.3.2. */
    if (n >= 100 && n < 1000)
        snprintf(version, 32, "%u.%u.%u", n / 100, n / 10 % 10, n % 10);
    else if (n < 10000)
        snprintf(version, 32, "%u.%u.%u", n / 1000, n / 100 % 10, n % 100);
    else if (n < 1000000)
        snprintf(version, 32, "%u.%u.%u", n / 10000, n / 100 % 100, n % 100);
}

static void read_version(const struct hw_image *image, const struct hw_foreign_rule *rule,
                         struct hw_module *mod, char version[32])
{
    if (hw_module_open(image->modules, mod, NULL) != HW_OK)
        return;
    if (rule->version)
        hw_module_match_text(mod, rule->version, version, 32);
    else if (rule->name && strcmp(rule->name, "mimalloc") == 0)
        read_mimalloc_version(image, mod, version);
}

static struct hw_foreign begin(const struct hw_module *mod)
{
    struct hw_foreign f = {.role = HW_FOREIGN_MALLOC, .heap = "malloc", .start = mod->start};
    snprintf(f.facts.file, sizeof f.facts.file, "%s", mod->name);
    return f;
}

static void add_evidence(struct hw_foreign *f, const char *text)
{
    size_t len = strlen(f->facts.evidence);
    snprintf(f->facts.evidence + len, sizeof f->facts.evidence - len, "%s", text);
}

static struct hw_foreign *find_listed(const hw_foreign_vec *found, const char *name)
{
    for (size_t i = 0; i < found->count; i++)
        if (found->data[i].facts.name == name)
            return &found->data[i];
    return NULL;
}

static hw_addr find_arena(struct hw_modules *m, struct hw_module *mod)
{
    struct hw_symbol sym;
    return hw_module_load(m, mod, NULL) == HW_OK && hw_module_symbol(mod, "main_arena", &sym)
               ? sym.address
               : 0;
}

/* A rule applies to a module. False when memory is out. */
static bool add(const struct hw_image *image, const struct hw_foreign_rule *rule,
                struct hw_module *mod, struct hw_foreign *f, hw_foreign_vec *ret)
{
    /* A second file of an allocator says no more, but a second glibc is a second heap. */
    struct hw_foreign *listed =
        rule->role == HW_FOREIGN_GLIBC ? NULL : find_listed(ret, rule->name);
    if (listed) {
        if (f->facts.serves_malloc && !listed->facts.serves_malloc) {
            listed->facts.serves_malloc = true;
            add_evidence(listed, BOUND_TO_IT);
        }
        return true;
    }
    f->role = rule->role;
    f->heap = rule->heap;
    f->facts.name = rule->name;
    read_version(image, rule, mod, f->facts.version);
    if (rule->role == HW_FOREIGN_GLIBC)
        f->arena = find_arena(image->modules, mod);
    return hw_vec_push(ret, *f);
}

/* Apply every rule to a module; `provides`: malloc calls were seen to lead into it. False when
 * memory is out. */
static bool look_at(const struct hw_image *image, struct hw_module *mod, bool provides,
                    hw_foreign_vec *ret)
{
    if (!mod->is_exe && !has_code(image->target, mod))
        return true;
    bool opened =
        (provides || may_hide_one(mod)) && hw_module_open(image->modules, mod, NULL) == HW_OK;
    bool known = false;
    for (const struct hw_foreign_rule *rule = hw_foreign_rules; rule->name; rule++) {
        struct hw_foreign f = begin(mod);
        if (!recognise(rule, mod, opened, f.facts.evidence, sizeof f.facts.evidence))
            continue;
        if (provides && rule->role != HW_FOREIGN_RUNTIME) {
            known = true;
            add_evidence(&f, BOUND_TO_IT);
        }
        f.facts.serves_malloc =
            known || rule->role == HW_FOREIGN_MACHINE || rule->role == HW_FOREIGN_LIBC;
        if (!add(image, rule, mod, &f, ret))
            return false;
        if (rule->role == HW_FOREIGN_GLIBC)
            break; /* the rules for its variants go from the special to the general */
    }
    if (!provides || known)
        return true;
    struct hw_foreign f = begin(mod);
    snprintf(f.facts.evidence, sizeof f.facts.evidence, "%.63s defines malloc", mod->name);
    add_evidence(&f, BOUND_TO_IT);
    f.facts.serves_malloc = true;
    return hw_vec_push(ret, f);
}

int hw_foreign_find(const struct hw_image *image, hw_foreign_vec *ret, struct hw_error *err)
{
    *ret = (hw_foreign_vec){0};
    const struct hw_module *provider = find_provider(image->modules);
    struct hw_module *mod;
    for (size_t i = 0; (mod = hw_modules_get(image->modules, i)) != NULL; i++) {
        if (!look_at(image, mod, mod == provider, ret)) {
            hw_vec_free(ret);
            return hw_fail(err, HW_ERR_NOMEM, "out of memory");
        }
    }
    return HW_OK;
}
