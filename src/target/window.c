#include "target/window.h"

#include <stdlib.h>
#include <string.h>

/* Follows from measurements: copying 4 KiB costs about as much as one more system call. */
#define AHEAD_MIN   ((size_t)256)
#define AHEAD_MAX   ((size_t)64 << 10)
#define WORTH_BYTES ((size_t)4 << 10)

int hw_window_init(struct hw_window *w, struct hw_target *t, size_t capacity, struct hw_error *err)
{
    *w = (struct hw_window){.target = t, .capacity = capacity, .buf = malloc(capacity)};
    return w->buf ? HW_OK : hw_fail(err, HW_ERR_NOMEM, "out of memory");
}

void hw_window_deinit(struct hw_window *w)
{
    free(w->buf);
    *w = (struct hw_window){0};
}

void hw_window_reset(struct hw_window *w)
{
    w->base = 0;
    w->len = 0;
}

/* The `len` bytes at `addr` if they are here. */
static const uint8_t *held(const struct hw_window *w, hw_addr addr, size_t len)
{
    if (addr < w->base || addr - w->base > w->len || len > w->len - (size_t)(addr - w->base))
        return NULL;
    return w->buf + (addr - w->base);
}

/*
 * Where reading ahead from `addr` ends, `end` at most: pages that are not in RAM are not read unless
 * something on them is asked for. A read would bring a swapped one back, and map the page of zeros
 * where there is none.
 */
static hw_addr ahead_until(const struct hw_window *w, hw_addr addr, hw_addr end)
{
    struct hw_pages *pages = &w->target->pages;
    if (!w->target->pages_known || addr >= end)
        return end;
    if (hw_pages_at(pages, addr) == HW_PAGE_RESIDENT)
        return hw_pages_run_end(pages, addr, end);
    hw_addr page_end = (addr / pages->page_size + 1) * pages->page_size;
    return page_end < end ? page_end : end;
}

/* The same backwards: where reading may begin, `start` at least, to come up to `addr`. */
static hw_addr ahead_from(const struct hw_window *w, hw_addr start, hw_addr addr)
{
    struct hw_pages *pages = &w->target->pages;
    hw_addr from = addr;
    while (w->target->pages_known && from > start &&
           hw_pages_at(pages, from - 1) == HW_PAGE_RESIDENT)
        from = (from - 1) / pages->page_size * pages->page_size;
    return w->target->pages_known && from > start ? from : start;
}

/* Fill the window with what lies from `start` to `end`, or as much as there is, but in any case with
 * the `len` bytes at `addr`, if they are there. */
static void fill(struct hw_window *w, hw_addr start, hw_addr addr, size_t len, hw_addr end)
{
    start = ahead_from(w, start, addr);
    end = ahead_until(w, addr, end);
    if (end < addr + len)
        end = addr + len;
    ssize_t n = hw_read(w->target, start, w->buf, (size_t)(end - start), NULL);
    w->base = start;
    w->len = n > 0 ? (size_t)n : 0;
}

const uint8_t *hw_window_at(struct hw_window *w, hw_addr addr, size_t len, hw_addr limit)
{
    const uint8_t *p = held(w, addr, len);
    if (p)
        return p;
    if (len > w->capacity || len > UINT64_MAX - addr)
        return NULL;
    hw_addr end = limit > addr && limit - addr > w->capacity ? addr + w->capacity : limit;
    fill(w, addr, addr, len, end);
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

int hw_seeker_init(struct hw_seeker *s, struct hw_target *t, struct hw_error *err)
{
    *s = (struct hw_seeker){.ahead = AHEAD_MIN};
    return hw_window_init(&s->window, t, AHEAD_MAX, err);
}

void hw_seeker_deinit(struct hw_seeker *s)
{
    hw_window_deinit(&s->window);
}

/*
 * Choose how much to read, at a miss. The last block paid off if it spared about one system call
 * for every WORTH_BYTES it copied. A block that spared none may just have been too short for the
 * stride of the list: then the next place is near, and a longer one is worth trying. In random
 * order neither holds, and blocks shrink to the minimum.
 */
static void adapt(struct hw_seeker *s, hw_addr addr)
{
    hw_addr distance = addr > s->last ? addr - s->last : s->last - addr;
    bool paid = s->hits > 0 ? s->ahead / WORTH_BYTES <= s->hits : distance <= WORTH_BYTES;
    if (paid && s->ahead < AHEAD_MAX)
        s->ahead *= 2;
    else if (!paid && s->ahead > AHEAD_MIN)
        s->ahead /= 2;
    s->hits = 0;
}

const uint8_t *hw_seeker_at(struct hw_seeker *s, hw_addr addr, size_t len)
{
    struct hw_window *w = &s->window;
    const uint8_t *p = held(w, addr, len);
    if (p) {
        s->hits++;
        s->last = addr;
        return p;
    }
    if (len > AHEAD_MIN || len > UINT64_MAX - addr)
        return NULL;
    adapt(s, addr);
    bool descending = addr < s->last;
    s->last = addr;
    if (descending && s->ahead > len) {
        size_t before = s->ahead - len < addr ? s->ahead - len : (size_t)addr;
        fill(w, addr - before, addr, len, addr + len);
        p = held(w, addr, len);
        if (p)
            return p;
        /* A hole below: the read ended in it and never came as far as `addr`. */
        s->ahead = AHEAD_MIN;
    }
    fill(w, addr, addr, len, s->ahead < UINT64_MAX - addr ? addr + s->ahead : UINT64_MAX);
    return held(w, addr, len);
}
