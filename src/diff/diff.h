/*
 * From two files to a comparison.
 */
#ifndef HW_DIFF_DIFF_H
#define HW_DIFF_DIFF_H

#include "model/diff.h"

/*
 * Read a report back. `path` "-" is standard input. The file may be anything: what is too large,
 * too deep or has a value of the wrong kind is refused. SYSTEM, CORRUPT, UNSUPPORTED, NOMEM;
 * nothing is to be freed then. Release with hw_saved_deinit().
 */
int hw_saved_read(const char *path, struct hw_saved *ret, struct hw_error *err);
void hw_saved_deinit(struct hw_saved *s);

/* Match arenas and take notes; d->before and d->after are there. NOMEM. */
int hw_diff_match(struct hw_diff *d, struct hw_error *err);

#endif
