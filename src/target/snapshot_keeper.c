/*
 * The keeper of a snapshot.
 *
 * While a thread of the target runs our call, its registers are not its own. If its tracer died in
 * that moment, the thread would run on like that, and take the program down. So the tracer is not a
 * thread of heapwalk, which anybody may kill at any time, but a process of its own, in a session of
 * its own, that takes no signal. It holds nothing but a socket; when the other end of that closes,
 * for whatever reason, it ends the copy, clears up behind it, lets go, and ends itself. The
 * kernel's OOM killer, which may look for memory because of the copy, is told to take the copy
 * first and the keeper last.
 *
 * It is started before anything of the heap is read, so a walker that gives up its rights (the
 * sandbox of the command) does so without giving up those of the keeper, which looks at nothing but
 * numbers: registers, states, a few bytes of code. For the same reason one serves all the stops
 * that it takes to find a moment for the copy.
 *
 * Should somebody kill the keeper itself, by its number and with SIGKILL, the copy dies with it
 * (EXITKILL), and a zombie of the target remains until the target ends. Only in the milliseconds of
 * the call is there no help.
 */
#include "target/snapshot_keeper.h"

#include "base/cleanup.h"
#include "target/headroom.h"
#include "target/priority.h"
#include "target/proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#define PIDFD_OPEN 434 /* SYS_pidfd_open: Linux 5.3, and headers as new as that */

/* ---- talking -------------------------------------------------------------------------------- */

bool hw_keeper_send(int sock, const void *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = send(sock, (const char *)data + done, size - done, MSG_NOSIGNAL);
        if (n <= 0 && errno != EINTR)
            return false;
        done += n > 0 ? (size_t)n : 0;
    }
    return true;
}

bool hw_keeper_receive(int sock, void *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = recv(sock, (char *)data + done, size - done, 0);
        if (n == 0 || (n < 0 && errno != EINTR))
            return false;
        done += n > 0 ? (size_t)n : 0;
    }
    return true;
}

static bool answer(struct hw_keeper *k)
{
    return hw_keeper_send(k->sock, &k->answer, sizeof k->answer);
}

/* ---- who we are ----------------------------------------------------------------------------- */

/* Whatever else was open is the walker's: who waits for the end of its output must not wait for
 * us. */
static void close_all_but(int sock)
{
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        int fd = atoi(entry->d_name);
        if (entry->d_name[0] != '.' && fd != sock && fd != dirfd(dir))
            close(fd);
    }
    if (dir)
        closedir(dir);
}

static void prefer_for_oom(const char *process, const char *score)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%s/oom_score_adj", process);
    hw_autoclose int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0)
        (void)!write(fd, score, strlen(score)); /* if it is not allowed, it is not */
}

static void become_keeper(int sock)
{
    signal(SIGCHLD, SIG_DFL); /* it must be sent: inject.c waits for it */
    setsid();
    close_all_but(sock);
    prefer_for_oom("self", "-1000");
}

/* ---- taking the copy ------------------------------------------------------------------------ */

#define CODE_MAX ((size_t)64 << 10)

static hw_addr find_insn(int tid, struct hw_code_range code)
{
    size_t size = code.end > code.start ? (size_t)(code.end - code.start) : 0;
    size = size < CODE_MAX ? size : CODE_MAX;
    hw_autofree uint8_t *bytes = malloc(size + 1);
    struct iovec to = {bytes, size}, from = {(void *)(uintptr_t)code.start, size};
    ssize_t n = bytes && size ? process_vm_readv(tid, &to, 1, &from, 1, 0) : 0;
    const uint8_t *found = n > 0 ? memmem(bytes, (size_t)n, "\x0f\x05", 2) : NULL;
    return found ? code.start + (hw_addr)(found - bytes) : 0;
}

enum hw_fitness hw_keeper_judge(struct hw_keeper *k, const struct hw_tracee *tracee, char *why,
                                size_t size)
{
    enum hw_fitness fitness = hw_inject_fitness(k->pid, tracee, why, size);
    if (fitness != HW_FIT_RUNNING)
        return fitness;
    if (!k->insn)
        k->insn = find_insn(tracee->tid, k->code);
    if (k->insn)
        return fitness;
    if (why)
        snprintf(why, size, "runs, and no syscall instruction is known");
    return HW_FIT_NOT;
}

/* Judging a thread takes some microseconds; there may be thousands, and all stand still. */
#define JUDGED_MAX 64

static struct hw_tracee *choose(struct hw_keeper *k, struct hw_error *err)
{
    struct hw_tracee *best = NULL;
    enum hw_fitness best_fitness = HW_FIT_NOT;
    char why[128] = "ended", text[128];
    int unfit = k->pid;
    for (size_t i = 0; i < k->tracees.list.count && best_fitness != HW_FIT_WAITING; i++) {
        struct hw_tracee *tracee = &k->tracees.list.data[i];
        if (i >= JUDGED_MAX && best)
            break;
        if (tracee->state == HW_TRACEE_GONE)
            continue;
        enum hw_fitness fitness = hw_keeper_judge(k, tracee, text, sizeof text);
        if (fitness > best_fitness) {
            best = tracee;
            best_fitness = fitness;
        } else if (fitness == HW_FIT_NOT) {
            unfit = tracee->tid;
            memcpy(why, text, sizeof why);
        }
    }
    if (!best) {
        hw_fail(err, HW_ERR_HARMFUL,
                "no copy of pid %d is made: none of its threads can be used; thread %d %s", k->pid,
                unfit, why);
        hw_remedy(err, HW_WITHOUT_SNAPSHOT);
    }
    return best;
}

/*
 * fork() that takes long is waited for, but not by the whole target for ever: what fork() waits for
 * may be one of the threads that we have stopped. 10 s, and another one for each GiB.
 */
static int64_t patience_ns(int pid)
{
    struct hw_memory memory;
    int64_t ns = INT64_C(10000000000);
    return hw_proc_memory(pid, &memory) ? ns + (int64_t)memory.rss_bytes : ns;
}

static void let_others_go(void *arg)
{
    struct hw_keeper *k = arg;
    k->lost = true;
    hw_tracees_let_go(&k->tracees);
}

static int refused(const struct hw_keeper *k, int64_t value, struct hw_error *err)
{
    if (value == -513) { /* ERESTARTNOINTR */
        hw_fail(err, HW_ERR_HARMFUL, "a signal reached pid %d when it was about to fork", k->pid);
        hw_remedy(err, HW_AGAIN_OR_WITHOUT_SNAPSHOT);
        return HW_ERR_HARMFUL;
    }
    errno = (int)-value;
    hw_fail_errno(err, HW_ERR_HARMFUL, "no copy of pid %d could be made", k->pid);
    if (value == -EAGAIN)
        hw_remedy(err, "a limit on processes is reached (pids.max, RLIMIT_NPROC, "
                       "pid_max); " HW_WITHOUT_SNAPSHOT);
    else
        hw_remedy(err, HW_WITHOUT_SNAPSHOT);
    return HW_ERR_HARMFUL;
}

/*
 * The flags of the copy: no signal when it ends, so that the target's handlers and wait() do not
 * see it; and the table of open files shared, not copied, so that what the target closes is closed
 * (the reader of a pipe sees its end) and nothing is flushed when the copy ends. All else is as for
 * fork(): sharing the rest, setuid programs and namespaces would notice.
 */
static int make_copy(struct hw_keeper *k, struct hw_error *err)
{
    static const struct hw_call fork_call = {SYS_clone, {CLONE_FILES}};
    struct hw_tracee *by = choose(k, err);
    if (!by)
        return HW_ERR_HARMFUL;
    struct hw_patience patience = {
        .until_ns = hw_now_ns() + patience_ns(k->pid), .lost = let_others_go, .arg = k};
    struct hw_called called;
    k->by = by->tid;
    int rc = hw_inject(by, k->insn, &fork_call, &patience, &called, err);
    k->copy = called.child;
    k->copy_tid = called.value > 0 ? called.value : 0;
    if (rc == HW_OK && called.value < 0)
        rc = refused(k, called.value, err);
    if (rc != HW_OK)
        return rc;
    if (!k->copy)
        rc = hw_fail(err, HW_ERR_SYSTEM, "the copy of pid %d is not to be found", k->pid);
    else if (k->lost)
        rc = hw_fail(err, HW_ERR_HARMFUL, "copying pid %d took too long: it was let go", k->pid);
    if (rc != HW_OK)
        hw_remedy(err, HW_WITHOUT_SNAPSHOT);
    return rc;
}

/* The copy was born traced, and stops before its first instruction; from then on it dies with
 * us. */
static void secure_copy(struct hw_keeper *k)
{
    char process[16];
    siginfo_t info;
    if (!k->copy)
        return;
    snprintf(process, sizeof process, "%d", k->copy);
    prefer_for_oom(process, "1000");
    while (waitid(P_PID, (id_t)k->copy, &info, WSTOPPED | WEXITED | WNOWAIT | __WALL) != 0 &&
           errno == EINTR)
        ;
    ptrace(PTRACE_SETOPTIONS, k->copy, NULL, (void *)(uintptr_t)PTRACE_O_EXITKILL);
    /* It was born in a hurry. To end it takes three times as long as the fork, and can wait. */
    hw_priority_follow(k->copy, k->by);
}

/* ---- ending it ------------------------------------------------------------------------------ */

static void end_copy(struct hw_keeper *k)
{
    if (!k->copy || kill(k->copy, SIGKILL) != 0)
        return; /* it dies with us */
    while (waitpid(k->copy, NULL, __WALL) < 0 && errno == EINTR)
        ;
    /* Without a number, the thread died in the act, and all with it. */
    if (k->copy_tid && !hw_keeper_bury(k))
        k->answer.cost.zombie = (int)k->copy_tid;
}

/* Until the walker closes its end. If the target ends, so does the copy at once: it still has the
 * files open, and somebody may wait for their ports. */
static void wait_for_end(const struct hw_keeper *k)
{
    struct pollfd ends[] = {{.fd = k->sock, .events = POLLIN}, {.fd = k->target, .events = POLLIN}};
    while (poll(ends, 2, -1) < 0 && errno == EINTR)
        ;
}

/* ---- all of it ------------------------------------------------------------------------------ */

static void stop(struct hw_keeper *k, int64_t limit_ns)
{
    struct hw_error *err = &k->answer.error;
    k->answer.rc = hw_tracees_stop(&k->tracees, limit_ns, &k->threads, err);
    if (k->answer.rc == HW_OK && k->tracees.missed) {
        k->answer.rc = hw_fail(err, HW_ERR_HARMFUL,
                               "no copy of pid %d is made: %zu of its threads sleep in the kernel "
                               "and do not stop",
                               k->pid, k->tracees.missed);
        hw_remedy(err, HW_WITHOUT_SNAPSHOT);
    }
    k->answer.thread_count = k->threads.count;
}

static bool tell_threads(struct hw_keeper *k)
{
    return k->answer.rc == HW_OK && answer(k) &&
           hw_keeper_send(k->sock, k->threads.data, k->threads.count * sizeof *k->threads.data);
}

static void take(struct hw_keeper *k, struct hw_code_range code)
{
    k->code = code;
    k->answer.rc = make_copy(k, &k->answer.error);
    k->answer.cost.pause_ns = hw_tracees_let_go(&k->tracees);
    secure_copy(k);
    k->answer.copy = k->copy;
    if (k->answer.rc == HW_OK && answer(k))
        wait_for_end(k);
    end_copy(k);
}

static void let_go(struct hw_keeper *k)
{
    k->answer.cost.pause_ns = hw_tracees_let_go(&k->tracees);
    hw_tracees_free(&k->tracees);
    hw_vec_free(&k->threads);
    k->tracees = (struct hw_tracees){.pid = k->pid, .machine = k->tracees.machine};
}

/* From one stop until all run again. True if another may follow: no copy was made, all is well. */
static bool serve(struct hw_keeper *k, int64_t limit_ns)
{
    struct hw_keeper_order order;
    k->answer = (struct hw_keeper_answer){0};
    stop(k, limit_ns);
    bool told = tell_threads(k) && hw_keeper_receive(k->sock, &order, sizeof order);
    if (told && order.copy)
        take(k, order.code);
    else
        let_go(k);
    return answer(k) && told && !order.copy;
}

void hw_keeper_run(int sock, int pid, const struct hw_machine *machine, int64_t limit_ns)
{
    struct hw_keeper k = {.sock = sock, .pid = pid, .tracees = {.pid = pid, .machine = machine}};
    struct hw_keeper_order order;
    struct hw_priority priority; /* ends with us */
    become_keeper(sock);
    hw_priority_raise(0, &priority);
    k.target = (int)syscall(PIDFD_OPEN, pid, 0);
    while (hw_keeper_receive(sock, &order, sizeof order) && serve(&k, limit_ns))
        ;
    _exit(0); /* the kernel lets go of the rest */
}
