#include "base/cleanup.h"
#include "base/file.h"
#include "target/image.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#define PAGE_BYTES 4096

struct buffer_target {
    struct hw_target t;
    struct hw_buffer_range *ranges; /* sorted as t.maps, one for each */
};

static ssize_t buffer_read(struct hw_target *t, hw_addr addr, void *buf, size_t len,
                           struct hw_error *err)
{
    (void)err;
    struct buffer_target *b = (struct buffer_target *)t;
    const struct hw_map *map = hw_map_at(t, addr);
    if (!map)
        return 0;
    size_t done = 0;
    for (size_t i = (size_t)(map - t->maps); i < t->map_count && done < len; i++) {
        const struct hw_buffer_range *r = &b->ranges[i];
        if (r->start > addr + done)
            break;
        size_t skip = (size_t)(addr + done - r->start);
        size_t n = r->len - skip < len - done ? r->len - skip : len - done;
        memcpy((char *)buf + done, (const char *)r->bytes + skip, n);
        done += n;
    }
    return (ssize_t)done;
}

static int buffer_open_file(struct hw_target *t, const struct hw_map *map, struct hw_error *err)
{
    (void)t;
    return hw_open_regular(AT_FDCWD, map->path, false, err);
}

static void buffer_close(struct hw_target *t)
{
    free(((struct buffer_target *)t)->ranges);
}

static const struct hw_target_ops buffer_ops = {
    .read = buffer_read,
    .open_file = buffer_open_file,
    .close = buffer_close,
};

static int by_start(const void *a, const void *b)
{
    const struct hw_buffer_range *x = a, *y = b;
    return (x->start > y->start) - (x->start < y->start);
}

/* Copy the ranges, sorted, without the empty ones, and make a map of each. */
static int take_ranges(struct buffer_target *b, const struct hw_buffer_range *ranges, size_t count,
                       struct hw_error *err)
{
    b->ranges = calloc(count ? count : 1, sizeof *b->ranges);
    b->t.maps = calloc(count ? count : 1, sizeof *b->t.maps);
    if (!b->ranges || !b->t.maps)
        return hw_fail(err, HW_ERR_NOMEM, "out of memory");
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (ranges[i].len > 0)
            b->ranges[kept++] = ranges[i];
    qsort(b->ranges, kept, sizeof *b->ranges, by_start);

    for (size_t i = 0; i < kept; i++) {
        const struct hw_buffer_range *r = &b->ranges[i];
        struct hw_map *m = &b->t.maps[i];
        if (r->len > UINT64_MAX - r->start)
            return hw_fail(err, HW_ERR_USAGE, "the range at %#" PRIx64 " wraps", r->start);
        if (i > 0 && r->start < m[-1].end)
            return hw_fail(err, HW_ERR_USAGE, "the ranges overlap at %#" PRIx64, r->start);
        *m = (struct hw_map){.start = r->start, .end = r->start + r->len, .flags = r->flags};
        b->t.map_count = i + 1;
        if (r->path && !(m->path = strdup(r->path)))
            return hw_fail(err, HW_ERR_NOMEM, "out of memory");
    }
    return HW_OK;
}

int hw_target_open_buffer(const struct hw_buffer_range *ranges, size_t range_count,
                          const struct hw_thread *threads, size_t thread_count,
                          struct hw_target **ret, struct hw_error *err)
{
    *ret = NULL;
    struct buffer_target *b = calloc(1, sizeof *b);
    if (!b)
        return hw_fail(err, HW_ERR_NOMEM, "out of memory");
    b->t.ops = &buffer_ops;
    b->t.who = (struct hw_identity){
        .kind = HW_TARGET_BUFFER, .machine = hw_machine(HW_X86_64), .page_size = PAGE_BYTES};
    b->t.pause_ns = -1;

    int rc = take_ranges(b, ranges, range_count, err);
    hw_thread_vec copy = {0};
    for (size_t i = 0; threads && i < thread_count && rc == HW_OK; i++)
        if (!hw_vec_push(&copy, threads[i]))
            rc = hw_fail(err, HW_ERR_NOMEM, "out of memory");
    hw_target_take_threads(&b->t, &copy);
    if (rc != HW_OK) {
        hw_target_close(&b->t);
        return rc;
    }
    *ret = &b->t;
    return HW_OK;
}
