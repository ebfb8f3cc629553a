#include "target/headroom.h"

#include "base/cleanup.h"
#include "base/vec.h"
#include "target/cgroup.h"
#include "target/proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <string.h>

/* The program may want to start some threads meanwhile. */
#define SPARE_PIDS 8

/* ---- what follows ---------------------------------------------------------------------------- */

static unsigned long mib(uint64_t bytes)
{
    return (unsigned long)(bytes >> 20);
}

static int refuse(const struct hw_headroom *h, struct hw_error *err)
{
    if (h->filtered)
        return hw_fail(err, HW_ERR_HARMFUL,
                       "no copy of pid %d is made: it is under a seccomp filter, which may kill it "
                       "for a system call that it would not make itself",
                       h->pid);
    if (!h->killable)
        return hw_fail(err, HW_ERR_HARMFUL,
                       "no copy of pid %d is made: it is not ours to end (other user, no CAP_KILL)",
                       h->pid);
    if (h->faults_handled)
        return hw_fail(err, HW_ERR_HARMFUL,
                       "no copy of pid %d is made: it handles its page faults itself "
                       "(userfaultfd), and might be waited for while it is stopped",
                       h->pid);
    if (h->transfers)
        return hw_fail(err, HW_ERR_HARMFUL,
                       "no copy of pid %d is made: it lets devices write to its memory (O_DIRECT, "
                       "pinned pages), and with this kernel some of that could go astray in a fork",
                       h->pid);
    if (h->no_overcommit)
        return hw_fail(err, HW_ERR_HARMFUL,
                       "no copy of pid %d is made: memory is not overcommitted here "
                       "(vm.overcommit_memory is 2), so a copy takes from others all that it may "
                       "ever need",
                       h->pid);
    if (h->cgroup_pids < SPARE_PIDS)
        return hw_fail(err, HW_ERR_HARMFUL,
                       "no copy of pid %d is made: its control group allows only %" PRIu64
                       " more processes (pids.max)",
                       h->pid, h->cgroup_pids);
    bool by_group = h->cgroup_bytes < h->machine_bytes;
    uint64_t room = by_group ? h->cgroup_bytes : h->machine_bytes;
    if (room < h->needed_bytes)
        return hw_fail(err, HW_ERR_HARMFUL,
                       "no copy of pid %d is made: it may come to need %lu MiB, if the program "
                       "rewrites all it has meanwhile, and %s %lu MiB",
                       h->pid, mib(h->needed_bytes),
                       by_group ? "the memory limit of its control group leaves"
                                : "the machine has",
                       mib(room));
    return HW_OK;
}

int hw_headroom_check(const struct hw_headroom *h, struct hw_error *err)
{
    int rc = refuse(h, err);
    if (rc != HW_OK)
        hw_remedy(err, HW_WITHOUT_SNAPSHOT);
    return rc;
}

/* ---- finding the facts ----------------------------------------------------------------------- */

/* The number at the beginning of a file; false if there is none ("max"). */
static bool read_number(const char *directory, const char *file, uint64_t *ret)
{
    char path[PATH_MAX + 64], text[64];
    snprintf(path, sizeof path, "%s/%s", directory, file);
    hw_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (n <= 0 || text[0] < '0' || text[0] > '9')
        return false;
    text[n] = '\0';
    *ret = strtoull(text, NULL, 10);
    return true;
}

/* Page cache that nobody has used for a while counts as used, but goes away when it must. */
static uint64_t read_reclaimable(const char *directory, const char *key)
{
    char path[PATH_MAX + 64], line[128];
    size_t length = strlen(key);
    snprintf(path, sizeof path, "%s/memory.stat", directory);
    hw_autofile FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, key, length) == 0 && line[length] == ' ')
            return strtoull(line + length, NULL, 10);
    return 0;
}

static void leave(uint64_t *room, uint64_t limit, uint64_t used)
{
    uint64_t left = limit > used ? limit - used : 0;
    if (left < *room)
        *room = left;
}

static void visit_memory(void *ctx, const char *directory, int version)
{
    static const struct {
        const char *limit, *used, *reclaimable;
    } files[] = {{"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"},
                 {"memory.max", "memory.current", "inactive_file"}};
    struct hw_headroom *h = ctx;
    uint64_t limit, used;
    if (!read_number(directory, files[version - 1].limit, &limit) ||
        !read_number(directory, files[version - 1].used, &used))
        return;
    uint64_t cache = read_reclaimable(directory, files[version - 1].reclaimable);
    leave(&h->cgroup_bytes, limit, used > cache ? used - cache : 0);
}

static void visit_pids(void *ctx, const char *directory, int version)
{
    struct hw_headroom *h = ctx;
    uint64_t limit, used;
    (void)version; /* both have the same files */
    if (read_number(directory, "pids.max", &limit) && read_number(directory, "pids.current", &used))
        leave(&h->cgroup_pids, limit, used);
}

void hw_headroom_of_groups(const char *mount, const char *cgroups, struct hw_headroom *ret)
{
    ret->cgroup_bytes = ret->cgroup_pids = UINT64_MAX;
    hw_cgroup_visit(mount, cgroups, "memory", visit_memory, ret);
    hw_cgroup_visit(mount, cgroups, "pids", visit_pids, ret);
}

static uint64_t available(void)
{
    char text[8192];
    hw_autoclose int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    text[n > 0 ? n : 0] = '\0';
    const char *value = hw_status_value(text, "MemAvailable");
    return value ? strtoull(value, NULL, 10) * 1024 : UINT64_MAX;
}

static uint64_t status_kib(const char *status, const char *key)
{
    const char *value = hw_status_value(status, key);
    return value ? strtoull(value, NULL, 10) : 0;
}

/* Whether a descriptor was opened with O_DIRECT. */
static bool is_direct(int pid, const char *number)
{
    char file[64], text[512];
    snprintf(file, sizeof file, "fdinfo/%.16s", number);
    const char *flags =
        hw_proc_text(pid, file, text, sizeof text) ? hw_status_value(text, "flags") : NULL;
    return flags && (strtoul(flags, NULL, 8) & O_DIRECT);
}

static void look_at_files(int pid, struct hw_headroom *h)
{
    char path[64], name[64];
    bool direct_matters = !hw_kernel_since(6, 5);
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    DIR *dir = opendir(path);
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        ssize_t n = readlinkat(dirfd(dir), entry->d_name, name, sizeof name - 1);
        name[n > 0 ? n : 0] = '\0';
        h->faults_handled |= strstr(name, "[userfaultfd]") != NULL;
        h->transfers |= direct_matters && n > 0 && is_direct(pid, entry->d_name);
    }
    if (dir)
        closedir(dir);
}

/* The status of a thread that has memory: the main one, if it has not ended before the others. */
static bool read_status(int pid, char *status, size_t size)
{
    hw_tid_vec tids = {0};
    bool found = hw_proc_text(pid, "status", status, size) && hw_status_value(status, "RssAnon");
    if (!found && hw_proc_tids(pid, &tids))
        for (size_t i = 0; i < tids.count && !found; i++)
            found = hw_proc_text(tids.data[i], "status", status, size) &&
                    hw_status_value(status, "RssAnon");
    hw_vec_free(&tids);
    return found;
}

void hw_headroom_find(int pid, struct hw_headroom *ret)
{
    char status[16384], cgroups[8192];
    uint64_t overcommit;
    *ret = (struct hw_headroom){.pid = pid};
    ret->machine_bytes = available();
    ret->cgroup_bytes = ret->cgroup_pids = UINT64_MAX;
    if (hw_proc_text(pid, "cgroup", cgroups, sizeof cgroups))
        hw_headroom_of_groups("/sys/fs/cgroup", cgroups, ret);
    ret->no_overcommit =
        read_number("/proc/sys/vm", "overcommit_memory", &overcommit) && overcommit == 2;
    ret->killable = kill(pid, 0) == 0 || errno != EPERM;
    look_at_files(pid, ret);
    if (read_status(pid, status, sizeof status)) {
        const char *seccomp = hw_status_value(status, "Seccomp");
        ret->filtered = seccomp && *seccomp != '0';
        ret->transfers |= status_kib(status, "VmPin") && !hw_kernel_since(5, 12);
        ret->needed_bytes = (status_kib(status, "RssAnon") + status_kib(status, "VmPTE")) * 1024;
    }
}
