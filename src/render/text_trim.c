/*
 * What would go back to the kernel, and what would not: malloc_trim(0) in every arena, and free()
 * by itself at the top of an arena.
 */
#include "render/text.h"

#include <string.h>

/* ---- what stays ----------------------------------------------------------------------------- */

static const char *const stays[HW_STAYS_] = {
    [HW_STAY_SHARED_PAGE] = "on pages with live data",
    [HW_STAY_TCACHE] = "in tcaches",
    [HW_STAY_THREAD_TOP] = "in tops of thread arenas",
    [HW_STAY_MAIN_TOP] = "in the main top",
    [HW_STAY_OTHER] = "locked in RAM",
};

static uint64_t sum_of_stays(const struct hw_residency *res)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < HW_STAYS_; i++)
        sum += res->stays[i].known ? (uint64_t)res->stays[i].n : 0;
    return sum;
}

struct hw_figure hw_text_stays(const struct hw_residency *res)
{
    struct hw_figure sum = {.known = res->stays[0].known};
    sum.n = hw_text_signed(sum_of_stays(res));
    return sum;
}

static void put_stays(struct hw_text *t, struct hw_flow *f, const struct hw_residency *res,
                      bool reasons)
{
    uint64_t bytes[HW_STAYS_];
    char numbers[HW_STAYS_][HW_SIZE_TEXT], buf[HW_TEXT_NUMBER];
    for (size_t i = 0; i < HW_STAYS_; i++)
        bytes[i] = res->stays[i].known ? (uint64_t)res->stays[i].n : 0;
    uint64_t sum = hw_format_parts(numbers, bytes, HW_STAYS_, t->opt->exact);
    size_t seen = 0, put = 0, last = 0;
    for (size_t i = 0; i < HW_STAYS_; i++)
        if (!hw_is_zero_text(numbers[i])) {
            seen++;
            last = i;
        }
    hw_text_amount(t, buf, hw_text_signed(sum));
    if (seen == 0) {
        hw_flow_words(f, "no free memory would stay in RAM");
    } else if (!reasons) {
        hw_flow_words(f, "%s would stay in RAM", buf);
    } else if (seen == 1) {
        hw_flow_words(f, "%s would stay in RAM, %s", buf, stays[last]);
    } else {
        hw_flow_words(f, "%s would stay in RAM:", buf);
        for (size_t i = 0; i < HW_STAYS_; i++)
            if (!hw_is_zero_text(numbers[i]))
                hw_flow_words(f, "%s %s%s", numbers[i], stays[i], ++put < seen ? "," : "");
    }
}

/* Many believe that malloc_trim() only cuts the top, so never mention that alone. */
void hw_text_prediction(struct hw_text *t, const struct hw_figure *figures,
                        const struct hw_residency *res)
{
    struct hw_figure trim = figures[HW_M_TRIM_BYTES];
    char buf[HW_TEXT_NUMBER];
    if (!trim.known)
        return;
    struct hw_flow f = hw_flow_begin(t, 2, 4, 1);
    if (trim.n == 0)
        hw_flow_words(&f, "malloc_trim(0) would give back nothing now;");
    else
        hw_flow_words(&f, "malloc_trim(0) would give back %s%s now%s",
                      t->r->target.some_locked ? "at most " : "", hw_text_amount(t, buf, trim.n),
                      trim.n == hw_get(figures, HW_M_TRIM_RESIDENT_BYTES) ? ";" : "");
    if (trim.n != hw_get(figures, HW_M_TRIM_RESIDENT_BYTES))
        hw_flow_words(&f, "(%s of it in RAM);",
                      hw_text_amount(t, buf, hw_get(figures, HW_M_TRIM_RESIDENT_BYTES)));
    put_stays(t, &f, res, t->opt->only_arena || !hw_text_holds_little(t->r));
    hw_flow_end(&f);
}

/* ---- the top of an arena -------------------------------------------------------------------- */

/* Reasons that hold for malloc_trim() and free() alike. */
static const char *why_it_stays(enum hw_trim_reason reason)
{
    switch (reason) {
    case HW_TRIM_BRK_MOVED:
        return "someone else moved the program break";
    case HW_TRIM_NONCONTIGUOUS:
        return "it lies in an mmap region";
    case HW_TRIM_SUB_PAGE:
        return "there is no whole page to spare";
    case HW_TRIM_NOT_LAST_HEAP:
        return "it is not in the last heap";
    case HW_TRIM_NONE:
    case HW_TRIM_BELOW_THRESHOLD:
    case HW_TRIM_THREAD_ARENA:
    case HW_TRIM_UNUSED:
        break;
    }
    return NULL;
}

/* Where it is known what is in RAM, the prediction has said that already. */
static void put_by_trim(struct hw_text *t, struct hw_flow *f, const struct hw_arena *a)
{
    char buf[HW_TEXT_NUMBER];
    uint64_t bytes = a->top.malloc_trim_bytes.n;
    if (a->kind == HW_ARENA_THREAD)
        hw_flow_words(f, "malloc_trim(0) never touches the top of a thread arena,");
    else if (a->top.resident_bytes.known)
        return;
    else if (bytes)
        hw_flow_words(f, "malloc_trim(0) could cut %s off it,",
                      hw_text_amount(t, buf, hw_text_signed(bytes)));
    else
        hw_flow_words(f, "malloc_trim(0) cuts nothing off it,");
}

static void put_by_free(struct hw_text *t, struct hw_flow *f, const struct hw_top *top)
{
    char buf[HW_TEXT_NUMBER];
    if (!top->trimmable_bytes.known)
        hw_flow_words(f, "free() an unknown part");
    else if (top->trimmable_bytes.n)
        hw_flow_words(f, "the next large free() cuts %s off it",
                      hw_text_amount(t, buf, hw_text_signed(top->trimmable_bytes.n)));
    else
        hw_flow_words(f, "free() by itself gives back nothing%s",
                      top->reason == HW_TRIM_BELOW_THRESHOLD ? " (below trim_threshold)" : "");
}

static void put_size(struct hw_text *t, struct hw_flow *f, const struct hw_arena *a,
                     const char *stop)
{
    const struct hw_top *top = &a->top;
    char name[HW_TEXT_NAME], size[HW_TEXT_NUMBER], resident[HW_TEXT_NUMBER];
    if (a->kind == HW_ARENA_MAIN)
        hw_flow_words(f, "top of the main arena is");
    else
        hw_flow_words(f, "top of arena %s is", hw_text_arena_name(name, a));
    hw_text_amount(t, size, hw_text_signed(top->bytes));
    if (top->resident_bytes.known)
        hw_flow_words(f, "%s (%s in RAM)%s", size,
                      hw_text_amount(t, resident, hw_text_signed(top->resident_bytes.n)), stop);
    else
        hw_flow_words(f, "%s%s", size, stop);
}

void hw_text_top(struct hw_text *t, const struct hw_arena *a)
{
    const struct hw_top *top = &a->top;
    if (top->address == 0 || !top->malloc_trim_bytes.known)
        return;
    struct hw_flow f = hw_flow_begin(t, 2, 4, 1);
    const char *why = why_it_stays(top->reason);
    bool nothing =
        top->malloc_trim_bytes.n == 0 && top->trimmable_bytes.known && top->trimmable_bytes.n == 0;
    if (nothing && why) {
        put_size(t, &f, a, "");
        hw_flow_words(&f, "and stays: %s", why);
    } else {
        put_size(t, &f, a, ":");
        put_by_trim(t, &f, a);
        put_by_free(t, &f, top);
    }
    hw_flow_end(&f);
}

/* ---- section -------------------------------------------------------------------------------- */

/* The top is told of where it matters: a good part of the free memory of its arena, and not little
 * beside all that the process has. */
static bool top_matters(const struct hw_report *r, const struct hw_arena *a)
{
    uint64_t top = a->top.bytes, held = (uint64_t)hw_get(a->figures, HW_M_FREE_BYTES);
    uint64_t all = (uint64_t)hw_get(r->totals, HW_M_SYSTEM_BYTES);
    if (a->top.resident_bytes.known && r->rss.known) {
        top = a->top.resident_bytes.n;
        held = (uint64_t)hw_get(a->figures, HW_M_FREE_RESIDENT_BYTES);
        all = r->rss.rss_bytes;
    }
    return top && top >= held / 10 && top >= all / 100;
}

void hw_text_trim(struct hw_text *t)
{
    const struct hw_report *r = t->r;
    hw_text_prediction(t, r->totals, &r->residency);
    if (r->arenas.count && top_matters(r, &r->arenas.data[0]))
        hw_text_top(t, &r->arenas.data[0]);
}
