#include "model/model.h"

#include "base/printable.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- names ----------------------------------------------------------------------------------- */

static const char *const state_names[HW_STATES_] = {
    [HW_USED] = "in use",       [HW_MMAPPED] = "mmapped", [HW_CACHED] = "tcache",
    [HW_PARKED] = "fastbin",    [HW_FREE] = "bin",        [HW_TOP] = "top",
    [HW_OVERHEAD] = "overhead",
};

static const char *const finding_names[HW_FINDINGS_] = {
#define FINDING_NAME_(id, name) [HW_FINDING_##id] = name,
    HW_FINDINGS(FINDING_NAME_)
#undef FINDING_NAME_
};

static const char *const trim_reason_names[] = {
    [HW_TRIM_NONE] = NULL,
    [HW_TRIM_BELOW_THRESHOLD] = "below_threshold",
    [HW_TRIM_BRK_MOVED] = "brk_moved",
    [HW_TRIM_NONCONTIGUOUS] = "noncontiguous",
    [HW_TRIM_SUB_PAGE] = "sub_page",
    [HW_TRIM_THREAD_ARENA] = "thread_arena",
    [HW_TRIM_NOT_LAST_HEAP] = "not_last_heap",
    [HW_TRIM_UNUSED] = "unused",
};

static const char *const mode_names[] = {
    [HW_MODE_STOPPED] = "stopped",
    [HW_MODE_RUNNING] = "running",
    [HW_MODE_SNAPSHOT] = "snapshot",
    [HW_MODE_CORE] = "core",
};

/* As Linux numbers them on all machines that heapwalk reads. */
static const char *const signal_names[] = {
    [1] = "SIGHUP",   [2] = "SIGINT",   [3] = "SIGQUIT",  [4] = "SIGILL",   [5] = "SIGTRAP",
    [6] = "SIGABRT",  [7] = "SIGBUS",   [8] = "SIGFPE",   [9] = "SIGKILL",  [10] = "SIGUSR1",
    [11] = "SIGSEGV", [12] = "SIGUSR2", [13] = "SIGPIPE", [14] = "SIGALRM", [15] = "SIGTERM",
    [24] = "SIGXCPU", [25] = "SIGXFSZ", [31] = "SIGSYS",
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

const char *hw_state_name(enum hw_state state)
{
    return (unsigned)state < COUNT(state_names) ? state_names[state] : "unknown";
}

const char *hw_finding_name(enum hw_finding_kind kind)
{
    return (unsigned)kind < COUNT(finding_names) ? finding_names[kind] : "unknown";
}

const char *hw_trim_reason_name(enum hw_trim_reason reason)
{
    return (unsigned)reason < COUNT(trim_reason_names) ? trim_reason_names[reason] : NULL;
}

const char *hw_mode_name(enum hw_mode mode)
{
    return (unsigned)mode < COUNT(mode_names) ? mode_names[mode] : "unknown";
}

const char *hw_signal_name(int signal)
{
    return (unsigned)signal < COUNT(signal_names) ? signal_names[signal] : NULL;
}

/* ---- life ------------------------------------------------------------------------------------ */

struct hw_report *hw_report_create(void)
{
    return calloc(1, sizeof(struct hw_report));
}

void hw_report_destroy(struct hw_report *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->arenas.count; i++) {
        hw_vec_free(&r->arenas.data[i].tids);
        hw_vec_free(&r->arenas.data[i].held_by);
        hw_vec_free(&r->arenas.data[i].heaps);
        hw_vec_free(&r->arenas.data[i].top_pins.first);
        hw_vec_free(&r->arenas.data[i].largest);
    }
    hw_vec_free(&r->arenas);
    hw_vec_free(&r->threads);
    hw_vec_free(&r->holes);
    hw_vec_free(&r->limits.settings);
    hw_vec_free(&r->verdict);
    hw_vec_free(&r->findings);
    free(r->target.comm);
    free(r->target.exe);
    free(r->target.core);
    free(r->target.arch);
    free(r->allocator.version);
    free(r->allocator.libc_path);
    free(r->allocator.libc_build_id);
    hw_vec_free(&r->allocator.others);
    free(r);
}

int hw_report_glibc_minor(const struct hw_report *r)
{
    const char *v = r->allocator.version;
    const char *last = v ? strstr(v, " to ") : NULL; /* of a range, the newest that it can be */
    if (last)
        v = last + strlen(" to ");
    if (!v || strncmp(v, "2.", 2) != 0 || v[2] < '0' || v[2] > '9')
        return -1;
    long minor = strtol(v + 2, NULL, 10);
    return minor <= 9999 ? (int)minor : -1;
}

uint64_t hw_report_alignment(const struct hw_report *r)
{
    return r->params.chunk_alignment ? r->params.chunk_alignment : 16;
}

/* ---- findings -------------------------------------------------------------------------------- */

/* Names and paths of the target end up in findings: a newline in one must not make two lines. */
static void one_line(char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < ' ' || *s == 0x7f)
            *s = ' ';
}

/* Whether a text names this already: "arena 3" is not in "arena 31: ...". */
static bool mentions(const char *text, const char *thing)
{
    size_t len = strlen(thing);
    for (const char *at = strstr(text, thing); at; at = strstr(at + 1, thing))
        if (!isalnum((unsigned char)at[len]))
            return true;
    return false;
}

/* "bad_chunk in arena 3 at 0x7f0000001230, 64 bytes: size 0x41414141", but nothing twice. */
static void compose_line(struct hw_finding *f)
{
    char arena[32], address[32], bytes[32];
    snprintf(arena, sizeof arena, "arena %d", f->arena);
    snprintf(address, sizeof address, "%#" PRIx64, f->address.n);
    snprintf(bytes, sizeof bytes, "%" PRIu64 " bytes", f->bytes.n);
    bool with_arena = f->arena >= 0 && !mentions(f->text, arena);
    bool with_address = f->address.known && !mentions(f->text, address);
    bool with_bytes = f->bytes.known && !mentions(f->text, bytes);
    snprintf(f->line, sizeof f->line, "%s%s%s%s%s%s%s: %s", hw_finding_name(f->kind),
             with_arena ? " in " : "", with_arena ? arena : "", with_address ? " at " : "",
             with_address ? address : "", with_bytes ? ", " : "", with_bytes ? bytes : "", f->text);
}

static void add(struct hw_report *r, struct hw_finding *f, const char *fmt, va_list ap)
{
    r->check.broken[f->invariant]++;
    if (++r->finding_counts[f->kind] > HW_FINDINGS_KEPT)
        return;
    f->scene.here.state = f->scene.before.state = HW_STATES_;
    vsnprintf(f->text, sizeof f->text, fmt, ap);
    hw_make_printable(f->text);
    one_line(f->text);
    compose_line(f);
    (void)!hw_vec_push(&r->findings, *f); /* without memory it is still counted */
}

void hw_report_add(struct hw_report *r, enum hw_finding_kind kind, int arena,
                   struct hw_maybe address, struct hw_maybe bytes, const char *fmt, ...)
{
    struct hw_finding f = {.kind = kind, .arena = arena, .address = address, .bytes = bytes};
    va_list ap;
    va_start(ap, fmt);
    add(r, &f, fmt, ap);
    va_end(ap);
}

void hw_report_break(struct hw_report *r, enum hw_invariant invariant, enum hw_finding_kind kind,
                     int arena, struct hw_maybe address, struct hw_maybe bytes, const char *fmt,
                     ...)
{
    struct hw_finding f = {
        .kind = kind, .arena = arena, .address = address, .bytes = bytes, .invariant = invariant};
    va_list ap;
    va_start(ap, fmt);
    add(r, &f, fmt, ap);
    va_end(ap);
}

const struct hw_invariant_info *hw_invariant_info(enum hw_invariant id)
{
    static const struct hw_invariant_info infos[HW_INVARIANTS_] = {
#define INVARIANT_INFO_(id_, name_, text_, half_) [HW_INVARIANT_##id_] = {name_, text_, half_},
        HW_INVARIANTS(INVARIANT_INFO_)
#undef INVARIANT_INFO_
    };
    return &infos[(unsigned)id < HW_INVARIANTS_ ? id : HW_INVARIANT_NONE];
}

/* ---- public accessors ------------------------------------------------------------------------ */

bool hw_report_flawed(const struct hw_report *r)
{
    for (size_t kind = 0; kind < HW_FINDINGS_; kind++)
        if (kind != HW_FINDING_NOTE && kind != HW_FINDING_MOVED && r->finding_counts[kind])
            return true;
    return false;
}

bool hw_report_complete(const struct hw_report *r)
{
    return !hw_report_flawed(r) && r->finding_counts[HW_FINDING_MOVED] == 0;
}

int64_t hw_report_thread_pause_ns(const struct hw_report *r)
{
    return r->method.thread_pause_ns.known ? (int64_t)r->method.thread_pause_ns.n : -1;
}

enum hw_mode hw_report_mode(const struct hw_report *r)
{
    return r->method.mode;
}

int64_t hw_report_pause_ns(const struct hw_report *r)
{
    return r->method.pause_ns.known ? (int64_t)r->method.pause_ns.n : -1;
}

size_t hw_report_arenas(const struct hw_report *r)
{
    return r->arenas.count;
}

struct hw_figure hw_report_figure(const struct hw_report *r, int arena, enum hw_metric metric)
{
    if ((unsigned)metric >= HW_METRICS_ || arena < -1 ||
        (arena >= 0 && (size_t)arena >= r->arenas.count))
        return (struct hw_figure){0};
    return arena < 0 ? r->totals[metric] : r->arenas.data[arena].figures[metric];
}

const char *hw_report_finding(const struct hw_report *r, size_t i)
{
    return i < r->findings.count ? r->findings.data[i].line : NULL;
}

size_t hw_report_holes(const struct hw_report *r)
{
    return r->holes.count;
}

static struct hw_figure figure_of(struct hw_maybe m)
{
    return (struct hw_figure){.known = m.known, .n = (int64_t)m.n};
}

bool hw_report_hole(const struct hw_report *r, size_t i, struct hw_hole_view *ret)
{
    if (i >= r->holes.count)
        return false;
    const struct hw_hole *h = &r->holes.data[i];
    *ret = (struct hw_hole_view){.address = h->address,
                                 .bytes = h->bytes,
                                 .arena = h->arena,
                                 .chunks = h->chunks,
                                 .has_top = h->has_top,
                                 .resident_bytes = figure_of(h->resident_bytes),
                                 .trim_bytes = figure_of(h->trim_bytes),
                                 .below = h->below.block,
                                 .above = h->above.block,
                                 .below_symbol = h->below.symbol,
                                 .above_symbol = h->above.symbol};
    return true;
}

const struct hw_metric_info *hw_metric_info(enum hw_metric metric)
{
    static const struct hw_metric_info infos[HW_METRICS_] = {
#define HW_METRIC(id, name_, unit_, scope_, help_)                                                 \
    [HW_M_##                                                                                       \
        id] = {.name = name_, .unit = HW_UNIT_##unit_, .scope = HW_SCOPE_##scope_, .help = help_},
#include <heapwalk/metrics.def>
#undef HW_METRIC
    };
    return (unsigned)metric < HW_METRICS_ ? &infos[metric] : NULL;
}

const unsigned hw_fullness_percent[HW_FULLNESS] = {0, 10, 25, 50, 75, 100};
