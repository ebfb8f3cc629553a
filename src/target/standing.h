/*
 * A process that stands still already: a debugger holds it. A second tracer is not allowed, and not
 * needed: memory that nobody changes can be read as it is.
 */
#ifndef HW_TARGET_STANDING_H
#define HW_TARGET_STANDING_H

#include <stdbool.h>
#include <stdint.h>

/* How often its threads were scheduled until now, and how many there are: who stands still is not. */
struct hw_standing {
    uint64_t switches;
    uint64_t threads;
};

/* The tracer of process `pid` if every thread of it is in a stop by ptrace; 0 if one is not. */
int hw_standing_find(int pid, struct hw_standing *ret);

/* Whether it has stood still since. */
bool hw_standing_holds(int pid, const struct hw_standing *since);

#endif
