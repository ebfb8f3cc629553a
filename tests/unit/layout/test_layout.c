#include "layout/layout.h"

#include <criterion/criterion.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

/* A struct of this very program stands for an allocator's. */
struct layout_sample {
    uint32_t small;
    uint64_t word;
    uint16_t counts[5];
    uint8_t byte;
    char name[16];
    struct layout_sample *links[2];
    struct {
        uint64_t a, b;
    } wide;
};

uint64_t layout_anchor(const struct layout_sample *s);
__attribute__((noinline)) uint64_t layout_anchor(const struct layout_sample *s)
{
    return s->word + s->wide.b;
}

enum { SAMPLE, MISSING };
enum { SMALL, WORD, COUNTS, BYTE, LINKS, RENAMED, GONE, ELSEWHERE, FIELDS };

static const struct hw_struct_desc structs[] = {{"layout_sample", true}, {"no_such_struct", false}};
static const struct hw_field_desc fields[FIELDS] = {
    [SMALL] = {SAMPLE, "small", NULL, true},
    [WORD] = {SAMPLE, "word", NULL, true},
    [COUNTS] = {SAMPLE, "counts", NULL, true},
    [BYTE] = {SAMPLE, "byte", NULL, false},
    [LINKS] = {SAMPLE, "links", NULL, false},
    [RENAMED] = {SAMPLE, "mchunk_small", "small", true},
    [GONE] = {SAMPLE, "gone", "gone_too", false},
    [ELSEWHERE] = {MISSING, "field", NULL, true},
};
static const struct hw_layout_desc desc = {structs, 2, fields, FIELDS};

static struct hw_error err;

/* ---- from DWARF ------------------------------------------------------------------------------ */

static struct hw_target *target;
static struct hw_modules *modules;
static struct hw_types *types;

static void open_types(void)
{
    struct layout_sample s = {.word = 1};
    cr_assert_eq(layout_anchor(&s), 1);
    cr_assert_eq(hw_target_open_live(getpid(), &target, &err), HW_OK, "%s", err.text);
    cr_assert_eq(hw_modules_open(target, NULL, &modules, &err), HW_OK);
    struct hw_module *mod = hw_modules_at(modules, (hw_addr)(uintptr_t)layout_anchor);
    cr_assert_not_null(mod);
    cr_assert_eq(hw_module_load(modules, mod, &err), HW_OK, "%s", err.text);
    cr_assert_eq(hw_types_open(mod, "layout_anchor", "test_layout.c", &types, &err), HW_OK, "%s",
                 err.text);
}

static void close_types(void)
{
    hw_types_close(types);
    hw_modules_close(modules);
    hw_target_close(target);
}

TestSuite(layout_dwarf, .init = open_types, .fini = close_types);

static void expect(const struct hw_layout *l, unsigned id, size_t offset, size_t size, size_t count)
{
    const struct hw_field *f = &l->field[id];
    cr_assert_eq(f->origin, HW_ORIGIN_DWARF);
    cr_assert_eq(f->offset, offset);
    cr_assert_eq(f->size, size);
    cr_assert_eq(f->count, count);
}

Test(layout_dwarf, resolves_what_is_there)
{
    struct hw_layout l;
    cr_assert_eq(hw_layout_init(&l, &desc, 8, &err), HW_OK);
    cr_assert_not(hw_has(&l, SMALL));
    cr_assert_eq(hw_layout_from_types(&l, types, &err), HW_OK, "%s", err.text);
    cr_assert_eq(l.struct_size[SAMPLE], sizeof(struct layout_sample));
    cr_assert_eq(l.struct_size[MISSING], 0);
    expect(&l, SMALL, offsetof(struct layout_sample, small), 4, 1);
    expect(&l, WORD, offsetof(struct layout_sample, word), 8, 1);
    expect(&l, COUNTS, offsetof(struct layout_sample, counts), 2, 5);
    expect(&l, BYTE, offsetof(struct layout_sample, byte), 1, 1);
    expect(&l, LINKS, offsetof(struct layout_sample, links), 8, 2);
    expect(&l, RENAMED, offsetof(struct layout_sample, small), 4, 1);
    cr_assert_not(hw_has(&l, GONE));
    cr_assert_not(hw_has(&l, ELSEWHERE), "of a struct that is absent");
    cr_assert_eq(hw_field_addr(&l, COUNTS, 0x1000, 3),
                 0x1000 + offsetof(struct layout_sample, counts) + 6);
    hw_layout_deinit(&l);
}

Test(layout_dwarf, reads_a_live_struct)
{
    static struct layout_sample s = {.small = 0xfffffffe,
                                     .word = 0x0123456789abcdef,
                                     .counts = {1, 2, 3, 4, 0xffff},
                                     .byte = 200,
                                     .links = {NULL, &s}};
    struct hw_layout l;
    struct hw_object o;
    cr_assert_eq(hw_layout_init(&l, &desc, 8, &err), HW_OK);
    cr_assert_eq(hw_layout_from_types(&l, types, &err), HW_OK, "%s", err.text);
    cr_assert_eq(hw_object_read(&o, &l, target, SAMPLE, (hw_addr)(uintptr_t)&s, &err), HW_OK, "%s",
                 err.text);
    cr_assert_eq(hw_fetch(&o, SMALL, 0), 0xfffffffe);
    cr_assert_eq(hw_fetch(&o, WORD, 0), 0x0123456789abcdef);
    cr_assert_eq(hw_fetch(&o, COUNTS, 4), 0xffff);
    cr_assert_eq(hw_fetch(&o, BYTE, 0), 200);
    cr_assert_eq(hw_fetch(&o, LINKS, 1), (uint64_t)(uintptr_t)&s);
    cr_assert_eq(hw_fetch(&o, COUNTS, 5), 0, "past its count");
    cr_assert_eq(hw_fetch(&o, COUNTS, UINT32_MAX), 0);
    cr_assert_eq(hw_fetch(&o, GONE, 0), 0);
    hw_object_deinit(&o);
    hw_layout_deinit(&l);
}

/* Resolve one struct with one field and return the code. */
static int resolve(const struct hw_struct_desc *s, const struct hw_field_desc *f)
{
    struct hw_layout_desc d = {s, 1, f, 1};
    struct hw_layout l;
    cr_assert_eq(hw_layout_init(&l, &d, 8, &err), HW_OK);
    int rc = hw_layout_from_types(&l, types, &err);
    cr_assert(rc == HW_OK || (!hw_has(&l, 0) && l.struct_size[0] == 0), "all absent on failure");
    hw_layout_deinit(&l);
    return rc;
}

Test(layout_dwarf, names_what_is_required_and_missing)
{
    struct hw_struct_desc s = {"layout_sample", true}, none = {"no_such_struct", true};
    struct hw_field_desc f = {0, "no_such_member", "nor_this", true};
    cr_assert_eq(resolve(&s, &f), HW_ERR_NO_SYMBOLS);
    cr_assert_not_null(strstr(err.text, "no_such_member"), "%s", err.text);
    cr_assert_eq(resolve(&none, &f), HW_ERR_NO_SYMBOLS);
    cr_assert_not_null(strstr(err.text, "no_such_struct"), "%s", err.text);
}

Test(layout_dwarf, refuses_members_that_are_no_words)
{
    struct hw_struct_desc s = {"layout_sample", true};
    struct hw_field_desc f = {0, "wide", NULL, false};
    cr_assert_eq(resolve(&s, &f), HW_ERR_CORRUPT);
    cr_assert_not_null(strstr(err.text, "wide"), "%s", err.text);
}

/* ---- by hand --------------------------------------------------------------------------------- */

static const uint8_t bytes[40] = {0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99};

static void open_buffer(void)
{
    struct hw_buffer_range range = {.start = 0x1000, .bytes = bytes, .len = sizeof bytes};
    cr_assert_eq(hw_target_open_buffer(&range, 1, NULL, 0, &target, &err), HW_OK);
}

static void close_buffer(void)
{
    hw_target_close(target);
}

TestSuite(layout, .init = open_buffer, .fini = close_buffer);

Test(layout, fetches_little_endian_of_any_size)
{
    struct hw_layout l;
    struct hw_object o;
    cr_assert_eq(hw_layout_init(&l, &desc, 8, &err), HW_OK);
    l.struct_size[SAMPLE] = 9;
    hw_layout_set(&l, SMALL, HW_ORIGIN_TABLE, 0, 4, 1);
    hw_layout_set(&l, WORD, HW_ORIGIN_TABLE, 1, 8, 1);
    hw_layout_set(&l, COUNTS, HW_ORIGIN_SCAN, 2, 3, 2);
    cr_assert_eq(hw_object_read(&o, &l, target, SAMPLE, 0x1000, &err), HW_OK, "%s", err.text);
    cr_assert_eq(o.len, 9);
    cr_assert_eq(hw_fetch(&o, SMALL, 0), 0x44332211);
    cr_assert_eq(hw_fetch(&o, WORD, 0), 0x9988776655443322);
    cr_assert_eq(hw_fetch(&o, COUNTS, 0), 0x554433);
    cr_assert_eq(hw_fetch(&o, COUNTS, 1), 0x887766);
    hw_object_deinit(&o);
    hw_layout_deinit(&l);
}

Test(layout, a_field_past_the_object_reads_as_0)
{
    struct hw_layout l;
    struct hw_object o;
    cr_assert_eq(hw_layout_init(&l, &desc, 8, &err), HW_OK);
    l.struct_size[SAMPLE] = 8;
    hw_layout_set(&l, WORD, HW_ORIGIN_TABLE, 1, 8, 1);
    hw_layout_set(&l, COUNTS, HW_ORIGIN_TABLE, 4, 2, 1000);
    hw_layout_set(&l, BYTE, HW_ORIGIN_TABLE, UINT32_MAX, 1, UINT32_MAX);
    hw_layout_set(&l, LINKS, HW_ORIGIN_TABLE, 0, UINT32_MAX, UINT32_MAX);
    cr_assert_eq(hw_object_read(&o, &l, target, SAMPLE, 0x1000, &err), HW_OK, "%s", err.text);
    cr_assert_eq(hw_fetch(&o, WORD, 0), 0);
    cr_assert_eq(hw_fetch(&o, COUNTS, 1), 0x8877);
    cr_assert_eq(hw_fetch(&o, COUNTS, 2), 0);
    cr_assert_eq(hw_fetch(&o, BYTE, UINT32_MAX - 1), 0);
    cr_assert_eq(hw_fetch(&o, LINKS, 0), 0);
    cr_assert_eq(hw_fetch(&o, LINKS, UINT32_MAX - 1), 0);
    hw_object_deinit(&o);
    cr_assert_null(o.bytes);
    hw_layout_deinit(&l);
}

Test(layout, objects_that_cannot_be_read)
{
    struct hw_layout l;
    struct hw_object o;
    cr_assert_eq(hw_layout_init(&l, &desc, 8, &err), HW_OK);
    cr_assert_eq(hw_object_read(&o, &l, target, MISSING, 0x1000, &err), HW_ERR_USAGE);
    l.struct_size[SAMPLE] = sizeof bytes + 1;
    cr_assert_eq(hw_object_read(&o, &l, target, SAMPLE, 0x1000, &err), HW_ERR_FAULT);
    cr_assert_null(o.bytes);
    cr_assert_eq(hw_object_read(&o, &l, target, SAMPLE, UINT64_MAX - 4, &err), HW_ERR_FAULT);
    hw_layout_deinit(&l);
    hw_layout_deinit(&l);
}

Test(layout, names_of_origins)
{
    cr_assert_str_eq(hw_origin_name(HW_ORIGIN_ABSENT), "absent");
    cr_assert_str_eq(hw_origin_name(HW_ORIGIN_DWARF), "dwarf");
    cr_assert_str_eq(hw_origin_name(HW_ORIGIN_TABLE), "table");
    cr_assert_str_eq(hw_origin_name(HW_ORIGIN_SCAN), "scan");
}
