#include "unpack/codec.h"

#include <stdlib.h>
#include <zlib.h>

enum { ANY_WINDOW = 15, GZIP_HEADER = 16 }; /* see inflateInit2() */

static enum hw_unpack_end unpack_members(z_stream *z, unsigned char *buf, struct hw_source *in,
                                         struct hw_spool *out, const char **flaw,
                                         struct hw_error *err)
{
    bool inside = true; /* of a member */
    for (;;) {
        if (hw_source_fill(in, 1, err) != HW_OK)
            return HW_UNPACK_FAILED;
        if (!inside && hw_source_left(in) == 0)
            return HW_UNPACK_WHOLE;
        if (!inside &&
            in->buf[in->at] == 0) { /* padding to whole blocks of a tape, as gzip has it */
            in->at++;
            continue;
        }
        if (!inside && (in->buf[in->at] != hw_codec_gzip.magic[0] || inflateReset(z) != Z_OK))
            return HW_UNPACK_BROKEN;
        inside = true;
        z->next_in = in->buf + in->at;
        z->avail_in = (uInt)hw_source_left(in);
        z->next_out = buf;
        z->avail_out = HW_CODEC_BYTES;
        int rc = inflate(z, Z_NO_FLUSH);
        in->at = in->end - z->avail_in;
        size_t n = HW_CODEC_BYTES - z->avail_out;
        if (n && hw_codec_put(in, out, buf, n, err) != HW_OK)
            return HW_UNPACK_FAILED;
        if (rc == Z_STREAM_END) {
            inside = false;
        } else if (rc != Z_OK) { /* Z_BUF_ERROR: there is no more input */
            *flaw = rc == Z_BUF_ERROR ? HW_FLAW_ENDS_EARLY : "its data are damaged";
            return HW_UNPACK_BROKEN;
        }
    }
}

static enum hw_unpack_end unpack(struct hw_source *in, struct hw_spool *out, const char **flaw,
                                 struct hw_error *err)
{
    z_stream z = {0};
    unsigned char *buf = malloc(HW_CODEC_BYTES);
    enum hw_unpack_end end = HW_UNPACK_FAILED;
    *flaw = "bytes that are not gzip follow it";
    if (buf && inflateInit2(&z, ANY_WINDOW + GZIP_HEADER) == Z_OK) {
        end = unpack_members(&z, buf, in, out, flaw, err);
        inflateEnd(&z);
    } else {
        hw_fail(err, HW_ERR_NOMEM, "no memory for unpacking %s", in->name);
    }
    free(buf);
    return end;
}

const struct hw_codec hw_codec_gzip = {"gzip", {0x1f, 0x8b, 0x08}, 3, unpack};
