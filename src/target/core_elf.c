/*
 * The headers of a core file. Those of 32-bit cores are widened as they are read, so that nobody
 * else needs to know of two classes.
 */
#include "target/core_image.h"
#include "target/elfclass.h"

#include <string.h>

/* What is not unpacked, and what unpacks it; or what was unpacked once, and is packed still. */
static const struct {
    unsigned char magic[4], len;
    const char *name, *command;
} others[] = {
    {{'B', 'Z', 'h'}, 3, "compressed with bzip2", "bzcat"},
    {{0x02, '!', 'L', 0x18}, 4, "compressed with an old lz4", "lz4 -dc"},
    {{']', 0x00, 0x00}, 3, "compressed with lzma", "lzcat"},
    {{'P', 'K', 0x03, 0x04}, 4, "a zip archive", "unzip -p"},
    {{'(', 0xb5, '/', 0xfd}, 4, "compressed twice, within with zstd", NULL},
    {{0x04, '"', 'M', 0x18}, 4, "compressed twice, within with lz4", NULL},
    {{0xfd, '7', 'z', 'X'}, 4, "compressed twice, within with xz", NULL},
    {{0x1f, 0x8b, 0x08}, 3, "compressed twice, within with gzip", NULL},
};

static int refuse_other_file(const char *path, const unsigned char *ident, struct hw_error *err)
{
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        if (memcmp(ident, others[i].magic, others[i].len) != 0)
            continue;
        hw_fail(err, HW_ERR_NOT_CORE, "%s is %s", path, others[i].name);
        if (others[i].command)
            hw_remedy(err, "unpack it on the way: %s %s | heapwalk -", others[i].command, path);
        else
            hw_remedy(err, "unpack it once before: heapwalk unpacks it once more");
        return HW_ERR_NOT_CORE;
    }
    return hw_fail(err, HW_ERR_NOT_CORE, "%s is not an ELF file", path);
}

/* Refuse what is not a core, or not of a machine that we read. `h` begins like all ELF headers. */
static int check_header(const char *path, const Elf64_Ehdr *h, size_t got, struct hw_error *err)
{
    static const char *const types[] = {
        [ET_NONE] = "an ELF file of no type",
        [ET_REL] = "an object file",
        [ET_EXEC] = "an executable",
        [ET_DYN] = "an executable or shared library",
    };
    if (got < HW_ELF_START || memcmp(h->e_ident, ELFMAG, SELFMAG) != 0)
        return refuse_other_file(path, h->e_ident, err);
    /* The type stands in the same place for all classes, and for all we read in the same order. */
    if (h->e_ident[EI_DATA] == ELFDATA2LSB && h->e_type < sizeof types / sizeof *types) {
        hw_fail(err, HW_ERR_NOT_CORE, "%s is %s, not a core", path, types[h->e_type]);
        hw_remedy(err, "give the core file first, then, if need be, the executable");
        return HW_ERR_NOT_CORE;
    }
    if (!hw_elf_machine(h->e_ident)) {
        char arch[64];
        hw_elf_describe(h->e_ident, arch, sizeof arch);
        return hw_fail(err, HW_ERR_UNSUPPORTED,
                       "%s is the core of a %s: heapwalk reads x86_64, i386 and aarch64 cores",
                       path, arch);
    }
    if (h->e_type != ET_CORE)
        return hw_fail(err, HW_ERR_NOT_CORE, "%s is an ELF file of type %u, not a core", path,
                       h->e_type);
    return HW_OK;
}

/* The number of segments when it is more than 16 bits can count: the first section header has it.
 */
static bool decode_count(int fd, struct core_header *h)
{
    uint32_t info;
    size_t at = h->machine->elf_class == ELFCLASS32 ? offsetof(Elf32_Shdr, sh_info)
                                                    : offsetof(Elf64_Shdr, sh_info);
    if (h->sections > UINT64_MAX - at ||
        core_pread(fd, &info, sizeof info, h->sections + at) < sizeof info)
        return false;
    h->count = info;
    return true;
}

int core_read_header(int fd, const char *path, struct core_header *ret, struct hw_error *err)
{
    Elf64_Ehdr h = {0};
    size_t got = core_pread(fd, &h, sizeof h, 0);
    int rc = check_header(path, &h, got, err);
    if (rc != HW_OK)
        return rc;
    *ret = (struct core_header){.machine = hw_elf_machine(h.e_ident)};
    if (!hw_elf_ehdr((const uint8_t *)&h, got, &h))
        return hw_fail(err, HW_ERR_NOT_CORE, "%s is damaged: its ELF header makes no sense", path);
    ret->offset = h.e_phoff;
    ret->count = h.e_phnum;
    ret->sections = h.e_shoff;
    if (ret->count == PN_XNUM && !decode_count(fd, ret))
        return hw_fail(err, HW_ERR_NOT_CORE, "%s is damaged: its number of segments is missing",
                       path);
    return HW_OK;
}

size_t core_read_segments(int fd, const struct core_header *h, uint64_t first, Elf64_Phdr *ret,
                          size_t count)
{
    size_t entry = hw_elf_phdr_size(h->machine);
    size_t got = core_pread(fd, ret, count * entry, h->offset + first * entry) / entry;
    /* In place, from the last on: what is widened never reaches what is not yet. */
    for (size_t i = got; i-- > 0;)
        ret[i] = hw_elf_phdr(h->machine, (const uint8_t *)ret + i * entry);
    return got;
}
