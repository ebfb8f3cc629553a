#include "target/cpus.h"

#include "base/cleanup.h"
#include "target/cgroup.h"
#include "target/proc.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>

static bool file_text(const char *path, char *buf, size_t size)
{
    hw_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, buf, size - 1); /* one read is all that sysfs needs */
    buf[n > 0 ? n : 0] = '\0';
    return n > 0;
}

/* ---- online ---------------------------------------------------------------------------------- */

unsigned hw_cpus_in_list(const char *list)
{
    enum { MOST = 1 << 20 };
    unsigned long count = 0;
    const char *p = list;
    while (*p >= '0' && *p <= '9') {
        char *end;
        unsigned long first = strtoul(p, &end, 10), last = first;
        if (*end == '-')
            last = strtoul(end + 1, &end, 10);
        if (last < first || last >= MOST || count >= MOST)
            return 0;
        count += last - first + 1;
        p = *end == ',' ? end + 1 : end;
    }
    return *p == '\0' || *p == '\n' ? (unsigned)count : 0;
}

bool hw_cpus_online(int pid, unsigned *ret)
{
    static const char file[] = "/sys/devices/system/cpu/online";
    char path[128], list[4096];
    /* A container may see another /sys than we do (lxcfs). */
    snprintf(path, sizeof path, "/proc/%d/root%s", pid, file);
    *ret = file_text(path, list, sizeof list) ? hw_cpus_in_list(list) : 0;
    if (*ret == 0 && file_text(file, list, sizeof list))
        *ret = hw_cpus_in_list(list);
    return *ret > 0;
}

/* ---- quota ----------------------------------------------------------------------------------- */

struct quota {
    bool limited;
    uint64_t cpus; /* the least so far, rounded up */
};

static void limit(struct quota *q, int64_t time, uint64_t period)
{
    if (time <= 0 || period == 0)
        return;
    uint64_t cpus = ((uint64_t)time - 1) / period + 1;
    if (!q->limited || cpus < q->cpus)
        *q = (struct quota){true, cpus};
}

/* "max 100000" or "150000 100000" */
static void read_v2(struct quota *q, const char *group)
{
    char path[PATH_MAX + 32], text[64];
    int64_t time;
    uint64_t period;
    snprintf(path, sizeof path, "%s/cpu.max", group);
    if (file_text(path, text, sizeof text) &&
        sscanf(text, "%" SCNd64 " %" SCNu64, &time, &period) == 2)
        limit(q, time, period);
}

static void read_v1(struct quota *q, const char *group)
{
    char path[PATH_MAX + 32], time[32], period[32];
    snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", group);
    if (!file_text(path, time, sizeof time))
        return;
    snprintf(path, sizeof path, "%s/cpu.cfs_period_us", group);
    if (file_text(path, period, sizeof period))
        limit(q, strtoll(time, NULL, 10), strtoull(period, NULL, 10));
}

static void visit(void *ctx, const char *group, int version)
{
    (version == 1 ? read_v1 : read_v2)(ctx, group);
}

bool hw_cpus_quota_below(const char *mount, const char *cgroups, unsigned *ret)
{
    struct quota q = {0};
    hw_cgroup_visit(mount, cgroups, "cpu", visit, &q);
    *ret = q.cpus < UINT_MAX ? (unsigned)q.cpus : UINT_MAX;
    return q.limited;
}

bool hw_cpus_quota(int pid, unsigned *ret)
{
    char cgroups[8192];
    *ret = 0;
    return hw_proc_text(pid, "cgroup", cgroups, sizeof cgroups) &&
           hw_cpus_quota_below("/sys/fs/cgroup", cgroups, ret);
}
