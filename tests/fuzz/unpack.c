/*
 * A compressed core, from a file and through a pipe: both must give the same.
 */
#include "fuzz.h"

#include "base/cleanup.h"
#include "unpack/unpack.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Bytes that may come out; little, so that bombs do not take long. */
#define MOST ((uint64_t)4 << 20)
/* What a pipe takes without a reader. */
#define PIPE_BYTES 65536

static uint64_t size_of(int fd)
{
    struct stat st;
    fuzz_require(fstat(fd, &st) == 0 && st.st_size >= 0, "no size");
    return (uint64_t)st.st_size;
}

/* Takes `fd` over; *ret.fd is -1 if nothing came out. */
static int unpack(int fd, struct hw_unpacked *ret)
{
    struct hw_error err = {0};
    fuzz_require(fd >= 0, "no input");
    int rc = hw_unpack(fd, "input", MOST, "", ret, &err);
    fuzz_require((rc == HW_OK) == (ret->fd >= 0), "a file in spite of %s", hw_code_text(rc));
    fuzz_require(rc == HW_OK || (err.code == rc && err.text[0]), "no reason for %s",
                 hw_code_text(rc));
    fuzz_require(!ret->cut_short || ret->why[0], "cut short for no reason");
    fuzz_require(rc == HW_OK || rc == HW_ERR_NOT_CORE, "%s: %s", hw_code_text(rc), err.text);
    return rc;
}

static int open_pipe(const uint8_t *bytes, size_t len)
{
    int ends[2];
    fuzz_require(pipe2(ends, O_CLOEXEC) == 0, "no pipe");
    fuzz_require(write(ends[1], bytes, len) == (ssize_t)len, "the pipe is too small");
    close(ends[1]);
    return ends[0];
}

static void compare(int a, int b)
{
    static char x[65536], y[sizeof x];
    uint64_t size = size_of(a);
    fuzz_require(size == size_of(b), "a pipe gives other bytes than a file");
    for (uint64_t at = 0; at < size;) {
        ssize_t n = pread(a, x, sizeof x, (off_t)at);
        fuzz_require(n > 0 && pread(b, y, (size_t)n, (off_t)at) == n,
                     "what was unpacked cannot be read");
        fuzz_require(memcmp(x, y, (size_t)n) == 0, "a pipe gives other bytes than a file");
        at += (uint64_t)n;
    }
}

static void run(const uint8_t *bytes, size_t len)
{
    struct hw_unpacked file, piped;
    int rc = unpack(open(fuzz_file(bytes, len), O_RDONLY | O_CLOEXEC), &file);
    hw_autoclose int fd = file.fd;
    if (rc == HW_OK && !file.format)
        fuzz_require(size_of(fd) == len && !file.cut_short, "a plain file was changed");
    else if (rc == HW_OK)
        fuzz_require(size_of(fd) <= MOST, "more came out than allowed");
    if (len == 0 || len > PIPE_BYTES)
        return;
    int again = unpack(open_pipe(bytes, len), &piped);
    hw_autoclose int other = piped.fd;
    fuzz_require(again == rc && (file.format ? piped.format == file.format : !piped.format) &&
                     piped.cut_short == file.cut_short,
                 "a pipe ends otherwise than a file");
    if (rc == HW_OK)
        compare(fd, other);
}

const struct fuzzer fuzz_unpack = {"unpack", run};
