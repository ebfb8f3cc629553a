/*
 * Places where chunks do not fit to each other: a damaged heap, or one that changed between two
 * reads.
 *
 *     read             p [ a ][ b ......................... ]      then, later, what lies behind it
 *     meanwhile        p [ a ][ b freed, merged, cut anew: ][  ][  ]
 *     read             q = p + size(b) lies in the middle of something
 *
 * A target that stands still will say the same again. One that runs is asked again, some times:
 * what is at p, where top is, where the region ends. After that, and at once where nothing moves,
 * the walk goes on at the next place where chunks are (resync.c). What lies between is lost, and
 * counted so.
 *
 * Bounded: p never goes back, it is tried TRIES times, and the arena is read again REFRESHES times
 * at most in a region. Each new start costs some 10 KiB to search, and if all is read anew some 100
 * KiB of reading, so there are not more of them than one for each 4 or 64 KiB and some more; after
 * that only top is left to go on at.
 */
#include "alloc/glibc/walk.h"

#define TRIES            3
#define REFRESHES        64
#define STARTS           1024
#define PER_START        ((uint64_t)4 << 10)
#define PER_START_MOVING ((uint64_t)64 << 10)

bool glibc_may_start(const struct cursor *c)
{
    uint64_t per_start = glibc_moving(c->w) ? PER_START_MOVING : PER_START;
    return c->starts < STARTS + (c->p - c->region->start) / per_start;
}

static void renew(struct cursor *c)
{
    if (c->refreshes++ >= REFRESHES || c->code != HW_OK)
        return;
    c->code = glibc_read_again(c->w, c->index, c->at, c->p, c->err);
    c->region = &c->a->regions.data[c->at];
    c->heap = &c->w->report->arenas.data[c->index].heaps.data[c->at];
}

/* The header at p as it is now. False if there is none. */
static bool read_anew(struct cursor *c)
{
    hw_window_reset(&c->w->window);
    return header_at(c->w, c->p, c->region->end, &c->h);
}

bool glibc_try_again(struct cursor *c)
{
    if (!glibc_moving(c->w) || !glibc_may_start(c))
        return false;
    if (c->tried != c->p) {
        c->tried = c->p;
        c->tries = 0;
        c->starts++;
    }
    if (c->tries++ >= TRIES)
        return false;
    if (c->tries == 2)
        renew(c);
    return read_anew(c);
}

uint64_t glibc_skip(struct cursor *c, hw_addr known)
{
    hw_addr from = c->p, end = c->region->end, top = c->a->top;
    bool may = glibc_may_start(c);
    if (known >= end)
        c->p = end;
    else if (may)
        c->p = glibc_resync(c->w, c->a, c->region, known, end);
    else
        c->p = top > known && top < end ? top : end;
    c->gave_up = known < end && (!may || (c->p >= end && c->w->scan.buf && c->w->looks == 0));
    c->starts++;
    bool moving = glibc_moving(c->w);
    if (c->p < end && !(moving ? read_anew(c) : header_at(c->w, c->p, end, &c->h)))
        c->p = end;
    c->a->lost += c->p - from;
    return c->p - from;
}

bool glibc_at_top(struct cursor *c)
{
    hw_addr old = c->a->top;
    if (!glibc_moving(c->w))
        return true;
    renew(c);
    if (c->p >= c->region->end || !read_anew(c))
        return true;
    if (c->a->top == old)
        return true;
    /* It went up, or on to another heap: what is here are chunks now. Or down: what was given out
     * behind it was chunks when it was read, and the rest is taken for top. */
    bool gone_on = c->a->top > c->p || !(c->a->main || c->region->last_heap);
    if (!gone_on)
        glibc_excuse(c->w, c->a, 0);
    return !gone_on;
}

/* What a header that is not what it seems may do in harm before it is worth looking twice. */
#define LARGE       ((uint64_t)64 << 10)
#define LARGE_SHARE 256 /* of the arena, at most one part in so many */

bool glibc_is_credible(struct cursor *c)
{
    uint64_t size = chunk_size(c->h);
    if (!glibc_moving(c->w) || size < LARGE || size < c->a->system_bytes / LARGE_SHARE)
        return true;
    return glibc_is_chain(c->w, c->a, c->region, c->p + size, c->region->end);
}

bool glibc_is_damage(struct cursor *c, uint64_t bytes)
{
    return !glibc_excuse(c->w, c->a, bytes);
}
