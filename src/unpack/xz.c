#include "unpack/codec.h"

#include <lzma.h>
#include <stdlib.h>

#define MEMORY_MAX (UINT64_C(256) << 20)

static const char *flaw_of(lzma_ret rc)
{
    switch (rc) {
    case LZMA_BUF_ERROR:
        return HW_FLAW_ENDS_EARLY;
    case LZMA_MEMLIMIT_ERROR:
        return "its dictionary is larger than 256 MiB";
    case LZMA_FORMAT_ERROR:
        return "bytes that are not xz follow it";
    case LZMA_OPTIONS_ERROR:
        return "it needs a filter that liblzma does not have";
    default:
        return "its data are damaged";
    }
}

static enum hw_unpack_end unpack_streams(lzma_stream *z, unsigned char *buf, struct hw_source *in,
                                         struct hw_spool *out, const char **flaw,
                                         struct hw_error *err)
{
    lzma_ret rc = LZMA_OK;
    while (rc == LZMA_OK) {
        if (hw_source_fill(in, 1, err) != HW_OK)
            return HW_UNPACK_FAILED;
        z->next_in = in->buf + in->at;
        z->avail_in = hw_source_left(in);
        z->next_out = buf;
        z->avail_out = HW_CODEC_BYTES;
        rc = lzma_code(z, in->at_end && z->avail_in == 0 ? LZMA_FINISH : LZMA_RUN);
        in->at = in->end - z->avail_in;
        size_t n = HW_CODEC_BYTES - z->avail_out;
        if (n && hw_codec_put(in, out, buf, n, err) != HW_OK)
            return HW_UNPACK_FAILED;
    }
    if (rc == LZMA_STREAM_END)
        return HW_UNPACK_WHOLE;
    *flaw = flaw_of(rc);
    return HW_UNPACK_BROKEN;
}

static enum hw_unpack_end unpack(struct hw_source *in, struct hw_spool *out, const char **flaw,
                                 struct hw_error *err)
{
    lzma_stream z = LZMA_STREAM_INIT;
    unsigned char *buf = malloc(HW_CODEC_BYTES);
    enum hw_unpack_end end = HW_UNPACK_FAILED;
    if (buf && lzma_stream_decoder(&z, MEMORY_MAX, LZMA_CONCATENATED) == LZMA_OK)
        end = unpack_streams(&z, buf, in, out, flaw, err);
    else
        hw_fail(err, HW_ERR_NOMEM, "no memory for unpacking %s", in->name);
    lzma_end(&z);
    free(buf);
    return end;
}

const struct hw_codec hw_codec_xz = {"xz", {0xfd, '7', 'z', 'X', 'Z', 0}, 6, unpack};
