/*
 * A core as it comes into a plain file that can be read anywhere.
 *
 *     core.zst ---+                                +--> as it is (a plain file)
 *     core.gz  ---+--> recognised by content  -----+
 *     a pipe   ---+                                +--> a sparse temporary file without a name
 */
#ifndef HW_UNPACK_UNPACK_H
#define HW_UNPACK_UNPACK_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* Bytes that what comes out may have, unless told otherwise: more than any core that can be
 * written, and little enough that a file which consists of zeros ends within minutes. */
#define HW_UNPACKED_MAX (UINT64_C(1) << 40)

struct hw_unpacked {
    int fd;             /* owned by the caller; the input itself if nothing was to be done */
    const char *format; /* "zstd", "lz4", "xz", "gzip"; NULL: not compressed. Static */
    bool cut_short;     /* the stream ended or broke off early: fd has what came before */
    char why[200];      /* if so, what is wrong with it */
};

/*
 * Make a plain file of what `fd` has from its beginning (a regular file) or from where it stands
 * (anything else). `fd` is taken over in any case. `name` is for messages. What is compressed, or
 * cannot be read at random, is written once into a temporary file ($TMPDIR, else /var/tmp), which
 * has no name and goes when it is closed; blocks of zeros take no room in it. `max`: bytes that it
 * may have. `magic`: what it has to begin with ("": anything); of what does not, only the beginning
 * is unpacked, so that one can say what it is, and nothing fills the disk in vain. Memory needed
 * does not depend on the input (zstd windows of more than 128 MiB and xz dictionaries of more than
 * 256 MiB are refused).
 *
 * A stream that is damaged or ends early is no error if anything came out of it (cut_short).
 * Fails with NOT_CORE (nothing came out; larger than `max`), SYSTEM (no room, with the remedy;
 * input or output errors), NOMEM.
 */
int hw_unpack(int fd, const char *name, uint64_t max, const char *magic, struct hw_unpacked *ret,
              struct hw_error *err);

#endif
