#include "options_check.h"

#include "build.h"

#include <argp.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum {
    OPT_ARENA = 256,
    OPT_ALL_ARENAS,
    OPT_HISTOGRAM,
    OPT_CHECK,
    OPT_CHUNKS,
    OPT_DRY_RUN,
    OPT_HOLES,
    OPT_SAMPLE,
    OPT_WHATIS,
    OPT_COLOR,
    OPT_DEBUGINFO,
    OPT_LIBC,
    OPT_SYSROOT,
    OPT_ROOTS,
    OPT_NO_READAHEAD,
    OPT_NO_STOP,
    OPT_MAX_PAUSE,
    OPT_SNAPSHOT,
    OPT_NO_SANDBOX,
    OPT_TABLE,
    OPT_COLUMNS,
    OPT_DIFF,
    OPT_INTERVAL,
    OPT_COUNT,
};

#define MAX_PAUSE_MS INT64_C(1000)
#define NS_PER_MS    INT64_C(1000000)
#define MAX_INTERVAL 31536000 /* a year, in seconds */

void (*argp_program_version_hook)(FILE *, struct argp_state *) = cli_print_version;
error_t argp_err_exit_status = EXIT_USAGE;

static const char doc[] =
    "Report what the glibc heap of a process or of a core file holds: how much, where, in which "
    "sizes, and how much of it is free.\v"
    "The process is stopped while its heap is read and then runs on; nothing is ever written into "
    "it, and no code runs in it, but for the one system call of --snapshot.\n\n"
    "Examples:\n"
    "  heapwalk -p 1234                     a live process\n"
    "  heapwalk -p 1234 --no-stop           the same, not stopped at all\n"
    "  heapwalk -p 1234 --max-pause 50      the same, stopped for 50 ms at most\n"
    "  heapwalk -p 1234 --snapshot          the same, stopped only for a fork()\n"
    "  heapwalk -p 1234 --dry-run           what would be done\n"
    "  heapwalk core.1234                   a core file\n"
    "  heapwalk -p 1234 -o report.json      the same as JSON\n"
    "  heapwalk -p 1234 --chunks -f csv     every chunk\n"
    "  heapwalk -p 1234 --holes 5           the largest free runs, and their pins\n"
    "  heapwalk core --check                what is damaged, and what stands there\n"
    "  heapwalk core --whatis 0x7f12a4c0    what is at this address?\n\n"
    "Examples for scripts:\n"
    "  heapwalk -p 1234 --columns index,trim_bytes --sort -trim_bytes -n -b\n"
    "                                       two figures of each arena, in order\n"
    "  heapwalk -p 1234 --columns help      which figures there are\n"
    "  heapwalk -p 1234 --table threads -r  what each thread keeps in its tcache\n"
    "  heapwalk core --chunks -J --columns pointer,bytes\n"
    "                                       every chunk, as JSON Lines\n"
    "  heapwalk --diff before.json after.json\n"
    "                                       what grew between two reports\n"
    "  heapwalk -p 1234 --interval 60 --count 5 -f csv\n"
    "                                       five lines, one each minute\n\n"
    "Exit status:\n"
    "  0   the report is complete; of --interval: each of its lines\n"
    "  1   partial: something was unreadable, inconsistent or skipped, and is\n"
    "      named; of --diff: one of the reports is partial\n"
    "  2   nothing could be reported or written (no process, no permission, no\n"
    "      glibc, no core, no report to compare, a full disk); of a --dry-run:\n"
    "      that would be so\n"
    "  64  usage error";

static const struct argp_option options[] = {
    {NULL, 0, NULL, 0, "What to read:", 1},
    {"pid", 'p', "PID", 0, "Read a live process", 1},
    {"exe", 'e', "FILE", 0, "Executable of a core that cannot be found by itself", 1},
    {"libc", OPT_LIBC, "FILE", 0, "The target's libc, where it cannot be found by itself", 1},
    {"no-stop", OPT_NO_STOP, NULL, 0,
     "Do not stop the process at all: what changes while it is read is about right, and is named",
     1},
    {"max-pause", OPT_MAX_PAUSE, "MS", 0,
     "Let the process run again after so many milliseconds (1000 by default), and read the rest "
     "as by --no-stop; none: stop it for as long as it takes",
     1},
    {"snapshot", OPT_SNAPSHOT, NULL, 0,
     "Stop the process only for a fork() of it, and read the copy while it runs on; refused where "
     "that could harm it",
     1},
    {"no-sandbox", OPT_NO_SANDBOX, NULL, 0,
     "Keep all rights while the heap is read; otherwise a filter leaves only those that this takes",
     1},
    {"sysroot", OPT_SYSROOT, "DIR", 0, "Look for the target's files below DIR first", 1},
    {"debuginfo-path", OPT_DEBUGINFO, "PATH", 0, "Where to look for debug files", 1},
    /* For tests: symtab, table, disassembly or scan; see alloc/glibc/roots.h. */
    {"roots", OPT_ROOTS, "NAME", OPTION_HIDDEN, NULL, 1},
    /* For measurements: one thread does it all. */
    {"no-readahead", OPT_NO_READAHEAD, NULL, OPTION_HIDDEN, NULL, 1},
    {NULL, 0, NULL, 0, "What to show:", 2},
    {"arena", OPT_ARENA, "N", 0, "Show only arena N in lists and histograms", 2},
    {"all-arenas", OPT_ALL_ARENAS, NULL, 0, "Show every arena, not only the worst 10", 2},
    {"histogram", OPT_HISTOGRAM, NULL, 0, "Add the free sizes of each arena shown", 2},
    {"chunks", OPT_CHUNKS, NULL, 0, "List every chunk, as text, csv or json (JSON Lines)", 2},
    {"check", OPT_CHECK, NULL, 0,
     "Check all that must hold in a heap of malloc, and show what stands where it does not, which "
     "is "
     "private",
     2},
    {"holes", OPT_HOLES, "N", 0,
     "The N largest free runs, what they lie between, and what keeps each top from shrinking", 2},
    {"sample", OPT_SAMPLE, "BYTES", OPTION_ARG_OPTIONAL,
     "With --holes: also the first bytes (16, at most 64) of these chunks, which are private", 2},
    {"whatis", OPT_WHATIS, "ADDR", 0, "Say what is at an address", 2},
    {"dry-run", OPT_DRY_RUN, NULL, 0,
     "Say what would be done, how long the process would be stopped for and whether it is allowed; "
     "nothing is done to it",
     2},
    {"diff", OPT_DIFF, NULL, 0,
     "Say what grew from one report to another; both were written as JSON, - is standard input", 2},
    {"interval", OPT_INTERVAL, "SECONDS", 0,
     "One line every so many seconds (0.5 for half of one), until the process ends or ^C", 2},
    {"count", OPT_COUNT, "N", 0, "With --interval: no more than N lines", 2},
    {NULL, 0, NULL, 0, "How to show it:", 3},
    {"format", 'f', "NAME", 0, "text (default), json, malloc_info, malloc_stats or csv", 3},
    {"json", 'J', NULL, 0, "Same as --format json", 3},
    {"output", 'o', "FILE", 0,
     "Write to FILE, which appears only when it is complete; the format follows its extension "
     "(.json, .jsonl, .csv, .xml, .txt) unless -f is given; - is standard output",
     3},
    {"bytes", 'b', NULL, 0, "Exact bytes instead of KiB, MiB, GiB in text", 3},
    {"table", OPT_TABLE, "NAME", 0,
     "Print one table instead of the report: arenas (default), threads, histogram, ...; help lists "
     "them",
     3},
    {"columns", OPT_COLUMNS, "LIST", 0,
     "With these columns, named with commas between; +LIST: besides the usual ones; help lists "
     "them",
     3},
    {"sort", 'x', "COLUMN", 0, "Sort the table by a column; -COLUMN: the largest first", 3},
    {"no-headings", 'n', NULL, 0, "Without a line of headings", 3},
    {"raw", 'r', NULL, 0, "Fields of text with one blank between them; those in fields are \\x20",
     3},
    {"color", OPT_COLOR, "WHEN", OPTION_ARG_OPTIONAL,
     "auto (default: on a terminal, unless NO_COLOR is set), always, never", 3},
    {"quiet", 'q', NULL, 0, "No warnings and no pause on standard error", 3},
    {"verbose", 'v', NULL, 0, "All findings and notes on standard error, not only the first", 3},
    {0},
};

static bool read_number(const char *text, long min, long max, long *ret)
{
    char *end;
    errno = 0;
    *ret = strtol(text, &end, 10);
    return !errno && end != text && !*end && *ret >= min && *ret <= max;
}

static long parse_number(struct argp_state *state, const char *what, const char *text, long min,
                         long max)
{
    long n;
    if (!read_number(text, min, max, &n))
        argp_error(state, "%s '%s' is not a number from %ld to %ld", what, text, min, max);
    return n;
}

static hw_addr parse_address(struct argp_state *state, const char *text)
{
    char *end;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 16); /* as they are copied, with or without 0x */
    if (errno || end == text || *end || *text == '-')
        argp_error(state, "'%s' is not a hexadecimal address", text);
    return n;
}

static void parse_color(struct argp_state *state, struct cli_options *o, const char *when)
{
    if (!when || strcmp(when, "always") == 0)
        o->color = COLOR_ALWAYS;
    else if (strcmp(when, "auto") == 0)
        o->color = COLOR_AUTO;
    else if (strcmp(when, "never") == 0)
        o->color = COLOR_NEVER;
    else
        argp_error(state, "--color takes auto, always or never, not '%s'", when);
}

static void set_mode(struct argp_state *state, struct cli_options *o, enum hw_mode mode)
{
    if (o->open.mode != HW_MODE_STOPPED && o->open.mode != mode)
        argp_error(state, "either --no-stop or --snapshot, not both");
    o->open.mode = mode;
}

static void parse_target(struct argp_state *state, struct cli_options *o, char *arg)
{
    if (state->arg_num == 0)
        o->core = arg;
    else if (state->arg_num == 1 && !o->open.exe)
        o->open.exe = arg;
    else
        argp_error(state, "too many arguments: '%s'", arg);
}

static void parse_max_pause(struct argp_state *state, struct cli_options *o, const char *text)
{
    o->max_pause_given = true;
    if (strcmp(text, "none") == 0) {
        o->open.max_pause_ns = 0;
    } else {
        long ms;
        if (!read_number(text, 1, INT_MAX, &ms))
            argp_error(state,
                       "--max-pause takes a number of milliseconds from 1 (50 for 50 ms), or none, "
                       "not '%s'",
                       text);
        o->open.max_pause_ns = ms * NS_PER_MS;
    }
}

static void parse_interval(struct argp_state *state, struct cli_options *o, const char *text)
{
    char *end;
    double seconds = strtod(text, &end);
    if (end == text || *end || !(seconds >= 0.01 && seconds <= MAX_INTERVAL))
        argp_error(state, "--interval takes a number of seconds from 0.01 to %d, not '%s'",
                   MAX_INTERVAL, text);
    o->interval_ns = (int64_t)(seconds * 1e9);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct cli_options *o = state->input;
    switch (key) {
    case 'p':
        if (o->pid)
            argp_error(state, "one process at a time");
        o->pid = (int)parse_number(state, "pid", arg, 1, INT_MAX);
        break;
    case 'e':
        o->exe_given = true;
        o->open.exe = arg;
        break;
    case 'f':
        o->render.format = arg;
        break;
    case 'J':
        o->render.format = "json";
        break;
    case 'o':
        if (!*arg)
            argp_error(state, "-o needs the name of a file");
        o->output = strcmp(arg, "-") == 0 ? NULL : arg;
        break;
    case 'b':
        o->render.exact = true;
        break;
    case 'q':
        o->quiet = true;
        break;
    case 'v':
        o->verbose = true;
        break;
    case OPT_ARENA:
        o->render.only_arena = true;
        if (strcmp(arg, "main") != 0)
            o->render.arena = (int)parse_number(state, "arena", arg, 0, INT_MAX);
        break;
    case OPT_ALL_ARENAS:
        o->render.all_arenas = true;
        break;
    case OPT_HISTOGRAM:
        o->render.histogram = true;
        break;
    case OPT_CHUNKS:
        o->chunks = true;
        break;
    case OPT_CHECK:
        o->listen.check = true;
        break;
    case OPT_DRY_RUN:
        o->dry_run = true;
        break;
    case OPT_DIFF:
        o->diff = true;
        break;
    case OPT_INTERVAL:
        parse_interval(state, o, arg);
        break;
    case OPT_COUNT:
        o->count = parse_number(state, "--count", arg, 1, LONG_MAX);
        break;
    case OPT_TABLE:
        o->render.table = arg;
        break;
    case OPT_COLUMNS:
        o->render.columns = arg;
        break;
    case 'x':
        o->render.sort = arg;
        break;
    case 'n':
        o->render.no_headings = true;
        break;
    case 'r':
        o->render.raw = true;
        break;
    case OPT_HOLES:
        o->listen.holes = (size_t)parse_number(state, "--holes", arg, 1, HW_HOLES_MAX);
        break;
    case OPT_SAMPLE:
        o->listen.sample_bytes =
            arg ? (unsigned)parse_number(state, "--sample", arg, 1, HW_SAMPLE_MAX) : 16;
        break;
    case OPT_WHATIS:
        o->whatis = true;
        o->whatis_address = parse_address(state, arg);
        break;
    case OPT_COLOR:
        parse_color(state, o, arg);
        break;
    case OPT_DEBUGINFO:
        o->open.debuginfo_path = arg;
        break;
    case OPT_LIBC:
        o->open.libc = arg;
        break;
    case OPT_SYSROOT:
        o->open.sysroot = arg;
        break;
    case OPT_NO_STOP:
        set_mode(state, o, HW_MODE_RUNNING);
        break;
    case OPT_MAX_PAUSE:
        parse_max_pause(state, o, arg);
        break;
    case OPT_SNAPSHOT:
        set_mode(state, o, HW_MODE_SNAPSHOT);
        break;
    case OPT_NO_SANDBOX:
        o->no_sandbox = true;
        break;
    case OPT_ROOTS:
        o->open.roots = arg;
        break;
    case OPT_NO_READAHEAD:
        o->open.read_alone = true;
        break;
    case ARGP_KEY_ARG:
        parse_target(state, o, arg);
        break;
    case ARGP_KEY_END:
        cli_check(state, o);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp parser = {
    options, parse, "-p PID\nCORE [EXE]\n--diff BEFORE.json AFTER.json", doc, NULL, NULL, NULL};

void cli_parse(int argc, char **argv, struct cli_options *ret)
{
    static char name[] = "heapwalk";
    *ret = (struct cli_options){.open.max_pause_ns = MAX_PAUSE_MS * NS_PER_MS};
    if (argc > 0)
        argv[0] = name; /* messages begin like all others, however we were called */
    argp_parse(&parser, argc, argv, 0, NULL, ret);
}
