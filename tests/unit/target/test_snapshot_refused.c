#include "snapshots.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#if __GLIBC_PREREQ(2, 35)
#include <sys/rseq.h>
#endif
#include <sys/syscall.h>

/* ---- refusals -------------------------------------------------------------------------------- */

static void expect_refusal(pid_t pid, const char *why)
{
    struct hw_snapshot *s;
    struct hw_error err = {0};
    int copy, rc = hw_snapshot_check(pid, hw_machine(HW_X86_64), &err);
    if (rc == HW_OK)
        rc = hw_snapshot_begin(pid, hw_machine(HW_X86_64), SECOND / 5, &s, &err);
    if (rc == HW_OK) {
        rc = hw_snapshot_take(s, vdso_of(pid), &copy, &err);
        hw_snapshot_end(s);
    }
    cr_expect_eq(rc, HW_ERR_HARMFUL, "%s", err.text);
    cr_expect(strstr(err.text, why), "%s", err.text);
    cr_expect(strstr(err.remedy, "without --snapshot"), "%s", err.remedy);
    cr_expect(strstr(err.remedy, "--no-stop"), "%s", err.remedy);
    cr_expect_eq(status_number(pid, "TracerPid:"), 0);
}

static void filter_calls(void)
{
    struct sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {.len = 1, .filter = code};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static void sleep_filtered(void *arg)
{
    filter_calls();
    ((struct shared *)arg)->ready = 1;
    child_sleep(NULL);
}

Test(snapshot, is_refused_under_a_seccomp_filter, .timeout = 60)
{
    struct shared *sh = child_shared(sizeof *sh);
    pid_t pid = child_start(sleep_filtered, sh);
    cr_assert(eventually(sh->ready >= 1));
    expect_refusal(pid, "seccomp");
    child_end(pid);
}

static void *filtered_thread(void *arg)
{
    sleep_filtered(arg);
    return NULL;
}

static void one_thread_filtered(void *arg)
{
    pthread_t th;
    pthread_create(&th, NULL, filtered_thread, arg);
    child_sleep(NULL);
}

Test(snapshot, leaves_threads_under_a_filter_alone, .timeout = 60)
{
    struct shared *sh = child_shared(sizeof *sh);
    pid_t pid = child_start(one_thread_filtered, sh);
    cr_assert(eventually(sh->ready >= 1));
    take_and_end(pid);
    child_end(pid);
}

static void make_userfaultfd(void *arg)
{
    struct shared *sh = arg;
    sh->go = syscall(SYS_userfaultfd, O_CLOEXEC) < 0;
    sh->ready = 1;
    child_sleep(NULL);
}

Test(snapshot, is_refused_where_page_faults_are_handled, .timeout = 60)
{
    struct shared *sh = child_shared(sizeof *sh);
    pid_t pid = child_start(make_userfaultfd, sh);
    cr_assert(eventually(sh->ready >= 1));
    if (!sh->go)
        expect_refusal(pid, "userfaultfd");
    child_end(pid);
}

/* For ever in a restartable sequence, which the kernel aborts now and then; it is entered anew. */
static void loop_in_rseq(void *arg)
{
    struct shared *sh = arg;
#if defined(__x86_64__) && __GLIBC_PREREQ(2, 35)
    if (__rseq_size == 0)
        _exit(0);
    char *area = (char *)__builtin_thread_pointer() + __rseq_offset;
    sh->ready = 1;
    __asm__ volatile(".pushsection .data.rel, \"aw\"\n"
                     ".balign 32\n"
                     "3: .long 0, 0\n"
                     ".quad 1f, 2f - 1f, 4f\n" /* where it begins, how long, where to go instead */
                     ".popsection\n"
                     "0: leaq 3b(%%rip), %%rax\n"
                     "movq %%rax, 8(%0)\n"
                     "1: jmp 1b\n"
                     "2: .long 0x53053053\n" /* stands before the place to go */
                     "4: jmp 0b\n" ::"r"(area)
                     : "rax", "memory");
#else
    (void)sh;
#endif
    _exit(0);
}

Test(snapshot, is_refused_in_a_restartable_sequence, .timeout = 60)
{
    struct shared *sh = child_shared(sizeof *sh);
    pid_t pid = child_start(loop_in_rseq, sh);
    cr_assert(eventually(sh->ready || state_of(pid) == 'Z'));
    if (!sh->ready) {
        child_end(pid);
        cr_skip("no restartable sequences here");
    }
    nap_ms(5);
    expect_refusal(pid, "restartable sequence");
    cr_expect_eq(state_of(pid), 'R');
    child_end(pid);
}

static void vforks(void *arg)
{
    struct shared *sh = arg;
    sh->ready = 1;
    if (vfork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        while (!sh->go)
            nap_ms(1);
        _exit(0);
    }
    sh->ready = 2;
    child_sleep(arg);
}

Test(snapshot, is_refused_while_a_thread_does_not_stop, .timeout = 60)
{
    struct shared *sh = child_shared(sizeof *sh);
    pid_t pid = child_start(vforks, sh);
    cr_assert(eventually(sh->ready >= 1));
    cr_assert(reaches_state(pid, 'D'));
    expect_refusal(pid, "do not stop");
    sh->go = 1;
    cr_assert(eventually(sh->ready >= 2));
    child_end(pid);
}

Test(snapshot, is_refused_for_other_machines, .timeout = 60)
{
    struct hw_error err;
    cr_expect_eq(hw_snapshot_check(getpid(), hw_machine(HW_I386), &err), HW_ERR_UNSUPPORTED);
    cr_expect(strstr(err.text, "i386"), "%s", err.text);
}
