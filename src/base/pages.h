/*
 * Where the pages of an address space are: a sparse map with two bits for each page.
 *
 *     0x5500'0000'0000              0x7f00'0000'0000
 *     | resident 1101110000... |    | resident 0000... |      slices of 4096 pages, 16 MiB; only
 *     | swapped  0010000000... |    | swapped  0110... |      where there is something to say
 *
 * That is 64 KiB of ours for each GiB of theirs. A page in no slice is absent: it was never
 * touched, was given back, or is the kernel's shared page of zeros, which costs nobody anything.
 *
 * Lookups change nothing, not even a note of where the last one was: any number of threads may ask,
 * while nobody sets. Who asks for neighbours over and over does so through a cursor of its own.
 */
#ifndef HW_BASE_PAGES_H
#define HW_BASE_PAGES_H

#include "base/err.h"
#include "base/vec.h"

enum hw_page_state { HW_PAGE_ABSENT, HW_PAGE_RESIDENT, HW_PAGE_SWAPPED };

/* [start, end); empty: both 0. */
struct hw_range {
    hw_addr start, end;
};

#define HW_SLICE_PAGES 4096
struct hw_page_bits {
    uint64_t resident[HW_SLICE_PAGES / 64], swapped[HW_SLICE_PAGES / 64];
};
struct hw_page_slice {
    uint64_t first; /* number of its first page */
    struct hw_page_bits *bits;
};

struct hw_pages {
    uint64_t page_size;
    HW_VEC(struct hw_page_slice) slices; /* ascending */
    HW_VEC(struct hw_range) locked;      /* memory locked in RAM (mlock(2)), ascending */
};

/* Start from this; `page_size` is a power of two. */
static inline struct hw_pages hw_pages_empty(uint64_t page_size)
{
    return (struct hw_pages){.page_size = page_size};
}
/* Forget everything; the map is empty then, and may be filled again. */
void hw_pages_clear(struct hw_pages *p);

/* Set the state of all pages of [start, end), whole pages. What they were before is replaced. NOMEM
 * (some pages may have been set). */
int hw_pages_set(struct hw_pages *p, hw_addr start, hw_addr end, enum hw_page_state state,
                 struct hw_error *err);

/* The state of the page that holds `addr`. */
enum hw_page_state hw_pages_at(const struct hw_pages *p, hw_addr addr);

/* Where, from `addr` on, the pages of its page's state end: `end` at most. */
hw_addr hw_pages_run_end(const struct hw_pages *p, hw_addr addr, hw_addr end);

/* How many bytes of a range lie on resident pages and how many on swapped ones; the rest is absent.
 */
struct hw_page_bytes {
    uint64_t resident, swapped;
};
struct hw_page_bytes hw_pages_count(const struct hw_pages *p, hw_addr start, hw_addr end);

/* The same for who asks for one range after the other, close together: most lie where the last one
 * did, in one long run of pages in RAM. Start from {.pages = ...}; for one thread. */
struct hw_page_cursor {
    const struct hw_pages *pages;
    hw_addr start, end; /* pages that are all in one state */
    enum hw_page_state state;
};
struct hw_page_bytes hw_cursor_count_anew(struct hw_page_cursor *c, hw_addr start, hw_addr end);

static inline struct hw_page_bytes hw_cursor_count(struct hw_page_cursor *c, hw_addr start,
                                                   hw_addr end)
{
    if (start < c->start || end > c->end || start > end)
        return hw_cursor_count_anew(c, start, end);
    return (struct hw_page_bytes){.resident = c->state == HW_PAGE_RESIDENT ? end - start : 0,
                                  .swapped = c->state == HW_PAGE_SWAPPED ? end - start : 0};
}

/* Note that [start, end) is locked in RAM. Ranges must come in ascending order. NOMEM. */
int hw_pages_lock(struct hw_pages *p, hw_addr start, hw_addr end, struct hw_error *err);

/* The first locked address of [start, end), or `end`. */
hw_addr hw_pages_first_locked(const struct hw_pages *p, hw_addr start, hw_addr end);

#endif
