#include "snapshots.h"

#include "target/tracees.h"

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>

/* ---- the copy -------------------------------------------------------------------------------- */

static uint8_t *private_page;

static void change_page(void *arg)
{
    struct shared *sh = arg;
    private_page[0] = 1;
    sh->ready = 1;
    for (;;) {
        if (sh->go) {
            private_page[0] = 2;
            sh->ready = 2;
        }
        ++sh->count[0];
        usleep(1000);
    }
}

Test(snapshot, is_of_the_moment_it_was_taken, .timeout = 60)
{
    struct shared *sh = child_shared(sizeof *sh);
    private_page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pid_t pid = child_start(change_page, sh);
    cr_assert(eventually(sh->ready >= 1));

    struct hw_snapshot *s = begin(pid);
    size_t count;
    const struct hw_thread *th = hw_snapshot_threads(s, &count);
    cr_assert_eq(count, 1);
    cr_expect(th[0].tid == pid && th[0].regs_known && th[0].tp && th[0].sp && th[0].pc);
    long before = sh->count[0];
    nap_ms(20);
    cr_expect_eq(sh->count[0], before, "it stands still");
    int copy = take(s, pid);
    cr_expect(grows(&sh->count[0]), "it runs on");
    cr_expect_eq(status_number(pid, "TracerPid:"), 0);
    sh->go = 1;
    cr_assert(eventually(sh->ready >= 2));

    uint8_t byte = 0;
    struct iovec to = {&byte, 1}, from = {private_page, 1};
    cr_expect_eq(process_vm_readv(copy, &to, 1, &from, 1, 0), 1);
    cr_expect_eq(byte, 1);
    cr_expect_eq(process_vm_readv(pid, &to, 1, &from, 1, 0), 1);
    cr_expect_eq(byte, 2);
    cr_expect_eq(state_of(copy), 't');
    hw_snapshot_end(s);
    cr_expect_eq(state_of(copy), 0);
    cr_expect(grows(&sh->count[0]));
    child_end(pid);
}

Test(snapshot, may_be_ended_before_it_is_taken, .timeout = 60)
{
    struct shared *sh = child_shared(sizeof *sh);
    private_page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pid_t pid = child_start(change_page, sh);
    cr_assert(eventually(sh->ready >= 1));
    hw_snapshot_end(begin(pid));
    cr_expect(grows(&sh->count[0]));
    cr_expect_eq(status_number(pid, "TracerPid:"), 0);
    child_end(pid);
    hw_snapshot_end(NULL);
}

/* What decides when a thread has its turn. */
static void expect_priority(pid_t tid, int policy, int nice, const char *whose)
{
    struct sched_param param = {0};
    cr_expect_eq(sched_getscheduler(tid), policy, "%s policy is %d", whose,
                 sched_getscheduler(tid));
    cr_expect_eq(sched_getparam(tid, &param), 0);
    cr_expect_eq(param.sched_priority, 0, "%s", whose);
    cr_expect_eq(getpriority(PRIO_PROCESS, (id_t)tid), nice, "%s nice value is %d", whose,
                 getpriority(PRIO_PROCESS, (id_t)tid));
}

Test(snapshot, leaves_priorities_as_they_were, .timeout = 60)
{
    struct shared *sh = child_shared(sizeof *sh);
    pid_t pid = child_start(only_busy, sh);
    cr_assert(eventually(sh->ready >= 1));
    struct sched_param none = {0};
    cr_assert_eq(sched_setscheduler(pid, SCHED_BATCH, &none), 0);
    cr_assert_eq(setpriority(PRIO_PROCESS, (id_t)pid, 5), 0);
    int policy = sched_getscheduler(0), nice = getpriority(PRIO_PROCESS, 0);
    struct hw_snapshot *s = begin(pid);
    expect_priority(pid, SCHED_BATCH, 5, "the target's");
    int copy = take(s, pid);
    expect_priority(pid, SCHED_BATCH, 5, "the target's");
    expect_priority(copy, SCHED_BATCH, 5, "the copy's");
    expect_priority(gettid(), policy, nice, "our");
    cr_assert_eq(hw_snapshot_end(s).zombie, 0);
    expect_priority(pid, SCHED_BATCH, 5, "the target's");
    hw_snapshot_end(begin(pid));
    expect_priority(gettid(), policy, nice, "our");
    child_end(pid);
}

/* ---- those who wait -------------------------------------------------------------------------- */

/*
 * Each of these waits in its own way until wake_all() wakes it, or for 5 ms, and says whether that
 * went as it should. A thread does nothing but that, and counts.
 */
static struct shared *sh_;
static int read_pipe[2], poll_pipe[2];

#define NAP_NS 5000000

static bool wait_in_read(void)
{
    char c;
    return read(read_pipe[0], &c, 1) == 1;
}

static bool wait_in_poll(void)
{
    char c;
    struct pollfd fd = {.fd = poll_pipe[0], .events = POLLIN};
    return poll(&fd, 1, -1) == 1 && read(poll_pipe[0], &c, 1) == 1;
}

static bool wait_in_poll_with_timeout(void)
{
    int64_t start = hw_now_ns();
    return poll(NULL, 0, NAP_NS / 1000000) == 0 && hw_now_ns() - start >= NAP_NS;
}

static bool wait_in_futex(void)
{
    static int seen;
    bool ok = true;
    while (sh_->futex == seen) /* a wake-up may come late, for what was seen before */
        ok &= syscall(SYS_futex, &sh_->futex, FUTEX_WAIT, seen, NULL) == 0 || errno == EAGAIN;
    seen = sh_->futex;
    return ok;
}

static bool wait_in_futex_with_timeout(void)
{
    int word = 0;
    int64_t start = hw_now_ns();
    struct timespec limit = {.tv_nsec = NAP_NS};
    return syscall(SYS_futex, &word, FUTEX_WAIT, 0, &limit) == -1 && errno == ETIMEDOUT &&
           hw_now_ns() - start >= NAP_NS;
}

static bool wait_in_nanosleep(void)
{
    int64_t start = hw_now_ns();
    return nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL) == 0 &&
           hw_now_ns() - start >= NAP_NS;
}

static bool wait_in_sigwait(void)
{
    sigset_t set;
    int sig;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    return sigwait(&set, &sig) == 0 && sig == SIGUSR1;
}

static void note_signal(int sig)
{
    (void)sig;
    ++sh_->signals;
}

static bool wait_in_sigsuspend(void)
{
    sigset_t others;
    sigemptyset(&others);
    sigaddset(&others, SIGUSR1);
    long before = sh_->signals;
    return sigsuspend(&others) == -1 && errno == EINTR && sh_->signals == before + 1;
}

static bool be_busy(void)
{
    return true;
}

static bool (*const waits[])(void) = {
    wait_in_read,
    wait_in_poll,
    wait_in_futex,
    wait_in_sigwait,
    wait_in_sigsuspend,
    wait_in_poll_with_timeout,
    wait_in_futex_with_timeout,
    wait_in_nanosleep,
    be_busy,
};
#define WAITERS (int)(sizeof waits / sizeof *waits)
#define WOKEN   5 /* the first so many wait for wake_all() */

static void *wait_for_ever(void *arg)
{
    size_t i = (size_t)arg;
    sh_->tids[i] = gettid();
    __atomic_add_fetch(&sh_->ready, 1, __ATOMIC_SEQ_CST);
    for (;;) {
        sh_->errors[i] += !waits[i]();
        ++sh_->count[i];
    }
    return NULL;
}

static void count_child(int sig)
{
    (void)sig;
    ++sh_->count[15];
}

static void wait_in_all_ways(void *arg)
{
    (void)arg;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGUSR2, note_signal);
    signal(SIGCHLD, count_child);
    signal(SIGPIPE, SIG_IGN);
    pid_t child = child_start(child_sleep, NULL);
    for (size_t i = 0; i < WAITERS; i++) {
        pthread_t th;
        pthread_create(&th, NULL, wait_for_ever, (void *)i);
    }
    /* If it ever returns, something was seen that must not be seen. */
    int status;
    pid_t seen = waitpid(-1, &status, 0);
    sh_->errors[15] = seen == child ? 1 : seen;
    child_sleep(NULL);
}

/* Wake each of the waiters once, and see them come back. */
static void wake_all(pid_t pid)
{
    struct shared before = *sh_;
    cr_assert_eq(write(read_pipe[1], "x", 1), 1);
    cr_assert_eq(write(poll_pipe[1], "x", 1), 1);
    ++sh_->futex;
    syscall(SYS_futex, &sh_->futex, FUTEX_WAKE, 1);
    kill(pid, SIGUSR1);
    kill(pid, SIGUSR2);
    for (int i = 0; i < WAITERS; i++) {
        cr_assert(eventually(sh_->count[i] > before.count[i]), "waiter %d was not woken", i);
    }
    for (int i = 0; i < WOKEN; i++)
        cr_assert_eq(sh_->count[i], before.count[i] + 1, "waiter %d", i);
}

static pid_t start_waiters(void)
{
    sh_ = child_shared(sizeof *sh_);
    cr_assert(pipe(read_pipe) == 0 && pipe(poll_pipe) == 0);
    pid_t pid = child_start(wait_in_all_ways, NULL);
    cr_assert(eventually(sh_->ready >= WAITERS));
    for (int i = 0; i < WOKEN; i++)
        cr_assert(reaches_state(sh_->tids[i], 'S'));
    return pid;
}

static void expect_undisturbed(void)
{
    for (int i = 0; i < WAITERS; i++)
        cr_expect_eq(sh_->errors[i], 0, "waiter %d: %ld", i, sh_->errors[i]);
    cr_expect_eq(sh_->count[15], 0, "SIGCHLD");
    cr_expect_eq(sh_->errors[15], 0, "waitpid() returned");
}

Test(snapshot, two_hundred_leave_no_trace, .timeout = 120)
{
    char before[PORTRAIT];
    pid_t pid = start_waiters();
    portrait(pid, before);
    for (int i = 0; i < 200; i++) {
        take_and_end(pid);
        if (i % 10 == 0)
            wake_all(pid);
    }
    wake_all(pid);
    expect_portrait(pid, before);
    expect_undisturbed();
    child_end(pid);
}

/* Wake-ups that come in the middle, from whoever is not stopped. */
static void *wake_always(void *arg)
{
    volatile int *end = arg;
    while (!*end) {
        (void)!write(read_pipe[1], "x", 1);
        (void)!write(poll_pipe[1], "x", 1);
        ++sh_->futex;
        syscall(SYS_futex, &sh_->futex, FUTEX_WAKE, 1);
        ++sh_->go;
        usleep(100);
    }
    return NULL;
}

Test(snapshot, no_wake_up_gets_lost_meanwhile, .timeout = 120)
{
    pid_t pid = start_waiters();
    volatile int end = 0;
    pthread_t th;
    pthread_create(&th, NULL, wake_always, (void *)&end);
    for (int i = 0; i < 100; i++)
        take_and_end(pid);
    end = 1;
    pthread_join(th, NULL);
    cr_expect(eventually(sh_->count[0] == sh_->go && sh_->count[1] == sh_->go), "%ld and %ld of %d",
              sh_->count[0], sh_->count[1], sh_->go);
    wake_all(pid);
    expect_undisturbed();
    child_end(pid);
}

/* ---- those who never wait -------------------------------------------------------------------- */

Test(snapshot, of_a_thread_that_makes_no_calls, .timeout = 60)
{
    struct shared *sh = child_shared(sizeof *sh);
    pid_t pid = child_start(only_busy, sh);
    cr_assert(eventually(sh->ready >= 1));
    for (int i = 0; i < 20; i++) {
        take_and_end(pid);
        cr_assert(grows(&sh->count[0]));
    }
    cr_expect_eq(sh->errors[0], 0);
    /* Without a syscall instruction there is no way. */
    struct hw_snapshot *s = begin(pid);
    struct hw_error err;
    int copy;
    cr_expect_eq(hw_snapshot_take(s, (struct hw_code_range){0}, &copy, &err), HW_ERR_HARMFUL);
    cr_expect(strstr(err.text, "no syscall instruction is known"), "%s", err.text);
    cr_expect_eq(copy, 0);
    hw_snapshot_end(s);
    cr_expect(grows(&sh->count[0]));
    child_end(pid);
}
