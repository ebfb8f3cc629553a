/*
 * One walk of the heap, on its way to a report:
 *
 *     hw_walking_begin()                          an empty report; set `earlier` or `ahead` then
 *     [freeze]  hw_walking_run()   [thaw]         the backend streams, the analyses listen
 *     hw_walking_finish()                         what needs no more than the report
 */
#ifndef HW_INSPECT_WALK_H
#define HW_INSPECT_WALK_H

#include "analysis/analysis.h"
#include "inspect/ledger.h"
#include "inspect/session.h"

struct hw_walking {
    struct hw_session *session;
    const struct hw_walker *walker;
    struct hw_report *report;
    struct hw_report *earlier; /* of an earlier walk, whose rows are taken over where they are still
                                  right; or NULL. Belongs to the caller */
    bool twice;                /* there was that walk */
    size_t adopted;            /* how many rows were taken over */
    bool ahead;                /* this is that earlier walk: only its rows are wanted */
    int64_t freeze_ns;         /* when the target was about to be frozen, as by CLOCK_MONOTONIC */
    bool let_go;               /* it runs, as there was not the time to read the rest */
    struct hw_analyzing *analyzing; /* once the report has its arenas */
    struct hw_ledger ledger;
    uint64_t done, expected, told; /* bytes of blocks: so far, in all, when last told */
    struct hw_error *err;
    int code; /* of a failure in a callback */
};

/* CLOCK_MONOTONIC in nanoseconds. */
int64_t hw_walking_clock(void);

/* NOMEM. On success end it with hw_walking_finish() or hw_walking_drop(). */
int hw_walking_begin(struct hw_walking *w, struct hw_session *s, const struct hw_walker *walker,
                     struct hw_error *err);
/* Walk; the target is frozen. Errors as hw_inspect(). */
int hw_walking_run(struct hw_walking *w, struct hw_error *err);
/* After the thaw. The report, which belongs to the caller. */
struct hw_report *hw_walking_finish(struct hw_walking *w);
void hw_walking_drop(struct hw_walking *w);

#endif
