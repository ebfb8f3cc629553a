/*
 * The list of calls. How it was found: by what heapwalk calls, by strace of all its modes, and by
 * what the C libraries of other releases call for the same functions.
 */
#include "sandbox_calls.h"

#include "sandbox.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>

/* Whatever their arguments: what they change is ours, what they tell is no secret from us. */
const char *const sandbox_harmless[] = {
    /* memory */
    "brk", "mremap", "munmap",
    /* files that are open */
    "close", "close_range", "dup", "fadvise64", "fstat", "fstatfs", "getdents", "getdents64",
    "lseek", "pread64", "preadv", "preadv2", "pwrite64", "pwritev", "read", "readv", "write",
    "writev", "poll", "ppoll",
    /* files by name */
    "access", "faccessat", "faccessat2", "getcwd", "lstat", "newfstatat", "readlink", "readlinkat",
    "stat", "statfs", "statx",
    /* threads */
    "exit", "exit_group", "futex", "futex_wait", "futex_waitv", "futex_wake", "futex_requeue",
    "get_robust_list", "getcpu", "getpid", "getppid", "gettid", "membarrier", "rseq",
    "sched_getaffinity", "sched_getparam", "sched_getscheduler", "sched_get_priority_max",
    "sched_get_priority_min", "sched_yield", "set_robust_list", "set_tid_address", "getpriority",
    "wait4", "waitid",
    /* signals to ourselves */
    "restart_syscall", "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigreturn",
    "rt_sigsuspend", "rt_sigtimedwait", "sigaltstack",
    /* time */
    "clock_getres", "clock_gettime", "clock_nanosleep", "gettimeofday", "nanosleep", "time",
    "times",
    /* who and where we are */
    "getegid", "geteuid", "getgid", "getrandom", "getresgid", "getresuid", "getrlimit", "getrusage",
    "getuid", "sysinfo", "uname", NULL};

/* The kernel looks at the lower half of an argument that is an int. */
#define INT UINT32_MAX
#define ALL UINT64_MAX

#define TO_WRITE (O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY))
#define A_SPACE                                                                                    \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |  \
     CLONE_NEWNET)

#define FREEZES (SANDBOX_STOP | SANDBOX_COPY)
#define POLICY  (INT & ~(uint32_t)SCHED_RESET_ON_FORK)

#define GET_TERMINAL 0x802c542a /* TCGETS2, which newer glibc prefers */
#define SCAN_PAGEMAP 0xc0606610 /* PAGEMAP_SCAN: Linux 6.7, and headers as new as that */
#define GUARD_MEMORY 102        /* MADV_GUARD_INSTALL: new threads of glibc 2.42 do, Linux 6.13 */
#define NAME_MEMORY  0x53564d41 /* PR_SET_VMA: likewise; malloc() does, if it is tuned to */

const struct sandbox_call sandbox_calls[] = {
    /* memory, but not code; no advice that only root may give (to take a page for broken) */
    {"mmap", 0, {{2, PROT_EXEC, 0}}},
    {"mprotect", 0, {{2, PROT_EXEC, 0}}},
    {"madvise", 0, {{2, INT & ~63U, 0}}},
    {"madvise", 0, {{2, INT, GUARD_MEMORY}}},
    {"madvise", 0, {{2, INT, GUARD_MEMORY + 1}}}, /* and take it back */
    {"prctl", 0, {{0, INT, NAME_MEMORY}}},
    /* files, to read */
    {"open", 0, {{1, TO_WRITE, 0}}},
    {"openat", 0, {{2, TO_WRITE, 0}}},
    {"fcntl", 0, {{1, INT, F_DUPFD}}},
    {"fcntl", 0, {{1, INT, F_DUPFD_CLOEXEC}}},
    {"fcntl", 0, {{1, INT, F_GETFD}}},
    {"fcntl", 0, {{1, INT, F_SETFD}}},
    {"fcntl", 0, {{1, INT, F_GETFL}}},
    {"ioctl", 0, {{1, INT, TCGETS}}},
    {"ioctl", 0, {{1, INT, TIOCGWINSZ}}},
    {"ioctl", 0, {{1, INT, GET_TERMINAL}}},
    {"ioctl", SANDBOX_LIVE, {{1, INT, SCAN_PAGEMAP}}},
    /* threads of ours; whether there is a process of that number; limits, to be looked at */
    {"clone", 0, {{0, CLONE_THREAD | A_SPACE, CLONE_THREAD}}},
    {"kill", 0, {{1, INT, 0}}},
    {"prlimit64", 0, {{2, ALL, 0}}},
    /* the process that is read: never written to */
    {"process_vm_readv", SANDBOX_LIVE, {{0}}},
    {"ptrace", SANDBOX_STOP, {{0, INT, PTRACE_SEIZE}}},
    {"ptrace", SANDBOX_STOP, {{0, INT, PTRACE_INTERRUPT}}},
    {"ptrace", SANDBOX_STOP, {{0, INT, PTRACE_GETREGSET}}},
    {"ptrace", SANDBOX_STOP, {{0, INT, PTRACE_DETACH}}},
#ifdef __x86_64__
    {"ptrace", SANDBOX_STOP, {{0, INT, PTRACE_GET_THREAD_AREA}}},
#endif
    /* our own thread goes before others while it stands still: 0, not a number, says which */
    {"sched_setscheduler", FREEZES, {{0, INT, 0}, {1, POLICY, SCHED_OTHER}}},
    {"sched_setscheduler", FREEZES, {{0, INT, 0}, {1, POLICY, SCHED_BATCH}}},
    {"sched_setscheduler", FREEZES, {{0, INT, 0}, {1, POLICY, SCHED_IDLE}}},
    {"sched_setscheduler", FREEZES, {{0, INT, 0}, {1, POLICY, SCHED_FIFO}}},
    {"setpriority", FREEZES, {{0, INT, PRIO_PROCESS}, {1, INT, 0}}},
    /* the keeper of a snapshot, by the socket that is open */
    {"sendto", SANDBOX_COPY, {{4, ALL, 0}}},
    {"recvfrom", SANDBOX_COPY, {{4, ALL, 0}}},
    {"shutdown", SANDBOX_COPY, {{0}}},
    /* the file that is to appear when it is complete; each machine has some of these */
    {"rename", SANDBOX_RENAME, {{0}}},
    {"renameat", SANDBOX_RENAME, {{0}}},
    {"renameat2", SANDBOX_RENAME, {{0}}},
    {"unlink", SANDBOX_RENAME, {{0}}},
    {"unlinkat", SANDBOX_RENAME, {{0}}},
    {NULL, 0, {{0}}},
};
