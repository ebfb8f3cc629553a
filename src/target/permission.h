/*
 * The reasons for which the kernel refuses to let a process be traced or read, apart from how they
 * are found out: the facts, and what follows from them.
 */
#ifndef HW_TARGET_PERMISSION_H
#define HW_TARGET_PERMISSION_H

#include "target/target.h"

#include <sys/types.h>

/* What is known of one process: user and group ids as real, effective, saved. */
struct hw_credentials {
    uid_t uid[3];
    gid_t gid[3];
    uint64_t permitted, effective; /* capabilities */
};

struct hw_access {
    int pid;
    bool known; /* `theirs` could be read */
    struct hw_credentials ours, theirs;
    uid_t proc_owner;     /* of /proc/PID/mem: root's if the process is not dumpable */
    bool same_user_ns;    /* or not to be told */
    int ptrace_scope;     /* Yama's; -1 where there is no Yama */
    int tracer;           /* pid of who traces it already; 0 if nobody */
    char tracer_comm[64]; /* its name */
    bool filtered;        /* a seccomp filter keeps us from ptrace() at all */
};

/* As hw_explain_permission() in stop.h, from these facts alone. */
int hw_access_explain(const struct hw_access *a, const char *what, int sys_errno,
                      struct hw_error *err);

/*
 * Whether process `pid` may be read and, where `trace` is set, stopped, by the kernel's own answer,
 * without doing either. PERMISSION with cause and remedy, NO_PROCESS.
 */
int hw_permission_check(int pid, bool trace, struct hw_error *err);

#endif
