/*
 * What a compression format is to the rest.
 */
#ifndef HW_UNPACK_CODEC_H
#define HW_UNPACK_CODEC_H

#include "unpack/source.h"
#include "unpack/spool.h"

/* How unpacking ended. */
enum hw_unpack_end {
    HW_UNPACK_WHOLE,  /* to the end of the stream, whose checksum is right if it has one */
    HW_UNPACK_BROKEN, /* the stream is damaged or ends early: see `flaw` */
    HW_UNPACK_FAILED, /* the error says why */
};

struct hw_codec {
    const char *name;
    unsigned char magic[6]; /* what a file of it begins with */
    size_t magic_len;
    /* Unpack all that `in` has to `out`, streams that follow one another included. *flaw: a static
     * text, set where the result is BROKEN. */
    enum hw_unpack_end (*unpack)(struct hw_source *in, struct hw_spool *out, const char **flaw,
                                 struct hw_error *err);
};

extern const struct hw_codec hw_codec_zstd, hw_codec_lz4, hw_codec_xz, hw_codec_gzip;

/* Bytes that a codec hands over at a time. */
#define HW_CODEC_BYTES ((size_t)256 << 10)

/* What came of the input. */
static inline int hw_codec_put(struct hw_source *in, struct hw_spool *out, const void *bytes,
                               size_t len, struct hw_error *err)
{
    in->idle = 0;
    return hw_spool_put(out, bytes, len, err);
}

/* What each codec says of a stream that ends before it should. */
#define HW_FLAW_ENDS_EARLY "it ends in the middle"

#endif
