#include "symbols/private.h"

#include <regex.h>
#include <string.h>
#include <unistd.h>

/* Read in pieces, so that it takes the same memory whatever the size of the file. */
enum { PIECE = 1 << 14, TEXT_MAX = 1023 };

/* Copy the first parentheses of the pattern if `text` matches. */
static bool matches(const regex_t *re, const char *text, char *buf, size_t size)
{
    regmatch_t m[2];
    if (strlen(text) > TEXT_MAX || regexec(re, text, 2, m, 0) != 0 || m[1].rm_so < 0)
        return false;
    snprintf(buf, size, "%.*s", (int)(m[1].rm_eo - m[1].rm_so), text + m[1].rm_so);
    return true;
}

/* Look at every text of the file's bytes [at, end). */
static bool search(int fd, uint64_t at, uint64_t end, const regex_t *re, char *buf, size_t size)
{
    char piece[PIECE];
    size_t have = 0;
    if (end > INT64_MAX)
        return false;
    while (at < end) {
        size_t room = sizeof piece - have;
        ssize_t n = pread(fd, piece + have, end - at < room ? (size_t)(end - at) : room, (off_t)at);
        if (n <= 0)
            return false;
        at += (uint64_t)n;
        have += (size_t)n;
        size_t done = 0;
        for (char *nul; (nul = memchr(piece + done, '\0', have - done)) != NULL;) {
            if (matches(re, piece + done, buf, size))
                return true;
            done = (size_t)(nul - piece) + 1;
        }
        /* What is left is the beginning of a text. Drop it if it fills the piece: far too long. */
        if (done == 0 && have == sizeof piece)
            done = have;
        have -= done;
        memmove(piece, piece + done, have);
    }
    return false;
}

bool hw_module_match_text(struct hw_module *mod, const char *pattern, char *buf, size_t size)
{
    const struct hw_elf_file *f = &mod->priv->main;
    regex_t re;
    bool found = false;
    if (!f->elf || size == 0 || regcomp(&re, pattern, REG_EXTENDED) != 0)
        return false;
    for (Elf_Scn *scn = NULL; !found && (scn = elf_nextscn(f->elf, scn));) {
        GElf_Shdr shdr;
        if (gelf_getshdr(scn, &shdr) && shdr.sh_type == SHT_PROGBITS &&
            (shdr.sh_flags & (SHF_ALLOC | SHF_EXECINSTR | SHF_WRITE)) == SHF_ALLOC &&
            shdr.sh_offset <= INT64_MAX && shdr.sh_size <= INT64_MAX)
            found = search(f->fd, shdr.sh_offset, shdr.sh_offset + shdr.sh_size, &re, buf, size);
    }
    regfree(&re);
    return found;
}
