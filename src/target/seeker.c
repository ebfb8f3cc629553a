#include "target/seeker.h"

#include "target/window.h"

#include <stdlib.h>
#include <string.h>

#define LINE   HW_SEEKER_LINE
#define GROUP  ((size_t)64 << 10)
#define GROUPS (HW_SEEKER_BYTES / GROUP)
#define LINES  (HW_SEEKER_BYTES / LINE)

/* Follows from measurements: to read a line costs little more than to read a word of it, each
 * further one half as much. */
#define AHEAD_MIN LINE
#define AHEAD_MAX GROUP

int hw_seeker_init(struct hw_seeker *s, struct hw_target *t, struct hw_error *err)
{
    *s = (struct hw_seeker){.target = t,
                            .buf = malloc(HW_SEEKER_BYTES),
                            .lines = calloc(LINES, sizeof *s->lines),
                            .ahead = AHEAD_MIN};
    return s->buf && s->lines ? HW_OK : hw_fail(err, HW_ERR_NOMEM, "no memory for a cache");
}

void hw_seeker_deinit(struct hw_seeker *s)
{
    free(s->buf);
    free(s->lines);
    *s = (struct hw_seeker){0};
}

void hw_seeker_reset(struct hw_seeker *s)
{
    memset(s->lines, 0, LINES * sizeof *s->lines);
    s->ahead = AHEAD_MIN;
    s->hits = 0;
}

/* Where the byte at `addr` is kept. Neighbouring groups have different places, and so have the
 * beginnings of heaps, which lie at multiples of 1 or 64 MiB. */
static size_t place_of(hw_addr addr)
{
    uint64_t group = addr / GROUP;
    return (size_t)((group + group / GROUPS * 157) % GROUPS * GROUP + addr % GROUP);
}

/* The piece if it is here, and in one group. */
static const uint8_t *held(const struct hw_seeker *s, hw_addr addr, size_t len)
{
    if (len == 0 || len > LINE || addr % GROUP + len > GROUP)
        return NULL;
    size_t place = place_of(addr), last = (place + len - 1) / LINE;
    hw_addr line = addr / LINE * LINE + 1;
    bool here =
        s->lines[place / LINE] == line && (place / LINE == last || s->lines[last] == line + LINE);
    return here ? s->buf + place : NULL;
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

/* Read what lies from `start` to `end`, as far as it is in the group of [addr, addr + len), which
 * is read in any case; all of them are whole lines. A line that is not all there does not count. */
static void load(struct hw_seeker *s, hw_addr start, hw_addr addr, size_t len, hw_addr end)
{
    hw_addr group = addr / GROUP * GROUP;
    start = ahead_from(s->target, start > group ? start : group, addr);
    end = hw_ahead_until(s->target, addr, end - group < GROUP ? end : group + GROUP);
    if (end < addr + len)
        end = addr + len;
    size_t place = place_of(start), count = (size_t)(end - start) / LINE;
    memset(&s->lines[place / LINE], 0, count * sizeof *s->lines); /* others were there */
    ssize_t n = hw_read(s->target, start, s->buf + place, (size_t)(end - start), NULL);
    for (size_t i = 0; n > 0 && i < (size_t)n / LINE; i++)
        s->lines[place / LINE + i] = start + i * LINE + 1;
}

/*
 * Choose how much to read, at a miss. The last read paid off if it spared about one system call for
 * every line it copied. One that spared none may just have been too short for the stride of
 * the list: then the next place is near, and a longer one is worth trying. In random order neither
 * holds, and reads shrink to the minimum.
 */
static void adapt(struct hw_seeker *s, hw_addr addr)
{
    hw_addr distance = addr > s->last ? addr - s->last : s->last - addr;
    bool paid = s->hits > 0 ? s->ahead / LINE <= s->hits : distance <= LINE;
    if (paid && s->ahead < AHEAD_MAX)
        s->ahead *= 2;
    else if (!paid && s->ahead > AHEAD_MIN)
        s->ahead /= 2;
    s->hits = 0;
}

/* A miss: [addr, addr + len) lies in one group. */
static const uint8_t *seek(struct hw_seeker *s, hw_addr addr, size_t len, bool descending)
{
    hw_addr first = addr / LINE * LINE, end = (addr + len - 1) / LINE * LINE + LINE;
    size_t more = s->ahead > end - first ? s->ahead - (size_t)(end - first) : 0;
    if (descending && more) {
        load(s, more < first ? first - more : 0, first, (size_t)(end - first), end);
        const uint8_t *p = held(s, addr, len);
        if (p)
            return p;
        /* A hole below: the read ended in it and never came as far as `addr`. */
        s->ahead = AHEAD_MIN;
        more = 0;
    }
    load(s, first, first, (size_t)(end - first), end + more);
    return held(s, addr, len);
}

const uint8_t *hw_seeker_at(struct hw_seeker *s, hw_addr addr, size_t len)
{
    const uint8_t *p = held(s, addr, len);
    bool descending = addr < s->last;
    if (p) {
        s->hits++;
        s->last = addr;
        return p;
    }
    if (len == 0 || len > HW_SEEKER_MAX || len > UINT64_MAX - addr)
        return NULL;
    adapt(s, addr);
    s->last = addr;
    s->misses++;
    bool in_group = addr % GROUP + len <= GROUP && addr < UINT64_MAX - GROUP;
    if (in_group && (p = seek(s, addr, len, descending)) != NULL)
        return p;
    /* Or it is in a line that is not all there. */
    return hw_read_all(s->target, addr, s->piece, len, NULL) == HW_OK ? s->piece : NULL;
}
