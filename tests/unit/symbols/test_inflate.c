/*
 * Sections that we inflate against the same sections inflated by libelf.
 */
#include "support.h"
#include "symbols/inflate.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct scratch scratch;

static void start(void)
{
    scratch_start(&scratch);
    elf_version(EV_CURRENT);
}

static void end(void)
{
    scratch_end(&scratch);
}

TestSuite(inflate, .init = start, .fini = end);

struct file {
    int fd;
    Elf *elf;
};

static struct file file_open(const char *path)
{
    struct file f = {.fd = open(path, O_RDONLY)};
    f.elf = elf_begin(f.fd, ELF_C_READ, NULL);
    cr_assert_not_null(f.elf);
    return f;
}

static void file_close(struct file f)
{
    elf_end(f.elf);
    close(f.fd);
}

static bool is_compressed(Elf_Scn *scn, GElf_Shdr *shdr)
{
    return gelf_getshdr(scn, shdr) && shdr->sh_flags & SHF_COMPRESSED;
}

static const char *sample(const char *flags)
{
    const char *path = scratch_path(&scratch, "sample.so");
    compile("#include <stdio.h>\n#include <stdlib.h>\n"
            "struct s { int a; char b[9]; } f(struct s *p) { return *p; }\n"
            "void g(FILE *f, struct s *s) { fputs(s->b, f); exit(s->a); }",
            path, flags);
    return path;
}

/* How many sections of a file with these flags are compressed; each is compared. */
static unsigned compare(const char *flags)
{
    const char *path = sample(flags);
    struct file ours = file_open(path), theirs = file_open(path);
    Elf_Scn *scn = NULL, *other = NULL;
    unsigned count = 0;
    while ((scn = elf_nextscn(ours.elf, scn)) && (other = elf_nextscn(theirs.elf, other))) {
        GElf_Shdr shdr;
        if (!is_compressed(scn, &shdr))
            continue;
        count++;
        cr_assert_geq(elf_compress(other, 0, 0), 0);
        const Elf_Data *want = elf_getdata(other, NULL);
        void *buf = hw_inflate_section(ours.elf, scn, &shdr);
        const Elf_Data *have = elf_getdata(scn, NULL);
        cr_assert_not_null(buf);
        cr_expect_eq(have->d_buf, buf);
        cr_expect_eq(have->d_size, want->d_size);
        cr_expect(!memcmp(have->d_buf, want->d_buf, want->d_size));
        cr_expect(!is_compressed(scn, &shdr));
        free(buf);
    }
    file_close(ours);
    file_close(theirs);
    return count;
}

Test(inflate, same_as_libelf)
{
    cr_expect_gt(compare("-shared -fPIC -g -gz=zlib"), 2);
}

Test(inflate, nothing_is_compressed)
{
    cr_expect_eq(compare("-shared -fPIC -g -gz=none"), 0);
}

/* What cannot be inflated stays as it is. */
static unsigned refused(const char *path)
{
    struct file f = file_open(path);
    unsigned count = 0;
    GElf_Shdr shdr;
    for (Elf_Scn *scn = NULL; (scn = elf_nextscn(f.elf, scn));) {
        if (!is_compressed(scn, &shdr))
            continue;
        void *buf = hw_inflate_section(f.elf, scn, &shdr);
        cr_expect_eq(is_compressed(scn, &shdr), buf == NULL);
        count += buf == NULL;
        free(buf);
    }
    file_close(f);
    return count;
}

/* The offset in the file of the first compressed section. */
static size_t first_compressed(const char *path)
{
    struct file f = file_open(path);
    size_t at = 0;
    GElf_Shdr shdr;
    for (Elf_Scn *scn = NULL; !at && (scn = elf_nextscn(f.elf, scn));)
        at = is_compressed(scn, &shdr) ? shdr.sh_offset : 0;
    file_close(f);
    return at;
}

Test(inflate, damaged)
{
    const char *path = sample("-shared -fPIC -g -gz=zlib");
    size_t len, at = first_compressed(path);
    uint8_t *good = slurp(path, &len);
    cr_assert_gt(at, 0);
    /* The type and the size in the compression header, the stream's own header, its body. */
    static const size_t places[] = {0, 8, sizeof(Elf64_Chdr), sizeof(Elf64_Chdr) + 9};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        uint8_t *bad = malloc(len);
        memcpy(bad, good, len);
        bad[at + places[i]] ^= 0x15;
        const char *victim = scratch_path(&scratch, "bad.so");
        spill(victim, bad, len);
        cr_expect_eq(refused(victim), 1, "byte %zu of the section", places[i]);
        free(bad);
    }
    free(good);
}
