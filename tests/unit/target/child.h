/*
 * Processes that the tests start, look at, and end.
 */
#ifndef TEST_TARGET_CHILD_H
#define TEST_TARGET_CHILD_H

#include <criterion/criterion.h>

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A process that runs `body`, which need not return, and then ends. It dies with its parent. */
static inline pid_t child_start(void (*body)(void *arg), void *arg)
{
    pid_t pid = fork();
    cr_assert(pid >= 0);
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    body(arg);
    _exit(0);
}

static inline void child_end(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static inline void child_sleep(void *arg)
{
    (void)arg;
    for (;;)
        pause();
}

/* The same as a thread. */
static inline void *child_sleeper(void *arg)
{
    child_sleep(arg);
    return NULL;
}

/* A body of which only a second thread is left, which sleeps. */
static inline void child_without_leader(void *arg)
{
    pthread_t th;
    pthread_create(&th, NULL, child_sleeper, arg);
    pthread_exit(NULL);
}

/* Zeros that this process shares with the children it starts from now on. */
static inline void *child_shared(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(p, MAP_FAILED);
    return p;
}

/* From now on a system call fails with EPERM for this process and its children, as under the
 * filters of containers. */
static inline void forbid_call(unsigned number)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};
    cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    cr_assert_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static inline void nap_ms(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

/* Whether a condition comes true within some seconds: it is looked at each millisecond. */
#define eventually(condition)                                                                      \
    ({                                                                                             \
        int naps_ = 0;                                                                             \
        for (; !(condition) && naps_ < 10000; naps_++)                                             \
            nap_ms(1);                                                                             \
        naps_ < 10000;                                                                             \
    })

/* The value of a number in /proc/PID/status, -1 if there is none; `key` ends in a colon. */
static inline long status_number(pid_t pid, const char *key)
{
    char path[64], line[256];
    long value = -1;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, key, strlen(key)) == 0)
            value = strtol(line + strlen(key), NULL, 10);
    if (f)
        fclose(f);
    return value;
}

/* The first line of a file in /proc/PID, empty if the process is gone. */
static inline void proc_line(pid_t pid, const char *name, char *ret, size_t size)
{
    char path[128];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    FILE *f = fopen(path, "re");
    if (!f || !fgets(ret, (int)size, f))
        ret[0] = '\0';
    if (f)
        fclose(f);
}

/* The state letter in /proc/PID/stat, 0 if the process is gone; also of a thread. */
static inline char state_of(pid_t pid)
{
    char line[512];
    proc_line(pid, "stat", line, sizeof line);
    char *close = strrchr(line, ')');
    return close ? close[2] : (char)0;
}

static inline bool has_name(pid_t pid, const char *name)
{
    char comm[64];
    proc_line(pid, "comm", comm, sizeof comm);
    comm[strcspn(comm, "\n")] = '\0';
    return strcmp(comm, name) == 0;
}

static inline bool reaches_state(pid_t pid, char state)
{
    return eventually(state_of(pid) == state);
}

static inline bool reaches_name(pid_t pid, const char *name)
{
    return eventually(has_name(pid, name));
}

static inline bool reaches_threads(pid_t pid, long count)
{
    return eventually(status_number(pid, "Threads:") == count);
}

/* The file that a crash leaves in `dir`; false where the kernel gives cores to a program. */
static inline bool child_core(const char *dir, pid_t pid, char *path, size_t size)
{
    char pattern[128] = "", with_pid = '0';
    FILE *f = fopen("/proc/sys/kernel/core_pattern", "re");
    if (!f || !fgets(pattern, sizeof pattern, f))
        pattern[0] = '|';
    if (f)
        fclose(f);
    f = fopen("/proc/sys/kernel/core_uses_pid", "re");
    if (f) {
        with_pid = (char)fgetc(f);
        fclose(f);
    }
    pattern[strcspn(pattern, "\n")] = '\0';
    if (strpbrk(pattern, "|/%@") || !pattern[0])
        return false;
    snprintf(path, size, with_pid == '1' ? "%s/%s.%d" : "%s/%s", dir, pattern, pid);
    return true;
}

#endif
