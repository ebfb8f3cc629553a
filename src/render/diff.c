/*
 * A comparison (--diff): which form, and what grew, in one line.
 */
#include "render/diff.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

/* ---- words ----------------------------------------------------------------------------------- */

double hw_diff_seconds(const struct hw_diff *d)
{
    if (!d->before.time_ms.known || !d->after.time_ms.known)
        return 0;
    return ((double)d->after.time_ms.n - (double)d->before.time_ms.n) / 1000;
}

const char *hw_pair_state(const struct hw_arena_pair *p)
{
    return !p->before ? "new" : !p->after ? "gone" : "both";
}

char *hw_change_text(char buf[HW_CHANGE_TEXT], struct hw_figure change, bool exact)
{
    char size[HW_SIZE_TEXT];
    uint64_t magnitude = change.n < 0 ? -(uint64_t)change.n : (uint64_t)change.n;
    const char *sign = change.n < 0 ? "-" : change.n > 0 ? "+" : "";
    if (!change.known)
        snprintf(buf, HW_CHANGE_TEXT, "-");
    else if (change.n == 0)
        snprintf(buf, HW_CHANGE_TEXT, "0");
    else
        snprintf(buf, HW_CHANGE_TEXT, "%s%s", sign, hw_format_size(size, magnitude, exact));
    return buf;
}

static char *power_text(char buf[HW_SIZE_TEXT], unsigned power)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    snprintf(buf, HW_SIZE_TEXT, "%u %s", 1U << power % 10, units[power / 10]);
    return buf;
}

char *hw_bucket_text(char buf[HW_CHANGE_TEXT + HW_CHANGE_TEXT], unsigned bucket)
{
    char from[HW_SIZE_TEXT], to[HW_SIZE_TEXT] = "more";
    if (bucket + 1 < HW_BUCKETS)
        power_text(to, bucket + 1);
    snprintf(buf, HW_CHANGE_TEXT + HW_CHANGE_TEXT, "%s - %s", power_text(from, bucket), to);
    return buf;
}

/* ---- what changed ---------------------------------------------------------------------------- */

static bool differs(struct hw_figure change)
{
    return !change.known || change.n != 0;
}

static struct hw_figure bucket_change(const struct hw_diff *d, bool in_use, unsigned i, bool bytes)
{
    return hw_change(
        hw_bucket_figure(in_use ? &d->before.in_use_histogram : &d->before.histogram, i, bytes),
        hw_bucket_figure(in_use ? &d->after.in_use_histogram : &d->after.histogram, i, bytes));
}

/* Of a histogram that one of them lacks nothing can be said. */
bool hw_bucket_changed(const struct hw_diff *d, unsigned bucket)
{
    for (unsigned which = 0; which < 4; which++) {
        struct hw_figure change = bucket_change(d, which & 1, bucket, which & 2);
        if (change.known && change.n)
            return true;
    }
    return false;
}

/* What the program and malloc do changes integers; what both lack is no change. */
bool hw_pair_changed(const struct hw_arena_pair *p)
{
    if (!p->before || !p->after)
        return true;
    for (size_t m = 0; m < HW_METRICS_; m++) {
        struct hw_figure a = p->before->figures[m], b = p->after->figures[m];
        if (hw_metric_info((enum hw_metric)m)->unit == HW_UNIT_RATIO || (!a.known && !b.known))
            continue;
        if (differs(hw_change(a, b)))
            return true;
    }
    return false;
}

/* ---- the summary ----------------------------------------------------------------------------- */

struct summary {
    char *buf;
    bool exact, any;
};

__attribute__((format(printf, 2, 3))) static void say(struct summary *s, const char *fmt, ...)
{
    size_t length = strlen(s->buf);
    va_list args;
    va_start(args, fmt);
    vsnprintf(s->buf + length, HW_SUMMARY_MAX - length, fmt, args);
    va_end(args);
}

static const char *unit_of(const struct summary *s)
{
    return s->exact ? " B" : "";
}

static void say_change(struct summary *s, const char *name, struct hw_figure change)
{
    char text[HW_CHANGE_TEXT];
    if (!change.known || change.n == 0)
        return;
    say(s, "%s%s %s%s", s->any ? ", " : "", name, hw_change_text(text, change, s->exact),
        unit_of(s));
    s->any = true;
}

static void say_total(struct summary *s, const struct hw_diff *d, const char *name,
                      enum hw_metric m)
{
    say_change(s, name, hw_change(d->before.totals[m], d->after.totals[m]));
}

/* Where what grew has grown most: nothing where there is but one arena. */
static void say_arena(struct summary *s, const struct hw_diff *d, enum hw_metric m)
{
    const struct hw_arena_pair *most = NULL;
    char text[HW_CHANGE_TEXT];
    for (size_t i = 0; i < d->arenas.count; i++) {
        struct hw_figure change = hw_pair_change(&d->arenas.data[i], m);
        if (change.known && change.n > 0 && (!most || change.n > hw_pair_change(most, m).n))
            most = &d->arenas.data[i];
    }
    if (!most || d->arenas.count < 2)
        return;
    const struct hw_saved_arena *a = most->after;
    if (!a || !a->index.known)
        return;
    say(s, "; most in arena %" PRIu64 "%s (%s%s)", a->index.n, most->before ? "" : ", which is new",
        hw_change_text(text, hw_pair_change(most, m), s->exact), unit_of(s));
}

static void say_size(struct summary *s, const struct hw_diff *d, bool in_use)
{
    unsigned most = 0;
    char range[HW_CHANGE_TEXT + HW_CHANGE_TEXT], text[HW_CHANGE_TEXT];
    for (unsigned i = 1; i < HW_BUCKETS; i++)
        if (bucket_change(d, in_use, i, true).n > bucket_change(d, in_use, most, true).n)
            most = i;
    struct hw_figure bytes = bucket_change(d, in_use, most, true),
                     chunks = bucket_change(d, in_use, most, false);
    if (!bytes.known || bytes.n <= 0 || !chunks.known)
        return;
    say(s, "; chunks %s of %s %s%s (%+" PRId64 ")", in_use ? "in use" : "in bins",
        hw_bucket_text(range, most), hw_change_text(text, bytes, s->exact), unit_of(s), chunks.n);
}

static bool nothing_known(const struct hw_diff *d)
{
    return !hw_change(d->before.totals[HW_M_SYSTEM_BYTES], d->after.totals[HW_M_SYSTEM_BYTES])
                .known &&
           !hw_change(d->before.totals[HW_M_IN_USE_BYTES], d->after.totals[HW_M_IN_USE_BYTES])
                .known;
}

static double growth(const struct hw_diff *d, enum hw_metric m)
{
    struct hw_figure change = hw_change(d->before.totals[m], d->after.totals[m]);
    return change.known ? (double)change.n : 0;
}

/* Rather than what is free: that decides what is named. */
static bool grew_in_use(const struct hw_diff *d)
{
    double held = growth(d, HW_M_IN_USE_BYTES) + growth(d, HW_M_MMAPPED_BYTES);
    return held > 0 && held >= growth(d, HW_M_FREE_BYTES);
}

char *hw_diff_summary(const struct hw_diff *d, bool exact, char buf[HW_SUMMARY_MAX])
{
    struct summary s = {.buf = buf, .exact = exact};
    bool by_use = grew_in_use(d);
    buf[0] = '\0';
    say_total(&s, d, "in use", HW_M_IN_USE_BYTES);
    say_total(&s, d, "mmapped", HW_M_MMAPPED_BYTES);
    say_total(&s, d, "free", HW_M_FREE_BYTES);
    say_total(&s, d, "free in RAM", HW_M_FREE_RESIDENT_BYTES);
    say_total(&s, d, "trimmable", HW_M_TRIM_BYTES);
    say_change(&s, "RSS", hw_change(d->before.rss_bytes, d->after.rss_bytes));
    if (!s.any) {
        say(&s, "%s", nothing_known(d) ? "unknown: there is nothing to compare" : "nothing");
        return buf;
    }
    say_arena(&s, d, by_use ? HW_M_IN_USE_BYTES : HW_M_FREE_BYTES);
    say_size(&s, d, by_use);
    return buf;
}

/* ---- forms ----------------------------------------------------------------------------------- */

int hw_diff_render(const struct hw_diff *d, const struct hw_render_options *opt, FILE *out,
                   struct hw_error *err)
{
    static const struct {
        const char *name;
        int (*render)(const struct hw_diff *d, const struct hw_render_options *opt, FILE *out,
                      struct hw_error *err);
    } forms[] = {{"text", hw_diff_text}, {"json", hw_diff_json}, {"csv", hw_diff_csv}};
    const char *format = opt->format ? opt->format : "text";
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (strcmp(forms[i].name, format) != 0)
            continue;
        int rc = forms[i].render(d, opt, out, err);
        if (rc == HW_OK && (fflush(out) != 0 || ferror(out)))
            rc = hw_fail_errno(err, HW_ERR_OUTPUT, "cannot write the comparison");
        return rc;
    }
    return hw_fail(err, HW_ERR_USAGE, "a comparison is written as text, csv or json, not %s",
                   format);
}
