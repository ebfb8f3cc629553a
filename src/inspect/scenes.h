/*
 * What stands where something is wrong (--check): the bytes there, the chunk before, which often is
 * the one that was written past the end of, and the chunk that begins there.
 *
 * The bytes are the program's own data: they are kept only where that was asked for.
 */
#ifndef HW_INSPECT_SCENES_H
#define HW_INSPECT_SCENES_H

#include "model/model.h"
#include "target/target.h"

/* Some blocks of the walk: those at findings are noted there, whether they are known already or
 * come before the next call. */
void hw_scenes_blocks(struct hw_report *r, const struct hw_block *b, size_t count);

/* When all blocks have come, while the target still stands: read the bytes. */
void hw_scenes_read(struct hw_target *t, struct hw_report *r);

#endif
