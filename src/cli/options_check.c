#include "options_check.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define USUAL_HOLES 10

/* ---- what to read --------------------------------------------------------------------------- */

static void check_live_only(struct argp_state *state, const struct cli_options *o)
{
    if (o->pid && o->open.exe)
        argp_error(state, "--exe is for cores: a process has its executable");
    if (o->core && o->open.mode != HW_MODE_STOPPED)
        argp_error(state, "%s is for live processes: a core stands still anyway",
                   o->open.mode == HW_MODE_SNAPSHOT ? "--snapshot" : "--no-stop");
    if (o->max_pause_given && o->core)
        argp_error(state, "--max-pause is for live processes");
    if (o->max_pause_given && o->open.mode != HW_MODE_STOPPED)
        argp_error(state, "--max-pause is of no use with %s",
                   o->open.mode == HW_MODE_SNAPSHOT ? "--snapshot: a fork() cannot be cut short"
                                                    : "--no-stop: nothing is stopped");
    if (o->core && o->interval_ns)
        argp_error(state, "--interval is for live processes: a core does not change");
}

static void check_target(struct argp_state *state, const struct cli_options *o)
{
    if (o->diff) {
        if (o->exe_given)
            argp_error(state, "--exe is for cores: a report needs no executable");
        if (o->pid || !o->core || !o->open.exe)
            argp_error(state, "--diff compares two reports: name both, and nothing else");
        else if (strcmp(o->core, "-") == 0 && strcmp(o->open.exe, "-") == 0)
            argp_error(state, "only one of the reports can be standard input");
        if (o->open.mode != HW_MODE_STOPPED || o->max_pause_given)
            argp_error(state, "--diff compares reports: no process is stopped for it");
        return;
    }
    if (!o->pid && !o->core)
        argp_error(state, "name a process with -p PID, or a core file");
    if (o->pid && o->core)
        argp_error(state, "either -p PID or a core file, not both");
    check_live_only(state, o);
}

/* ---- what to do ----------------------------------------------------------------------------- */

static bool wants_table(const struct cli_options *o)
{
    return o->render.table || o->render.columns || o->render.sort || o->render.raw;
}

/* Of the first kind there may be one, and then none of the second, which go well together. */
static void check_jobs(struct argp_state *state, const struct cli_options *o)
{
    const struct {
        bool asked;
        const char *name;
        bool first;
    } jobs[] = {
        {o->listen.holes, "--holes", false},
        {o->listen.check, "--check", false},
        {wants_table(o) && !o->chunks, "a table", false},
        {o->render.only_arena && (o->diff || o->interval_ns), "--arena", false},
        {o->chunks, "--chunks", true},
        {o->whatis, "--whatis", true},
        {o->dry_run, "--dry-run", true},
        {o->diff, "--diff", true},
        {o->interval_ns > 0, "--interval", true},
    };
    size_t count = sizeof jobs / sizeof *jobs;
    for (size_t i = 0; i < count; i++)
        for (size_t k = i + 1; k < count; k++)
            if (jobs[i].asked && jobs[k].asked && jobs[k].first)
                argp_error(state, "either %s or %s, not both", jobs[i].name, jobs[k].name);
    if (o->listen.sample_bytes && !o->listen.holes)
        argp_error(state, "--sample needs --holes");
    if (o->count && !o->interval_ns)
        argp_error(state, "--count needs --interval");
}

/* ---- how to show it ------------------------------------------------------------------------- */

static const struct hw_format *find_format(const char *name, bool by_extension)
{
    for (const struct hw_format *f = hw_formats(); f->name; f++) {
        const char *key = by_extension ? f->extension : f->name;
        if (key && strcasecmp(key, name) == 0)
            return f;
    }
    return by_extension && strcasecmp(name, "jsonl") == 0 ? find_format("json", false) : NULL;
}

/* Those that answer in text or JSON only; with a table, --holes and --check say how it is
 * filled. */
static const char *answers_in_few(const struct cli_options *o)
{
    if (o->whatis)
        return "--whatis";
    if (o->dry_run)
        return "--dry-run";
    if (wants_table(o))
        return NULL;
    return o->listen.check ? "--check" : o->listen.holes ? "--holes" : NULL;
}

static void check_format(struct argp_state *state, struct cli_options *o)
{
    const char *dot = o->output ? strrchr(o->output, '.') : NULL;
    if (!o->render.format && dot) {
        const struct hw_format *f = find_format(dot + 1, true);
        o->render.format = f ? f->name : NULL;
    }
    const char *few = answers_in_few(o), *name = o->render.format ? o->render.format : "text";
    const struct hw_format *f = find_format(name, false);
    if (!f)
        argp_error(state, "unknown format '%s': use text, json, malloc_info, malloc_stats or csv",
                   name);
    else if (o->chunks && !f->lists_chunks)
        argp_error(state, "--chunks cannot be written as %s: use text, csv or json", f->name);
    else if ((o->diff || o->interval_ns) && !f->lists_chunks)
        argp_error(state, "%s is written as text, csv or json, not %s",
                   o->diff ? "--diff" : "--interval", f->name);
    else if (few && strcmp(f->name, "text") != 0 && strcmp(f->name, "json") != 0)
        argp_error(state, "%s answers in text or json, not %s", few, f->name);
    if (o->render.no_headings && f && strcmp(f->name, "text") == 0 && !wants_table(o) &&
        !o->interval_ns)
        argp_error(state, "--no-headings needs a table: add --columns or --table");
    o->listen.want_lists = f && strcmp(f->name, "malloc_info") == 0 && !wants_table(o);
}

/* ---- tables --------------------------------------------------------------------------------- */

static bool is_help(const char *s)
{
    return s && strcasecmp(s, "help") == 0;
}

/* A wrong name is told before anybody is stopped for it, and what the right ones are. */
static void check_table(const struct cli_options *o)
{
    struct hw_error err = {0};
    if (!wants_table(o) || hw_check_table(&o->render, &err) == HW_OK)
        return;
    fprintf(stderr, "heapwalk: %s%s%s\n", err.text, err.remedy[0] ? "; " : "", err.remedy);
    if (err.remedy[0])
        hw_explain_table(&o->render, stderr, NULL);
    exit(EXIT_USAGE);
}

void cli_check(struct argp_state *state, struct cli_options *o)
{
    bool table_of_chunks = o->render.table && strcasecmp(o->render.table, "chunks") == 0;
    if (o->chunks && o->render.table && !table_of_chunks && !is_help(o->render.table))
        argp_error(state, "either --chunks or another table, not both");
    o->explain = is_help(o->render.columns) || is_help(o->render.table);
    if (o->chunks)
        o->render.table = "chunks";
    o->chunks |= table_of_chunks;
    if (o->explain)
        return;
    check_target(state, o);
    check_jobs(state, o);
    check_format(state, o);
    check_table(o);
    if (o->render.table && strcasecmp(o->render.table, "holes") == 0 && !o->listen.holes)
        o->listen.holes = USUAL_HOLES;
    o->listen.only_arena = o->render.only_arena;
    o->listen.arena = o->render.arena;
}
