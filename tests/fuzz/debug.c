/*
 * The file of a libc with symbols and types, mapped as it stands: what a report needs of it, and
 * what a heap in it looks like, if main_arena lies there.
 */
#include "fuzz.h"

#include "alloc/glibc/glibc.h"
#include "symbols/disasm.h"
#include "symbols/types.h"
#include "symbols/unwind.h"
#include "target/image.h"

#include <string.h>

#define BASE ((hw_addr)0x7f0000000000)
#define PAGE ((size_t)4096)

static void ask_types(struct hw_module *mod)
{
    static const char *const structs[] = {"malloc_state", "malloc_par", "_heap_info", "list"};
    static const char *const members[] = {"top", "bins", "sbrk_base", "prev", "next", "y"};
    struct hw_types *types;
    if (hw_types_open(mod, "malloc", "malloc.c", &types, NULL) != HW_OK)
        return;
    for (size_t i = 0; i < sizeof structs / sizeof *structs; i++) {
        struct hw_type_member m;
        uint64_t size;
        hw_types_struct(types, structs[i], &size);
        for (size_t k = 0; k < sizeof members / sizeof *members; k++)
            hw_types_member(types, structs[i], members[k], &m);
    }
    hw_types_close(types);
}

static void ask_symbols(struct hw_modules *modules, struct hw_module *mod)
{
    static const char *const names[] = {"main_arena", "mp_", "tcache", "malloc", "__curbrk"};
    struct hw_symbol symbol;
    uint64_t distance;
    int64_t offset;
    hw_addr bound;
    char text[64];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        hw_module_symbol(mod, names[i], &symbol);
    for (hw_addr at = mod->start; at < mod->end && at - mod->start < 64 * PAGE; at += PAGE / 4)
        hw_module_name_of(mod, at, &distance);
    hw_module_tls_offset(modules, mod, &offset, NULL);
    hw_module_tls_size(modules, mod);
    hw_module_import(modules, mod, "malloc", &bound);
    if (hw_module_find_text(mod, "GNU C Library", text, sizeof text))
        fuzz_require(memchr(text, '\0', sizeof text) != NULL, "a text without an end");
    if (hw_module_match_text(mod, "version ([0-9.]+)", text, sizeof text))
        fuzz_require(memchr(text, '\0', sizeof text) != NULL, "a text without an end");
}

#define FRAMES 64

/* The callers of code all over the file, with the file itself as the stack. */
static void ask_callers(const struct hw_session *s, struct hw_module *mod, const uint8_t *bytes,
                        size_t len)
{
    struct hw_unwinder *u;
    struct hw_target *t = s->image.target;
    struct hw_stack stack = {.start = BASE, .bytes = bytes, .len = len};
    hw_addr_vec exits = {0};
    fuzz_require(hw_unwinder_open(t, s->image.modules, &u, NULL) == HW_OK, "no unwinder");
    for (hw_addr at = mod->start; at < mod->end && at - mod->start < 32 * PAGE; at += PAGE / 16) {
        struct hw_thread th = {.tid = 1, .regs_known = true, .pc = at};
        struct hw_frame f;
        hw_addr end = 0;
        for (size_t i = 0; i < HW_REG_WORDS; i++)
            th.regs[i] = BASE + (at - mod->start) * 8 % len;
        hw_unwind_begin(t->who.machine, &th, &f);
        for (size_t i = 0; i < FRAMES && hw_unwind_step(u, &stack, &f); i++)
            fuzz_require(f.pc != 0, "a frame nowhere");
        if (hw_module_function_end(mod, at, &end))
            fuzz_require(end > at, "a function that ends before it begins");
    }
    hw_disasm_exits(mod, mod->start, mod->start + PAGE, &exits, NULL);
    hw_vec_free(&exits);
    hw_unwinder_close(u);
}

static const struct hw_machine *machine_of(const uint8_t *bytes, size_t len)
{
    const struct hw_machine *m = len > 20 ? hw_elf_machine(bytes) : NULL;
    return m ? m : hw_machine(HW_X86_64);
}

/* As the dynamic linker would map two segments: the first page, and the rest, which can be
 * written. */
static struct hw_target *map_file(const uint8_t *bytes, size_t len, const char *path)
{
    size_t first = len < PAGE ? len : PAGE;
    struct hw_buffer_range ranges[] = {
        {BASE, bytes, first, HW_MAP_READ | HW_MAP_EXEC, path},
        {BASE + PAGE, bytes + first, len - first, HW_MAP_READ | HW_MAP_WRITE, path},
    };
    struct hw_thread thread = {.tid = 1, .regs_known = true, .tp = BASE + len / 2};
    struct hw_target *t;
    int rc = hw_target_open_buffer(ranges, 2, &thread, 1, &t, NULL);
    fuzz_require(rc == HW_OK, "no target");
    t->who.machine = machine_of(bytes, len);
    t->read_alone = true;
    return t;
}

static void run(const uint8_t *bytes, size_t len)
{
    struct hw_dryrun_allocator foreseen = {0};
    struct hw_error err = {0};
    struct hw_target *t = map_file(bytes, len, fuzz_file(bytes, len));
    struct hw_session s = {.image.target = t, .allocator = &hw_allocator_glibc};
    fuzz_require(hw_modules_open(t, NULL, &s.image.modules, NULL) == HW_OK, "no modules");
    struct hw_module *mod = hw_modules_get(s.image.modules, 0);
    if (mod && hw_module_load(s.image.modules, mod, NULL) == HW_OK) {
        ask_symbols(s.image.modules, mod);
        ask_types(mod);
        ask_callers(&s, mod, bytes, len);
    }
    s.allocator->foresee(&s.image, &foreseen);
    int rc = hw_foreign_find(&s.image, &s.foreign, &err);
    if (rc == HW_OK)
        rc = s.allocator->open(&s.image, &s.backend, &err);
    fuzz_require(rc == HW_OK || (err.code == rc && err.text[0]), "%s for no reason",
                 hw_code_text(rc));
    if (rc == HW_OK)
        fuzz_inspect(&s, len % FUZZ_EXTRAS_);
    s.allocator->close(s.backend);
    hw_vec_free(&s.foreign);
    hw_modules_close(s.image.modules);
    hw_target_close(t);
}

const struct fuzzer fuzz_debug = {"debug", run};
