#include "analysis/verdict.h"

#include <string.h>

enum kind { CAVEAT, ANSWER, HINT, ALL_WELL };

struct rule {
    const char *name;
    enum kind kind;
    bool final; /* an answer that leaves nothing to add */
    hw_rule_fn *fires;
};

struct judging {
    struct hw_case c;
    struct hw_report *r;
    bool cautioned, answered, final;
};

static bool is_asked(const struct judging *j, const struct rule *rule)
{
    switch (rule->kind) {
    case CAVEAT:
        return true;
    case ANSWER:
        return !j->answered;
    case HINT:
        return !j->final && j->r->verdict.count < HW_VERDICTS_MAX;
    case ALL_WELL:
        return j->r->verdict.count == j->cautioned && !hw_report_flawed(j->r);
    }
    return false;
}

static void ask(struct judging *j, const struct rule *rule)
{
    struct hw_verdict v = {.rule = rule->name};
    if (!is_asked(j, rule) || !rule->fires(&j->c, &v) || !hw_vec_push(&j->r->verdict, v))
        return;
    j->cautioned |= rule->kind == CAVEAT;
    j->answered |= rule->kind == ANSWER;
    j->final |= rule->final;
}

/* The order is that of importance: for hints, what to do before where it is. */
static const struct rule rules[] = {
    {"incomplete", CAVEAT, false, hw_rule_incomplete},
    {"unused", ANSWER, true, hw_rule_unused},
    {"other_allocator", ANSWER, true, hw_rule_other_allocator},
    {"not_malloc", ANSWER, true, hw_rule_not_malloc},
    {"retention", ANSWER, false, hw_rule_retention},
    {"some_retention", ANSWER, false, hw_rule_some_retention},
    {"free_in_books", ANSWER, false, hw_rule_free_in_books},
    {"locked", HINT, false, hw_rule_locked},
    {"trim_now", HINT, false, hw_rule_trim_now},
    {"pinned", HINT, false, hw_rule_pinned},
    {"mmap_threshold", HINT, false, hw_rule_mmap_threshold},
    {"trim_threshold", HINT, false, hw_rule_trim_threshold},
    {"arena_cap", HINT, false, hw_rule_arena_cap},
    {"main_arena", HINT, false, hw_rule_main_arena},
    {"few_arenas", HINT, false, hw_rule_few_arenas},
    {"tcache", HINT, false, hw_rule_tcache},
    {"top_pinned", HINT, false, hw_rule_top_pinned},
    {"swapped", HINT, false, hw_rule_swapped},
    {"returned", HINT, false, hw_rule_returned},
    {"live_data", ALL_WELL, true, hw_rule_live_data},
    {"healthy", ALL_WELL, true, hw_rule_healthy},
    {NULL, ALL_WELL, true, NULL},
};

void hw_judge(struct hw_report *r)
{
    struct judging j = {.r = r};
    r->verdict.count = 0;
    if (!hw_case_init(&j.c, r))
        return;
    for (const struct rule *rule = rules; rule->name; rule++)
        ask(&j, rule);
}
