#include "target/permission.h"

#include "base/cleanup.h"
#include "target/proc.h"
#include "target/stop.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <unistd.h>

#define SYS_PTRACE_BIT (UINT64_C(1) << CAP_SYS_PTRACE)

static const char become_root[] =
    "run with sudo; in Docker add --cap-add=SYS_PTRACE; in Kubernetes use kubectl debug "
    "--profile=general --target=CONTAINER";
static const char get_capability[] =
    "root here lacks CAP_SYS_PTRACE; in Docker add --cap-add=SYS_PTRACE; in Kubernetes use "
    "kubectl debug --profile=general --target=CONTAINER";

/* ---- what follows from the facts ------------------------------------------------------------ */

/* The id that is not ours, if any is: the kernel wants all three of theirs to be our real one. */
static bool other_id(const unsigned ours, const unsigned theirs[3], unsigned *ret)
{
    for (int i = 0; i < 3; i++)
        if (theirs[i] != ours) {
            *ret = theirs[i];
            return true;
        }
    return false;
}

/* The cause as a clause that begins with "it", "" if unknown; and the remedy. */
static void find_cause(const struct hw_access *a, bool trace, char *cause, size_t size,
                       const char **remedy)
{
    const struct hw_credentials *us = &a->ours, *them = &a->theirs;
    bool privileged = us->effective & SYS_PTRACE_BIT;
    unsigned id;
    *remedy = us->uid[1] == 0 && !privileged ? get_capability : become_root;

    if (trace && a->filtered) {
        snprintf(cause, size,
                 "a seccomp filter, most likely that of a container, keeps heapwalk "
                 "from ptrace()");
        *remedy = "in Docker add --cap-add=SYS_PTRACE; --no-stop reads without it";
    } else if (!privileged && !a->known) {
        snprintf(cause, size, "/proc is mounted so that it hides the processes of others");
    } else if (!privileged && other_id(us->uid[0], them->uid, &id)) {
        snprintf(cause, size, "it belongs to uid %u", id);
    } else if (!privileged && other_id(us->gid[0], them->gid, &id)) {
        snprintf(cause, size, "it runs with the rights of group %u", id);
    } else if (trace && a->tracer) {
        snprintf(cause, size, "it is already traced by pid %d (%s)", a->tracer, a->tracer_comm);
        *remedy =
            "detach it first (a debugger, strace, or another heapwalk), or read it as it runs "
            "with --no-stop";
    } else if (!privileged && (them->permitted & ~us->permitted)) {
        snprintf(cause, size, "it has capabilities that we lack");
    } else if (!privileged && a->proc_owner != them->uid[1]) {
        snprintf(cause, size,
                 "it is not dumpable (it changed its user, was started from a file "
                 "that may not be read, or asked for it with prctl)");
    } else if (a->ptrace_scope == 3) {
        snprintf(cause, size, "Yama's ptrace_scope is 3, which forbids it to everybody");
        *remedy = "boot with kernel.yama.ptrace_scope below 3; a core file can still be read";
    } else if (!privileged && a->ptrace_scope > 0) {
        snprintf(cause, size, "Yama's ptrace_scope is %d, which forbids it %s", a->ptrace_scope,
                 a->ptrace_scope == 1 ? "to all but its parents" : "without CAP_SYS_PTRACE");
        if (us->uid[1] != 0)
            *remedy = a->ptrace_scope == 1
                          ? "run with sudo, or set sysctl kernel.yama.ptrace_scope=0; in Docker "
                            "add --cap-add=SYS_PTRACE"
                          : become_root;
    } else if (!a->same_user_ns) {
        snprintf(cause, size, "it lives in another user namespace, where we have no rights");
        *remedy = "run with sudo outside of the container";
    } else if (privileged) {
        snprintf(cause, size,
                 "we have CAP_SYS_PTRACE, so that a security module (SELinux, "
                 "AppArmor) or a seccomp filter forbids it");
        *remedy = "look at dmesg or the audit log for the denial";
    }
}

int hw_access_explain(const struct hw_access *a, const char *what, int sys_errno,
                      struct hw_error *err)
{
    char cause[256] = "";
    const char *remedy;
    find_cause(a, strcmp(what, "trace") == 0, cause, sizeof cause, &remedy);
    if (cause[0]) {
        hw_fail(err, HW_ERR_PERMISSION, "cannot %s pid %d: %s", what, a->pid, cause);
        if (err)
            err->sys_errno = sys_errno;
    } else {
        errno = sys_errno;
        hw_fail_errno(err, HW_ERR_PERMISSION, "cannot %s pid %d", what, a->pid);
    }
    hw_remedy(err, "%s", remedy);
    return HW_ERR_PERMISSION;
}

/* ---- finding the facts ---------------------------------------------------------------------- */

static uint64_t status_hex(const char *status, const char *key)
{
    const char *value = hw_status_value(status, key);
    return value ? strtoull(value, NULL, 16) : 0;
}

static bool credentials(const char *status, struct hw_credentials *ret)
{
    const char *uid = hw_status_value(status, "Uid"), *gid = hw_status_value(status, "Gid");
    ret->permitted = status_hex(status, "CapPrm");
    ret->effective = status_hex(status, "CapEff");
    return uid && gid && sscanf(uid, "%u %u %u", &ret->uid[0], &ret->uid[1], &ret->uid[2]) == 3 &&
           sscanf(gid, "%u %u %u", &ret->gid[0], &ret->gid[1], &ret->gid[2]) == 3;
}

static int read_ptrace_scope(void)
{
    FILE *f = fopen("/proc/sys/kernel/yama/ptrace_scope", "re");
    int scope = -1;
    if (f) {
        if (fscanf(f, "%d", &scope) != 1)
            scope = -1;
        fclose(f);
    }
    return scope;
}

/* There is no process 0: a kernel that looks for it says so, a filter that forbids the call does
 * not. */
static bool ptrace_is_filtered(void)
{
    return ptrace(PTRACE_SEIZE, 0, NULL, NULL) != 0 && errno != ESRCH;
}

int hw_explain_permission(int pid, const char *what, int sys_errno, struct hw_error *err)
{
    struct hw_access a = {
        .pid = pid, .ptrace_scope = read_ptrace_scope(), .filtered = ptrace_is_filtered()};
    char status[16384], path[64];
    if (hw_proc_text(getpid(), "status", status, sizeof status))
        credentials(status, &a.ours);
    if (hw_proc_text(pid, "status", status, sizeof status)) {
        a.known = credentials(status, &a.theirs);
        const char *tracer = hw_status_value(status, "TracerPid");
        a.tracer = tracer ? atoi(tracer) : 0;
    }
    struct hw_proc_stat who;
    if (a.tracer > 0 && hw_proc_stat(a.tracer, &who))
        snprintf(a.tracer_comm, sizeof a.tracer_comm, "%s", who.comm);

    struct stat st, ours;
    a.proc_owner = a.theirs.uid[1];
    snprintf(path, sizeof path, "/proc/%d/mem", pid); /* the directory itself does not tell */
    if (stat(path, &st) == 0)
        a.proc_owner = st.st_uid;
    snprintf(path, sizeof path, "/proc/%d/ns/user", pid);
    a.same_user_ns =
        stat(path, &st) != 0 || stat("/proc/self/ns/user", &ours) != 0 || st.st_ino == ours.st_ino;
    return hw_access_explain(&a, what, sys_errno, err);
}

/* Opening a process's memory asks for the same rights as ptrace() does, but that only one may
 * trace. */
int hw_permission_check(int pid, bool trace, struct hw_error *err)
{
    char path[64], status[16384];
    snprintf(path, sizeof path, "/proc/%d/mem", pid);
    hw_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && (errno == EACCES || errno == EPERM))
        return hw_explain_permission(pid, "read", errno, err);
    if (fd < 0)
        return hw_fail_errno(err, HW_ERR_NO_PROCESS, "cannot open %s", path);
    if (!trace || !hw_proc_text(pid, "status", status, sizeof status))
        return HW_OK;
    const char *tracer = hw_status_value(status, "TracerPid");
    if (ptrace_is_filtered() || (tracer && atoi(tracer) > 0))
        return hw_explain_permission(pid, "trace", EPERM, err);
    return HW_OK;
}
