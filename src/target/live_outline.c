/*
 * The outline of a live process, for --dry-run: its maps and threads as /proc tells them, and of
 * its bytes only those that are the same in the files it has mapped, read from there. Nothing of
 * the process itself is read.
 *
 * Pages that a program may write to differ from their file, and so do those that the dynamic linker
 * has made read-only once it was done with them. What is as it was is code, and the head of a file,
 * with the headers and the build-id.
 */
#include "target/live.h"

#include "base/cleanup.h"

static bool as_in_file(const struct hw_map *map)
{
    bool head = map->offset == 0 && map->flags & HW_MAP_READ;
    return map->path && map->path[0] == '/' && !(map->flags & HW_MAP_WRITE) &&
           (head || map->flags & HW_MAP_EXEC);
}

static ssize_t outline_read(struct hw_target *t, hw_addr addr, void *buf, size_t len,
                            struct hw_error *err)
{
    (void)err;
    const struct hw_map *map = hw_map_at(t, addr);
    if (!map || !as_in_file(map))
        return 0;
    hw_autoclose int fd = hw_live_open_file(t, map, NULL);
    size_t there = (size_t)(map->end - addr);
    ssize_t n = fd < 0 ? 0
                       : pread(fd, buf, len < there ? len : there,
                               (off_t)(map->offset + (addr - map->start)));
    return n > 0 ? n : 0;
}

const struct hw_target_ops hw_live_outline_ops = {
    .read = outline_read,
    .open_file = hw_live_open_file,
    .find_pages = hw_live_find_pages,
    .check = hw_live_check,
    .close = hw_live_close,
};
