#include "unpack/unpack.h"
#include "unpack/codec.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct hw_codec *const codecs[] = {&hw_codec_zstd, &hw_codec_lz4, &hw_codec_xz,
                                                &hw_codec_gzip};
enum { MAGIC_MAX = sizeof codecs[0]->magic };

static const struct hw_codec *recognise(const unsigned char *head, size_t len)
{
    for (size_t i = 0; i < sizeof codecs / sizeof *codecs; i++)
        if (len >= codecs[i]->magic_len &&
            memcmp(head, codecs[i]->magic, codecs[i]->magic_len) == 0)
            return codecs[i];
    return NULL;
}

/* What is not compressed, but cannot be read at random. */
static enum hw_unpack_end copy(struct hw_source *in, struct hw_spool *out, struct hw_error *err)
{
    for (;;) {
        if (hw_source_fill(in, 1, err) != HW_OK)
            return HW_UNPACK_FAILED;
        if (hw_source_left(in) == 0)
            return HW_UNPACK_WHOLE;
        if (hw_codec_put(in, out, in->buf + in->at, hw_source_left(in), err) != HW_OK)
            return HW_UNPACK_FAILED;
        in->at = in->end;
    }
}

static int unpack(struct hw_source *in, struct hw_spool *out, struct hw_unpacked *ret,
                  struct hw_error *err)
{
    int rc = hw_source_fill(in, MAGIC_MAX, err);
    if (rc != HW_OK)
        return rc;
    const struct hw_codec *codec = recognise(in->buf + in->at, hw_source_left(in));
    const char *flaw = NULL;
    struct hw_error why = {0};
    enum hw_unpack_end end = codec ? codec->unpack(in, out, &flaw, &why) : copy(in, out, &why);
    if (end == HW_UNPACK_WHOLE && in->idle > HW_SOURCE_IDLE) {
        end = HW_UNPACK_BROKEN;
        flaw = "nothing comes of what follows it, which was not read to its end";
    }
    if (end == HW_UNPACK_FAILED && out->is_other) {
        ret->format = codec ? codec->name : NULL;
        return HW_OK;
    }
    if (end == HW_UNPACK_FAILED) {
        if (err)
            *err = why;
        return why.code;
    }
    ret->format = codec ? codec->name : NULL;
    ret->cut_short = end == HW_UNPACK_BROKEN;
    if (ret->cut_short)
        snprintf(ret->why, sizeof ret->why, "%s", flaw);
    if (ret->cut_short && out->size == 0)
        return hw_fail(err, HW_ERR_NOT_CORE, "%s cannot be unpacked (%s): %s", in->name,
                       ret->format, flaw);
    return HW_OK;
}

/* Whether a regular file can be taken as it is. */
static bool is_plain(int fd)
{
    unsigned char head[MAGIC_MAX];
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return false;
    ssize_t n = pread(fd, head, sizeof head, 0);
    return n >= 0 && !recognise(head, (size_t)n);
}

int hw_unpack(int fd, const char *name, uint64_t max, const char *magic, struct hw_unpacked *ret,
              struct hw_error *err)
{
    *ret = (struct hw_unpacked){.fd = -1};
    if (is_plain(fd)) {
        ret->fd = fd;
        return HW_OK;
    }
    struct hw_source in = {0};
    struct hw_spool out;
    hw_spool_init(&out, name, max, magic);
    lseek(fd, 0, SEEK_SET); /* what is no regular file goes on where it is */
    int rc = hw_source_init(&in, fd, name, err);
    if (rc == HW_OK)
        rc = unpack(&in, &out, ret, err);
    if (rc == HW_OK)
        rc = hw_spool_take(&out, &ret->fd, err);
    if (rc == HW_OK && ret->fd < 0)
        rc = hw_fail(err, HW_ERR_NOT_CORE, "%s is empty", name);
    hw_spool_deinit(&out);
    hw_source_deinit(&in);
    close(fd);
    return rc;
}
