#include "base/file.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* ---- without openat2() ----------------------------------------------------------------------- */

#define DEPTH_MAX 64
#define LINKS_MAX 40

/* The way from a root directory to where we are. */
struct steps {
    int root;
    int dirs[DEPTH_MAX];
    unsigned depth, links;
    char rest[PATH_MAX]; /* of the path */
};

static void back(struct steps *s, unsigned depth)
{
    while (s->depth > depth)
        close(s->dirs[--s->depth]);
}

/* We stand on a link: step back, and put what it says in front of the rest. */
static int follow(struct steps *s, const char *rest)
{
    char path[PATH_MAX];
    ssize_t n = readlinkat(s->dirs[s->depth - 1], "", path, sizeof path);
    size_t rest_size = strlen(rest) + 1;
    if (n < 0 || ++s->links > LINKS_MAX || (size_t)n + 1 + rest_size > sizeof path) {
        errno = n < 0 ? errno : ELOOP;
        return -1;
    }
    path[n] = '/';
    memcpy(path + n + 1, rest, rest_size);
    memcpy(s->rest, path, (size_t)n + 1 + rest_size);
    back(s, path[0] == '/' ? 0 : s->depth - 1);
    return 0;
}

/* Go by one name, and make `s->rest` what comes behind it. */
static int step(struct steps *s)
{
    char *name = s->rest + strspn(s->rest, "/"), *rest = name + strcspn(name, "/");
    if (*rest)
        *rest++ = '\0';
    if (strcmp(name, "..") == 0) {
        back(s, s->depth ? s->depth - 1 : 0);
    } else if (*name && strcmp(name, ".") != 0) {
        struct stat st;
        int from = s->depth ? s->dirs[s->depth - 1] : s->root;
        int fd = openat(from, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            return -1;
        s->dirs[s->depth++] = fd;
        if (fstat(fd, &st) != 0)
            return -1;
        if (S_ISLNK(st.st_mode))
            return follow(s, rest);
    }
    memmove(s->rest, rest, strlen(rest) + 1);
    return 0;
}

/*
 * What openat2() does, name by name; the way back is the way we came, so that ".." never leads out
 * of the root. Bounded: each step makes the rest shorter, but for links, of which there are only so
 * many.
 */
static int open_by_steps(int root, const char *path)
{
    struct steps s = {.root = root};
    if (strlen(path) >= sizeof s.rest) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(s.rest, path, strlen(path) + 1);
    int rc = 0;
    while (rc == 0 && s.rest[0] && s.depth < DEPTH_MAX)
        rc = step(&s);
    if (rc == 0 && s.rest[0]) {
        errno = ENAMETOOLONG;
        rc = -1;
    }
    int fd = rc != 0 ? -1 : s.depth ? s.dirs[--s.depth] : openat(root, ".", O_PATH | O_CLOEXEC);
    int code = errno;
    back(&s, 0);
    errno = code;
    return fd;
}

/* ---- opening --------------------------------------------------------------------------------- */

static int open_path(int dir, const char *path, bool in_root)
{
    if (!in_root)
        return openat(dir, path, O_PATH | O_CLOEXEC);
    while (*path == '/')
        path++;
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT};
    long fd = syscall(SYS_openat2, dir, path, &how, sizeof how);
    /* Before Linux 5.6, or behind a filter that cannot look into the call, such as our own. */
    if (fd < 0 && (errno == ENOSYS || errno == EPERM))
        return open_by_steps(dir, path);
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
