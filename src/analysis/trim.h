/*
 * What glibc gives back of a heap, as far as several analyses ask.
 */
#ifndef HW_ANALYSIS_TRIM_H
#define HW_ANALYSIS_TRIM_H

#include "analysis/analysis.h"

/* The addresses that malloc_trim(0) would give back of a run: whole pages. The run's arena must be in
 * the report, and r->pages tell what is locked. */
struct hw_range hw_trim_range(const struct hw_report *r, const struct hw_run *run);

/* What malloc_trim(0) would really give back of a run now: the pages of that range which are in RAM
 * or swapped out, unless they are locked there. Pages must be known. */
struct hw_page_bytes hw_trim_count(const struct hw_report *r, const struct hw_run *run);

/* How many bytes systrim() would give back of a main arena's top of `top_bytes` when `pad` bytes
 * shall stay; unknown if the break is. */
struct hw_maybe hw_systrim_bytes(const struct hw_report *r, const struct hw_arena *a,
                                 uint64_t top_bytes, uint64_t pad);

#endif
