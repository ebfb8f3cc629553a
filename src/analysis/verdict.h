/*
 * The verdict: what the figures mean and what to do about it, in few sentences.
 *
 *     report --> struct hw_case --> rules, in the order of a table --> report->verdict
 *                what all of        each: fires or not; if so, a
 *                them ask for       sentence, its evidence, and
 *                                   what to apply at what cost
 *
 *     answers    what the memory is: the first of these that fires is said, and some of them end it
 *     hints      where it is, what would help and what would not; as many as there is room for
 *     all well   one sentence if nothing else was said
 *
 * To add a rule: a function in the verdict_*.c that it fits, one line in the table of verdict.c,
 * its numbers in verdict_thresholds.def; a unit test that fires it and one that nearly does; a case
 * in tests/e2e/verdict.py; a row in docs/VERDICTS.md.
 *
 * A rule must be right rather than helpful. What is not known (where the pages are, in a core) is
 * said to be unknown. Nothing is proposed that could harm the process: it is never proposed to call
 * a function in it from outside.
 */
#ifndef HW_ANALYSIS_VERDICT_H
#define HW_ANALYSIS_VERDICT_H

#include "base/size.h"
#include "model/model.h"

enum hw_threshold {
#define HW_THRESHOLD(id, value, unit, what, source) HW_T_##id = (value),
#include "analysis/verdict_thresholds.def"
#undef HW_THRESHOLD
};

#define HW_VERDICTS_MAX 4 /* more sentences are not read */

/* Fill r->verdict, replacing what is in it. The last step of all: needs every other part of the
 * report. Without memory there is no verdict. */
void hw_judge(struct hw_report *r);

/* ---- for rules ------------------------------------------------------------------------------ */

/*
 * What the rules ask for. Where the pages are known "held" is free memory in RAM, as part of RSS;
 * where they are not (`resident` is false) it is what glibc counts as free, as part of what it has
 * from the kernel.
 */
struct hw_case {
    const struct hw_report *r;
    bool resident;
    uint64_t whole;                 /* RSS, or system bytes and mmapped chunks */
    uint64_t in_use;                /* by the program, mmapped chunks among it */
    uint64_t held;                  /* free */
    uint64_t main_held, arena_held; /* of it in the main arena, in thread arenas */
    uint64_t arena_in_use;          /* in use in thread arenas */
    size_t holders;                 /* thread arenas that hold anything */
    size_t half_arenas;             /* the fewest thread arenas that hold half of arena_held */
    bool worth;                     /* so much is held that its whereabouts matter */
};

/* Figure the case out; false when memory is out. */
bool hw_case_init(struct hw_case *c, const struct hw_report *r);

/* Free memory of an arena as the case counts it. */
uint64_t hw_case_held(const struct hw_case *c, const struct hw_arena *a);

/* Whether `part` is at least `percent` per cent of `whole`; more than that. */
bool hw_at_least(uint64_t part, uint64_t percent, uint64_t whole);
bool hw_more_than(uint64_t part, uint64_t percent, uint64_t whole);

/* `part` of `whole` as "72%"; "under 1%" for little, "over 99%" for nearly all. buf is returned. */
#define HW_PERCENT_TEXT 16
char *hw_percent(char buf[HW_PERCENT_TEXT], uint64_t part, uint64_t whole);

/* Append to the text of a verdict. */
void hw_say(struct hw_verdict *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* What to apply, and what that costs. */
void hw_propose(struct hw_verdict *v, const char *cost, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* A figure that made the rule fire; the first HW_EVIDENCE_MAX are kept. `name` is static. */
void hw_prove(struct hw_verdict *v, const char *name, uint64_t n, enum hw_unit unit);

/* True if the rule fires; then it has filled everything of *v but the name. */
typedef bool hw_rule_fn(const struct hw_case *c, struct hw_verdict *v);

/* verdict_answers.c */
hw_rule_fn hw_rule_incomplete, hw_rule_unused, hw_rule_other_allocator, hw_rule_not_malloc,
    hw_rule_retention, hw_rule_some_retention, hw_rule_free_in_books, hw_rule_live_data,
    hw_rule_healthy;
/* verdict_trim.c */
hw_rule_fn hw_rule_trim_now, hw_rule_pinned, hw_rule_locked, hw_rule_swapped, hw_rule_returned;
/* verdict_arenas.c */
hw_rule_fn hw_rule_arena_cap, hw_rule_main_arena, hw_rule_few_arenas, hw_rule_top_pinned;
/* verdict_settings.c */
hw_rule_fn hw_rule_mmap_threshold, hw_rule_trim_threshold, hw_rule_tcache;

#endif
