/*
 * A series (--interval): one line for each look at a process, as text, CSV or JSON Lines. What is
 * unknown is "-", an empty field, null.
 */
#include "base/printable.h"
#include "base/when.h"
#include "render/json.h"
#include "render/table.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

void hw_report_sample(const struct hw_report *r, struct hw_sample *ret)
{
    const struct hw_figure *totals = r->totals;
    *ret = (struct hw_sample){
        .time_ns = r->method.time_ns,
        .complete = hw_report_complete(r),
        .system_bytes = totals[HW_M_SYSTEM_BYTES],
        .in_use_bytes = totals[HW_M_IN_USE_BYTES],
        .in_use_chunks = totals[HW_M_IN_USE_CHUNKS],
        .free_bytes = totals[HW_M_FREE_BYTES],
        .free_resident_bytes = totals[HW_M_FREE_RESIDENT_BYTES],
        .trim_bytes = totals[HW_M_TRIM_BYTES],
        .mmapped_bytes = totals[HW_M_MMAPPED_BYTES],
        .rss_bytes = {.known = r->rss.known, .n = (int64_t)r->rss.rss_bytes},
        .pause_ns = {.known = r->method.pause_ns.known, .n = (int64_t)r->method.pause_ns.n},
    };
    snprintf(ret->sandbox, sizeof ret->sandbox, "%s", r->method.sandbox ? r->method.sandbox : "");
    for (size_t i = 0; i < r->findings.count && !ret->complete && !ret->text[0]; i++)
        if (r->findings.data[i].kind != HW_FINDING_NOTE)
            snprintf(ret->text, sizeof ret->text, "%.250s", r->findings.data[i].line);
}

/* ---- the figures of a line ------------------------------------------------------------------- */

static const struct {
    const char *name;
    const char *title, *change; /* of the columns of text; NULL: not shown there */
} fields[] = {
    {"system_bytes", "SYSTEM", NULL},        {"in_use_bytes", "IN-USE", "+USE"},
    {"in_use_chunks", NULL, NULL},           {"free_bytes", "FREE", "+FREE"},
    {"free_resident_bytes", "IN-RAM", NULL}, {"trim_bytes", "TRIM", NULL},
    {"mmapped_bytes", NULL, NULL},           {"rss_bytes", "RSS", "+RSS"},
};
enum { FIELDS = sizeof fields / sizeof *fields };

struct line {
    const struct hw_sample *sample;
    struct hw_figure now[FIELDS], change[FIELDS];
};

static struct line line_of(const struct hw_sample *now, const struct hw_sample *before)
{
#define FIELD_(name) now->name,
    struct line l = {.sample = now, .now = {HW_SERIES(FIELD_)}};
#undef FIELD_
    if (!before)
        return l;
#define FIELD_(name) before->name,
    const struct hw_figure old[] = {HW_SERIES(FIELD_)};
#undef FIELD_
    for (size_t i = 0; i < FIELDS; i++)
        l.change[i].known = l.now[i].known && old[i].known &&
                            !__builtin_sub_overflow(l.now[i].n, old[i].n, &l.change[i].n);
    return l;
}

static const char *event_name(enum hw_event event)
{
    static const char *const names[] = {NULL, "exec", "end", "error"};
    return event <= HW_EVENT_ERROR ? names[event] : NULL;
}

/* ---- text ------------------------------------------------------------------------------------ */

#define TIME_WIDTH 8

static int width(const struct hw_render_options *opt)
{
    return opt->exact ? 14 : 6;
}

static void text_head(const struct hw_render_options *opt, FILE *out)
{
    fprintf(out, "%-*s", TIME_WIDTH, "TIME");
    for (size_t i = 0; i < FIELDS; i++)
        if (fields[i].title)
            fprintf(out, " %*s", width(opt), fields[i].title);
    fprintf(out, " %*s", width(opt), "PAUSE");
    for (size_t i = 0; i < FIELDS; i++)
        if (fields[i].change)
            fprintf(out, " %*s", width(opt), fields[i].change);
    putc('\n', out);
}

/* "925M": three digits, so that lines fit into 80 columns. */
static void put_size(const struct hw_render_options *opt, const struct hw_figure *f, bool change,
                     FILE *out)
{
    char size[HW_SIZE_TEXT], text[HW_SIZE_TEXT + 1];
    uint64_t magnitude = f->n < 0 ? -(uint64_t)f->n : (uint64_t)f->n;
    const char *sign = f->n < 0 ? "-" : change && f->n > 0 ? "+" : "";
    if (!f->known) {
        fprintf(out, " %*s", width(opt), "-");
        return;
    }
    hw_compact_size(hw_format_size(size, magnitude, opt->exact));
    char *point = strchr(size, '.');
    if (point && point - size >= 3) /* "925.8M", "1023.9K" */
        memmove(point, point + 2, strlen(point + 2) + 1);
    snprintf(text, sizeof text, "%s%s", sign, size);
    fprintf(out, " %*s", width(opt), text);
}

static void put_pause(const struct hw_render_options *opt, const struct hw_figure *f, FILE *out)
{
    char text[HW_SIZE_TEXT] = "-";
    double ms = (double)f->n / 1e6;
    if (f->known)
        snprintf(text, sizeof text, "%.*fms", ms < 99.95 ? 1 : 0, ms);
    fprintf(out, " %*s", width(opt), text);
}

static void text_line(const struct line *l, const struct hw_render_options *opt, FILE *out)
{
    const struct hw_sample *s = l->sample;
    char when[HW_WHEN_TEXT];
    fprintf(out, "%-*s", TIME_WIDTH, hw_format_local(when, s->time_ns));
    bool figures = s->event != HW_EVENT_END && s->event != HW_EVENT_ERROR;
    for (size_t i = 0; figures && i < FIELDS; i++)
        if (fields[i].title)
            put_size(opt, &l->now[i], false, out);
    if (figures)
        put_pause(opt, &s->pause_ns, out);
    for (size_t i = 0; figures && i < FIELDS; i++)
        if (fields[i].change)
            put_size(opt, &l->change[i], true, out);
    if (s->skipped)
        fprintf(out, "  (%" PRIu64 " skipped)", s->skipped);
    if (figures && !s->complete)
        fputs("  partial:", out);
    if (s->text[0]) {
        fputs(figures && !s->complete ? " " : "  ", out);
        hw_put_printable(s->text, out);
    }
    putc('\n', out);
}

/* ---- CSV ------------------------------------------------------------------------------------- */

static void csv_head(FILE *out)
{
    fputs("time", out);
    for (size_t i = 0; i < FIELDS; i++)
        fprintf(out, ",%s", fields[i].name);
    fputs(",pause_ns", out);
    for (size_t i = 0; i < FIELDS; i++)
        fprintf(out, ",change.%s", fields[i].name);
    fputs(",complete,skipped,event,text,sandbox\n", out);
}

static void csv_figure(const struct hw_figure *f, FILE *out)
{
    putc(',', out);
    if (f->known)
        fprintf(out, "%" PRId64, f->n);
}

static void csv_line(const struct line *l, FILE *out)
{
    const struct hw_sample *s = l->sample;
    const char *event = event_name(s->event);
    char when[HW_WHEN_TEXT];
    fputs(hw_format_utc(when, s->time_ns), out);
    for (size_t i = 0; i < FIELDS; i++)
        csv_figure(&l->now[i], out);
    csv_figure(&s->pause_ns, out);
    for (size_t i = 0; i < FIELDS; i++)
        csv_figure(&l->change[i], out);
    fprintf(out, ",%d,%" PRIu64 ",%s,", s->complete, s->skipped, event ? event : "");
    hw_csv_text(out, s->text);
    fprintf(out, ",%s\n", s->sandbox);
}

/* ---- JSON Lines ------------------------------------------------------------------------------ */

/* Every value is set, or the whole is NULL. */
static bool put(json_t *o, const char *key, json_t *value)
{
    return json_object_set_new(o, key, value) == 0;
}

static json_t *text_or_null(const char *s)
{
    return s && *s ? hw_json_text(s) : json_null();
}

static bool json_fill(json_t *o, json_t *change, const struct line *l)
{
    const struct hw_sample *s = l->sample;
    char when[HW_WHEN_TEXT];
    bool ok = put(o, "time", text_or_null(hw_format_utc(when, s->time_ns)));
    for (size_t i = 0; i < FIELDS; i++)
        ok = ok && put(o, fields[i].name, hw_json_figure(&l->now[i], HW_UNIT_BYTES)) &&
             put(change, fields[i].name, hw_json_figure(&l->change[i], HW_UNIT_BYTES));
    return ok && put(o, "pause_ns", hw_json_figure(&s->pause_ns, HW_UNIT_COUNT)) &&
           put(o, "change", json_incref(change)) && put(o, "complete", json_boolean(s->complete)) &&
           put(o, "skipped", hw_json_integer(s->skipped)) &&
           put(o, "event", text_or_null(event_name(s->event))) &&
           put(o, "text", text_or_null(s->text)) && put(o, "sandbox", text_or_null(s->sandbox));
}

static int json_line(const struct line *l, FILE *out, struct hw_error *err)
{
    json_t *o = json_object(), *change = json_object();
    bool ok = json_fill(o, change, l);
    int rc = HW_OK;
    if (!ok)
        rc = hw_fail(err, HW_ERR_NOMEM, "no memory for a line");
    else if (json_dumpf(o, out, JSON_COMPACT) != 0 || putc('\n', out) == EOF)
        rc = hw_fail_errno(err, HW_ERR_OUTPUT, "cannot write a line");
    json_decref(change);
    json_decref(o);
    return rc;
}

/* ---- the public functions -------------------------------------------------------------------- */

static bool is(const struct hw_render_options *opt, const char *format)
{
    return strcmp(opt->format ? opt->format : "text", format) == 0;
}

static int no_such_format(const struct hw_render_options *opt, struct hw_error *err)
{
    return hw_fail(err, HW_ERR_USAGE, "a series is written as text, csv or json, not %s",
                   opt->format);
}

static int flush(FILE *out, struct hw_error *err)
{
    return fflush(out) == 0 && !ferror(out)
               ? HW_OK
               : hw_fail_errno(err, HW_ERR_OUTPUT, "cannot write a line");
}

int hw_series_head(const struct hw_render_options *opt, FILE *out, struct hw_error *err)
{
    if (!is(opt, "text") && !is(opt, "csv") && !is(opt, "json"))
        return no_such_format(opt, err);
    if (is(opt, "text") && !opt->no_headings)
        text_head(opt, out);
    else if (is(opt, "csv") && !opt->no_headings)
        csv_head(out);
    return flush(out, err);
}

int hw_series_line(const struct hw_sample *now, const struct hw_sample *before,
                   const struct hw_render_options *opt, FILE *out, struct hw_error *err)
{
    struct line l = line_of(now, before);
    int rc = HW_OK;
    if (is(opt, "json"))
        rc = json_line(&l, out, err);
    else if (is(opt, "csv"))
        csv_line(&l, out);
    else if (is(opt, "text"))
        text_line(&l, opt, out);
    else
        rc = no_such_format(opt, err);
    return rc == HW_OK ? flush(out, err) : rc;
}
