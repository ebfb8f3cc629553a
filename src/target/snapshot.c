/*
 * Who does what:
 *
 *     walker (the caller)     keeper (a process of ours)       target
 *     hw_snapshot_begin() --> stops all threads -------------> stands still
 *       reads what is cheap
 *     hw_snapshot_take() ---> has a thread call clone() -----> forks
 *                             lets all threads go -----------> runs on          copy (never runs)
 *       walks the copy        waits                            runs             |
 *     hw_snapshot_end() ----> kills the copy, reaps it                          x
 *                             has a thread call wait4() -----> clears its zombie away
 *                             ends                             runs on
 *
 * The keeper is a process and not a thread so that it outlives a walker that is killed: see
 * snapshot_keeper.c. It traces the copy all the time, which is what keeps that from running.
 */
#include "target/snapshot.h"

#include "base/cleanup.h"
#include "target/headroom.h"
#include "target/image.h"
#include "target/priority.h"
#include "target/snapshot_keeper.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

struct hw_snapshot {
    int sock;
    pid_t keeper;
    hw_thread_vec threads;
    struct hw_snapshot_cost cost;
    bool over;                   /* the keeper has sent its last answer */
    struct hw_priority priority; /* of the walker, which is raised while the target stands still */
};

int hw_snapshot_check(int pid, const struct hw_machine *machine, struct hw_error *err)
{
    struct hw_headroom headroom;
    if (machine->id != HW_X86_64) {
        hw_fail(err, HW_ERR_UNSUPPORTED, "no copy of pid %d is made: it is an %s process", pid,
                machine->name);
        hw_remedy(err, HW_WITHOUT_SNAPSHOT);
        return HW_ERR_UNSUPPORTED;
    }
    hw_headroom_find(pid, &headroom);
    return hw_headroom_check(&headroom, err);
}

static int lost_keeper(struct hw_error *err)
{
    hw_fail(err, HW_ERR_SYSTEM, "the process that keeps the copy was killed");
    hw_remedy(err, HW_AGAIN_OR_WITHOUT_SNAPSHOT);
    return HW_ERR_SYSTEM;
}

/* The next answer of the keeper. */
static int receive(struct hw_snapshot *s, struct hw_keeper_answer *ret, struct hw_error *err)
{
    if (!hw_keeper_receive(s->sock, ret, sizeof *ret)) {
        s->over = true;
        return lost_keeper(err);
    }
    s->cost = ret->cost;
    s->over = ret->rc != HW_OK;
    if (ret->rc != HW_OK && err)
        *err = ret->error;
    return ret->rc;
}

static int receive_threads(struct hw_snapshot *s, struct hw_error *err)
{
    struct hw_keeper_answer answer;
    int rc = receive(s, &answer, err);
    if (rc != HW_OK)
        return rc;
    s->threads.data = calloc(answer.thread_count + 1, sizeof *s->threads.data);
    if (!s->threads.data)
        return hw_fail(err, HW_ERR_NOMEM, "out of memory");
    s->threads.count = answer.thread_count;
    if (hw_keeper_receive(s->sock, s->threads.data, s->threads.count * sizeof *s->threads.data))
        return HW_OK;
    return lost_keeper(err);
}

/* Start the keeper, with all signals blocked for good; what it needs is copied by fork(). */
static int start_keeper(struct hw_snapshot *s, int pid, const struct hw_machine *machine,
                        int64_t limit_ns, struct hw_error *err)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return hw_fail_errno(err, HW_ERR_SYSTEM, "cannot make a pair of sockets");
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    s->keeper = fork();
    if (s->keeper == 0)
        hw_keeper_run(ends[1], pid, machine, limit_ns);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    s->sock = ends[0];
    close(ends[1]);
    if (s->keeper < 0)
        return hw_fail_errno(err, HW_ERR_SYSTEM, "cannot start a process");
    return HW_OK;
}

int hw_snapshot_begin(int pid, const struct hw_machine *machine, int64_t limit_ns,
                      struct hw_snapshot **ret, struct hw_error *err)
{
    *ret = NULL;
    struct hw_snapshot *s = calloc(1, sizeof *s);
    if (!s)
        return hw_fail(err, HW_ERR_NOMEM, "out of memory");
    s->sock = s->keeper = -1;
    hw_priority_raise(0, &s->priority); /* the keeper inherits it, and keeps it */
    int rc = start_keeper(s, pid, machine, limit_ns, err);
    if (rc == HW_OK)
        rc = receive_threads(s, err);
    if (rc == HW_OK)
        *ret = s;
    else
        hw_snapshot_end(s);
    return rc;
}

const struct hw_thread *hw_snapshot_threads(const struct hw_snapshot *s, size_t *count)
{
    *count = s->threads.count;
    return s->threads.data;
}

int hw_snapshot_take(struct hw_snapshot *s, struct hw_code_range code, int *ret,
                     struct hw_error *err)
{
    struct hw_keeper_order order = {.code = code};
    struct hw_keeper_answer answer;
    *ret = 0;
    /* If the keeper is gone, the answer says so. */
    hw_keeper_send(s->sock, &order, sizeof order);
    hw_priority_restore(&s->priority);
    int rc = receive(s, &answer, err);
    if (rc == HW_OK)
        *ret = answer.copy;
    return rc;
}

struct hw_snapshot_cost hw_snapshot_end(struct hw_snapshot *s)
{
    struct hw_keeper_answer answer;
    if (!s)
        return (struct hw_snapshot_cost){0};
    hw_priority_restore(&s->priority);
    if (s->sock >= 0) {
        shutdown(s->sock, SHUT_WR);
        while (!s->over && receive(s, &answer, NULL) == HW_OK)
            ;
        close(s->sock);
    }
    if (s->keeper > 0)
        while (waitpid(s->keeper, NULL, 0) < 0 && errno == EINTR)
            ;
    struct hw_snapshot_cost cost = s->cost;
    hw_vec_free(&s->threads);
    free(s);
    return cost;
}
