#include "base/file.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static int open_path(int dir, const char *path, bool in_root)
{
    if (!in_root)
        return openat(dir, path, O_PATH | O_CLOEXEC);
    while (*path == '/')
        path++;
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT};
    long fd = syscall(SYS_openat2, dir, path, &how, sizeof how);
    /* Before Linux 5.6, or behind a filter that does not know the call. */
    if (fd < 0 && (errno == ENOSYS || errno == EPERM))
        return openat(dir, path, O_PATH | O_CLOEXEC | O_NOFOLLOW);
    return (int)fd;
}

int hw_open_regular(int dir, const char *path, bool in_root, struct hw_error *err)
{
    hw_autoclose int place = open_path(dir, path, in_root);
    struct stat st;
    if (place < 0 || fstat(place, &st) != 0)
        return hw_fail_errno(err, HW_ERR_SYSTEM, "cannot open %s", path);
    if (!S_ISREG(st.st_mode))
        return hw_fail(err, HW_ERR_SYSTEM, "cannot open %s: not a regular file", path);

    char again[64]; /* the file just looked at, whatever its name leads to by now */
    snprintf(again, sizeof again, "/proc/self/fd/%d", place);
    int fd = open(again, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return hw_fail_errno(err, HW_ERR_SYSTEM, "cannot open %s", path);
    return fd;
}
