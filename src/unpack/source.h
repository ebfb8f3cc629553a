/*
 * The input of a codec: a descriptor, in blocks.
 */
#ifndef HW_UNPACK_SOURCE_H
#define HW_UNPACK_SOURCE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HW_SOURCE_BYTES ((size_t)256 << 10)

/* Formats have padding, and frames to be skipped. But a file may have a hole of any size at no
 * cost: nothing comes of so many bytes unless somebody made them for that. What follows is not
 * read. */
#define HW_SOURCE_IDLE ((uint64_t)64 << 20)

struct hw_source {
    int fd;
    const char *name;
    unsigned char *buf; /* HW_SOURCE_BYTES; the bytes from `at` to `end` are not used yet */
    size_t at, end;
    bool at_end;   /* nothing follows behind `end` */
    uint64_t idle; /* bytes read since something came of them; who unpacks sets it to 0 */
};

/* Fails with NOMEM. `fd` stays the caller's. */
int hw_source_init(struct hw_source *s, int fd, const char *name, struct hw_error *err);
void hw_source_deinit(struct hw_source *s);

/*
 * Read until at least `want` bytes (at most HW_SOURCE_BYTES) are there, or the end is. What is
 * there stands at buf + at. Fails with SYSTEM.
 */
int hw_source_fill(struct hw_source *s, size_t want, struct hw_error *err);

static inline size_t hw_source_left(const struct hw_source *s)
{
    return s->end - s->at;
}

#endif
