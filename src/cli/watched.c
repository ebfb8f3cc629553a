#include "watched.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PIDFD_OPEN 434 /* SYS_pidfd_open: Linux 5.3, and headers as new as that */
#define NS_PER_S   INT64_C(1000000000)

/* Bytes of /proc/PID/NAME, ended by a 0; 0 where there are none. */
static size_t read_proc(int pid, const char *name, char *buf, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, buf, size - 1);
    if (fd >= 0)
        close(fd);
    buf[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

/* The 22nd field; what stands before it may hold blanks and parentheses. 0: there is none. */
static unsigned long long start_of(int pid)
{
    char stat[1024], *p;
    read_proc(pid, "stat", stat, sizeof stat);
    p = strrchr(stat, ')');
    for (int field = 2; p && field < 22; field++)
        p = strchr(p + 1, ' ');
    return p ? strtoull(p, NULL, 10) : 0;
}

/* Empty where it cannot be had, as of a process that is about to end. */
static bool program_of(int pid, unsigned char program[1024])
{
    memset(program, 0, 1024);
    return read_proc(pid, "auxv", (char *)program, 1024) > 0;
}

bool watched_begin(struct watched *w, int pid)
{
    *w = (struct watched){.pid = pid, .fd = (int)syscall(PIDFD_OPEN, pid, 0)};
    w->start = start_of(pid);
    program_of(pid, w->program);
    return w->start != 0;
}

void watched_end(struct watched *w)
{
    if (w->fd >= 0)
        close(w->fd);
    w->fd = -1;
}

static bool has_ended(const struct watched *w)
{
    struct pollfd p = {.fd = w->fd, .events = POLLIN};
    if (w->fd >= 0 && poll(&p, 1, 0) == 1)
        return true;
    return start_of(w->pid) != w->start;
}

enum watched_state watched_look(struct watched *w)
{
    unsigned char now[sizeof w->program];
    bool known = program_of(w->pid, now);
    if (has_ended(w)) /* asked last: so what was read before is of this process */
        return WATCHED_ENDED;
    if (!known || memcmp(now, w->program, sizeof now) == 0)
        return WATCHED_SAME;
    memcpy(w->program, now, sizeof now);
    return WATCHED_EXEC;
}

void watched_name(const struct watched *w, char buf[16])
{
    size_t length = read_proc(w->pid, "comm", buf, 16);
    if (length == 0)
        buf[length++] = '?';
    buf[length < 15 ? length : 15] = '\0';
    buf[strcspn(buf, "\n")] = '\0';
}

int64_t watched_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* ppoll() rather than clock_nanosleep(): it is there for the end of the process, too, and no signal
 * can come between a look at a flag and the sleep. As `until` is absolute, nothing adds up. */
void watched_wait(const struct watched *w, int64_t until, int fd, const sigset_t *open)
{
    struct pollfd p = {.fd = fd >= 0 ? fd : w->fd, .events = POLLIN};
    for (;;) {
        int64_t left = until - watched_clock();
        if (left < 0)
            left = 0;
        struct timespec timeout = {.tv_sec = (time_t)(left / NS_PER_S), .tv_nsec = left % NS_PER_S};
        int n = ppoll(&p, 1, fd >= 0 ? NULL : &timeout, open);
        if (n != 0 || left == 0)
            return;
    }
}
