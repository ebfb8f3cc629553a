/*
 * Whether a copy of a process may be made without harm to it: the facts, and what follows from
 * them.
 */
#ifndef HW_TARGET_HEADROOM_H
#define HW_TARGET_HEADROOM_H

#include "target/target.h"

/* The remedy for whatever a snapshot is refused for. */
#define HW_WITHOUT_SNAPSHOT                                                                        \
    "do without --snapshot: -p alone stops it while its heap is read, --no-stop not at all"
#define HW_AGAIN_OR_WITHOUT_SNAPSHOT "try again, or " HW_WITHOUT_SNAPSHOT

/* What was not found out is UINT64_MAX where less would speak against a copy, 0 where more
 * would. */
struct hw_headroom {
    int pid;
    /* What a copy may come to need: its page tables at once, and a page for each private page of
     * the process that is written to meanwhile. */
    uint64_t needed_bytes;
    uint64_t machine_bytes; /* MemAvailable */
    uint64_t cgroup_bytes;  /* what the memory limits of its control groups leave */
    uint64_t cgroup_pids;   /* how many more processes they allow */
    bool no_overcommit;     /* vm.overcommit_memory is 2: a copy is charged in full */
    bool filtered;          /* its main thread is under a seccomp filter */
    bool faults_handled;    /* it handles page faults itself (userfaultfd), also those of fork() */
    bool transfers; /* devices may be writing to its pages, and this kernel may have them write to
                               the copy's instead: pinned memory before Linux 5.12, files opened
                               with O_DIRECT before 6.5 (open(2), NOTES) */
    bool killable;  /* we may end what is a copy of it */
};

void hw_headroom_find(int pid, struct hw_headroom *ret);
/* OK, or HARMFUL with cause and remedy. */
int hw_headroom_check(const struct hw_headroom *h, struct hw_error *err);

/* Part of the above, for tests: `cgroups` is the text of /proc/PID/cgroup, `mount` stands for
 * /sys/fs/cgroup. */
void hw_headroom_of_groups(const char *mount, const char *cgroups, struct hw_headroom *ret);

#endif
