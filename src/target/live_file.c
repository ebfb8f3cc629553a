/*
 * The files that a live process has mapped.
 */
#include "base/cleanup.h"
#include "base/file.h"
#include "target/live.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

/* Whether file names mean the same to the process as to us. */
static bool same_mounts(int pid)
{
    struct stat ours, theirs;
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/ns/mnt", pid);
    return stat("/proc/self/ns/mnt", &ours) == 0 && stat(path, &theirs) == 0 &&
           ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

/* /proc/PID/maps writes a newline in a file name as \012. */
static void unescape(char *path)
{
    char *to = path;
    for (const char *from = path; *from;) {
        if (strncmp(from, "\\012", 4) == 0) {
            *to++ = '\n';
            from += 4;
        } else {
            *to++ = *from++;
        }
    }
    *to = '\0';
}

static bool is_deleted(const char *path)
{
    static const char mark[] = " (deleted)";
    size_t len = strlen(path), n = sizeof mark - 1;
    return len >= n && strcmp(path + len - n, mark) == 0;
}

/* Open a file by the name that `pid` knows it by. */
static int open_named(int pid, const char *path, struct hw_error *err)
{
    if (same_mounts(pid))
        return hw_open_regular(AT_FDCWD, path, false, err);
    char root[64];
    snprintf(root, sizeof root, "/proc/%d/root", pid);
    hw_autoclose int dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return hw_fail_errno(err, HW_ERR_SYSTEM, "cannot open %s", root);
    return hw_open_regular(dir, path, true, err);
}

int hw_live_open_file(struct hw_target *t, const struct hw_map *map, struct hw_error *err)
{
    const struct hw_live *l = (const struct hw_live *)t;
    /* The very file that is mapped, even if its name is gone; but it takes privilege. */
    char mapped[96];
    snprintf(mapped, sizeof mapped, "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, l->own.pid,
             map->start, map->end);
    int fd = hw_open_regular(AT_FDCWD, mapped, false, NULL);
    if (fd >= 0)
        return fd;
    if (is_deleted(map->path))
        return hw_fail(err, HW_ERR_SYSTEM, "cannot open %s: its name is gone", map->path);
    char *path = strdup(map->path);
    if (!path)
        return hw_fail(err, HW_ERR_NOMEM, "out of memory");
    unescape(path);
    fd = open_named(l->own.pid, path, err);
    free(path);
    return fd;
}
