/*
 * A process that is looked at for long: whether it still is the one that it was.
 */
#ifndef HW_CLI_WATCHED_H
#define HW_CLI_WATCHED_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

struct watched {
    int pid;
    int fd; /* tells when it ends; -1 where the kernel has none (before Linux 5.3) */
    unsigned long long start; /* with the pid, what tells processes apart */
    /* What differs with each program it executes. */
    struct watched_program {
        unsigned char vector[1024]; /* the auxiliary vector, with addresses */
        unsigned char seed[16];     /* what the kernel drew for it (AT_RANDOM): where addresses are
                                       not randomised, the vector may be the same */
        bool vector_known, seed_known;
        bool is_starting; /* the kernel is not done with it: all of the vector is 0 */
    } program;
};

enum watched_state { WATCHED_SAME, WATCHED_EXEC, WATCHED_ENDED };

/* False where there is no such process. */
bool watched_begin(struct watched *w, int pid);
void watched_end(struct watched *w);

/* What has become of it since the begin or the last call. */
enum watched_state watched_look(struct watched *w);

/* Whether what is seen now is another program than the one before, which it replaces. What could
 * not be read of the same one stays known. */
bool watched_replace(struct watched_program *before, const struct watched_program *now);

/* The name of what it runs, at most 15 bytes, "?" if that is not known. */
void watched_name(const struct watched *w, char buf[16]);

/* CLOCK_MONOTONIC. */
int64_t watched_clock(void);
/*
 * Wait until that clock shows `until`; it ends, too, when the process does, and when a signal comes
 * that `open` lets through. With `fd` (else -1) until that can be read, however long that takes.
 */
void watched_wait(const struct watched *w, int64_t until, int fd, const sigset_t *open);

#endif
