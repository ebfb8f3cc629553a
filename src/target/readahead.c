/*
 * All that is shared between the two threads is under one mutex, but for the bytes of a batch:
 * those are of whoever has put its slot into READING, and of the caller once it is READY.
 *
 *     FREE --> READING --> READY --> FREE        stale ones go from READING to FREE
 */
#include "target/readahead.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>

/* Starting a thread costs about as much time as reading half a MiB. */
#define THREAD_WORTH ((uint64_t)4 << 20)
/* The first batch after a start: the sooner it is there, the sooner two can work. */
#define FIRST_BYTES ((size_t)64 << 10)
#define STACK_BYTES ((size_t)256 << 10)

struct slot {
    enum { FREE, READING, READY } state;
    bool stale; /* READING: nobody will want it */
    struct hw_batch batch;
};

struct hw_readahead {
    struct hw_target *target;
    struct hw_plan plan;
    size_t bytes; /* of a batch */
    uint8_t *buf;
    pthread_t thread;
    bool threaded;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct slot slots[HW_READAHEAD_BATCHES];
    unsigned slot_count;
    struct hw_place next; /* what is claimed next */
    size_t next_bytes;
    bool parked; /* where to go on is not known before the next get */
    bool gone;   /* the image is */
    bool quit;
};

/* ---- slots: all with the lock held ---------------------------------------------------------- */

static void drop(struct slot *s)
{
    if (s->state == READY)
        s->state = FREE;
    s->stale = s->state == READING;
}

static void drop_before(struct hw_readahead *r, struct hw_place place)
{
    bool some = false;
    for (unsigned i = 0; i < r->slot_count; i++) {
        struct slot *s = &r->slots[i];
        if (s->state != READY || hw_place_before(place, s->batch.to))
            continue;
        drop(s);
        some = true;
    }
    if (some)
        pthread_cond_broadcast(&r->changed);
}

static struct slot *covering(struct hw_readahead *r, struct hw_place place)
{
    for (unsigned i = 0; i < r->slot_count; i++) {
        struct slot *s = &r->slots[i];
        if (s->state != FREE && !s->stale && !hw_place_before(place, s->batch.from) &&
            hw_place_before(place, s->batch.to))
            return s;
    }
    return NULL;
}

/* A slot for the next batch, or NULL if there is no room or nothing to read. */
static struct slot *room(struct hw_readahead *r)
{
    if (r->parked || r->gone || r->next.rank >= r->plan.count)
        return NULL;
    for (unsigned i = 0; i < r->slot_count; i++)
        if (r->slots[i].state == FREE)
            return &r->slots[i];
    return NULL;
}

/* Go on at `place`. Forward, batches stay as large as they are. */
static void jump(struct hw_readahead *r, struct hw_place place)
{
    for (unsigned i = 0; i < r->slot_count; i++)
        drop(&r->slots[i]);
    if (r->parked || hw_place_before(place, r->next))
        r->next_bytes = FIRST_BYTES < r->bytes ? FIRST_BYTES : r->bytes;
    r->next = place;
    r->parked = false;
    pthread_cond_broadcast(&r->changed);
}

/* Read the next batch into a slot that is FREE. The lock is released meanwhile. */
static void read_next(struct hw_readahead *r, struct slot *s)
{
    s->state = READING;
    s->stale = false;
    hw_batch_claim(&s->batch, &r->plan, r->target, &r->next, r->next_bytes);
    r->next_bytes = r->next_bytes < r->bytes / 2 ? r->next_bytes * 2 : r->bytes;
    pthread_mutex_unlock(&r->lock);
    int rc = hw_batch_read(&s->batch, r->target, NULL);
    pthread_mutex_lock(&r->lock);
    r->gone |= rc < 0;
    s->state = s->stale ? FREE : READY;
    s->stale = false;
    pthread_cond_broadcast(&r->changed);
}

/* ---- the thread ----------------------------------------------------------------------------- */

static void *read_ahead(void *arg)
{
    struct hw_readahead *r = arg;
    pthread_mutex_lock(&r->lock);
    while (!r->quit) {
        struct slot *s = room(r);
        if (s)
            read_next(r, s);
        else
            pthread_cond_wait(&r->changed, &r->lock);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* One for each of our threads, and one that is left to the target if it runs: it would have to wait
 * for the end of a time slice, some milliseconds, again and again. */
static bool enough_cpus(const struct hw_target *t)
{
    cpu_set_t set;
    int taken = t->moving ? 2 : 1;
    /* It fails where there are more processors than fit in the set. */
    return sched_getaffinity(0, sizeof set, &set) != 0 || CPU_COUNT(&set) > taken;
}

static bool worth_a_thread(const struct hw_readahead *r)
{
    const struct hw_target *t = r->target;
    uint64_t bytes = 0;
    for (size_t i = 0; i < r->plan.count && bytes < THREAD_WORTH; i++) {
        struct hw_range range = r->plan.ranges[i];
        bytes += t->pages_known ? hw_pages_count(&t->pages, range.start, range.end).resident
                                : range.end - range.start;
    }
    return !t->read_alone && bytes >= THREAD_WORTH && enough_cpus(t);
}

static void start_thread(struct hw_readahead *r)
{
    pthread_attr_t attr;
    sigset_t all, before;
    if (pthread_attr_init(&attr) != 0)
        return;
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    sigfillset(&all);
    sigdelset(&all, SIGSYS); /* that one is always for the thread that asked for it */
    if (pthread_sigmask(SIG_SETMASK, &all, &before) == 0) {
        r->threaded = pthread_create(&r->thread, &attr, read_ahead, r) == 0;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    pthread_attr_destroy(&attr);
}

int hw_readahead_start(struct hw_target *t, const struct hw_range *ranges, size_t count,
                       size_t bytes, struct hw_readahead **ret, struct hw_error *err)
{
    *ret = NULL;
    struct hw_readahead *r = calloc(1, sizeof *r);
    if (!r)
        return hw_fail(err, HW_ERR_NOMEM, "no memory for reading ahead");
    r->target = t;
    r->bytes = bytes;
    r->next_bytes = FIRST_BYTES < bytes ? FIRST_BYTES : bytes;
    pthread_mutex_init(&r->lock, NULL); /* these two never fail on Linux */
    pthread_cond_init(&r->changed, NULL);
    int rc = hw_plan_init(&r->plan, ranges, count, err);
    bool thread = rc == HW_OK && worth_a_thread(r);
    r->slot_count = thread ? HW_READAHEAD_BATCHES : 1;
    r->buf = malloc(r->slot_count * bytes);
    if (rc == HW_OK && !r->buf)
        rc = hw_fail(err, HW_ERR_NOMEM, "no memory for reading ahead");
    if (rc != HW_OK) {
        hw_readahead_stop(r);
        return rc;
    }
    for (unsigned i = 0; i < r->slot_count; i++)
        r->slots[i].batch.buf = r->buf + i * bytes;
    if (r->plan.count)
        r->next = (struct hw_place){0, r->plan.ranges[0].start};
    if (thread)
        start_thread(r);
    *ret = r;
    return HW_OK;
}

void hw_readahead_stop(struct hw_readahead *r)
{
    if (!r)
        return;
    if (r->threaded) {
        pthread_mutex_lock(&r->lock);
        r->quit = true;
        pthread_cond_broadcast(&r->changed);
        pthread_mutex_unlock(&r->lock);
        pthread_join(r->thread, NULL);
    }
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
    hw_plan_deinit(&r->plan);
    free(r->buf);
    free(r);
}

/* ---- the caller ----------------------------------------------------------------------------- */

/* With the lock held. The slot that holds `place`, READY; NULL as hw_readahead_get(). Every turn
 * makes progress: it reads a batch, or somebody else does. */
static struct slot *get(struct hw_readahead *r, struct hw_place place, bool back)
{
    for (;;) {
        struct slot *s = covering(r, place);
        if (s && s->state == READY)
            return s;
        if (!s && !r->parked && !back && hw_place_before(place, r->next))
            return NULL;
        if (!s && (r->parked || place.rank != r->next.rank || place.addr != r->next.addr))
            jump(r, place);
        struct slot *mine = room(r);
        if (mine)
            read_next(r, mine);
        else if (s)
            pthread_cond_wait(&r->changed, &r->lock);
        else
            return NULL;
    }
}

const struct hw_batch *hw_readahead_get(struct hw_readahead *r, hw_addr addr, bool back)
{
    struct hw_place place;
    if (!hw_plan_find(&r->plan, addr, &place))
        return NULL;
    pthread_mutex_lock(&r->lock);
    drop_before(r, place);
    const struct slot *s = get(r, place, back);
    pthread_mutex_unlock(&r->lock);
    return s ? &s->batch : NULL;
}

void hw_readahead_reset(struct hw_readahead *r)
{
    pthread_mutex_lock(&r->lock);
    for (unsigned i = 0; i < r->slot_count; i++)
        drop(&r->slots[i]);
    r->parked = true;
    pthread_mutex_unlock(&r->lock);
}
