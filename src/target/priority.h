/*
 * The priority of a thread, for the moments in which a whole process stands still until that thread
 * has had its turn.
 *
 * On a busy machine it waits for others, for 4 ms each time (a tick) and many times; a fork of 20
 * ms takes 200. A real-time priority, the lowest, is what helps: a nice value counts only among the
 * threads of the same control group or session.
 */
#ifndef HW_TARGET_PRIORITY_H
#define HW_TARGET_PRIORITY_H

#include <stdbool.h>

struct hw_priority {
    int tid;                    /* whose it is, 0 as there; and what it was: */
    int policy, realtime, nice; /* as sched_setscheduler(2) and setpriority(2) have them */
    bool raised;
};

/* Have a thread, 0 for the calling one, go before those without a real-time priority; it need not
 * be one of ours. Nothing is done where that is not for us to decide. */
void hw_priority_raise(int tid, struct hw_priority *ret);
/* Give it back what it had; the calling one has to be the same again. Does nothing if it was not
 * raised. */
void hw_priority_restore(struct hw_priority *p);

/* Give one thread the priority of another. */
void hw_priority_follow(int tid, int other);

#endif
