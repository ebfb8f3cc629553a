/*
 * The output of a codec: a temporary file without a name, with holes where there are only zeros.
 */
#ifndef HW_UNPACK_SPOOL_H
#define HW_UNPACK_SPOOL_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hw_spool {
    int fd; /* -1 until something is written */
    const char *name;
    uint64_t size, max;
    const char *magic; /* what it must begin with; "": whatever it likes */
    bool is_other;     /* and does not */
};

/* `magic` lives as long as the spool. */
void hw_spool_init(struct hw_spool *s, const char *name, uint64_t max, const char *magic);
/* Closes the file unless it was taken. */
void hw_spool_deinit(struct hw_spool *s);

/* Append. Fails with NOT_CORE (more than `max`; what begins otherwise than it must, of which these
 * first bytes are kept), SYSTEM (no room, no directory to write to). */
int hw_spool_put(struct hw_spool *s, const void *bytes, size_t len, struct hw_error *err);

/* Give the file its whole size and hand it over; -1 if nothing was written. Fails with SYSTEM. */
int hw_spool_take(struct hw_spool *s, int *fd, struct hw_error *err);

#endif
