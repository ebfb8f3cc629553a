/*
 * The command: parse, open, do one thing, say how it went by the exit status.
 */
#include "build.h"
#include "interval.h"
#include "manners.h"
#include "output.h"
#include "sandbox.h"

#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static unsigned terminal_width(int fd)
{
    struct winsize size;
    const char *columns = getenv("COLUMNS");
    if (columns && atoi(columns) > 0)
        return (unsigned)atoi(columns);
    if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return 80;
}

static void adapt_to_terminal(struct cli_options *o)
{
    const char *no_color = getenv("NO_COLOR");
    bool terminal = !o->output && isatty(STDOUT_FILENO);
    bool wanted = terminal && !(no_color && *no_color);
    o->render.color = o->color == COLOR_ALWAYS || (o->color == COLOR_AUTO && wanted);
    o->render.width = terminal_width(STDOUT_FILENO);
}

struct opening {
    const struct cli_options *o;
    struct hw_session *session;
    struct hw_error err;
    int rc;
};

static void open_session(void *arg)
{
    struct opening *a = arg;
    a->rc = a->o->pid ? hw_open_pid(a->o->pid, &a->o->open, &a->session, &a->err)
                      : hw_open_core(a->o->core, &a->o->open, &a->session, &a->err);
}

static int report(const struct cli_options *o, struct hw_session *s, struct progress *p, FILE *out,
                  struct hw_report **ret, struct hw_error *err)
{
    if (o->chunks)
        return hw_list_chunks(s, &o->render, out, ret, err);
    if (o->whatis)
        return hw_whatis(s, o->whatis_address, &o->render, out, ret, err);
    int rc = hw_inspect(s, &o->listen, ret, err);
    progress_end(p);
    return rc == HW_OK ? hw_render(*ret, &o->render, out, err) : rc;
}

#define FINDINGS_SHOWN 8

static void tell_pause(const struct hw_report *r)
{
    int64_t pause = hw_report_pause_ns(r), thread_pause = hw_report_thread_pause_ns(r);
    if (pause < 0)
        return;
    if (hw_report_mode(r) == HW_MODE_RUNNING)
        fputs("heapwalk: the process was not stopped", stderr);
    else if (pause == 0)
        fputs("heapwalk: the process stood still already", stderr);
    else
        fprintf(stderr, "heapwalk: the process was stopped for %.1f ms", (double)pause / 1e6);
    if (thread_pause >= 0)
        fprintf(stderr, ", and one thread of it for another %.1f ms", (double)thread_pause / 1e6);
    fputc('\n', stderr);
}

/* Warnings and the pause, on standard error; the report itself names the findings, too. */
static void tell(const struct cli_options *o, const struct hw_report *r)
{
    const char *text;
    if (o->quiet)
        return;
    tell_pause(r);
    if (hw_report_complete(r) && !o->verbose)
        return;
    size_t shown = o->verbose ? SIZE_MAX : FINDINGS_SHOWN, i = 0;
    for (; i < shown && (text = hw_report_finding(r, i)) != NULL; i++)
        fprintf(stderr, "heapwalk: %s\n", text);
    if (hw_report_finding(r, i))
        fputs("heapwalk: there are more findings: -v shows all\n", stderr);
}

static int run(const struct cli_options *o, struct hw_session *s, struct sandbox *box,
               struct progress *p)
{
    struct hw_error err = {0};
    struct hw_report *r = NULL;
    struct output out;
    if (output_open(&out, o->output, &err) != HW_OK) {
        progress_end(p);
        return complain(&err);
    }
    box->needs = sandbox_needs(o) | (out.temporary ? SANDBOX_RENAME : 0);
    int rc = report(o, s, p, out.stream, &r, &err);
    progress_end(p);
    if (o->verbose && box->why_not[0])
        fprintf(stderr, "heapwalk: without sandbox: %s\n", box->why_not);
    if (rc == HW_OK)
        rc = output_commit(&out, &err);
    int status;
    if (rc == HW_OK) {
        status = hw_report_complete(r) ? EXIT_COMPLETE : EXIT_PARTIAL;
        tell(o, r);
    } else {
        output_discard(&out);
        status = complain(&err);
    }
    hw_report_destroy(r);
    return status;
}

static int dry_run(const struct cli_options *o)
{
    struct hw_error err = {0};
    struct output out;
    bool works;
    if (output_open(&out, o->output, &err) != HW_OK)
        return complain(&err);
    int rc = o->pid ? hw_dry_run_pid(o->pid, &o->open, &o->render, out.stream, &works, &err)
                    : hw_dry_run_core(o->core, &o->open, &o->render, out.stream, &works, &err);
    if (rc == HW_OK)
        rc = output_commit(&out, &err);
    else
        output_discard(&out);
    if (rc != HW_OK)
        return complain(&err);
    return works ? EXIT_COMPLETE : EXIT_NOTHING;
}

/* Reports may come from anywhere: they are read in the sandbox. */
static int diff(const struct cli_options *o, struct sandbox *box)
{
    struct hw_error err = {0};
    struct hw_diff *d = NULL;
    struct output out;
    if (output_open(&out, o->output, &err) != HW_OK)
        return complain(&err);
    box->needs = out.temporary ? SANDBOX_RENAME : 0;
    if (!o->no_sandbox && !sandbox_enter(box) && o->verbose)
        fprintf(stderr, "heapwalk: without sandbox: %s\n", box->why_not);
    int rc = hw_diff_open(o->core, o->open.exe, &d, &err);
    if (rc == HW_OK)
        rc = hw_diff_render(d, &o->render, out.stream, &err);
    if (rc == HW_OK)
        rc = output_commit(&out, &err);
    else
        output_discard(&out);
    const char *note;
    for (size_t i = 0; rc == HW_OK && !o->quiet && (note = hw_diff_note(d, i)); i++)
        fprintf(stderr, "heapwalk: %s\n", note);
    int status = rc != HW_OK ? complain(&err) : hw_diff_complete(d) ? EXIT_COMPLETE : EXIT_PARTIAL;
    hw_diff_destroy(d);
    return status;
}

static int explain(const struct cli_options *o)
{
    struct hw_error err = {0};
    struct output out;
    if (output_open(&out, o->output, &err) != HW_OK)
        return complain(&err);
    int rc = hw_explain_table(&o->render, out.stream, &err);
    if (rc == HW_OK)
        rc = output_commit(&out, &err);
    else
        output_discard(&out);
    return rc == HW_OK ? EXIT_COMPLETE : complain(&err);
}

/* Only where nothing else is written to the same terminal meanwhile. */
static bool wants_progress(const struct cli_options *o)
{
    bool mixed = (o->chunks || o->whatis) && !o->output && isatty(STDOUT_FILENO);
    return isatty(STDERR_FILENO) && !o->quiet && !mixed;
}

static int one_report(struct cli_options *given, struct sandbox *box)
{
    struct cli_options o = *given;
    struct progress progress;
    progress_begin(&progress, wants_progress(&o));
    if (progress.writer) {
        o.open.progress = progress_tell;
        o.open.progress_arg = &progress;
    }
    struct opening opening = {.o = &o};
    run_politely(open_session, &opening);
    if (opening.rc != HW_OK) {
        progress_end(&progress);
        return complain(&opening.err);
    }
    int status = run(&o, opening.session, box, &progress);
    hw_close(opening.session);
    return status;
}

int main(int argc, char **argv)
{
    static struct sandbox box = {.dying = output_remove_unfinished};
    struct cli_options o;

    setlocale(LC_CTYPE, "");
    signal(SIGXFSZ, SIG_IGN); /* a limit of file sizes (ulimit -f) is an error like others */
    output_begin();
    cli_parse(argc, argv, &o);
    adapt_to_terminal(&o);
    if (!o.no_sandbox) {
        o.open.confine = sandbox_enter;
        o.open.confine_arg = &box;
    }
    cli_tell_missing(&o);
    if (o.explain)
        return explain(&o);
    if (o.diff)
        return diff(&o, &box);
    if (o.dry_run)
        return dry_run(&o);
    return o.interval_ns ? interval(&o, &box) : one_report(&o, &box);
}
