#include "snapshots.h"

#include <pthread.h>

/* ---- job control and signals ----------------------------------------------------------------- */

Test(snapshot, of_a_stopped_process_leaves_it_stopped, .timeout = 60)
{
    struct shared *sh = child_shared(sizeof *sh);
    pid_t pid = child_start(only_busy, sh);
    cr_assert(eventually(sh->ready >= 1));
    for (int i = 0; i < 10; i++) {
        kill(pid, SIGSTOP);
        cr_assert(reaches_state(pid, 'T'));
        long before = sh->count[0];
        take_and_end(pid);
        /* It stops anew in the kernel, when it gets a processor, and never returns to its code. */
        cr_assert(reaches_state(pid, 'T'), "state %c", state_of(pid));
        nap_ms(5);
        cr_assert_eq(state_of(pid), 'T', "state %c", state_of(pid));
        cr_assert_eq(sh->count[0], before);
        kill(pid, SIGCONT);
        cr_assert(grows(&sh->count[0]));
    }
    cr_expect_eq(sh->errors[0], 0);
    child_end(pid);
}

static struct shared *signal_shared;

static void on_signal(int sig, siginfo_t *info, void *context)
{
    (void)sig, (void)context;
    signal_shared->errors[0] += info->si_value.sival_int != signal_shared->signals + 1;
    ++signal_shared->signals;
}

static void take_signals(void *arg)
{
    signal_shared = arg;
    struct sigaction act = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(SIGRTMIN, &act, NULL);
    signal_shared->ready = 1;
    only_busy(arg);
}

struct storm {
    pid_t pid;
    volatile int end, sent;
    bool job_control;
};

/* Signals that queue, each with its number; and stops and goes among them. */
static void *send_signals(void *arg)
{
    struct storm *storm = arg;
    while (!storm->end) {
        if (sigqueue(storm->pid, SIGRTMIN, (union sigval){.sival_int = storm->sent + 1}) == 0)
            ++storm->sent;
        if (storm->job_control) {
            kill(storm->pid, SIGSTOP);
            kill(storm->pid, SIGCONT);
        }
        usleep(50);
    }
    return NULL;
}

static void storm_of_signals(bool job_control)
{
    struct shared *sh = child_shared(sizeof *sh);
    pid_t pid = child_start(take_signals, sh);
    cr_assert(eventually(sh->ready >= 1));
    struct storm storm = {.pid = pid, .job_control = job_control};
    pthread_t th;
    pthread_create(&th, NULL, send_signals, &storm);
    int taken = 0;
    for (int i = 0; i < 100; i++) {
        struct hw_snapshot *s = begin(pid);
        struct hw_error err = {0};
        int copy;
        int rc = hw_snapshot_take(s, vdso_of(pid), &copy, &err);
        cr_assert(rc == HW_OK || rc == HW_ERR_HARMFUL, "%s", err.text);
        taken += rc == HW_OK;
        cr_assert_eq(hw_snapshot_end(s).zombie, 0);
    }
    storm.end = 1;
    pthread_join(th, NULL);
    cr_log_info("%d of 100 taken, %d signals", taken, storm.sent);
    cr_expect(eventually(sh->signals == storm.sent), "%ld of %d", sh->signals, storm.sent);
    cr_expect_eq(sh->errors[0], 0);
    cr_expect_gt(taken, 0);
    cr_expect(grows(&sh->count[0]), "state %c", state_of(pid));
    char children[256];
    children_of(pid, children, sizeof children);
    cr_expect_str_eq(children, "");
    child_end(pid);
}

Test(snapshot, among_signals_none_gets_lost, .timeout = 60)
{
    storm_of_signals(false);
}

Test(snapshot, among_stops_and_goes, .timeout = 60)
{
    storm_of_signals(true);
}

/* ---- ends ------------------------------------------------------------------------------------ */

Test(snapshot, of_a_process_that_ends_meanwhile_ends_too, .timeout = 60)
{
    pid_t pid = child_start(child_sleep, NULL);
    cr_assert(reaches_state(pid, 'S'));
    struct hw_snapshot *s = begin(pid);
    int copy = take(s, pid);
    kill(pid, SIGKILL);
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
    /* Its files are open in the copy: that must not outlive the process. */
    cr_expect(eventually(state_of(copy) != 't'));
    cr_expect_eq(hw_snapshot_end(s).zombie, 0);
}

static void execute_another(void *arg)
{
    struct shared *sh = arg;
    sh->ready = 1;
    while (!sh->go)
        nap_ms(1);
    execl("/bin/sleep", "sleep", "1000", (char *)NULL);
    _exit(1);
}

Test(snapshot, of_a_process_that_executes_another_program_meanwhile, .timeout = 60)
{
    struct shared *sh = child_shared(sizeof *sh);
    pid_t pid = child_start(execute_another, sh);
    cr_assert(eventually(sh->ready >= 1));
    struct hw_snapshot *s = begin(pid);
    int copy = take(s, pid);
    sh->go = 1;
    char children[256];
    cr_assert(reaches_name(pid, "sleep"));
    cr_expect_eq(state_of(copy), 't');
    cr_expect_eq(hw_snapshot_end(s).zombie, 0);
    children_of(pid, children, sizeof children);
    cr_expect_str_eq(children, "");
    cr_expect(reaches_state(pid, 'S'));
    child_end(pid);
}

Test(snapshot, the_copy_dies_with_a_keeper_that_is_killed, .timeout = 60)
{
    pid_t pid = child_start(child_sleep, NULL);
    cr_assert(reaches_state(pid, 'S'));
    struct hw_snapshot *s = begin(pid);
    int copy = take(s, pid);
    kill((pid_t)status_number(copy, "TracerPid:"), SIGKILL);
    cr_expect(reaches_state(copy, 'Z'), "state %c", state_of(copy));
    hw_snapshot_end(s);
    cr_expect(reaches_state(pid, 'S'), "state %c", state_of(pid));
    child_end(pid);
}

static void *count_on(void *arg)
{
    struct shared *sh = arg;
    for (;;) {
        ++sh->count[1];
        usleep(1000);
    }
    return NULL;
}

/* Its main thread goes to sleep where nothing wakes it but the child of its vfork(). */
static void sleep_in_the_kernel(void *arg)
{
    struct shared *sh = arg;
    pthread_t th;
    pthread_create(&th, NULL, count_on, sh);
    sh->ready = 1;
    while (!sh->go)
        usleep(1000);
    if (vfork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        sh->ready = 2;
        while (sh->go == 1)
            usleep(1000);
        _exit(0);
    }
    count_on(sh);
}

Test(snapshot, another_thread_clears_up_where_one_cannot, .timeout = 60)
{
    struct shared *sh = child_shared(sizeof *sh);
    pid_t pid = child_start(sleep_in_the_kernel, sh);
    cr_assert(eventually(sh->ready >= 1));
    struct hw_snapshot *s = begin(pid);
    int copy = take(s, pid);
    sh->go = 1;
    cr_assert(eventually(sh->ready >= 2));
    cr_assert(reaches_state(pid, 'D'));
    struct hw_snapshot_cost cost = hw_snapshot_end(s);
    cr_expect_eq(cost.zombie, 0);
    cr_expect_gt(cost.thread_pause_ns, 0);
    cr_expect_eq(state_of(copy), 0);
    cr_expect(grows(&sh->count[1]));
    sh->go = 2;
    cr_expect(reaches_state(pid, 'S'));
    cr_expect_eq(status_number(pid, "TracerPid:"), 0);
    child_end(pid);
}

static pid_t youngest_child(void)
{
    char name[64], children[64];
    snprintf(name, sizeof name, "task/%d/children", (int)getpid());
    proc_line(getpid(), name, children, sizeof children);
    pid_t last = 0; /* they are listed by age, each with a space behind it */
    for (char *at = children; atoi(at); at = strchr(at, ' ') + 1)
        last = atoi(at);
    return last;
}

Test(snapshot, between_two_stops_the_keeper_may_be_killed, .timeout = 60)
{
    struct hw_error err = {0};
    pid_t pid = child_start(child_sleep, NULL);
    cr_assert(reaches_state(pid, 'S'));
    struct hw_snapshot *s = begin(pid);
    pid_t keeper = youngest_child();
    cr_assert(keeper > 0 && keeper != pid);
    hw_snapshot_let_go(s);
    cr_expect(reaches_state(pid, 'S'));
    kill(keeper, SIGKILL);
    cr_expect_eq(hw_snapshot_begin(s, &err), HW_ERR_SYSTEM);
    cr_expect(strstr(err.text, "was killed"), "%s", err.text);
    cr_expect_eq(hw_snapshot_let_go(s), 0);
    hw_snapshot_end(s);
    child_end(pid);
}

/* Whoever is to reap it may take their time. */
static bool has_ended(pid_t pid)
{
    return eventually(state_of(pid) == 0 || state_of(pid) == 'Z');
}

/* The walker is killed: the end of its socket is all that the keeper hears of it. */
enum { WHILE_STOPPED, BETWEEN_STOPS, WITH_COPY, MOMENTS };

static void walk_for_ever(void *arg)
{
    struct shared *sh = arg;
    struct hw_snapshot *s = begin(sh->go);
    if (sh->signals == BETWEEN_STOPS)
        hw_snapshot_let_go(s);
    if (sh->signals == WITH_COPY)
        sh->count[0] = take(s, sh->go);
    sh->count[1] = youngest_child();
    sh->ready = 1;
    child_sleep(NULL);
}

Test(snapshot, a_walker_that_is_killed_leaves_nothing, .timeout = 60)
{
    char before[PORTRAIT];
    pid_t pid = child_start(child_sleep, NULL);
    cr_assert(reaches_state(pid, 'S'));
    portrait(pid, before);
    for (int moment = 0; moment < MOMENTS; moment++) {
        struct shared *sh = child_shared(sizeof *sh);
        sh->go = pid;
        sh->signals = moment;
        pid_t walker = child_start(walk_for_ever, sh);
        cr_assert(eventually(sh->ready));
        cr_expect(reaches_state(pid, moment == WHILE_STOPPED ? 't' : 'S'), "state %c",
                  state_of(pid));
        child_end(walker);
        cr_expect(reaches_state(pid, 'S'));
        cr_assert_gt(sh->count[1], 0);
        cr_expect(has_ended((pid_t)sh->count[1]), "a keeper is left");
        if (moment == WITH_COPY)
            cr_expect(eventually(!state_of((pid_t)sh->count[0])));
        expect_portrait(pid, before);
    }
    child_end(pid);
}
