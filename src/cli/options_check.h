/*
 * What only all options together can tell.
 */
#ifndef HW_CLI_OPTIONS_CHECK_H
#define HW_CLI_OPTIONS_CHECK_H

#include "options.h"

#include <argp.h>

/* Exits with EXIT_USAGE where they make no sense together; fills in what follows from them. */
void cli_check(struct argp_state *state, struct cli_options *o);

#endif
