/*
 * What mallinfo2(3) would have said. It is built from the free lists as glibc keeps them, not from
 * the walk, since that is how the process itself would count: tcache chunks are in use for it, and
 * so is every header, fence and gap.
 */
#include "analysis/analysis.h"

static void end(void *state, struct hw_report *r)
{
    (void)state;
    struct hw_mallinfo2 m = {0};
    for (size_t i = 0; i < r->arenas.count; i++) {
        const struct hw_arena *a = &r->arenas.data[i];
        m.arena += (uint64_t)hw_get(a->figures, HW_M_SYSTEM_BYTES);
        m.ordblks++; /* the top, also when it was never used */
        m.fordblks += a->top.bytes;
        for (size_t list = 0; list < HW_FAST_LISTS; list++) {
            m.smblks += a->fast[list].chunks;
            m.fsmblks += a->fast[list].bytes;
        }
        for (size_t list = 0; list < HW_BIN_LISTS; list++) {
            m.ordblks += a->bins[list].chunks;
            m.fordblks += a->bins[list].bytes;
        }
        if (a->kind == HW_ARENA_MAIN)
            m.keepcost = a->top.bytes;
    }
    m.fordblks += m.fsmblks;
    m.uordblks = m.arena - m.fordblks;
    m.hblks = hw_own_count(r->params.n_mmaps, r, HW_M_MMAPPED_CHUNKS);
    m.hblkhd = hw_own_count(r->params.mmapped_bytes, r, HW_M_MMAPPED_BYTES);
    r->mallinfo2 = m;
}

const struct hw_analysis hw_analysis_mallinfo = {
    .name = "mallinfo",
    .end = end,
};
