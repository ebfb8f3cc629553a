/*
 * From PID or core to a report:
 *
 *     open target -> modules -> detect allocator -> its roots and layout      hw_open_*()
 *     -> [freeze] -> walk, analyses listening -> [thaw] -> finish -> report   hw_session_walk()
 *
 * All symbol work is done before the freeze, all formatting after the thaw.
 */
#include "inspect/session.h"

#include "analysis/analysis.h"
#include "analysis/verdict.h"
#include "base/cleanup.h"
#include "inspect/ledger.h"
#include "inspect/limits.h"
#include "inspect/pins.h"
#include "target/snapshot.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

void hw_close(struct hw_session *s)
{
    if (!s)
        return;
    if (s->allocator)
        s->allocator->close(s->backend);
    hw_vec_free(&s->foreign);
    hw_modules_close(s->image.modules);
    hw_target_close(s->image.target);
    free(s);
}

/* Whatever seems to be wrong with a core that was cut off, that is the cause. */
static void blame_truncation(const struct hw_target *t, struct hw_error *err)
{
    if (!t->truncated || !err)
        return;
    struct hw_error why = *err;
    hw_fail(err, why.code,
            "the core file is truncated, and what is needed is missing from it (%.380s)", why.text);
    hw_remedy(err, "take a whole one (ulimit -c unlimited, room on the disk)");
}

#define NAME_LIBC                                                                                  \
    "name the libc that the target runs with by --libc, or a copy of its file system by --sysroot"

/* libc, if its own file could not be used: it has what a debug file or a scan cannot tell. */
static const struct hw_module *libc_without_file(struct hw_modules *modules)
{
    for (size_t i = 0; i < hw_modules_count(modules); i++) {
        const struct hw_module *mod = hw_modules_get(modules, i);
        if (hw_is_libc_name(mod->name))
            return mod->problem ? mod : NULL;
    }
    return NULL;
}

static void blame_missing_file(struct hw_modules *modules, struct hw_error *err)
{
    const struct hw_module *libc = libc_without_file(modules);
    if (libc) {
        hw_fail(err, HW_ERR_NO_SYMBOLS, "%s", libc->problem);
        hw_remedy(err, NAME_LIBC);
    }
}

static void report_missing_file(struct hw_modules *modules, struct hw_report *r)
{
    const struct hw_module *libc = libc_without_file(modules);
    if (libc && !hw_report_complete(r))
        hw_report_add(r, HW_FINDING_NOTE, -1, (struct hw_maybe){0}, (struct hw_maybe){0},
                      "%.150s; " NAME_LIBC, libc->problem);
}

static bool names_no_files(const struct hw_target *t)
{
    for (size_t i = 0; i < t->map_count; i++)
        if (t->maps[i].path)
            return false;
    return t->who.kind == HW_TARGET_CORE;
}

/* Find the allocators of the image, and open the one that can be walked. */
static int open_allocator(struct hw_session *s, struct hw_error *err)
{
    int rc = hw_foreign_find(&s->image, &s->foreign, err);
    if (rc != HW_OK)
        return rc;
    s->allocator = hw_allocator_detect(&s->image);
    if (s->allocator) {
        rc = s->allocator->open(&s->image, &s->backend, err);
    } else if (names_no_files(s->image.target)) {
        rc = hw_fail(
            err, HW_ERR_UNSUPPORTED,
            "the core does not tell which files were mapped where (it has no NT_FILE note), "
            "so libc cannot be found in it");
        hw_remedy(err, "the kernel and gdb write that note; qemu-user does not");
        return rc;
    } else {
        rc = hw_fail(err, HW_ERR_NO_HEAP, "no glibc is mapped into the target");
        hw_remedy(err, "heapwalk reads the heaps of glibc's malloc; this program uses none");
    }
    if (rc == HW_ERR_NO_HEAP)
        return hw_foreign_explain(&s->foreign, s->image.target, err);
    if (rc == HW_ERR_NO_SYMBOLS)
        blame_missing_file(s->image.modules, err);
    return rc;
}

/* Takes over `target`, also on failure. */
static int open_session(struct hw_target *target, const struct hw_options *opt,
                        struct hw_session **ret, struct hw_error *err)
{
    struct hw_session *s = calloc(1, sizeof *s);
    if (!s) {
        hw_target_close(target);
        return hw_fail(err, HW_ERR_NOMEM, "no memory for a session");
    }
    s->image.target = target;
    s->image.roots = opt ? opt->roots : NULL;
    struct hw_modules_options mopt = {0};
    if (opt)
        mopt = (struct hw_modules_options){.exe = opt->exe,
                                           .libc = opt->libc,
                                           .sysroot = opt->sysroot,
                                           .debuginfo_path = opt->debuginfo_path};
    int rc = hw_modules_open(target, &mopt, &s->image.modules, err);
    if (rc == HW_OK)
        rc = open_allocator(s, err);
    if (rc == HW_OK) {
        *ret = s;
        return HW_OK;
    }
    blame_truncation(target, err);
    hw_close(s);
    return rc;
}

static int set_mode(struct hw_target *t, const struct hw_options *opt, struct hw_error *err)
{
    if (opt && opt->mode == HW_MODE_CORE)
        return hw_fail(err, HW_ERR_USAGE, "a live process cannot be read in mode '%s'",
                       hw_mode_name(opt->mode));
    t->mode = opt ? opt->mode : HW_MODE_STOPPED;
    return HW_OK;
}

int hw_open_pid(int pid, const struct hw_options *opt, struct hw_session **ret,
                struct hw_error *err)
{
    struct hw_target *target;
    *ret = NULL;
    int rc = hw_target_open_live(pid, &target, err);
    if (rc != HW_OK)
        return rc;
    rc = set_mode(target, opt, err);
    if (rc == HW_OK && target->mode == HW_MODE_SNAPSHOT) /* before the slow work on symbols */
        rc = hw_snapshot_check(pid, target->who.machine, err);
    if (rc == HW_OK)
        return open_session(target, opt, ret, err);
    hw_target_close(target);
    return rc;
}

int hw_open_core(const char *path, const struct hw_options *opt, struct hw_session **ret,
                 struct hw_error *err)
{
    struct hw_target *target;
    *ret = NULL;
    if (opt && opt->exe && access(opt->exe, R_OK) != 0)
        return hw_fail_errno(err, HW_ERR_SYSTEM, "cannot read the executable %s", opt->exe);
    int rc = hw_target_open_core(path, &target, err);
    return rc == HW_OK ? open_session(target, opt, ret, err) : rc;
}

/* ---- one walk -------------------------------------------------------------------------------- */

struct dispatch {
    struct hw_report *report;
    struct hw_analyzing *analyzing; /* from ready() on */
    struct hw_ledger ledger;
    struct hw_error *err;
    int code; /* of a failure in a callback */
    const struct hw_walker *walker;
};

static void on_ready(void *ctx)
{
    struct dispatch *d = ctx;
    d->code = hw_analyses_begin(d->report, &d->analyzing, d->err);
    if (d->code == HW_OK && d->walker->ready)
        d->walker->ready(d->walker->ctx, d->report);
}

static int on_blocks(void *ctx, const struct hw_block *b, size_t count)
{
    struct dispatch *d = ctx;
    if (d->code != HW_OK)
        return d->code;
    hw_analyses_blocks(d->analyzing, b, count);
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++) {
        hw_ledger_block(&d->ledger, &b[i]);
        if (d->walker->block)
            rc = d->walker->block(d->walker->ctx, d->report, &b[i]);
    }
    return rc;
}

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
    if (t->missed_threads)
        hw_report_add(r, HW_FINDING_THREAD_MISSED, -1, (struct hw_maybe){0}, (struct hw_maybe){0},
                      "%zu threads did not stop in time (they sleep in the kernel); what their "
                      "tcaches hold is counted as in use",
                      t->missed_threads);
    if (t->truncated)
        hw_report_add(r, HW_FINDING_TRUNCATED_CORE, -1, (struct hw_maybe){0}, (struct hw_maybe){0},
                      "the core file ends before its segments do: it was truncated when it was "
                      "written");
}

/* A process that is killed while we read it turns into one big hole. */
static int check_alive(struct hw_target *t, const struct hw_report *r, struct hw_error *err)
{
    char byte;
    ssize_t n = hw_read(t, r->allocator.main_arena, &byte, 1, err);
    return n < 0 ? (int)n : HW_OK;
}

/* Where the pages are, before the first of them is read. */
static void find_pages(struct hw_target *t, struct hw_report *r)
{
    struct hw_error why;
    if (t->who.kind != HW_TARGET_LIVE)
        return;
    if (hw_target_find_pages(t, &why) != HW_OK) {
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

static int walk_frozen(struct hw_session *s, const struct hw_walker *walker, struct dispatch *d,
                       struct hw_error *err)
{
    struct hw_target *t = s->image.target;
    struct hw_report *r = d->report;
    struct hw_sink sink = {.report = r,
                           .ready = on_ready,
                           .blocks = on_blocks,
                           .ctx = d,
                           .want_bins = walker->want_bins,
                           .want_lists = walker->want_lists};
    uint64_t read_before = t->bytes_read;
    int64_t start = now_ns();
    describe_target(t, r);
    find_pages(t, r);
    int rc = hw_ledger_begin(&d->ledger, t, err);
    if (rc == HW_OK)
        rc = s->allocator->walk(s->backend, &sink, err);
    if (rc == HW_OK)
        rc = d->code;
    if (rc == HW_OK && r->holes_wanted) { /* now, before what the chunks hold changes */
        hw_analyses_blocks_done(d->analyzing);
        hw_pins_read(t, r, walker->sample_bytes);
    }
    r->method.walk_ns = (uint64_t)(now_ns() - start);
    r->method.bytes_read = t->bytes_read - read_before;
    if (rc == HW_OK)
        rc = check_alive(t, r, err);
    if (rc == HW_OK && walker->standing)
        walker->standing(walker->ctx, r);
    return rc;
}

/* After the thaw: what needs no more than the report. */
static void finish(struct hw_session *s, struct dispatch *d)
{
    struct hw_target *t = s->image.target;
    struct hw_report *r = d->report;
    bool live = t->who.kind == HW_TARGET_LIVE;
    r->method.mode = live ? t->mode : HW_MODE_CORE;
    if (live)
        r->method.pause_ns = hw_known((uint64_t)t->pause_ns);
    if (live && t->thread_pause_ns >= 0)
        r->method.thread_pause_ns = hw_known((uint64_t)t->thread_pause_ns);
    report_target_flaws(t, r);
    report_copy(t, r);
    hw_ledger_end(&d->ledger, r);
    hw_ledger_deinit(&d->ledger);
    if (live)
        hw_limits_ask(t->who.pid, r);
    hw_analyses_end(hw_take(d->analyzing));
    r->pages = NULL;
    if (r->holes_wanted)
        hw_pins_name(s->image.modules, r);
    hw_foreign_report(&s->foreign, &s->image, r);
    report_missing_file(s->image.modules, r);
    hw_judge(r);
}

int hw_session_walk(struct hw_session *s, const struct hw_walker *walker, struct hw_report **ret,
                    struct hw_error *err)
{
    struct hw_target *t = s->image.target;
    *ret = NULL;
    struct hw_report *r = hw_report_create();
    if (!r)
        return hw_fail(err, HW_ERR_NOMEM, "no memory for a report");
    r->holes_wanted = walker->holes;
    r->holes_arena = walker->holes_arena;
    struct dispatch d = {.report = r, .walker = walker, .err = err};
    int rc = hw_target_freeze(t, err);
    if (rc == HW_OK) {
        rc = walk_frozen(s, walker, &d, err);
        hw_target_thaw(t);
    }
    if (rc != HW_OK) {
        hw_analyses_drop(d.analyzing);
        hw_ledger_deinit(&d.ledger);
        blame_truncation(t, err);
        hw_report_destroy(r);
        return rc;
    }
    finish(s, &d);
    *ret = r;
    return HW_OK;
}

static int tell_listener(void *ctx, const struct hw_report *r, const struct hw_block *b)
{
    const struct hw_listener *listener = ctx;
    (void)r;
    return listener->block ? listener->block(b, listener->arg) : 0;
}

int hw_inspect(struct hw_session *s, const struct hw_listener *listener, struct hw_report **ret,
               struct hw_error *err)
{
    struct hw_listener nobody = {0};
    if (!listener)
        listener = &nobody;
    if (listener->holes > HW_HOLES_MAX || listener->sample_bytes > HW_SAMPLE_MAX) {
        *ret = NULL;
        return hw_fail(err, HW_ERR_USAGE, "at most %d holes, and %d bytes of a chunk", HW_HOLES_MAX,
                       HW_SAMPLE_MAX);
    }
    struct hw_walker walker = {.block = tell_listener,
                               .ctx = (void *)(uintptr_t)listener,
                               .want_bins = listener->want_bins,
                               .want_lists = listener->want_lists,
                               .holes = listener->holes,
                               .holes_arena = listener->only_arena ? listener->arena : -1,
                               .sample_bytes = listener->sample_bytes};
    return hw_session_walk(s, &walker, ret, err);
}
