/*
 * What is to blame for a failure, where its own text would not tell.
 */
#ifndef HW_INSPECT_BLAME_H
#define HW_INSPECT_BLAME_H

#include "model/model.h"
#include "symbols/modules.h"

/* Whatever seems to be wrong with a core that was cut off, damaged in its container, or written
 * without private memory, that is the cause: put it into `err`. */
void hw_blame_core(struct hw_target *t, struct hw_error *err);
/* Whatever went wrong with a process that has ended meanwhile, has executed another program, or is
 * only just being started: that is the cause. Returns the code of it, or `rc`, that of `err`. */
int hw_blame_moment(struct hw_target *t, int rc, struct hw_error *err);
/* No glibc was found: in a program that is still being started that means nothing. */
void hw_blame_start(const struct hw_target *t, struct hw_error *err);
/* No symbols, as libc's own file could not be used: why, and what to do. */
void hw_blame_missing_file(struct hw_modules *modules, struct hw_error *err);
/* The same as a note in an incomplete report. */
void hw_report_missing_file(struct hw_modules *modules, struct hw_report *r);
/* Damage that is none, but zeros that gcore saved for what it could not read: a note. */
void hw_report_unread(struct hw_target *t, struct hw_report *r);
/* The executable that was named is another one: a note. */
void hw_report_wrong_exe(struct hw_modules *modules, struct hw_report *r);
/* A core that does not tell which files were mapped. */
bool hw_names_no_files(const struct hw_target *t);

#endif
