/*
 * The command line, parsed by argp.
 */
#ifndef HW_CLI_OPTIONS_H
#define HW_CLI_OPTIONS_H

#include <heapwalk/heapwalk.h>

/* Exit status, part of the contract with scripts. */
enum hw_exit { EXIT_COMPLETE = 0, EXIT_PARTIAL = 1, EXIT_NOTHING = 2, EXIT_USAGE = 64 };

enum cli_color { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER };

/* Strings point into argv. */
struct cli_options {
    int pid;            /* 0: a core */
    const char *core;   /* NULL: a process. With `diff` this and open.exe are the reports */
    const char *output; /* NULL: stdout */
    struct hw_options open;
    struct hw_render_options render;
    struct hw_listener listen; /* what to look for on the way */
    bool dry_run;
    bool diff;
    int64_t interval_ns; /* 0: one report */
    long count;          /* of lines; 0: until it ends */
    bool explain;        /* print which tables or columns there are, no more */
    bool chunks;
    bool whatis;
    hw_addr whatis_address;
    bool max_pause_given, exe_given; /* by their options */
    enum cli_color color;
    bool quiet, verbose;
    bool no_sandbox;
};

/* Say on standard error what went wrong, and return the status to end with. */
int complain(const struct hw_error *err);

/* Exits with EXIT_USAGE, or with 0 after --help and -V. */
void cli_parse(int argc, char **argv, struct cli_options *ret);

#endif
