/*
 * The control groups of a process. A group is limited by those above it, too.
 */
#ifndef HW_TARGET_CGROUP_H
#define HW_TARGET_CGROUP_H

/* Called with the directory of a group, and of each above it up to the root that can be seen.
 * `version` is 1 or 2. */
typedef void (*hw_cgroup_fn)(void *ctx, const char *directory, int version);

/*
 * Visit the groups that a controller ("memory", "pids") may limit a process through. `cgroups` is
 * the text of /proc/PID/cgroup; `mount` is where the groups are, /sys/fs/cgroup but for tests.
 * Groups that lie outside of what we can see are left out. Directories may not exist: the kernel
 * numbers groups as it sees them, and a container sees only its own.
 */
void hw_cgroup_visit(const char *mount, const char *cgroups, const char *controller,
                     hw_cgroup_fn visit, void *ctx);

#endif
