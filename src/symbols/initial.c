/*
 * A pointer to the module itself is stored in one of three ways:
 *
 *     RELATIVE in RELA    the table of relocations holds the address, the place is ignored
 *     RELATIVE in REL     the place holds the address
 *     RELR                so it does, too; a bitmap says where such places are:
 *
 *         even entry      an address: a place, and where the following bitmaps begin
 *         odd entry       a bitmap: bit i (from 1) stands for the (i-1)th word behind the last
 *                         place
 *
 * A program linked to a fixed address has none; its words are right as they are.
 */
#include "symbols/initial.h"
#include "symbols/private.h"

#include <string.h>

#ifndef SHT_RELR
#define SHT_RELR 19
#endif

/* A stretch of the target's memory that is being filled in. */
struct filling {
    const struct hw_elf_file *file;
    hw_addr start;
    uint8_t *bytes;
    size_t len;
};

/* Store `value` at an address of the file; add it to what is there if the place has an addend. */
static void put(const struct filling *f, uint64_t addr, uint64_t value, bool in_place)
{
    unsigned word = f->file->machine->word;
    hw_addr at = f->file->bias + addr;
    if (at < f->start || f->len < word || at - f->start > f->len - word)
        return;
    uint8_t *place = f->bytes + (at - f->start);
    if (in_place)
        value += hw_word(place, word);
    memcpy(place, &value, word); /* little-endian, as we are */
}

static void apply_relocs(const struct filling *f, const struct hw_relocs *relocs)
{
    struct hw_reloc r;
    for (int i = 0; hw_elf_reloc(relocs, i, &r); i++)
        if (r.kind == HW_RELOC_RELATIVE)
            put(f, r.place, f->file->bias + (uint64_t)r.addend, r.in_place);
}

static void apply_relr(const struct filling *f, const Elf_Data *relocs)
{
    unsigned word = f->file->machine->word, bits = 8 * word;
    uint64_t next = 0;
    for (size_t at = 0; at + word <= relocs->d_size; at += word) {
        uint64_t entry = hw_word((const uint8_t *)relocs->d_buf + at, word);
        if (!(entry & 1)) {
            put(f, entry, f->file->bias, true);
            next = entry + word;
            continue;
        }
        for (unsigned bit = 1; bit < bits; bit++)
            if (entry >> bit & 1)
                put(f, next + (uint64_t)(bit - 1) * word, f->file->bias, true);
        next += (uint64_t)(bits - 1) * word;
    }
}

static void relocate(const struct filling *f)
{
    struct hw_relocs relocs;
    for (Elf_Scn *scn = NULL; hw_elf_relocs(f->file, &scn, &relocs);)
        if (relocs.loaded)
            apply_relocs(f, &relocs);
    for (Elf_Scn *scn = NULL; (scn = elf_nextscn(f->file->elf, scn));) {
        GElf_Shdr shdr;
        if (!gelf_getshdr(scn, &shdr) || !(shdr.sh_flags & SHF_ALLOC) || shdr.sh_type != SHT_RELR)
            continue;
        const Elf_Data *data = elf_rawdata(scn, NULL);
        if (data && data->d_buf)
            apply_relr(f, data);
    }
}

/* The part of a segment that the file gives bytes for, as addresses of the target. */
static bool extent(const struct hw_elf_file *file, const Elf64_Phdr *p, hw_addr *start,
                   hw_addr *end)
{
    *start = file->bias + p->p_vaddr;
    *end = *start + p->p_filesz;
    return p->p_type == PT_LOAD && p->p_filesz > 0 && *end > *start && p->p_offset <= INT64_MAX;
}

size_t hw_module_initial(struct hw_module *mod, hw_addr addr, void *buf, size_t len)
{
    const struct hw_elf_file *file = &mod->priv->main;
    uint32_t flags;
    size_t n = hw_elf_bytes(file, addr - file->bias, buf, len, &flags);
    if (n && (flags & PF_W))
        relocate(&(struct filling){.file = file, .start = addr, .bytes = buf, .len = n});
    return n;
}

bool hw_module_data(struct hw_module *mod, size_t i, hw_addr *start, hw_addr *end)
{
    const struct hw_elf_file *file = &mod->priv->main;
    Elf64_Phdr phdr[HW_IMAGE_PHDRS];
    size_t count = hw_elf_phdrs(file, phdr, HW_IMAGE_PHDRS);
    for (size_t n = 0; n < count; n++)
        if ((phdr[n].p_flags & PF_W) && extent(file, &phdr[n], start, end) && i-- == 0)
            return true;
    return false;
}
