#include "inspect/blame.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void blame_truncation(const struct hw_target *t, const char *why, struct hw_error *err)
{
    char ends[96] = "";
    if (t->core_wanted)
        snprintf(ends, sizeof ends, ", it ends after %" PRIu64 " of %" PRIu64 " bytes,",
                 t->core_bytes, t->core_wanted);
    hw_fail(err, err->code,
            "the core file is truncated%s and what is needed is missing from it (%.280s)", ends,
            why);
    hw_remedy(err, "take a whole one (ulimit -c unlimited, room on the disk)");
}

/* A core that has not even the stack of a thread was written without any memory of the program's
 * own: the lowest bit of /proc/PID/coredump_filter was clear. */
static bool has_stack(struct hw_target *t)
{
    char byte;
    const struct hw_thread *th = t->thread_count ? &t->threads[0] : NULL;
    return !th || !th->regs_known || !hw_map_at(t, th->sp) ||
           hw_read(t, th->sp, &byte, 1, NULL) == 1;
}

void hw_blame_core(struct hw_target *t, struct hw_error *err)
{
    if (!err || t->who.kind != HW_TARGET_CORE)
        return;
    struct hw_error why = *err;
    if (t->unpack_flaw) {
        hw_fail(
            err, why.code,
            "the compressed core file is damaged (%.100s), and what is needed is missing from it "
            "(%.280s)",
            t->unpack_flaw, why.text);
        hw_remedy(err, "fetch it again");
    } else if (t->truncated) {
        blame_truncation(t, why.text, err);
    } else if (!has_stack(t)) {
        hw_fail(err, why.code, "the core was written without the program's private memory (%.320s)",
                why.text);
        hw_remedy(err, "have it saved: echo 0x33 > /proc/PID/coredump_filter");
    }
}

/* What is found out by asking the kernel, or does not depend on the target, is right as it is. */
static bool depends_on_the_moment(int rc)
{
    return rc != HW_OK && rc != HW_ERR_NOMEM && rc != HW_ERR_USAGE && rc != HW_ERR_PERMISSION &&
           rc != HW_ERR_HARMFUL && rc != HW_ERR_OUTPUT;
}

int hw_blame_moment(struct hw_target *t, int rc, struct hw_error *err)
{
    struct hw_error why = {0};
    if (!depends_on_the_moment(rc))
        return rc;
    bool failed_call = rc == HW_ERR_SYSTEM || rc == HW_ERR_GONE; /* not for want of a library */
    int moment = failed_call ? hw_target_check(t, &why) : hw_target_look_again(t, &why);
    if (moment != HW_OK && err)
        *err = why;
    return moment == HW_OK ? rc : moment;
}

/* The names by which glibc's dynamic linker goes: "ld-linux-x86-64.so.2", "ld-2.31.so". */
static bool is_linker_name(const char *name)
{
    return strncmp(name, "ld-linux", 8) == 0 ||
           (strncmp(name, "ld-", 3) == 0 && isdigit((unsigned char)name[3]));
}

/* The linker comes first, and maps libc when it has found it, which may take long. */
void hw_blame_start(const struct hw_target *t, struct hw_error *err)
{
    bool linker = false, libc = false;
    for (size_t i = 0; i < t->map_count; i++) {
        const char *path = t->maps[i].path, *slash = path ? strrchr(path, '/') : NULL;
        linker |= slash && is_linker_name(slash + 1);
        libc |= slash && hw_is_libc_name(slash + 1);
    }
    if (t->who.kind != HW_TARGET_LIVE || !linker || libc)
        return;
    hw_fail(err, HW_ERR_NO_HEAP,
            "pid %d is only just being started, or needs no libc: of glibc, nothing but the "
            "dynamic linker is mapped",
            t->who.pid);
    hw_remedy(err, "try again");
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

void hw_blame_missing_file(struct hw_modules *modules, struct hw_error *err)
{
    const struct hw_module *libc = libc_without_file(modules);
    if (libc) {
        hw_fail(err, HW_ERR_NO_SYMBOLS, "%s", libc->problem);
        hw_remedy(err, NAME_LIBC);
    }
}

void hw_report_missing_file(struct hw_modules *modules, struct hw_report *r)
{
    const struct hw_module *libc = libc_without_file(modules);
    if (libc && !hw_report_complete(r))
        hw_report_add(r, HW_FINDING_NOTE, -1, (struct hw_maybe){0}, (struct hw_maybe){0},
                      "%.150s; " NAME_LIBC, libc->problem);
}

/* Whether there are only zeros at `addr`, as much as a chunk header and more. */
static bool is_zero(struct hw_target *t, hw_addr addr)
{
    uint8_t bytes[64], sum = 0;
    if (hw_read_all(t, addr, bytes, sizeof bytes, NULL) != HW_OK)
        return false;
    for (size_t i = 0; i < sizeof bytes; i++)
        sum |= bytes[i];
    return sum == 0;
}

void hw_report_unread(struct hw_target *t, struct hw_report *r)
{
    for (size_t i = 0; i < r->findings.count && t->leaves_out; i++) {
        const struct hw_finding *f = &r->findings.data[i];
        if (f->kind != HW_FINDING_BAD_CHUNK || !is_zero(t, f->address.n))
            continue;
        hw_report_add(r, HW_FINDING_NOTE, f->arena, f->address, (struct hw_maybe){0},
                      "what is at %#" PRIx64
                      " are zeros: gdb's gcore saves as zeros what it cannot "
                      "read, and that is any mapping with guard pages",
                      f->address.n);
        return;
    }
}

void hw_report_wrong_exe(struct hw_modules *modules, struct hw_report *r)
{
    const char *problem = hw_modules_exe_problem(modules);
    if (problem)
        hw_report_add(r, HW_FINDING_NOTE, -1, (struct hw_maybe){0}, (struct hw_maybe){0},
                      "the executable that was named: %.220s", problem);
}

bool hw_names_no_files(const struct hw_target *t)
{
    for (size_t i = 0; i < t->map_count; i++)
        if (t->maps[i].path)
            return false;
    return t->who.kind == HW_TARGET_CORE;
}
