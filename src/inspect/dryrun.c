/*
 * What would be done, without doing it: see hw_dry_run_pid() in <heapwalk/heapwalk.h>.
 */
#include "inspect/blame.h"
#include "inspect/pace.h"
#include "inspect/session.h"
#include "render/render.h"
#include "target/permission.h"
#include "target/proc.h"
#include "target/snapshot.h"
#include "target/standing.h"

#include <string.h>

static void describe(const struct hw_target *t, struct hw_dryrun *d)
{
    d->live = t->who.kind == HW_TARGET_LIVE;
    d->pid = t->who.pid;
    d->threads = t->thread_count;
    snprintf(d->comm, sizeof d->comm, "%s", t->who.comm ? t->who.comm : "");
    snprintf(d->arch, sizeof d->arch, "%s", t->who.machine->name);
    snprintf(d->core, sizeof d->core, "%s", t->who.core ? t->who.core : "");
}

static struct hw_answer answer(int rc, const struct hw_error *why)
{
    return (struct hw_answer){.yes = rc == HW_OK, .why_not = *why};
}

/* All that may be asked of the kernel, whatever is going to be done. */
static void ask_kernel(int pid, const struct hw_machine *machine, struct hw_dryrun *d)
{
    struct hw_error why = {0};
    struct hw_standing standing;
    d->read = answer(hw_permission_check(pid, false, &why), &why);
    d->stop = answer(hw_permission_check(pid, true, &why), &why);
    d->snapshot = d->stop;
    d->stood = hw_standing_find(pid, &standing);
    d->held_by = d->stood ? standing.tracer : 0;
    if (d->read.yes && d->mode == HW_MODE_STOPPED && d->held_by)
        d->stop.yes = true;
    if (d->snapshot.yes)
        d->snapshot = answer(hw_snapshot_check(pid, machine, &why), &why);
}

static void foresee_allocator(struct hw_target *t, const struct hw_options *opt,
                              struct hw_dryrun_allocator *ret)
{
    struct hw_image image = {.target = t};
    struct hw_modules_options files = hw_session_files(opt);
    if (hw_modules_open(t, &files, &image.modules, &ret->why_not) != HW_OK)
        return;
    const struct hw_allocator *a = hw_allocator_detect(&image);
    if (a)
        a->foresee(&image, ret);
    else
        hw_fail(&ret->why_not, HW_ERR_NO_HEAP, "no glibc is mapped into the target");
    if (ret->why_not.code == HW_ERR_NO_HEAP)
        hw_blame_start(t, &ret->why_not);
    hw_modules_close(image.modules);
}

/* Memory that may be malloc's, as far as it is there. */
static struct hw_maybe bytes_to_read(struct hw_target *t)
{
    uint64_t bytes = 0;
    bool live = t->who.kind == HW_TARGET_LIVE;
    if (live && hw_target_find_pages(t, NULL) != HW_OK)
        return hw_pace_bytes(t);
    for (size_t i = 0; i < t->map_count; i++) {
        const struct hw_map *map = &t->maps[i];
        bool stack = map->path && strncmp(map->path, "[stack", strlen("[stack")) == 0;
        if (map->flags & HW_MAP_WRITE && hw_map_is_anonymous(map) && !stack)
            bytes += live ? map->anon_bytes : map->end - map->start;
    }
    return hw_known(bytes);
}

/* What the answers mean for the way that was asked for. */
static void decide(struct hw_target *t, struct hw_dryrun *d)
{
    const struct hw_answer *needed = d->mode == HW_MODE_RUNNING    ? &d->read
                                     : d->mode == HW_MODE_SNAPSHOT ? &d->snapshot
                                                                   : &d->stop;
    d->bytes = bytes_to_read(t);
    d->works = d->allocator.found && (!d->live || needed->yes);
    if (!d->live || !d->bytes.known)
        return;
    bool takes_long = d->mode == HW_MODE_STOPPED && hw_pace_needs_two(t, d->bytes.n);
    d->left_alone = d->stood && (d->mode == HW_MODE_RUNNING ||
                                 (d->mode == HW_MODE_STOPPED && (d->held_by || takes_long)));
    d->two_passes = takes_long && !d->left_alone;
    d->pause_ns = hw_known(d->left_alone ? 0 : (uint64_t)hw_pace_expected_ns(t, d->bytes.n));
}

static int render(const struct hw_dryrun *d, const struct hw_render_options *opt, FILE *out,
                  bool *works, struct hw_error *err)
{
    *works = d->works;
    return hw_render_dryrun(d, opt, out, err);
}

/* The answer where not even the maps of a process may be seen. */
static void describe_stranger(int pid, const struct hw_error *why, struct hw_dryrun *d)
{
    struct hw_proc_stat stat;
    if (hw_proc_stat(pid, &stat))
        snprintf(d->comm, sizeof d->comm, "%s", stat.comm);
    d->live = true;
    d->pid = pid;
    d->read = d->stop = d->snapshot = (struct hw_answer){.why_not = *why};
}

int hw_dry_run_pid(int pid, const struct hw_options *opt, const struct hw_render_options *ropt,
                   FILE *out, bool *works, struct hw_error *err)
{
    struct hw_dryrun d = {0};
    struct hw_target *t;
    struct hw_error why = {0};
    *works = false;
    int rc = hw_target_open_outline(pid, &t, &why);
    if (rc == HW_ERR_PERMISSION) {
        d.mode = opt ? opt->mode : HW_MODE_STOPPED;
        describe_stranger(pid, &why, &d);
        return render(&d, ropt, out, works, err);
    }
    if (rc == HW_OK)
        rc = hw_session_set_mode(t, opt, &why);
    if (rc == HW_OK) {
        d.mode = t->mode;
        d.max_pause_ns = t->mode == HW_MODE_STOPPED ? t->max_pause_ns : 0;
        describe(t, &d);
        ask_kernel(pid, t->who.machine, &d);
        foresee_allocator(t, opt, &d.allocator);
        decide(t, &d);
        rc = d.works ? HW_OK : hw_target_look_again(t, &why);
    }
    if (rc == HW_OK)
        rc = render(&d, ropt, out, works, &why);
    if (rc != HW_OK && err)
        *err = why;
    hw_target_close(t);
    return rc;
}

int hw_dry_run_core(const char *path, const struct hw_options *opt,
                    const struct hw_render_options *ropt, FILE *out, bool *works,
                    struct hw_error *err)
{
    struct hw_dryrun d = {.mode = HW_MODE_CORE};
    struct hw_target *t;
    *works = false;
    int rc = hw_target_open_core(path, &t, err);
    if (rc != HW_OK)
        return rc;
    describe(t, &d);
    foresee_allocator(t, opt, &d.allocator);
    if (!d.allocator.found)
        hw_blame_truncation(t, &d.allocator.why_not);
    decide(t, &d);
    rc = render(&d, ropt, out, works, err);
    hw_target_close(t);
    return rc;
}
