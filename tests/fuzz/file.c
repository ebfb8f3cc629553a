#include "fuzz.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What is written for each input is better kept in memory. */
#define IN_MEMORY "/dev/shm"

static char dir[64], path[96];
static int fd = -1;
static pid_t owner; /* a child that was forked by the one who made it must leave it alone */

static void clear_up(void)
{
    if (owner != getpid())
        return;
    unlink(path);
    rmdir(dir);
}

static void make(void)
{
    snprintf(dir, sizeof dir, "%s/heapwalk-fuzz-XXXXXX",
             access(IN_MEMORY, W_OK) ? "/tmp" : IN_MEMORY);
    fuzz_require(mkdtemp(dir) != NULL, "no directory for files in %s", dir);
    setenv("TMPDIR", dir, 1);
    snprintf(path, sizeof path, "%s/libc.so.6", dir);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, S_IRUSR | S_IWUSR);
    fuzz_require(fd >= 0, "cannot write %s", path);
    owner = getpid();
    atexit(clear_up);
}

const char *fuzz_file(const uint8_t *bytes, size_t len)
{
    if (fd < 0)
        make();
    bool ok = ftruncate(fd, 0) == 0 && pwrite(fd, bytes, len, 0) == (ssize_t)len;
    fuzz_require(ok, "cannot write %s", path);
    return path;
}
