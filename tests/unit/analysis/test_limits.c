#include "analysis/analysis.h"

#include "model/sample.h"

static struct hw_maybe limit_of(struct hw_report *r)
{
    r->limits.idle_arenas = r->limits.most_threads = (struct hw_maybe){0};
    hw_analysis_limits.end(NULL, r);
    return r->limits.arenas;
}

Test(limits, arenas_there_may_be)
{
    struct hw_report *r = sample_report();
    cr_expect(!limit_of(r).known); /* CPUs unknown, as in a core */
    r->limits.cores = hw_known(4);
    cr_expect_eq(limit_of(r).n, 32);
    r->limits.cores = hw_known(1); /* arena_test is 8: a ninth is made before anyone counts CPUs */
    cr_expect_eq(limit_of(r).n, 9);
    r->target.word = 4;
    r->params.arena_test = hw_known(2);
    cr_expect_eq(limit_of(r).n, 3);
    r->limits.cores = hw_known(4);
    cr_expect_eq(limit_of(r).n, 8);
    r->params.arena_max = hw_known(3);
    cr_expect_eq(limit_of(r).n, 3);
    r->limits.cores.known = false;
    cr_expect_eq(limit_of(r).n, 3);
    r->params.arena_max.known = false;
    cr_expect(!limit_of(r).known);
    hw_report_destroy(r);
}

Test(limits, threads_of_arenas)
{
    struct hw_report *r = sample_report();
    limit_of(r);
    cr_expect(!r->limits.idle_arenas.known && !r->limits.most_threads.known);
    for (unsigned i = 0; i < 4; i++)
        sample_arena(r, MIB, 0)->attached_threads = hw_known(i % 3);
    limit_of(r);
    cr_expect_eq(r->limits.idle_arenas.n, 2);
    cr_expect_eq(r->limits.most_threads.n, 2);
    for (unsigned i = 0; i < 4; i++)
        r->arenas.data[i].attached_threads.known = false;
    limit_of(r);
    cr_expect(!r->limits.idle_arenas.known);
    hw_report_destroy(r);
}
