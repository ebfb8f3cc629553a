#include "unpack/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Runs of zeros of so many bytes become holes: the blocks of a file system. */
#define BLOCK ((size_t)4096)

static const char *directory(void)
{
    const char *dir = secure_getenv("TMPDIR");
    return dir && *dir ? dir : "/var/tmp"; /* cores are large, and /tmp is often in memory */
}

void hw_spool_init(struct hw_spool *s, const char *name, uint64_t max, const char *magic)
{
    *s = (struct hw_spool){.fd = -1, .name = name, .max = max, .magic = magic};
}

void hw_spool_deinit(struct hw_spool *s)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

static int open_unnamed(const char *dir)
{
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT))
        return fd;
    /* Not every file system has files without names. */
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/heapwalk.XXXXXX", dir) >= (int)sizeof path)
        return -1;
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

static int fail(const struct hw_spool *s, struct hw_error *err)
{
    int why = errno;
    int rc = hw_fail_errno(err, HW_ERR_SYSTEM,
                           "cannot unpack %s into a temporary file in %s, of which %" PRIu64
                           " MiB were needed so far",
                           s->name, directory(), s->size >> 20);
    hw_remedy(err, "%sname another directory: TMPDIR=/DIR heapwalk ...",
              why == ENOSPC || why == EDQUOT || why == EFBIG ? "make room there, or " : "");
    return rc;
}

static bool is_zero(const unsigned char *p, size_t len)
{
    return p[0] == 0 && memcmp(p, p + 1, len - 1) == 0;
}

static bool write_at(int fd, const unsigned char *p, size_t len, uint64_t at)
{
    while (len) {
        ssize_t n = pwrite(fd, p, len, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n == 0 ? ENOSPC : errno;
            return false;
        }
        p += n;
        at += (uint64_t)n;
        len -= (size_t)n;
    }
    return true;
}

int hw_spool_put(struct hw_spool *s, const void *bytes, size_t len, struct hw_error *err)
{
    const unsigned char *p = bytes;
    size_t want = strlen(s->magic);
    for (size_t i = 0; i < len && s->size + i < want; i++)
        s->is_other |= p[i] != (unsigned char)s->magic[s->size + i];
    if (len > s->max - s->size) {
        hw_fail(err, HW_ERR_NOT_CORE, "%s unpacks to more than %" PRIu64 " GiB: not a core",
                s->name, s->max >> 30);
        return HW_ERR_NOT_CORE;
    }
    if (s->fd < 0 && (s->fd = open_unnamed(directory())) < 0)
        return fail(s, err);
    while (len) {
        /* Pieces that end where blocks of the file do; what is zero and follows what is not is
         * written with it only if its block is the same. */
        size_t piece = BLOCK - s->size % BLOCK;
        bool zero = false, first = true;
        size_t end = 0;
        while (end < len) {
            size_t n = piece < len - end ? piece : len - end;
            bool z = is_zero(p + end, n);
            if (!first && z != zero)
                break;
            zero = z;
            first = false;
            end += n;
            piece = BLOCK;
        }
        if (!zero && !write_at(s->fd, p, end, s->size))
            return fail(s, err);
        s->size += end;
        p += end;
        len -= end;
    }
    if (s->is_other)
        return hw_fail(err, HW_ERR_NOT_CORE, "%s is something else", s->name);
    return HW_OK;
}

int hw_spool_take(struct hw_spool *s, int *fd, struct hw_error *err)
{
    *fd = -1;
    if (s->fd >= 0 && ftruncate(s->fd, (off_t)s->size) != 0)
        return fail(s, err);
    *fd = s->fd;
    s->fd = -1;
    return HW_OK;
}
