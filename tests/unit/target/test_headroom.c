#include "fake_groups.h"

#include "target/headroom.h"

#include <unistd.h>

#define MIB (UINT64_C(1) << 20)

/* ---- what follows from the facts ------------------------------------------------------------- */

static struct hw_headroom ample(void)
{
    return (struct hw_headroom){.pid = 7,
                                .needed_bytes = 300 * MIB,
                                .machine_bytes = 1000 * MIB,
                                .cgroup_bytes = UINT64_MAX,
                                .cgroup_pids = UINT64_MAX,
                                .killable = true};
}

static void expect(const struct hw_headroom *h, const char *why)
{
    struct hw_error err = {0};
    int rc = hw_headroom_check(h, &err);
    cr_expect_eq(rc, why ? HW_ERR_HARMFUL : HW_OK, "%s", err.text);
    if (why) {
        cr_expect(strstr(err.text, why), "%s", err.text);
        cr_expect(strstr(err.text, "pid 7"), "%s", err.text);
        cr_expect_str_eq(err.remedy, HW_WITHOUT_SNAPSHOT);
    }
}

Test(headroom, each_fact_has_its_reason)
{
    struct hw_headroom h = ample();
    expect(&h, NULL);
    h.machine_bytes = 300 * MIB;
    h.cgroup_bytes = 300 * MIB;
    h.cgroup_pids = 8;
    expect(&h, NULL);

    h = ample(), h.filtered = true;
    expect(&h, "seccomp");
    h = ample(), h.killable = false;
    expect(&h, "CAP_KILL");
    h = ample(), h.faults_handled = true;
    expect(&h, "userfaultfd");
    h = ample(), h.transfers = true;
    expect(&h, "O_DIRECT");
    h = ample(), h.no_overcommit = true;
    expect(&h, "overcommit_memory");
    h = ample(), h.cgroup_pids = 3;
    expect(&h, "allows only 3 more");
    h = ample(), h.machine_bytes = 299 * MIB;
    expect(&h,
           "300 MiB, if the program rewrites all it has meanwhile, and the machine has 299 MiB");
    h = ample(), h.cgroup_bytes = 100 * MIB;
    expect(&h, "and the memory limit of its control group leaves 100 MiB");
}

Test(headroom, is_found_for_ourselves)
{
    struct hw_headroom h;
    hw_headroom_find(getpid(), &h);
    cr_expect_eq(h.pid, getpid());
    cr_expect(h.needed_bytes >= 4096 && h.needed_bytes < 4096 * MIB);
    cr_expect(h.machine_bytes > MIB && h.machine_bytes != UINT64_MAX);
    cr_expect(h.killable && !h.faults_handled && !h.filtered);
}

/* ---- control groups -------------------------------------------------------------------------- */

static void expect_room(const char *cgroups, uint64_t bytes, uint64_t pids)
{
    struct hw_headroom h = {0};
    hw_headroom_of_groups(groups, cgroups, &h);
    cr_expect_eq(h.cgroup_bytes, bytes, "%s: %llu", cgroups, (unsigned long long)h.cgroup_bytes);
    cr_expect_eq(h.cgroup_pids, pids, "%s: %llu", cgroups, (unsigned long long)h.cgroup_pids);
}

Test(headroom, of_groups_of_version_2, .init = make_groups, .fini = remove_groups)
{
    expect_room("0::/a/b\n", UINT64_MAX, UINT64_MAX);
    put("/a/b", "memory.max", "max\n");
    put("/a/b", "memory.current", "5000\n");
    put("/a/b", "pids.max", "max\n");
    put("/a/b", "pids.current", "12\n");
    expect_room("0::/a/b\n", UINT64_MAX, UINT64_MAX);
    put("/a", "memory.max", "100000\n");
    put("/a", "memory.current", "70000\n");
    expect_room("0::/a/b\n", 30000, UINT64_MAX);
    put("/a", "memory.stat", "anon 1\ninactive_file_x 3\ninactive_file 20000\nfile 2\n");
    expect_room("0::/a/b\n", 50000, UINT64_MAX);
    put("/a/b", "pids.max", "20\n");
    expect_room("0::/a/b\n", 50000, 8);
    put("/a/b", "pids.max", "10\n");
    put("/a/b", "memory.max", "4000\n");
    expect_room("0::/a/b\n", 0, 0);
    expect_room("0::/a\n", 50000, UINT64_MAX);
    expect_room("0::/\n", UINT64_MAX, UINT64_MAX);
    expect_room("0::/../a/b\n", UINT64_MAX, UINT64_MAX);
}

Test(headroom, of_groups_of_version_1, .init = make_groups, .fini = remove_groups)
{
    static const char cgroups[] = "9:pids:/x\n8:memory:/x/y\n1:cpu:/z\n0::/\n";
    put("/memory/x/y", "memory.limit_in_bytes", "9223372036854771712\n");
    put("/memory/x/y", "memory.usage_in_bytes", "1000\n");
    expect_room(cgroups, 9223372036854771712u - 1000, UINT64_MAX);
    put("/memory/x", "memory.limit_in_bytes", "8000\n");
    put("/memory/x", "memory.usage_in_bytes", "7000\n");
    put("/memory/x", "memory.stat", "inactive_file 1\ntotal_inactive_file 500\n");
    put("/pids", "pids.max", "100\n");
    put("/pids", "pids.current", "100\n");
    expect_room(cgroups, 1500, 0);
}

Test(headroom, of_what_is_no_list_of_groups, .init = make_groups, .fini = remove_groups)
{
    static const char *const texts[] = {"", "\n", "0", "0:", "::", "1:memory\n", "x:pids:"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        expect_room(texts[i], UINT64_MAX, UINT64_MAX);
}
