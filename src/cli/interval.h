/*
 * --interval: a report of one line, again and again.
 */
#ifndef HW_CLI_INTERVAL_H
#define HW_CLI_INTERVAL_H

#include "options.h"
#include "sandbox.h"

/* Until it has written o->count lines, the process ends, or we are told to end. Returns the
 * status. */
int interval(const struct cli_options *o, struct sandbox *box);

#endif
