/*
 * The table of .eh_frame_hdr has the beginning of each function that has call frame information,
 * sorted, and where that is (.eh_frame). All linkers for our machines write it in one form: 32-bit
 * distances from the table's own header, or from where they stand.
 *
 * Programs that are linked statically may have no such table.
 *
 * libdw reads a whole file to find the end of .eh_frame, which may be large. So it is given a file
 * made of nothing but both, up to the end of their segment:
 *
 *     ELF header | program header of .eh_frame_hdr | .eh_frame_hdr | .eh_frame | ...
 */
#include "symbols/frames.h"

#include <string.h>

/* The kernel's code has two to four pages; nobody has many mappings that could be it. */
#define VDSO_MAX   ((size_t)64 << 10)
#define VDSO_TRIES 64

#define HEADER 12 /* version, three encodings, the distance of .eh_frame, the number of entries */
#define ENTRY  8

static const uint8_t usual[] = {1, 0x1b, 0x03, 0x3b}; /* pcrel sdata4, udata4, datarel sdata4 */

struct table {
    const struct hw_elf_file *file;
    uint64_t start;  /* addresses of the file: of the header, 0 if there is none, ... */
    uint64_t frames; /* ... and of .eh_frame */
    uint32_t count;
};

static bool read_at(const struct hw_elf_file *f, uint64_t addr, uint8_t *buf, size_t len)
{
    uint32_t flags;
    return hw_elf_bytes(f, addr, buf, len, &flags) == len;
}

static bool find_table(const struct hw_elf_file *f, struct table *ret)
{
    Elf64_Phdr phdr[HW_IMAGE_PHDRS];
    uint8_t header[HEADER];
    size_t count = hw_elf_phdrs(f, phdr, HW_IMAGE_PHDRS);
    for (size_t i = 0; i < count; i++)
        if (phdr[i].p_type == PT_GNU_EH_FRAME && phdr[i].p_memsz >= HEADER &&
            read_at(f, phdr[i].p_vaddr, header, HEADER) &&
            memcmp(header, usual, sizeof usual) == 0) {
            uint64_t room = (phdr[i].p_memsz - HEADER) / ENTRY, told = hw_word(header + 8, 4);
            uint64_t frames = phdr[i].p_vaddr + 4 + (uint64_t)(int32_t)hw_word(header + 4, 4);
            *ret =
                (struct table){f, phdr[i].p_vaddr, frames, (uint32_t)(told < room ? told : room)};
            return true;
        }
    return false;
}

/* Where there is no table: by the section's name. */
static bool find_section(const struct hw_elf_file *f, struct table *ret)
{
    size_t names;
    if (elf_getshdrstrndx(f->elf, &names) != 0)
        return false;
    for (Elf_Scn *scn = NULL; (scn = elf_nextscn(f->elf, scn));) {
        GElf_Shdr shdr;
        const char *name =
            gelf_getshdr(scn, &shdr) ? elf_strptr(f->elf, names, shdr.sh_name) : NULL;
        if (name && strcmp(name, ".eh_frame") == 0 && shdr.sh_flags & SHF_ALLOC) {
            *ret = (struct table){.file = f, .frames = shdr.sh_addr};
            return true;
        }
    }
    return false;
}

/* Where the i-th function begins, an address of the file. */
static bool entry(const struct table *t, uint32_t i, uint64_t *ret)
{
    uint8_t bytes[4];
    if (i >= t->count || !read_at(t->file, t->start + HEADER + (uint64_t)i * ENTRY, bytes, 4))
        return false;
    *ret = t->start + (uint64_t)(int64_t)(int32_t)hw_word(bytes, 4);
    return true;
}

bool hw_module_function_end(struct hw_module *mod, hw_addr start, hw_addr *end)
{
    const struct hw_elf_file *f = &mod->priv->main;
    struct table t;
    uint64_t at, next;
    if (!f->elf || !find_table(f, &t))
        return false;
    uint32_t low = 0, high = t.count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (!entry(&t, mid, &at))
            return false;
        if (f->bias + at < start)
            low = mid + 1;
        else
            high = mid;
    }
    if (!entry(&t, low, &at) || f->bias + at != start || !entry(&t, low + 1, &next) || next <= at)
        return false;
    *end = f->bias + next;
    return true;
}

/* ---- for libdw ------------------------------------------------------------------------------ */

void hw_frames_close(struct hw_frames *f)
{
    if (f->cfi)
        dwarf_cfi_end(f->cfi);
    if (f->elf)
        elf_end(f->elf);
    free(f->bytes);
    *f = (struct hw_frames){0};
}

/* How many bytes both have, from the first of them to the end of their segment. */
static uint64_t frames_bytes(const struct table *t, uint64_t first, uint64_t most)
{
    Elf64_Phdr phdr[HW_IMAGE_PHDRS];
    size_t count = hw_elf_phdrs(t->file, phdr, HW_IMAGE_PHDRS);
    for (size_t i = 0; i < count; i++) {
        const Elf64_Phdr *p = &phdr[i];
        if (p->p_type != PT_LOAD || first < p->p_vaddr || first - p->p_vaddr >= p->p_filesz)
            continue;
        uint64_t left = p->p_filesz - (first - p->p_vaddr);
        return left < most ? left : most;
    }
    return 0;
}

/* The headers of the small file; its contents begin behind them. */
#define HEADERS 128
static void put_headers(const struct hw_machine *m, const Elf64_Phdr *p, uint8_t *to)
{
    Elf64_Ehdr e = {.e_ident = ELFMAG, .e_type = ET_DYN, .e_machine = (uint16_t)m->elf_machine};
    e.e_ident[EI_CLASS] = (unsigned char)m->elf_class;
    e.e_ident[EI_DATA] = ELFDATA2LSB;
    e.e_version = e.e_ident[EI_VERSION] = EV_CURRENT;
    e.e_phnum = 1;
    if (m->word == 8) {
        e.e_phoff = e.e_ehsize = sizeof e;
        e.e_phentsize = sizeof *p;
        memcpy(to, &e, sizeof e);
        memcpy(to + sizeof e, p, sizeof *p);
        return;
    }
    Elf32_Ehdr narrow = {.e_type = e.e_type,
                         .e_machine = e.e_machine,
                         .e_version = e.e_version,
                         .e_phoff = sizeof narrow,
                         .e_ehsize = sizeof narrow,
                         .e_phentsize = sizeof(Elf32_Phdr),
                         .e_phnum = 1};
    memcpy(narrow.e_ident, e.e_ident, sizeof narrow.e_ident);
    Elf32_Phdr np = {.p_type = p->p_type,
                     .p_offset = (uint32_t)p->p_offset,
                     .p_vaddr = (uint32_t)p->p_vaddr,
                     .p_filesz = (uint32_t)p->p_filesz};
    memcpy(to, &narrow, sizeof narrow);
    memcpy(to + sizeof narrow, &np, sizeof np);
}

static void open_cfi(struct hw_frames *f, size_t len)
{
    elf_version(EV_CURRENT);
    f->elf = elf_memory((char *)f->bytes, len);
    f->cfi = f->elf ? dwarf_getcfi_elf(f->elf) : NULL;
}

/* A header without a table, right before .eh_frame, which is 4 bytes behind the distance to it. */
static const uint8_t no_table[8] = {1, 0x1b, 0xff, 0xff, 4};

/* Copy what is needed of the file. */
static bool copy_frames(const struct table *t, uint64_t *budget, struct hw_frames *ret,
                        size_t *size)
{
    uint64_t first = t->start && t->start < t->frames ? t->start : t->frames;
    uint64_t len = frames_bytes(t, first, *budget), head = t->start ? 0 : sizeof no_table;
    if (len == 0 || t->frames - first >= len || (t->start && t->start - first >= len))
        return false;
    *size = HEADERS + (size_t)(head + len);
    ret->bytes = calloc(1, *size);
    if (!ret->bytes || !read_at(t->file, first, ret->bytes + HEADERS + head, (size_t)len))
        return false;
    *budget -= len;
    Elf64_Phdr p = {.p_type = PT_GNU_EH_FRAME,
                    .p_offset = HEADERS,
                    .p_vaddr = t->frames - sizeof no_table,
                    .p_filesz = sizeof no_table};
    if (t->start) {
        uint64_t told = HEADER + (uint64_t)t->count * ENTRY, left = len - (t->start - first);
        p.p_offset += t->start - first;
        p.p_vaddr = t->start;
        p.p_filesz = told < left ? told : left;
    } else {
        memcpy(ret->bytes + HEADERS, no_table, sizeof no_table);
    }
    put_headers(t->file->machine, &p, ret->bytes);
    return true;
}

void hw_frames_of_module(struct hw_modules *m, struct hw_module *mod, uint64_t *budget,
                         struct hw_frames *ret)
{
    struct table t;
    size_t size;
    const struct hw_elf_file *file = &mod->priv->main;
    *ret = (struct hw_frames){.start = mod->start, .end = mod->end};
    if (hw_module_open(m, mod, NULL) != HW_OK || !file->elf ||
        (!find_table(file, &t) && !find_section(file, &t)))
        return;
    ret->bias = file->bias;
    if (copy_frames(&t, budget, ret, &size)) {
        open_cfi(ret, size);
    } else {
        free(ret->bytes);
        ret->bytes = NULL;
    }
}

/* ---- the kernel's --------------------------------------------------------------------------- */

/* It is an ELF file in memory, all of it. */
static bool read_vdso(struct hw_target *t, const struct hw_map *map, struct hw_frames *ret)
{
    size_t len = (size_t)(map->end - map->start);
    struct hw_frames f = {.start = map->start, .end = map->end, .bytes = malloc(len)};
    Elf64_Phdr phdr[HW_IMAGE_PHDRS];
    if (f.bytes && hw_read_all(t, map->start, f.bytes, len, NULL) == HW_OK)
        open_cfi(&f, len);
    struct hw_elf_file file = {.machine = t->who.machine, .elf = f.elf};
    size_t count = hw_elf_phdrs(&file, phdr, HW_IMAGE_PHDRS);
    if (f.cfi && hw_phdrs_bias(phdr, count, t->who.page_size, map->start, &f.bias)) {
        *ret = f;
        return true;
    }
    hw_frames_close(&f);
    return false;
}

static bool may_be_vdso(const struct hw_map *map)
{
    return map->flags & HW_MAP_EXEC && map->end - map->start <= VDSO_MAX &&
           (!map->path || strcmp(map->path, "[vdso]") == 0);
}

bool hw_frames_of_vdso(struct hw_target *t, struct hw_frames *ret)
{
    for (size_t i = 0, tries = 0; i < t->map_count && tries < VDSO_TRIES; i++) {
        char magic[SELFMAG];
        if (!may_be_vdso(&t->maps[i]))
            continue;
        tries++;
        if (hw_read_all(t, t->maps[i].start, magic, SELFMAG, NULL) == HW_OK &&
            memcmp(magic, ELFMAG, SELFMAG) == 0 && read_vdso(t, &t->maps[i], ret))
            return true;
    }
    return false;
}
