/*
 * What mallinfo2(3) would have said. It counts as the process itself would: free is what fastbins,
 * bins and top hold. Chunks of a tcache are in use for it, and so is every header, fence and gap.
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
        m.smblks += (uint64_t)hw_get(a->figures, HW_M_FASTBIN_CHUNKS);
        m.fsmblks += (uint64_t)hw_get(a->figures, HW_M_FASTBIN_BYTES);
        m.ordblks += (uint64_t)hw_get(a->figures, HW_M_BIN_CHUNKS);
        m.fordblks += (uint64_t)hw_get(a->figures, HW_M_BIN_BYTES);
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
