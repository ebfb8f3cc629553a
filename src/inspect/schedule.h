/*
 * Of what has to be read again while the target stands still: what first, and what not at all.
 *
 *     the time there is   |------------------------------|
 *     arenas                7 | 3 |  1  |      12      | 0 ............................
 *                           the small ones               read when it runs again
 *
 * A large arena that is busy would take all of the time, and not be done. Those behind it would
 * have been.
 */
#ifndef HW_INSPECT_SCHEDULE_H
#define HW_INSPECT_SCHEDULE_H

#include "model/model.h"

/*
 * How long it takes to walk arena `index` of `now` while the target stands still, about and rather
 * too little, in nanoseconds: by what its walk took that `earlier`, which is not changed, tells of.
 */
uint64_t hw_schedule_ns(const struct hw_report *now, struct hw_report *earlier, unsigned index);

/*
 * Sort these `count` arenas of `now`: the shortest walk first. Returns how many of them can be
 * walked, all together, in so many nanoseconds.
 */
size_t hw_schedule(const struct hw_report *now, struct hw_report *earlier, unsigned *arenas,
                   size_t count, int64_t left_ns);

#endif
