/*
 * libelf inflates with zlib, which took two thirds of the time in which a small process is
 * reported: the .debug_info of libc becomes 5.8 MB. libdeflate, which wants whole buffers, needs a
 * third of it.
 */
#include "symbols/inflate.h"

#include <libdeflate.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
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

/* What `data`, a section with its compression header, inflates to: ch_size bytes and a NUL, or
 * NULL. */
static void *inflated(const Elf_Data *data, size_t header, size_t size)
{
    struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
    char *buf = size < SIZE_MAX ? buffer(size + 1) : NULL;
    if (!d || !buf ||
        libdeflate_zlib_decompress(d, (const char *)data->d_buf + header, data->d_size - header,
                                   buf, size, NULL) != LIBDEFLATE_SUCCESS) {
        free(buf);
        buf = NULL;
    }
    if (buf)
        buf[size] = '\0';
    libdeflate_free_decompressor(d);
    return buf;
}

/* From here on both ways of asking for the section's data give out this buffer. */
static bool give(Elf_Scn *scn, void *buf, size_t size)
{
    Elf_Data *cooked = elf_getdata(scn, NULL), *raw = elf_rawdata(scn, NULL);
    if (!cooked || !raw)
        return false;
    cooked->d_buf = raw->d_buf = buf;
    cooked->d_size = raw->d_size = size;
    return true;
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
    if (gelf_update_shdr(scn, &plain) && give(scn, buf, chdr.ch_size))
        return buf;
    free(buf);
    return NULL;
}

bool hw_terminate_section(Elf_Scn *scn, void **ret)
{
    *ret = NULL;
    Elf_Data *data = elf_rawdata(scn, NULL);
    if (!data || !data->d_buf || data->d_size == 0 || data->d_size == SIZE_MAX)
        return true;
    const char *bytes = data->d_buf;
    size_t size = data->d_size;
    if (bytes[size - 1] == '\0')
        return true;
    char *copy = buffer(size + 1);
    if (!copy)
        return false;
    memcpy(copy, bytes, size);
    copy[size] = '\0';
    if (give(scn, copy, size)) {
        *ret = copy;
        return true;
    }
    free(copy);
    return false;
}
