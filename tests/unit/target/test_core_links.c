/*
 * Cores that no note tells the files of: by the dynamic linker's list.
 */
#include "child.h"
#include "core_builder.h"

enum { CODE = PF_R | PF_X, DATA = PF_R | PF_W };

/* Where things are in the typical one. */
#define EXE      0x400000u
#define EXE_DYN  0x402100u
#define LIB      0x700000u
#define LIB_DYN  0x702200u
#define DEBUG    0x800000u
#define EXE_LINK 0x800100u
#define LIB_LINK 0x800200u
#define DSO_LINK 0x800300u
#define NOTHING  0x800b00u
#define EXE_NAME 0x800c00u
#define LIB_NAME 0x800d00u
#define DSO_NAME 0x800e00u

static uint8_t *last_page(struct builder *b, size_t at)
{
    return b->data + b->data_len - 0x1000 + at;
}

/* The header of a file whose first part has code and whose second begins at 0x2000. */
static void add_headers(struct builder *b, uint64_t second_bytes)
{
    uint8_t *p = b->data + b->data_len - 0x2000;
    if (b->machine->word == 4) {
        Elf32_Ehdr e = {.e_type = ET_DYN,
                        .e_machine = (uint16_t)b->machine->elf_machine,
                        .e_phoff = sizeof e,
                        .e_phentsize = sizeof(Elf32_Phdr),
                        .e_phnum = 2};
        Elf32_Phdr h[2] = {{.p_type = PT_LOAD, .p_filesz = 0x1f00},
                           {.p_type = PT_LOAD, .p_offset = 0x2010, .p_vaddr = 0x2010}};
        h[1].p_filesz = (uint32_t)second_bytes;
        memcpy(e.e_ident, b->e.e_ident, EI_NIDENT);
        memcpy(p, &e, sizeof e);
        memcpy(p + sizeof e, h, sizeof h);
    } else {
        Elf64_Ehdr e = {.e_type = ET_DYN,
                        .e_machine = (uint16_t)b->machine->elf_machine,
                        .e_phoff = sizeof e,
                        .e_phentsize = sizeof(Elf64_Phdr),
                        .e_phnum = 2};
        Elf64_Phdr h[2] = {
            {.p_type = PT_LOAD, .p_filesz = 0x1f00},
            {.p_type = PT_LOAD, .p_offset = 0x2010, .p_vaddr = 0x2010, .p_filesz = second_bytes}};
        memcpy(e.e_ident, b->e.e_ident, EI_NIDENT);
        memcpy(p, &e, sizeof e);
        memcpy(p + sizeof e, h, sizeof h);
    }
}

static void add_link(struct builder *b, uint64_t at, const uint64_t words[5])
{
    for (unsigned i = 0; i < 5; i++)
        core_poke(b, at + i * b->machine->word, words[i]);
}

/* A program and a library; `headers`: their first parts were saved, with the headers. */
static struct builder *linked(enum hw_machine_id id, bool headers)
{
    struct builder *b = core_new(id);
    unsigned w = b->machine->word;
    uint64_t auxv[] = {AT_PHDR, EXE + 64, AT_EXECFN, EXE_NAME, AT_NULL, 0};
    core_add_thread(b, 5, 1, 2, 3);
    core_add_auxv(b, auxv, sizeof auxv / sizeof *auxv);
    core_add_load(b, EXE, 0x2000, headers ? 0x2000 : 0, CODE, 0);
    if (headers)
        add_headers(b, 0x800);
    core_add_load(b, 0x402000, 0x1000, 0x1000, PF_R, 0);
    core_poke(b, EXE_DYN, 1);
    core_poke(b, EXE_DYN + 2 * w, DT_DEBUG);
    core_poke(b, EXE_DYN + 3 * w, DEBUG);
    core_add_load(b, 0x403000, 0x1000, 0x1000, DATA, 'x');
    core_add_load(b, LIB, 0x2000, headers ? 0x2000 : 0, CODE, 0);
    if (headers)
        add_headers(b, 0x1800);
    core_add_load(b, 0x702000, 0x1000, 0x1000, PF_R, 0);
    core_add_load(b, 0x703000, 0x1000, 0x1000, DATA, 0);
    core_add_load(b, 0x704000, 0x1000, 0x1000, DATA, 0);
    core_add_load(b, 0x800000, 0x1000, 0x1000, DATA, 0);
    core_poke(b, DEBUG, 1);
    core_poke(b, DEBUG + w, EXE_LINK);
    add_link(b, EXE_LINK, (uint64_t[]){EXE, NOTHING, EXE_DYN, LIB_LINK, 0});
    add_link(b, LIB_LINK, (uint64_t[]){LIB, LIB_NAME, LIB_DYN, DSO_LINK, EXE_LINK});
    add_link(b, DSO_LINK, (uint64_t[]){0x704000, DSO_NAME, 0x704100, 0, LIB_LINK});
    strcpy((char *)last_page(b, EXE_NAME & 0xfff), "./prog");
    strcpy((char *)last_page(b, LIB_NAME & 0xfff), "/lib/libc.so.6");
    strcpy((char *)last_page(b, DSO_NAME & 0xfff), "linux-vdso.so.1");
    return b;
}

static void expect_file(struct hw_target *t, hw_addr addr, const char *path, uint64_t offset)
{
    const struct hw_map *m = hw_map_at(t, addr);
    cr_assert_not_null(m);
    if (!path) {
        cr_expect_null(m->path, "%lx is of %s", addr, m->path);
        return;
    }
    cr_assert_not_null(m->path, "%lx is of no file", addr);
    cr_expect_str_eq(m->path, path);
    cr_expect_eq(m->offset + (addr - m->start), offset, "%lx", addr);
}

EACH_MACHINE(core_links, HW_X86_64, files_reach_as_far_as_their_headers_say)
{
    struct hw_target *t = core_must_open(linked(id, true), WHOLE);
    expect_file(t, 0x400000, "./prog", 0);
    expect_file(t, 0x402000, "./prog", 0x2000);
    expect_file(t, 0x403000, NULL, 0);
    expect_file(t, 0x700000, "/lib/libc.so.6", 0);
    expect_file(t, 0x702000, "/lib/libc.so.6", 0x2000);
    expect_file(t, 0x703000, "/lib/libc.so.6", 0x3000);
    expect_file(t, 0x704000, NULL, 0);
    expect_file(t, 0x800000, NULL, 0);
    cr_expect_str_eq(t->who.exe, "./prog");
    hw_target_close(t);
}

EACH_MACHINE(core_links, HW_X86_64, without_headers_over_a_row_of_mappings)
{
    struct hw_target *t = core_must_open(linked(id, false), WHOLE);
    expect_file(t, 0x400000, "./prog", 0);
    expect_file(t, 0x403000, "./prog", 0x3000);
    expect_file(t, 0x700000, "/lib/libc.so.6", 0);
    expect_file(t, 0x703000, "/lib/libc.so.6", 0x3000);
    expect_file(t, 0x704000, NULL, 0);
    hw_target_close(t);
}

EACH_MACHINE(core_links, HW_X86_64, a_note_is_believed_more)
{
    static const struct mapped files[] = {{0x700000, 0x701000, 0, "/told"}};
    struct builder *b = linked(id, true);
    core_add_files(b, files, 1, 1);
    struct hw_target *t = core_must_open(b, WHOLE);
    expect_file(t, 0x700000, "/told", 0);
    expect_file(t, 0x702000, NULL, 0);
    expect_file(t, 0x400000, NULL, 0);
    hw_target_close(t);
}

/* A static program has no list; its own file is known all the same. */
EACH_MACHINE(core_links, HW_X86_64, no_list)
{
    struct builder *b = linked(id, true);
    core_poke(b, DEBUG + b->machine->word, 0);
    struct hw_target *t = core_must_open(b, WHOLE);
    expect_file(t, 0x400000, "./prog", 0);
    expect_file(t, 0x700000, NULL, 0);
    hw_target_close(t);
}

EACH_MACHINE(core_links, HW_X86_64, a_list_in_a_circle_ends)
{
    struct builder *b = linked(id, true);
    add_link(b, DSO_LINK, (uint64_t[]){LIB, LIB_NAME, LIB_DYN, DSO_LINK, DSO_LINK});
    hw_target_close(core_must_open(b, WHOLE));
    add_link(b, LIB_LINK, (uint64_t[]){LIB, LIB_NAME, LIB_DYN, LIB_LINK, LIB_LINK});
    add_link(b, EXE_LINK, (uint64_t[]){EXE, NOTHING, EXE_DYN, LIB_LINK, 0});
    struct hw_target *t = core_must_open(b, WHOLE);
    expect_file(t, 0x400000, "./prog", 0);
    hw_target_close(t);
}

EACH_MACHINE(core_links, HW_X86_64, a_name_without_an_end_is_none)
{
    struct builder *b = linked(id, true);
    core_poke(b, LIB_LINK + b->machine->word, 0x700000 - 1);
    memset(last_page(b, 0xc00), 'n', 0x400); /* to the end of what was saved */
    struct hw_target *t = core_must_open(b, WHOLE);
    const struct hw_map *m = hw_map_at(t, 0x400000);
    cr_assert(m && m->path);
    cr_expect_str_eq(m->path, "program");
    hw_target_close(t);
}

EACH_MACHINE(core_links, HW_X86_64, random_damage_is_survived)
{
    uint64_t x = 88172645463325252u;
    for (int i = 0; i < 2000; i++) {
        struct builder *b = linked(id, i % 2);
        for (int k = 0; k < 6; k++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            /* Words of headers, of the dynamic section, of the list. */
            size_t page = (x >> 32) % (b->data_len / 0x1000), at = (x >> 40) % 0x400;
            b->data[page * 0x1000 + at] = (uint8_t)(x >> 56);
        }
        struct hw_target *t = core_must_open(b, WHOLE);
        for (size_t k = 1; k < t->map_count; k++)
            cr_assert(t->maps[k].start >= t->maps[k - 1].end && t->maps[k].start < t->maps[k].end);
        hw_target_close(t);
    }
}
