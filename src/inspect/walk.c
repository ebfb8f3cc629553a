/*
 * From what the backend streams to a report: see walk.h.
 */
#include "inspect/walk.h"

#include "analysis/adopt.h"
#include "analysis/verdict.h"
#include "base/when.h"
#include "inspect/blame.h"
#include "inspect/limits.h"
#include "inspect/missing.h"
#include "inspect/pins.h"
#include "inspect/scenes.h"
#include "inspect/schedule.h"
#include "target/proc.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

int64_t hw_walking_clock(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* ---- progress ------------------------------------------------------------------------------- */

#define TELL_EVERY (UINT64_C(4) << 20)

static void expect(struct hw_walking *w)
{
    const struct hw_report *r = w->report;
    for (size_t i = 0; i < r->arenas.count; i++)
        w->expected += (uint64_t)hw_get(r->arenas.data[i].figures, HW_M_SYSTEM_BYTES);
    if (r->params.mmapped_bytes.known)
        w->expected += r->params.mmapped_bytes.n;
}

static void proceed(struct hw_walking *w, uint64_t bytes)
{
    const struct hw_session *s = w->session;
    w->done += bytes;
    if (!s->progress || w->done - w->told < TELL_EVERY)
        return;
    w->told = w->done;
    s->progress(s->progress_arg, w->done, w->done < w->expected ? w->expected : w->done);
}

static void count(struct hw_walking *w, const struct hw_block *b, size_t n)
{
    uint64_t bytes = 0;
    for (size_t i = 0; w->session->progress && i < n; i++)
        bytes += b[i].bytes;
    proceed(w, bytes);
}

/* ---- what the backend calls ----------------------------------------------------------------- */

static void on_ready(void *ctx)
{
    struct hw_walking *w = ctx;
    expect(w);
    w->code = hw_analyses_begin(w->report, &w->analyzing, w->err);
    if (w->code == HW_OK && w->walker->ready)
        w->walker->ready(w->walker->ctx, w->report);
}

static int on_blocks(void *ctx, const struct hw_block *b, size_t n)
{
    struct hw_walking *w = ctx;
    if (w->code != HW_OK)
        return w->code;
    hw_analyses_blocks(w->analyzing, b, n);
    hw_ledger_blocks(&w->ledger, b, n);
    hw_missing_blocks(w->session->image.target, b, n, &w->missing);
    if (w->walker->want_check)
        hw_scenes_blocks(w->report, b, n);
    count(w, b, n);
    int rc = 0;
    for (size_t i = 0; w->walker->block && i < n && rc == 0; i++)
        rc = w->walker->block(w->walker->ctx, w->report, &b[i]);
    return rc;
}

static bool on_known(void *ctx, unsigned arena)
{
    struct hw_walking *w = ctx;
    bool adopted = w->code == HW_OK && hw_report_adopt(w->report, w->earlier, arena);
    w->adopted += adopted;
    if (adopted)
        proceed(w, (uint64_t)hw_get(w->report->arenas.data[arena].figures, HW_M_SYSTEM_BYTES));
    return adopted;
}

/* What may be taken of the time that is left, in percent: mmapped chunks have to be read, too. */
#define FOR_ARENAS 90

static size_t on_schedule(void *ctx, unsigned *arenas, size_t count)
{
    struct hw_walking *w = ctx;
    const struct hw_target *t = w->session->image.target;
    int64_t left = t->max_pause_ns - (hw_walking_clock() - w->freeze_ns);
    return hw_schedule(w->report, w->earlier, arenas, count, left / 100 * FOR_ARENAS);
}

static void on_enough(void *ctx)
{
    struct hw_walking *w = ctx;
    struct hw_target *t = w->session->image.target;
    w->let_go = !t->moving;
    hw_target_let_go(t);
}

/* ---- what else there is to say -------------------------------------------------------------- */

static char *copy(const char *s)
{
    return s ? strdup(s) : NULL;
}

static void describe_target(const struct hw_target *t, struct hw_report *r)
{
    r->target.live = t->who.kind == HW_TARGET_LIVE;
    r->target.pid = t->who.pid;
    r->target.comm = copy(t->who.comm);
    r->target.exe = copy(t->who.exe);
    r->target.core = copy(t->who.core);
    r->target.arch = copy(t->who.machine->name);
    r->target.word = t->who.machine->word;
    r->target.threads = t->thread_count;
    r->target.page_size = t->who.page_size;
    r->target.ended = (struct hw_ended){.signal = t->signal.number, .tid = t->signal.tid};
    if (t->signal.told)
        r->target.ended.code = hw_known((uint32_t)t->signal.code);
    if (t->signal.address)
        r->target.ended.address = hw_known(t->signal.address);
}

/* What there is to say of a copy that was read. */
static void report_copy(const struct hw_target *t, struct hw_report *r)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < t->map_count; i++)
        if (t->maps[i].flags & HW_MAP_UNCOPIED)
            bytes += t->maps[i].end - t->maps[i].start;
    if (bytes)
        hw_report_add(r, HW_FINDING_NOTE, -1, (struct hw_maybe){0}, hw_known(bytes),
                      "%" PRIu64 " bytes that the program keeps out of copies of itself "
                      "(MADV_DONTFORK, MADV_WIPEONFORK) were not read",
                      bytes);
    if (t->zombie)
        hw_report_add(r, HW_FINDING_NOTE, -1, (struct hw_maybe){0}, (struct hw_maybe){0},
                      "the copy is ended, but it stays in the list of processes as %d, a zombie, "
                      "until the process ends",
                      t->zombie);
}

/* What the target itself knows to be missing. */
static void report_target_flaws(const struct hw_target *t, struct hw_report *r)
{
    /* Those themselves do not run on (live_freeze.c), and where the tcache of one is not found,
     * that is a finding of its own. */
    if (t->missed_threads)
        hw_report_add(r, t->missed_start ? HW_FINDING_THREAD_MISSED : HW_FINDING_NOTE, -1,
                      (struct hw_maybe){0}, (struct hw_maybe){0},
                      "%zu threads did not stop in time (they sleep in the kernel, or wait for a "
                      "processor)%s",
                      t->missed_threads,
                      t->missed_start ? ", and may have started others, which ran on" : "");
    const char *why =
        t->unpack_flaw ? "no more of it could be unpacked" : "it was truncated when it was written";
    if (t->unpack_flaw)
        hw_report_add(r, HW_FINDING_TRUNCATED_CORE, -1, (struct hw_maybe){0}, (struct hw_maybe){0},
                      "the compressed core file is damaged, what comes behind is missing: %s",
                      t->unpack_flaw);
    if (t->truncated && t->core_wanted)
        hw_report_add(r, HW_FINDING_TRUNCATED_CORE, -1, (struct hw_maybe){0},
                      hw_known(t->core_wanted - t->core_bytes),
                      "the core file ends after %" PRIu64 " of %" PRIu64 " bytes: %s",
                      t->core_bytes, t->core_wanted, why);
    else if (t->truncated)
        hw_report_add(r, HW_FINDING_TRUNCATED_CORE, -1, (struct hw_maybe){0}, (struct hw_maybe){0},
                      "the core file ends before its segments do: %s", why);
}

/* Not all is of the moment at which it stood still. */
static void report_adopted(const struct hw_walking *w, struct hw_report *r)
{
    if (w->twice)
        hw_report_add(
            r, HW_FINDING_NOTE, -1, (struct hw_maybe){0}, (struct hw_maybe){0},
            "read while the process ran, and then, for what had changed, while it was "
            "stopped: in %zu of %zu arenas nothing had visibly changed; what is in RAM is as it "
            "was before the stop",
            w->adopted, r->arenas.count);
}

/* A process that is killed while we read it turns into one big hole, one that executes another
 * program into that program: how the walk of that ended does not matter. */
static int check_target(struct hw_target *t, int rc, struct hw_error *err)
{
    struct hw_error why = {0};
    int gone = hw_target_check(t, &why);
    if (gone == HW_OK)
        return rc;
    if (err)
        *err = why;
    return gone;
}

/* Where the pages are, before the first of them is read. */
static void find_pages(struct hw_target *t, struct hw_report *r)
{
    struct hw_error why;
    if (t->who.kind != HW_TARGET_LIVE)
        return;
    if (!t->pages_known && hw_target_find_pages(t, &why) != HW_OK) {
        hw_report_add(r, HW_FINDING_NOTE, -1, (struct hw_maybe){0}, (struct hw_maybe){0},
                      "what is in RAM is not known: %.180s", why.text);
        return;
    }
    r->pages = &t->pages;
    r->target.locked_bytes = hw_known(t->memory.locked_bytes);
    r->target.anon_bytes = hw_known(t->memory.anon_bytes);
    r->target.some_locked = !t->memory.locks_known;
    if (r->target.some_locked)
        hw_report_add(r, HW_FINDING_NOTE, -1, (struct hw_maybe){0},
                      hw_known(t->memory.locked_bytes),
                      "some memory is locked in RAM: malloc_trim() may give back less");
}

/* Nothing was done to it, as it stood still already. */
static void report_standing(const struct hw_target *t, struct hw_report *r)
{
    struct hw_proc_stat holder = {0};
    char by[96] = "a signal (SIGSTOP or the like)";
    if (t->held_by) {
        hw_proc_stat(t->held_by, &holder);
        snprintf(by, sizeof by, "pid %d (%s)", t->held_by, holder.comm);
    }
    if (t->moving)
        hw_report_add(r, HW_FINDING_MOVED, -1, (struct hw_maybe){0}, (struct hw_maybe){0},
                      "the process had been stopped by %s, but ran on while it was read: try again",
                      by);
    else
        hw_report_add(r, HW_FINDING_NOTE, -1, (struct hw_maybe){0}, (struct hw_maybe){0},
                      "the process stood still already, stopped by %s", by);
}

/* What was read before it was let go is of one moment, the rest is not. */
static void report_let_go(const struct hw_walking *w, struct hw_report *r)
{
    const struct hw_target *t = w->session->image.target;
    if (t->left_alone)
        report_standing(t, r);
    else if (t->mode == HW_MODE_STOPPED && w->let_go)
        hw_report_add(r, HW_FINDING_NOTE, -1, (struct hw_maybe){0}, (struct hw_maybe){0},
                      "the process was let go after %.1f ms, as the rest could not have been read "
                      "in the %" PRId64
                      " ms that it might be stopped for; it was read while it ran",
                      (double)t->pause_ns / 1e6, t->max_pause_ns / 1000000);
    else if (t->mode == HW_MODE_STOPPED && t->moving)
        hw_report_add(r, HW_FINDING_NOTE, -1, (struct hw_maybe){0}, (struct hw_maybe){0},
                      "the process was let go after %.1f ms, as it was to be stopped for %" PRId64
                      " ms at most; the rest was read while it ran",
                      (double)t->pause_ns / 1e6, t->max_pause_ns / 1000000);
}

/* ---- the walk ------------------------------------------------------------------------------- */

int hw_walking_begin(struct hw_walking *w, struct hw_session *s, const struct hw_walker *walker,
                     struct hw_error *err)
{
    *w = (struct hw_walking){.session = s, .walker = walker, .report = hw_report_create()};
    if (!w->report)
        return hw_fail(err, HW_ERR_NOMEM, "no memory for a report");
    w->report->holes_wanted = walker->holes;
    w->report->holes_arena = walker->holes_arena;
    return HW_OK;
}

int hw_walking_run(struct hw_walking *w, struct hw_error *err)
{
    struct hw_session *s = w->session;
    struct hw_target *t = s->image.target;
    struct hw_report *r = w->report;
    struct hw_sink sink = {.report = r,
                           .ready = on_ready,
                           .blocks = on_blocks,
                           .known = w->earlier ? on_known : NULL,
                           .schedule = w->earlier ? on_schedule : NULL,
                           .enough = w->earlier ? on_enough : NULL,
                           .ctx = w,
                           .want_bins = w->walker->want_bins,
                           .want_lists = w->walker->want_lists,
                           .want_check = w->walker->want_check};
    uint64_t read_before = t->bytes_read;
    int64_t start = hw_walking_clock();
    w->err = err;
    describe_target(t, r);
    r->method.time_ns = r->target.live ? hw_wall_clock_ns() : 0;
    find_pages(t, r);
    int rc = hw_ledger_begin(&w->ledger, t, err);
    if (rc == HW_OK)
        rc = s->allocator->walk(s->backend, &sink, err);
    if (rc == HW_OK)
        rc = w->code;
    if (rc == HW_OK && (r->holes_wanted || w->ahead))
        hw_analyses_blocks_done(w->analyzing);
    if (rc == HW_OK && r->holes_wanted && !w->ahead) /* now, before what the chunks hold changes */
        hw_pins_read(t, r, w->walker->sample_bytes);
    if (rc == HW_OK && w->walker->want_check)
        hw_scenes_read(t, r);
    r->method.walk_ns = (uint64_t)(hw_walking_clock() - start);
    r->method.bytes_read = t->bytes_read - read_before;
    rc = check_target(t, rc, err);
    if (rc == HW_OK && w->walker->standing)
        w->walker->standing(w->walker->ctx, r);
    return rc;
}

struct hw_report *hw_walking_finish(struct hw_walking *w)
{
    struct hw_session *s = w->session;
    struct hw_target *t = s->image.target;
    struct hw_report *r = w->report;
    bool live = t->who.kind == HW_TARGET_LIVE;
    r->method.mode = live ? t->mode : HW_MODE_CORE;
    r->method.left_alone = live && t->left_alone;
    if (live && !r->method.pause_ns.known)
        r->method.pause_ns = hw_known((uint64_t)t->pause_ns);
    if (live && t->thread_pause_ns >= 0)
        r->method.thread_pause_ns = hw_known((uint64_t)t->thread_pause_ns);
    s->allocator->tell(s->backend, r);
    report_target_flaws(t, r);
    report_copy(t, r);
    report_let_go(w, r);
    report_adopted(w, r);
    hw_ledger_end(&w->ledger, r);
    hw_ledger_deinit(&w->ledger);
    if (live) {
        struct hw_proc_stat stat;
        if (hw_proc_stat(t->who.pid, &stat))
            r->target.start_ticks = hw_known(stat.start);
        hw_limits_ask(t->who.pid, r);
    }
    hw_analyses_end(w->analyzing);
    r->pages = NULL;
    if (r->holes_wanted)
        hw_pins_name(s->image.modules, &s->demangler, r);
    hw_foreign_report(&s->foreign, &s->image, r);
    hw_missing_report(t, &w->missing, r);
    hw_report_missing_file(s->image.modules, r);
    hw_report_unread(t, r);
    hw_report_wrong_exe(s->image.modules, r);
    hw_judge(r);
    return r;
}

void hw_walking_drop(struct hw_walking *w)
{
    hw_analyses_drop(w->analyzing);
    hw_ledger_deinit(&w->ledger);
    hw_report_destroy(w->report);
}
