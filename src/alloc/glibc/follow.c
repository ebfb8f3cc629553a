#include "alloc/glibc/follow.h"

#include "alloc/glibc/glibc.h"

/* As many ranges as one call takes. */
#define PLACES HW_BATCH_RUNS

/* So many lists, or more, are worth a call of their own in each round. */
#define FEW 8

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

void glibc_read_places(struct hw_target *t, const hw_addr *at, size_t count, size_t len,
                       uint8_t *buf, bool *there)
{
    struct hw_range ranges[PLACES];
    for (size_t done = 0; done < count;) {
        size_t n = least(count - done, PLACES);
        for (size_t i = 0; i < n; i++)
            ranges[i] = (struct hw_range){at[done + i], at[done + i] + len};
        ssize_t got = hw_read_ranges(t, ranges, n, buf + done * len, NULL);
        size_t whole = got > 0 ? (size_t)got / len : 0;
        for (size_t i = 0; i < n; i++)
            there[done + i] = i < whole;
        done += whole < n ? whole + 1 : n; /* past the one that is not there */
    }
}

/* After so many short steps in a row it is worth to read ahead. Few lists are as long, but those
 * that are may have thousands of chunks, one beside the other. */
#define SHORT_STEPS 8
#define SHORT_BYTES 512

static void count_short(struct chain *c, hw_addr last)
{
    hw_addr distance = c->at > last ? c->at - last : last - c->at;
    c->short_steps = c->at && distance < SHORT_BYTES ? c->short_steps + 1 : 0;
}

static int step_alone(struct walk *w, struct chain *c, size_t len, chain_step step,
                      struct hw_error *err)
{
    hw_addr last = c->at;
    int rc = step(w, c, hw_seeker_at(&w->seeker, last, len), err);
    count_short(c, last);
    return rc;
}

/* One step of each of these, PLACES at most, and further ones where that costs little. */
static int step_together(struct walk *w, struct chain **chains, size_t count, size_t len,
                         chain_step step, struct hw_error *err)
{
    hw_addr at[PLACES];
    bool there[PLACES];
    uint8_t buf[PLACES * CHAIN_PIECE_MAX];
    int rc = HW_OK;
    for (size_t i = 0; i < count; i++)
        at[i] = chains[i]->at;
    glibc_read_places(w->target, at, count, len, buf, there);
    for (size_t i = 0; i < count && rc == HW_OK; i++) {
        struct chain *c = chains[i];
        rc = step(w, c, there[i] ? buf + i * len : NULL, err);
        count_short(c, at[i]);
        while (c->short_steps >= SHORT_STEPS && rc == HW_OK)
            rc = step_alone(w, c, len, step, err);
    }
    return rc;
}

/* Those that go on, in the same order. */
static size_t drop_ended(struct chain **chains, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (chains[i]->at)
            chains[kept++] = chains[i];
    return kept;
}

int glibc_follow(struct walk *w, struct chain **chains, size_t count, size_t len, chain_step step,
                 struct hw_error *err)
{
    int rc = HW_OK;
    for (count = drop_ended(chains, count); count >= FEW; count = drop_ended(chains, count))
        for (size_t i = 0; i < count; i += PLACES) {
            rc = step_together(w, chains + i, least(count - i, PLACES), len, step, err);
            if (rc != HW_OK)
                return rc;
        }
    for (size_t i = 0; i < count; i++)
        while (chains[i]->at && rc == HW_OK)
            rc = step_alone(w, chains[i], len, step, err);
    return rc;
}
