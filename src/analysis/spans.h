/*
 * From blocks to spans: see analysis.h.
 */
#ifndef HW_ANALYSIS_SPANS_H
#define HW_ANALYSIS_SPANS_H

#include "analysis/analysis.h"

#define HW_SPAN_BLOCKS 128 /* the most blocks at a time: with their spans they fit the L1 cache */

/* The spans of `count` blocks of one arena, HW_SPAN_BLOCKS at most; `ret` has room for as many. How
 * many there are. They point to the blocks, and each begins where the one before ends.
 * None, if a block has a state that does not exist: whoever made it is broken. */
size_t hw_spans(const struct hw_block *b, size_t count, struct hw_span *ret);

#endif
