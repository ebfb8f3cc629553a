/*
 * Whether a process still is the program that was opened. When it ends, or executes another
 * program, in the middle of our work, each step fails in a way of its own; the reason is found out
 * here.
 *
 * /proc/PID/mem tells by itself: see live.c. But the child of a vfork() has the memory of its
 * parent until it executes a program, and that memory lives on; and of an outline that file is not
 * open. So the auxiliary vector is compared, too: the kernel makes one for each program that is
 * executed, with addresses in it that differ each time.
 */
#include "target/live.h"

#include "target/headroom.h"
#include "target/proc.h"

#include <string.h>
#include <unistd.h>

#define PF_EXITING 0x4ul /* in the flags of /proc/PID/stat */

/* A number can be given to another process at once; when that was started tells them apart. */
static bool has_ended(const struct hw_live *l)
{
    struct hw_proc_stat stat;
    int via = hw_live_thread(l->t.who.pid);
    if (!via || !hw_proc_stat(l->t.who.pid, &stat) || stat.start != l->start)
        return true;
    /* It loses its memory some time before it is a zombie. */
    return hw_proc_stat(via, &stat) && stat.flags & PF_EXITING;
}

void hw_live_read_auxv(struct hw_live *l, struct hw_auxv *ret)
{
    memset(ret, 0, sizeof *ret);
    if (!hw_proc_text(l->own.pid, "auxv", ret->bytes, sizeof ret->bytes))
        memset(ret, 0, sizeof *ret);
}

static bool is_known(const struct hw_auxv *auxv)
{
    static const struct hw_auxv unknown;
    return memcmp(auxv, &unknown, sizeof unknown) != 0;
}

static bool has_other_auxv(struct hw_live *l)
{
    struct hw_auxv now;
    hw_live_read_auxv(l, &now);
    return is_known(&now) && memcmp(&now, &l->auxv, sizeof now) != 0;
}

/* Whether there is memory behind the file; no matter whether there is anything to read. */
static bool is_there(const struct hw_live *l, const struct hw_live_memory *m)
{
    char byte;
    return pread(m->mem, &byte, 1, l->t.map_count ? (off_t)l->t.maps[0].start : 0) != 0;
}

int hw_live_lost(struct hw_live *l, struct hw_error *err)
{
    int pid = l->t.who.pid;
    if (has_ended(l))
        return hw_fail(err, HW_ERR_GONE, "pid %d has ended", pid);
    if (l->copy.pid) {
        hw_fail(err, HW_ERR_GONE,
                "the copy of pid %d was killed (by the kernel, if memory is short)", pid);
        hw_remedy(err, HW_WITHOUT_SNAPSHOT);
    } else {
        hw_fail(err, HW_ERR_GONE, "pid %d has just started another program (exec)", pid);
        hw_remedy(err, "try again");
    }
    return HW_ERR_GONE;
}

int hw_live_check(struct hw_target *t, struct hw_error *err)
{
    struct hw_live *l = (struct hw_live *)t;
    bool lost;
    if (l->copy.pid)
        lost = !is_there(l, &l->copy);
    else
        lost = (l->own.mem < 0 ? has_ended(l) : !is_there(l, &l->own)) || has_other_auxv(l);
    return lost ? hw_live_lost(l, err) : HW_OK;
}

/* ---- is it just being started? -------------------------------------------------------------- */

/* The next map of a file from `i` on. */
static const struct hw_map *next_file(const struct hw_map *maps, size_t count, size_t *i)
{
    while (*i < count) {
        const struct hw_map *map = &maps[(*i)++];
        if (map->path && map->path[0] == '/')
            return map;
    }
    return NULL;
}

static bool same_files(const struct hw_target *t, const hw_map_vec *now)
{
    for (size_t i = 0, k = 0;;) {
        const struct hw_map *a = next_file(t->maps, t->map_count, &i);
        const struct hw_map *b = next_file(now->data, now->count, &k);
        if (!a || !b)
            return a == b;
        if (a->start != b->start || strcmp(a->path, b->path) != 0)
            return false;
    }
}

int hw_target_look_again(struct hw_target *t, struct hw_error *err)
{
    const struct hw_live *l = (const struct hw_live *)t;
    hw_map_vec now = {0};
    int rc = hw_target_check(t, err);
    if (rc != HW_OK || t->who.kind != HW_TARGET_LIVE)
        return rc;
    /* The kernel writes it when it has mapped a program and its dynamic linker. */
    if (!is_known(&l->auxv)) {
        rc = hw_fail(err, HW_ERR_GONE, "pid %d was just being started when it was looked at",
                     t->who.pid);
        hw_remedy(err, "try again");
        return rc;
    }
    if (hw_proc_maps(l->own.pid, &now, NULL) != HW_OK)
        return rc;
    if (!same_files(t, &now)) {
        rc = hw_fail(err, HW_ERR_GONE, "pid %d was loading its libraries when they were looked at",
                     t->who.pid);
        hw_remedy(err, "try again");
    }
    hw_map_vec_free(&now);
    return rc;
}
