/*
 * The limit of the pause: the process runs again by then, whatever we do.
 */
#include "child.h"

#include "target/stop.h"

#include <pthread.h>

#define MS INT64_C(1000000)

struct shared {
    volatile long ticks[8];
};

static struct shared *counts;

static void *count(void *arg)
{
    volatile long *n = arg;
    for (;;)
        ++*n;
    return NULL;
}

static void counting(void *arg)
{
    counts = arg;
    for (int i = 1; i < 8; i++) {
        pthread_t th;
        pthread_create(&th, NULL, count, (void *)&counts->ticks[i]);
    }
    count((void *)&counts->ticks[0]);
}

static bool all_count(const struct shared *sh)
{
    struct shared before = *sh;
    bool all = true;
    for (int k = 0; k < 8; k++)
        all &= eventually(sh->ticks[k] != before.ticks[k]);
    return all;
}

static struct hw_stop *stop_for(pid_t pid, int64_t pause_ns, _Atomic bool *let_go)
{
    struct hw_stop *s;
    struct hw_error err = {0};
    struct hw_stop_limits limits = {.wait_ns = 1000 * MS, .pause_ns = pause_ns, .let_go = let_go};
    cr_assert_eq(hw_stop_all(pid, hw_machine(HW_X86_64), limits, &s, &err), HW_OK, "%s", err.text);
    return s;
}

static struct shared *start(pid_t *pid)
{
    struct shared *sh = child_shared(sizeof *sh);
    *pid = child_start(counting, sh);
    cr_assert(all_count(sh));
    return sh;
}

Test(stop_limit, it_runs_again_though_we_sleep, .timeout = 60)
{
    pid_t pid;
    struct shared *sh = start(&pid);
    _Atomic bool let_go = false;
    struct hw_stop *s = stop_for(pid, 50 * MS, &let_go);
    struct shared before = *sh;
    nap_ms(10);
    if (!let_go)
        cr_expect_eq(memcmp(&before, sh, sizeof before), 0, "it stands still at first");
    cr_expect(eventually(let_go));
    cr_expect(all_count(sh));
    cr_expect_eq(status_number(pid, "TracerPid:"), 0);
    int64_t pause = hw_stop_release(s);
    cr_expect(pause >= 50 * MS && pause < 2000 * MS, "%ld", (long)pause);
    child_end(pid);
}

Test(stop_limit, a_release_in_time, .timeout = 60)
{
    pid_t pid;
    struct shared *sh = start(&pid);
    _Atomic bool let_go = false;
    for (int i = 0; i < 20; i++) {
        struct hw_stop *s = stop_for(pid, 20000 * MS, &let_go);
        cr_expect_lt(hw_stop_release(s), 20000 * MS);
        cr_expect(!let_go);
    }
    cr_expect(all_count(sh));
    child_end(pid);
}

Test(stop_limit, before_the_time_is_up, .timeout = 60)
{
    pid_t pid;
    struct shared *sh = start(&pid);
    _Atomic bool let_go = false;
    for (int i = 0; i < 20; i++) {
        struct hw_stop *s = stop_for(pid, 20000 * MS, &let_go);
        cr_expect(!let_go);
        hw_stop_let_go(s);
        cr_expect(let_go, "before the first of them runs");
        cr_expect(all_count(sh));
        cr_expect_lt(hw_stop_release(s), 20000 * MS);
        let_go = false;
    }
    cr_expect_eq(status_number(pid, "TracerPid:"), 0);
    child_end(pid);
}

/* Nothing moves as long as the flag is not set. */
Test(stop_limit, the_flag_comes_first, .timeout = 60)
{
    pid_t pid;
    struct shared *sh = start(&pid);
    for (int i = 0; i < 50; i++) {
        _Atomic bool let_go = false;
        struct hw_stop *s = stop_for(pid, 3 * MS, &let_go);
        struct shared before = *sh, now = before;
        bool moved = false, told = false;
        while (!told) {
            now = *sh;
            told = let_go;
            moved |= !told && memcmp(&before, &now, sizeof now) != 0;
        }
        cr_expect(!moved);
        hw_stop_release(s);
    }
    child_end(pid);
}

Test(stop_limit, a_limit_that_is_over_at_once, .timeout = 60)
{
    pid_t pid;
    struct shared *sh = start(&pid);
    for (int i = 0; i < 50; i++) {
        _Atomic bool let_go = false;
        struct hw_stop *s = stop_for(pid, 1, &let_go);
        size_t known;
        hw_stop_threads(s, &known);
        cr_expect_leq(known, 8);
        hw_stop_release(s);
    }
    cr_expect(all_count(sh));
    cr_expect_eq(status_number(pid, "TracerPid:"), 0);
    child_end(pid);
}

Test(stop_limit, the_target_ends_meanwhile, .timeout = 60)
{
    pid_t pid;
    start(&pid);
    _Atomic bool let_go = false;
    struct hw_stop *s = stop_for(pid, 20 * MS, &let_go);
    child_end(pid);
    cr_expect(eventually(let_go));
    hw_stop_release(s);
}

static bool blocked(int number)
{
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    return sigismember(&mask, number) == 1;
}

/* ^Z would stop us, and with us the target. */
Test(stop_limit, a_terminal_does_not_stop_us_meanwhile, .timeout = 60)
{
    pid_t pid;
    start(&pid);
    sigset_t own;
    sigemptyset(&own);
    sigaddset(&own, SIGTTIN);
    pthread_sigmask(SIG_BLOCK, &own, NULL);
    struct hw_stop *s = stop_for(pid, 0, NULL);
    cr_expect(blocked(SIGTSTP) && blocked(SIGTTOU) && !blocked(SIGINT));
    hw_stop_release(s);
    cr_expect(!blocked(SIGTSTP) && !blocked(SIGTTOU));
    cr_expect(blocked(SIGTTIN), "as the caller wanted it");
    child_end(pid);
    struct hw_error err;
    struct hw_stop_limits limits = {.wait_ns = MS};
    cr_expect_neq(hw_stop_all(pid, hw_machine(HW_X86_64), limits, &s, &err), HW_OK);
    cr_expect(!blocked(SIGTSTP));
}
