/*
 * Two ratios, for each arena and in total, and what they do and do not say.
 *
 *     external_fragmentation = 1 - largest free chunk / (bin + top + fastbin bytes)
 *
 *         |used|  free  |used|free|used|      top      |      0 if all free memory is one piece,
 *               `------'     `----'    `---------------'      near 1 if it is in many small ones
 *                  sum of these        the largest
 *
 * It speaks of what a large request could still get without asking the kernel. Chunks in thread
 * caches are not in it: glibc serves only exact sizes from there. With all arenas together the
 * largest chunk is that of the best arena, as no request is served from two.
 *
 *     utilization = in use / resident bytes        (/ system bytes where residency is unknown)
 *
 * It speaks of what the process pays for what it holds. Memory in use that is swapped out or was
 * never touched makes it exceed 1, which says nothing more: it is cut there.
 */
#include "analysis/analysis.h"

/* part / whole as a figure in 0..1; unknown where that means nothing. */
static void set_ratio(struct hw_figure *f, double part, double whole)
{
    *f = (struct hw_figure){0};
    if (whole <= 0 || part < 0)
        return;
    f->known = true;
    f->ratio = part < whole ? part / whole : 1.0;
}

static void finish(struct hw_figure *f)
{
    double usable = (double)hw_get(f, HW_M_BIN_BYTES) + (double)hw_get(f, HW_M_TOP_BYTES) +
                    (double)hw_get(f, HW_M_FASTBIN_BYTES);
    double largest = (double)hw_get(f, HW_M_LARGEST_FREE_BYTES);
    set_ratio(&f[HW_M_EXTERNAL_FRAGMENTATION], usable - largest, usable);

    enum hw_metric whole = f[HW_M_RESIDENT_BYTES].known ? HW_M_RESIDENT_BYTES : HW_M_SYSTEM_BYTES;
    set_ratio(&f[HW_M_UTILIZATION], (double)hw_get(f, HW_M_IN_USE_BYTES), (double)hw_get(f, whole));
}

static void end(void *state, struct hw_report *r)
{
    (void)state;
    for (size_t a = 0; a < r->arenas.count; a++)
        finish(r->arenas.data[a].figures);
    finish(r->totals);
}

const struct hw_analysis hw_analysis_fragmentation = {
    .name = "fragmentation",
    .end = end,
};
