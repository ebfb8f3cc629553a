/*
 * Damaged ELF and DWARF: any answer will do, as long as there is one.
 */
#include "support.h"
#include "symbols/types.h"

#include <criterion/criterion.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>

static const char source[] = "#include <stdint.h>\n"
                             "typedef struct list { struct list *next; uint16_t n[9];\n"
                             "  union { int x; char y[4]; }; } list_t;\n"
                             "static const char banner[] = \"a banner to find 1.2\";\n"
                             "static _Thread_local int counter;\n"
                             "int entry(list_t *l) { return l->x + banner[l->n[0]] + counter++; }\n"
                             "int more(int n) { return n * 3; }\n";

static struct scratch scratch;

static void make(void)
{
    scratch_start(&scratch);
}

static void clean(void)
{
    scratch_end(&scratch);
}

TestSuite(damage, .init = make, .fini = clean, .timeout = 240);

/* Ask everything of a file that stands for a module whose memory begins with `memory`. True if all
 * of it was answered. */
static bool ask_everything(const char *path, const void *memory, size_t len)
{
    struct hw_target *target;
    struct hw_modules *modules;
    struct hw_types *types;
    struct hw_error err;
    struct hw_symbol symbol;
    struct hw_type_member member;
    int64_t offset;
    uint64_t distance, size;
    char text[40];
    bool complete = false;
    struct hw_buffer_range range = {
        .start = 0x10000, .bytes = memory, .len = len, .flags = 5, .path = path};
    cr_assert_eq(hw_target_open_buffer(&range, 1, NULL, 0, &target, &err), HW_OK);
    cr_assert_eq(hw_modules_open(target, NULL, &modules, &err), HW_OK);
    struct hw_module *mod = hw_modules_get(modules, 0);
    if (hw_module_load(modules, mod, &err) == HW_OK) {
        complete = hw_module_symbol(mod, "entry", &symbol);
        hw_module_symbol(mod, "main_arena", &symbol);
        hw_module_name_of(mod, mod->start + 0x1100, &distance);
        complete &= hw_module_find_text(mod, "a banner", text, sizeof text);
        hw_module_tls_offset(modules, mod, &offset, &err);
        if (hw_types_open(mod, "entry", "victim.so.c", &types, &err) == HW_OK) {
            complete &= hw_types_struct(types, "list", &size);
            complete &= hw_types_member(types, "list_t", "n", &member);
            complete &= hw_types_member(types, "list_t", "y", &member);
            hw_types_member(types, "list", "none", &member);
            hw_types_close(types);
        } else {
            complete = false;
        }
    }
    hw_modules_close(modules);
    hw_target_close(target);
    return complete;
}

/* xorshift: the same damage in every run. */
static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static void flip_and_ask(const char *flags, unsigned rounds)
{
    const char *path = scratch_path(&scratch, "victim.so");
    compile(source, path, flags);
    size_t len;
    uint8_t *good = slurp(path, &len), *bad = malloc(len);
    const char *victim = scratch_path(&scratch, "bad.so");
    uint32_t random = 2463534242u;
    cr_assert(ask_everything(path, good, len), "undamaged, it has all the answers");
    for (unsigned round = 0; round < rounds; round++) {
        memcpy(bad, good, len);
        unsigned flips = 1 + next_random(&random) % 12;
        for (unsigned i = 0; i < flips; i++)
            bad[next_random(&random) % len] = (uint8_t)next_random(&random);
        /* Section headers stand at the end, where few of the flips would fall. */
        for (unsigned i = 0; i < flips && round % 2; i++)
            bad[len - 1 - next_random(&random) % (len < 3000 ? len : 3000)] ^=
                (uint8_t)(1u << next_random(&random) % 8);
        if (round % 3)
            memcpy(bad, good, 64); /* mostly keep the header, or nothing behind it is reached */
        spill(victim, bad, len);
        ask_everything(victim, bad, len);
    }
    free(good);
    free(bad);
}

Test(damage, flipped_bytes)
{
    flip_and_ask("-shared -fPIC -Wl,--build-id=none", 1500);
}

Test(damage, flipped_bytes_of_compressed_sections)
{
    flip_and_ask("-shared -fPIC -Wl,--build-id=none -gz", 1500);
}

Test(damage, truncated_libc)
{
    size_t len;
    uint8_t *libc = slurp("/lib/x86_64-linux-gnu/libc.so.6", &len);
    const char *victim = scratch_path(&scratch, "bad.so");
    for (size_t keep = 0; keep < len; keep += keep < 4096 ? 97 : len / 23) {
        spill(victim, libc, keep);
        ask_everything(victim, "x", 1);
        ask_everything(victim, libc, len); /* memory knows the build-id */
    }
    free(libc);
}

Test(damage, truncated_debug_file)
{
    const char *path = scratch_path(&scratch, "victim.so");
    compile(source, path, "-shared -fPIC -gz");
    size_t len;
    uint8_t *good = slurp(path, &len);
    const char *victim = scratch_path(&scratch, "bad.so");
    for (size_t keep = 0; keep < len; keep += 211) {
        spill(victim, good, keep);
        ask_everything(victim, "x", 1);
    }
    free(good);
}

Test(damage, memory_that_is_no_elf)
{
    uint8_t page[8192];
    const char *path = scratch_path(&scratch, "none.so");
    uint32_t random = 77;
    static const uint8_t magic[] = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT};
    for (unsigned round = 0; round < 3000; round++) {
        for (size_t i = 0; i < sizeof page; i++)
            page[i] = (uint8_t)next_random(&random);
        Elf64_Ehdr h;
        memcpy(&h, page, sizeof h);
        memcpy(h.e_ident, magic, sizeof magic);
        h.e_type = ET_DYN;
        h.e_machine = EM_X86_64;
        h.e_phoff = 64 + 256 * (round % 40);
        h.e_phentsize = sizeof(Elf64_Phdr);
        h.e_phnum %= 256;
        memcpy(page, &h, sizeof h);
        for (unsigned i = 0; i < 40; i++) { /* likely types of program headers */
            memset(page + 64 + 56 * i, 0, 4);
            page[64 + 56 * i] = (uint8_t)(1 + next_random(&random) % 7);
            if (round % 2)
                memset(page + 64 + 56 * i + 18, 0, 6); /* p_vaddr near the start */
        }
        ask_everything(path, page, sizeof page);
    }
}
