/*
 * Failing in one line. See struct hw_error in <heapwalk/heapwalk.h>.
 */
#ifndef HW_BASE_ERR_H
#define HW_BASE_ERR_H

#include <heapwalk/heapwalk.h>

/*
 * Fill `err` (which may be NULL) with a code and a text and return the code:
 *     return hw_fail(err, HW_ERR_FAULT, "cannot read %#" PRIx64, address);
 * Clears errno detail and remedy.
 */
int hw_fail(struct hw_error *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* As hw_fail(), with ": strerror(errno)" behind the text and errno kept. Never changes errno. */
int hw_fail_errno(struct hw_error *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Add what the user can do about it to an `err` already filled; NULL is ignored. */
void hw_remedy(struct hw_error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
