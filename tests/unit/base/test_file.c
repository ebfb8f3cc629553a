#include "base/file.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <seccomp.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* From now on openat2() is not there, as before Linux 5.6. False if that cannot be had. */
static bool forget_openat2(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    int number = seccomp_syscall_resolve_name("openat2");
    bool done = filter && number >= 0 &&
                seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), number, 0) == 0 &&
                seccomp_load(filter) == 0;
    seccomp_release(filter);
    return done;
}

static void put(int dir, const char *name, char content)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
    cr_assert(fd >= 0 && write(fd, &content, 1) == 1);
    close(fd);
}

/* What the file holds that a path leads to below a root; '-' if it leads to none. */
static char found(int root, const char *path)
{
    struct hw_error err = {0};
    char c = '-';
    int fd = hw_open_regular(root, path, true, &err);
    if (fd < 0)
        return '-';
    cr_expect_eq(read(fd, &c, 1), 1);
    close(fd);
    return c;
}

static void expect_all(int root)
{
    static const struct {
        const char *path;
        char content;
    } cases[] = {
        {"/file", 'i'},
        {"//./dir//deep", 'd'},
        {"/dir/../file", 'i'},
        {"/dir/../../../file", 'i'},
        {"/../file", 'i'},
        {"/to-dir/deep", 'd'}, /* -> /dir, which is the root's own */
        {"/to-dir/up", 'i'},   /* -> ../file */
        {"/dir/far-up", 'i'},  /* -> ../../../../file */
        {"/dir/back", 'd'},    /* -> ../to-dir/./deep */
        {"/out", '-'},         /* -> the whole name of the file outside */
        {"/loop", '-'},
        {"/to-loop/file", '-'},
        {"/file/x", '-'},
        {"/none/../file", '-'},
        {"/dir", '-'},
        {"/", '-'},
        {"", '-'},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_expect_eq(found(root, cases[i].path), cases[i].content, "%s", cases[i].path);
}

static void make_tree(const char *outer, int out)
{
    char name[64];
    put(out, "file", 'o');
    cr_assert_eq(mkdirat(out, "root", 0700), 0);
    cr_assert_eq(mkdirat(out, "root/dir", 0700), 0);
    put(out, "root/file", 'i');
    put(out, "root/dir/deep", 'd');
    snprintf(name, sizeof name, "%s/file", outer);
    cr_assert_eq(symlinkat(name, out, "root/out"), 0);
    cr_assert_eq(symlinkat("/dir", out, "root/to-dir"), 0);
    cr_assert_eq(symlinkat("../file", out, "root/dir/up"), 0);
    cr_assert_eq(symlinkat("../../../../file", out, "root/dir/far-up"), 0);
    cr_assert_eq(symlinkat("../to-dir/./deep", out, "root/dir/back"), 0);
    cr_assert_eq(symlinkat("to-loop", out, "root/loop"), 0);
    cr_assert_eq(symlinkat("loop", out, "root/to-loop"), 0);
}

static void remove_tree(const char *outer, int out)
{
    static const char *const names[] = {
        "root/dir/deep", "root/dir/up", "root/dir/far-up", "root/dir/back", "root/file",
        "root/out",      "root/to-dir", "root/loop",       "root/to-loop",  "file"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlinkat(out, names[i], 0);
    unlinkat(out, "root/dir", AT_REMOVEDIR);
    unlinkat(out, "root", AT_REMOVEDIR);
    rmdir(outer);
}

/* The same with openat2() and without. */
Test(file, is_found_below_a_root_and_nowhere_else)
{
    char outer[] = "/tmp/hw-file-XXXXXX";
    cr_assert_not_null(mkdtemp(outer));
    int out = open(outer, O_PATH | O_DIRECTORY);
    make_tree(outer, out);
    int root = openat(out, "root", O_PATH | O_DIRECTORY);
    expect_all(root);
    if (forget_openat2()) {
        cr_expect(syscall(SYS_openat2, root, "file", NULL, 0) < 0 && errno == ENOSYS);
        expect_all(root);
        int before = dup(root); /* the lowest that is free */
        close(before);
        for (int i = 0; i < 20; i++)
            found(root, "/dir/far-up");
        int after = dup(root);
        cr_expect_eq(after, before, "descriptors were left open");
    }
    remove_tree(outer, out);
}

/* Whatever the bytes say: a path too long, and one too deep. */
Test(file, a_path_may_be_any)
{
    char path[2 * PATH_MAX];
    struct hw_error err = {0};
    int root = open("/", O_PATH | O_DIRECTORY);
    memset(path, 'x', sizeof path);
    path[sizeof path - 1] = '\0';
    for (int without = 0; without < 2; without++) {
        cr_expect_lt(hw_open_regular(root, path, true, &err), 0);
        for (size_t i = 0; i + 1 < sizeof path; i++)
            path[i] = i % 2 ? '/' : '.';
        cr_expect_lt(hw_open_regular(root, path, true, &err), 0);
        if (!forget_openat2())
            break;
    }
}
