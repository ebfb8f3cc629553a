#include "symbols/private.h"

#include <string.h>

/* Notes are a few dozen bytes; more than this of one segment is not looked at. */
enum { NOTES_MAX = 4096 };

/* Bytes of the image: from the page already read where they lie in it, else from the target. */
static size_t image_bytes(struct hw_target *t, const struct hw_elf_image *image, hw_addr addr,
                          void *buf, size_t len)
{
    if (addr >= image->start && addr - image->start <= image->page_len &&
        len <= image->page_len - (addr - image->start)) {
        memcpy(buf, image->page + (addr - image->start), len);
        return len;
    }
    ssize_t n = hw_read(t, addr, buf, len, NULL);
    return n < 0 ? 0 : (size_t)n;
}

static bool is_our_elf(const struct hw_machine *m, const Elf64_Ehdr *h)
{
    return hw_machine_of_elf(h->e_machine, h->e_ident[EI_CLASS]) == m &&
           (h->e_type == ET_DYN || h->e_type == ET_EXEC);
}

bool hw_elf_image_read(struct hw_target *t, hw_addr start, struct hw_elf_image *ret)
{
    ret->start = start;
    ret->phdr_count = 0;
    const struct hw_machine *m = t->who.machine;
    ssize_t n = hw_read(t, start, ret->page, sizeof ret->page, NULL);
    ret->page_len = n < 0 ? 0 : (size_t)n;
    Elf64_Ehdr h;
    if (!hw_elf_ehdr(ret->page, ret->page_len, &h) || !is_our_elf(m, &h) || h.e_phnum == 0 ||
        h.e_phnum > HW_IMAGE_PHDRS)
        return false;
    /* The header's segment maps file offset 0, so offsets near it are distances from `start`. */
    uint8_t bytes[HW_IMAGE_PHDRS * sizeof(Elf64_Phdr)];
    size_t size = hw_elf_phdr_size(m), len = h.e_phnum * size;
    if (image_bytes(t, ret, start + h.e_phoff, bytes, len) != len)
        return false;
    for (size_t i = 0; i < h.e_phnum; i++)
        ret->phdr[i] = hw_elf_phdr(m, bytes + i * size);
    ret->phdr_count = h.e_phnum;
    return true;
}

const Elf64_Phdr *hw_elf_image_phdr(const struct hw_elf_image *image, uint32_t type)
{
    for (size_t i = 0; i < image->phdr_count; i++)
        if (image->phdr[i].p_type == type)
            return &image->phdr[i];
    return NULL;
}

size_t hw_elf_image_dynamic(struct hw_target *t, const struct hw_elf_image *image, hw_addr bias,
                            Elf64_Dyn ret[HW_IMAGE_DYNS])
{
    const Elf64_Phdr *p = hw_elf_image_phdr(image, PT_DYNAMIC);
    uint8_t bytes[HW_IMAGE_DYNS * sizeof(Elf64_Dyn)];
    size_t size = hw_elf_dyn_size(t->who.machine), count = 0;
    if (!p)
        return 0;
    size_t wanted = p->p_memsz < HW_IMAGE_DYNS * size ? (size_t)p->p_memsz : HW_IMAGE_DYNS * size;
    ssize_t n = hw_read(t, bias + p->p_vaddr, bytes, wanted, NULL);
    while (n > 0 && (count + 1) * size <= (size_t)n) {
        ret[count] = hw_elf_dyn(t->who.machine, bytes + count * size);
        if (ret[count].d_tag == DT_NULL)
            break;
        count++;
    }
    return count;
}

bool hw_phdrs_bias(const Elf64_Phdr *phdr, size_t count, uint64_t page_size, hw_addr start,
                   hw_addr *ret)
{
    for (size_t i = 0; i < count; i++) {
        if (phdr[i].p_type != PT_LOAD)
            continue;
        *ret = start - (phdr[i].p_vaddr & ~(page_size - 1));
        return phdr[i].p_offset < page_size;
    }
    return false;
}

static uint64_t align_up(uint64_t n, uint64_t align)
{
    return (n + align - 1) & ~(align - 1);
}

/* Look through the notes in `buf`. Name and description are padded to `align`. */
static bool find_build_id(const uint8_t *buf, size_t len, uint64_t align, uint8_t id[64],
                          size_t *id_len)
{
    Elf64_Nhdr n;
    /* Every note takes at least its header, so `at` grows. */
    for (size_t at = 0; at <= len && len - at >= sizeof n;) {
        memcpy(&n, buf + at, sizeof n);
        uint64_t name = at + sizeof n;
        uint64_t desc = align_up(name + n.n_namesz, align);
        if (desc > len || n.n_descsz > len - desc)
            return false;
        if (n.n_type == NT_GNU_BUILD_ID && n.n_namesz == sizeof ELF_NOTE_GNU &&
            memcmp(buf + name, ELF_NOTE_GNU, sizeof ELF_NOTE_GNU) == 0) {
            if (n.n_descsz == 0 || n.n_descsz > 64)
                return false;
            memcpy(id, buf + desc, n.n_descsz);
            *id_len = n.n_descsz;
            return true;
        }
        at = (size_t)align_up(desc + n.n_descsz, align);
    }
    return false;
}

bool hw_elf_image_build_id(struct hw_target *t, const struct hw_elf_image *image, hw_addr bias,
                           uint8_t id[64], size_t *len)
{
    uint8_t buf[NOTES_MAX];
    for (size_t i = 0; i < image->phdr_count; i++) {
        const Elf64_Phdr *p = &image->phdr[i];
        if (p->p_type != PT_NOTE)
            continue;
        size_t wanted = p->p_filesz < sizeof buf ? (size_t)p->p_filesz : sizeof buf;
        size_t got = image_bytes(t, image, bias + p->p_vaddr, buf, wanted);
        if (find_build_id(buf, got, p->p_align == 8 ? 8 : 4, id, len))
            return true;
    }
    return false;
}
