#include <criterion/criterion.h>

#include "target/target.h"

#include <string.h>
#include <unistd.h>

static uint8_t low[4096], middle[8192], high[100];

static struct hw_target *three_ranges(void)
{
    memset(low, 'l', sizeof low);
    memset(middle, 'm', sizeof middle);
    memset(high, 'h', sizeof high);
    struct hw_buffer_range ranges[] = {
        {0x20000, high, sizeof high, HW_MAP_READ, "[heap]"},
        {0x11000, middle, sizeof middle, HW_MAP_READ | HW_MAP_WRITE, NULL},
        {0x15000, NULL, 0, HW_MAP_READ, "nothing"},
        {0x10000, low, sizeof low, HW_MAP_READ | HW_MAP_EXEC, "/usr/lib/libc.so.6"},
    };
    struct hw_thread threads[] = {{.tid = 9, .regs_known = true, .tp = 7, .sp = 0x11800},
                                  {.tid = 3, .sp = 0x10010}};
    struct hw_target *t;
    struct hw_error err;
    cr_assert_eq(hw_target_open_buffer(ranges, 4, threads, 2, &t, &err), HW_OK, "%s", err.text);
    return t;
}

Test(buffer, reads_across_ranges_and_stops_at_holes)
{
    struct hw_target *t = three_ranges();
    uint8_t buf[20000];
    cr_expect_eq(hw_read(t, 0x10ff0, buf, 32, NULL), 32);
    cr_expect_eq(memcmp(buf, "llllllllllllllllmmmmmmmmmmmmmmmm", 32), 0);
    cr_expect_eq(hw_read(t, 0x10000, buf, sizeof buf, NULL), 4096 + 8192);
    cr_expect_eq(hw_read(t, 0xffff, buf, 10, NULL), 0);
    cr_expect_eq(hw_read(t, 0x13000, buf, 10, NULL), 0);
    cr_expect_eq(hw_read(t, 0x20060, buf, 10, NULL), 4);
    cr_expect_eq(hw_read(t, 0x20060, buf, 0, NULL), 0);
    cr_expect_eq(hw_read(t, UINT64_MAX, buf, 10, NULL), 0);
    cr_expect_eq(t->bytes_read, 32 + 4096 + 8192 + 4);
    hw_target_close(t);
}

Test(buffer, read_all_and_words)
{
    struct hw_target *t = three_ranges();
    struct hw_error err;
    uint64_t word;
    uint8_t buf[16];
    memcpy(middle + 8, "\x01\x02\x03\x04\x05\x06\x07\x88", 8);
    cr_expect_eq(hw_read_word(t, 0x11008, &word, &err), HW_OK);
    cr_expect_eq(word, 0x8807060504030201u);
    cr_expect_eq(hw_read_word(t, 0x12ffc, &word, &err), HW_ERR_FAULT);
    cr_expect_str_eq(err.text, "cannot read 8 bytes at 0x12ffc");
    cr_expect_eq(hw_read_all(t, 0x20054, buf, 16, NULL), HW_OK);
    cr_expect_eq(hw_read_all(t, 0x20055, buf, 16, NULL), HW_ERR_FAULT);
    hw_target_close(t);
}

Test(buffer, maps_are_sorted_and_found)
{
    struct hw_target *t = three_ranges();
    cr_assert_eq(t->map_count, 3);
    cr_expect_null(hw_map_at(t, 0));
    cr_expect_null(hw_map_at(t, 0xffff));
    cr_expect_eq(hw_map_at(t, 0x10000), &t->maps[0]);
    cr_expect_eq(hw_map_at(t, 0x10fff), &t->maps[0]);
    cr_expect_eq(hw_map_at(t, 0x11000), &t->maps[1]);
    cr_expect_null(hw_map_at(t, 0x13000));
    cr_expect_eq(hw_map_at(t, 0x20063), &t->maps[2]);
    cr_expect_null(hw_map_at(t, 0x20064));
    cr_expect_null(hw_map_at(t, UINT64_MAX));
    cr_expect(!hw_map_is_anonymous(&t->maps[0]));
    cr_expect(hw_map_is_anonymous(&t->maps[1]));
    cr_expect(hw_map_is_anonymous(&t->maps[2]));
    cr_expect_eq(t->maps[1].flags, HW_MAP_READ | HW_MAP_WRITE);
    cr_expect_str_eq(t->maps[0].path, "/usr/lib/libc.so.6");
    hw_target_close(t);
}

Test(buffer, huge_pages_are_anonymous_unless_shared)
{
    char path[] = "/anon_hugepage (deleted)";
    struct hw_map map = {.path = path};
    cr_expect(hw_map_is_anonymous(&map));
    map.flags = HW_MAP_SHARED;
    cr_expect(!hw_map_is_anonymous(&map));
}

Test(buffer, stacks_are_known_by_their_stack_pointer)
{
    struct hw_target *t = three_ranges();
    cr_assert_eq(t->thread_count, 2);
    cr_expect_eq(t->threads[0].tid, 3, "threads are sorted");
    cr_expect_null(hw_map_stack_of(t, &t->maps[0]), "registers that are not known do not count");
    const struct hw_thread *th = hw_map_stack_of(t, &t->maps[1]);
    cr_assert_not_null(th);
    cr_expect_eq(th->tid, 9);
    hw_target_close(t);
}

Test(buffer, refuses_what_overlaps_or_wraps)
{
    struct hw_target *t;
    struct hw_error err;
    struct hw_buffer_range overlap[] = {{0x1000, low, 4096, 0, NULL}, {0x1fff, high, 1, 0, "x"}};
    cr_expect_eq(hw_target_open_buffer(overlap, 2, NULL, 0, &t, &err), HW_ERR_USAGE);
    cr_expect_null(t);
    struct hw_buffer_range wrap[] = {{UINT64_MAX - 10, low, 4096, 0, NULL}};
    cr_expect_eq(hw_target_open_buffer(wrap, 1, NULL, 0, &t, NULL), HW_ERR_USAGE);
    cr_expect_eq(hw_target_open_buffer(NULL, 0, NULL, 0, &t, &err), HW_OK);
    cr_expect_null(hw_map_at(t, 5));
    hw_target_close(t);
    hw_target_close(NULL);
}

Test(buffer, freezing_is_always_possible)
{
    struct hw_target *t = three_ranges();
    cr_expect_eq(hw_target_freeze(t, NULL), HW_OK);
    cr_expect(t->frozen);
    cr_expect_eq(hw_target_freeze(t, NULL), HW_OK);
    hw_target_thaw(t);
    cr_expect(!t->frozen);
    hw_target_thaw(t);
    cr_expect_eq(t->pause_ns, -1);
    hw_target_close(t);
}

Test(buffer, opens_only_regular_files)
{
    struct hw_target *t = three_ranges();
    struct hw_error err;
    cr_expect_eq(hw_target_open_file(t, &t->maps[1], &err), HW_ERR_USAGE);
    cr_expect_eq(hw_target_open_file(t, &t->maps[2], &err), HW_ERR_USAGE);
    char null[] = "/dev/null", self[] = "/proc/self/exe";
    struct hw_map map = {.path = null};
    cr_expect_eq(hw_target_open_file(t, &map, &err), HW_ERR_SYSTEM);
    cr_expect_str_eq(err.text, "cannot open /dev/null: not a regular file");
    map.path = self;
    int fd = hw_target_open_file(t, &map, &err);
    cr_expect(fd >= 0, "%s", err.text);
    close(fd);
    hw_target_close(t);
}
