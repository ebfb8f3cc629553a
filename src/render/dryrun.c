/*
 * --dry-run: what would be done, in a few lines of text or as one JSON object
 * (docs/dryrun.schema.json).
 */
#include "render/json.h"
#include "render/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- text ------------------------------------------------------------------------------------ */

static void put_answer(struct hw_text *t, const char *label, const struct hw_answer *a)
{
    struct hw_flow f = hw_flow_label(t, label);
    f.gap = 1;
    if (a->yes)
        hw_flow_words(&f, "possible");
    else
        hw_flow_words(&f, "not possible: %s%s%s", a->why_not.text, a->why_not.remedy[0] ? "; " : "",
                      a->why_not.remedy);
    hw_flow_end(&f);
}

/* One reason is often behind all that is not possible. */
static bool says_more(const struct hw_answer *a, const struct hw_answer *before)
{
    return a->yes || before->yes || strcmp(a->why_not.text, before->why_not.text) != 0;
}

static void put_symbols(struct hw_text *t, const struct hw_dryrun_allocator *a)
{
    struct hw_flow f = hw_flow_label(t, "SYMBOLS");
    f.gap = 1;
    if (a->roots_named)
        hw_flow_words(&f, "main_arena and mp_ by name,%s from %s",
                      a->types_known ? " structs by type," : " structs by a table of known ones,",
                      a->symbols_file);
    else
        hw_flow_words(&f,
                      "none: main_arena and mp_ would be looked for in the libc's data and code "
                      "and in memory; libc's debug symbols (apt install libc6-dbg) make that "
                      "unnecessary");
    if (a->problem[0])
        hw_flow_words(&f, "(%s)", a->problem);
    hw_flow_end(&f);
}

static void put_allocator(struct hw_text *t, const struct hw_dryrun_allocator *a)
{
    struct hw_flow f = hw_flow_label(t, "LIBC");
    if (a->found) {
        hw_flow_piece(&f, "%s %s", a->name, a->version[0] ? a->version : "(version unknown)");
        hw_flow_piece(&f, "%s", a->libc_path);
        if (a->libc_build_id[0])
            hw_flow_piece(&f, "build-id %s", a->libc_build_id);
    } else {
        f.gap = 1;
        hw_flow_words(&f, "%s%s%s", a->why_not.text[0] ? a->why_not.text : "not looked for",
                      a->why_not.remedy[0] ? "; " : "", a->why_not.remedy);
    }
    hw_flow_end(&f);
    if (a->found)
        put_symbols(t, a);
}

static void put_method(struct hw_text *t, const struct hw_dryrun *d)
{
    char pause[HW_TEXT_NUMBER] = "an unknown time", limit[HW_TEXT_NUMBER];
    struct hw_flow f = hw_flow_label(t, "METHOD");
    f.gap = 1;
    if (d->pause_ns.known)
        hw_text_time(pause, d->pause_ns.n);
    if (!d->live)
        hw_flow_words(&f, "the file is read, nothing is stopped");
    else if (d->left_alone && d->held_by)
        hw_flow_words(&f, "read as it stands still already, stopped by pid %d", d->held_by);
    else if (d->left_alone)
        hw_flow_words(&f, "read as it stands still already, stopped by a signal");
    else if (d->mode == HW_MODE_RUNNING)
        hw_flow_words(&f, "read while it runs, not stopped");
    else if (d->mode == HW_MODE_SNAPSHOT)
        hw_flow_words(&f, "stopped for a fork(), about %s; the copy is read while it runs", pause);
    else if (d->two_passes)
        hw_flow_words(&f,
                      "read while it runs, then stopped for %s at most to read again what has "
                      "changed",
                      hw_text_time(limit, (uint64_t)d->max_pause_ns));
    else
        hw_flow_words(&f, "stopped while it is read, for about %s", pause);
    if (d->live && d->mode == HW_MODE_STOPPED && !d->two_passes && !d->left_alone &&
        d->max_pause_ns)
        hw_flow_words(&f, "and %s at most", hw_text_time(limit, (uint64_t)d->max_pause_ns));
    if (d->stood && !d->left_alone)
        hw_flow_words(&f, "(a signal has stopped it already, and it stays so)");
    hw_flow_end(&f);
}

static void print_text(struct hw_text *t, const struct hw_dryrun *d)
{
    char size[HW_TEXT_NUMBER];
    struct hw_flow f = hw_flow_begin(t, 0, 10, 2);
    if (d->live)
        hw_flow_piece(&f, "heapwalk: dry run at %s (pid %d)", d->comm[0] ? d->comm : "?", d->pid);
    else
        hw_flow_piece(&f, "heapwalk: dry run at %s", d->core);
    if (d->arch[0])
        hw_flow_piece(&f, "%s", d->arch);
    if (d->threads)
        hw_flow_piece(&f, "%" PRIu64 " thread%s", d->threads, d->threads == 1 ? "" : "s");
    hw_flow_end(&f);
    fputc('\n', t->out);
    if (d->live) {
        put_answer(t, "READ", &d->read);
        if (says_more(&d->stop, &d->read))
            put_answer(t, "STOP", &d->stop);
        if (says_more(&d->snapshot, &d->stop))
            put_answer(t, "SNAPSHOT", &d->snapshot);
    }
    put_allocator(t, &d->allocator);
    if (d->bytes.known) {
        f = hw_flow_label(t, "MEMORY");
        hw_flow_piece(&f, "about %s to read", hw_text_amount(t, size, hw_text_signed(d->bytes.n)));
        hw_flow_end(&f);
    }
    if (d->works)
        put_method(t, d);
    fprintf(t->out, "\nThis would %s. Nothing was done to the target.\n",
            d->works ? "work" : "not work");
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static json_t *text_or_null(const char *s)
{
    return s && *s ? hw_json_text(s) : json_null();
}

static json_t *maybe(struct hw_maybe m)
{
    return m.known && m.n <= INT64_MAX ? json_integer((json_int_t)m.n) : json_null();
}

static json_t *answer(const struct hw_dryrun *d, const struct hw_answer *a)
{
    if (!d->live)
        return json_null();
    return json_pack("{s:b, s:o, s:o}", "possible", a->yes, "why_not",
                     text_or_null(a->yes ? "" : a->why_not.text), "remedy",
                     text_or_null(a->yes ? "" : a->why_not.remedy));
}

static json_t *target(const struct hw_dryrun *d)
{
    const char *stopped_by = !d->stood ? NULL : d->held_by ? "tracer" : "signal";
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "kind", d->live ? "live" : "core",
                     "pid", d->pid ? json_integer(d->pid) : json_null(), "comm",
                     text_or_null(d->comm), "core", text_or_null(d->core), "arch",
                     text_or_null(d->arch), "threads", json_integer((json_int_t)d->threads),
                     "stopped_by", text_or_null(stopped_by));
}

static json_t *allocator(const struct hw_dryrun_allocator *a)
{
    if (!a->found)
        return json_pack("{s:n, s:o}", "name", "why_not", text_or_null(a->why_not.text));
    return json_pack("{s:s, s:o, s:{s:o, s:o}, s:o, s:o, s:s, s:s}", "name", a->name, "version",
                     text_or_null(a->version), "libc", "path", text_or_null(a->libc_path),
                     "build_id", text_or_null(a->libc_build_id), "symbols_file",
                     text_or_null(a->symbols_file), "problem", text_or_null(a->problem), "roots_by",
                     a->roots_named ? "symtab" : "search", "layout_by",
                     a->types_known ? "dwarf" : "table");
}

static json_t *method(const struct hw_dryrun *d)
{
    return json_pack("{s:s, s:o, s:i, s:o, s:o}", "mode", hw_mode_name(d->mode), "max_pause_ns",
                     d->max_pause_ns ? json_integer(d->max_pause_ns) : json_null(), "passes",
                     d->two_passes ? 2 : 1, "bytes_to_read", maybe(d->bytes), "pause_ns",
                     maybe(d->pause_ns));
}

static int print_json(const struct hw_dryrun *d, FILE *out, struct hw_error *err)
{
    json_t *o = json_pack(
        "{s:i, s:{s:s}, s:b, s:b, s:o, s:{s:o, s:o, s:o}, s:o, s:o}", "schema_version", 1,
        "heapwalk", "version", HW_VERSION_STRING, "dry_run", true, "works", d->works, "target",
        target(d), "possible", "read", answer(d, &d->read), "stop", answer(d, &d->stop), "snapshot",
        answer(d, &d->snapshot), "allocator", allocator(&d->allocator), "method", method(d));
    int failed = !o || json_dumpf(o, out, JSON_INDENT(2)) != 0 || fputc('\n', out) == EOF;
    bool nomem = !o;
    json_decref(o);
    if (nomem)
        return hw_fail(err, HW_ERR_NOMEM, "out of memory while the answer was written");
    return failed ? hw_fail_errno(err, HW_ERR_OUTPUT, "cannot write the answer") : HW_OK;
}

int hw_render_dryrun(const struct hw_dryrun *d, const struct hw_render_options *opt, FILE *out,
                     struct hw_error *err)
{
    const char *format = opt->format ? opt->format : "text";
    int rc = HW_OK;
    if (strcmp(format, "json") == 0) {
        rc = print_json(d, out, err);
    } else if (strcmp(format, "text") == 0) {
        struct hw_text t = {.opt = opt, .out = out, .width = opt->width ? opt->width : 80};
        print_text(&t, d);
    } else {
        return hw_fail(err, HW_ERR_USAGE, "--dry-run answers in text or json");
    }
    if (rc == HW_OK && (fflush(out) != 0 || ferror(out)))
        rc = hw_fail_errno(err, HW_ERR_OUTPUT, "cannot write the answer");
    return rc;
}
