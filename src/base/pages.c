#include "base/pages.h"

#include <stdlib.h>

void hw_pages_clear(struct hw_pages *p)
{
    for (size_t i = 0; i < p->slices.count; i++)
        free(p->slices.data[i].bits);
    hw_vec_free(&p->slices);
    hw_vec_free(&p->locked);
}

/* The index of the first slice that does not end below `page`. */
static size_t find(const struct hw_pages *p, uint64_t page)
{
    size_t low = 0, left = p->slices.count;
    while (left) {
        size_t half = left / 2;
        bool below = p->slices.data[low + half].first + HW_SLICE_PAGES <= page;
        low = below ? low + half + 1 : low;
        left = below ? left - half - 1 : half;
    }
    return low;
}

/* That slice, or NULL. */
static const struct hw_page_slice *slice_from(const struct hw_pages *p, uint64_t page)
{
    size_t i = find(p, page);
    return i < p->slices.count ? &p->slices.data[i] : NULL;
}

/* The slice of a page, or NULL. */
static const struct hw_page_slice *slice_of(const struct hw_pages *p, uint64_t page)
{
    const struct hw_page_slice *s = slice_from(p, page);
    return s && s->first <= page ? s : NULL;
}

/* The slice of a page, made where there is none; NULL when memory is out. */
static const struct hw_page_slice *make_slice(struct hw_pages *p, uint64_t page)
{
    size_t at = find(p, page);
    if (at < p->slices.count && p->slices.data[at].first <= page)
        return &p->slices.data[at];
    struct hw_page_slice new = {page - page % HW_SLICE_PAGES, calloc(1, sizeof *new.bits)};
    if (!new.bits || !hw_vec_push(&p->slices, new)) {
        free(new.bits);
        return NULL;
    }
    for (size_t i = p->slices.count - 1; i > at; i--)
        p->slices.data[i] = p->slices.data[i - 1];
    p->slices.data[at] = new;
    return &p->slices.data[at];
}

/* Bits from..to-1 of one word, 0 <= from < to <= 64. */
static uint64_t mask(unsigned from, unsigned to)
{
    uint64_t below_to = to == 64 ? UINT64_MAX : (UINT64_C(1) << to) - 1;
    return below_to & ~((UINT64_C(1) << from) - 1);
}

int hw_pages_set(struct hw_pages *p, hw_addr start, hw_addr end, enum hw_page_state state,
                 struct hw_error *err)
{
    uint64_t page = start / p->page_size, until = end / p->page_size;
    while (page < until) {
        uint64_t stop = page - page % HW_SLICE_PAGES + HW_SLICE_PAGES;
        stop = stop < until ? stop : until;
        const struct hw_page_slice *s =
            state == HW_PAGE_ABSENT ? slice_of(p, page) : make_slice(p, page);
        if (!s && state != HW_PAGE_ABSENT)
            return hw_fail(err, HW_ERR_NOMEM, "no memory to note where the pages are");
        while (s && page < stop) {
            unsigned word = (unsigned)(page - s->first) / 64, from = page % 64;
            unsigned to = stop - page < 64 - from ? from + (unsigned)(stop - page) : 64;
            uint64_t bits = mask(from, to);
            s->bits->resident[word] &= ~bits;
            s->bits->swapped[word] &= ~bits;
            if (state != HW_PAGE_ABSENT)
                (state == HW_PAGE_RESIDENT ? s->bits->resident : s->bits->swapped)[word] |= bits;
            page += to - from;
        }
        page = stop;
    }
    return HW_OK;
}

static enum hw_page_state state_in(const struct hw_page_slice *s, uint64_t page)
{
    unsigned word = (unsigned)(page - s->first) / 64;
    uint64_t bit = UINT64_C(1) << page % 64;
    if (s->bits->resident[word] & bit)
        return HW_PAGE_RESIDENT;
    return s->bits->swapped[word] & bit ? HW_PAGE_SWAPPED : HW_PAGE_ABSENT;
}

enum hw_page_state hw_pages_at(const struct hw_pages *p, hw_addr addr)
{
    uint64_t page = addr / p->page_size;
    const struct hw_page_slice *s = slice_of(p, page);
    return s ? state_in(s, page) : HW_PAGE_ABSENT;
}

/* Pages of `s`, as bits, that are not in `state`. */
static uint64_t others(const struct hw_page_slice *s, unsigned word, enum hw_page_state state)
{
    uint64_t set = s->bits->resident[word] | s->bits->swapped[word];
    if (state == HW_PAGE_ABSENT)
        return set;
    return ~(state == HW_PAGE_RESIDENT ? s->bits->resident : s->bits->swapped)[word];
}

hw_addr hw_pages_run_end(const struct hw_pages *p, hw_addr addr, hw_addr end)
{
    enum hw_page_state state = hw_pages_at(p, addr);
    uint64_t page = addr / p->page_size;
    while (page * p->page_size < end) {
        const struct hw_page_slice *s = slice_from(p, page);
        if (!s || s->first > page) { /* absent up to the next slice */
            if (state != HW_PAGE_ABSENT)
                break;
            if (!s)
                return end;
            page = s->first;
            continue;
        }
        unsigned word = (unsigned)(page - s->first) / 64;
        uint64_t differ = others(s, word, state) & mask(page % 64, 64);
        while (!differ && ++word < HW_SLICE_PAGES / 64)
            differ = others(s, word, state);
        page = s->first + word * 64U;
        if (differ) {
            page += (unsigned)__builtin_ctzll(differ);
            break;
        }
    }
    return page < end / p->page_size + 1 && page * p->page_size < end ? page * p->page_size : end;
}

/* Whole pages. */
static struct hw_page_bytes count_pages(const struct hw_pages *p, uint64_t page, uint64_t until)
{
    struct hw_page_bytes n = {0};
    while (page < until) {
        const struct hw_page_slice *s = slice_from(p, page);
        if (!s || s->first >= until)
            break;
        if (page < s->first)
            page = s->first;
        unsigned word = (unsigned)(page - s->first) / 64, from = page % 64;
        unsigned to = until - page < 64 - from ? from + (unsigned)(until - page) : 64;
        uint64_t bits = mask(from, to);
        n.resident += (unsigned)__builtin_popcountll(s->bits->resident[word] & bits);
        n.swapped += (unsigned)__builtin_popcountll(s->bits->swapped[word] & bits);
        page += to - from;
    }
    n.resident *= p->page_size;
    n.swapped *= p->page_size;
    return n;
}

static void count_part(const struct hw_pages *p, hw_addr start, hw_addr end,
                       struct hw_page_bytes *n)
{
    enum hw_page_state state = hw_pages_at(p, start);
    if (state == HW_PAGE_RESIDENT)
        n->resident += end - start;
    else if (state == HW_PAGE_SWAPPED)
        n->swapped += end - start;
}

struct hw_page_bytes hw_pages_count(const struct hw_pages *p, hw_addr start, hw_addr end)
{
    struct hw_page_bytes n = {0};
    if (start >= end)
        return n;
    uint64_t first = start / p->page_size, last = end / p->page_size;
    if (first == last) {
        count_part(p, start, end, &n);
        return n;
    }
    uint64_t whole = start % p->page_size ? first + 1 : first;
    n = count_pages(p, whole, last);
    if (start % p->page_size)
        count_part(p, start, whole * p->page_size, &n);
    if (end % p->page_size)
        count_part(p, last * p->page_size, end, &n);
    return n;
}

/* Where the range ends is where the next one is likely to be. How far its run of pages goes is
 * asked once for many ranges, but not for so many that the answer takes long. */
#define CURSOR_REACH ((uint64_t)64 << 20)

struct hw_page_bytes hw_cursor_count_anew(struct hw_page_cursor *c, hw_addr start, hw_addr end)
{
    if (start >= end)
        return (struct hw_page_bytes){0};
    hw_addr last = (end - 1) & -c->pages->page_size;
    c->start = last;
    c->end = hw_pages_run_end(c->pages, last,
                              last < UINT64_MAX - CURSOR_REACH ? last + CURSOR_REACH : UINT64_MAX);
    c->state = hw_pages_at(c->pages, last);
    return hw_pages_count(c->pages, start, end);
}

/* ---- locks ---------------------------------------------------------------------------------- */

int hw_pages_lock(struct hw_pages *p, hw_addr start, hw_addr end, struct hw_error *err)
{
    struct hw_range range = {start, end};
    if (p->locked.count && p->locked.data[p->locked.count - 1].end == start) {
        p->locked.data[p->locked.count - 1].end = end;
        return HW_OK;
    }
    if (start < end && !hw_vec_push(&p->locked, range))
        return hw_fail(err, HW_ERR_NOMEM, "no memory to note what is locked");
    return HW_OK;
}

hw_addr hw_pages_first_locked(const struct hw_pages *p, hw_addr start, hw_addr end)
{
    size_t low = 0, high = p->locked.count;
    while (low < high) { /* the first that does not end below `start` */
        size_t middle = low + (high - low) / 2;
        if (p->locked.data[middle].end <= start)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == p->locked.count || p->locked.data[low].start >= end)
        return end;
    return p->locked.data[low].start > start ? p->locked.data[low].start : start;
}
