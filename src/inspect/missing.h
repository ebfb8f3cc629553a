/*
 * What a core does not have of the heap.
 */
#ifndef HW_INSPECT_MISSING_H
#define HW_INSPECT_MISSING_H

#include "model/model.h"
#include "target/target.h"

/* Some blocks of the walk, of one arena or mmapped: add what is missing of mmapped chunks. */
void hw_missing_blocks(const struct hw_target *t, const struct hw_block *b, size_t count,
                       struct hw_missing *mmapped);

/* When all figures are known, and all other heaps: a finding for each arena that is not all there,
 * and one for mmapped chunks; for a file that ends too early, a note where that did not touch the
 * heap, and no other heap is there. */
void hw_missing_report(const struct hw_target *t, const struct hw_missing *mmapped,
                       struct hw_report *r);

#endif
