/*
 * What --check adds to reports: which invariants hold, and what stands where one does not.
 */
#ifndef HW_RENDER_CHECK_H
#define HW_RENDER_CHECK_H

#include "model/model.h"

enum hw_verdict_of_check {
    HW_CHECK_HOLDS,
    HW_CHECK_BROKEN,
    HW_CHECK_IN_PART, /* it holds as far as it was examined: something is missing */
    HW_CHECK_UNKNOWN, /* this libc, or this heap, has no such thing */
};

static inline enum hw_verdict_of_check hw_check_verdict(const struct hw_report *r,
                                                        enum hw_invariant i)
{
    if (r->check.broken[i])
        return HW_CHECK_BROKEN;
    if (!r->check.examined[i].known)
        return HW_CHECK_UNKNOWN;
    return r->check.missed[i] ? HW_CHECK_IN_PART : HW_CHECK_HOLDS;
}

/* The block of the scene that ends at the finding, or that the finding lies inside of: NULL if
 * none. */
static inline const struct hw_block *hw_scene_before(const struct hw_finding *f)
{
    return f->scene.before.state == HW_STATES_ ? NULL : &f->scene.before;
}
static inline const struct hw_block *hw_scene_here(const struct hw_finding *f)
{
    return f->scene.here.state == HW_STATES_ ? NULL : &f->scene.here;
}

#endif
