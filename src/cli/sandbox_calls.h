/*
 * The system calls that are allowed in the sandbox, as tables.
 */
#ifndef HW_CLI_SANDBOX_CALLS_H
#define HW_CLI_SANDBOX_CALLS_H

#include <stdint.h>

/* Whatever their arguments; ends with NULL. */
extern const char *const sandbox_harmless[];

/* A call with such arguments. A call may be there more than once. */
struct sandbox_call {
    const char *name;
    unsigned needs; /* enum sandbox_need: any of these; 0: always */
    struct {
        unsigned number; /* of the argument, from 0 */
        uint64_t bits;   /* these of it must be ... */
        uint64_t value;  /* ... these. No bits: no condition */
    } arguments[2];
};
/* Ends with a name of NULL. */
extern const struct sandbox_call sandbox_calls[];

#endif
