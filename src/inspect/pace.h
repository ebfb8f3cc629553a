/*
 * How long it takes to walk a live target, and what follows from that: see pace.c.
 */
#ifndef HW_INSPECT_PACE_H
#define HW_INSPECT_PACE_H

#include "model/model.h"
#include "target/target.h"

/* Anonymous memory of a live target that is in RAM, as the kernel counts it: nearly all that a walk
 * may have to read. */
struct hw_maybe hw_pace_bytes(const struct hw_target *t);

/* How long it would be stopped for while so much is read, about; in nanoseconds. */
int64_t hw_pace_expected_ns(const struct hw_target *t, uint64_t bytes);

/* Whether that may be longer than it may be stopped: on a busy machine it takes twice as long. Then
 * it is read while it runs, first. */
bool hw_pace_needs_two(const struct hw_target *t, uint64_t bytes);

#endif
