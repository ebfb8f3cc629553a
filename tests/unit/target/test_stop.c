#include "child.h"

#include "target/stop.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/ptrace.h>

#define SECOND INT64_C(1000000000)

/* What parent and child both see. */
struct shared {
    volatile long ticks[64];
    volatile int ready, signals, sender;
    volatile uint64_t tp;
};

static struct hw_stop *stop_it(pid_t pid)
{
    struct hw_stop *s;
    struct hw_error err = {0};
    cr_assert_eq(hw_stop_all(pid, hw_machine(HW_X86_64), (struct hw_stop_limits){.wait_ns = SECOND},
                             &s, &err),
                 HW_OK, "%s", err.text);
    return s;
}

static void expect_free(pid_t pid)
{
    cr_expect_eq(status_number(pid, "TracerPid:"), 0);
}

/* ---- threads --------------------------------------------------------------------------------- */

static struct shared *tick_shared;

static void *tick(void *arg)
{
    volatile long *n = arg;
    __atomic_add_fetch(&tick_shared->ready, 1, __ATOMIC_SEQ_CST);
    for (;;) {
        ++*n;
        if (*n % 1024 == 0)
            sched_yield();
    }
    return NULL;
}

static void many_threads(void *arg)
{
    tick_shared = arg;
    for (int i = 0; i < 32; i++) {
        pthread_t th;
        pthread_create(&th, NULL, tick, (void *)&tick_shared->ticks[i]);
    }
    child_sleep(arg);
}

Test(stop, all_threads_stand_still_and_run_on, .timeout = 60)
{
    struct shared *sh = child_shared(sizeof *sh);
    pid_t pid = child_start(many_threads, sh);
    cr_assert(eventually(sh->ready >= 32));

    struct hw_stop *s = stop_it(pid);
    size_t count;
    const struct hw_thread *th = hw_stop_threads(s, &count);
    cr_assert_eq(count, 33);
    cr_expect_eq(hw_stop_missed(s), 0);
    cr_expect_eq(th[0].tid, pid);
    for (size_t i = 0; i < count; i++) {
        cr_expect(th[i].regs_known && th[i].tp && th[i].sp && th[i].pc);
        cr_expect(i == 0 || (th[i].tid > th[i - 1].tid && th[i].tp != th[i - 1].tp));
    }
    struct shared before = *sh;
    nap_ms(30);
    cr_expect_eq(memcmp(&before, sh, sizeof before), 0, "nothing moves");
    int64_t pause = hw_stop_release(s);
    cr_expect(pause >= 30000000 && pause < 10 * SECOND);
    expect_free(pid);

    for (int k = 0; k < 32; k++)
        cr_expect(eventually(sh->ticks[k] != before.ticks[k]), "thread %d runs on", k);
    child_end(pid);
}

static void *brief(void *arg)
{
    return arg;
}

/* Threads that come and go all the time, from several threads. */
static void *breed(void *arg)
{
    struct shared *sh = arg;
    for (;;) {
        pthread_t th;
        if (pthread_create(&th, NULL, brief, NULL) == 0)
            pthread_join(th, NULL);
        sh->ready++;
    }
    return NULL;
}

static void breeders(void *arg)
{
    pthread_t th;
    for (int i = 0; i < 4; i++)
        pthread_create(&th, NULL, breed, arg);
    child_sleep(arg);
}

Test(stop, threads_that_come_and_go_are_caught, .timeout = 60)
{
    struct shared *sh = child_shared(sizeof *sh);
    pid_t pid = child_start(breeders, sh);
    cr_assert(eventually(sh->ready >= 10));
    for (int i = 0; i < 100; i++) {
        struct hw_stop *s = stop_it(pid);
        int before = sh->ready;
        if (i % 10 == 0)
            nap_ms(2);
        cr_assert_eq(hw_stop_missed(s), 0);
        cr_assert_eq(sh->ready, before);
        hw_stop_release(s);
    }
    expect_free(pid);
    int before = sh->ready;
    cr_assert(eventually(sh->ready >= before + 10));
    child_end(pid);
}

Test(stop, a_main_thread_that_has_ended_is_left_out, .timeout = 60)
{
    pid_t pid = child_start(child_without_leader, NULL);
    cr_assert(reaches_state(pid, 'Z'));
    struct hw_stop *s = stop_it(pid);
    size_t count;
    const struct hw_thread *th = hw_stop_threads(s, &count);
    cr_assert_eq(count, 1);
    cr_expect_neq(th[0].tid, pid);
    cr_expect_eq(hw_stop_missed(s), 0);
    hw_stop_release(s);
    expect_free(pid);
    child_end(pid);
}

/* ---- job control and signals ----------------------------------------------------------------- */

Test(stop, what_was_stopped_stays_stopped, .timeout = 60)
{
    pid_t pid = child_start(child_sleep, NULL);
    kill(pid, SIGSTOP);
    cr_assert(reaches_state(pid, 'T'));
    for (int i = 0; i < 3; i++) {
        struct hw_stop *s = stop_it(pid);
        cr_expect_eq(state_of(pid), 't');
        hw_stop_release(s);
        expect_free(pid);
        nap_ms(5);
        cr_expect_eq(state_of(pid), 'T', "state %c", state_of(pid));
    }
    kill(pid, SIGCONT);
    cr_expect(reaches_state(pid, 'S'));
    child_end(pid);
}

static struct shared *signal_shared;

static void on_signal(int sig, siginfo_t *info, void *context)
{
    (void)context;
    signal_shared->sender =
        sig == SIGUSR1 && info->si_code == SI_QUEUE ? info->si_value.sival_int : -1;
    __atomic_add_fetch(&signal_shared->signals, 1, __ATOMIC_SEQ_CST);
}

static void take_signals(void *arg)
{
    signal_shared = arg;
    struct sigaction act = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &act, NULL);
    signal_shared->ready = 1;
    child_sleep(arg);
}

Test(stop, a_signal_sent_meanwhile_comes_through, .timeout = 60)
{
    struct shared *sh = child_shared(sizeof *sh);
    pid_t pid = child_start(take_signals, sh);
    cr_assert(eventually(sh->ready >= 1));
    struct hw_stop *s = stop_it(pid);
    sigqueue(pid, SIGUSR1, (union sigval){.sival_int = 4711});
    nap_ms(20);
    cr_expect_eq(sh->signals, 0);
    hw_stop_release(s);
    cr_expect(eventually(sh->signals == 1));
    cr_expect_eq(sh->sender, 4711);
    child_end(pid);
}

/* Signals arrive all the time, so that some stops catch one on its way: none may get lost, and
 * each must still say who sent it. */
Test(stop, no_signal_gets_lost, .timeout = 60)
{
    struct shared *sh = child_shared(sizeof *sh);
    pid_t pid = child_start(take_signals, sh);
    cr_assert(eventually(sh->ready >= 1));
    for (int i = 1; i <= 300; i++) {
        sigqueue(pid, SIGUSR1, (union sigval){.sival_int = i});
        hw_stop_release(stop_it(pid));
        cr_assert(eventually(sh->signals == i), "signal %d", i);
        cr_assert_eq(sh->sender, i);
    }
    cr_expect(reaches_state(pid, 'S'));
    expect_free(pid);
    child_end(pid);
}

Test(stop, a_stop_signal_on_its_way_stops, .timeout = 60)
{
    pid_t pid = child_start(child_sleep, NULL);
    for (int i = 0; i < 50; i++) {
        kill(pid, SIGSTOP);
        hw_stop_release(stop_it(pid));
        cr_assert(reaches_state(pid, 'T'));
        kill(pid, SIGCONT);
        hw_stop_release(stop_it(pid));
        cr_assert(reaches_state(pid, 'S'));
    }
    expect_free(pid);
    child_end(pid);
}

static void read_and_report(void *arg)
{
    const int *fd = arg;
    char c;
    ssize_t n = read(fd[0], &c, 1);
    _exit(n == 1 && c == 'x' ? 42 : 1);
}

Test(stop, a_blocked_call_goes_on, .timeout = 60)
{
    int fd[2];
    cr_assert_eq(pipe(fd), 0);
    pid_t pid = child_start(read_and_report, fd);
    cr_assert(reaches_state(pid, 'S'));
    for (int i = 0; i < 5; i++)
        hw_stop_release(stop_it(pid));
    cr_assert_eq(write(fd[1], "x", 1), 1);
    int status;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 42);
}

/* ---- ends ------------------------------------------------------------------------------------ */

Test(stop, a_child_of_ours_killed_meanwhile_is_still_ours_to_reap, .timeout = 60)
{
    pid_t pid = child_start(child_sleep, NULL);
    cr_assert(reaches_state(pid, 'S'));
    struct hw_stop *s = stop_it(pid);
    kill(pid, SIGKILL);
    nap_ms(20);
    hw_stop_release(s);
    int status;
    cr_expect_eq(waitpid(pid, &status, 0), pid);
    cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void ends_soon(void *arg)
{
    pthread_t th[8];
    for (int i = 0; i < 8; i++)
        pthread_create(&th[i], NULL, brief, arg);
    for (int i = 0; i < 8; i++)
        pthread_join(th[i], NULL);
    _exit(17);
}

Test(stop, a_process_that_ends_in_the_middle, .timeout = 60)
{
    int stopped = 0;
    for (int i = 0; i < 300; i++) {
        pid_t pid = child_start(ends_soon, NULL);
        for (volatile int k = 0; k < i * 500; k++)
            ;
        struct hw_stop *s;
        struct hw_error err;
        int rc = hw_stop_all(pid, hw_machine(HW_X86_64), (struct hw_stop_limits){.wait_ns = SECOND},
                             &s, &err);
        cr_assert(rc == HW_OK || rc == HW_ERR_GONE, "%s", err.text);
        stopped += rc == HW_OK;
        hw_stop_release(s);
        int status;
        cr_assert_eq(waitpid(pid, &status, 0), pid, "%s", strerror(errno));
        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 17, "status %#x", status);
    }
    cr_expect_gt(stopped, 0);
}

Test(stop, nobody_to_stop)
{
    pid_t pid = child_start(child_sleep, NULL);
    child_end(pid);
    struct hw_stop *s;
    struct hw_error err;
    cr_expect_eq(hw_stop_all(pid, hw_machine(HW_X86_64), (struct hw_stop_limits){.wait_ns = SECOND},
                             &s, &err),
                 HW_ERR_NO_PROCESS);
    cr_expect_null(s);
    cr_expect_eq(hw_stop_all(getpid(), hw_machine(HW_X86_64),
                             (struct hw_stop_limits){.wait_ns = SECOND}, &s, &err),
                 HW_ERR_PERMISSION);
    cr_expect_eq(hw_stop_release(NULL), 0);
}

/* A thread in vfork() sleeps uninterruptibly until its child has gone on. */
static void vforks(void *arg)
{
    struct shared *sh = arg;
    sh->ready = 1;
    pid_t child = vfork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        while (sh->signals == 0)
            nap_ms(1);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    sh->ready = 2;
    child_sleep(arg);
}

Test(stop, a_thread_that_cannot_be_stopped_is_counted_and_let_go, .timeout = 60)
{
    struct shared *sh = child_shared(sizeof *sh);
    pid_t pid = child_start(vforks, sh);
    cr_assert(eventually(sh->ready >= 1));
    cr_assert(reaches_state(pid, 'D'));
    struct hw_stop *s;
    struct hw_error err;
    cr_assert_eq(hw_stop_all(pid, hw_machine(HW_X86_64),
                             (struct hw_stop_limits){.wait_ns = 20000000}, &s, &err),
                 HW_OK, "%s", err.text);
    cr_expect_eq(hw_stop_missed(s), 1);
    hw_stop_release(s);
    cr_expect(eventually(status_number(pid, "TracerPid:") == 0));
    sh->signals = 1;
    cr_assert(eventually(sh->ready >= 2));
    cr_expect(reaches_state(pid, 'S'));
    child_end(pid);
}

static void trace_other(void *arg)
{
    struct shared *sh = arg;
    prctl(PR_SET_NAME, "other tracer");
    sh->signals = ptrace(PTRACE_SEIZE, sh->sender, NULL, NULL) == 0 ? 1 : -1;
    child_sleep(arg);
}

Test(stop, says_who_traces_already, .timeout = 60)
{
    struct shared *sh = child_shared(sizeof *sh);
    pid_t pid = child_start(child_sleep, NULL);
    sh->sender = pid;
    pid_t other = child_start(trace_other, sh);
    cr_assert(eventually(sh->signals != 0));
    cr_assert_eq(sh->signals, 1);
    struct hw_stop *s;
    struct hw_error err;
    cr_expect_eq(hw_stop_all(pid, hw_machine(HW_X86_64), (struct hw_stop_limits){.wait_ns = SECOND},
                             &s, &err),
                 HW_ERR_PERMISSION);
    char text[128];
    snprintf(text, sizeof text,
             "cannot trace pid %d: it is already traced by pid %d (other tracer)", pid, other);
    cr_expect_str_eq(err.text, text);
    cr_expect_eq(strncmp(err.remedy, "detach it first", 15), 0);
    child_end(other);
    child_end(pid);
}

static void sleeping_threads(void *arg)
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 64 << 10);
    for (int i = 0; i < 300; i++) {
        pthread_t th;
        if (pthread_create(&th, &attr, child_sleeper, arg) != 0)
            _exit(1);
    }
    child_sleep(arg);
}

Test(stop, hundreds_of_threads_take_milliseconds, .timeout = 60)
{
    pid_t pid = child_start(sleeping_threads, NULL);
    cr_assert(reaches_threads(pid, 301));
    int64_t best = INT64_MAX;
    for (int i = 0; i < 10; i++) {
        struct hw_stop *s = stop_it(pid);
        size_t count;
        hw_stop_threads(s, &count);
        cr_assert_eq(count, 301);
        int64_t pause = hw_stop_release(s);
        best = pause < best ? pause : best;
    }
    cr_log_info("301 threads: %lld us", (long long)best / 1000);
    cr_expect_lt(best, SECOND / 5);
    child_end(pid);
}
