#include "base/cleanup.h"
#include "symbols/private.h"

#include <elfutils/libdwelf.h>
#include <string.h>

/* What cannot be used, and why. */
static int check(Elf *elf, const char *path, const struct hw_machine *wanted, struct hw_error *err)
{
    GElf_Ehdr h;
    if (elf_kind(elf) != ELF_K_ELF || !gelf_getehdr(elf, &h) ||
        (h.e_type != ET_DYN && h.e_type != ET_EXEC))
        return hw_fail(err, HW_ERR_NO_SYMBOLS, "%s is not an ELF program or library", path);
    const struct hw_machine *m = h.e_ident[EI_DATA] == ELFDATA2LSB
                                     ? hw_machine_of_elf(h.e_machine, h.e_ident[EI_CLASS])
                                     : NULL;
    if (m == wanted)
        return HW_OK;
    if (m)
        return hw_fail(err, HW_ERR_NO_SYMBOLS, "%s is a file for %s, and the process is of %s",
                       path, m->name, wanted->name);
    return hw_fail(err, HW_ERR_NO_SYMBOLS,
                   "%s is a file for another machine (ELF machine %u), and the process is of %s",
                   path, h.e_machine, wanted->name);
}

int hw_elf_open(int fd, const char *path, const struct hw_machine *machine, struct hw_elf_file *ret,
                struct hw_error *err)
{
    struct hw_elf_file f = {.fd = fd, .machine = machine, .path = strdup(path)};
    elf_version(EV_CURRENT);
    /* Not ELF_C_READ_MMAP: whoever may write the file could cut it short under us (SIGBUS). */
    f.elf = f.path ? elf_begin(fd, ELF_C_READ, NULL) : NULL;
    int rc =
        f.path ? check(f.elf, path, machine, err) : hw_fail(err, HW_ERR_NOMEM, "out of memory");
    if (rc != HW_OK) {
        hw_elf_close(&f);
        if (f.fd >= 0)
            close(f.fd);
        return rc;
    }
    const void *id;
    ssize_t len = dwelf_elf_gnu_build_id(f.elf, &id);
    if (len > 0 && (size_t)len <= sizeof f.build_id) {
        memcpy(f.build_id, id, (size_t)len);
        f.build_id_len = (size_t)len;
    }
    *ret = f;
    return HW_OK;
}

void hw_elf_close(struct hw_elf_file *f)
{
    if (f->elf) {
        elf_end(f->elf);
        close(f->fd);
        f->fd = -1;
    }
    free(f->path);
    f->elf = NULL;
    f->path = NULL;
}

size_t hw_elf_phdrs(const struct hw_elf_file *f, Elf64_Phdr *phdr, size_t size)
{
    size_t total, count = 0;
    if (!f->elf || elf_getphdrnum(f->elf, &total) != 0)
        return 0;
    while (count < total && count < size) {
        GElf_Phdr p;
        if (!gelf_getphdr(f->elf, (int)count, &p))
            break;
        phdr[count++] = p; /* GElf_Phdr is Elf64_Phdr */
    }
    return count;
}

size_t hw_elf_bytes(const struct hw_elf_file *f, uint64_t addr, void *buf, size_t len,
                    uint32_t *flags)
{
    Elf64_Phdr phdr[HW_IMAGE_PHDRS];
    size_t count = hw_elf_phdrs(f, phdr, HW_IMAGE_PHDRS);
    for (size_t i = 0; i < count; i++) {
        const Elf64_Phdr *p = &phdr[i];
        if (p->p_type != PT_LOAD || addr < p->p_vaddr || addr - p->p_vaddr >= p->p_filesz)
            continue;
        uint64_t into = addr - p->p_vaddr;
        if (p->p_offset > INT64_MAX || into > INT64_MAX - p->p_offset)
            return 0;
        size_t wanted = len < p->p_filesz - into ? len : (size_t)(p->p_filesz - into);
        ssize_t n = pread(f->fd, buf, wanted, (off_t)(p->p_offset + into));
        *flags = p->p_flags;
        return n > 0 ? (size_t)n : 0;
    }
    return 0;
}

bool hw_elf_word(const struct hw_elf_file *f, uint64_t addr, uint64_t *ret)
{
    uint8_t bytes[8] = {0};
    uint32_t flags;
    unsigned word = f->machine->word;
    if (hw_elf_bytes(f, addr, bytes, word, &flags) != word)
        return false;
    *ret = hw_word(bytes, word);
    return true;
}

Elf_Scn *hw_elf_section(const struct hw_elf_file *f, uint32_t type, GElf_Shdr *shdr)
{
    for (Elf_Scn *scn = NULL; f->elf && (scn = elf_nextscn(f->elf, scn));)
        if (gelf_getshdr(scn, shdr) && shdr->sh_type == type)
            return scn;
    return NULL;
}

bool hw_elf_has_dwarf(const struct hw_elf_file *f)
{
    size_t names;
    if (!f->elf || elf_getshdrstrndx(f->elf, &names) != 0)
        return false;
    for (Elf_Scn *scn = NULL; (scn = elf_nextscn(f->elf, scn));) {
        GElf_Shdr shdr;
        const char *name =
            gelf_getshdr(scn, &shdr) ? elf_strptr(f->elf, names, shdr.sh_name) : NULL;
        if (name && shdr.sh_type != SHT_NOBITS &&
            (strcmp(name, ".debug_info") == 0 || strcmp(name, ".zdebug_info") == 0))
            return true;
    }
    return false;
}
