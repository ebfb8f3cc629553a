/*
 * What glibc gives back of a heap, as far as several analyses ask.
 */
#ifndef HW_ANALYSIS_TRIM_H
#define HW_ANALYSIS_TRIM_H

#include "analysis/analysis.h"

/* The addresses that malloc_trim(0) would give back of a run of arena `a`: whole pages. What is
 * locked is left out where r->pages tell. */
struct hw_range hw_trim_range(const struct hw_report *r, const struct hw_arena *a,
                              const struct hw_run *run);

/* How much of free memory that is, merged with its neighbours: in the pages that are in RAM or
 * swapped out. Pages must be known. */
struct hw_trim hw_trim_free(const struct hw_report *r, struct hw_page_cursor *c, hw_addr start,
                            hw_addr end);
/* The same of the top of arena `a`. */
struct hw_trim hw_trim_top(const struct hw_report *r, const struct hw_arena *a,
                           struct hw_page_cursor *c, hw_addr start, hw_addr end);

/* How many bytes systrim() would give back of a main arena's top of `top_bytes` when `pad` bytes
 * shall stay; unknown if the break is. */
struct hw_maybe hw_systrim_bytes(const struct hw_report *r, const struct hw_arena *a,
                                 uint64_t top_bytes, uint64_t pad);

#endif
