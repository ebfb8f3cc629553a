#include "symbols/private.h"

#include <string.h>
#include <unistd.h>

/* Read in pieces, so that it costs the same whatever the size of the file. */
enum { PIECE = 1 << 14 };

/* Where `needle` is in the file's bytes [start, start + len); UINT64_MAX if it is not there. */
static uint64_t search(int fd, uint64_t start, uint64_t len, const char *needle, size_t needle_len)
{
    char buf[PIECE];
    uint64_t at = start, end = start + len;
    if (needle_len == 0 || needle_len > sizeof buf / 2 || end < start || end > INT64_MAX)
        return UINT64_MAX;
    while (end - at >= needle_len) {
        size_t wanted = end - at < sizeof buf ? (size_t)(end - at) : sizeof buf;
        ssize_t n = pread(fd, buf, wanted, (off_t)at);
        if (n < (ssize_t)needle_len)
            break;
        const char *hit = memmem(buf, (size_t)n, needle, needle_len);
        if (hit)
            return at + (uint64_t)(hit - buf);
        /* The last bytes may begin a needle; a piece is longer than two, so this makes progress. */
        at += (uint64_t)n - (needle_len - 1);
    }
    return UINT64_MAX;
}

/* Copy text up to the first control character. */
static void copy_text(int fd, uint64_t at, uint64_t end, char *buf, size_t size)
{
    size_t wanted = end - at < size - 1 ? (size_t)(end - at) : size - 1;
    ssize_t n = pread(fd, buf, wanted, (off_t)at);
    size_t len = 0;
    while (n > 0 && len < (size_t)n && (unsigned char)buf[len] >= ' ' && buf[len] != 0x7f)
        len++;
    buf[len] = '\0';
}

bool hw_module_find_text(struct hw_module *mod, const char *needle, char *buf, size_t size)
{
    const struct hw_elf_file *f = &mod->priv->main;
    if (!f->elf || size == 0)
        return false;
    for (Elf_Scn *scn = NULL; (scn = elf_nextscn(f->elf, scn));) {
        GElf_Shdr shdr;
        if (!gelf_getshdr(scn, &shdr) || shdr.sh_type != SHT_PROGBITS ||
            (shdr.sh_flags & (SHF_ALLOC | SHF_EXECINSTR | SHF_WRITE)) != SHF_ALLOC)
            continue;
        uint64_t at = search(f->fd, shdr.sh_offset, shdr.sh_size, needle, strlen(needle));
        if (at != UINT64_MAX) {
            copy_text(f->fd, at, shdr.sh_offset + shdr.sh_size, buf, size);
            return true;
        }
    }
    return false;
}
