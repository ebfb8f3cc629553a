/*
 * A live process.
 *
 * Bytes come through process_vm_readv(), which is the fastest way, or, where that call does not
 * exist or a filter forbids it, through /proc/PID/mem. The latter is opened in any case: it asks
 * for the same permission, so that a refusal shows before the slow work on symbols begins; and it
 * stays bound to the memory of the program that was opened. When that program has ended, or has
 * executed another one, or another process has got its pid, reads of it return nothing: that is
 * how freeze() knows that it still looks at the same thing.
 *
 * A main thread may end before its process. The process then lives on under its pid, but most of
 * what /proc/PID shows is gone; the directory of any other thread still has it all. `own.pid` is
 * the thread whose directory is used: the main one as long as it lives.
 */
#include "target/live.h"

#include "base/cleanup.h"
#include "target/proc.h"
#include "target/residency.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/uio.h>

/* Where bytes are read from now. */
static struct hw_live_memory *source(struct hw_live *l)
{
    return l->copy.pid ? &l->copy : &l->own;
}

/* ---- reading --------------------------------------------------------------------------------- */

static ssize_t gone(const struct hw_live *l, struct hw_error *err)
{
    return hw_fail(err, HW_ERR_GONE, "pid %d ended while it was read", l->t.who.pid);
}

/*
 * How much of a range may be read by way of /proc/PID/mem. That file shows memory even where the
 * process itself may not look (PROT_NONE), and shows zeros where nothing was ever written: for
 * us those places are holes, as they are for process_vm_readv().
 */
static size_t readable(const struct hw_target *t, hw_addr addr, size_t len)
{
    hw_addr end = addr + len;
    for (hw_addr at = addr; at < end;) {
        const struct hw_map *map = hw_map_at(t, at);
        if (!map)
            break; /* maybe newer than our maps: the kernel knows */
        if (!(map->flags & HW_MAP_READ) || (map->flags & HW_MAP_UNCOPIED))
            return (size_t)(at - addr);
        at = map->end;
    }
    return len;
}

static ssize_t read_mem(struct hw_live *l, hw_addr addr, void *buf, size_t len,
                        struct hw_error *err)
{
    int mem = source(l)->mem;
    if (addr > INT64_MAX)
        return 0;
    len = readable(&l->t, addr, len);
    size_t done = 0;
    while (done < len) {
        ssize_t n = pread(mem, (char *)buf + done, len - done, (off_t)(addr + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0 && done == 0)
            return gone(l, err);
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

/*
 * A page or less costs half as much by way of /proc/PID/mem. But that file also shows what is behind
 * mappings of devices, where a read may do things: so only of memory that is known to be plain. All
 * of it, or nothing.
 */
#define SMALL_BYTES ((size_t)4 << 10)

static bool read_small(struct hw_live *l, hw_addr addr, void *buf, size_t len)
{
    const struct hw_map *map = len <= SMALL_BYTES ? hw_map_at(&l->t, addr) : NULL;
    if (!map || len > map->end - addr || (map->path && strcmp(map->path, "[heap]") != 0) ||
        !(map->flags & HW_MAP_READ) || (map->flags & HW_MAP_UNCOPIED))
        return false;
    return pread(source(l)->mem, buf, len, (off_t)addr) == (ssize_t)len;
}

/* One call takes at most 2 GiB, and it stops short only where a page cannot be read. */
#define VM_CALL_MAX ((size_t)1 << 30)

static ssize_t live_read(struct hw_target *t, hw_addr addr, void *buf, size_t len,
                         struct hw_error *err)
{
    struct hw_live *l = (struct hw_live *)t;
    struct hw_live_memory *from = source(l);
    size_t done = 0;
    if (read_small(l, addr, buf, len))
        return (ssize_t)len;
    if (l->uncopied)
        len = readable(t, addr, len);
    while (done < len && !from->use_mem) {
        size_t part = len - done < VM_CALL_MAX ? len - done : VM_CALL_MAX;
        struct iovec to = {(char *)buf + done, part};
        struct iovec range = {(void *)(uintptr_t)(addr + done), part};
        ssize_t n = process_vm_readv(from->pid, &to, 1, &range, 1, 0);
        if (n > 0)
            done += (size_t)n;
        if (n == (ssize_t)part)
            continue;
        if (n >= 0 || errno == EFAULT || errno == EINVAL || done > 0)
            return (ssize_t)done;
        if (errno == ENOMEM)
            return hw_fail_errno(err, HW_ERR_NOMEM, "cannot read pid %d", t->who.pid);
        /* ESRCH is the end of that one thread; whether the memory is gone, /proc/PID/mem tells. */
        from->use_mem = true;
    }
    return from->use_mem ? read_mem(l, addr, buf, len, err) : (ssize_t)done;
}

#define RANGES_PER_CALL 512

/* All of the ranges by one call, or as much as comes before what cannot be read; 0 if it has to be
 * done one by one, to find out why. */
static size_t read_at_once(struct hw_live *l, const struct hw_range *ranges, size_t count,
                           void *buf)
{
    struct iovec there[RANGES_PER_CALL];
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        size_t len = (size_t)(ranges[i].end - ranges[i].start);
        if (len > VM_CALL_MAX - bytes ||
            (l->uncopied && readable(&l->t, ranges[i].start, len) < len))
            return 0;
        there[i] = (struct iovec){(void *)(uintptr_t)ranges[i].start, len};
        bytes += len;
    }
    struct iovec here = {buf, bytes};
    ssize_t n = process_vm_readv(source(l)->pid, &here, 1, there, count, 0);
    return n > 0 ? (size_t)n : 0;
}

static ssize_t live_read_ranges(struct hw_target *t, const struct hw_range *ranges, size_t count,
                                void *buf, struct hw_error *err)
{
    struct hw_live *l = (struct hw_live *)t;
    if (count > 1 && count <= RANGES_PER_CALL && !source(l)->use_mem) {
        size_t n = read_at_once(l, ranges, count, buf);
        if (n > 0)
            return (ssize_t)n;
    }
    size_t done = 0;
    for (size_t i = 0; i < count; i++) {
        size_t len = (size_t)(ranges[i].end - ranges[i].start);
        ssize_t n = live_read(t, ranges[i].start, (char *)buf + done, len, err);
        if (n < 0)
            return done ? (ssize_t)done : n;
        done += (size_t)n;
        if ((size_t)n < len)
            break;
    }
    return (ssize_t)done;
}

/* ---- pages ------------------------------------------------------------------------------------ */

/* Bit 63: in RAM, bit 62: swapped out (Documentation/admin-guide/mm/pagemap.rst). */
#define PAGEMAP_HAS_DATA (UINT64_C(3) << 62)

/* Make the block of pagemap entries at hand the one that begins with the page of `addr`. */
static void load_pagemap(struct hw_live *l, hw_addr addr)
{
    uint64_t page = l->t.who.page_size;
    ssize_t n = pread(source(l)->pagemap, l->entries, sizeof l->entries,
                      (off_t)(addr / page * sizeof *l->entries));
    l->entries_base = addr / page * page;
    l->entries_count = n > 0 ? (size_t)n / sizeof *l->entries : 0;
}

static int live_find_pages(struct hw_target *t, struct hw_error *err)
{
    const struct hw_live *l = (const struct hw_live *)t;
    if (l->snapshot) { /* found when it was taken */
        if (l->pages_rc != HW_OK && err)
            *err = l->pages_error;
        return l->pages_rc;
    }
    if (l->own.pagemap < 0)
        return hw_fail(err, HW_ERR_PERMISSION, "/proc/%d/pagemap may not be read", t->who.pid);
    if (!hw_proc_memory(l->own.pid, &t->memory))
        return hw_fail(err, HW_ERR_SYSTEM, "/proc/%d/status does not tell its memory", t->who.pid);
    struct hw_residency_source pages = {.pagemap = l->own.pagemap,
                                        .swap_used = t->memory.swap_bytes > 0};
    t->pages.page_size = t->who.page_size;
    int rc = hw_residency_read(&pages, t->maps, t->map_count, &t->pages, err);
    if (rc == HW_OK)
        t->memory.locks_known = hw_residency_locks(&t->memory, &t->pages);
    return rc;
}

static hw_addr live_next_data(struct hw_target *t, hw_addr addr, hw_addr end, uint64_t *budget)
{
    struct hw_live *l = (struct hw_live *)t;
    uint64_t page = t->who.page_size;
    if (source(l)->pagemap < 0)
        return addr;
    while (addr < end && *budget) {
        if (addr < l->entries_base || (addr - l->entries_base) / page >= l->entries_count)
            load_pagemap(l, addr);
        if (l->entries_count == 0 || /* the kernel does not tell */
            (l->entries[(addr - l->entries_base) / page] & PAGEMAP_HAS_DATA))
            return addr;
        hw_addr next = addr / page * page + page;
        --*budget;
        if (next < addr)
            return end;
        addr = next;
    }
    return end;
}

static void live_close(struct hw_target *t)
{
    struct hw_live *l = (struct hw_live *)t;
    hw_live_close_memory(&l->own);
}

static const struct hw_target_ops live_ops = {
    .read = live_read,
    .read_ranges = live_read_ranges,
    .freeze = hw_live_freeze,
    .thaw = hw_live_thaw,
    .open_file = hw_live_open_file,
    .find_pages = live_find_pages,
    .next_data = live_next_data,
    .close = live_close,
};

/* ---- opening --------------------------------------------------------------------------------- */

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
            return live_read(&l->t, map->start, header, HW_ELF_START, NULL) == HW_ELF_START &&
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

static int open_memory(struct hw_live *l, struct hw_error *err)
{
    int pid = l->t.who.pid;
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
    if (rc == HW_OK)
        rc = check_machine(l, err);
    if (rc == HW_OK)
        rc = identify(l, err);
    if (rc == HW_OK)
        rc = hw_live_update_threads(l, err);
    if (rc == HW_ERR_GONE)
        rc = hw_fail(err, HW_ERR_NO_PROCESS, "pid %d has ended", pid);
    else if (rc == HW_OK && l->t.map_count == 0)
        rc = hw_fail(err, HW_ERR_NO_PROCESS, "pid %d has no memory of its own", pid);
    return rc;
}

int hw_target_open_live(int pid, struct hw_target **ret, struct hw_error *err)
{
    *ret = NULL;
    struct hw_live *l = calloc(1, sizeof *l);
    if (!l)
        return hw_fail(err, HW_ERR_NOMEM, "out of memory");
    l->own = l->copy = (struct hw_live_memory){.mem = -1, .pagemap = -1};
    l->t.ops = &live_ops;
    l->t.pause_ns = l->t.thread_pause_ns = -1;
    l->t.who = (struct hw_identity){
        .kind = HW_TARGET_LIVE,
        .pid = pid,
        .machine = hw_machine(HW_X86_64),
        .page_size = (uint64_t)sysconf(_SC_PAGESIZE),
    };
    int rc = open_steps(l, err);
    if (rc != HW_OK) {
        hw_target_close(&l->t);
        return rc;
    }
    *ret = &l->t;
    return HW_OK;
}
