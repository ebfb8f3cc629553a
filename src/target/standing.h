/*
 * A process that stands still already. A debugger holds it: a second tracer is not allowed, and not
 * needed. Or job control has stopped it (^Z, SIGSTOP): whoever may trace it may do so. Either way
 * memory that nobody changes can be read as it is.
 */
#ifndef HW_TARGET_STANDING_H
#define HW_TARGET_STANDING_H

#include <stdbool.h>
#include <stdint.h>

/* How often its threads were scheduled until now, and how many there are: who stands still is
 * not. */
struct hw_standing {
    uint64_t switches;
    uint64_t threads;
    int tracer; /* that holds it; 0: job control does */
};

/* Whether every thread of process `pid` is in a stop. */
bool hw_standing_find(int pid, struct hw_standing *ret);

/* Whether it has stood still since. */
bool hw_standing_holds(int pid, const struct hw_standing *since);

#endif
