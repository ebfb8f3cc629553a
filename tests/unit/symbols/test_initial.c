#include "symbols/initial.h"

#include "symbols/disasm.h"

#include "symbols/support.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

/* `magic` is found in its data; `self` and `both` point to it. */
static const char library[] =
    "long magic[2] = {0x1122334455667788, 42};\n"
    "static long *volatile self = &magic[1];\n"
    "static long *volatile both[3] = {&magic[0], 0, &magic[1]};\n"
    "long facts(void **p) { p[0] = magic; p[1] = (void *)&self; p[2] = (void *)both;"
    " return *self + *both[0]; }\n";

struct places {
    char path[256];
    hw_addr magic, self, both;
};

static void load_library(void *facts)
{
    struct places *p = facts;
    void *got[3] = {0};
    void *handle = dlopen(p->path, RTLD_NOW);
    long (*function)(void **) = NULL;
    if (handle)
        *(void **)&function = dlsym(handle, "facts");
    if (function)
        function(got);
    p->magic = (hw_addr)(uintptr_t)got[0];
    p->self = (hw_addr)(uintptr_t)got[1];
    p->both = (hw_addr)(uintptr_t)got[2];
}

static uint64_t initial_word(struct hw_module *mod, hw_addr at)
{
    uint64_t word = 0;
    cr_assert_eq(hw_module_initial(mod, at, &word, sizeof word), sizeof word);
    return word;
}

static bool in_data(struct hw_module *mod, hw_addr at)
{
    hw_addr start, end;
    for (size_t i = 0; hw_module_data(mod, i, &start, &end); i++)
        if (at >= start && at < end)
            return true;
    return false;
}

static void check(const char *flags)
{
    struct scratch s;
    struct places p = {.magic = 0};
    scratch_start(&s);
    snprintf(p.path, sizeof p.path, "%s", scratch_path(&s, "libinit.so"));
    compile(library, p.path, flags);
    pid_t pid = child_with_facts(load_library, &p, sizeof p);
    cr_assert_neq(p.magic, 0);

    struct hw_target *t;
    struct hw_modules *m;
    cr_assert_eq(hw_target_open_live(pid, &t, NULL), HW_OK);
    cr_assert_eq(hw_modules_open(t, NULL, &m, NULL), HW_OK);
    struct hw_module *mod = module_named(m, "libinit.so");
    cr_assert_not_null(mod);
    uint64_t word;
    cr_assert_eq(hw_module_initial(mod, p.magic, &word, 8), 0, "not loaded");
    cr_assert_eq(hw_module_load(m, mod, NULL), HW_OK);

    cr_assert_eq(initial_word(mod, p.magic), 0x1122334455667788);
    cr_assert_eq(initial_word(mod, p.self), p.magic + 8);
    cr_assert_eq(initial_word(mod, p.both), p.magic);
    cr_assert_eq(initial_word(mod, p.both + 8), 0);
    cr_assert_eq(initial_word(mod, p.both + 16), p.magic + 8);
    cr_assert(in_data(mod, p.magic) && in_data(mod, p.both));
    cr_assert_not(in_data(mod, mod->start));
    cr_assert_eq(hw_module_initial(mod, mod->start - 8, &word, 8), 0);
    cr_assert_eq(memcmp((hw_module_initial(mod, mod->start, &word, 8), &word), "\177ELF", 4), 0);

    hw_modules_close(m);
    hw_target_close(t);
    child_end(pid);
    scratch_end(&s);
}

Test(initial, relative_relocations)
{
    check("-shared -fPIC -Wl,-Bsymbolic");
}

Test(initial, packed_relocations)
{
    if (system("ld --help 2>/dev/null | grep -q pack-relative-relocs") != 0)
        cr_skip_test("this linker does not pack relocations");
    check("-shared -fPIC -Wl,-Bsymbolic -Wl,-z,pack-relative-relocs");
}

/* ---- damaged files: any answer will do, as long as there is one ------------------------------ */

static void ask_everything(const char *path, const void *memory, size_t len)
{
    struct hw_target *t;
    struct hw_modules *m;
    struct hw_buffer_range range = {
        .start = 0x10000, .bytes = memory, .len = len, .flags = HW_MAP_READ, .path = path};
    cr_assert_eq(hw_target_open_buffer(&range, 1, NULL, 0, &t, NULL), HW_OK);
    cr_assert_eq(hw_modules_open(t, NULL, &m, NULL), HW_OK);
    struct hw_module *mod = hw_modules_get(m, 0);
    hw_code_refs refs = {0};
    if (hw_module_load(m, mod, NULL) == HW_OK) {
        hw_addr start, end;
        uint8_t bytes[300];
        for (size_t i = 0; hw_module_data(mod, i, &start, &end); i++) {
            cr_assert_lt(start, end);
            hw_module_initial(mod, start, bytes, sizeof bytes);
            hw_module_initial(mod, end - 8, bytes, sizeof bytes);
        }
        hw_disasm_refs(mod, "facts", &refs, NULL);
    }
    hw_vec_free(&refs);
    hw_modules_close(m);
    hw_target_close(t);
}

Test(initial, damaged_files, .timeout = 240)
{
    struct scratch s;
    size_t len;
    uint32_t random = 2463534242u; /* the same damage in every run */
    scratch_start(&s);
    const char *path = scratch_path(&s, "libinit.so"), *victim = scratch_path(&s, "bad.so");
    compile(library, path, "-shared -fPIC -Wl,-Bsymbolic -Wl,--build-id=none");
    uint8_t *good = slurp(path, &len), *bad = malloc(len);
    for (unsigned round = 0; round < 1500; round++) {
        memcpy(bad, good, len);
        for (unsigned i = 0; i < 12; i++) {
            random = random * 1664525 + 1013904223;
            /* Headers, relocations and symbols stand at both ends. */
            size_t near = (random >> 8) % (len < 2000 ? len : 2000);
            bad[round % 2 ? near : len - 1 - near] = (uint8_t)(random >> 4);
        }
        if (round % 3)
            memcpy(bad, good, 64);
        spill(victim, bad, len);
        ask_everything(victim, bad, len);
    }
    free(good);
    free(bad);
    scratch_end(&s);
}
