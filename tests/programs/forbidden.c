/*
 * To be loaded into heapwalk (LD_PRELOAD): what code that somebody has smuggled in could try. Once
 * heapwalk is in its sandbox, the next read of a heap or a core makes the call that $FORBIDDEN_CALL
 * names, and says on stderr what came of it, "CALL: ERRNO", if anybody is left to say so.
 * $FORBIDDEN_PID is a process and $FORBIDDEN_FILE a file to try it on. Where $FORBIDDEN_THREAD is
 * set, it is not the main thread that does it; where $FORBIDDEN_ANYWAY is, the first read does it,
 * in a sandbox or not.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static char *file(void)
{
    return getenv("FORBIDDEN_FILE");
}

static pid_t victim(void)
{
    const char *pid = getenv("FORBIDDEN_PID");
    return pid ? atoi(pid) : 0;
}

static long call_execve(void)
{
    char *nothing[] = {NULL};
    return execve("/nonexistent", nothing, nothing);
}

static long call_execveat(void)
{
    char *nothing[] = {NULL};
    return syscall(SYS_execveat, AT_FDCWD, "/nonexistent", nothing, nothing, 0);
}

static long call_fork(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return pid < 0 ? -1 : waitpid(pid, NULL, 0);
}

static long call_clone3(void)
{
    return syscall(SYS_clone3, NULL, 0);
}

static long call_socket(void)
{
    return socket(AF_INET, SOCK_STREAM, 0);
}

static long call_socketpair(void)
{
    int ends[2];
    return socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
}

static long call_open_write(void)
{
    return open(file(), O_WRONLY);
}

static long call_open_create(void)
{
    return open(file(), O_RDONLY | O_CREAT, 0600);
}

static long call_open_truncate(void)
{
    return open(file(), O_RDONLY | O_TRUNC);
}

static long call_open_unnamed(void)
{
    return open("/tmp", O_TMPFILE | O_RDWR, 0600);
}

static long call_openat2(void)
{
    struct open_how how = {.flags = O_WRONLY};
    return syscall(SYS_openat2, AT_FDCWD, file(), &how, sizeof how);
}

static long call_unlink(void)
{
    return unlink(file());
}

static long call_chmod(void)
{
    return chmod(file(), 0777);
}

static long call_ptrace_poke(void)
{
    return ptrace(PTRACE_POKEDATA, victim(), NULL, NULL);
}

static long call_ptrace_setregset(void)
{
    return ptrace(PTRACE_SETREGSET, victim(), (void *)1, NULL);
}

static long call_ptrace_attach(void)
{
    return ptrace(PTRACE_SEIZE, victim(), NULL, NULL);
}

static long call_process_vm_writev(void)
{
    char byte = 0;
    struct iovec one = {&byte, 1};
    return process_vm_writev(getpid(), &one, 1, &one, 1, 0);
}

static long call_read_process(void)
{
    char byte = 0;
    struct iovec one = {&byte, 1};
    return syscall(SYS_process_vm_readv, getpid(), &one, 1, &one, 1, 0);
}

static long call_kill(void)
{
    return kill(victim(), SIGURG); /* which nobody notices */
}

static long call_tgkill(void)
{
    return syscall(SYS_tgkill, victim(), victim(), SIGURG);
}

/* To go before others, for good. */
static long call_priority_other(void)
{
    struct sched_param first = {.sched_priority = 1};
    return sched_setscheduler(victim(), SCHED_FIFO, &first);
}

static long call_nice_other(void)
{
    return setpriority(PRIO_PROCESS, (id_t)victim(), 0);
}

static long call_nice_all(void)
{
    return setpriority(PRIO_USER, 0, 0);
}

static long call_round_robin(void)
{
    struct sched_param first = {.sched_priority = 1};
    return sched_setscheduler(0, SCHED_RR, &first);
}

static long call_priority(void)
{
    struct sched_param none = {0};
    return sched_setscheduler(0, SCHED_BATCH, &none);
}

static long call_map_code(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED
               ? -1
               : 0;
}

static long call_make_code(void)
{
    static char page[8192];
    void *start = (void *)(((unsigned long)page + 4095) & ~4095UL);
    return mprotect(start, 4096, PROT_READ | PROT_WRITE | PROT_EXEC);
}

static long call_type_into_terminal(void)
{
    return ioctl(STDERR_FILENO, TIOCSTI, "x");
}

static long call_unshare(void)
{
    return unshare(CLONE_FS);
}

static long call_setuid(void)
{
    return setuid(getuid());
}

static long call_32_bit(void)
{
#ifdef __x86_64__
    long result; /* getpid() of i386 */
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20) : "memory");
    return result;
#else
    return 0;
#endif
}

/* What must go on working. */
static long call_raise(void)
{
    signal(SIGURG, SIG_IGN);
    return raise(SIGURG);
}

static void *nothing(void *arg)
{
    return arg;
}

static long call_thread(void)
{
    pthread_t thread;
    errno = pthread_create(&thread, NULL, nothing, NULL);
    return errno ? -1 : pthread_join(thread, NULL);
}

static const struct {
    const char *name;
    long (*make)(void);
} calls[] = {
    {"execve", call_execve},
    {"execveat", call_execveat},
    {"fork", call_fork},
    {"clone3", call_clone3},
    {"socket", call_socket},
    {"socketpair", call_socketpair},
    {"open-write", call_open_write},
    {"open-create", call_open_create},
    {"open-truncate", call_open_truncate},
    {"open-unnamed", call_open_unnamed},
    {"openat2", call_openat2},
    {"unlink", call_unlink},
    {"chmod", call_chmod},
    {"ptrace-poke", call_ptrace_poke},
    {"ptrace-setregset", call_ptrace_setregset},
    {"ptrace-attach", call_ptrace_attach},
    {"process_vm_writev", call_process_vm_writev},
    {"process_vm_readv", call_read_process},
    {"kill", call_kill},
    {"tgkill", call_tgkill},
    {"priority-other", call_priority_other},
    {"nice-other", call_nice_other},
    {"nice-all", call_nice_all},
    {"round-robin", call_round_robin},
    {"priority", call_priority},
    {"map-code", call_map_code},
    {"make-code", call_make_code},
    {"tiocsti", call_type_into_terminal},
    {"unshare", call_unshare},
    {"setuid", call_setuid},
    {"32-bit", call_32_bit},
    {"raise", call_raise},
    {"thread", call_thread},
};

/* ---- when ------------------------------------------------------------------------------------ */

static _Atomic int due = -1; /* 1: it is to be made, 0: it was; -1: not yet */

int seccomp_load(const void *filter)
{
    int (*real)(const void *) = (int (*)(const void *))dlsym(RTLD_NEXT, "seccomp_load");
    int rc = real(filter);
    due = rc == 0;
    return rc;
}

static void try_it(void)
{
    const char *name = getenv("FORBIDDEN_CALL");
    if (due == -1 && getenv("FORBIDDEN_ANYWAY"))
        due = 1;
    if (!name || due != 1 || (getenv("FORBIDDEN_THREAD") && gettid() == getpid()))
        return;
    due = 0;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        if (strcmp(calls[i].name, name) != 0)
            continue;
        errno = 0;
        long result = calls[i].make();
        fprintf(stderr, "%s: %d\n", name, result < 0 ? errno : 0);
        return;
    }
}

ssize_t process_vm_readv(pid_t pid, const struct iovec *to, unsigned long to_count,
                         const struct iovec *from, unsigned long from_count, unsigned long flags)
{
    try_it();
    return syscall(SYS_process_vm_readv, pid, to, to_count, from, from_count, flags);
}

ssize_t pread64(int fd, void *buf, size_t len, off64_t at)
{
    try_it();
    return syscall(SYS_pread64, fd, buf, len, at);
}

ssize_t pread(int fd, void *buf, size_t len, off_t at)
{
    try_it();
    return syscall(SYS_pread64, fd, buf, len, at);
}
