#include "child.h"

#include "target/proc.h"

static bool parse(const char *text, struct hw_map *ret)
{
    static char line[256];
    snprintf(line, sizeof line, "%s", text);
    return hw_proc_parse_map(line, ret);
}

Test(proc, parses_lines_of_maps)
{
    struct hw_map m;
    cr_assert(
        parse("7f10a2c00000-7f10a2c28000 r-xp 00028000 fe:00 1234    /usr/lib/libc.so.6\n", &m));
    cr_expect_eq(m.start, 0x7f10a2c00000u);
    cr_expect_eq(m.end, 0x7f10a2c28000u);
    cr_expect_eq(m.offset, 0x28000u);
    cr_expect_eq(m.flags, HW_MAP_READ | HW_MAP_EXEC);
    cr_expect_str_eq(m.path, "/usr/lib/libc.so.6");

    cr_assert(parse("5590-5591 rw-s 0 00:01 7      /tmp/a name\\012 of two (deleted)\n", &m));
    cr_expect_str_eq(m.path, "/tmp/a name\\012 of two (deleted)");
    cr_expect_eq(m.flags, HW_MAP_READ | HW_MAP_WRITE | HW_MAP_SHARED);

    cr_assert(parse("7f0000000000-7f0000021000 rw-p 00000000 00:00 0 \n", &m));
    cr_expect_null(m.path);
    cr_assert(parse("7f0000000000-7f0000021000 ---p 00000000 00:00 0", &m));
    cr_expect_null(m.path);
    cr_expect_eq(m.flags, 0);
    cr_assert(
        parse("7f0000000000-7f0000021000 rw-p 00000000 00:00 0   [anon: glibc: malloc]\n", &m));
    cr_expect_str_eq(m.path, "[anon: glibc: malloc]");
    cr_assert(
        parse("ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0     [vsyscall]\n", &m));
    cr_expect_eq(m.end, 0xffffffffff601000u);
}

Test(proc, refuses_what_is_no_line_of_maps)
{
    struct hw_map m;
    cr_expect(!parse("", &m));
    cr_expect(!parse("\n", &m));
    cr_expect(!parse("2000-1000 rw-p 00000000 00:00 0 \n", &m));
    cr_expect(!parse("1000-2000 rw-p\n", &m));
    cr_expect(!parse("Rss: 4 kB\n", &m));
}

Test(proc, reads_our_own_maps)
{
    hw_map_vec maps = {0};
    struct hw_error err;
    cr_assert_eq(hw_proc_maps(getpid(), &maps, &err), HW_OK, "%s", err.text);
    cr_expect_gt(maps.count, 10);
    bool found = false;
    for (size_t i = 0; i < maps.count; i++) {
        cr_expect_lt(maps.data[i].start, maps.data[i].end);
        cr_expect(i == 0 || maps.data[i - 1].end <= maps.data[i].start);
        found |= maps.data[i].path && strcmp(maps.data[i].path, "[stack]") == 0;
    }
    cr_expect(found);
    hw_map_vec_free(&maps);
}

static void odd_name(void *arg)
{
    prctl(PR_SET_NAME, "a) R 1 (\x1b[1mb");
    child_sleep(arg);
}

Test(proc, is_not_fooled_by_odd_names)
{
    pid_t pid = child_start(odd_name, NULL);
    cr_assert(reaches_state(pid, 'S'));
    struct hw_proc_stat stat;
    cr_assert(hw_proc_stat(pid, &stat));
    cr_expect_eq(stat.state, 'S');
    cr_expect_str_eq(stat.comm, "a) R 1 (?[1mb");
    cr_expect(!(stat.flags & HW_PF_KTHREAD));
    child_end(pid);
    cr_expect(!hw_proc_stat(pid, &stat));
    cr_expect(hw_proc_thread_ended(pid, pid));
}

Test(proc, finds_values_in_a_status)
{
    const char *status = "Name:\tTgid:\nTgid:\t42\nUid:\t1 2 3 4\n";
    cr_expect_eq(atoi(hw_status_value(status, "Tgid")), 42);
    cr_expect_eq(strncmp(hw_status_value(status, "Uid"), "1 2", 3), 0);
    cr_expect_null(hw_status_value(status, "gid"));
    cr_expect_null(hw_status_value(status, "TracerPid"));
}
