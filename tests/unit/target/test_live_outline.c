/*
 * The outline of a process: who it is and what is mapped, and nothing of its memory.
 */
#include "child.h"

#include "target/target.h"

#include <elf.h>

static struct hw_target *outline_of(pid_t pid)
{
    struct hw_target *t;
    struct hw_error err = {0};
    cr_assert_eq(hw_target_open_outline(pid, &t, &err), HW_OK, "%s", err.text);
    return t;
}

static char secret[4096] = "a secret in memory that can be written";

Test(outline, of_files_only, .timeout = 60)
{
    pid_t pid = child_start(child_sleep, NULL);
    struct hw_target *t = outline_of(pid), *whole;
    struct hw_error err = {0};
    cr_assert_eq(hw_target_open_live(pid, &whole, &err), HW_OK, "%s", err.text);
    cr_expect_eq(t->map_count, whole->map_count);
    cr_expect_eq(t->thread_count, 1);
    cr_expect_eq(t->who.pid, pid);
    cr_expect_str_eq(t->who.exe, whole->who.exe);
    size_t heads = 0;
    for (size_t i = 0; i < t->map_count; i++) {
        const struct hw_map *map = &t->maps[i];
        uint8_t bytes[64], real[64];
        ssize_t n = hw_read(t, map->start, bytes, sizeof bytes, NULL);
        cr_expect_geq(n, 0);
        if (n <= 0)
            continue;
        cr_expect(!(map->flags & HW_MAP_WRITE) && map->path, "%s", map->path);
        cr_expect_eq(hw_read(whole, map->start, real, sizeof real, NULL), (ssize_t)sizeof real);
        cr_expect_eq(memcmp(bytes, real, (size_t)n), 0, "%s", map->path);
        heads += memcmp(bytes, ELFMAG, SELFMAG) == 0;
    }
    cr_expect_gt(heads, 2);
    char text[8];
    cr_expect_eq(hw_read(t, (uintptr_t)secret, text, sizeof text, NULL), 0);
    cr_expect_eq(hw_read(whole, (uintptr_t)secret, text, sizeof text, NULL), (ssize_t)sizeof text);
    hw_target_close(whole);
    hw_target_close(t);
    child_end(pid);
}

Test(outline, pages_are_counted, .timeout = 60)
{
    pid_t pid = child_start(child_sleep, NULL);
    struct hw_target *t = outline_of(pid);
    uint64_t bytes = 0;
    if (hw_target_find_pages(t, NULL) == HW_OK) {
        for (size_t i = 0; i < t->map_count; i++)
            bytes += t->maps[i].anon_bytes;
        cr_expect_gt(bytes, 0);
    }
    hw_target_close(t);
    child_end(pid);
}

Test(outline, of_nobody, .timeout = 60)
{
    struct hw_target *t;
    struct hw_error err = {0};
    pid_t pid = child_start(child_sleep, NULL);
    child_end(pid);
    cr_expect_eq(hw_target_open_outline(pid, &t, &err), HW_ERR_NO_PROCESS);
    cr_expect_null(t);
    cr_expect_eq(hw_target_open_outline(-1, &t, NULL), HW_ERR_NO_PROCESS);
}
