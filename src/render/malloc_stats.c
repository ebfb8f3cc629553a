/*
 * What malloc_stats(3) would have printed in the process. glibc prints through unsigned int, so its
 * own figures wrap at 4 GiB; these do not. The text is the same in all versions since 2.17.
 */
#include "render/render.h"

#include <inttypes.h>

static void put_pair(FILE *out, uint64_t system, uint64_t in_use)
{
    fprintf(out, "system bytes     = %10" PRIu64 "\n", system);
    fprintf(out, "in use bytes     = %10" PRIu64 "\n", in_use);
}

/* For glibc everything is in use that is in no fastbin, bin or top. */
static uint64_t free_bytes(const struct hw_arena *a)
{
    return a->top.bytes + (uint64_t)hw_get(a->figures, HW_M_FASTBIN_BYTES) +
           (uint64_t)hw_get(a->figures, HW_M_BIN_BYTES);
}

static int report(const struct hw_report *r, const struct hw_render_options *opt, FILE *out,
                  struct hw_error *err)
{
    (void)err;
    uint64_t mmaps = hw_own_count(r->params.n_mmaps, r, HW_M_MMAPPED_CHUNKS);
    uint64_t mmapped = hw_own_count(r->params.mmapped_bytes, r, HW_M_MMAPPED_BYTES);
    uint64_t system = mmapped, in_use = mmapped;
    for (size_t i = 0; i < r->arenas.count; i++) {
        const struct hw_arena *a = &r->arenas.data[i];
        uint64_t arena_system = (uint64_t)hw_get(a->figures, HW_M_SYSTEM_BYTES);
        uint64_t arena_in_use = arena_system - free_bytes(a);
        system += arena_system;
        in_use += arena_in_use;
        if (!hw_shows_arena(opt, (int)i))
            continue;
        fprintf(out, "Arena %zu:\n", i);
        put_pair(out, arena_system, arena_in_use);
    }
    fputs("Total (incl. mmap):\n", out);
    put_pair(out, system, in_use);
    /* Where the maxima are not known, there were at least as many as there are. */
    const struct hw_params *p = &r->params;
    fprintf(out, "max mmap regions = %10" PRIu64 "\n",
            p->max_n_mmaps.known ? p->max_n_mmaps.n : mmaps);
    fprintf(out, "max mmap bytes   = %10" PRIu64 "\n",
            p->max_mmapped_bytes.known ? p->max_mmapped_bytes.n : mmapped);
    return HW_OK;
}

const struct hw_renderer hw_render_malloc_stats = {
    .format = HW_FORMAT_MALLOC_STATS,
    .report = report,
};
