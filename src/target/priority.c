#include "target/priority.h"

#include <errno.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#define FIRST_NICE (-20)

/* In Linux all of these speak of one thread. */
static bool find(int tid, struct hw_priority *ret)
{
    struct sched_param param;
    *ret = (struct hw_priority){.tid = tid, .policy = sched_getscheduler(tid)};
    if (ret->policy < 0 || sched_getparam(tid, &param) != 0)
        return false;
    ret->realtime = param.sched_priority;
    errno = 0;
    ret->nice = getpriority(PRIO_PROCESS, (id_t)tid);
    return errno == 0;
}

static bool set(int tid, const struct hw_priority *p)
{
    struct sched_param param = {.sched_priority = p->realtime};
    return sched_setscheduler(tid, p->policy, &param) == 0 &&
           setpriority(PRIO_PROCESS, (id_t)tid, p->nice) == 0;
}

/* Of the others, deadlines for example, more would have to be put back. */
static bool is_ordinary(const struct hw_priority *p)
{
    int policy = p->policy & ~SCHED_RESET_ON_FORK;
    return policy == SCHED_OTHER || policy == SCHED_BATCH || policy == SCHED_IDLE;
}

void hw_priority_raise(int tid, struct hw_priority *ret)
{
    if (!find(tid ? tid : gettid(), ret) || !is_ordinary(ret))
        return;
    struct hw_priority first = {.policy = SCHED_FIFO | (ret->policy & SCHED_RESET_ON_FORK),
                                .realtime = sched_get_priority_min(SCHED_FIFO),
                                .nice = ret->nice};
    ret->raised =
        set(ret->tid, &first) ||
        (ret->nice > FIRST_NICE && setpriority(PRIO_PROCESS, (id_t)ret->tid, FIRST_NICE) == 0);
}

void hw_priority_restore(struct hw_priority *p)
{
    if (p->raised)
        set(p->tid, p);
    p->raised = false;
}

void hw_priority_follow(int tid, int other)
{
    struct hw_priority p;
    if (find(other, &p) && is_ordinary(&p))
        set(tid, &p);
}
