/*
 * A pointer to the module itself is stored in one of two ways:
 *
 *     R_X86_64_RELATIVE   the table of relocations holds the address, the place is ignored
 *     RELR                the place holds the address; a bitmap says where such places are:
 *
 *         even entry      an address: a place, and where the following bitmaps begin
 *         odd entry       a bitmap: bit i (from 1) stands for the (i-1)th word behind the last
 * place
 *
 * A program linked to a fixed address has neither; its words are right as they are.
 */
#include "symbols/initial.h"
#include "symbols/private.h"

#include <string.h>
#include <unistd.h>

#ifndef SHT_RELR
#define SHT_RELR 19
#endif

/* A stretch of the target's memory that is being filled in. */
struct filling {
    hw_addr start;
    uint8_t *bytes;
    size_t len;
};

static uint8_t *place_of(const struct filling *f, hw_addr addr)
{
    bool inside = addr >= f->start && f->len >= 8 && addr - f->start <= f->len - 8;
    return inside ? f->bytes + (addr - f->start) : NULL;
}

static void apply_rela(const struct filling *f, const struct hw_elf_file *file, Elf_Data *relocs)
{
    GElf_Rela r;
    for (int i = 0; gelf_getrela(relocs, i, &r); i++) {
        uint8_t *place = GELF_R_TYPE(r.r_info) == R_X86_64_RELATIVE
                             ? place_of(f, file->bias + r.r_offset)
                             : NULL;
        uint64_t word = file->bias + (uint64_t)r.r_addend;
        if (place)
            memcpy(place, &word, sizeof word);
    }
}

static void relocate_in_place(const struct filling *f, const struct hw_elf_file *file, hw_addr addr)
{
    uint8_t *place = place_of(f, file->bias + addr);
    uint64_t word;
    if (!place)
        return;
    memcpy(&word, place, sizeof word);
    word += file->bias;
    memcpy(place, &word, sizeof word);
}

static void apply_relr(const struct filling *f, const struct hw_elf_file *file,
                       const Elf_Data *relocs)
{
    hw_addr next = 0;
    for (size_t at = 0; at + 8 <= relocs->d_size; at += 8) {
        uint64_t entry;
        memcpy(&entry, (const uint8_t *)relocs->d_buf + at, sizeof entry);
        if (!(entry & 1)) {
            relocate_in_place(f, file, entry);
            next = entry + 8;
            continue;
        }
        for (unsigned bit = 1; bit < 64; bit++)
            if (entry >> bit & 1)
                relocate_in_place(f, file, next + (uint64_t)(bit - 1) * 8);
        next += 63 * 8;
    }
}

static void relocate(const struct filling *f, const struct hw_elf_file *file)
{
    for (Elf_Scn *scn = NULL; (scn = elf_nextscn(file->elf, scn));) {
        GElf_Shdr shdr;
        if (!gelf_getshdr(scn, &shdr) || !(shdr.sh_flags & SHF_ALLOC) ||
            (shdr.sh_type != SHT_RELA && shdr.sh_type != SHT_RELR))
            continue;
        Elf_Data *relocs =
            shdr.sh_type == SHT_RELA ? elf_getdata(scn, NULL) : elf_rawdata(scn, NULL);
        if (!relocs || !relocs->d_buf)
            continue;
        if (shdr.sh_type == SHT_RELA)
            apply_rela(f, file, relocs);
        else
            apply_relr(f, file, relocs);
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
    Elf64_Phdr phdr[HW_IMAGE_PHDRS];
    size_t count = hw_elf_phdrs(file, phdr, HW_IMAGE_PHDRS);
    for (size_t i = 0; i < count; i++) {
        hw_addr start, end;
        if (!extent(file, &phdr[i], &start, &end) || addr < start || addr >= end)
            continue;
        uint64_t at = phdr[i].p_offset + (addr - start);
        if (at > INT64_MAX)
            return 0;
        ssize_t n = pread(file->fd, buf, len < end - addr ? len : (size_t)(end - addr), (off_t)at);
        if (n <= 0)
            return 0;
        if (phdr[i].p_flags & PF_W)
            relocate(&(struct filling){.start = addr, .bytes = buf, .len = (size_t)n}, file);
        return (size_t)n;
    }
    return 0;
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
