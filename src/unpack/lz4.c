#include "unpack/codec.h"

#include <lz4frame.h>
#include <stdlib.h>

static enum hw_unpack_end unpack_frames(LZ4F_dctx *z, unsigned char *buf, struct hw_source *in,
                                        struct hw_spool *out, const char **flaw,
                                        struct hw_error *err)
{
    size_t more = 0; /* 0: a frame has just ended */
    for (;;) {
        if (hw_source_fill(in, 1, err) != HW_OK)
            return HW_UNPACK_FAILED;
        size_t from = hw_source_left(in), to = HW_CODEC_BYTES;
        bool dry = from == 0;
        if (dry && more == 0)
            return HW_UNPACK_WHOLE;
        more = LZ4F_decompress(z, buf, &to, in->buf + in->at, &from, NULL);
        if (LZ4F_isError(more)) {
            *flaw = LZ4F_getErrorName(more);
            return HW_UNPACK_BROKEN;
        }
        in->at += from;
        if (to && hw_codec_put(in, out, buf, to, err) != HW_OK)
            return HW_UNPACK_FAILED;
        if (to == 0 && from == 0) {
            *flaw = HW_FLAW_ENDS_EARLY;
            return HW_UNPACK_BROKEN;
        }
    }
}

static enum hw_unpack_end unpack(struct hw_source *in, struct hw_spool *out, const char **flaw,
                                 struct hw_error *err)
{
    LZ4F_dctx *z = NULL;
    unsigned char *buf = malloc(HW_CODEC_BYTES);
    enum hw_unpack_end end = HW_UNPACK_FAILED;
    if (buf && !LZ4F_isError(LZ4F_createDecompressionContext(&z, LZ4F_VERSION)))
        end = unpack_frames(z, buf, in, out, flaw, err);
    else
        hw_fail(err, HW_ERR_NOMEM, "no memory for unpacking %s", in->name);
    LZ4F_freeDecompressionContext(z);
    free(buf);
    return end;
}

const struct hw_codec hw_codec_lz4 = {"lz4", {0x04, 0x22, 0x4d, 0x18}, 4, unpack};
