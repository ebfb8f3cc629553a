/*
 * heapwalk: what a process's glibc heap holds, from outside.
 *
 * The whole public interface. A session is opened on a live process or on a core file, inspected as
 * often as one likes, and closed:
 *
 *     struct hw_error err;
 *     struct hw_session *s;
 *     struct hw_report *r;
 *     if (hw_open_pid(1234, NULL, &s, &err) == HW_OK && hw_inspect(s, NULL, &r, &err) == HW_OK)
 *         hw_render(r, &(struct hw_render_options){.format = "json"}, stdout, &err);
 *     hw_report_destroy(r);
 *     hw_close(s);
 *
 * Rules that hold for every function:
 *   - The library never prints, never exits, keeps no global state that changes. Functions return
 *     HW_OK (0) or a negative enum hw_code; the detail goes to the caller's struct hw_error, which
 *     may be NULL. Out parameters stand last but for the error and are set to NULL on failure.
 *   - The target is only ever read. A live one is stopped while its heap is walked (or while it is
 *     copied, see enum hw_mode) and runs again when the function returns, also when it fails, and
 *     when we are killed.
 *   - libheapwalk.so exports what is declared here, and nothing else (src/libheapwalk.map).
 *   - A session belongs to one thread. hw_*_destroy(NULL) and hw_close(NULL) do nothing.
 *   - Addresses of the target are hw_addr, never C pointers. Sizes are bytes.
 */
#ifndef HEAPWALK_HEAPWALK_H
#define HEAPWALK_HEAPWALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* The version of this header. */
#define HW_VERSION_STRING "0.1.0"

#pragma GCC visibility push(default)
#ifdef __cplusplus
extern "C" {
#endif

/* An address in the target, whatever machine that is of. */
typedef uint64_t hw_addr;

/* ---- errors --------------------------------------------------------------------------------- */

/* Every way in which a call can fail: X(id, what it means). */
#define HW_ERRORS(X)                                                                               \
    X(NOMEM, "out of memory")                                                                      \
    X(SYSTEM, "a system call failed")                                                              \
    X(USAGE, "the caller's arguments make no sense")                                               \
    X(NO_PROCESS, "no such process, or it has no memory of its own")                               \
    X(PERMISSION, "not allowed to read the process")                                               \
    X(GONE, "the process ended, or is no more what it was")                                        \
    X(NOT_CORE, "the file is not an ELF core")                                                     \
    X(UNSUPPORTED, "a kind of target that heapwalk does not know")                                 \
    X(NO_HEAP, "the target has no glibc heap")                                                     \
    X(NO_SYMBOLS, "symbols or types that are needed were not found")                               \
    X(CORRUPT, "bytes that contradict each other")                                                 \
    X(FAULT, "memory that cannot be read or was not saved")                                        \
    X(OUTPUT, "the report could not be written")                                                   \
    X(HARMFUL, "what was asked for could harm the process")

/* What functions return: 0, or one of the negative codes of HW_ERRORS. */
enum hw_code {
    HW_OK = 0,
    HW_ERR_BASE_ = -100, /* so that -1 is never mistaken for a code */
#define HW_ERROR_ENUM_(id, text) HW_ERR_##id,
    HW_ERRORS(HW_ERROR_ENUM_)
#undef HW_ERROR_ENUM_
};

/* The detail of a failure. Owned by the caller; plain data, nothing to free. */
struct hw_error {
    int code;         /* enum hw_code */
    int sys_errno;    /* errno of the failed call, 0 if none */
    char text[512];   /* the cause, one line, no full stop, no newline */
    char remedy[256]; /* what the user can do about it; "" if nothing is known */
};

/* A fixed English description of a code, for example "out of memory"; never NULL. */
const char *hw_code_text(int code);

/* ---- blocks --------------------------------------------------------------------------------- */

/* What an allocator does with a block of memory. The names in comments are glibc's. */
enum hw_state {
    HW_USED,     /* handed out to the program */
    HW_MMAPPED,  /* handed out to the program, with a mapping of its own, in no arena */
    HW_CACHED,   /* freed, in a thread's cache (tcache) */
    HW_PARKED,   /* freed, not merged with its neighbours (fastbin) */
    HW_FREE,     /* free, in a bin */
    HW_TOP,      /* the free end of an arena */
    HW_OVERHEAD, /* headers, fences, alignment loss, foreign sbrk gaps */
    HW_STATES_   /* number of states */
};

/* "in use", "mmapped", "tcache", "fastbin", "bin", "top", "overhead"; never NULL. */
const char *hw_state_name(enum hw_state state);

/* The index of a list that is not known, or where there is none. */
#define HW_BIN_UNKNOWN (-1)

/* One block. Valid only during the callback that gets it. */
struct hw_block {
    hw_addr address; /* where the chunk begins (header), not what malloc() returned */
    uint64_t bytes;  /* gross size; for HW_MMAPPED the size of the chunk, not of its mapping */
    uint64_t lead;   /* HW_MMAPPED: mapped bytes before the chunk (memalign); else 0 */
    int32_t arena;   /* index of the arena, -1 for HW_MMAPPED */
    int32_t tid;     /* HW_CACHED: the thread whose cache holds it; else 0 */
    int16_t bin;     /* HW_CACHED, HW_PARKED, HW_FREE: index of the list; else HW_BIN_UNKNOWN.
                        In HW_FREE, 1 is the unsorted bin, as in glibc */
    uint8_t state;   /* enum hw_state */
    uint8_t tail;    /* HW_MMAPPED: mapped bytes behind the chunk (glibc 2.43 and newer); else 0 */
};

/* ---- figures -------------------------------------------------------------------------------- */

/* What a figure is measured in. */
enum hw_unit {
    HW_UNIT_BYTES, /* an integer */
    HW_UNIT_COUNT, /* an integer */
    HW_UNIT_RATIO, /* from 0 to 1 */
};
/* What a figure is of. */
enum hw_scope {
    HW_SCOPE_EVERY, /* each arena, and all together */
    HW_SCOPE_TOTAL, /* all together */
};

/* Every figure of a report, one for each line of metrics.def. */
enum hw_metric {
#define HW_METRIC(id, name, unit, scope, help) HW_M_##id,
#include <heapwalk/metrics.def>
#undef HW_METRIC
    HW_METRICS_ /* number of metrics */
};

/* What a figure is. Static. */
struct hw_metric_info {
    const char *name;    /* its key in JSON and its column in CSV, "system_bytes" */
    enum hw_unit unit;   /* what it is measured in */
    enum hw_scope scope; /* what it is of */
    const char *help;    /* one line that explains it */
};

/* The description of a metric; static, NULL if `metric` is out of range. */
const struct hw_metric_info *hw_metric_info(enum hw_metric metric);

/* One figure. Unknown is a state of its own, never 0. */
struct hw_figure {
    bool known; /* else the rest means nothing */
    union {
        int64_t n;    /* HW_UNIT_BYTES, HW_UNIT_COUNT */
        double ratio; /* HW_UNIT_RATIO */
    };
};

/* ---- sessions ------------------------------------------------------------------------------- */

/* An open target. Of one thread at a time; from hw_open_pid() or hw_open_core() to hw_close(). */
struct hw_session;
/* What one walk has found. Does not change, so any thread may read it; until
 * hw_report_destroy(). */
struct hw_report;

/* How a target is read. */
enum hw_mode {
    HW_MODE_STOPPED,  /* a live one stands still meanwhile */
    HW_MODE_RUNNING,  /* a live one runs on; what changes meanwhile is about right, and said so */
    HW_MODE_SNAPSHOT, /* a live one forks and runs on; its child, which never runs, is read */
    HW_MODE_CORE,     /* a core */
};

/*
 * How to open a target. All zero is a fine beginning, but for a live process, which is then stopped
 * for as long as it takes: see max_pause_ns. The texts and what *_arg points to must live as long
 * as the session.
 */
struct hw_options {
    const char *exe;  /* executable of a core that cannot be found by itself, or NULL */
    const char *libc; /* the target's libc, where it cannot be found; refused if it is another */
    const char
        *sysroot; /* directory below which the target's files are looked for first, or NULL */
    const char
        *debuginfo_path; /* colon-separated places for debug files, as elfutils reads it, or NULL */
    const char *roots; /* for tests: find the allocator's roots only in this way, "symtab", "table",
                          "disassembly" or "scan"; no other symbol or type is used. NULL: any */
    /*
     * How to read a live process: STOPPED (0), RUNNING or SNAPSHOT. For a snapshot a thread of the
     * process is made to call clone(2) while all stand still, x86-64 only; hw_inspect() and its
     * like fail with HARMFUL where that would do harm. We start a process of our own for it, a
     * child of the caller, which ends with the call; SIGCHLD is sent for it. Where that is allowed,
     * it, the calling thread and the one that calls clone(2) have a real-time priority meanwhile.
     */
    enum hw_mode mode;
    /* STOPPED: let the process run again after so long, in nanoseconds, come what may. What was not
     * read by then is read as by RUNNING, and a note of the report says so. 0: no limit. */
    int64_t max_pause_ns;
    /* For measurements: no second thread reads ahead of the walk, as where there is one
     * processor. */
    bool read_alone;
    /*
     * Or NULL: called now and then while a heap is walked, with the bytes that were, and those that
     * will have been at the end, about; more than once from the beginning where a heap is walked
     * twice. A live process may stand still meanwhile: it must not wait for anything, a terminal
     * least of all.
     */
    void (*progress)(void *arg, uint64_t done, uint64_t expected);
    void *progress_arg; /* for `progress` */
    /*
     * Or NULL: called before a heap is read, once all is open and started that this needs: the
     * moment to give up whatever else the process is allowed to do. From then on files are only
     * opened to be read, and no code is loaded; nothing is started but threads. Returns the name of
     * what confines the process ("seccomp", static), which the report repeats; NULL if nothing
     * does.
     */
    const char *(*confine)(void *arg);
    void *confine_arg; /* for `confine` */
};

/*
 * Open a live process. Reads maps, symbols and types, but not yet the heap, and does not stop
 * anything. `opt` may be NULL. On success *ret must be closed with hw_close(). Fails with
 * NO_PROCESS, GONE, PERMISSION, UNSUPPORTED, NO_HEAP, NO_SYMBOLS, HARMFUL, USAGE, NOMEM, SYSTEM.
 */
int hw_open_pid(int pid, const struct hw_options *opt, struct hw_session **ret,
                struct hw_error *err);
/*
 * The same of a core file, compressed by gzip, xz, zstd or lz4 or not; `path` "-" is standard
 * input. Fails with NOT_CORE, UNSUPPORTED, NO_HEAP, NO_SYMBOLS, CORRUPT, NOMEM, SYSTEM.
 */
int hw_open_core(const char *path, const struct hw_options *opt, struct hw_session **ret,
                 struct hw_error *err);
/* The reports that were made in it stay valid. NULL is fine. */
void hw_close(struct hw_session *session);

/*
 * Called once for every block, in the order of arenas, heaps and addresses, mmapped chunks last. A
 * live target is stopped meanwhile. Return 0 to go on; anything else ends the walk, and the report
 * is then incomplete.
 */
typedef int (*hw_block_fn)(const struct hw_block *block, void *arg);

/* What is to be found out by a walk, besides the figures. */
struct hw_listener {
    hw_block_fn block; /* or NULL */
    void *arg;         /* for `block` */
    bool want_lists; /* the report is to be rendered as malloc_info: follow the free lists of bins,
                        which may double the time; else they are proven, not followed */
    bool want_bins;  /* also tell for every HW_FREE block in which bin it is: 8 bytes of memory
                       for every chunk in an unsorted bin */
    /*
     * Check all invariants of malloc's heap, which takes longer, and keep what stands where one
     * does not hold: some bytes, which are the program's own data, secrets maybe, and the chunks
     * there.
     */
    bool check;
    /*
     * Put so many of the largest free runs into the report, at most HW_HOLES_MAX, of arena `arena`
     * alone where only_arena is set. Of the chunks beside them, and of those that hold back the top
     * of each arena, the first word is read and reported as the symbol that it points to, if any.
     */
    size_t holes;
    bool only_arena; /* the holes of one arena, ... */
    int arena;       /* ... which is this one */
    /* And the first bytes of these chunks, at most HW_SAMPLE_MAX. They are the program's own data,
     * secrets maybe: 0 means that none are kept. */
    unsigned sample_bytes;
};
/* The most for hw_listener.holes. */
#define HW_HOLES_MAX 1000
/* The most for hw_listener.sample_bytes. */
#define HW_SAMPLE_MAX 64

/*
 * Walk the heap once and make a report. A live target is stopped for the time of the walk.
 * `listener` may be NULL. *ret belongs to the caller (hw_report_destroy) and outlives the session.
 * Damage in the heap is not a failure: it is counted in the findings of the report.
 * Fails with USAGE (more holes or sample bytes than possible), GONE, PERMISSION, NO_HEAP, CORRUPT
 * (no arena could be read), NOMEM, SYSTEM.
 */
int hw_inspect(struct hw_session *session, const struct hw_listener *listener,
               struct hw_report **ret, struct hw_error *err);
/* Ends a report, and all texts that it gave out. NULL is fine. */
void hw_report_destroy(struct hw_report *report);

/* True if nothing was unreadable, inconsistent or skipped. */
bool hw_report_complete(const struct hw_report *report);
/* How the target was read. */
enum hw_mode hw_report_mode(const struct hw_report *report);
/* How long the target was stopped, in nanoseconds, at most in one piece: 0 in HW_MODE_RUNNING and
 * where it stood still already, and was read as it stood; -1 of a core. */
int64_t hw_report_pause_ns(const struct hw_report *report);
/* How long one thread of it was, once more, to clear a snapshot away; -1 in other modes. */
int64_t hw_report_thread_pause_ns(const struct hw_report *report);
/* Number of arenas; arenas come in glibc's own order, main first. */
size_t hw_report_arenas(const struct hw_report *report);
/* A figure of arena `arena`, or of the totals where `arena` is -1; unknown if out of range. */
struct hw_figure hw_report_figure(const struct hw_report *report, int arena, enum hw_metric metric);
/* The i-th finding as one line of text, NULL past the last; lives as long as the report. */
const char *hw_report_finding(const struct hw_report *report, size_t i);

/*
 * A free run of memory (hw_listener.holes): free chunks next to each other, and what they lie
 * between. A copy; the texts belong to the report and live as long as it.
 */
struct hw_hole_view {
    hw_addr address;                 /* where its first chunk begins */
    uint64_t bytes;                  /* from there */
    int32_t arena;                   /* index of the arena */
    uint32_t chunks;                 /* how many free chunks it consists of */
    bool has_top;                    /* it ends with the top of its arena */
    struct hw_figure resident_bytes; /* of it in RAM; unknown of a core */
    struct hw_figure trim_bytes;     /* of it malloc_trim(0) would give back; unknown of a core */
    /* What holds it in place before it: in use, in a tcache, or overhead. `state` is HW_STATES_
     * where nothing adjoins, at the end of a heap or beside what could not be read. */
    struct hw_block below;
    struct hw_block above; /* the same behind it */
    /* The symbol that the first word of `below` points to ("libfoo.so: vtable for Foo"); "" if
     * there is none. */
    const char *below_symbol;
    const char *above_symbol; /* the same of `above` */
};

/* How many free runs the report has: as many as hw_listener.holes asked for, or as there are. */
size_t hw_report_holes(const struct hw_report *report);
/* The i-th of them into *ret, in the order of --holes: most bytes in RAM first, then largest first.
 * False past the last, and *ret is as it was. */
bool hw_report_hole(const struct hw_report *report, size_t i, struct hw_hole_view *ret);

/* ---- output --------------------------------------------------------------------------------- */

/* How to show a report. All zero: as text. */
struct hw_render_options {
    const char *format; /* a name of hw_formats(); NULL means "text" */
    int arena;          /* show only this arena in lists and histograms, where only_arena is set */
    bool only_arena;    /* `arena` counts */
    bool all_arenas;    /* text: every arena, not only the worst ten */
    bool histogram;     /* text: also the free-size histogram of each shown arena */
    bool exact;         /* text: bytes instead of KiB, MiB, GiB */
    bool color;         /* text: use colour */
    unsigned width;     /* text: columns to fill; 0 means 80 */
    /* One table instead of the whole report, where any of these is set; see hw_check_table().
     * NULL: "arenas". */
    const char *table;
    const char
        *columns;     /* names, with commas between them; a '+' before the first one: besides those
                         that are shown anyway. NULL: these alone */
    const char *sort; /* a column: its smallest first; '-' before the name: its largest. NULL: rows
                         as they come */
    bool raw;         /* text: one blank between fields, and none in them (\x20) */
    /* And, not only there, but wherever headings can be missed: of any CSV, of chunks, of a
     * series. */
    bool no_headings;
};

/* A format of reports. Static. */
struct hw_format {
    const char *name;      /* "json", for hw_render_options.format */
    const char *extension; /* file names that choose it, without the dot; NULL if none does */
    const char *help;      /* one line that explains it */
    bool lists_chunks;     /* hw_list_chunks() can write it */
};
/* The known formats, ended by a NULL name; static. */
const struct hw_format *hw_formats(void);

/*
 * Write a report. Fails with USAGE (unknown format, no such arena) and OUTPUT. The stream is not
 * closed.
 */
int hw_render(const struct hw_report *report, const struct hw_render_options *opt, FILE *out,
              struct hw_error *err);

/*
 * Say what opening and inspecting would do, how long it would stop a process for, and whether it
 * would work at all (*works). The process is left alone: nothing of its memory is read, no thread
 * is traced; what is told is what files and /proc tell. Formats: text, json. Fails where there is
 * nothing to say: NO_PROCESS, GONE, UNSUPPORTED, NO_SYMBOLS, USAGE, OUTPUT, NOMEM, SYSTEM.
 */
int hw_dry_run_pid(int pid, const struct hw_options *opt, const struct hw_render_options *render,
                   FILE *out, bool *works, struct hw_error *err);
/* The same of a core, which need not be read for that; fails with NOT_CORE, too. */
int hw_dry_run_core(const char *path, const struct hw_options *opt,
                    const struct hw_render_options *render, FILE *out, bool *works,
                    struct hw_error *err);

/*
 * Walk like hw_inspect() and write every chunk (of opt->arena where that is asked for) while the
 * walk goes on; nothing is kept. Formats: text, csv, json (JSON Lines). *ret as of hw_inspect().
 * Fails as that does, and with OUTPUT.
 */
int hw_list_chunks(struct hw_session *session, const struct hw_render_options *opt, FILE *out,
                   struct hw_report **ret, struct hw_error *err);

/*
 * Say what an address is: chunk and state, arena, heap, bin or thread cache; or mapping, stack,
 * module. Formats: text, json. An address that is not mapped is an answer, not an error. *ret as of
 * hw_inspect(). Fails as that does, and with OUTPUT.
 */
int hw_whatis(struct hw_session *session, hw_addr address, const struct hw_render_options *opt,
              FILE *out, struct hw_report **ret, struct hw_error *err);

/* ---- tables, series, comparisons ------------------------------------------------------------ */

/*
 * Whether hw_render() can print the table that `opt` asks for, or hw_list_chunks() where that is
 * "chunks". USAGE, naming what there is: an unknown table, column or format. Formats: text, csv,
 * json (JSON Lines). Columns have the names that JSON has.
 */
int hw_check_table(const struct hw_render_options *opt, struct hw_error *err);
/* Print what columns the table opt->table has; which tables there are where that is "help". USAGE,
 * OUTPUT. */
int hw_explain_table(const struct hw_render_options *opt, FILE *out, struct hw_error *err);

/* What a line of a series shows of a process, each with its change since the line before. */
#define HW_SERIES(X)                                                                               \
    X(system_bytes)                                                                                \
    X(in_use_bytes)                                                                                \
    X(in_use_chunks)                                                                               \
    X(free_bytes)                                                                                  \
    X(free_resident_bytes)                                                                         \
    X(trim_bytes)                                                                                  \
    X(mmapped_bytes)                                                                               \
    X(rss_bytes)

/* What happened to the process of a series since the line before. */
enum hw_event {
    HW_EVENT_NONE,  /* it runs on */
    HW_EVENT_EXEC,  /* it runs another program */
    HW_EVENT_END,   /* it has ended */
    HW_EVENT_ERROR, /* it could not be read */
};

/* One line of a series. Plain data, that may be sent from one process to another. */
struct hw_sample {
    int64_t time_ns;  /* since the epoch */
    bool complete;    /* as hw_report_complete() */
    uint64_t skipped; /* how many lines there should have been since the one before */
#define HW_SERIES_FIELD_(name) struct hw_figure name;
    HW_SERIES(HW_SERIES_FIELD_)
#undef HW_SERIES_FIELD_
    struct hw_figure pause_ns; /* how long it was stopped for this line */
    char sandbox[16];          /* "seccomp"; "" if nothing confined us */
    enum hw_event event;       /* END, ERROR: all figures are unknown */
    char text[256];            /* on an event, and on why it is not complete */
};

/* The figures of a report for such a line. */
void hw_report_sample(const struct hw_report *report, struct hw_sample *ret);
/*
 * Write the headings of a series. Formats: text, csv, json (JSON Lines, which has none). The stream
 * is flushed. USAGE, OUTPUT, NOMEM.
 */
int hw_series_head(const struct hw_render_options *opt, FILE *out, struct hw_error *err);
/*
 * Write a line of it. `before` is the last sample with figures of the same program; NULL: there is
 * none. Formats and failures as of the headings.
 */
int hw_series_line(const struct hw_sample *now, const struct hw_sample *before,
                   const struct hw_render_options *opt, FILE *out, struct hw_error *err);

/* What grew from one report to another. From hw_diff_open() to hw_diff_destroy(). */
struct hw_diff;
/*
 * Compare two reports that were written as JSON, what grew from one to the other. "-" is standard
 * input, for one of them. On success *ret belongs to the caller (hw_diff_destroy). A figure that
 * one of them lacks is unknown. Fails with SYSTEM, CORRUPT (not a report), UNSUPPORTED (a report of
 * another schema_version), NOMEM.
 */
int hw_diff_open(const char *before, const char *after, struct hw_diff **ret, struct hw_error *err);
/* And all its notes. NULL is fine. */
void hw_diff_destroy(struct hw_diff *diff);
/* True if both reports were complete. */
bool hw_diff_complete(const struct hw_diff *diff);
/* What else there is to know, one line each: which report is partial, that it was not the same
 * process. NULL past the last; lives as long as the comparison. */
const char *hw_diff_note(const struct hw_diff *diff, size_t i);
/* Write it. Formats: text, csv, json. USAGE, OUTPUT, NOMEM. */
int hw_diff_render(const struct hw_diff *diff, const struct hw_render_options *opt, FILE *out,
                   struct hw_error *err);

#ifdef __cplusplus
}
#endif
#pragma GCC visibility pop

#endif
