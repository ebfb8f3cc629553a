/*
 * Files packed by the tools that everybody uses, whole and damaged.
 */
#include "unpack/unpack.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define BYTES ((size_t)3 << 20)

static char dir[] = "/tmp/heapwalk-unpack.XXXXXX";
static unsigned char *plain; /* BYTES of them: text, zeros, noise */

static const char *in_dir(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void run(const char *fmt, const char *what)
{
    char command[256], whole[320];
    snprintf(command, sizeof command, fmt, what);
    snprintf(whole, sizeof whole, "cd %s && %s", dir, command);
    cr_assert_eq(system(whole), 0, "%s", command);
}

static void spill(const char *name, const void *bytes, size_t len)
{
    FILE *f = fopen(in_dir(name), "w");
    cr_assert(f && fwrite(bytes, 1, len, f) == len && fclose(f) == 0);
}

static size_t length(const char *name)
{
    struct stat st;
    cr_assert_eq(stat(in_dir(name), &st), 0);
    return (size_t)st.st_size;
}

static void start(void)
{
    cr_assert_not_null(mkdtemp(dir));
    plain = calloc(1, BYTES);
    unsigned noise = 1;
    for (size_t i = 0; i < BYTES; i++) {
        noise = noise * 1103515245 + 12345;
        bool zeros = i > 100000 && i < BYTES - 700001;
        plain[i] = (unsigned char)(zeros ? 0 : i < 100000 ? 'a' + i % 7 : noise >> 16);
    }
    spill("plain", plain, BYTES);
}

static void end(void)
{
    run("rm -rf %s", dir);
    free(plain);
}

TestSuite(unpack, .init = start, .fini = end);

static int unpack_max(const char *name, uint64_t max, struct hw_unpacked *u)
{
    struct hw_error err;
    int rc = hw_unpack(open(in_dir(name), O_RDONLY), name, max, "", u, &err);
    cr_assert(rc == HW_OK || err.text[0]);
    cr_assert_eq(rc == HW_OK, u->fd >= 0, "%d", rc);
    return rc;
}

static int unpack(const char *name, struct hw_unpacked *u)
{
    return unpack_max(name, HW_UNPACKED_MAX, u);
}

/* The file has these bytes, twice if there were two streams. */
static void expect_plain(const struct hw_unpacked *u, size_t len)
{
    struct stat st;
    unsigned char *have = malloc(len + 1);
    cr_assert_eq(fstat(u->fd, &st), 0);
    cr_assert_eq((size_t)st.st_size, len);
    cr_assert_eq((size_t)pread(u->fd, have, len + 1, 0), len);
    for (size_t at = 0; at < len; at += BYTES) {
        size_t n = len - at < BYTES ? len - at : BYTES;
        cr_assert(!memcmp(have + at, plain, n), "from byte %zu on", at);
    }
    free(have);
}

struct format {
    char name[8], command[24];
};

static struct format formats[] = {
    {"zstd", "zstd -qc %s"}, {"lz4", "lz4 -qc %s"}, {"xz", "xz -0c %s"}, {"gzip", "gzip -1c %s"}};

static void pack(const struct format *f)
{
    char command[64];
    snprintf(command, sizeof command, "%s > packed", f->command);
    run(command, "plain");
}

ParameterizedTestParameters(unpack, whole)
{
    return cr_make_param_array(struct format, formats, 4);
}
ParameterizedTest(struct format *f, unpack, whole)
{
    struct hw_unpacked u;
    struct stat st;
    pack(f);
    cr_assert_eq(unpack("packed", &u), HW_OK);
    cr_expect_str_eq(u.format, f->name);
    cr_expect_not(u.cut_short);
    expect_plain(&u, BYTES);
    cr_assert_eq(fstat(u.fd, &st), 0);
    cr_expect_eq(st.st_nlink, 0);
    cr_expect_lt((size_t)st.st_blocks * 512, BYTES / 2, "zeros take %ld blocks",
                 (long)st.st_blocks);
    close(u.fd);
}

ParameterizedTestParameters(unpack, one_after_the_other)
{
    return cr_make_param_array(struct format, formats, 4);
}
ParameterizedTest(struct format *f, unpack, one_after_the_other)
{
    struct hw_unpacked u;
    pack(f);
    run("cat %s packed > twice", "packed");
    cr_assert_eq(unpack("twice", &u), HW_OK);
    cr_expect_not(u.cut_short);
    expect_plain(&u, 2 * BYTES);
    close(u.fd);
}

/* What came before stays, and that something is missing is said. */
static void expect_beginning(const char *what, const char *name)
{
    struct hw_unpacked u;
    struct stat st;
    int rc = unpack(name, &u);
    if (rc != HW_OK) { /* nothing came */
        cr_expect_eq(rc, HW_ERR_NOT_CORE, "%s", what);
        return;
    }
    cr_expect(u.cut_short && u.why[0], "%s", what);
    cr_assert_eq(fstat(u.fd, &st), 0);
    cr_assert_leq((size_t)st.st_size, BYTES);
    expect_plain(&u, (size_t)st.st_size);
    close(u.fd);
}

ParameterizedTestParameters(unpack, cut_off)
{
    return cr_make_param_array(struct format, formats, 4);
}
ParameterizedTest(struct format *f, unpack, cut_off)
{
    pack(f);
    size_t whole = length("packed");
    for (size_t keep = 8; keep < whole; keep += keep < 64 ? 1 : whole / 37) {
        char command[64];
        snprintf(command, sizeof command, "head -c %zu %%s > cut", keep);
        run(command, "packed");
        expect_beginning(command, "cut");
    }
    run("head -c -1 %s > cut", "packed");
    expect_beginning("the last byte", "cut");
}

ParameterizedTestParameters(unpack, garbage_behind)
{
    return cr_make_param_array(struct format, formats, 4);
}
ParameterizedTest(struct format *f, unpack, garbage_behind)
{
    struct hw_unpacked u;
    pack(f);
    run("printf 'no stream' >> %s", "packed");
    cr_assert_eq(unpack("packed", &u), HW_OK);
    cr_expect(u.cut_short);
    expect_plain(&u, BYTES);
    close(u.fd);
}

/* Blocks of tapes are filled up with zeros. */
Test(unpack, padding_behind)
{
    struct hw_unpacked u;
    for (size_t i = 2; i < sizeof formats / sizeof *formats; i++) { /* xz, gzip */
        pack(&formats[i]);
        cr_assert_eq(truncate(in_dir("packed"), (off_t)(length("packed") + 8192)), 0);
        cr_assert_eq(unpack("packed", &u), HW_OK, "%s", formats[i].name);
        cr_expect_not(u.cut_short, "%s", formats[i].name);
        expect_plain(&u, BYTES);
        close(u.fd);
    }
}

/* More than can be read in a day: a hole costs nothing. What follows is not known. */
ParameterizedTestParameters(unpack, hole_behind)
{
    return cr_make_param_array(struct format, formats, 4);
}
ParameterizedTest(struct format *f, unpack, hole_behind, .timeout = 30)
{
    struct hw_unpacked u;
    pack(f);
    cr_assert_eq(truncate(in_dir("packed"), (off_t)1 << 42), 0);
    cr_assert_eq(unpack("packed", &u), HW_OK);
    cr_expect(u.cut_short, "%s", f->name);
    cr_expect_neq(u.why[0], '\0');
    expect_plain(&u, BYTES);
    close(u.fd);
}

Test(unpack, damaged_in_the_middle)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        pack(&formats[i]);
        size_t len = length("packed");
        int fd = open(in_dir("packed"), O_RDWR);
        unsigned char bytes[64];
        for (size_t at = 8; at + sizeof bytes < len; at += len / 11) {
            unsigned char zeros[sizeof bytes] = {0};
            cr_assert_eq(pread(fd, bytes, sizeof bytes, (off_t)at), sizeof bytes);
            cr_assert_eq(pwrite(fd, zeros, sizeof zeros, (off_t)at), sizeof zeros);
            struct hw_unpacked u;
            if (unpack("packed", &u) == HW_OK) {
                cr_expect(u.cut_short, "%s, 64 zeros at %zu", formats[i].name, at);
                close(u.fd);
            }
            cr_assert_eq(pwrite(fd, bytes, sizeof bytes, (off_t)at), sizeof bytes);
        }
        close(fd);
    }
}

ParameterizedTestParameters(unpack, too_large)
{
    return cr_make_param_array(struct format, formats, 4);
}
ParameterizedTest(struct format *f, unpack, too_large)
{
    struct hw_unpacked u;
    pack(f);
    cr_expect_eq(unpack_max("packed", BYTES - 1, &u), HW_ERR_NOT_CORE);
    cr_expect_eq(unpack_max("packed", BYTES, &u), HW_OK);
    close(u.fd);
}

Test(unpack, plain_files_stay_what_they_are)
{
    struct hw_unpacked u;
    int fd = open(in_dir("plain"), O_RDONLY);
    cr_assert_eq(hw_unpack(fd, "plain", 1, "", &u, NULL), HW_OK);
    cr_expect_eq(u.fd, fd);
    cr_expect_null(u.format);
    close(fd);
    spill("empty", "", 0);
    cr_assert_eq(unpack("empty", &u), HW_OK);
    close(u.fd);
}

Test(unpack, from_a_pipe)
{
    for (size_t i = 0; i <= sizeof formats / sizeof *formats; i++) {
        char command[320];
        bool packed = i < sizeof formats / sizeof *formats;
        if (packed)
            pack(&formats[i]);
        snprintf(command, sizeof command, "cat %s/%s", dir, packed ? "packed" : "plain");
        FILE *f = popen(command, "r");
        struct hw_unpacked u;
        cr_assert_eq(hw_unpack(dup(fileno(f)), "a pipe", HW_UNPACKED_MAX, "", &u, NULL), HW_OK);
        cr_expect_eq(u.format == NULL, !packed);
        expect_plain(&u, BYTES);
        close(u.fd);
        cr_assert_eq(pclose(f), 0);
    }
}

Test(unpack, empty_pipe)
{
    int ends[2];
    struct hw_unpacked u;
    struct hw_error err;
    cr_assert_eq(pipe(ends), 0);
    close(ends[1]);
    cr_expect_eq(hw_unpack(ends[0], "a pipe", HW_UNPACKED_MAX, "", &u, &err), HW_ERR_NOT_CORE);
}

Test(unpack, nowhere_to_write)
{
    struct hw_unpacked u;
    struct hw_error err;
    pack(&formats[0]);
    setenv("TMPDIR", "/does/not/exist", 1);
    int fd = open(in_dir("packed"), O_RDONLY);
    cr_expect_eq(hw_unpack(fd, "packed", HW_UNPACKED_MAX, "", &u, &err), HW_ERR_SYSTEM);
    cr_expect_not_null(strstr(err.text, "/does/not/exist"));
    cr_expect_not_null(strstr(err.remedy, "TMPDIR"));
}

/* The rest would fill the disk for nothing. */
Test(unpack, of_something_else_only_the_beginning)
{
    struct hw_unpacked u;
    struct stat st;
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        pack(&formats[i]);
        int fd = open(in_dir("packed"), O_RDONLY);
        cr_assert_eq(hw_unpack(fd, "packed", HW_UNPACKED_MAX, "\177ELF", &u, NULL), HW_OK);
        cr_assert_eq(fstat(u.fd, &st), 0);
        cr_expect(st.st_size > 0 && st.st_size <= 1 << 20, "%jd bytes", (intmax_t)st.st_size);
        close(u.fd);
    }
}

/* Who opened it does not want to wait; we do. */
Test(unpack, waits_for_a_pipe_that_does_not, .timeout = 30)
{
    struct hw_unpacked u;
    struct stat st;
    int ends[2];
    cr_assert_eq(pipe2(ends, O_NONBLOCK), 0);
    pid_t child = fork();
    if (child == 0) {
        usleep(200000);
        _exit(write(ends[1], "slow", 4) != 4);
    }
    close(ends[1]);
    cr_assert_eq(hw_unpack(ends[0], "a pipe", HW_UNPACKED_MAX, "", &u, NULL), HW_OK);
    cr_expect(fstat(u.fd, &st) == 0 && st.st_size == 4);
    close(u.fd);
    waitpid(child, NULL, 0);
}

/* As if the file system were full. */
Test(unpack, no_room)
{
    struct hw_unpacked u;
    struct hw_error err;
    struct rlimit limit = {1 << 20, 1 << 20};
    pack(&formats[0]);
    signal(SIGXFSZ, SIG_IGN);
    int fd = open(in_dir("packed"), O_RDONLY);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    cr_expect_eq(hw_unpack(fd, "packed", HW_UNPACKED_MAX, "", &u, &err), HW_ERR_SYSTEM);
    cr_expect_not_null(strstr(err.remedy, "room"));
}
