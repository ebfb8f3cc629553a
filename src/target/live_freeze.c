/*
 * A live process at one moment: its maps and threads, and whether it stands still meanwhile.
 *
 *     STOPPED    stop.c       all threads are stopped by ptrace, and have registers
 *     SNAPSHOT   snapshot.c   the same, until a copy is made of it, to be read then (live_copy.c)
 *     RUNNING    tcb.c        nothing is done to it. Its thread pointers are looked for in memory,
 *                             as nobody can ask a running thread for them; nor one that did not
 *                             stop in time
 *
 * One that stands still already, held by a debugger or stopped by job control, is read like a
 * RUNNING one, and stands still all the same (standing.c).
 */
#include "target/live.h"

#include "target/proc.h"
#include "target/tcb.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define STOP_LIMIT_NS INT64_C(1000000000)

/* ---- what it is made of --------------------------------------------------------------------- */

int hw_live_thread(int pid)
{
    if (!hw_proc_thread_ended(pid, pid))
        return pid;
    hw_tid_vec tids = {0};
    int found = 0;
    if (hw_proc_tids(pid, &tids))
        for (size_t i = 0; i < tids.count && !found; i++)
            if (!hw_proc_thread_ended(pid, tids.data[i]))
                found = tids.data[i];
    hw_vec_free(&tids);
    return found;
}

/* Where pages were found before, and are kept: what is known of maps that are still there. */
static void keep_counts(const struct hw_target *t, hw_map_vec *maps)
{
    for (size_t i = 0; i < maps->count && t->pages_known; i++) {
        struct hw_map *map = &maps->data[i];
        const struct hw_map *old = hw_map_at(t, map->start);
        if (!old || old->start != map->start || old->end != map->end)
            map->flags |= HW_MAP_CHANGED;
        if (!old || old->start != map->start)
            continue;
        map->anon_bytes = old->anon_bytes;
        map->file_bytes = old->file_bytes;
        map->swapped_bytes = old->swapped_bytes;
    }
}

int hw_live_update_maps(struct hw_live *l, struct hw_error *err)
{
    int via = hw_live_thread(l->t.who.pid);
    if (!via)
        return hw_fail(err, HW_ERR_GONE, "pid %d has ended", l->t.who.pid);
    if (via != l->own.pid)
        l->own.use_mem = false; /* it may have been for want of the old one */
    l->own.pid = via;
    hw_map_vec maps = {0};
    int rc = hw_proc_maps(l->own.pid, &maps, err);
    if (rc != HW_OK)
        return rc;
    keep_counts(&l->t, &maps);
    hw_target_take_maps(&l->t, &maps);
    return hw_live_check(&l->t, err);
}

/* The registers of a stopped thread, or NULL; `known` is sorted by tid. */
static const struct hw_thread *find_thread(const struct hw_thread *known, size_t count, int tid)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (known[mid].tid == tid)
            return &known[mid];
        if (known[mid].tid < tid)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

/* The threads there are, with registers where they are stopped. Those of a running process may have
 * ended; `ended_too` leaves it open, as to find out takes longer than all else here. */
static int list_threads(struct hw_live *l, bool ended_too, hw_thread_vec *ret, struct hw_error *err)
{
    size_t known_count = 0;
    const struct hw_thread *known = l->stop       ? hw_stop_threads(l->stop, &known_count)
                                    : l->snapshot ? hw_snapshot_threads(l->snapshot, &known_count)
                                                  : NULL;
    int pid = l->t.who.pid;
    hw_tid_vec tids = {0};
    int rc = HW_OK;
    if (!hw_proc_tids(pid, &tids))
        rc = errno == ENOMEM ? hw_fail(err, HW_ERR_NOMEM, "out of memory")
                             : hw_fail(err, HW_ERR_GONE, "pid %d has ended", pid);
    for (size_t i = 0; i < tids.count && rc == HW_OK; i++) {
        int tid = tids.data[i];
        const struct hw_thread *th = find_thread(known, known_count, tid);
        if (!th && !ended_too && hw_proc_thread_ended(pid, tid))
            continue;
        if (!hw_vec_push(ret, th ? *th : (struct hw_thread){.tid = tid}))
            rc = hw_fail(err, HW_ERR_NOMEM, "out of memory");
    }
    hw_vec_free(&tids);
    return rc;
}

/* Threads whose pointers were not found have ended, mostly. */
static void drop_ended(struct hw_target *t)
{
    size_t kept = 0;
    for (size_t i = 0; i < t->thread_count; i++)
        if (t->threads[i].tp || !hw_proc_thread_ended(t->who.pid, t->threads[i].tid))
            t->threads[kept++] = t->threads[i];
    t->thread_count = kept;
}

int hw_live_update_threads(struct hw_live *l, struct hw_error *err)
{
    hw_thread_vec threads = {0};
    int rc = list_threads(l, l->t.moving, &threads, err);
    if (rc == HW_OK)
        hw_target_take_threads(&l->t, &threads);
    hw_vec_free(&threads);
    if (rc != HW_OK || (!l->t.moving && !l->t.left_alone && !l->t.missed_threads))
        return rc;
    rc = hw_find_thread_pointers(&l->t, HW_TCB_QUICK, err);
    drop_ended(&l->t);
    return rc;
}

/* ---- who did not stop ----------------------------------------------------------------------- */

/*
 * A thread that was told to stop and has not, as it sleeps in the kernel or waits for a processor,
 * will do so before its next instruction in user mode: until it is let go it can end its system
 * call, and no more. So the heap is safe from it, unless that call starts others, whom nobody told
 * to stop: a thread, or the child of a vfork(), which has the same memory.
 */
static bool may_have_vforked(int pid, int tid)
{
    static const long calls[] = {56, 58, 435, 120, 190}; /* clone, vfork, clone3; so on i386 */
    char file[32], text[256];
    snprintf(file, sizeof file, "task/%d/syscall", tid);
    if (!hw_proc_text(pid, file, text, sizeof text))
        return !hw_proc_thread_ended(pid, tid);
    char *end;
    long number = strtol(text, &end, 10);
    bool found = false; /* "running" is not waiting for a child */
    for (size_t i = 0; i < sizeof calls / sizeof *calls && end != text; i++)
        found |= number == calls[i];
    return found;
}

static bool any_may_have_vforked(const struct hw_target *t)
{
    for (size_t i = 0; i < t->thread_count && t->missed_threads; i++)
        if (!t->threads[i].regs_known && may_have_vforked(t->who.pid, t->threads[i].tid))
            return true;
    return false;
}

static bool has_new_thread(const struct hw_target *t)
{
    hw_tid_vec tids = {0};
    int pid = t->who.pid;
    bool started = t->missed_threads && !hw_proc_tids(pid, &tids);
    for (size_t i = 0; i < tids.count && !started; i++)
        started = !find_thread(t->threads, t->thread_count, tids.data[i]) &&
                  !hw_proc_thread_ended(pid, tids.data[i]);
    hw_vec_free(&tids);
    return started;
}

/* ---- standing still ------------------------------------------------------------------------- */

static int stop(struct hw_live *l, struct hw_error *err)
{
    struct hw_target *t = &l->t;
    struct hw_stop_limits limits = {
        .wait_ns = STOP_LIMIT_NS, .pause_ns = t->max_pause_ns, .let_go = &t->moving};
    int rc = hw_stop_all(t->who.pid, t->who.machine, limits, &l->stop, err);
    if (rc == HW_OK)
        t->missed_threads = hw_stop_missed(l->stop);
    return rc;
}

int hw_live_prepare(struct hw_target *t, struct hw_error *err)
{
    struct hw_live *l = (struct hw_live *)t;
    if (t->mode != HW_MODE_SNAPSHOT || l->prepared)
        return HW_OK;
    return hw_snapshot_prepare(t->who.pid, t->who.machine, STOP_LIMIT_NS, &l->prepared, err);
}

static int begin_snapshot(struct hw_live *l, struct hw_error *err)
{
    int rc = hw_snapshot_check(l->t.who.pid, l->t.who.machine, err);
    if (rc == HW_OK)
        rc = hw_live_prepare(&l->t, err);
    if (rc != HW_OK)
        return rc;
    l->snapshot = l->prepared;
    l->prepared = NULL;
    l->taken = false;
    rc = hw_snapshot_begin(l->snapshot, err);
    if (rc != HW_OK)
        hw_live_copy_drop(l);
    if (rc == HW_ERR_PERMISSION && l->t.held_by)
        hw_remedy(err, "do without --snapshot: -p alone reads it as it stands");
    return rc;
}

/* There is no copy: what holds the target is kept for the next time. */
static void let_go_uncopied(struct hw_live *l)
{
    l->t.pause_ns = hw_snapshot_let_go(l->snapshot);
    l->prepared = l->snapshot;
    l->snapshot = NULL;
}

/* Who runs not may be left alone where nobody is to be stopped, and must be where somebody else
 * traces it. */
static void look_at_standing(struct hw_live *l)
{
    struct hw_target *t = &l->t;
    t->stood = hw_standing_find(t->who.pid, &l->standing);
    t->held_by = t->stood ? l->standing.tracer : 0;
    t->left_alone = t->stood && (t->mode == HW_MODE_RUNNING ||
                                 (t->mode == HW_MODE_STOPPED && (t->held_by || t->stops_do)));
}

int hw_live_freeze(struct hw_target *t, struct hw_error *err)
{
    struct hw_live *l = (struct hw_live *)t;
    t->missed_threads = 0;
    t->thread_pause_ns = -1;
    look_at_standing(l);
    t->moving = t->mode == HW_MODE_RUNNING && !t->left_alone;
    int rc = t->moving || t->left_alone    ? HW_OK
             : t->mode == HW_MODE_SNAPSHOT ? begin_snapshot(l, err)
                                           : stop(l, err);
    if (rc != HW_OK)
        return rc;
    l->entries_count = 0; /* what was read before is out of date */
    rc = hw_live_update_maps(l, err);
    if (rc == HW_OK)
        rc = hw_live_update_threads(l, err);
    t->missed_start = any_may_have_vforked(t);
    if (rc != HW_OK)
        hw_live_thaw(t);
    return rc;
}

void hw_live_thaw(struct hw_target *t)
{
    struct hw_live *l = (struct hw_live *)t;
    if (t->left_alone && !hw_standing_holds(t->who.pid, &l->standing))
        t->moving = true;
    if (!t->moving)
        t->missed_start |= any_may_have_vforked(t) || has_new_thread(t);
    if (l->snapshot && l->taken) {
        hw_live_copy_drop(l);
    } else if (l->snapshot) {
        let_go_uncopied(l);
    } else {
        t->pause_ns = hw_stop_release(l->stop);
        l->stop = NULL;
    }
    for (size_t i = 0; i < t->thread_count; i++)
        t->threads[i] = (struct hw_thread){.tid = t->threads[i].tid};
}

void hw_live_let_go(struct hw_target *t)
{
    struct hw_live *l = (struct hw_live *)t;
    if (l->stop)
        hw_stop_let_go(l->stop);
}
