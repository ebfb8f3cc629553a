#include "support.h"
#include "symbols/types.h"

#include <criterion/criterion.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* What the tests look for in their own executable. */
enum colour { RED, GREEN };
typedef struct inner_tag {
    short a, b;
} inner;
struct types_sample {
    char tag;
    const volatile uint64_t word;
    uint16_t counts[7];
    struct types_sample *links[3];
    enum colour colour;
    inner part;
    unsigned bits : 3;
    union {
        int number;
        struct {
            char pad;
            uint32_t deep;
        };
    };
    int grid[2][3];
    char tail[];
};
struct only_declared;

uint64_t types_anchor(const struct types_sample *s, const struct only_declared *d);
__attribute__((noinline)) uint64_t types_anchor(const struct types_sample *s,
                                                const struct only_declared *d)
{
    return d ? s->word + s->counts[1] : 0;
}

static pid_t pid;
static struct hw_target *target;
static struct hw_modules *modules;
static struct hw_types *types;
static struct hw_error err;

static struct hw_module *open_module(const char *name)
{
    struct types_sample sample = {.tag = 0};
    cr_assert_eq(types_anchor(&sample, NULL), 0);
    pid = child_start(child_sleep, NULL);
    cr_assert_eq(hw_target_open_live(pid, &target, &err), HW_OK, "%s", err.text);
    cr_assert_eq(hw_modules_open(target, NULL, &modules, &err), HW_OK);
    struct hw_module *mod = name ? module_named(modules, name) : module_exe(modules);
    cr_assert_not_null(mod);
    cr_assert_eq(hw_module_load(modules, mod, &err), HW_OK, "%s", err.text);
    return mod;
}

static void close_module(void)
{
    hw_types_close(types);
    hw_modules_close(modules);
    hw_target_close(target);
    if (pid)
        child_end(pid);
}

TestSuite(types, .fini = close_module);

static void expect_at(const char *strct, const char *member, uint64_t offset, uint64_t size,
                      uint64_t count)
{
    struct hw_type_member m;
    cr_assert(hw_types_member(types, strct, member, &m), "%s.%s", strct, member);
    cr_assert(m.offset == offset && m.size == size && m.count == count,
              "%s.%s: %lu, %lu x %lu instead of %lu, %lu x %lu", strct, member,
              (unsigned long)m.offset, (unsigned long)m.count, (unsigned long)m.size,
              (unsigned long)offset, (unsigned long)count, (unsigned long)size);
}

#define EXPECT(member, count)                                                                      \
    expect_at("types_sample", #member, offsetof(struct types_sample, member),                      \
              sizeof(((struct types_sample *)0)->member) / (count), count)

static void expect_sample(void)
{
    uint64_t size;
    cr_assert(hw_types_struct(types, "types_sample", &size));
    cr_assert_eq(size, sizeof(struct types_sample));
    EXPECT(tag, 1);
    EXPECT(word, 1);
    EXPECT(counts, 7);
    EXPECT(links, 3);
    EXPECT(colour, 1);
    EXPECT(part, 1);
    EXPECT(number, 1);
    EXPECT(deep, 1);
    expect_at("types_sample", "tail", offsetof(struct types_sample, tail), 1, 0);
    expect_at("inner", "b", 2, 2, 1); /* a typedef */
    expect_at("inner_tag", "b", 2, 2, 1);

    struct hw_type_member m;
    cr_assert_not(hw_types_member(types, "types_sample", "bits", &m));
    cr_assert_not(hw_types_member(types, "types_sample", "grid", &m), "two dimensions");
    cr_assert_not(hw_types_member(types, "types_sample", "nothing", &m));
    cr_assert_not(hw_types_member(types, "nothing", "tag", &m));
    cr_assert_not(hw_types_struct(types, "only_declared", &size));
    cr_assert_not(hw_types_struct(types, "colour", &size));
}

Test(types, agree_with_the_compiler)
{
    struct hw_module *exe = open_module(NULL);
    cr_assert_eq(hw_types_open(exe, "types_anchor", "test_types.c", &types, &err), HW_OK, "%s",
                 err.text);
    expect_sample();
}

Test(types, unit_found_by_its_name_alone)
{
    struct hw_module *exe = open_module(NULL);
    cr_assert_eq(hw_types_open(exe, "no_such_function", "test_types.c", &types, &err), HW_OK, "%s",
                 err.text);
    expect_sample();
}

Test(types, neither_function_nor_source)
{
    struct hw_module *exe = open_module(NULL);
    cr_assert_eq(hw_types_open(exe, "no_such_function", "no_such.c", &types, &err),
                 HW_ERR_NO_SYMBOLS);
    cr_assert_null(types);
    cr_assert_not_null(strstr(err.text, "no_such.c"));
}

Test(types, file_without_debug_information)
{
    struct scratch s;
    scratch_start(&s);
    compile("int plain(void) { return 1; }", scratch_path(&s, "plain.so"), "-g0 -shared -fPIC");
    struct hw_buffer_range range = {
        .start = 0x10000, .bytes = "x", .len = 1, .path = scratch_path(&s, "plain.so")};
    cr_assert_eq(hw_target_open_buffer(&range, 1, NULL, 0, &target, &err), HW_OK);
    cr_assert_eq(hw_modules_open(target, NULL, &modules, &err), HW_OK);
    struct hw_module *mod = hw_modules_get(modules, 0);
    cr_assert_eq(hw_module_load(modules, mod, &err), HW_OK, "%s", err.text);
    cr_assert_eq(hw_types_open(mod, "plain", "plain.so.c", &types, &err), HW_ERR_NO_SYMBOLS);
    cr_assert_neq(err.remedy[0], '\0');
    scratch_end(&s);
}

/* glibc 2.36 as Debian 12 has it, with its debug package. */
Test(types, malloc_of_glibc)
{
    struct hw_module *libc = open_module("libc.so.6");
    char version[80];
    if (!hw_module_find_text(libc, "stable release version ", version, sizeof version) ||
        strcmp(version, "stable release version 2.36.") != 0 ||
        hw_types_open(libc, "malloc", "malloc.c", &types, &err) != HW_OK)
        cr_skip("no glibc 2.36 with debug information here");

    static const struct {
        const char *name;
        uint64_t size;
    } structs[] = {{"malloc_state", 2200}, {"malloc_par", 136}, {"malloc_chunk", 48},
                   {"_heap_info", 48},     {"heap_info", 48},   {"tcache_perthread_struct", 640},
                   {"tcache_entry", 16}};
    for (size_t i = 0; i < sizeof structs / sizeof *structs; i++) {
        uint64_t size;
        cr_assert(hw_types_struct(types, structs[i].name, &size), "%s", structs[i].name);
        cr_assert_eq(size, structs[i].size, "%s", structs[i].name);
    }
    expect_at("malloc_state", "mutex", 0, 4, 1);
    expect_at("malloc_state", "flags", 4, 4, 1);
    expect_at("malloc_state", "have_fastchunks", 8, 4, 1);
    expect_at("malloc_state", "fastbinsY", 16, 8, 10);
    expect_at("malloc_state", "top", 96, 8, 1);
    expect_at("malloc_state", "last_remainder", 104, 8, 1);
    expect_at("malloc_state", "bins", 112, 8, 254);
    expect_at("malloc_state", "binmap", 2144, 4, 4);
    expect_at("malloc_state", "next", 2160, 8, 1);
    expect_at("malloc_state", "next_free", 2168, 8, 1);
    expect_at("malloc_state", "attached_threads", 2176, 8, 1);
    expect_at("malloc_state", "system_mem", 2184, 8, 1);
    expect_at("malloc_state", "max_system_mem", 2192, 8, 1);
    expect_at("malloc_par", "trim_threshold", 0, 8, 1);
    expect_at("malloc_par", "arena_max", 32, 8, 1);
    expect_at("malloc_par", "hp_pagesize", 48, 8, 1);
    expect_at("malloc_par", "n_mmaps", 60, 4, 1);
    expect_at("malloc_par", "no_dyn_threshold", 72, 4, 1);
    expect_at("malloc_par", "mmapped_mem", 80, 8, 1);
    expect_at("malloc_par", "sbrk_base", 96, 8, 1);
    expect_at("malloc_par", "tcache_bins", 104, 8, 1);
    expect_at("malloc_par", "tcache_unsorted_limit", 128, 8, 1);
    expect_at("malloc_chunk", "mchunk_size", 8, 8, 1);
    expect_at("_heap_info", "ar_ptr", 0, 8, 1);
    expect_at("heap_info", "mprotect_size", 24, 8, 1);
    expect_at("heap_info", "pagesize", 32, 8, 1);
    expect_at("tcache_perthread_struct", "counts", 0, 2, 64);
    expect_at("tcache_perthread_struct", "entries", 128, 8, 64);
    expect_at("tcache_entry", "next", 0, 8, 1);
    expect_at("tcache_entry", "key", 8, 8, 1);
    struct hw_type_member m;
    cr_assert_not(hw_types_member(types, "tcache_perthread_struct", "num_slots", &m));
    cr_assert_not(hw_types_member(types, "malloc_par", "max_total_mem", &m));
}
