#include "target/target.h"

#include "target/image.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>

ssize_t hw_read(struct hw_target *t, hw_addr addr, void *buf, size_t len, struct hw_error *err)
{
    /* No image reaches the very last byte of the address space: ranges never wrap below here. */
    if (len > UINT64_MAX - addr)
        len = UINT64_MAX - addr;
    if (len > SSIZE_MAX)
        len = SSIZE_MAX;
    if (len == 0)
        return 0;
    ssize_t n = t->ops->read(t, addr, buf, len, err);
    if (n > 0)
        t->bytes_read += (uint64_t)n;
    return n;
}

ssize_t hw_read_ranges(struct hw_target *t, const struct hw_range *ranges, size_t count, void *buf,
                       struct hw_error *err)
{
    size_t done = t->ops->read_ranges ? t->ops->read_ranges(t, ranges, count, buf) : 0;
    if (done) {
        t->bytes_read += done;
        return (ssize_t)done;
    }
    for (size_t i = 0; i < count; i++) {
        size_t len = (size_t)(ranges[i].end - ranges[i].start);
        ssize_t n = hw_read(t, ranges[i].start, (char *)buf + done, len, err);
        if (n < 0)
            return done ? (ssize_t)done : n;
        done += (size_t)n;
        if ((size_t)n < len)
            break;
    }
    return (ssize_t)done;
}

int hw_read_all(struct hw_target *t, hw_addr addr, void *buf, size_t len, struct hw_error *err)
{
    ssize_t n = hw_read(t, addr, buf, len, err);
    if (n < 0)
        return (int)n;
    if ((size_t)n != len)
        return hw_fail(err, HW_ERR_FAULT, "cannot read %zu bytes at %#" PRIx64, len, addr);
    return HW_OK;
}

int hw_read_word(struct hw_target *t, hw_addr addr, uint64_t *ret, struct hw_error *err)
{
    uint8_t bytes[8] = {0};
    unsigned word = t->who.machine->word;
    int rc = hw_read_all(t, addr, bytes, word, err);
    if (rc == HW_OK)
        *ret = hw_word(bytes, word);
    return rc;
}

int hw_target_freeze(struct hw_target *t, struct hw_error *err)
{
    if (t->frozen)
        return HW_OK;
    if (!t->keep_pages) {
        hw_pages_clear(&t->pages);
        t->pages_known = false;
    }
    int rc = t->ops->freeze ? t->ops->freeze(t, err) : HW_OK;
    t->frozen = rc == HW_OK;
    return rc;
}

int hw_target_copy(struct hw_target *t, struct hw_error *err)
{
    return t->ops->copy ? t->ops->copy(t, err) : HW_OK;
}

void hw_target_thaw(struct hw_target *t)
{
    if (!t->frozen)
        return;
    t->frozen = false;
    if (t->ops->thaw)
        t->ops->thaw(t);
}

void hw_target_let_go(struct hw_target *t)
{
    if (t->frozen && t->ops->let_go)
        t->ops->let_go(t);
}

int hw_target_check(struct hw_target *t, struct hw_error *err)
{
    return t->ops->check ? t->ops->check(t, err) : HW_OK;
}

int hw_target_open_file(struct hw_target *t, const struct hw_map *map, struct hw_error *err)
{
    if (!map->path || map->path[0] != '/')
        return hw_fail(err, HW_ERR_USAGE, "no file is mapped at %#" PRIx64, map->start);
    return t->ops->open_file(t, map, err);
}

void hw_target_close(struct hw_target *t)
{
    if (!t)
        return;
    hw_target_thaw(t);
    t->ops->close(t);
    hw_pages_clear(&t->pages);
    hw_target_drop_maps(t);
    hw_target_drop_threads(t);
    free(t->who.comm);
    free(t->who.exe);
    free(t->who.core);
    free(t);
}

int hw_target_find_pages(struct hw_target *t, struct hw_error *err)
{
    if (!t->ops->find_pages)
        return hw_fail(err, HW_ERR_UNSUPPORTED, "a core does not tell what was in RAM");
    int rc = t->ops->find_pages(t, err);
    t->pages_known = rc == HW_OK;
    return rc;
}

hw_addr hw_next_data(struct hw_target *t, hw_addr addr, hw_addr end, uint64_t *budget)
{
    if (addr >= end || *budget == 0)
        return end;
    const struct hw_map *map = t->pages_known && t->keep_pages ? hw_map_at(t, addr) : NULL;
    if (t->pages_known && !(map && map->flags & HW_MAP_CHANGED)) {
        bool absent = hw_pages_at(&t->pages, addr) == HW_PAGE_ABSENT;
        --*budget;
        return absent ? hw_pages_run_end(&t->pages, addr, end) : addr;
    }
    return t->ops->next_data ? t->ops->next_data(t, addr, end, budget) : addr;
}

const struct hw_map *hw_map_at(const struct hw_target *t, hw_addr addr)
{
    size_t low = 0, high = t->map_count; /* the first map that ends above addr */
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (t->maps[mid].end <= addr)
            low = mid + 1;
        else
            high = mid;
    }
    return low < t->map_count && t->maps[low].start <= addr ? &t->maps[low] : NULL;
}

bool hw_map_is_anonymous(const struct hw_map *map)
{
    /* Private huge pages are anonymous memory that the kernel happens to keep in a hidden file. */
    static const char huge[] = "/anon_hugepage";
    return !map->path || map->path[0] == '[' ||
           (strncmp(map->path, huge, sizeof huge - 1) == 0 && !(map->flags & HW_MAP_SHARED));
}

const struct hw_thread *hw_map_stack_of(const struct hw_target *t, const struct hw_map *map)
{
    for (size_t i = 0; i < t->thread_count; i++) {
        const struct hw_thread *th = &t->threads[i];
        /* The control block of a thread stands on its stack, but for that of the main thread. */
        hw_addr at = th->regs_known ? th->sp : th->tid != t->who.pid ? th->tp : 0;
        if (at && at >= map->start && at < map->end)
            return th;
    }
    return NULL;
}
