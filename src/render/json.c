/*
 * The report as one JSON object, the chunks as JSON Lines. docs/report.schema.json describes it and
 * is to be changed together with it: keys are only ever added. json_value.c has how values look.
 */
#include "render/json.h"
#include "base/when.h"
#include "render/json_verdict.h"
#include "render/row.h"

/* jansson answers NULL when memory is out, and takes NULL for a failed value: one flag for all. */
struct doc {
    const struct hw_report *r;
    const struct hw_render_options *opt;
    bool nomem;
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

/* ---- where it comes from -------------------------------------------------------------------- */

static json_t *target(struct doc *d)
{
    const struct hw_report *r = d->r;
    json_t *o = json_object();
    put(d, o, "kind", json_string(r->target.live ? "live" : "core"));
    put(d, o, "pid", r->target.pid > 0 ? json_integer(r->target.pid) : json_null());
    put(d, o, "comm", hw_json_text(r->target.comm));
    put(d, o, "exe", hw_json_text(r->target.exe));
    put(d, o, "core", hw_json_text(r->target.core));
    put(d, o, "arch", hw_json_text(r->target.arch));
    put(d, o, "threads", hw_json_integer(r->target.threads));
    put(d, o, "page_size",
        r->target.page_size ? hw_json_integer(r->target.page_size) : json_null());
    put(d, o, "ended", hw_json_ended(r));
    put(d, o, "start_ticks", hw_json_maybe(r->target.start_ticks));
    return o;
}

static json_t *text_or_null(const char *s)
{
    return *s ? hw_json_text(s) : json_null();
}

static json_t *others(struct doc *d)
{
    json_t *list = json_array();
    for (size_t i = 0; i < d->r->allocator.others.count; i++) {
        const struct hw_other *other = &d->r->allocator.others.data[i];
        json_t *o = json_object();
        put(d, o, "name", hw_json_text(other->name));
        put(d, o, "version", text_or_null(other->version));
        put(d, o, "file", text_or_null(other->file));
        put(d, o, "evidence", hw_json_text(other->evidence));
        put(d, o, "serves_malloc", json_boolean(other->serves_malloc));
        append(d, list, o);
    }
    return list;
}

static json_t *allocator(struct doc *d)
{
    const struct hw_report *r = d->r;
    json_t *o = json_object(), *libc = json_object();
    put(d, libc, "path", hw_json_text(r->allocator.libc_path));
    put(d, libc, "build_id", hw_json_text(r->allocator.libc_build_id));
    put(d, o, "name", hw_json_text(r->allocator.name));
    put(d, o, "version", hw_json_text(r->allocator.version));
    put(d, o, "libc", libc);
    put(d, o, "layout_source", hw_json_text(r->allocator.layout_source));
    put(d, o, "roots_source", hw_json_text(r->allocator.roots_source));
    put(d, o, "main_arena", hw_json_address_or_null(r->allocator.main_arena));
    put(d, o, "unused", json_boolean(r->allocator.unused));
    put(d, o, "others", others(d));
    return o;
}

static json_t *method(struct doc *d)
{
    const struct hw_report *r = d->r;
    char when[HW_WHEN_TEXT];
    json_t *o = json_object();
    put(d, o, "mode", json_string(hw_mode_name(r->method.mode)));
    put(d, o, "pause_ns", hw_json_maybe(r->method.pause_ns));
    put(d, o, "stops", hw_json_maybe(r->method.stops));
    put(d, o, "thread_pause_ns", hw_json_maybe(r->method.thread_pause_ns));
    put(d, o, "bytes_read", hw_json_integer(r->method.bytes_read));
    put(d, o, "walk_ns", hw_json_integer(r->method.walk_ns));
    put(d, o, "sandbox", hw_json_text(r->method.sandbox));
    put(d, o, "time",
        r->method.time_ns ? json_string(hw_format_utc(when, r->method.time_ns)) : json_null());
    return o;
}

static json_t *findings(struct doc *d)
{
    json_t *list = json_array();
    for (size_t i = 0; i < d->r->findings.count; i++) {
        const struct hw_finding *f = &d->r->findings.data[i];
        json_t *o = json_object();
        put(d, o, "kind", json_string(hw_finding_name(f->kind)));
        put(d, o, "arena", f->arena >= 0 ? json_integer(f->arena) : json_null());
        put(d, o, "address", f->address.known ? hw_json_address(f->address.n) : json_null());
        put(d, o, "bytes", hw_json_maybe(f->bytes));
        put(d, o, "text", hw_json_text(f->text));
        put(d, o, "invariant", hw_json_text(hw_invariant_info(f->invariant)->name));
        put(d, o, "scene", hw_json_scene(d->r, f));
        append(d, list, o);
    }
    return list;
}

/* How many there were of each kind: more than `findings` lists where a kind came too often. */
static json_t *finding_counts(struct doc *d)
{
    json_t *o = json_object();
    for (size_t kind = 0; kind < HW_FINDINGS_; kind++)
        if (d->r->finding_counts[kind])
            put(d, o, hw_finding_name((enum hw_finding_kind)kind),
                hw_json_integer(d->r->finding_counts[kind]));
    return o;
}

static json_t *params(struct doc *d)
{
    const struct hw_params *p = &d->r->params;
    const struct hw_maybe *yes_or_no = &p->mmap_threshold_dynamic;
    json_t *o = json_object();
#define PUT_PARAM_(field)                                                                          \
    put(d, o, #field,                                                                              \
        &p->field == yes_or_no && p->field.known ? json_boolean(p->field.n)                        \
                                                 : hw_json_maybe(p->field));
    HW_PARAMS(PUT_PARAM_)
#undef PUT_PARAM_
    return o;
}

static json_t *mallinfo2(struct doc *d)
{
    json_t *o = json_object();
#define PUT_FIELD_(field) put(d, o, #field, hw_json_integer(d->r->mallinfo2.field));
    HW_MALLINFO2(PUT_FIELD_)
#undef PUT_FIELD_
    return o;
}

/* ---- figures -------------------------------------------------------------------------------- */

static json_t *stays(struct doc *d, const struct hw_residency *res)
{
    json_t *o = json_object();
#define PUT_STAY_(id, name)                                                                        \
    put(d, o, name, hw_json_figure(&res->stays[HW_STAY_##id], HW_UNIT_BYTES));
    HW_STAYS(PUT_STAY_)
#undef PUT_STAY_
    return o;
}

static json_t *split(struct doc *d, const struct hw_split *s)
{
    json_t *o = json_object();
    put(d, o, "resident_bytes", s->known ? hw_json_integer(s->resident) : json_null());
    put(d, o, "swapped_bytes", s->known ? hw_json_integer(s->swapped) : json_null());
    put(d, o, "returned_bytes", s->known ? hw_json_integer(s->returned) : json_null());
    return o;
}

static json_t *free_by_kind(struct doc *d, const struct hw_residency *res)
{
    json_t *o = json_object();
#define PUT_KIND_(id, name) put(d, o, name, split(d, &res->free[HW_FREE_##id]));
    HW_FREE_KINDS(PUT_KIND_)
#undef PUT_KIND_
    return o;
}

/* Bytes of resident pages by the share of them that is in use: "from" (exclusive, but for 0) to
 * "to" per cent. */
static json_t *fullness(struct doc *d, const struct hw_residency *res)
{
    if (!res->in_use.known)
        return json_null();
    json_t *list = json_array();
    for (size_t i = 0; i < HW_FULLNESS; i++) {
        json_t *o = json_object();
        put(d, o, "from_percent", hw_json_integer(i ? hw_fullness_percent[i - 1] : 0));
        put(d, o, "to_percent", hw_json_integer(hw_fullness_percent[i]));
        put(d, o, "bytes", hw_json_integer(res->fullness[i]));
        append(d, list, o);
    }
    return list;
}

/* What follows the scalars of an arena and of the totals. */
static void put_residency(struct doc *d, json_t *o, const struct hw_residency *res)
{
    put(d, o, "stays", stays(d, res));
    put(d, o, "free_by_kind", free_by_kind(d, res));
    put(d, o, "page_fullness", fullness(d, res));
}

static json_t *rss(struct doc *d)
{
    const struct hw_rss *rss = &d->r->rss;
    json_t *o = json_object();
#define PUT_RSS_(field) put(d, o, #field, rss->known ? hw_json_integer(rss->field) : json_null());
    HW_RSS(PUT_RSS_)
#undef PUT_RSS_
    put(d, o, "unexplained_bytes", rss->known ? json_integer(rss->unexplained_bytes) : json_null());
    return o;
}

static json_t *totals(struct doc *d)
{
    json_t *o = json_object();
    for (size_t m = 0; m < HW_METRICS_; m++) {
        const struct hw_metric_info *info = hw_metric_info((enum hw_metric)m);
        put(d, o, info->name, hw_json_figure(&d->r->totals[m], info->unit));
    }
    put_residency(d, o, &d->r->residency);
    return o;
}

/* From the first to the last bucket that is not empty; `costs` may be NULL. */
static json_t *histogram(struct doc *d, const struct hw_histogram *h,
                         const struct hw_chunk_costs *costs)
{
    json_t *list = json_array();
    size_t from = 0, to = HW_BUCKETS;
    while (from < to && h->chunks[from] == 0)
        from++;
    while (to > from && h->chunks[to - 1] == 0)
        to--;
    for (size_t i = from; i < to; i++) {
        uint64_t least = (uint64_t)1 << i;
        json_t *o = json_object();
        put(d, o, "from", hw_json_integer(least));
        put(d, o, "to", hw_json_integer(least + (least - 1)));
        put(d, o, "chunks", hw_json_integer(h->chunks[i]));
        put(d, o, "bytes", hw_json_integer(h->bytes[i]));
        if (costs) {
            put(d, o, "header_bytes", hw_json_integer(costs->header_bytes[i]));
            put(d, o, "rounding_max_bytes", hw_json_integer(costs->rounding_max_bytes[i]));
        }
        append(d, list, o);
    }
    return list;
}

/* ---- arenas and threads --------------------------------------------------------------------- */

static json_t *heaps(struct doc *d, const struct hw_arena *a)
{
    json_t *list = json_array();
    for (size_t i = 0; i < a->heaps.count; i++) {
        const struct hw_heap *heap = &a->heaps.data[i];
        json_t *o = json_object();
        put(d, o, "address", hw_json_address(heap->address));
        put(d, o, "bytes", hw_json_integer(heap->bytes));
        put(d, o, "mprotect_bytes", hw_json_maybe(heap->mprotect_bytes));
        put(d, o, "resident_bytes", hw_json_maybe(heap->resident_bytes));
        put(d, o, "free", split(d, &heap->free));
        append(d, list, o);
    }
    return list;
}

static json_t *top(struct doc *d, const struct hw_top *t)
{
    json_t *o = json_object();
    put(d, o, "address", hw_json_address_or_null(t->address));
    put(d, o, "bytes", hw_json_integer(t->bytes));
    put(d, o, "resident_bytes", hw_json_maybe(t->resident_bytes));
    put(d, o, "trimmable_bytes", hw_json_maybe(t->trimmable_bytes));
    put(d, o, "malloc_trim_bytes", hw_json_maybe(t->malloc_trim_bytes));
    put(d, o, "reason", hw_json_text(hw_trim_reason_name(t->reason)));
    return o;
}

static json_t *arena(struct doc *d, const struct hw_arena *a)
{
    bool main = a->kind == HW_ARENA_MAIN;
    json_t *o = json_object(), *tids = json_array(), *held_by = json_array();
    for (size_t i = 0; i < a->tids.count; i++)
        append(d, tids, json_integer(a->tids.data[i]));
    for (size_t i = 0; i < a->held_by.count; i++)
        append(d, held_by, json_integer(a->held_by.data[i]));
    put(d, o, "index", json_integer(a->index));
    put(d, o, "address", hw_json_address(a->address));
    put(d, o, "kind", json_string(main ? "main" : "thread"));
    put(d, o, "locked", json_boolean(a->locked));
    put(d, o, "held_by", held_by);
    put(d, o, "moved", json_boolean(a->moved));
    put(d, o, "attached_threads", hw_json_maybe(a->attached_threads));
    put(d, o, "tids", tids);
    put(d, o, "heaps", heaps(d, a));
    put(d, o, "top", top(d, &a->top));
    put(d, o, "max_system_bytes", hw_json_integer(a->max_system_bytes));
    for (size_t m = 0; m < HW_METRICS_; m++) {
        const struct hw_metric_info *info = hw_metric_info((enum hw_metric)m);
        if (info->scope == HW_SCOPE_EVERY)
            put(d, o, info->name, hw_json_figure(&a->figures[m], info->unit));
    }
    put_residency(d, o, &a->residency);
    put(d, o, "histogram", histogram(d, &a->histogram, NULL));
    put(d, o, "contiguous", main ? json_boolean(a->contiguous) : json_null());
    put(d, o, "brk", a->brk.known ? hw_json_address(a->brk.n) : json_null());
    put(d, o, "top_pins", hw_json_top_pins(d->r, a));
    return o;
}

static json_t *arenas(struct doc *d)
{
    json_t *list = json_array();
    for (size_t i = 0; i < d->r->arenas.count; i++)
        if (hw_shows_arena(d->opt, (int)i))
            append(d, list, arena(d, &d->r->arenas.data[i]));
    return list;
}

static json_t *threads(struct doc *d)
{
    json_t *list = json_array();
    for (size_t i = 0; i < d->r->threads.count; i++) {
        const struct hw_thread_row *t = &d->r->threads.data[i];
        json_t *o = json_object();
        put(d, o, "tid", json_integer(t->tid));
        put(d, o, "arena", t->arena >= 0 ? json_integer(t->arena) : json_null());
        put(d, o, "tcache_bytes", hw_json_maybe(t->tcache_bytes));
        put(d, o, "tcache_chunks", hw_json_maybe(t->tcache_chunks));
        put(d, o, "in_malloc", hw_json_in_malloc(t));
        append(d, list, o);
    }
    return list;
}

/* ---- the whole ------------------------------------------------------------------------------ */

static json_t *whole(struct doc *d)
{
    const struct hw_report *r = d->r;
    json_t *o = json_object(), *heapwalk = json_object();
    put(d, heapwalk, "version", json_string(HW_VERSION_STRING));
    put(d, o, "schema_version", json_integer(1));
    put(d, o, "heapwalk", heapwalk);
    put(d, o, "target", target(d));
    put(d, o, "allocator", allocator(d));
    put(d, o, "method", method(d));
    put(d, o, "complete", json_boolean(hw_report_complete(r)));
    put(d, o, "findings", findings(d));
    put(d, o, "params", params(d));
    put(d, o, "mallinfo2", mallinfo2(d));
    put(d, o, "totals", totals(d));
    put(d, o, "histogram", histogram(d, &r->histogram, NULL));
    put(d, o, "in_use_histogram", histogram(d, &r->in_use_histogram, &r->in_use_costs));
    put(d, o, "arenas", arenas(d));
    put(d, o, "threads", threads(d));
    put(d, o, "rss", rss(d));
    put(d, o, "verdict", hw_json_verdict(r));
    put(d, o, "finding_counts", finding_counts(d));
    put(d, o, "holes", hw_json_holes(d->r));
    put(d, o, "limits", hw_json_limits(r));
    put(d, o, "check", hw_json_check(r));
    put(d, o, "abort", hw_json_abort(r));
    return o;
}

static int report(const struct hw_report *r, const struct hw_render_options *opt, FILE *out,
                  struct hw_error *err)
{
    struct doc d = {.r = r, .opt = opt};
    json_t *root = whole(&d);
    int rc = HW_OK;
    if (!root || d.nomem)
        rc = hw_fail(err, HW_ERR_NOMEM, "no memory for the JSON report");
    else if (json_dumpf(root, out, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) != 0 ||
             putc('\n', out) == EOF)
        rc = hw_fail_errno(err, HW_ERR_OUTPUT, "cannot write the report");
    json_decref(root);
    return rc;
}

/* ---- chunks --------------------------------------------------------------------------------- */

/* ,"key":n   or   ,"key":null */
static void put_number(struct hw_row *row, const char *key, int n, bool known)
{
    hw_row_text(row, key);
    if (known)
        hw_row_decimal(row, (uint64_t)n);
    else
        hw_row_text(row, "null");
}

static void list_block(const struct hw_report *r, const struct hw_render_options *opt,
                       const struct hw_block *b, FILE *out)
{
    (void)opt;
    struct hw_row row;
    row.len = 0;
    hw_row_text(&row, "{\"address\":\"");
    hw_row_hex(&row, b->address);
    if (hw_has_pointer(b)) {
        hw_row_text(&row, "\",\"pointer\":\"");
        hw_row_hex(&row, b->address + hw_header_bytes(r));
        hw_row_text(&row, "\",\"bytes\":");
    } else {
        hw_row_text(&row, "\",\"pointer\":null,\"bytes\":");
    }
    hw_row_decimal(&row, b->bytes);
    hw_row_text(&row, ",\"state\":\"");
    hw_row_text(&row, hw_state_name((enum hw_state)b->state));
    hw_row_text(&row, "\"");
    put_number(&row, ",\"arena\":", b->arena, b->arena >= 0);
    put_number(&row, ",\"bin\":", b->bin, b->bin >= 0);
    put_number(&row, ",\"tid\":", b->tid, b->tid > 0);
    hw_row_text(&row, "}\n");
    hw_row_write(&row, out);
}

const struct hw_renderer hw_render_json = {
    .format = HW_FORMAT_JSON,
    .report = report,
    .list_block = list_block,
};
