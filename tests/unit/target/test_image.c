#include <criterion/criterion.h>

#include "base/file.h"
#include "target/image.h"

#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Open a file as a process with the root directory `dir` would, and read a byte. */
static char byte_in_root(int dir, const char *path)
{
    struct hw_error err = {0};
    int fd = hw_open_regular(dir, path, true, &err);
    char c = '\0';
    if (fd < 0) {
        cr_expect_eq(fd, HW_ERR_SYSTEM);
        cr_expect_eq(err.code, HW_ERR_SYSTEM);
        return '-';
    }
    cr_expect_eq(read(fd, &c, 1), 1);
    close(fd);
    return c;
}

static void make_file(int dir, const char *name, char content)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT, 0600);
    cr_assert(fd >= 0 && write(fd, &content, 1) == 1);
    close(fd);
}

Test(image, names_of_a_target_do_not_lead_out_of_its_root)
{
    char outer[] = "/tmp/hw-root-XXXXXX", link[64];
    cr_assert_not_null(mkdtemp(outer));
    int out = open(outer, O_RDONLY | O_DIRECTORY);
    cr_assert_eq(mkdirat(out, "root", 0700), 0);
    int dir = openat(out, "root", O_RDONLY | O_DIRECTORY);
    make_file(out, "file", 'o');
    make_file(dir, "file", 'i');
    snprintf(link, sizeof link, "%s/file", outer);
    cr_assert_eq(symlinkat(link, dir, "out"), 0);
    cr_assert_eq(symlinkat("/file", dir, "in"), 0);
    cr_assert_eq(symlinkat("../file", dir, "up"), 0);
    cr_assert_eq(mkfifoat(dir, "fifo", 0600), 0);

    cr_expect_eq(byte_in_root(dir, "/file"), 'i');
    cr_expect_neq(byte_in_root(dir, "/in"), 'o');
    cr_expect_neq(byte_in_root(dir, "/up"), 'o');
    cr_expect_eq(byte_in_root(dir, "/out"), '-');
    cr_expect_eq(byte_in_root(dir, "/fifo"), '-');
    cr_expect_eq(byte_in_root(dir, "/none"), '-');
    cr_expect_eq(byte_in_root(dir, "/"), '-');

    static const char *const names[] = {"root/file", "root/in",   "root/up",
                                        "root/out",  "root/fifo", "file"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlinkat(out, names[i], 0);
    unlinkat(out, "root", AT_REMOVEDIR);
    rmdir(outer);
    close(dir);
    close(out);
}

Test(image, names_cannot_upset_a_terminal)
{
    char name[] = "a\x1b[1m\n\t\x7f\xc3\xa4";
    hw_clean_name(name);
    cr_expect_str_eq(name, "a?[1m???\xc3\xa4");
}

static void expect_elf(int class, int data, unsigned machine, const char *name, const char *text)
{
    unsigned char h[HW_ELF_START] = {0};
    bool big = data == ELFDATA2MSB;
    char buf[64];
    h[EI_CLASS] = (unsigned char)class;
    h[EI_DATA] = (unsigned char)data;
    h[big ? 19 : 18] = (unsigned char)machine;
    h[big ? 18 : 19] = (unsigned char)(machine >> 8);
    const struct hw_machine *m = hw_elf_machine(h);
    if (name)
        cr_expect(m && strcmp(m->name, name) == 0, "%s", text);
    else
        cr_expect_null(m, "%s", text);
    hw_elf_describe(h, buf, sizeof buf);
    cr_expect_str_eq(buf, text);
}

Test(image, tells_machines_apart)
{
    enum { LITTLE = ELFDATA2LSB, BIG = ELFDATA2MSB, NARROW = ELFCLASS32, WIDE = ELFCLASS64 };
    expect_elf(WIDE, LITTLE, EM_X86_64, "x86_64", "64-bit process (x86_64)");
    expect_elf(NARROW, LITTLE, EM_386, "i386", "32-bit process (i386)");
    expect_elf(WIDE, LITTLE, EM_AARCH64, "aarch64", "64-bit process (aarch64)");
    expect_elf(NARROW, LITTLE, EM_X86_64, NULL, "32-bit process (x32)");
    expect_elf(WIDE, LITTLE, EM_386, NULL, "64-bit process (i386)");
    expect_elf(NARROW, LITTLE, EM_AARCH64, NULL, "32-bit process (aarch64)");
    expect_elf(NARROW, LITTLE, EM_ARM, NULL, "32-bit process (arm)");
    expect_elf(WIDE, BIG, EM_AARCH64, NULL, "64-bit process (aarch64, big-endian)");
    expect_elf(WIDE, BIG, EM_S390, NULL, "64-bit process (s390)");
    expect_elf(WIDE, LITTLE, 0x7fff, NULL, "64-bit process (ELF machine 32767)");
    expect_elf(0, 0, 0, NULL, "32-bit process (ELF machine 0)");
}
