#include "target/plan.h"

#include <stdlib.h>

/* Steps of a claim over pages that are not read: more of them are left to the next batch. */
#define STEPS_MAX 4096

static int by_start(const void *a, const void *b)
{
    const struct hw_plan_entry *x = a, *y = b;
    return x->start < y->start ? -1 : x->start > y->start;
}

int hw_plan_init(struct hw_plan *p, const struct hw_range *ranges, size_t count,
                 struct hw_error *err)
{
    *p = (struct hw_plan){.ranges = calloc(count + 1, sizeof *p->ranges),
                          .by_address = calloc(count + 1, sizeof *p->by_address)};
    if (!p->ranges || !p->by_address) {
        hw_plan_deinit(p);
        return hw_fail(err, HW_ERR_NOMEM, "no memory for a list of what will be read");
    }
    for (size_t i = 0; i < count; i++) {
        if (ranges[i].start >= ranges[i].end)
            continue;
        p->by_address[p->count] = (struct hw_plan_entry){ranges[i].start, p->count};
        p->ranges[p->count++] = ranges[i];
    }
    qsort(p->by_address, p->count, sizeof *p->by_address, by_start);
    return HW_OK;
}

void hw_plan_deinit(struct hw_plan *p)
{
    free(p->ranges);
    free(p->by_address);
    *p = (struct hw_plan){0};
}

bool hw_plan_find(const struct hw_plan *p, hw_addr addr, struct hw_place *ret)
{
    size_t low = 0, high = p->count; /* the first that begins above addr */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (p->by_address[middle].start <= addr)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return false;
    *ret = (struct hw_place){p->by_address[low - 1].rank, addr};
    return addr < p->ranges[ret->rank].end;
}

/* ---- batches -------------------------------------------------------------------------------- */

/* The next run from `addr` on that may be read ahead, and whether it goes on beyond `reach` bytes
 * does not matter: a large heap is not to be looked through for each batch. Empty, start == end:
 * there is none below. */
static struct hw_range next_run(const struct hw_target *t, hw_addr addr, hw_addr end,
                                uint64_t reach)
{
    if (!t->pages_known) {
        hw_addr until;
        bool data = hw_target_extent(t, addr, end, &until) == HW_EXTENT_DATA;
        return (struct hw_range){data ? addr : until, until};
    }
    bool resident = hw_pages_at(&t->pages, addr) == HW_PAGE_RESIDENT;
    if (resident && addr < end && end - addr > reach)
        end = addr + reach;
    hw_addr run_end = hw_pages_run_end(&t->pages, addr, end);
    return (struct hw_range){resident ? addr : run_end, run_end};
}

/* Shorten a run to `room` bytes, and to whole pages, so that no header is torn in two. */
static bool shorten(struct hw_range *run, size_t room, uint64_t page, bool first)
{
    if (run->end - run->start <= room)
        return true;
    hw_addr end = (run->start + room) / page * page;
    if (end <= run->start && !first)
        return false;
    run->end = end > run->start ? end : run->start + room;
    return true;
}

void hw_batch_claim(struct hw_batch *b, const struct hw_plan *p, const struct hw_target *t,
                    struct hw_place *next, size_t bytes)
{
    size_t used = 0;
    uint64_t page = t->who.page_size ? t->who.page_size : 1;
    struct hw_place at = *next;
    b->from = at;
    b->count = 0;
    for (unsigned steps = 0; steps < STEPS_MAX && at.rank < p->count; steps++) {
        hw_addr end = p->ranges[at.rank].end;
        struct hw_range run = next_run(t, at.addr, end, bytes - used + page);
        if (run.start < run.end) {
            if (used == bytes || b->count == HW_BATCH_RUNS ||
                !shorten(&run, bytes - used, page, b->count == 0))
                break;
            b->at[b->count] = used;
            b->runs[b->count++] = run;
            used += (size_t)(run.end - run.start);
        }
        at.addr = run.end;
        if (at.addr >= end && ++at.rank < p->count)
            at.addr = p->ranges[at.rank].start;
    }
    b->to = *next = at;
}

int hw_batch_read(struct hw_batch *b, struct hw_target *t, struct hw_error *err)
{
    for (size_t i = 0; i < b->count;) {
        ssize_t n = hw_read_ranges(t, &b->runs[i], b->count - i, b->buf + b->at[i], err);
        if (n < 0) {
            b->count = i;
            return (int)n;
        }
        size_t got = (size_t)n;
        for (; i < b->count && got >= b->runs[i].end - b->runs[i].start; i++)
            got -= (size_t)(b->runs[i].end - b->runs[i].start);
        if (i < b->count) { /* it stopped here; go on behind this run */
            b->runs[i].end = b->runs[i].start + got;
            i++;
        }
    }
    return HW_OK;
}

const struct hw_range *hw_batch_run(const struct hw_batch *b, hw_addr addr, size_t *hint)
{
    for (size_t n = 0; n < b->count; n++) {
        size_t i = *hint + n < b->count ? *hint + n : *hint + n - b->count;
        if (addr >= b->runs[i].start && addr < b->runs[i].end) {
            *hint = i;
            return &b->runs[i];
        }
    }
    return NULL;
}
