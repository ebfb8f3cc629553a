#include "build.h"

#include <stdlib.h>

void cli_print_version(FILE *out, struct argp_state *state)
{
    (void)state;
    fputs("heapwalk " HW_VERSION_STRING "\n", out);
    if (cli_is_static())
        fputs("static build: asks no debuginfod servers, shows C++ names mangled\n", out);
}

void cli_tell_missing(const struct cli_options *o)
{
    const char *servers = getenv("DEBUGINFOD_URLS");
    if (!cli_is_static() || o->quiet)
        return;
    if (servers && *servers)
        fputs("heapwalk: this static build asks no debuginfod servers; name debug files with "
              "--debuginfo-path\n",
              stderr);
    if (o->listen.holes || o->whatis)
        fputs("heapwalk: this static build shows C++ names mangled; c++filt reads them\n", stderr);
}
