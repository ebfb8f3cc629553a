/*
 * Opening files that somebody else names.
 */
#ifndef HW_BASE_FILE_H
#define HW_BASE_FILE_H

#include "base/err.h"

/*
 * Open a file that the target, which may be hostile, names: only a regular file, since opening a
 * device or a FIFO can block or do things. `dir` and `path` as in openat(). `in_root`: `dir` is the
 * root directory of a process, and nothing in `path`, no symbolic link either, leads out of it.
 * A descriptor, or HW_ERR_SYSTEM.
 */
int hw_open_regular(int dir, const char *path, bool in_root, struct hw_error *err);

#endif
