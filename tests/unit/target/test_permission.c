#include "child.h"

#include "target/permission.h"
#include "target/stop.h"

#include <grp.h>
#include <linux/capability.h>

#define PTRACE_CAP (UINT64_C(1) << CAP_SYS_PTRACE)

static struct hw_access same_user(void)
{
    return (struct hw_access){
        .pid = 4242,
        .known = true,
        .ours = {.uid = {1000, 1000, 1000}, .gid = {100, 100, 100}},
        .theirs = {.uid = {1000, 1000, 1000}, .gid = {100, 100, 100}},
        .proc_owner = 1000,
        .same_user_ns = true,
        .ptrace_scope = -1,
    };
}

static void expect_text(const struct hw_access *a, const char *what, const char *text,
                        const char *remedy)
{
    struct hw_error err;
    cr_expect_eq(hw_access_explain(a, what, EPERM, &err), HW_ERR_PERMISSION);
    cr_expect_eq(err.sys_errno, EPERM);
    cr_expect_str_eq(err.text, text);
    cr_expect_not_null(strstr(err.remedy, remedy), "%s", err.remedy);
    cr_expect_eq(hw_access_explain(a, what, EPERM, NULL), HW_ERR_PERMISSION);
}

Test(permission, another_user)
{
    struct hw_access a = same_user();
    a.theirs.uid[0] = a.theirs.uid[1] = a.theirs.uid[2] = 33;
    a.ptrace_scope = 1;
    a.tracer = 5;
    expect_text(&a, "read", "cannot read pid 4242: it belongs to uid 33",
                "run with sudo; in Docker add --cap-add=SYS_PTRACE; in Kubernetes use kubectl "
                "debug --profile=general --target=CONTAINER");
    a = same_user();
    a.theirs.uid[2] = 0;
    expect_text(&a, "read", "cannot read pid 4242: it belongs to uid 0", "sudo");
    a = same_user();
    a.theirs.gid[1] = 42;
    expect_text(&a, "read", "cannot read pid 4242: it runs with the rights of group 42", "sudo");
}

Test(permission, root_without_the_capability)
{
    struct hw_access a = same_user();
    a.ours.uid[0] = a.ours.uid[1] = a.ours.uid[2] = 0;
    expect_text(&a, "trace", "cannot trace pid 4242: it belongs to uid 1000",
                "root here lacks CAP_SYS_PTRACE; in Docker add --cap-add=SYS_PTRACE");
}

Test(permission, a_tracer)
{
    struct hw_access a = same_user();
    a.tracer = 77;
    snprintf(a.tracer_comm, sizeof a.tracer_comm, "gdb");
    expect_text(&a, "trace", "cannot trace pid 4242: it is already traced by pid 77 (gdb)",
                "detach it first");
    expect_text(&a, "read", "cannot read pid 4242: Operation not permitted", "sudo");
}

Test(permission, yama)
{
    struct hw_access a = same_user();
    a.ptrace_scope = 1;
    expect_text(&a, "read",
                "cannot read pid 4242: Yama's ptrace_scope is 1, which forbids it to all but its "
                "parents",
                "sysctl kernel.yama.ptrace_scope=0");
    a.ptrace_scope = 2;
    expect_text(&a, "read",
                "cannot read pid 4242: Yama's ptrace_scope is 2, which forbids it without "
                "CAP_SYS_PTRACE",
                "sudo");
    a.ptrace_scope = 3;
    a.ours.effective = PTRACE_CAP;
    expect_text(&a, "trace",
                "cannot trace pid 4242: Yama's ptrace_scope is 3, which forbids it to everybody",
                "core file");
}

Test(permission, not_dumpable_and_other_reasons)
{
    struct hw_access a = same_user();
    a.proc_owner = 0;
    struct hw_error err;
    hw_access_explain(&a, "read", EACCES, &err);
    cr_expect_not_null(strstr(err.text, "it is not dumpable"), "%s", err.text);
    a = same_user();
    a.theirs.permitted = 1;
    expect_text(&a, "read", "cannot read pid 4242: it has capabilities that we lack", "sudo");
    a = same_user();
    a.known = false;
    hw_access_explain(&a, "read", EPERM, &err);
    cr_expect_not_null(strstr(err.text, "hides the processes of others"), "%s", err.text);
    a = same_user();
    a.ours.effective = PTRACE_CAP;
    hw_access_explain(&a, "trace", EPERM, &err);
    cr_expect_not_null(strstr(err.text, "a security module"), "%s", err.text);
    a.same_user_ns = false;
    hw_access_explain(&a, "trace", EPERM, &err);
    cr_expect_not_null(strstr(err.text, "another user namespace"), "%s", err.text);
}

Test(permission, a_filter)
{
    struct hw_access a = same_user();
    a.filtered = true;
    expect_text(&a, "trace",
                "cannot trace pid 4242: a seccomp filter, most likely that of a container, keeps "
                "heapwalk from ptrace()",
                "--cap-add=SYS_PTRACE");
    expect_text(&a, "read", "cannot read pid 4242: Operation not permitted", "sudo");
}

/* ---- against the real kernel ----------------------------------------------------------------- */

#define NOBODY 65534

static void become_nobody(void)
{
    if (setgroups(0, NULL) != 0 || setgid(NOBODY) != 0 || setuid(NOBODY) != 0)
        _exit(9);
}

struct attempt {
    pid_t pid;
    int out;
    int (*try)(pid_t pid, struct hw_error *err);
};

static int try_open(pid_t pid, struct hw_error *err)
{
    struct hw_target *t;
    int rc = hw_target_open_live(pid, &t, err);
    hw_target_close(t);
    return rc;
}

static int try_stop(pid_t pid, struct hw_error *err)
{
    struct hw_stop *s;
    int rc = hw_stop_all(pid, hw_machine(HW_X86_64), (struct hw_stop_limits){.wait_ns = 100000000},
                         &s, err);
    hw_stop_release(s);
    return rc;
}

static void attempt(void *arg)
{
    struct attempt *a = arg;
    struct hw_error err = {0};
    become_nobody();
    if (a->try(a->pid, &err) == HW_OK)
        snprintf(err.text, sizeof err.text, "allowed");
    ssize_t n = write(a->out, &err, sizeof err);
    _exit(n == (ssize_t)sizeof err ? 0 : 1);
}

/* What nobody is told who tries to read or stop a process. */
static struct hw_error as_nobody(pid_t pid, int (*try)(pid_t, struct hw_error *))
{
    int fd[2];
    cr_assert_eq(pipe(fd), 0);
    struct attempt a = {.pid = pid, .out = fd[1], .try = try};
    pid_t child = child_start(attempt, &a);
    struct hw_error err = {0};
    cr_expect_eq(read(fd[0], &err, sizeof err), (ssize_t)sizeof err);
    waitpid(child, NULL, 0);
    close(fd[0]);
    close(fd[1]);
    return err;
}

Test(permission, nobody_may_not_look_at_root, .timeout = 60)
{
    if (geteuid() != 0)
        cr_skip_test("needs root");
    pid_t pid = child_start(child_sleep, NULL);
    char text[64];
    struct hw_error err = as_nobody(pid, try_open);
    snprintf(text, sizeof text, "cannot read pid %d: it belongs to uid 0", pid);
    cr_expect_eq(err.code, HW_ERR_PERMISSION);
    cr_expect_str_eq(err.text, text);
    cr_expect_not_null(strstr(err.remedy, "sudo"));
    err = as_nobody(pid, try_stop);
    snprintf(text, sizeof text, "cannot trace pid %d: it belongs to uid 0", pid);
    cr_expect_str_eq(err.text, text);
    cr_expect_eq(status_number(pid, "TracerPid:"), 0);
    child_end(pid);
}

static void hide(void *arg)
{
    become_nobody();
    if (arg)
        prctl(PR_SET_DUMPABLE, 0);
    else
        prctl(PR_SET_DUMPABLE, 1);
    prctl(PR_SET_NAME, "hidden");
    child_sleep(arg);
}

Test(permission, nobody_may_look_at_nobody_unless_it_is_not_dumpable, .timeout = 60)
{
    if (geteuid() != 0)
        cr_skip_test("needs root");
    int yes = 1;
    pid_t pid = child_start(hide, NULL), hidden = child_start(hide, &yes);
    cr_assert(reaches_name(pid, "hidden") && reaches_name(hidden, "hidden"));
    struct hw_error err = as_nobody(hidden, try_open);
    cr_expect_eq(err.code, HW_ERR_PERMISSION);
    cr_expect_not_null(strstr(err.text, "it is not dumpable"), "%s", err.text);
    err = as_nobody(hidden, try_stop);
    cr_expect_not_null(strstr(err.text, "it is not dumpable"), "%s", err.text);

    err = as_nobody(pid, try_open);
    cr_expect(strcmp(err.text, "allowed") == 0 || strstr(err.text, "Yama"), "%s", err.text);
    child_end(pid);
    child_end(hidden);
}

/* As in a container: reading is allowed, stopping is not. */
Test(permission, a_real_filter, .timeout = 60)
{
    pid_t pid = child_start(child_sleep, NULL);
    struct hw_error err = {0};
    cr_expect_eq(hw_permission_check(pid, true, &err), HW_OK, "%s", err.text);
    forbid_call(SYS_ptrace);
    cr_expect_eq(hw_permission_check(pid, false, &err), HW_OK, "%s", err.text);
    cr_expect_eq(hw_permission_check(pid, true, &err), HW_ERR_PERMISSION);
    cr_expect_not_null(strstr(err.text, "a seccomp filter"), "%s", err.text);
    cr_expect_eq(try_stop(pid, &err), HW_ERR_PERMISSION);
    cr_expect_not_null(strstr(err.text, "a seccomp filter"), "%s", err.text);
    child_end(pid);
    cr_expect_eq(hw_permission_check(pid, true, &err), HW_ERR_NO_PROCESS);
}

Test(permission, checked_without_doing_it, .timeout = 60)
{
    pid_t pid = child_start(child_sleep, NULL);
    struct hw_stop *s;
    struct hw_error err = {0};
    struct hw_stop_limits limits = {.wait_ns = 100000000};
    cr_assert_eq(hw_stop_all(pid, hw_machine(HW_X86_64), limits, &s, &err), HW_OK, "%s", err.text);
    cr_expect_eq(hw_permission_check(pid, false, &err), HW_OK);
    cr_expect_eq(hw_permission_check(pid, true, &err), HW_ERR_PERMISSION);
    cr_expect_not_null(strstr(err.text, "already traced by pid"), "%s", err.text);
    cr_expect_not_null(strstr(err.remedy, "--no-stop"), "%s", err.remedy);
    hw_stop_release(s);
    cr_expect_eq(hw_permission_check(pid, true, &err), HW_OK);
    cr_expect_eq(status_number(pid, "TracerPid:"), 0);
    child_end(pid);
}
