#include "unpack/codec.h"

#include <stdlib.h>
#include <zstd.h>

/* libzstd itself refuses windows of more than 128 MiB (ZSTD_WINDOWLOG_LIMIT_DEFAULT). */
static enum hw_unpack_end unpack_frames(ZSTD_DStream *z, unsigned char *buf, struct hw_source *in,
                                        struct hw_spool *out, const char **flaw,
                                        struct hw_error *err)
{
    size_t more = 0; /* 0: a frame has just ended */
    for (;;) {
        if (hw_source_fill(in, 1, err) != HW_OK)
            return HW_UNPACK_FAILED;
        bool dry = hw_source_left(in) == 0;
        if (dry && more == 0)
            return HW_UNPACK_WHOLE;
        ZSTD_inBuffer from = {in->buf + in->at, hw_source_left(in), 0};
        ZSTD_outBuffer to = {buf, HW_CODEC_BYTES, 0};
        more = ZSTD_decompressStream(z, &to, &from);
        if (ZSTD_isError(more)) {
            *flaw = ZSTD_getErrorName(more);
            return HW_UNPACK_BROKEN;
        }
        in->at += from.pos;
        if (to.pos && hw_codec_put(in, out, buf, to.pos, err) != HW_OK)
            return HW_UNPACK_FAILED;
        if (dry && to.pos == 0) {
            *flaw = HW_FLAW_ENDS_EARLY;
            return HW_UNPACK_BROKEN;
        }
    }
}

static enum hw_unpack_end unpack(struct hw_source *in, struct hw_spool *out, const char **flaw,
                                 struct hw_error *err)
{
    ZSTD_DStream *z = ZSTD_createDStream();
    unsigned char *buf = malloc(HW_CODEC_BYTES);
    enum hw_unpack_end end = HW_UNPACK_FAILED;
    if (z && buf)
        end = unpack_frames(z, buf, in, out, flaw, err);
    else
        hw_fail(err, HW_ERR_NOMEM, "no memory for unpacking %s", in->name);
    free(buf);
    ZSTD_freeDStream(z);
    return end;
}

const struct hw_codec hw_codec_zstd = {"zstd", {0x28, 0xb5, 0x2f, 0xfd}, 4, unpack};
