/*
 * A live process.
 *
 * Bytes come through process_vm_readv(), which is the fastest way, or, where that call does not
 * exist or a filter forbids it, through /proc/PID/mem. The latter is opened in any case: it asks
 * for the same permission, so that a refusal shows before the slow work on symbols begins; and it
 * stays bound to the memory of the program that was opened. When that program has ended, or has
 * executed another one, or another process has got its pid, reads of it return nothing: by that
 * live_again.c knows that we still look at the same thing.
 *
 * A main thread may end before its process. The process then lives on under its pid, but most of
 * what /proc/PID shows is gone; the directory of any other thread still has it all. `own.pid` is
 * the thread whose directory is used: the main one as long as it lives.
 */
#include "target/live.h"

#include "base/cleanup.h"
#include "target/proc.h"
#include "target/residency.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

/* Where bytes are read from now. */
static struct hw_live_memory *source(struct hw_live *l)
{
    return l->copy.pid ? &l->copy : &l->own;
}

/* ---- reading -------------------------------------------------------------------------------- */

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
            return hw_live_lost(l, err);
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

/*
 * A page or less costs half as much by way of /proc/PID/mem. But that file also shows what is
 * behind mappings of devices, where a read may do things: so only of memory that is known to be
 * plain. All of it, or nothing.
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

static size_t live_read_ranges(struct hw_target *t, const struct hw_range *ranges, size_t count,
                               void *buf)
{
    struct hw_live *l = (struct hw_live *)t;
    struct iovec there[RANGES_PER_CALL];
    size_t bytes = 0;
    if (count < 2 || count > RANGES_PER_CALL || source(l)->use_mem)
        return 0;
    for (size_t i = 0; i < count; i++) {
        size_t len = (size_t)(ranges[i].end - ranges[i].start);
        if (len > VM_CALL_MAX - bytes || (l->uncopied && readable(t, ranges[i].start, len) < len))
            return 0;
        there[i] = (struct iovec){(void *)(uintptr_t)ranges[i].start, len};
        bytes += len;
    }
    struct iovec here = {buf, bytes};
    ssize_t n = process_vm_readv(source(l)->pid, &here, 1, there, count, 0);
    return n > 0 ? (size_t)n : 0;
}

/* ---- pages ---------------------------------------------------------------------------------- */

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

int hw_live_find_pages(struct hw_target *t, struct hw_error *err)
{
    const struct hw_live *l = (const struct hw_live *)t;
    if (l->copy.pid) { /* found when it was made */
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

void hw_live_close(struct hw_target *t)
{
    struct hw_live *l = (struct hw_live *)t;
    hw_snapshot_end(l->prepared);
    hw_live_close_memory(&l->own);
}

const struct hw_target_ops hw_live_ops = {
    .read = live_read,
    .read_ranges = live_read_ranges,
    .prepare = hw_live_prepare,
    .freeze = hw_live_freeze,
    .copy = hw_live_copy,
    .thaw = hw_live_thaw,
    .let_go = hw_live_let_go,
    .open_file = hw_live_open_file,
    .find_pages = hw_live_find_pages,
    .next_data = live_next_data,
    .check = hw_live_check,
    .close = hw_live_close,
};
