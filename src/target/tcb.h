/*
 * Thread pointers that nobody tells, from the control blocks that glibc keeps in memory: in cores
 * whose notes leave them out, and in processes that run while they are read, whose registers nobody
 * can ask for.
 */
#ifndef HW_TARGET_TCB_H
#define HW_TARGET_TCB_H

#include "target/target.h"

enum hw_tcb_search {
    HW_TCB_WHOLE, /* through all memory if need be: a core, which has all the time */
    HW_TCB_QUICK, /* only where control blocks usually are: a live process */
};

/*
 * Find the thread pointers of threads that have none (tp is 0); those that are not found stay 0.
 * The target has its maps and threads. Of a live one, no page is read that was never touched.
 * NOMEM.
 */
int hw_find_thread_pointers(struct hw_target *t, enum hw_tcb_search how, struct hw_error *err);

#endif
