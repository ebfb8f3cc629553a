#include "unpack/source.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int hw_source_init(struct hw_source *s, int fd, const char *name, struct hw_error *err)
{
    *s = (struct hw_source){.fd = fd, .name = name, .buf = malloc(HW_SOURCE_BYTES)};
    return s->buf ? HW_OK : hw_fail(err, HW_ERR_NOMEM, "no memory for unpacking %s", name);
}

void hw_source_deinit(struct hw_source *s)
{
    free(s->buf);
    s->buf = NULL;
}

int hw_source_fill(struct hw_source *s, size_t want, struct hw_error *err)
{
    if (hw_source_left(s) >= want || s->at_end)
        return HW_OK;
    memmove(s->buf, s->buf + s->at, hw_source_left(s));
    s->end -= s->at;
    s->at = 0;
    while (s->end < want) {
        ssize_t n = read(s->fd, s->buf + s->end, HW_SOURCE_BYTES - s->end);
        if (n < 0 && errno == EINTR)
            continue;
        /* Others have this open, too, who do not want to wait: so the flag stays. */
        if (n < 0 && errno == EAGAIN) {
            poll(&(struct pollfd){.fd = s->fd, .events = POLLIN}, 1, -1);
            continue;
        }
        if (n < 0)
            return hw_fail_errno(err, HW_ERR_SYSTEM, "cannot read %s", s->name);
        s->end += (size_t)n;
        s->idle += (size_t)n;
        s->at_end = n == 0 || s->idle > HW_SOURCE_IDLE;
        if (s->at_end)
            break;
    }
    return HW_OK;
}
