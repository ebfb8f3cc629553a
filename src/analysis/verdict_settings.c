/*
 * Which of malloc's settings make it keep free memory.
 *
 * Settings are proposed for the next start, as variables of the environment: they are read once,
 * when malloc is first used. Every glibc from 2.17 to 2.43 understands MALLOC_..._; what came with
 * tunables (tcache, 2.26) has a name in GLIBC_TUNABLES only.
 */
#include "analysis/verdict.h"

#include <inttypes.h>

/* ---- thresholds ------------------------------------------------------------------------------ */

/* Free chunks that would have been mappings of their own before the threshold grew. A bucket with
 * the threshold in it counts whole. */
static uint64_t free_below(const struct hw_report *r, uint64_t threshold, uint64_t *chunks)
{
    uint64_t bytes = 0;
    *chunks = 0;
    for (unsigned i = 0; i < HW_BUCKETS; i++) {
        uint64_t from = (uint64_t)1 << i;
        if (from < HW_T_MAPPED_FROM_BYTES || from > threshold)
            continue;
        bytes += r->histogram.bytes[i];
        *chunks += r->histogram.chunks[i];
    }
    return bytes;
}

bool hw_rule_mmap_threshold(const struct hw_case *c, struct hw_verdict *v)
{
    const struct hw_params *p = &c->r->params;
    const struct hw_split *bins = &c->r->residency.free[HW_FREE_BIN];
    char threshold[HW_SIZE_TEXT], text[HW_SIZE_TEXT];
    uint64_t chunks;
    if (!c->worth || !p->mmap_threshold_dynamic.known || !p->mmap_threshold_dynamic.n ||
        !p->mmap_threshold.known || p->mmap_threshold.n <= HW_T_GROWN_BYTES)
        return false;
    uint64_t bytes = free_below(c->r, p->mmap_threshold.n, &chunks);
    if (!hw_at_least(bytes, HW_T_MOST_PERCENT, c->held) ||
        (c->resident && !hw_at_least(bins->resident, HW_T_MOST_PERCENT, c->held)))
        return false;
    hw_say(v,
           "The mmap threshold has grown to %s, so blocks up to that size come from arenas instead "
           "of mappings that free() gives back; %" PRIu64 " free chunks of 128 KiB up to about "
           "that size hold %s.",
           hw_format_size(threshold, p->mmap_threshold.n, false), chunks,
           hw_format_size(text, bytes, false));
    hw_prove(v, "mmap_threshold", p->mmap_threshold.n, HW_UNIT_BYTES);
    hw_prove(v, "large_free_bytes", bytes, HW_UNIT_BYTES);
    hw_prove(v, "large_free_chunks", chunks, HW_UNIT_COUNT);
    hw_prove(v, c->resident ? "free_resident_bytes" : "free_bytes", c->held, HW_UNIT_BYTES);
    hw_propose(v,
               "From the next start on; each such block then costs an mmap(), fresh pages and a "
               "munmap(), and thresholds no longer adapt.",
               "MALLOC_MMAP_THRESHOLD_=%d", HW_T_MAPPED_FROM_BYTES);
    return true;
}

/* Tops that free() keeps because they are smaller than the threshold, and would not by default. */
static uint64_t kept_tops(const struct hw_case *c, uint64_t threshold, uint64_t *tops)
{
    uint64_t bytes = 0;
    *tops = 0;
    for (size_t i = 0; i < c->r->arenas.count; i++) {
        const struct hw_arena *a = &c->r->arenas.data[i];
        uint64_t top = hw_merged_top_bytes(&a->top);
        if (a->top.reason == HW_TRIM_BRK_MOVED || a->top.reason == HW_TRIM_NONCONTIGUOUS ||
            a->top.reason == HW_TRIM_NOT_LAST_HEAP || !hw_heeds_trim_threshold(c->r, a) ||
            top >= threshold || top < HW_T_TRIM_FROM_BYTES)
            continue;
        bytes += c->resident ? a->residency.free[HW_FREE_TOP].resident : a->top.bytes;
        ++*tops;
    }
    return bytes;
}

bool hw_rule_trim_threshold(const struct hw_case *c, struct hw_verdict *v)
{
    const struct hw_params *p = &c->r->params;
    char threshold[HW_SIZE_TEXT], text[HW_SIZE_TEXT];
    uint64_t tops;
    if (!c->worth || !p->trim_threshold.known || p->trim_threshold.n <= HW_T_GROWN_BYTES)
        return false;
    uint64_t bytes = kept_tops(c, p->trim_threshold.n, &tops);
    if (bytes < HW_T_WORTH_BYTES || !hw_at_least(bytes, HW_T_MOST_PERCENT, c->held))
        return false;
    bool dynamic = p->mmap_threshold_dynamic.known && p->mmap_threshold_dynamic.n;
    hw_say(v, "free() keeps %s at the ends of %" PRIu64 " arena%s, as it cuts an end only ",
           hw_format_size(text, bytes, false), tops, tops == 1 ? "" : "s");
    if (hw_is_never(c->r, p->trim_threshold.n))
        hw_say(v, "if trim_threshold allows it, and that is off.");
    else
        hw_say(v, "from trim_threshold on, which %s %s.", dynamic ? "has grown to" : "is set to",
               hw_format_size(threshold, p->trim_threshold.n, false));
    hw_prove(v, "trim_threshold", p->trim_threshold.n, HW_UNIT_BYTES);
    hw_prove(v, "kept_top_bytes", bytes, HW_UNIT_BYTES);
    hw_prove(v, "kept_tops", tops, HW_UNIT_COUNT);
    hw_prove(v, c->resident ? "free_resident_bytes" : "free_bytes", c->held, HW_UNIT_BYTES);
    hw_propose(v,
               "From the next start on; free() then returns memory, and malloc() asks for it "
               "again, more often, and thresholds no longer adapt.",
               "MALLOC_TRIM_THRESHOLD_=%d", HW_T_TRIM_FROM_BYTES);
    return true;
}

/* ---- caches ---------------------------------------------------------------------------------- */

bool hw_rule_tcache(const struct hw_case *c, struct hw_verdict *v)
{
    const struct hw_params *p = &c->r->params;
    const struct hw_split *split = &c->r->residency.free[HW_FREE_TCACHE];
    uint64_t bytes =
        c->resident ? split->resident : (uint64_t)hw_get(c->r->totals, HW_M_TCACHE_BYTES);
    uint64_t caches = 0;
    char text[HW_SIZE_TEXT];
    if (bytes < HW_T_WORTH_BYTES || !hw_at_least(bytes, HW_T_SOME_PERCENT, c->whole))
        return false;
    for (size_t i = 0; i < c->r->threads.count; i++)
        caches += c->r->threads.data[i].tcache_bytes.known && c->r->threads.data[i].tcache_bytes.n;
    hw_say(v,
           "The caches of %" PRIu64 " thread%s (tcache) hold %s, which malloc_trim(0) leaves alone",
           caches, caches == 1 ? "" : "s", hw_format_size(text, bytes, false));
    if (p->tcache_count.known)
        hw_say(v, ": up to %" PRIu64 " chunks of each size", p->tcache_count.n);
    hw_say(v, ".");
    hw_prove(v, "tcache_bytes", bytes, HW_UNIT_BYTES);
    hw_prove(v, "tcache_chunks", (uint64_t)hw_get(c->r->totals, HW_M_TCACHE_CHUNKS), HW_UNIT_COUNT);
    hw_prove(v, "threads_with_tcache", caches, HW_UNIT_COUNT);
    if (p->tcache_count.known)
        hw_prove(v, "tcache_count", p->tcache_count.n, HW_UNIT_COUNT);
    bool more = p->tcache_count.known && p->tcache_count.n > HW_T_TCACHE_COUNT;
    if (p->tcache_count.known && p->tcache_count.n <= 2)
        return true; /* there is nothing left to turn down */
    hw_propose(v, "From the next start on; threads take the locks of their arenas more often.",
               "GLIBC_TUNABLES=glibc.malloc.tcache_count=%d", more ? HW_T_TCACHE_COUNT : 2);
    return true;
}
