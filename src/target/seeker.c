#include "target/seeker.h"

#include "target/window.h"

#include <stdlib.h>

/* Follows from measurements: copying 4 KiB costs about as much as one more system call. */
#define AHEAD_MIN   ((size_t)256)
#define AHEAD_MAX   ((size_t)64 << 10)
#define WORTH_BYTES ((size_t)4 << 10)

/* The `len` bytes at `addr` if they are here. */
static const uint8_t *held(const struct hw_seeker *s, hw_addr addr, size_t len)
{
    if (addr < s->base || addr - s->base > s->len || len > s->len - (size_t)(addr - s->base))
        return NULL;
    return s->buf + (addr - s->base);
}

/* Where reading may begin, `start` at least, to come up to `addr` over pages in RAM. */
static hw_addr ahead_from(const struct hw_target *t, hw_addr start, hw_addr addr)
{
    const struct hw_pages *pages = &t->pages;
    hw_addr from = addr;
    while (t->pages_known && from > start && hw_pages_at(pages, from - 1) == HW_PAGE_RESIDENT)
        from = (from - 1) / pages->page_size * pages->page_size;
    return t->pages_known && from > start ? from : start;
}

/* Read what lies from `start` to `end`, or as much as there is, but in any case the `len` bytes at
 * `addr`, if they are there. */
static void fill(struct hw_seeker *s, hw_addr start, hw_addr addr, size_t len, hw_addr end)
{
    start = ahead_from(s->target, start, addr);
    end = hw_ahead_until(s->target, addr, end);
    if (end < addr + len)
        end = addr + len;
    ssize_t n = hw_read(s->target, start, s->buf, (size_t)(end - start), NULL);
    s->base = start;
    s->len = n > 0 ? (size_t)n : 0;
}

int hw_seeker_init(struct hw_seeker *s, struct hw_target *t, struct hw_error *err)
{
    *s = (struct hw_seeker){.target = t, .ahead = AHEAD_MIN, .buf = malloc(AHEAD_MAX)};
    return s->buf ? HW_OK : hw_fail(err, HW_ERR_NOMEM, "out of memory");
}

void hw_seeker_deinit(struct hw_seeker *s)
{
    free(s->buf);
    *s = (struct hw_seeker){0};
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
    const uint8_t *p = held(s, addr, len);
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
        fill(s, addr - before, addr, len, addr + len);
        p = held(s, addr, len);
        if (p)
            return p;
        /* A hole below: the read ended in it and never came as far as `addr`. */
        s->ahead = AHEAD_MIN;
    }
    fill(s, addr, addr, len, s->ahead < UINT64_MAX - addr ? addr + s->ahead : UINT64_MAX);
    return held(s, addr, len);
}
