/*
 * Scope guards: a variable marked with one of these is released when its scope ends, on every path.
 *     hw_autofree char *line = NULL;
 *     hw_autoclose int fd = open(...);
 * To hand the thing on, move it out with hw_take() or hw_take_fd().
 */
#ifndef HW_BASE_CLEANUP_H
#define HW_BASE_CLEANUP_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void hw_cleanup_free(void *p)
{
    free(*(void **)p);
}

static inline void hw_cleanup_fd(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static inline void hw_cleanup_file(FILE **f)
{
    if (*f)
        fclose(*f);
}

#define hw_autofree  __attribute__((cleanup(hw_cleanup_free)))
#define hw_autoclose __attribute__((cleanup(hw_cleanup_fd)))
#define hw_autofile  __attribute__((cleanup(hw_cleanup_file)))

/* The value of a guarded pointer, which the guard then no longer releases. */
#define hw_take(p)                                                                                 \
    __extension__({                                                                                \
        __typeof__(p) hw_taken_ = (p);                                                             \
        (p) = NULL;                                                                                \
        hw_taken_;                                                                                 \
    })

static inline int hw_take_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

#endif
