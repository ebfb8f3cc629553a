/*
 * The sandbox of the command: a list of the system calls that reading a heap takes (seccomp).
 * Whoever gets heapwalk to run code of theirs, by a heap that is made for it, can do no more than
 * what is on the list (files are opened and unpacked before): no program can be executed, no file
 * be opened for writing, nothing be sent anywhere, nothing be written into a process. A call that
 * is not on it is not made: it ends heapwalk, with a message and status 2, and the kernel lets
 * everything go that heapwalk has stopped.
 */
#ifndef HW_CLI_SANDBOX_H
#define HW_CLI_SANDBOX_H

#include "options.h"

/* What the rest of the run will have to do besides reading files. */
enum sandbox_need {
    SANDBOX_LIVE = 1,   /* read the memory of a process */
    SANDBOX_STOP = 2,   /* stop its threads */
    SANDBOX_COPY = 4,   /* talk to the keeper of a snapshot, which is not in the sandbox */
    SANDBOX_RENAME = 8, /* give a file its name, or remove it */
};

struct sandbox {
    unsigned needs;
    void (*dying)(void); /* or NULL: clean up before a forbidden call ends us; async-signal-safe */
    bool entered;
    char why_not[160]; /* where it was tried to no avail */
};

/* What reading the target takes, as the options ask for it: of enum sandbox_need. */
unsigned sandbox_needs(const struct cli_options *o);

/*
 * Enter it, for good and with all threads; for hw_options.confine, `arg` is a struct sandbox that
 * lives as long as the process. "seccomp"; NULL, and why_not, where the kernel or a container does
 * not let us: that is no reason not to report.
 */
const char *sandbox_enter(void *arg);

#endif
