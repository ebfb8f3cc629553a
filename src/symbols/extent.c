/*
 * The table of .eh_frame_hdr has the beginning of each function that has call frame information, sorted.
 * All linkers for our machines write it in one form: 32-bit distances from the table's own header.
 */
#include "symbols/private.h"

#include <string.h>

#define HEADER 12 /* version, three encodings, the distance of .eh_frame, the number of entries */
#define ENTRY  8

static const uint8_t usual[] = {1, 0x1b, 0x03, 0x3b}; /* pcrel sdata4, udata4, datarel sdata4 */

struct table {
    const struct hw_elf_file *file;
    uint64_t start; /* an address of the file */
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
            *ret = (struct table){f, phdr[i].p_vaddr, (uint32_t)(told < room ? told : room)};
            return true;
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
