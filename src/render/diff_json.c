/*
 * A comparison as one JSON object (docs/diff.schema.json). Each figure is {"before", "after",
 * "change"}.
 */
#include "render/diff.h"
#include "render/json.h"

/* jansson answers NULL when memory is out, and takes NULL for a failed value: one flag for all. */
struct doc {
    const struct hw_diff *d;
    bool exact, nomem;
};

static void put(struct doc *d, json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) != 0)
        d->nomem = true;
}

static void append(struct doc *d, json_t *array, json_t *value)
{
    if (json_array_append_new(array, value) != 0)
        d->nomem = true;
}

static json_t *text_or_null(const char *s)
{
    return *s ? hw_json_text(s) : json_null();
}

/* Ratios have no change: a difference of ratios is the measure of nothing. */
static json_t *both(struct doc *d, struct hw_figure a, struct hw_figure b, enum hw_unit unit)
{
    json_t *o = json_object();
    struct hw_figure change = hw_change(a, b);
    put(d, o, "before", hw_json_figure(&a, unit));
    put(d, o, "after", hw_json_figure(&b, unit));
    if (unit != HW_UNIT_RATIO)
        put(d, o, "change", hw_json_figure(&change, unit));
    return o;
}

static json_t *report(struct doc *d, const struct hw_saved *s)
{
    json_t *o = json_object();
    put(d, o, "file", hw_json_text(s->file));
    put(d, o, "pid", hw_json_maybe(s->pid));
    put(d, o, "start_ticks", hw_json_maybe(s->start_ticks));
    put(d, o, "comm", text_or_null(s->comm));
    put(d, o, "time", text_or_null(s->time));
    put(d, o, "complete", json_boolean(s->complete));
    return o;
}

static json_t *same_process(const struct hw_diff *d)
{
    return d->same_process == HW_SAME_UNKNOWN ? json_null()
                                              : json_boolean(d->same_process == HW_SAME);
}

static json_t *notes(struct doc *d)
{
    json_t *list = json_array();
    for (size_t i = 0; i < d->d->notes.count; i++)
        append(d, list, hw_json_text(d->d->notes.data[i]));
    return list;
}

static json_t *totals(struct doc *d)
{
    json_t *o = json_object();
    for (size_t m = 0; m < HW_METRICS_; m++) {
        const struct hw_metric_info *info = hw_metric_info((enum hw_metric)m);
        put(d, o, info->name, both(d, d->d->before.totals[m], d->d->after.totals[m], info->unit));
    }
    return o;
}

/* Sizes that one of them has; null where one of them has no histogram. */
static json_t *histogram(struct doc *d, const struct hw_saved_histogram *a,
                         const struct hw_saved_histogram *b)
{
    if (!a->known || !b->known)
        return json_null();
    json_t *list = json_array();
    for (unsigned i = 0; i < HW_BUCKETS; i++) {
        uint64_t from = UINT64_C(1) << i;
        if (!a->h.chunks[i] && !b->h.chunks[i])
            continue;
        json_t *o = json_object();
        put(d, o, "from", hw_json_integer(from));
        put(d, o, "to", hw_json_integer(from + (from - 1)));
        put(d, o, "chunks",
            both(d, hw_bucket_figure(a, i, false), hw_bucket_figure(b, i, false), HW_UNIT_COUNT));
        put(d, o, "bytes",
            both(d, hw_bucket_figure(a, i, true), hw_bucket_figure(b, i, true), HW_UNIT_BYTES));
        append(d, list, o);
    }
    return list;
}

static json_t *place(struct doc *d, const struct hw_saved_arena *a)
{
    if (!a)
        return json_null();
    json_t *o = json_object();
    put(d, o, "index", hw_json_maybe(a->index));
    put(d, o, "address", a->address.known ? hw_json_address(a->address.n) : json_null());
    return o;
}

static json_t *arena(struct doc *d, const struct hw_arena_pair *p)
{
    json_t *o = json_object();
    put(d, o, "state", json_string(hw_pair_state(p)));
    put(d, o, "before", place(d, p->before));
    put(d, o, "after", place(d, p->after));
    for (size_t m = 0; m < HW_METRICS_; m++) {
        const struct hw_metric_info *info = hw_metric_info((enum hw_metric)m);
        if (info->scope == HW_SCOPE_EVERY)
            put(d, o, info->name,
                both(d, hw_saved_figure(p->before, (enum hw_metric)m),
                     hw_saved_figure(p->after, (enum hw_metric)m), info->unit));
    }
    return o;
}

static json_t *arenas(struct doc *d)
{
    json_t *list = json_array();
    for (size_t i = 0; i < d->d->arenas.count; i++)
        append(d, list, arena(d, &d->d->arenas.data[i]));
    return list;
}

static json_t *whole(struct doc *d)
{
    const struct hw_diff *diff = d->d;
    char summary[HW_SUMMARY_MAX];
    json_t *o = json_object(), *heapwalk = json_object();
    put(d, heapwalk, "version", json_string(HW_VERSION_STRING));
    put(d, o, "schema_version", json_integer(1));
    put(d, o, "heapwalk", heapwalk);
    put(d, o, "complete", json_boolean(hw_diff_complete(diff)));
    put(d, o, "before", report(d, &diff->before));
    put(d, o, "after", report(d, &diff->after));
    put(d, o, "same_process", same_process(diff));
    put(d, o, "matched_by", json_string(diff->by_address ? "address" : "index"));
    put(d, o, "notes", notes(d));
    put(d, o, "summary", hw_json_text(hw_diff_summary(diff, d->exact, summary)));
    put(d, o, "totals", totals(d));
    put(d, o, "rss_bytes", both(d, diff->before.rss_bytes, diff->after.rss_bytes, HW_UNIT_BYTES));
    put(d, o, "histogram", histogram(d, &diff->before.histogram, &diff->after.histogram));
    put(d, o, "in_use_histogram",
        histogram(d, &diff->before.in_use_histogram, &diff->after.in_use_histogram));
    put(d, o, "arenas", arenas(d));
    return o;
}

int hw_diff_json(const struct hw_diff *diff, const struct hw_render_options *opt, FILE *out,
                 struct hw_error *err)
{
    struct doc d = {.d = diff, .exact = opt->exact};
    json_t *root = whole(&d);
    int rc = HW_OK;
    if (!root || d.nomem)
        rc = hw_fail(err, HW_ERR_NOMEM, "no memory for the comparison");
    else if (json_dumpf(root, out, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) != 0 ||
             putc('\n', out) == EOF)
        rc = hw_fail_errno(err, HW_ERR_OUTPUT, "cannot write the comparison");
    json_decref(root);
    return rc;
}
