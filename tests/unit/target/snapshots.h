/*
 * Processes that the tests take snapshots of.
 */
#ifndef TEST_TARGET_SNAPSHOTS_H
#define TEST_TARGET_SNAPSHOTS_H

#include "child.h"

#include "target/snapshot.h"

#define SECOND INT64_C(1000000000)
#define LIMIT  (20 * SECOND) /* the machine may be busy with other tests */
#define PAGE   4096u

/* What parent and child both see. */
struct shared {
    volatile int ready, go;
    volatile long count[16], errors[16];
    volatile pid_t tids[16];
    volatile int futex;
    volatile long signals;
};

static inline bool grows(const volatile long *count)
{
    long before = *count;
    return eventually(*count != before);
}

static inline struct hw_code_range vdso_of(pid_t pid)
{
    char path[64], line[512];
    struct hw_code_range range = {0};
    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f))
        if (strstr(line, "[vdso]"))
            sscanf(line, "%lx-%lx", &range.start, &range.end);
    if (f)
        fclose(f);
    return range;
}

static inline struct hw_snapshot *begin(pid_t pid)
{
    struct hw_snapshot *s;
    struct hw_error err = {0};
    cr_assert_eq(hw_snapshot_begin(pid, hw_machine(HW_X86_64), LIMIT, &s, &err), HW_OK, "%s",
                 err.text);
    return s;
}

static inline int take(struct hw_snapshot *s, pid_t pid)
{
    int copy;
    struct hw_error err = {0};
    cr_assert_eq(hw_snapshot_take(s, vdso_of(pid), &copy, &err), HW_OK, "%s", err.text);
    cr_assert_gt(copy, 0);
    return copy;
}

/* The children of a process, as the kernel lists them; they are those of its threads. */
static inline void children_of(pid_t pid, char *ret, size_t size)
{
    char path[80];
    ret[0] = '\0';
    snprintf(path, sizeof path, "ls /proc/%d/task", (int)pid);
    FILE *tids = popen(path, "r");
    int tid;
    while (tids && fscanf(tids, "%d", &tid) == 1) {
        snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, tid);
        FILE *f = fopen(path, "re");
        size_t n = strlen(ret);
        if (f && !fgets(ret + n, (int)(size - n), f))
            ret[n] = '\0';
        if (f)
            fclose(f);
    }
    if (tids)
        pclose(tids);
}

#define PORTRAIT 8192 /* bytes */

/* Everything about the threads of a process that must not change: masks, dispositions, tracer. */
static inline void portrait(pid_t pid, char ret[PORTRAIT])
{
    char command[256];
    snprintf(command, sizeof command,
             "cd /proc/%d/task && grep -hE '^(Pid|TracerPid|SigBlk|SigIgn|SigCgt|SigPnd|ShdPnd):' "
             "*/status",
             (int)pid);
    FILE *f = popen(command, "r");
    size_t n = f ? fread(ret, 1, PORTRAIT - 1, f) : 0;
    ret[n] = '\0';
    if (f)
        pclose(f);
    children_of(pid, ret + n, PORTRAIT - n);
}

/* A thread that was let go a moment ago may be on its way back to where it waits. */
static inline void expect_portrait(pid_t pid, const char want[PORTRAIT])
{
    char now[PORTRAIT];
    portrait(pid, now);
    for (int i = 0; i < 200 && strcmp(now, want) != 0; i++) {
        nap_ms(10);
        portrait(pid, now);
    }
    size_t at = 0;
    while (now[at] && now[at] == want[at])
        at++;
    size_t line = at;
    while (line && now[line - 1] != '\n')
        line--;
    cr_expect_str_eq(now, want, "now %.60s\nbefore %.60s", now + line, want + line);
}

static inline void take_and_end(pid_t pid)
{
    struct hw_snapshot *s = begin(pid);
    int copy = take(s, pid);
    cr_assert_eq(state_of(copy), 't', "the copy stands still");
    struct hw_snapshot_cost cost = hw_snapshot_end(s);
    cr_assert_eq(cost.zombie, 0);
    cr_assert_gt(cost.pause_ns, 0);
    cr_assert_gt(cost.thread_pause_ns, 0);
    cr_assert_eq(state_of(copy), 0, "nothing of it is left");
}

/* Registers that are not put back are noticed. */
static inline void only_busy(void *arg)
{
    struct shared *sh = arg;
    unsigned long a = 1, b = 1, c = 1, d = 1;
    sh->ready = 1;
    for (;;) {
        for (int i = 0; i < 1000; i++) {
            a = a * 6364136223846793005UL + 1442695040888963407UL;
            b = b * 6364136223846793005UL + 1442695040888963407UL;
            c = c * 6364136223846793005UL + 1442695040888963407UL;
            d = d * 6364136223846793005UL + 1442695040888963407UL;
            __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d));
        }
        sh->errors[0] += a != b || b != c || c != d;
        ++sh->count[0];
    }
}

#endif
