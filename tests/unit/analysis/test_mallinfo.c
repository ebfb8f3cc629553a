#include "analysis/analysis.h"
#include "model/sample.h"

Test(mallinfo, sums_over_arenas_as_glibc_does)
{
    struct hw_report *r = sample_report();
    struct hw_arena *a = sample_arena(r, 132 * KIB, 60 * KIB);
    sample_fastbins(a, 3, 144);
    sample_bins(a, 3, 4096 + 2048);
    struct hw_arena *b = sample_arena(r, 1 * MIB, 100 * KIB);
    sample_fastbins(b, 1, 32);
    sample_bins(b, 1, 600 * KIB);
    r->params.n_mmaps = hw_known(2);
    r->params.mmapped_bytes = hw_known(409600);

    hw_analysis_mallinfo.end(NULL, r);
    const struct hw_mallinfo2 *m = &r->mallinfo2;
    cr_expect_eq(m->arena, 132 * KIB + 1 * MIB);
    cr_expect_eq(m->ordblks, 1 + 3 + 1 + 1);
    cr_expect_eq(m->smblks, 4);
    cr_expect_eq(m->hblks, 2);
    cr_expect_eq(m->hblkhd, 409600);
    cr_expect_eq(m->usmblks, 0);
    cr_expect_eq(m->fsmblks, 176);
    cr_expect_eq(m->fordblks, 60 * KIB + 4096 + 2048 + 144 + 100 * KIB + 600 * KIB + 32);
    cr_expect_eq(m->uordblks, m->arena - m->fordblks);
    cr_expect_eq(m->keepcost, 60 * KIB);
    hw_report_destroy(r);
}

Test(mallinfo, a_top_counts_as_one_also_when_it_was_never_used)
{
    struct hw_report *r = sample_report();
    sample_arena(r, 0, 0)->top.address = 0;
    hw_analysis_mallinfo.end(NULL, r);
    cr_expect_eq(r->mallinfo2.ordblks, 1);
    cr_expect_eq(r->mallinfo2.fordblks, 0);
    cr_expect_eq(r->mallinfo2.keepcost, 0);
    hw_report_destroy(r);
}

Test(mallinfo, without_mp_the_walk_tells_the_mmapped_chunks)
{
    struct hw_report *r = sample_report();
    r->params.n_mmaps = r->params.mmapped_bytes = (struct hw_maybe){0};
    hw_set(r->totals, HW_M_MMAPPED_CHUNKS, 3);
    hw_set(r->totals, HW_M_MMAPPED_BYTES, 12288);
    hw_analysis_mallinfo.end(NULL, r);
    cr_expect_eq(r->mallinfo2.hblks, 3);
    cr_expect_eq(r->mallinfo2.hblkhd, 12288);
    hw_report_destroy(r);
}
