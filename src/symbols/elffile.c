#include "base/cleanup.h"
#include "symbols/private.h"

#include <elfutils/libdwelf.h>
#include <string.h>

static bool is_our_elf(Elf *elf)
{
    GElf_Ehdr h;
    return elf_kind(elf) == ELF_K_ELF && gelf_getehdr(elf, &h) &&
           h.e_ident[EI_CLASS] == ELFCLASS64 && h.e_ident[EI_DATA] == ELFDATA2LSB &&
           h.e_machine == EM_X86_64 && (h.e_type == ET_DYN || h.e_type == ET_EXEC);
}

int hw_elf_open(int fd, const char *path, struct hw_elf_file *ret, struct hw_error *err)
{
    struct hw_elf_file f = {.fd = fd, .path = strdup(path)};
    elf_version(EV_CURRENT);
    /* Not ELF_C_READ_MMAP: whoever may write the file could cut it short under us (SIGBUS). */
    f.elf = f.path ? elf_begin(fd, ELF_C_READ, NULL) : NULL;
    if (!f.elf || !is_our_elf(f.elf)) {
        bool memory = !f.path;
        hw_elf_close(&f);
        if (f.fd >= 0)
            close(f.fd);
        if (memory)
            return hw_fail(err, HW_ERR_NOMEM, "out of memory");
        return hw_fail(err, HW_ERR_NO_SYMBOLS, "%s is not a 64-bit x86 ELF file", path);
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
