/*
 * What malloc_trim(0) would do about free memory, and why it would not.
 */
#include "analysis/verdict.h"

/* ---- now ------------------------------------------------------------------------------------- */

/*
 * How long malloc_trim(0) would take, in ns: it makes one madvise() for each free chunk that has a
 * whole page, resident or not, and the kernel then frees page by page. The chunks are those of the
 * histogram's buckets from a page on; fastbin chunks that merge first are few. Within a factor of
 * three on other machines.
 */
static uint64_t trim_ns(const struct hw_report *r, uint64_t bytes)
{
    uint64_t page = r->target.page_size ? r->target.page_size : 4096, pieces = 0;
    for (unsigned i = 0; i < HW_BUCKETS; i++)
        if ((uint64_t)1 << i >= page)
            pieces += r->histogram.chunks[i];
    return bytes / page * HW_T_TRIM_NS_PER_PAGE + pieces * HW_T_TRIM_NS_PER_PIECE;
}

static void say_duration(struct hw_verdict *v, uint64_t ns)
{
    if (ns < 100000000)
        hw_say(v, "less than 0.1 s");
    else
        hw_say(v, "about %.1f s", (double)ns / 1e9);
}

static uint64_t trimmed(const struct hw_case *c)
{
    return (uint64_t)hw_get(c->r->totals, HW_M_TRIM_RESIDENT_BYTES);
}

static uint64_t stays(const struct hw_case *c, enum hw_stay why)
{
    const struct hw_figure *f = &c->r->residency.stays[why];
    return f->known && f->n > 0 ? (uint64_t)f->n : 0;
}

bool hw_rule_trim_now(const struct hw_case *c, struct hw_verdict *v)
{
    uint64_t bytes = trimmed(c), all = (uint64_t)hw_get(c->r->totals, HW_M_TRIM_BYTES);
    char text[HW_SIZE_TEXT], rest[HW_SIZE_TEXT];
    if (!c->resident || !c->worth || bytes < HW_T_WORTH_BYTES ||
        !(hw_at_least(bytes, HW_T_MOST_PERCENT, c->held) ||
          hw_at_least(bytes, HW_T_SOME_PERCENT, c->whole)))
        return false;
    uint64_t ns = trim_ns(c->r, all);
    hw_say(v, "malloc_trim(0) would give back %s%s now, in ",
           c->r->target.some_locked ? "at most " : "", hw_format_size(text, bytes, false));
    say_duration(v, ns);
    hw_say(v, "; %s%s of the free memory would stay.", c->r->target.some_locked ? "at least " : "",
           hw_format_size(rest, c->held > bytes ? c->held - bytes : 0, false));
    if (c->r->target.some_locked)
        hw_say(v, " Some memory is locked in RAM (mlock), and a free chunk that holds any of that "
                  "stays from there on.");
    hw_prove(v, "trim_resident_bytes", bytes, HW_UNIT_BYTES);
    hw_prove(v, "trim_bytes", all, HW_UNIT_BYTES);
    hw_prove(v, "free_resident_bytes", c->held, HW_UNIT_BYTES);
    hw_prove(v, "estimated_ms", ns / 1000000, HW_UNIT_COUNT);
    hw_propose(v,
               "Each arena is locked while it is trimmed; what the program needs again has to be "
               "faulted in again.",
               "call malloc_trim(0) in the program, after what frees that much");
    return true;
}

/* ---- not now --------------------------------------------------------------------------------- */

bool hw_rule_pinned(const struct hw_case *c, struct hw_verdict *v)
{
    uint64_t bytes = stays(c, HW_STAY_SHARED_PAGE), sparse = 0;
    char text[HW_SIZE_TEXT], thin[HW_SIZE_TEXT];
    if (!c->resident || !c->worth || bytes < HW_T_WORTH_BYTES ||
        !hw_at_least(bytes, HW_T_MOST_PERCENT, c->held))
        return false;
    for (unsigned i = 0; i < HW_FULLNESS && hw_fullness_percent[i] <= 50; i++)
        sparse += i ? c->r->residency.fullness[i] : 0; /* [0]: nothing in use */
    hw_say(v,
           "Pinned: %s of the free memory shares its pages with chunks that are not free, and "
           "malloc_trim(0) cannot give it back; pages that are at most half in use are %s in all. "
           "What helps is to allocate short-lived blocks apart from long-lived ones, or an "
           "allocator that does.",
           hw_format_size(text, bytes, false), hw_format_size(thin, sparse, false));
    hw_prove(v, "shared_page_bytes", bytes, HW_UNIT_BYTES);
    hw_prove(v, "free_resident_bytes", c->held, HW_UNIT_BYTES);
    hw_prove(v, "trim_resident_bytes", trimmed(c), HW_UNIT_BYTES);
    hw_prove(v, "half_empty_page_bytes", sparse, HW_UNIT_BYTES);
    return true;
}

bool hw_rule_locked(const struct hw_case *c, struct hw_verdict *v)
{
    uint64_t bytes = stays(c, HW_STAY_OTHER);
    char text[HW_SIZE_TEXT], locked[HW_SIZE_TEXT];
    if (!c->resident || !c->worth || bytes < HW_T_WORTH_BYTES ||
        !hw_at_least(bytes, HW_T_MOST_PERCENT, c->held))
        return false;
    hw_say(v,
           "Locked: the process keeps %s in RAM by mlock(); malloc_trim(0) would give back %s if "
           "it did not.",
           hw_format_size(locked, c->r->target.locked_bytes.n, false),
           hw_format_size(text, bytes, false));
    hw_prove(v, "locked_bytes", c->r->target.locked_bytes.n, HW_UNIT_BYTES);
    hw_prove(v, "other_bytes", bytes, HW_UNIT_BYTES);
    hw_prove(v, "free_resident_bytes", c->held, HW_UNIT_BYTES);
    hw_propose(v, "Until it is locked again its memory may be swapped out.",
               "call munlockall() and malloc_trim(0) in the program, then lock again");
    return true;
}

bool hw_rule_swapped(const struct hw_case *c, struct hw_verdict *v)
{
    uint64_t bytes = (uint64_t)hw_get(c->r->totals, HW_M_FREE_SWAPPED_BYTES);
    uint64_t all = (uint64_t)hw_get(c->r->totals, HW_M_TRIM_BYTES), in_ram = trimmed(c);
    uint64_t dropped = all > in_ram ? all - in_ram : 0;
    char text[HW_SIZE_TEXT], gone[HW_SIZE_TEXT];
    if (!c->resident || bytes < HW_T_WORTH_BYTES ||
        !hw_at_least(bytes, HW_T_SOME_PERCENT, c->whole))
        return false;
    hw_say(v,
           "%s of free memory is swapped out; malloc_trim(0) would drop %s of that without "
           "reading it back.",
           hw_format_size(text, bytes, false), hw_format_size(gone, dropped, false));
    hw_prove(v, "free_swapped_bytes", bytes, HW_UNIT_BYTES);
    hw_prove(v, "trim_swapped_bytes", dropped, HW_UNIT_BYTES);
    if (c->r->rss.known)
        hw_prove(v, "swap_bytes", c->r->rss.swap_bytes, HW_UNIT_BYTES);
    if (dropped)
        hw_propose(v, "Each arena is locked while it is trimmed.",
                   "call malloc_trim(0) in the program");
    return true;
}

bool hw_rule_returned(const struct hw_case *c, struct hw_verdict *v)
{
    uint64_t bytes = (uint64_t)hw_get(c->r->totals, HW_M_FREE_RETURNED_BYTES);
    uint64_t books = (uint64_t)hw_get(c->r->totals, HW_M_FREE_BYTES);
    char gone[HW_SIZE_TEXT], free[HW_SIZE_TEXT], held[HW_SIZE_TEXT];
    if (!c->resident || bytes < HW_T_WORTH_BYTES ||
        !hw_at_least(bytes, HW_T_SOME_PERCENT, c->whole) ||
        !hw_at_least(bytes, HW_T_MOST_PERCENT, books))
        return false;
    hw_say(v,
           "glibc counts %s as free (mallinfo2, malloc_info), but %s of it costs no RAM: these "
           "pages were given back, or never touched. %s of it is in RAM.",
           hw_format_size(free, books, false), hw_format_size(gone, bytes, false),
           hw_format_size(held, c->held, false));
    hw_prove(v, "free_bytes", books, HW_UNIT_BYTES);
    hw_prove(v, "free_returned_bytes", bytes, HW_UNIT_BYTES);
    hw_prove(v, "free_resident_bytes", c->held, HW_UNIT_BYTES);
    return true;
}
