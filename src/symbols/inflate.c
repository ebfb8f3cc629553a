/*
 * libelf inflates with zlib, which took two thirds of the time in which a small process is reported:
 * the .debug_info of libc becomes 5.8 MB. libdeflate, which wants whole buffers, needs a third of it.
 */
#include "symbols/inflate.h"

#include <libdeflate.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20)

/* Huge pages if the system has some to give: 1,500 page faults less. */
static void *buffer(size_t size)
{
    if (size < HUGE_PAGE)
        return malloc(size);
    if (size > SIZE_MAX - HUGE_PAGE)
        return NULL;
    size = (size + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
    void *buf = aligned_alloc(HUGE_PAGE, size);
    if (buf)
        madvise(buf, size, MADV_HUGEPAGE);
    return buf;
}

/* What `data`, a section with its compression header, inflates to: ch_size bytes, or NULL. */
static void *inflated(const Elf_Data *data, size_t header, size_t size)
{
    struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
    void *buf = buffer(size);
    if (!d || !buf ||
        libdeflate_zlib_decompress(d, (const char *)data->d_buf + header, data->d_size - header,
                                   buf, size, NULL) != LIBDEFLATE_SUCCESS) {
        free(buf);
        buf = NULL;
    }
    libdeflate_free_decompressor(d);
    return buf;
}

void *hw_inflate_section(Elf *elf, Elf_Scn *scn, const GElf_Shdr *shdr)
{
    GElf_Chdr chdr;
    Elf_Data *data = elf_rawdata(scn, NULL);
    size_t header = data ? gelf_fsize(elf, ELF_T_CHDR, 1, EV_CURRENT) : 0;
    if (header == 0 || data->d_size < header || !gelf_getchdr(scn, &chdr) ||
        chdr.ch_type != ELFCOMPRESS_ZLIB || chdr.ch_size == 0)
        return NULL;
    void *buf = inflated(data, header, chdr.ch_size);
    if (!buf)
        return NULL;
    GElf_Shdr plain = *shdr;
    plain.sh_flags &= ~(GElf_Xword)SHF_COMPRESSED;
    plain.sh_addralign = chdr.ch_addralign;
    /* From here on elf_getdata() takes the section for an ordinary one, and gives out this buffer. */
    Elf_Data *given = gelf_update_shdr(scn, &plain) ? elf_getdata(scn, NULL) : NULL;
    if (!given) {
        free(buf);
        return NULL;
    }
    given->d_buf = buf;
    given->d_size = chdr.ch_size;
    return buf;
}
