#include "alloc/glibc/table.h"

#include "alloc/forms.h"
#include "symbols/support.h"

#include <criterion/criterion.h>
#include <elf.h>
#include <glob.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* In every ELF header. */
#define EM_AT offsetof(Elf32_Ehdr, e_machine)

static const char *field_name(unsigned field)
{
    return glibc_layout_desc.fields[field].name;
}

static bool overlap(struct hw_field a, struct hw_field b)
{
    return a.offset < b.offset + b.size * b.count && b.offset < a.offset + a.size * a.count;
}

static glibc_era_set era_of_sizes(const struct hw_layout *l)
{
    glibc_era_set eras = glibc_eras_of(l->word);
    for (unsigned s = 0; s < GLIBC_STRUCTS_; s++)
        eras &= l->struct_size[s] ? glibc_eras_with_size(s, l->struct_size[s])
                                  : ~glibc_eras_with_tcache();
    return eras;
}

static void compare(const struct hw_layout *dwarf)
{
    struct hw_layout table;
    glibc_era_set eras = era_of_sizes(dwarf);
    cr_assert_eq(__builtin_popcount(eras), 1, "one era has structs of these sizes");
    cr_assert_eq(hw_layout_init(&table, &glibc_layout_desc, dwarf->word, NULL), HW_OK);
    glibc_layout_from_table(&table, eras);
    for (unsigned s = 0; s < GLIBC_STRUCTS_; s++)
        cr_assert_eq(table.struct_size[s], dwarf->struct_size[s]);
    for (unsigned f = 0; f < GLIBC_FIELDS_; f++) {
        const struct hw_field *a = &table.field[f], *b = &dwarf->field[f];
        cr_assert_eq(a->origin == HW_ORIGIN_ABSENT, b->origin == HW_ORIGIN_ABSENT, "%s",
                     field_name(f));
        cr_assert(a->offset == b->offset && a->size == b->size && a->count == b->count, "%s",
                  field_name(f));
    }
    hw_layout_deinit(&table);
}

/* Members lie inside their struct and not on top of each other. */
Test(table, members_fit)
{
    for (unsigned v = GLIBC_NO_STRUCT + 1; v < GLIBC_VARIANTS_; v++) {
        for (unsigned f = 0; f < GLIBC_FIELDS_; f++) {
            struct hw_field at = glibc_variant_field(v, f);
            if (at.origin == HW_ORIGIN_ABSENT)
                continue;
            cr_assert_eq(glibc_layout_desc.fields[f].strct, glibc_variant_struct(v));
            cr_assert_eq(at.offset % at.size, 0);
            cr_assert_leq(at.offset + at.size * at.count, glibc_variant_size(v));
            for (unsigned g = 0; g < f; g++)
                cr_assert_not(overlap(at, glibc_variant_field(v, g)), "variant %u: %s", v,
                              field_name(f));
        }
    }
}

/* What is required of a libc with types is in every era, too. */
Test(table, every_era_has_what_is_required)
{
    struct hw_layout l;
    cr_assert_eq(hw_layout_init(&l, &glibc_layout_desc, 8, NULL), HW_OK);
    for (unsigned era = 0; era < GLIBC_ERAS_; era++) {
        glibc_layout_from_table(&l, (glibc_era_set)1 << era);
        for (unsigned f = 0; f < GLIBC_FIELDS_; f++) {
            const struct hw_field_desc *d = &glibc_layout_desc.fields[f];
            cr_assert(hw_has(&l, f) || !d->required, "era %u: %s", era, d->name);
        }
        bool tcache = glibc_eras_with_tcache() >> era & 1;
        cr_assert_eq(hw_has(&l, GLIBC_F_TCACHE_ENTRIES), tcache);
        cr_assert_eq(hw_has(&l, GLIBC_F_MP_TCACHE_COUNT), tcache);
    }
    hw_layout_deinit(&l);
}

/* A target has eras of its word size only, and the same versions for each size. */
Test(table, eras_by_word)
{
    glibc_era_set wide = glibc_eras_of(8), narrow = glibc_eras_of(4);
    cr_assert_eq(wide & narrow, 0);
    cr_assert_eq(wide | narrow, ((glibc_era_set)1 << GLIBC_ERAS_) - 1);
    cr_assert_eq(__builtin_popcount(wide), __builtin_popcount(narrow));
    cr_assert_eq(glibc_eras_word(wide), 8);
    cr_assert_eq(glibc_eras_word(narrow), 4);
    cr_assert_eq(glibc_eras_word(0), 0);
    for (unsigned v = GLIBC_NO_STRUCT + 1; v < GLIBC_VARIANTS_; v++) {
        glibc_era_set eras = glibc_eras_with(v);
        cr_assert_neq(eras, 0, "variant %u is of no era", v);
        cr_assert((eras & wide) == 0 || (eras & narrow) == 0, "variant %u", v);
        cr_assert_eq(glibc_variant_word(v), eras & wide ? 8 : 4);
    }
}

/* The layouts that tests of the walk are built by were written down apart: see forms.h. */
Test(table, agrees_with_what_tests_build)
{
    for (unsigned word = 4; word <= 8; word += 4)
        for (unsigned id = 0; id < FORMS_; id++) {
            struct hw_layout l;
            cr_assert_eq(hw_layout_init(&l, &glibc_layout_desc, word, NULL), HW_OK);
            form_layout(form_of(word, id), &l);
            compare(&l);
            hw_layout_deinit(&l);
        }
}

/* Another layout leaves nothing of the one before. */
Test(table, layouts_replace_each_other)
{
    struct hw_layout l;
    cr_assert_eq(hw_layout_init(&l, &glibc_layout_desc, 8, NULL), HW_OK);
    glibc_layout_from_table(&l, glibc_eras_of(8));
    cr_assert(hw_has(&l, GLIBC_F_TCACHE_NUM_SLOTS), "the newest");
    cr_assert_not(hw_has(&l, GLIBC_F_FASTBINS));
    glibc_layout_from_table(&l, 1U << GLIBC_ERA_2_17);
    cr_assert_not(hw_has(&l, GLIBC_F_TCACHE_NUM_SLOTS));
    cr_assert_eq(l.struct_size[GLIBC_TCACHE], 0);
    cr_assert_eq(l.struct_size[GLIBC_MALLOC_STATE], 2184);
    cr_assert_eq(l.field[GLIBC_F_TOP].origin, HW_ORIGIN_TABLE);
    hw_layout_deinit(&l);
}

Test(table, eras_by_evidence)
{
    cr_assert_eq(glibc_eras_with_size(GLIBC_MALLOC_STATE, 2112), 1U << GLIBC_ERA_2_43);
    cr_assert_eq(glibc_eras_with_size(GLIBC_MALLOC_STATE, 1234), 0);
    cr_assert_eq(glibc_eras_with(GLIBC_PAR_136), 1U << GLIBC_ERA_2_35 | 1U << GLIBC_ERA_2_42);
    cr_assert_eq(glibc_variant_offset(GLIBC_STATE_2184, GLIBC_F_ATTACHED), -1);
    cr_assert_eq(glibc_variant_offset(GLIBC_STATE_2192, GLIBC_F_ATTACHED), 2168);
}

Test(table, versions_as_text)
{
    char buf[64];
    cr_assert_str_eq(glibc_eras_versions(1U << GLIBC_ERA_2_43, buf, sizeof buf), "2.43");
    cr_assert_str_eq(glibc_eras_versions(1U << GLIBC_ERA_2_35, buf, sizeof buf), "2.35 to 2.41");
    cr_assert_str_eq(glibc_eras_versions(glibc_eras_of(8), buf, sizeof buf), "2.17 to 2.43");
    cr_assert_str_eq(glibc_eras_versions(glibc_eras_with(GLIBC_PAR_136), buf, sizeof buf),
                     "2.35 to 2.42");
    cr_assert_str_eq(glibc_eras_versions(0, buf, sizeof buf), "");
}

/* ---- against real libcs' type information ---------------------------------------------------- */

/* False if the module has no type information. */
static bool compare_module(struct hw_target *t, struct hw_modules *modules, struct hw_module *libc)
{
    struct hw_types *types;
    struct hw_layout dwarf;
    if (!libc || hw_module_load(modules, libc, NULL) != HW_OK ||
        hw_types_open(libc, "malloc", "malloc.c", &types, NULL) != HW_OK)
        return false;
    cr_assert_eq(hw_layout_init(&dwarf, &glibc_layout_desc, t->who.machine->word, NULL), HW_OK);
    cr_assert_eq(hw_layout_from_types(&dwarf, types, NULL), HW_OK);
    compare(&dwarf);
    hw_layout_deinit(&dwarf);
    hw_types_close(types);
    return true;
}

Test(table, agrees_with_the_systems_libc)
{
    struct hw_target *t;
    struct hw_modules *modules;
    pid_t pid = child_start(child_sleep, NULL);
    cr_assert_eq(hw_target_open_live(pid, &t, NULL), HW_OK);
    cr_assert_eq(hw_modules_open(t, NULL, &modules, NULL), HW_OK);
    bool known = compare_module(t, modules, module_named(modules, "libc.so.6"));
    hw_modules_close(modules);
    hw_target_close(t);
    child_end(pid);
    if (!known)
        cr_skip_test("no type information of this libc is installed");
}

/* An image with nothing in it but the first page of this file. */
static void compare_file(const char *path, const char *debug)
{
    static uint8_t page[4096];
    struct hw_buffer_range range = {0x10000, page, sizeof page, HW_MAP_READ | HW_MAP_WRITE, path};
    struct hw_modules_options options = {.debuginfo_path = debug};
    struct hw_target *t;
    struct hw_modules *modules;
    FILE *f = fopen(path, "rb");
    cr_assert(f && fread(page, sizeof page, 1, f) == 1, "%s", path);
    fclose(f);
    cr_assert_eq(hw_target_open_buffer(&range, 1, NULL, 0, &t, NULL), HW_OK);
    t->who.machine = hw_machine_of_elf(page[EM_AT] + 256U * page[EM_AT + 1], page[EI_CLASS]);
    cr_assert_not_null(t->who.machine, "%s", path);
    cr_assert_eq(hw_modules_open(t, &options, &modules, NULL), HW_OK);
    cr_assert(compare_module(t, modules, hw_modules_at(modules, range.start)), "%s", path);
    hw_modules_close(modules);
    hw_target_close(t);
}

/* All that scripts/fetch-libcs.sh has unpacked into $HW_LIBCS, of whatever machine. */
Test(table, agrees_with_fetched_libcs)
{
    const char *cache = getenv("HW_LIBCS");
    char pattern[512], debug[512];
    glob_t files = {0};
    if (!cache)
        cr_skip_test("HW_LIBCS is not set");
    snprintf(pattern, sizeof pattern, "%s/*/root/{usr/,}lib/*-linux-gnu/libc.so.6", cache);
    cr_assert_eq(glob(pattern, GLOB_BRACE, NULL, &files), 0, "%s", pattern);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        const char *root = strstr(files.gl_pathv[i], "/root/");
        snprintf(debug, sizeof debug, "%.*s/debug/usr/lib/debug", (int)(root - files.gl_pathv[i]),
                 files.gl_pathv[i]);
        if (access(debug, R_OK) == 0)
            compare_file(files.gl_pathv[i], debug);
    }
    globfree(&files);
}
