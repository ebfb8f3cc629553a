/*
 * What this build of the command cannot do.
 *
 * A static one (make static) loads no code while it runs, which would have to fit its own libc to
 * the version: so it has neither libdebuginfod nor a demangler.
 */
#ifndef HW_CLI_BUILD_H
#define HW_CLI_BUILD_H

#include "options.h"

#include <argp.h>

/* Whether it is a static build; that is decided when it is linked (build.c, or static/build.c). */
bool cli_is_static(void);

/* For argp: the version, and what is missing, if anything. */
void cli_print_version(FILE *out, struct argp_state *state);

/* Say on standard error what of that which was asked for is missing. */
void cli_tell_missing(const struct cli_options *o);

#endif
