/*
 * What the tests of symbols share: a child process to look at, and small files to damage.
 */
#ifndef HW_TEST_SYMBOLS_SUPPORT_H
#define HW_TEST_SYMBOLS_SUPPORT_H

#include "symbols/modules.h"
#include "target/child.h"

/* A child that runs `setup`, has handed `len` bytes of `facts` back by now, and sleeps. */
pid_t child_with_facts(void (*setup)(void *facts), void *facts, size_t len);

/* A directory that is there for the test; the tree is removed by scratch_end(). */
struct scratch {
    char dir[64];
};
void scratch_start(struct scratch *s);
void scratch_end(struct scratch *s);
/* DIR/name; four results are valid at a time. */
const char *scratch_path(const struct scratch *s, const char *name);

/* Compile C text to a shared object (or what `flags` say) at `path`; fails the test if it cannot.
 */
void compile(const char *text, const char *path, const char *flags);

/* Run a shell command; fails the test if it does. */
void run(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The whole file; free() it. */
void *slurp(const char *path, size_t *len);
void spill(const char *path, const void *bytes, size_t len);

/* The first module of that name, NULL if there is none. */
struct hw_module *module_named(struct hw_modules *m, const char *name);
struct hw_module *module_exe(struct hw_modules *m);

/* The caller's thread pointer. */
hw_addr thread_pointer(void);

#endif
