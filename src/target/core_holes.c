/*
 * Holes of the core file itself. What lies in one is saved: as zeros that take no room. Kernels
 * leave holes for pages that were never touched, and what we unpack has them for all blocks of
 * zeros.
 *
 *     [start, data)   a hole         what was asked for last: neighbours are asked for over and
 *     [data, end)     bytes          over, and files may have very many pieces
 */
#include "target/core_image.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

struct core_holes {
    int fd;
    pthread_mutex_t lock;
    uint64_t start, data, end;
};

int core_holes_create(int fd, struct core_holes **ret, struct hw_error *err)
{
    struct core_holes *h = calloc(1, sizeof *h);
    if (!h)
        return hw_fail(err, HW_ERR_NOMEM, "out of memory");
    h->fd = fd;
    pthread_mutex_init(&h->lock, NULL);
    *ret = h;
    return HW_OK;
}

void core_holes_destroy(struct core_holes *h)
{
    if (!h)
        return;
    pthread_mutex_destroy(&h->lock);
    free(h);
}

/* Find out about the piece that holds `offset`, and the next one if that is a hole. */
static void look(struct core_holes *h, uint64_t offset)
{
    off_t data = offset <= INT64_MAX ? lseek(h->fd, (off_t)offset, SEEK_DATA) : -1;
    if (data < 0 || (uint64_t)data < offset) {
        /* Nothing but a hole to the end of the file; or the file system does not tell. */
        bool hole = data < 0 && errno == ENXIO;
        h->start = offset;
        h->data = hole ? UINT64_MAX : offset;
        h->end = UINT64_MAX;
        return;
    }
    off_t end = lseek(h->fd, data, SEEK_HOLE);
    h->start = offset;
    h->data = (uint64_t)data;
    h->end = end > data ? (uint64_t)end : UINT64_MAX;
}

bool core_holes_at(struct core_holes *h, uint64_t offset, uint64_t *until)
{
    pthread_mutex_lock(&h->lock);
    if (offset < h->start || offset >= h->end)
        look(h, offset);
    bool hole = offset < h->data;
    *until = hole ? h->data : h->end;
    pthread_mutex_unlock(&h->lock);
    return hole;
}
