/*
 * The RSS ledger: what a live process's resident memory is for.
 *
 * Every resident page belongs to one map. Of each map's pages those that lie in glibc's heaps and
 * in mmapped chunks are taken out; the rest is named after the map.
 */
#ifndef HW_INSPECT_LEDGER_H
#define HW_INSPECT_LEDGER_H

#include "model/model.h"
#include "target/target.h"

struct hw_ledger {
    struct hw_target *target;
    struct hw_ledger_map {
        uint64_t taken; /* bytes of it that heaps and chunks have */
        bool is_stack;  /* a thread's stack pointer is in it */
    } * maps;           /* as the target's; NULL where its pages are not known */
    uint64_t heap_bytes, chunk_bytes;
};

/* Begin, while the target is frozen and its pages are known; where they are not, nothing will be
 * reported. NOMEM. */
int hw_ledger_begin(struct hw_ledger *l, struct hw_target *t, struct hw_error *err);
/* Some blocks of the walk, of one arena or mmapped; only mmapped chunks are of interest. */
void hw_ledger_blocks(struct hw_ledger *l, const struct hw_block *b, size_t count);
/* Fill r->rss. Opens files of the target, which need not stand still for it. */
void hw_ledger_end(struct hw_ledger *l, struct hw_report *r);
void hw_ledger_deinit(struct hw_ledger *l);

#endif
