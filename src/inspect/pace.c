/*
 * How a live target is walked without keeping it for long.
 *
 * A quiet moment. Some thread may just be inside malloc when the target is stopped: what it is
 * changing is then half done. The backend sees that by the locks of its arenas; it is let go and
 * stopped again a moment later, some times. In a program that is never quiet, the last stop has to
 * do.
 *
 * Two walks. A heap that is too large to be read in the time that the target may stand still is
 * read while it runs, first. Most arenas of a large program rest most of the time: once it stands
 * still, only those are walked that have changed, small ones first (schedule.h). When the time is
 * up before that is done, or would not do for the rest, the target is let go (stop.c), and the walk
 * goes on.
 *
 * (A process that job control has stopped stands still for as long as we like: it is read as it
 * is.)
 *
 *     the target       runs ...................|stands still|runs ...
 *     arena 0 (main)     |-- walked --|  X     |--walked--|
 *     arena 1                  |- walked -|    |known
 *     arena 2                       |- walked -|known         X: a thread changes it
 */
#include "inspect/pace.h"

#include "inspect/blame.h"
#include "inspect/walk.h"
#include "target/proc.h"
#include "target/standing.h"

#include <time.h>

#define TRIES 8
/* How often to read a process as it stands, which then runs on. */
#define STANDING_TRIES 3
#define NAP_MIN_NS     200000
#define NAP_MORE_NS    1800000

/* What is read in a second at least, by a machine that has other things to do, too. */
#define BYTES_PER_S INT64_C(2500000000)
/* What stopping takes, and what is asked of each thread. */
#define STOP_NS   INT64_C(500000)
#define THREAD_NS INT64_C(20000)
/* Of a fork(), which needs to copy page tables. */
#define FORK_BYTES_PER_S INT64_C(50000000000)

/* ---- how long it takes ---------------------------------------------------------------------- */

struct hw_maybe hw_pace_bytes(const struct hw_target *t)
{
    struct hw_memory memory;
    if (!hw_proc_memory(t->who.pid, &memory))
        return (struct hw_maybe){0};
    return hw_known(memory.anon_bytes);
}

int64_t hw_pace_expected_ns(const struct hw_target *t, uint64_t bytes)
{
    int64_t speed = t->mode == HW_MODE_SNAPSHOT ? FORK_BYTES_PER_S : BYTES_PER_S;
    double reading = (double)bytes / (double)speed * 1e9;
    if (t->mode == HW_MODE_RUNNING)
        return 0;
    return STOP_NS + THREAD_NS * (int64_t)t->thread_count + (int64_t)reading;
}

bool hw_pace_needs_two(const struct hw_target *t, uint64_t bytes)
{
    return t->max_pause_ns > 0 && hw_pace_expected_ns(t, bytes) > t->max_pause_ns / 2;
}

/* ---- a quiet moment ------------------------------------------------------------------------- */

/* What was done to a live target so far. */
struct pauses {
    uint64_t stops;
    int64_t all_ns, longest_ns;
};

static void thaw(struct hw_target *t, struct pauses *p)
{
    hw_target_thaw(t);
    p->all_ns += t->pause_ns;
    if (t->pause_ns > p->longest_ns)
        p->longest_ns = t->pause_ns;
}

/* Not at regular intervals: the program may have the same ones. */
static void nap(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    nanosleep(&(struct timespec){.tv_nsec = NAP_MIN_NS + now.tv_nsec % NAP_MORE_NS}, NULL);
}

/* To look for a quiet moment may take a part of the time that there is. */
static bool may_try_again(const struct hw_target *t, const struct pauses *p)
{
    return p->stops < TRIES && (t->max_pause_ns == 0 || p->all_ns < t->max_pause_ns / 8);
}

/* Freeze the target, at a quiet moment if there is any. */
static int freeze(struct hw_walking *w, struct pauses *p, struct hw_error *err)
{
    struct hw_session *s = w->session;
    struct hw_target *t = s->image.target;
    for (;;) {
        w->freeze_ns = hw_walking_clock();
        int rc = hw_target_freeze(t, err);
        if (rc != HW_OK || t->who.kind != HW_TARGET_LIVE)
            return rc;
        p->stops += t->mode != HW_MODE_RUNNING && !t->left_alone;
        if (t->mode == HW_MODE_RUNNING || t->stood || !s->allocator->busy || !may_try_again(t, p) ||
            !s->allocator->busy(s->backend))
            return HW_OK;
        thaw(t, p);
        nap();
    }
}

static void tell_pauses(const struct hw_target *t, const struct pauses *p, struct hw_report *r)
{
    if (t->who.kind != HW_TARGET_LIVE)
        return;
    r->method.pause_ns = hw_known((uint64_t)p->longest_ns);
    r->method.stops = hw_known(p->stops);
}

/* ---- one walk or two ------------------------------------------------------------------------ */

/* Whether it would be stopped for too long. */
static bool takes_long(const struct hw_target *t)
{
    if (t->who.kind != HW_TARGET_LIVE || t->mode != HW_MODE_STOPPED)
        return false;
    struct hw_maybe bytes = hw_pace_bytes(t);
    return bytes.known && hw_pace_needs_two(t, bytes.n);
}

static bool stands(const struct hw_target *t)
{
    struct hw_standing standing;
    return hw_standing_find(t->who.pid, &standing);
}

/* Walk while the target runs. *ret are the rows; NULL where it could not be read so. */
static int walk_ahead(struct hw_session *s, struct hw_walking *ahead, struct hw_report **ret,
                      struct hw_error *err)
{
    struct hw_target *t = s->image.target;
    ahead->ahead = true;
    t->mode = HW_MODE_RUNNING;
    int rc = hw_target_freeze(t, err);
    if (rc == HW_OK) {
        rc = hw_walking_run(ahead, err);
        hw_target_thaw(t);
    }
    t->mode = HW_MODE_STOPPED;
    *ret = rc == HW_OK ? ahead->report : NULL;
    return rc == HW_ERR_CORRUPT || rc == HW_ERR_FAULT ? HW_OK : rc;
}

/* The walk that counts. */
static int walk(struct hw_session *s, struct hw_walking *w, struct hw_error *err)
{
    struct hw_target *t = s->image.target;
    struct pauses pauses = {0};
    t->keep_pages = w->earlier != NULL; /* to find them takes 5 to 25 ms for each GiB */
    int rc = freeze(w, &pauses, err);
    if (rc == HW_OK) {
        rc = hw_target_copy(t, err);
        if (rc == HW_OK)
            rc = hw_walking_run(w, err);
        thaw(t, &pauses);
    }
    t->keep_pages = false;
    tell_pauses(t, &pauses, w->report);
    return rc;
}

/* Whatever takes more than to read files comes first: a caller may confine itself then. */
static int prepare(struct hw_session *s, const struct hw_walker *walker, struct hw_report *r,
                   struct hw_error *err)
{
    int rc = hw_target_prepare(s->image.target, err);
    if (rc == HW_OK && walker->holes && !s->demangler.library)
        s->demangler = hw_demangler_open();
    if (rc == HW_OK && s->confine)
        r->method.sandbox = s->confine(s->confine_arg);
    return rc;
}

static int walk_all(struct hw_session *s, const struct hw_walker *walker, struct hw_report **ret,
                    struct hw_error *err)
{
    struct hw_target *t = s->image.target;
    struct hw_walking w, ahead = {0};
    struct hw_walker nobody = {.holes = walker->holes, .holes_arena = walker->holes_arena};
    *ret = NULL;
    t->stops_do = takes_long(t);
    int rc = hw_walking_begin(&w, s, walker, err);
    if (rc == HW_OK)
        rc = prepare(s, walker, w.report, err);
    if (rc == HW_OK && t->stops_do && !walker->block && !walker->want_check && !stands(t)) {
        rc = hw_walking_begin(&ahead, s, &nobody, err);
        if (rc == HW_OK)
            rc = walk_ahead(s, &ahead, &w.earlier, err);
    }
    if (rc == HW_OK)
        rc = walk(s, &w, err);
    w.twice = w.earlier != NULL;
    if (w.twice)
        w.report->method.bytes_read += w.earlier->method.bytes_read;
    w.earlier = NULL;
    hw_walking_drop(&ahead);
    if (rc == HW_OK) {
        *ret = hw_walking_finish(&w);
    } else {
        hw_walking_drop(&w);
        hw_blame_core(t, err);
        rc = hw_blame_moment(t, rc, err);
    }
    return rc;
}

int hw_session_walk(struct hw_session *s, const struct hw_walker *walker, struct hw_report **ret,
                    struct hw_error *err)
{
    const struct hw_target *t = s->image.target;
    for (unsigned tries = 1;; tries++) {
        int rc = walk_all(s, walker, ret, err);
        bool ran_on = t->left_alone && t->moving;
        /* What a debugger lets run it traces still: we may not stop it. Blocks were told
         * already. */
        bool in_vain = (t->held_by && t->mode == HW_MODE_STOPPED) || walker->block;
        if (!ran_on || in_vain || tries == STANDING_TRIES)
            return rc;
        hw_report_destroy(*ret);
    }
}
