#include "maker.h"
#include "support.h"

#include <criterion/criterion.h>
#include <elf.h>
#include <string.h>

#ifndef SHT_RELR
#define SHT_RELR 19
#endif

/* Where the tables are. */
enum {
    PHDRS = 0x40,
    SHDRS = 0x200,
    SYMBOLS = 0x600,
    RELOCS = 0x900,
    RELRS = 0xc00,
    DYNAMIC = 0xd00,
    NAMES = 0xe00,
};

/* Write a structure of either class: the fields have the same names. */
#define PUT(m, at, type, ...)                                                                      \
    do {                                                                                           \
        if ((m)->machine->word == 4)                                                               \
            memcpy((m)->bytes + (at), &(Elf32_##type){__VA_ARGS__}, sizeof(Elf32_##type));         \
        else                                                                                       \
            memcpy((m)->bytes + (at), &(Elf64_##type){__VA_ARGS__}, sizeof(Elf64_##type));         \
    } while (0)

#define SIZE(m, type)                                                                              \
    ((uint32_t)((m)->machine->word == 4 ? sizeof(Elf32_##type) : sizeof(Elf64_##type)))

struct maker_relocs maker_relocs(const struct hw_machine *machine)
{
    static const struct maker_relocs all[] = {
        [HW_X86_64] = {R_X86_64_RELATIVE, R_X86_64_TPOFF64, R_X86_64_JUMP_SLOT, R_X86_64_GLOB_DAT},
        [HW_I386] = {R_386_RELATIVE, R_386_TLS_TPOFF, R_386_JMP_SLOT, R_386_GLOB_DAT},
        [HW_AARCH64] = {R_AARCH64_RELATIVE, R_AARCH64_TLS_TPREL, R_AARCH64_JUMP_SLOT,
                        R_AARCH64_GLOB_DAT},
    };
    return all[machine->id];
}

/* REL or RELA: an entry's size in the tables of that machine. */
static uint32_t reloc_size(const struct maker *m)
{
    return m->machine->id == HW_I386 ? sizeof(Elf32_Rel) : sizeof(Elf64_Rela);
}

void maker_start(struct maker *m, enum hw_machine_id machine, const char *path)
{
    *m = (struct maker){.machine = hw_machine(machine), .path = path};
    m->names = 1;
    maker_symbol(m, "", 0, 0, 0, 0);
}

uint32_t maker_symbol(struct maker *m, const char *name, uint32_t value, uint32_t size,
                      unsigned type, unsigned section)
{
    uint32_t at = *name ? m->names : 0;
    if (*name) {
        strcpy((char *)m->bytes + NAMES + at, name);
        m->names += (uint32_t)strlen(name) + 1;
    }
    PUT(m, SYMBOLS + m->symbols * SIZE(m, Sym), Sym, .st_name = at, .st_value = value,
        .st_size = size, .st_info = (unsigned char)(STB_GLOBAL << 4 | type),
        .st_shndx = (uint16_t)section);
    return m->symbols++;
}

void maker_reloc(struct maker *m, uint32_t place, uint32_t type, uint32_t symbol, int32_t addend)
{
    uint32_t at = RELOCS + m->relocs++ * reloc_size(m);
    if (m->machine->id == HW_I386) {
        Elf32_Rel r = {.r_offset = place, .r_info = ELF32_R_INFO(symbol, type)};
        memcpy(m->bytes + at, &r, sizeof r);
        maker_word(m, place, (uint64_t)addend);
        return;
    }
    Elf64_Rela r = {
        .r_offset = place, .r_info = ELF64_R_INFO((uint64_t)symbol, type), .r_addend = addend};
    memcpy(m->bytes + at, &r, sizeof r);
}

void maker_relr(struct maker *m, uint64_t entry)
{
    maker_word(m, RELRS + m->relrs++ * m->machine->word, entry);
}

void maker_dyn(struct maker *m, int32_t tag, uint32_t value)
{
    PUT(m, DYNAMIC + m->dyns++ * SIZE(m, Dyn), Dyn, .d_tag = tag, .d_un = {.d_val = value});
}

void maker_tls(struct maker *m, uint32_t size, uint32_t align)
{
    m->tls_size = size;
    m->tls_align = align;
}

void maker_word(struct maker *m, uint32_t at, uint64_t value)
{
    memcpy(m->bytes + at, &value, m->machine->word);
}

static void write_sections(struct maker *m)
{
    uint32_t size = SIZE(m, Shdr), rela = m->machine->id != HW_I386, word = m->machine->word;
    PUT(m, SHDRS + 1 * size, Shdr, .sh_type = SHT_PROGBITS, .sh_flags = SHF_ALLOC | SHF_EXECINSTR,
        .sh_addr = MAKER_CODE, .sh_offset = MAKER_CODE, .sh_size = 0x1000);
    PUT(m, SHDRS + 2 * size, Shdr, .sh_type = SHT_DYNSYM, .sh_flags = SHF_ALLOC, .sh_addr = SYMBOLS,
        .sh_offset = SYMBOLS, .sh_size = m->symbols * SIZE(m, Sym), .sh_link = 3,
        .sh_entsize = SIZE(m, Sym));
    PUT(m, SHDRS + 3 * size, Shdr, .sh_type = SHT_STRTAB, .sh_flags = SHF_ALLOC, .sh_addr = NAMES,
        .sh_offset = NAMES, .sh_size = m->names);
    PUT(m, SHDRS + 4 * size, Shdr, .sh_type = rela ? SHT_RELA : SHT_REL, .sh_flags = SHF_ALLOC,
        .sh_addr = RELOCS, .sh_offset = RELOCS, .sh_size = m->relocs * reloc_size(m), .sh_link = 2,
        .sh_entsize = reloc_size(m));
    PUT(m, SHDRS + 5 * size, Shdr, .sh_type = SHT_RELR, .sh_flags = SHF_ALLOC, .sh_addr = RELRS,
        .sh_offset = RELRS, .sh_size = m->relrs * word, .sh_entsize = word);
}

void maker_finish(struct maker *m)
{
    bool narrow = m->machine->word == 4, rela = m->machine->id != HW_I386;
    maker_dyn(m, rela ? DT_RELA : DT_REL, RELOCS);
    maker_dyn(m, rela ? DT_RELASZ : DT_RELSZ, m->relocs * reloc_size(m));
    PUT(m, 0, Ehdr,
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, narrow ? ELFCLASS32 : ELFCLASS64,
                    ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_DYN, .e_machine = (uint16_t)m->machine->elf_machine, .e_version = EV_CURRENT,
        .e_phoff = PHDRS, .e_shoff = SHDRS, .e_ehsize = (uint16_t)SIZE(m, Ehdr),
        .e_phentsize = (uint16_t)SIZE(m, Phdr), .e_phnum = m->tls_size ? 3 : 2,
        .e_shentsize = (uint16_t)SIZE(m, Shdr), .e_shnum = 6);
    PUT(m, PHDRS, Phdr, .p_type = PT_LOAD, .p_flags = PF_R | PF_W | PF_X, .p_filesz = MAKER_SIZE,
        .p_memsz = MAKER_SIZE, .p_align = 0x1000);
    PUT(m, PHDRS + SIZE(m, Phdr), Phdr, .p_type = PT_DYNAMIC, .p_flags = PF_R, .p_offset = DYNAMIC,
        .p_vaddr = DYNAMIC, .p_filesz = (m->dyns + 1) * SIZE(m, Dyn),
        .p_memsz = (m->dyns + 1) * SIZE(m, Dyn), .p_align = 8);
    if (m->tls_size)
        PUT(m, PHDRS + 2 * SIZE(m, Phdr), Phdr, .p_type = PT_TLS, .p_flags = PF_R,
            .p_offset = MAKER_DATA, .p_vaddr = MAKER_DATA, .p_memsz = m->tls_size,
            .p_align = m->tls_align);
    write_sections(m);
    memcpy(m->memory, m->bytes, sizeof m->memory);
    spill(m->path, m->bytes, sizeof m->bytes);
}

void maker_poke(struct maker *m, uint32_t at, uint64_t value)
{
    memcpy(m->memory + at, &value, m->machine->word);
}

struct hw_buffer_range maker_range(const struct maker *m, hw_addr start)
{
    return (struct hw_buffer_range){.start = start,
                                    .bytes = m->memory,
                                    .len = sizeof m->memory,
                                    .flags = HW_MAP_READ | HW_MAP_WRITE | HW_MAP_EXEC,
                                    .path = m->path};
}

struct hw_modules *maker_open(const struct hw_machine *machine,
                              const struct hw_buffer_range *ranges, size_t count,
                              const struct hw_thread *threads, size_t thread_count, const char *exe,
                              struct hw_target **target)
{
    struct hw_modules *modules;
    struct hw_error err = {0};
    struct hw_modules_options opt = {.exe = exe};
    cr_assert_eq(hw_target_open_buffer(ranges, count, threads, thread_count, target, &err), HW_OK);
    (*target)->who.machine = machine;
    cr_assert_eq(hw_modules_open(*target, &opt, &modules, &err), HW_OK, "%s", err.text);
    return modules;
}
