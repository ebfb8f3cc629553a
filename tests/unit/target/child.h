/*
 * Processes that the tests start, look at, and end.
 */
#ifndef TEST_TARGET_CHILD_H
#define TEST_TARGET_CHILD_H

#include <criterion/criterion.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
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

static inline void nap_ms(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

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

/* The state letter in /proc/PID/stat, 0 if the process is gone. */
static inline char state_of(pid_t pid)
{
    char path[64], line[512] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "re");
    if (!f)
        return 0;
    char *got = fgets(line, sizeof line, f);
    fclose(f);
    char *close = got ? strrchr(line, ')') : NULL;
    return close ? close[2] : (char)0;
}

/* Wait up to two seconds for a state. */
static inline bool reaches_state(pid_t pid, char state)
{
    for (int i = 0; i < 2000 && state_of(pid) != state; i++)
        nap_ms(1);
    return state_of(pid) == state;
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
