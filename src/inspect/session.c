/*
 * From PID or core to a report:
 *
 *     open target -> modules -> detect allocator -> its roots and layout      hw_open_*()
 *     -> [freeze] -> walk, analyses listening -> [thaw] -> finish -> report   pace.c, walk.c
 *
 * All symbol work is done before the freeze, all formatting after the thaw.
 */
#include "inspect/session.h"

#include "inspect/blame.h"
#include "target/snapshot.h"

#include <unistd.h>

void hw_close(struct hw_session *s)
{
    if (!s)
        return;
    if (s->allocator)
        s->allocator->close(s->backend);
    hw_vec_free(&s->foreign);
    hw_demangler_close(&s->demangler);
    hw_modules_close(s->image.modules);
    hw_target_close(s->image.target);
    free(s);
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
    } else if (hw_names_no_files(s->image.target)) {
        rc = hw_fail(
            err, HW_ERR_UNSUPPORTED,
            "the core does not tell which files were mapped where (it has no NT_FILE note, nor the "
            "dynamic linker's list), so libc cannot be found in it");
        hw_remedy(err, "the kernel and gdb write that note; qemu-user does not");
        return rc;
    } else {
        rc = hw_fail(err, HW_ERR_NO_HEAP, "no glibc is mapped into the target");
        hw_remedy(err, "heapwalk reads the heaps of glibc's malloc; this program uses none");
    }
    if (rc == HW_ERR_NO_HEAP) {
        hw_blame_start(s->image.target, err);
        return hw_foreign_explain(&s->foreign, s->image.target, err);
    }
    if (rc == HW_ERR_NO_SYMBOLS)
        hw_blame_missing_file(s->image.modules, err);
    return rc;
}

struct hw_modules_options hw_session_files(const struct hw_options *opt)
{
    if (!opt)
        return (struct hw_modules_options){0};
    return (struct hw_modules_options){.exe = opt->exe,
                                       .libc = opt->libc,
                                       .sysroot = opt->sysroot,
                                       .debuginfo_path = opt->debuginfo_path};
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
    s->progress = opt ? opt->progress : NULL;
    s->progress_arg = opt ? opt->progress_arg : NULL;
    s->confine = opt ? opt->confine : NULL;
    s->confine_arg = opt ? opt->confine_arg : NULL;
    target->read_alone = opt && opt->read_alone;
    struct hw_modules_options mopt = hw_session_files(opt);
    int rc = hw_modules_open(target, &mopt, &s->image.modules, err);
    if (rc == HW_OK)
        rc = open_allocator(s, err);
    if (rc == HW_OK) {
        *ret = s;
        return HW_OK;
    }
    hw_blame_core(target, err);
    rc = hw_blame_moment(target, rc, err);
    hw_close(s);
    return rc;
}

int hw_session_set_mode(struct hw_target *t, const struct hw_options *opt, struct hw_error *err)
{
    if (opt && opt->mode == HW_MODE_CORE)
        return hw_fail(err, HW_ERR_USAGE, "a live process cannot be read in mode '%s'",
                       hw_mode_name(opt->mode));
    if (opt && opt->max_pause_ns < 0)
        return hw_fail(err, HW_ERR_USAGE, "a pause cannot be shorter than none");
    t->mode = opt ? opt->mode : HW_MODE_STOPPED;
    t->max_pause_ns = opt ? opt->max_pause_ns : 0;
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
    rc = hw_session_set_mode(target, opt, err);
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

static int tell_listener(void *ctx, const struct hw_report *r, const struct hw_block *b)
{
    const struct hw_listener *listener = ctx;
    (void)r;
    return listener->block(b, listener->arg);
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
    struct hw_walker walker = {.block = listener->block ? tell_listener : NULL,
                               .ctx = (void *)(uintptr_t)listener,
                               .want_bins = listener->want_bins,
                               .want_lists = listener->want_lists,
                               .want_check = listener->check,
                               .holes = listener->holes,
                               .holes_arena = listener->only_arena ? listener->arena : -1,
                               .sample_bytes = listener->sample_bytes};
    return hw_session_walk(s, &walker, ret, err);
}
