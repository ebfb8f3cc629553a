/*
 * How many CPUs a live process has: two answers that differ in containers.
 */
#ifndef HW_TARGET_CPUS_H
#define HW_TARGET_CPUS_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The CPUs that are online, as the process's own glibc counts them for its limit of arenas
 * (get_nprocs(3), from /sys/devices/system/cpu/online). glibc 2.34 to 2.38, as first released,
 * counted those of its affinity mask instead. False if that cannot be known.
 */
bool hw_cpus_online(int pid, unsigned *ret);

/*
 * The CPU time that the process's control groups allow it, in whole CPUs, rounded up: cpu.max
 * (version 2), cpu.cfs_quota_us (version 1), the least on the way to the root. False if there is no
 * limit, or if none can be seen from here.
 */
bool hw_cpus_quota(int pid, unsigned *ret);

/* ---- parts of the above, for tests ----------------------------------------------------------- */

/* How many numbers there are in "0-3,8"; 0 if that is no such list. */
unsigned hw_cpus_in_list(const char *list);

/* As hw_cpus_quota(), from the text of /proc/PID/cgroup and below `mount` for /sys/fs/cgroup. */
bool hw_cpus_quota_below(const char *mount, const char *cgroups, unsigned *ret);

#endif
