/*
 * Files and memory of every machine: both classes of ELF, both kinds of relocation tables, both
 * sides of the thread pointer.
 */
#include "maker.h"
#include "support.h"
#include "symbols/initial.h"
#include "symbols/types.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#define START 0x56000000 /* fits into 32 bits */

static struct scratch scratch;
static struct maker lib, exe;
static struct hw_target *target;
static struct hw_modules *modules;
static struct hw_error err;

static void setup(void)
{
    scratch_start(&scratch);
}

static void teardown(void)
{
    hw_modules_close(modules);
    hw_target_close(target);
    scratch_end(&scratch);
}

TestSuite(machines, .init = setup, .fini = teardown);

#define FOR_ALL_MACHINES(name)                                                                     \
    ParameterizedTestParameters(machines, name)                                                    \
    {                                                                                              \
        static int all[] = {HW_X86_64, HW_I386, HW_AARCH64};                                       \
        return cr_make_param_array(int, all, 3);                                                   \
    }                                                                                              \
    ParameterizedTest(int *id, machines, name)

/* Map `lib` alone. */
static struct hw_module *open_lib(void)
{
    struct hw_buffer_range range = maker_range(&lib, START);
    modules = maker_open(lib.machine, &range, 1, NULL, 0, NULL, &target);
    cr_assert_eq(hw_modules_count(modules), 1);
    return hw_modules_get(modules, 0);
}

static void close_lib(void)
{
    hw_modules_close(modules);
    hw_target_close(target);
    modules = NULL;
    target = NULL;
}

static void start_lib(int id)
{
    maker_start(&lib, (enum hw_machine_id)id, scratch_path(&scratch, "lib.so"));
}

static int64_t offset_of(struct hw_module *mod)
{
    int64_t offset = 0;
    cr_assert_eq(hw_module_tls_offset(modules, mod, &offset, &err), HW_OK, "%s", err.text);
    return offset;
}

FOR_ALL_MACHINES(symbols_of_files)
{
    start_lib(*id);
    maker_symbol(&lib, "function", MAKER_CODE + 0x10, 0x20, STT_FUNC, 1);
    maker_symbol(&lib, "object", MAKER_DATA + 0x40, 8, STT_OBJECT, 1);
    maker_symbol(&lib, "elsewhere", 0, 0, STT_FUNC, 0);
    maker_tls(&lib, 0x28, 8);
    maker_finish(&lib);
    struct hw_module *mod = open_lib();
    cr_expect_eq(mod->bias, START);
    cr_assert_eq(hw_module_load(modules, mod, &err), HW_OK, "%s", err.text);

    struct hw_symbol s;
    uint64_t into;
    cr_assert(hw_module_symbol(mod, "object", &s));
    cr_expect_eq(s.address, START + MAKER_DATA + 0x40);
    cr_expect_eq(s.size, 8);
    cr_expect_not(hw_module_symbol(mod, "elsewhere", &s));
    cr_expect_str_eq(hw_module_name_of(mod, START + MAKER_CODE + 0x14, &into), "function");
    cr_expect_eq(into, 4);
    cr_expect_eq(hw_module_tls_size(modules, mod), 0x28);
}

FOR_ALL_MACHINES(files_of_others_are_refused_by_name)
{
    for (int other = HW_X86_64; other <= HW_AARCH64; other++) {
        start_lib(other);
        maker_finish(&lib);
        lib.machine = hw_machine((enum hw_machine_id) * id);
        struct hw_module *mod = open_lib();
        int rc = hw_module_load(modules, mod, &err);
        if (other == *id) {
            cr_expect_eq(rc, HW_OK, "%s", err.text);
        } else {
            cr_expect_eq(rc, HW_ERR_NO_SYMBOLS);
            cr_expect_not_null(strstr(err.text, lib.machine->name), "%s", err.text);
            cr_expect_not_null(strstr(err.text, hw_machine((enum hw_machine_id)other)->name));
        }
        close_lib();
    }
}

Test(machines, files_of_no_machine)
{
    start_lib(HW_X86_64);
    maker_finish(&lib);
    lib.bytes[EI_CLASS] = ELFCLASS32; /* x32, and too short for what its header says */
    spill(lib.path, lib.bytes, sizeof lib.bytes);
    struct hw_module *mod = open_lib();
    cr_expect_eq(hw_module_load(modules, mod, &err), HW_ERR_NO_SYMBOLS);
    close_lib();
    start_lib(HW_AARCH64);
    maker_finish(&lib);
    lib.bytes[EI_DATA] = ELFDATA2MSB;
    spill(lib.path, lib.bytes, sizeof lib.bytes);
    mod = open_lib();
    cr_expect_eq(hw_module_load(modules, mod, &err), HW_ERR_NO_SYMBOLS);
}

/* ---- what memory held at first --------------------------------------------------------------- */

static uint64_t initial_word(struct hw_module *mod, uint32_t at)
{
    uint8_t bytes[8];
    unsigned word = lib.machine->word;
    cr_assert_eq(hw_module_initial(mod, START + at, bytes, word), word);
    return hw_word(bytes, word);
}

FOR_ALL_MACHINES(pointers_are_relocated)
{
    start_lib(*id);
    unsigned word = lib.machine->word, bits = 8 * word - 1;
    uint32_t far = MAKER_DATA + 0x80 + word * bits;
    maker_reloc(&lib, MAKER_DATA, maker_relocs(lib.machine).relative, 0, 0x1234);
    maker_word(&lib, MAKER_DATA + word, 0x1234); /* no pointer */
    maker_relr(&lib, MAKER_DATA + 0x80 - word);
    maker_relr(&lib, 1 | 1U << 1 | 1U << 3);
    maker_relr(&lib, 1 | 1U << 2); /* the words behind those of the first bitmap */
    for (uint32_t i = 0; i < 3; i++)
        maker_word(&lib, MAKER_DATA + 0x80 + i * word, 0x10 + i);
    maker_word(&lib, far + word, 0x99);
    maker_finish(&lib);
    struct hw_module *mod = open_lib();
    cr_assert_eq(hw_module_load(modules, mod, &err), HW_OK, "%s", err.text);

    cr_expect_eq(initial_word(mod, MAKER_DATA), START + 0x1234);
    cr_expect_eq(initial_word(mod, MAKER_DATA + word), 0x1234);
    cr_expect_eq(initial_word(mod, MAKER_DATA + 0x80), START + 0x10);
    cr_expect_eq(initial_word(mod, MAKER_DATA + 0x80 + word), 0x11, "not in the bitmap");
    cr_expect_eq(initial_word(mod, MAKER_DATA + 0x80 + 2 * word), START + 0x12);
    cr_expect_eq(initial_word(mod, far + word), START + 0x99);
}

/* ---- thread-local storage -------------------------------------------------------------------- */

/* Two slots and a named one, as the dynamic linker leaves them. */
static void make_slots(int id, int64_t offset)
{
    start_lib(id);
    unsigned word = lib.machine->word;
    uint32_t type = maker_relocs(lib.machine).tpoff;
    uint32_t named = maker_symbol(&lib, "local", 0x18, 4, STT_TLS, 1);
    uint32_t other = maker_symbol(&lib, "foreign", 0, 4, STT_TLS, 0);
    maker_tls(&lib, 0x40, 8);
    maker_reloc(&lib, MAKER_DATA, type, 0, 8);
    maker_reloc(&lib, MAKER_DATA + word, type, 0, 0x20);
    maker_reloc(&lib, MAKER_DATA + 2 * word, type, named, 0);
    maker_reloc(&lib, MAKER_DATA + 3 * word, type, other, 0);
    maker_finish(&lib);
    maker_poke(&lib, MAKER_DATA, (uint64_t)(offset + 8));
    maker_poke(&lib, MAKER_DATA + word, (uint64_t)(offset + 0x20));
    maker_poke(&lib, MAKER_DATA + 2 * word, (uint64_t)(offset + 0x18));
    maker_poke(&lib, MAKER_DATA + 3 * word, 0x7777);
}

FOR_ALL_MACHINES(slots_tell_where_tls_is)
{
    const struct hw_machine *m = hw_machine((enum hw_machine_id) * id);
    int64_t expected = m->tls_above ? 0x110 : -0x120, offset;
    make_slots(*id, expected);
    struct hw_module *mod = open_lib();
    int rc = hw_module_tls_offset(modules, mod, &offset, &err);
    if (m->id == HW_I386) {
        cr_expect_eq(rc, HW_ERR_NO_SYMBOLS, "the addends are gone");
    } else {
        cr_expect_eq(rc, HW_OK, "%s", err.text);
        cr_expect_eq(offset, expected);
    }
    cr_assert_eq(hw_module_load(modules, mod, &err), HW_OK, "%s", err.text);
    cr_expect_eq(offset_of(mod), expected);

    maker_poke(&lib, MAKER_DATA, (uint64_t)(expected + 12));
    cr_expect_eq(hw_module_tls_offset(modules, mod, &offset, &err), HW_ERR_CORRUPT);
}

FOR_ALL_MACHINES(tls_lies_on_one_side)
{
    const struct hw_machine *m = hw_machine((enum hw_machine_id) * id);
    const int64_t wrong[] = {m->tls_above ? -0x120 : 0x110, 0, m->word};
    for (size_t i = 0; i < 3; i++) {
        int64_t offset;
        make_slots(*id, wrong[i]);
        struct hw_module *mod = open_lib();
        cr_assert_eq(hw_module_load(modules, mod, &err), HW_OK);
        cr_expect_eq(hw_module_tls_offset(modules, mod, &offset, &err), HW_ERR_CORRUPT);
        close_lib();
    }
}

FOR_ALL_MACHINES(the_executables_block_is_next_to_the_thread_pointer)
{
    static const struct {
        uint32_t size, align;
        int64_t below, above64; /* two words of 8 bytes come first there */
    } cases[] = {{0x28, 8, -0x28, 16}, {0x28, 0x40, -0x40, 0x40}, {0x3e80, 1, -0x3e80, 16}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        start_lib(*id);
        maker_tls(&lib, cases[i].size, cases[i].align);
        maker_finish(&lib);
        struct hw_buffer_range range = maker_range(&lib, START);
        modules = maker_open(lib.machine, &range, 1, NULL, 0, lib.path, &target);
        cr_expect_eq(offset_of(hw_modules_get(modules, 0)),
                     lib.machine->tls_above ? cases[i].above64 : cases[i].below);
        close_lib();
    }
}

/* A thread with a vector of blocks, `count` of them, so far from its thread pointer. */
struct vector {
    uint8_t bytes[0x400];
    struct hw_thread thread;
};

#define VECTOR_AT 0x66000000
#define TP        (VECTOR_AT + 0x200)

static struct hw_buffer_range make_vector(struct vector *v, const struct hw_machine *m,
                                          const int64_t *offsets, size_t count)
{
    *v = (struct vector){.thread = {.tid = 1, .regs_known = true, .tp = TP}};
    unsigned word = m->word;
    hw_addr dtv = VECTOR_AT + 2 * word;
    memcpy(v->bytes + 0x200 + (m->tls_above ? 0 : word), &dtv, word);
    memcpy(v->bytes, &count, word);
    for (size_t i = 0; i < count; i++) {
        uint64_t block = offsets[i] ? TP + (uint64_t)offsets[i] : UINT64_MAX;
        memcpy(v->bytes + 2 * word * (i + 2), &block, word);
    }
    return (struct hw_buffer_range){
        .start = VECTOR_AT, .bytes = v->bytes, .len = sizeof v->bytes, .flags = HW_MAP_READ};
}

/* What the vector alone tells of `lib`, which needs 0x40 bytes; 0 if nothing. */
static int64_t ask_vector(int id, const int64_t *offsets, size_t count, bool with_exe)
{
    static struct vector v;
    int64_t offset;
    start_lib(id);
    maker_tls(&lib, 0x40, 8);
    maker_finish(&lib);
    maker_start(&exe, (enum hw_machine_id)id, scratch_path(&scratch, "exe"));
    maker_tls(&exe, 0x40, 8);
    maker_finish(&exe);
    struct hw_buffer_range ranges[] = {maker_range(&lib, START),
                                       make_vector(&v, lib.machine, offsets, count),
                                       maker_range(&exe, 0x400000)};
    modules = maker_open(lib.machine, ranges, with_exe ? 3 : 2, &v.thread, 1, exe.path, &target);
    int rc = hw_module_tls_offset(modules, module_named(modules, "lib.so"), &offset, &err);
    close_lib();
    return rc == HW_OK ? offset : 0;
}

FOR_ALL_MACHINES(the_vector_of_blocks_tells_where_tls_is)
{
    bool above = hw_machine((enum hw_machine_id) * id)->tls_above;
    const int64_t first = above ? 0x10 : -0x40;
    const int64_t below[] = {-0x100, -0x140, -0x1000}, over[] = {0x10, 0x110};
    cr_expect_eq(ask_vector(*id, above ? over : below, above ? 2 : 3, false),
                 above ? 0x110 : -0x140);
    cr_expect_eq(ask_vector(*id, (int64_t[]){first, 0, 0}, 3, false), first, "the only one");
    const int64_t twins[] = {first, above ? 0x50 : -0x80};
    cr_expect_eq(ask_vector(*id, twins, 2, false), 0, "either");
    cr_expect_eq(ask_vector(*id, twins, 2, true), twins[1], "one is the executable's");
    const int64_t wrong = above ? -0x40 : 0x40;
    cr_expect_eq(ask_vector(*id, &wrong, 1, false), 0, "on the wrong side");
}

/* On i386 the slots in memory say which addresses the block has: enough to choose one. */
Test(machines, slots_without_addends_choose_a_block)
{
    static struct vector v;
    make_slots(HW_I386, -0x80);
    const int64_t twins[] = {-0x40, -0x80};
    struct hw_buffer_range ranges[] = {maker_range(&lib, START),
                                       make_vector(&v, lib.machine, twins, 2)};
    modules = maker_open(lib.machine, ranges, 2, &v.thread, 1, NULL, &target);
    cr_expect_eq(offset_of(hw_modules_get(modules, 0)), -0x80);
}

/* ---- what the dynamic linker wrote ----------------------------------------------------------- */

FOR_ALL_MACHINES(calls_lead_where_they_were_bound)
{
    start_lib(*id);
    struct maker_relocs type = maker_relocs(lib.machine);
    unsigned word = lib.machine->word;
    uint32_t bound = maker_symbol(&lib, "malloc", 0, 0, STT_FUNC, 0);
    uint32_t lazy = maker_symbol(&lib, "free", 0, 0, STT_FUNC, 0);
    uint32_t own = maker_symbol(&lib, "realloc", MAKER_CODE, 4, STT_FUNC, 1);
    maker_reloc(&lib, MAKER_DATA, type.jump_slot, bound, 0);
    maker_reloc(&lib, MAKER_DATA + word, type.jump_slot, lazy, 0);
    maker_reloc(&lib, MAKER_DATA + 2 * word, type.glob_dat, own, 0);
    maker_finish(&lib);
    maker_poke(&lib, MAKER_DATA, 0xf7001230);
    maker_poke(&lib, MAKER_DATA + word, START + MAKER_CODE + 6);
    maker_poke(&lib, MAKER_DATA + 2 * word, START + MAKER_CODE);
    struct hw_module *mod = open_lib();
    cr_assert_eq(hw_module_load(modules, mod, &err), HW_OK, "%s", err.text);
    hw_addr at = 0;
    cr_assert(hw_module_import(modules, mod, "malloc", &at));
    cr_expect_eq(at, 0xf7001230);
    cr_expect_not(hw_module_import(modules, mod, "free", &at), "not bound yet");
    cr_assert(hw_module_import(modules, mod, "realloc", &at));
    cr_expect_eq(at, START + MAKER_CODE);
}

/* Two copies of a libc: the one that the program is linked to is the first, wherever it lies. */
FOR_ALL_MACHINES(the_programs_own_libc_comes_first)
{
    enum { DEBUG = MAKER_DATA + 0x40, LINK = MAKER_DATA + 0x80, EXE_AT = 0x400000 };
    for (hw_addr own = START; own <= START + 0x100000; own += 0x100000) {
        maker_start(&lib, (enum hw_machine_id) * id, scratch_path(&scratch, "libc.so.6"));
        maker_finish(&lib);
        maker_start(&exe, (enum hw_machine_id) * id, scratch_path(&scratch, "exe"));
        maker_dyn(&exe, DT_DEBUG, EXE_AT + DEBUG);
        maker_finish(&exe);
        unsigned word = exe.machine->word;
        maker_poke(&exe, DEBUG, 1);
        maker_poke(&exe, DEBUG + word, EXE_AT + LINK);
        maker_poke(&exe, LINK + 2 * word, own + MAKER_DATA); /* l_ld */
        maker_poke(&exe, LINK + 3 * word, EXE_AT + LINK);    /* l_next: round and round */
        struct hw_buffer_range ranges[] = {maker_range(&exe, EXE_AT), maker_range(&lib, START),
                                           maker_range(&lib, START + 0x100000)};
        modules = maker_open(exe.machine, ranges, 3, NULL, 0, NULL, &target);
        cr_assert_eq(hw_modules_count(modules), 3);
        cr_expect_eq(hw_modules_get(modules, 0)->start, own);
        close_lib();
    }
}

/* ---- types ----------------------------------------------------------------------------------- */

Test(machines, types_of_i386)
{
    static const char source[] = "struct mixed { char c; void *p; long l[3]; };\n"
                                 "long ask(struct mixed *m) { return m->c + m->l[1]; }\n";
    if (system("echo | cc -m32 -c -x c -o /dev/null - 2>/dev/null") != 0)
        cr_skip_test("this compiler makes no code for i386");
    const char *path = scratch_path(&scratch, "libtypes.so");
    compile(source, path, "-m32 -shared -nostdlib -fPIC");
    size_t len;
    void *bytes = slurp(path, &len);
    struct hw_buffer_range range = {
        .start = START, .bytes = bytes, .len = len, .flags = HW_MAP_READ, .path = path};
    modules = maker_open(hw_machine(HW_I386), &range, 1, NULL, 0, NULL, &target);
    struct hw_module *mod = hw_modules_get(modules, 0);
    cr_assert_eq(hw_module_load(modules, mod, &err), HW_OK, "%s", err.text);

    struct hw_types *types;
    struct hw_type_member p, l;
    uint64_t size;
    cr_assert_eq(hw_types_open(mod, "ask", "libtypes.so.c", &types, &err), HW_OK, "%s", err.text);
    cr_expect(hw_types_struct(types, "mixed", &size) && size == 20);
    cr_expect(hw_types_member(types, "mixed", "p", &p) && p.offset == 4 && p.size == 4);
    cr_expect(hw_types_member(types, "mixed", "l", &l) && l.size == 4 && l.count == 3);
    hw_types_close(types);
    free(bytes);
}

/* ---- damaged files: any answer will do, as long as there is one ------------------------------ */

static void ask_everything(void)
{
    static struct vector v;
    struct hw_buffer_range ranges[] = {maker_range(&lib, START),
                                       make_vector(&v, lib.machine, (int64_t[]){-0x40, 0x40}, 2)};
    modules = maker_open(lib.machine, ranges, 2, &v.thread, 1, NULL, &target);
    struct hw_module *mod = hw_modules_get(modules, 0);
    int64_t offset;
    hw_module_tls_offset(modules, mod, &offset, &err);
    if (hw_module_load(modules, mod, &err) == HW_OK) {
        struct hw_symbol s;
        hw_addr start, end;
        uint8_t bytes[300];
        hw_module_symbol(mod, "malloc", &s);
        hw_module_import(modules, mod, "malloc", &start);
        hw_module_tls_offset(modules, mod, &offset, &err);
        for (size_t i = 0; hw_module_data(mod, i, &start, &end); i++) {
            cr_assert_lt(start, end);
            hw_module_initial(mod, start, bytes, sizeof bytes);
            hw_module_initial(mod, end - 3, bytes, sizeof bytes);
        }
        hw_module_initial(mod, START + MAKER_DATA, bytes, sizeof bytes);
    }
    close_lib();
}

FOR_ALL_MACHINES(damaged_files)
{
    uint32_t random = 2463534242u; /* the same damage in every run */
    for (unsigned round = 0; round < 1000; round++) {
        make_slots(*id, hw_machine((enum hw_machine_id) * id)->tls_above ? 0x40 : -0x40);
        maker_relr(&lib, MAKER_DATA);
        maker_relr(&lib, UINT64_MAX);
        maker_finish(&lib);
        for (unsigned i = 0; i < 8; i++) {
            random = random * 1664525 + 1013904223;
            size_t at = (random >> 12) % 0xf00;
            if (at >= 0x14 || round % 4 == 0) /* the first bytes only now and then */
                lib.bytes[at] = (uint8_t)(random >> 4);
        }
        if (round % 2)
            memcpy(lib.memory, lib.bytes, sizeof lib.memory);
        spill(lib.path, lib.bytes, sizeof lib.bytes);
        ask_everything();
    }
}
