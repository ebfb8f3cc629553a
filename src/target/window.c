#include "target/window.h"

#include <stdlib.h>

int hw_window_init(struct hw_window *w, struct hw_target *t, size_t capacity, struct hw_error *err)
{
    *w = (struct hw_window){.target = t, .capacity = capacity, .buf = malloc(capacity)};
    return w->buf ? HW_OK : hw_fail(err, HW_ERR_NOMEM, "out of memory");
}

static void forget(struct hw_window *w)
{
    w->bytes = NULL;
    w->base = 0;
    w->len = 0;
    w->batch = NULL;
    w->hint = 0;
    w->alone = 0;
}

void hw_window_deinit(struct hw_window *w)
{
    hw_readahead_stop(w->ahead);
    free(w->buf);
    *w = (struct hw_window){0};
}

int hw_window_plan(struct hw_window *w, const struct hw_range *ranges, size_t count,
                   struct hw_error *err)
{
    forget(w);
    hw_readahead_stop(w->ahead);
    return hw_readahead_start(w->target, ranges, count, w->capacity, &w->ahead, err);
}

void hw_window_reset(struct hw_window *w)
{
    forget(w);
    if (w->ahead)
        hw_readahead_reset(w->ahead);
}

/* The `len` bytes at `addr` if they are here. */
static const uint8_t *held(const struct hw_window *w, hw_addr addr, size_t len)
{
    if (addr < w->base || addr - w->base > w->len || len > w->len - (size_t)(addr - w->base))
        return NULL;
    return w->bytes + (addr - w->base);
}

hw_addr hw_ahead_until(const struct hw_target *t, hw_addr addr, hw_addr end)
{
    const struct hw_pages *pages = &t->pages;
    hw_addr until;
    if (addr >= end)
        return end;
    if (!t->pages_known && hw_target_extent(t, addr, end, &until) == HW_EXTENT_DATA)
        return until;
    if (t->pages_known && hw_pages_at(pages, addr) == HW_PAGE_RESIDENT)
        return hw_pages_run_end(pages, addr, end);
    uint64_t page = t->who.page_size;
    hw_addr page_end = (addr / page + 1) * page;
    return page_end < end ? page_end : end;
}

/* Read what lies from `addr` to `limit`, or as much as there is and fits, but in any case the `len`
 * bytes at `addr`, if they are there. */
static void read_here(struct hw_window *w, hw_addr addr, size_t len, hw_addr limit)
{
    hw_addr end = limit > addr && limit - addr > w->capacity ? addr + w->capacity : limit;
    end = hw_ahead_until(w->target, addr, end);
    if (end < addr + len)
        end = addr + len;
    ssize_t n = hw_read(w->target, addr, w->buf, (size_t)(end - addr), NULL);
    w->alone = addr >= w->base ? w->alone : 0;
    w->bytes = w->buf;
    w->base = addr;
    w->len = n > 0 ? (size_t)n : 0;
    w->alone += w->len;
}

/* Make the run that holds `addr` what is here, if it was, or is going to be, read ahead. Back to
 * what lies behind only when that is no short look, but a walk. */
static bool take_run(struct hw_window *w, hw_addr addr)
{
    const struct hw_range *run = w->batch ? hw_batch_run(w->batch, addr, &w->hint) : NULL;
    if (!run) {
        bool walks = addr >= w->base && w->alone >= w->capacity;
        w->batch = hw_readahead_get(w->ahead, addr, walks);
        w->hint = 0;
        run = w->batch ? hw_batch_run(w->batch, addr, &w->hint) : NULL;
    }
    if (run) {
        w->bytes = w->batch->buf + w->batch->at[w->hint];
        w->base = run->start;
        w->len = (size_t)(run->end - run->start);
        w->alone = 0;
    }
    return run != NULL;
}

const uint8_t *hw_window_at(struct hw_window *w, hw_addr addr, size_t len, hw_addr limit)
{
    const uint8_t *p = held(w, addr, len);
    if (p)
        return p;
    if (len > w->capacity || len > UINT64_MAX - addr)
        return NULL;
    bool ahead = w->ahead && take_run(w, addr);
    p = ahead ? held(w, addr, len) : NULL;
    if (p)
        return p;
    /* Where it goes on behind a run, only what is asked for: the rest comes with the next one. */
    read_here(w, addr, len, ahead ? addr : limit);
    return held(w, addr, len);
}

const uint8_t *hw_window_span(struct hw_window *w, hw_addr addr, hw_addr limit, size_t *len)
{
    const uint8_t *p = limit > addr ? hw_window_at(w, addr, 1, limit) : NULL;
    if (!p)
        return NULL;
    size_t here = w->len - (size_t)(addr - w->base);
    *len = limit - addr < here ? (size_t)(limit - addr) : here;
    return p;
}
