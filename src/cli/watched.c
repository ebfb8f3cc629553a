#include "watched.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
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

/* The value of an entry of an auxiliary vector of such words; 0 if there is none. */
static uint64_t entry_of(const unsigned char *vector, size_t size, unsigned word, uint64_t type)
{
    for (size_t at = 0; at + 2 * word <= size; at += 2 * (size_t)word) {
        uint64_t pair[2] = {0};
        memcpy(&pair[0], vector + at, word);
        memcpy(&pair[1], vector + at + word, word);
        if (pair[0] == type)
            return pair[1];
        if (pair[0] == AT_NULL)
            break;
    }
    return 0;
}

static bool is_blank(const unsigned char vector[1024])
{
    static const unsigned char blank[1024];
    return memcmp(vector, blank, sizeof blank) == 0;
}

/* Nothing is known of a process that is about to end. */
static struct watched_program program_of(int pid)
{
    struct watched_program p = {0};
    size_t size = read_proc(pid, "auxv", (char *)p.vector, sizeof p.vector);
    p.vector_known = size > 0;
    /* Read with too long words it has no such type. */
    uint64_t at = entry_of(p.vector, size, 8, AT_RANDOM);
    if (!at)
        at = entry_of(p.vector, size, 4, AT_RANDOM);
    struct iovec here = {p.seed, sizeof p.seed}, there = {(void *)(uintptr_t)at, sizeof p.seed};
    p.seed_known = at && process_vm_readv(pid, &here, 1, &there, 1, 0) == (ssize_t)sizeof p.seed;
    unsigned char again[sizeof p.vector] = {0}; /* else the seed may be of the next one */
    read_proc(pid, "auxv", (char *)again, sizeof again);
    /* The kernel writes it when it has mapped the program: there are only zeros before. */
    p.is_starting =
        p.vector_known && (is_blank(p.vector) || memcmp(again, p.vector, sizeof again) != 0);
    p.seed_known &= !p.is_starting;
    return p;
}

static bool is_other(const struct watched_program *a, const struct watched_program *b)
{
    if (!b->vector_known || a->is_starting)
        return false; /* what was just being started is what it has become */
    if (!a->vector_known)
        return true; /* its first thread had ended; another one that executes takes its place */
    return memcmp(a->vector, b->vector, sizeof a->vector) != 0 ||
           (a->seed_known && b->seed_known && memcmp(a->seed, b->seed, sizeof a->seed) != 0);
}

bool watched_replace(struct watched_program *before, const struct watched_program *now)
{
    bool other = is_other(before, now);
    if (now->vector_known && (other || now->seed_known || !before->seed_known))
        *before = *now;
    return other;
}

bool watched_begin(struct watched *w, int pid)
{
    *w = (struct watched){.pid = pid, .fd = (int)syscall(PIDFD_OPEN, pid, 0)};
    w->start = start_of(pid);
    w->program = program_of(pid);
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
    struct watched_program now = program_of(w->pid);
    if (has_ended(w)) /* asked last: so what was read before is of this process */
        return WATCHED_ENDED;
    return watched_replace(&w->program, &now) ? WATCHED_EXEC : WATCHED_SAME;
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
