/*
 * Opening a live process: what it is, whether it may be read, and who it is; or only its outline,
 * for which no byte of it is read.
 */
#include "target/live.h"

#include "base/cleanup.h"
#include "target/proc.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>

static bool refused(int sys_errno)
{
    return sys_errno == EACCES || sys_errno == EPERM;
}

/* Find out what `pid` is: a process with memory, or why not. */
static int check_kind(struct hw_live *l, int pid, struct hw_error *err)
{
    char status[4096];
    struct hw_proc_stat stat;
    if (pid <= 0 || !hw_proc_text(pid, "status", status, sizeof status) ||
        !hw_proc_stat(pid, &stat)) {
        /* /proc mounted with hidepid does not show it, but a signal of 0 finds it. */
        if (pid > 0 && kill(pid, 0) != 0 && errno == EPERM)
            return hw_explain_permission(pid, "read", EPERM, err);
        return hw_fail(err, HW_ERR_NO_PROCESS, "there is no process with pid %d", pid);
    }
    const char *value = hw_status_value(status, "Tgid");
    int tgid = value ? atoi(value) : pid;
    if (tgid != pid) {
        hw_fail(err, HW_ERR_NO_PROCESS, "%d (%s) is a thread of process %d", pid, stat.comm, tgid);
        hw_remedy(err, "use the process: -p %d", tgid);
        return HW_ERR_NO_PROCESS;
    }
    if (stat.flags & HW_PF_KTHREAD)
        return hw_fail(err, HW_ERR_NO_PROCESS, "pid %d (%s) is a kernel thread: it has no heap",
                       pid, stat.comm);
    l->own.pid = hw_live_thread(pid);
    if (!l->own.pid)
        return hw_fail(err, HW_ERR_NO_PROCESS,
                       "pid %d (%s) has ended, only its parent has not noticed yet (a zombie)", pid,
                       stat.comm);
    l->start = stat.start;
    hw_live_read_auxv(l, &l->auxv);
    return HW_OK;
}

/*
 * Read the beginning of an ELF file that tells what the program is made for: of its executable, or,
 * where that cannot be opened (its file system may be gone), of the code that the kernel itself
 * maps into every program.
 */
static bool read_header(struct hw_live *l, unsigned char header[HW_ELF_START])
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/exe", l->own.pid);
    hw_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && pread(fd, header, HW_ELF_START, 0) == HW_ELF_START &&
        memcmp(header, ELFMAG, SELFMAG) == 0)
        return true;
    for (size_t i = 0; i < l->t.map_count; i++) {
        const struct hw_map *map = &l->t.maps[i];
        if (map->path && strcmp(map->path, "[vdso]") == 0)
            return l->t.ops->read(&l->t, map->start, header, HW_ELF_START, NULL) == HW_ELF_START &&
                   memcmp(header, ELFMAG, SELFMAG) == 0;
    }
    return false;
}

/* Find out what machine the program is for, and refuse it if we do not read such processes. */
static int check_machine(struct hw_live *l, struct hw_error *err)
{
    unsigned char header[HW_ELF_START];
    if (!read_header(l, header))
        return HW_OK; /* most likely as everything else here */
    const struct hw_machine *m = hw_elf_machine(header);
    if (m && m->runs_here) {
        l->t.who.machine = m;
        return HW_OK;
    }
    char arch[64];
    hw_elf_describe(header, arch, sizeof arch);
    return hw_fail(err, HW_ERR_UNSUPPORTED,
                   "pid %d is a %s: heapwalk reads x86_64 and i386 processes", l->t.who.pid, arch);
}

static int identify(struct hw_live *l, struct hw_error *err)
{
    char comm[64] = "";
    if (hw_proc_text(l->t.who.pid, "comm", comm, sizeof comm)) {
        comm[strcspn(comm, "\n")] = '\0';
        hw_clean_name(comm);
        if (!(l->t.who.comm = strdup(comm)))
            return hw_fail(err, HW_ERR_NOMEM, "out of memory");
    }
    l->t.who.exe = hw_proc_link(l->own.pid, "exe");
    return HW_OK;
}

/* The file that bytes are read by asks for the permission to. Of an outline none are read. */
static int open_memory(struct hw_live *l, struct hw_error *err)
{
    int pid = l->t.who.pid;
    if (l->t.ops == &hw_live_outline_ops) {
        l->own.pagemap = hw_live_open_pagemap(l->own.pid);
        return HW_OK;
    }
    hw_live_open_memory(&l->own, l->own.pid);
    if (l->own.mem >= 0)
        return HW_OK;
    if (refused(errno))
        return hw_explain_permission(pid, "read", errno, err);
    if (errno == ENOENT || errno == ESRCH)
        return hw_fail(err, HW_ERR_NO_PROCESS, "pid %d has ended", pid);
    return hw_fail_errno(err, HW_ERR_SYSTEM, "cannot open /proc/%d/mem", l->own.pid);
}

static int open_steps(struct hw_live *l, struct hw_error *err)
{
    int pid = l->t.who.pid;
    int rc = check_kind(l, pid, err);
    if (rc == HW_OK)
        rc = open_memory(l, err);
    if (rc == HW_OK)
        rc = hw_live_update_maps(l, err);
    if (rc == HW_ERR_PERMISSION && l->own.mem < 0)
        rc = hw_explain_permission(pid, "read", err->sys_errno, err);
    if (rc == HW_OK)
        rc = check_machine(l, err);
    if (rc == HW_OK)
        rc = identify(l, err);
    if (rc == HW_OK)
        rc = hw_live_update_threads(l, err);
    int lost = l->own.pid && rc != HW_ERR_NOMEM ? hw_live_check(&l->t, err) : HW_OK;
    if (lost == HW_OK && rc == HW_OK && l->t.map_count == 0)
        rc = hw_fail(err, HW_ERR_NO_PROCESS, "pid %d has no memory of its own", pid);
    return lost == HW_OK ? rc : lost;
}

static int open_live(int pid, const struct hw_target_ops *ops, struct hw_target **ret,
                     struct hw_error *err)
{
    struct hw_error own = {0};
    *ret = NULL;
    struct hw_live *l = calloc(1, sizeof *l);
    if (!l)
        return hw_fail(err, HW_ERR_NOMEM, "out of memory");
    l->own = l->copy = (struct hw_live_memory){.mem = -1, .pagemap = -1};
    l->t.ops = ops;
    l->t.pause_ns = l->t.thread_pause_ns = -1;
    l->t.who = (struct hw_identity){
        .kind = HW_TARGET_LIVE,
        .pid = pid,
        .machine = hw_machine(HW_X86_64),
        .page_size = (uint64_t)sysconf(_SC_PAGESIZE),
    };
    int rc = open_steps(l, err ? err : &own);
    if (rc != HW_OK) {
        hw_target_close(&l->t);
        return rc;
    }
    *ret = &l->t;
    return HW_OK;
}

int hw_target_open_live(int pid, struct hw_target **ret, struct hw_error *err)
{
    return open_live(pid, &hw_live_ops, ret, err);
}

int hw_target_open_outline(int pid, struct hw_target **ret, struct hw_error *err)
{
    return open_live(pid, &hw_live_outline_ops, ret, err);
}
