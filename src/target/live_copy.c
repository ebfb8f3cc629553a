/*
 * Reading a live process by way of a copy of it.
 *
 * What takes time is done after the target runs again. The fork itself takes 13 to 22 ms for each
 * GiB of small pages; counting its pages takes half of that again, so they are counted in the copy,
 * which has all private pages as they were. Under the stop we only ask of each map whether it has
 * any: by that, maps are known which the program keeps out of its children. Those are holes, as in
 * the copy there is nothing or, worse, zeros.
 *
 * Pages of files and of shared memory are in no copy; they are counted in the process, later. They
 * are not of the heap.
 */
#include "target/live.h"

#include "base/cleanup.h"
#include "target/headroom.h"
#include "target/proc.h"
#include "target/residency.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

int hw_live_open_pagemap(int pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/pagemap", pid);
    return open(path, O_RDONLY | O_CLOEXEC);
}

/*
 * A descriptor of that file which whoever started us had open: a debugger may read what it holds
 * where its children may not (Yama, ptrace_scope 1), and passes its right on. Else -1, and errno as
 * it was.
 */
static int inherited(const char *path)
{
    int refused = errno, found = -1;
    DIR *own = opendir("/proc/self/fd");
    for (const struct dirent *entry; own && found < 0 && (entry = readdir(own)) != NULL;) {
        char link[64];
        ssize_t n = readlinkat(dirfd(own), entry->d_name, link, sizeof link - 1);
        link[n > 0 ? n : 0] = '\0';
        if (strcmp(link, path) == 0)
            found = fcntl(atoi(entry->d_name), F_DUPFD_CLOEXEC, 0);
    }
    if (own)
        closedir(own);
    errno = refused;
    return found;
}

void hw_live_open_memory(struct hw_live_memory *m, int pid)
{
    char path[64];
    *m = (struct hw_live_memory){.pid = pid, .pagemap = -1};
    snprintf(path, sizeof path, "/proc/%d/mem", pid);
    m->mem = open(path, O_RDONLY | O_CLOEXEC);
    if (m->mem < 0 && (errno == EACCES || errno == EPERM))
        m->mem = inherited(path);
    if (m->mem < 0)
        return;
    m->pagemap = hw_live_open_pagemap(pid); /* can be done without */
}

void hw_live_close_memory(struct hw_live_memory *m)
{
    if (m->mem >= 0)
        close(m->mem);
    if (m->pagemap >= 0)
        close(m->pagemap);
    *m = (struct hw_live_memory){.mem = -1, .pagemap = -1};
}

/* Where the kernel's own code is, among which there is a `syscall` instruction. */
static struct hw_code_range vdso(const struct hw_target *t)
{
    for (size_t i = 0; i < t->map_count; i++)
        if (t->maps[i].path && strcmp(t->maps[i].path, "[vdso]") == 0)
            return (struct hw_code_range){t->maps[i].start, t->maps[i].end};
    return (struct hw_code_range){0};
}

/* Under the stop. */
static int probe_pages(struct hw_live *l, bool *was_there, struct hw_error *err)
{
    struct hw_target *t = &l->t;
    if (l->own.pagemap < 0)
        return hw_fail(err, HW_ERR_PERMISSION, "/proc/%d/pagemap may not be read", t->who.pid);
    if (!hw_proc_memory(l->own.pid, &t->memory))
        return hw_fail(err, HW_ERR_SYSTEM, "/proc/%d/status does not tell its memory", t->who.pid);
    struct hw_residency_source source = {.pagemap = l->own.pagemap,
                                         .swap_used = t->memory.swap_bytes > 0};
    return hw_residency_probe(&source, t->maps, t->map_count, was_there, err);
}

/* In the copy. */
static int count_pages(struct hw_live *l, const bool *was_there, struct hw_error *err)
{
    struct hw_target *t = &l->t;
    struct hw_memory now;
    if (l->copy.pagemap < 0)
        return hw_fail(err, HW_ERR_PERMISSION, "/proc/%d/pagemap may not be read", l->copy.pid);
    bool swap_used = t->memory.swap_bytes || (hw_proc_memory(l->copy.pid, &now) && now.swap_bytes);
    struct hw_residency_source source = {.pagemap = l->own.pagemap,
                                         .swap_used = swap_used,
                                         .was_there = was_there,
                                         .copy = l->copy.pagemap};
    t->pages.page_size = t->who.page_size;
    int rc = hw_residency_read(&source, t->maps, t->map_count, &t->pages, err);
    if (rc == HW_OK)
        t->memory.locks_known = hw_residency_locks(&t->memory, &t->pages);
    for (size_t i = 0; i < t->map_count; i++)
        l->uncopied |= (t->maps[i].flags & HW_MAP_UNCOPIED) != 0;
    return rc;
}

static int open_copy(struct hw_live *l, int pid, struct hw_error *err)
{
    hw_live_open_memory(&l->copy, pid);
    l->copy.use_mem = l->own.use_mem;
    l->entries_count = 0;
    if (l->copy.mem >= 0)
        return HW_OK;
    if (errno == ENOENT || errno == ESRCH)
        return hw_live_lost(l, err);
    hw_fail_errno(err, HW_ERR_PERMISSION, "the copy of pid %d may not be read", l->t.who.pid);
    hw_remedy(err, "%s", HW_WITHOUT_SNAPSHOT);
    return HW_ERR_PERMISSION;
}

int hw_live_copy(struct hw_target *t, struct hw_error *err)
{
    int copy;
    struct hw_live *l = (struct hw_live *)t;
    if (!l->snapshot)
        return HW_OK;
    hw_autofree bool *was_there = calloc(t->map_count + 1, sizeof *was_there);
    if (!was_there)
        return hw_fail(err, HW_ERR_NOMEM, "out of memory");
    l->uncopied = false;
    l->pages_rc = probe_pages(l, was_there, &l->pages_error);
    l->taken = true;
    int rc = hw_snapshot_take(l->snapshot, vdso(t), &copy, err);
    if (rc == HW_OK)
        rc = open_copy(l, copy, err);
    if (rc == HW_OK && l->pages_rc == HW_OK)
        l->pages_rc = count_pages(l, was_there, &l->pages_error);
    return rc;
}

void hw_live_copy_drop(struct hw_live *l)
{
    hw_live_close_memory(&l->copy);
    l->entries_count = 0;
    l->uncopied = false;
    struct hw_snapshot_cost cost = hw_snapshot_end(l->snapshot);
    l->snapshot = NULL;
    l->t.pause_ns = cost.pause_ns;
    l->t.thread_pause_ns = cost.thread_pause_ns;
    l->t.zombie = cost.zombie ? cost.zombie : l->t.zombie;
}
