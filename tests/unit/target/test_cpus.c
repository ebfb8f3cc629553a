#include "fake_groups.h"

#include "target/cpus.h"

#include <sys/sysinfo.h>
#include <unistd.h>

Test(cpus, in_lists)
{
    cr_expect_eq(hw_cpus_in_list("0\n"), 1);
    cr_expect_eq(hw_cpus_in_list("0-3\n"), 4);
    cr_expect_eq(hw_cpus_in_list("0-1,4,6-7"), 5);
    cr_expect_eq(hw_cpus_in_list("0-1023\n"), 1024);
    static const char *const bad[] = {"",     "\n",  "a",    "-1",           "3-1",
                                      "0-x",  "1;2", "0,1x", "0-4294967295", "99999999999999999999",
                                      "0-1 2"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect_eq(hw_cpus_in_list(bad[i]), 0, "%s: %u", bad[i], hw_cpus_in_list(bad[i]));
}

Test(cpus, online_as_our_own_glibc_counts)
{
    unsigned n;
    cr_assert(hw_cpus_online(getpid(), &n));
    cr_expect_eq(n, (unsigned)get_nprocs());
}

/* ---- control groups -------------------------------------------------------------------------- */

/* 0: no limit. */
static unsigned quota(const char *cgroups)
{
    unsigned n;
    return hw_cpus_quota_below(groups, cgroups, &n) ? n : 0;
}

Test(cpus, quota_of_version_2, .init = make_groups, .fini = remove_groups)
{
    put("/a/b", "cpu.max", "max 100000\n");
    cr_expect_eq(quota("0::/a/b\n"), 0);
    put("/a", "cpu.max", "400000 100000\n");
    cr_expect_eq(quota("0::/a/b\n"), 4);
    put("/a/b", "cpu.max", "150000 100000\n");
    cr_expect_eq(quota("0::/a/b\n"), 2);
    cr_expect_eq(quota("0::/a\n"), 4);
    cr_expect_eq(quota("0::/a/b/gone\n"), 2);
    cr_expect_eq(quota("0::/\n"), 0);
    put("", "cpu.max", "50000 100000\n"); /* the root of a container's own namespace */
    cr_expect_eq(quota("0::/\n"), 1);
    cr_expect_eq(quota("0::/a/b\n"), 1);
    cr_expect_eq(quota("0::/../x\n"), 0);
    put("/c", "cpu.max", "1 0\n");
    put("/d", "cpu.max", "-5 100000\n");
    put("", "cpu.max", "max 100000\n");
    cr_expect_eq(quota("0::/c\n"), 0);
    cr_expect_eq(quota("0::/d\n"), 0);
}

Test(cpus, quota_of_version_1, .init = make_groups, .fini = remove_groups)
{
    static const char cgroups[] = "9:name=systemd:/cpu\n4:memory:/a\n2:cpuacct:/b\n"
                                  "1:cpu,cpuset:/docker/x\n0::/\n";
    cr_expect_eq(quota(cgroups), 0);
    put("/cpu,cpuset/docker", "cpu.cfs_quota_us", "-1\n");
    put("/cpu,cpuset/docker", "cpu.cfs_period_us", "100000\n");
    cr_expect_eq(quota(cgroups), 0);
    put("/cpu,cpuset/docker/x", "cpu.cfs_quota_us", "250000\n");
    cr_expect_eq(quota(cgroups), 0, "a quota without a period");
    put("/cpu,cpuset/docker/x", "cpu.cfs_period_us", "100000\n");
    cr_expect_eq(quota(cgroups), 3);
    put("/cpu/docker", "cpu.cfs_quota_us", "100000\n");
    put("/cpu/docker", "cpu.cfs_period_us", "100000\n");
    cr_expect_eq(quota(cgroups), 1);
}

Test(cpus, quota_of_what_is_no_list_of_groups, .init = make_groups, .fini = remove_groups)
{
    static const char *const texts[] = {"", "\n", "0", "0:", "0::", ":::", "1:cpu\n", "x:cpu:"};
    put("", "cpu.max", "max 1\n");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        cr_expect_eq(quota(texts[i]), 0, "%s", texts[i]);
    char *deep = malloc(9000);
    cr_assert_not_null(deep);
    strcpy(deep, "0::");
    for (size_t i = 3; i < 8990; i += 2)
        memcpy(deep + i, "/a", 3);
    cr_expect_eq(quota(deep), 0);
    free(deep);
}
