/*
 * Reports as files, for tests of what is read back from them.
 */
#ifndef HW_TESTS_DIFF_SAVED_H
#define HW_TESTS_DIFF_SAVED_H

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "diff/diff.h"

/* Whatever a report must have to be one. */
#define REPORT(more) "{\"schema_version\":1,\"heapwalk\":{\"version\":\"x\"},\"totals\":{}" more "}"

/* Read a text as if it were in a file. */
static inline int read_bytes(const char *text, size_t length, struct hw_saved *ret,
                             struct hw_error *err)
{
    char path[] = "/tmp/heapwalk-test-XXXXXX";
    int fd = mkstemp(path);
    cr_assert(fd >= 0 && write(fd, text, length) == (ssize_t)length);
    close(fd);
    int rc = hw_saved_read(path, ret, err);
    unlink(path);
    return rc;
}

static inline int read_text(const char *text, struct hw_saved *ret, struct hw_error *err)
{
    return read_bytes(text, strlen(text), ret, err);
}

/* A report that is fine. */
static inline struct hw_saved saved(const char *text)
{
    struct hw_saved s;
    struct hw_error err = {0};
    cr_assert_eq(read_text(text, &s, &err), HW_OK, "%s", err.text);
    return s;
}

/* Two reports, matched. */
static inline struct hw_diff *compared(const char *before, const char *after)
{
    struct hw_error err = {0};
    struct hw_diff *d = calloc(1, sizeof *d);
    cr_assert_not_null(d);
    d->before = saved(before);
    d->after = saved(after);
    cr_assert_eq(hw_diff_match(d, &err), HW_OK, "%s", err.text);
    return d;
}

#endif
