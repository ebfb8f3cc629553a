/*
 * Rows of arenas that an earlier walk has measured.
 *
 *     walk 1, the target runs       main   arena 1   arena 2        each row has what the blocks of
 *                                    |        |      (moved)        its arena tell: analysis.h
 *     walk 2, it stands still       main   arena 1   arena 2'
 *                                   known   known    walked
 *
 * An arena that has not changed meanwhile need not be walked again, however large it is.
 */
#ifndef HW_ANALYSIS_ADOPT_H
#define HW_ANALYSIS_ADOPT_H

#include "model/model.h"

/*
 * Move what analyses have measured of an arena, from the row of an earlier report to the row of the
 * same arena, with the same heaps, in a later one. The earlier walk must have come to the end of
 * the arena (hw_analyses_arena_done), and for the later report hw_analyses_begin() was called, but
 * no block of this arena told: its sums are then as if it had walked the arena itself. What is in
 * RAM is as it was at the earlier walk. `from` must not be used any more, but to be destroyed.
 */
void hw_arena_adopt(struct hw_arena *to, struct hw_arena *from);

/* The row of arena `index` of `to` in an earlier report; NULL if it was not there yet. */
struct hw_arena *hw_report_earlier(const struct hw_report *to, struct hw_report *from,
                                   unsigned index);

/*
 * Do so for arena `index` of `to` if the earlier report has it, and it is the same there: neither
 * walk saw it move, fingerprints are equal, and there is nothing else to be said of it. True if it
 * was adopted. For hw_sink.known.
 */
bool hw_report_adopt(struct hw_report *to, struct hw_report *from, unsigned index);

#endif
