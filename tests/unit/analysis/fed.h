/*
 * A walk made by hand: blocks one behind the other, on pages whose states the test sets.
 */
#ifndef HW_TESTS_ANALYSIS_FED_H
#define HW_TESTS_ANALYSIS_FED_H

#include "analysis/analysis.h"
#include "model/sample.h"

#define PAGE      UINT64_C(4096)
#define MAIN_HEAP UINT64_C(0x10000) /* where sample_arena() puts the main arena's heap */

struct fed {
    struct hw_report *r;
    struct hw_pages pages;
    struct hw_analyzing *work;
    int arena;
    hw_addr at; /* of the next block */
};

static inline struct fed fed_new(void)
{
    return (struct fed){.r = sample_report(), .pages = hw_pages_empty(PAGE)};
}

static inline void fed_pages(struct fed *f, hw_addr start, hw_addr end, enum hw_page_state state)
{
    cr_assert_eq(hw_pages_set(&f->pages, start, end, state, NULL), HW_OK);
}

/* After the arenas: the walk begins, at the first heap of the main arena. */
static inline void fed_begin(struct fed *f)
{
    f->r->pages = &f->pages;
    f->at = MAIN_HEAP;
    cr_assert_eq(hw_analyses_begin(f->r, &f->work, NULL), HW_OK);
}

static inline void fed_to(struct fed *f, int arena, hw_addr at)
{
    f->arena = arena;
    f->at = at;
}

static inline void feed(struct fed *f, enum hw_state state, uint64_t bytes)
{
    struct hw_block b = sample_block(state, f->arena, bytes);
    b.address = f->at;
    hw_analyses_blocks(f->work, &b, 1);
    f->at += bytes;
}

static inline void fed_end(struct fed *f)
{
    hw_analyses_end(f->work);
    f->work = NULL;
}

static inline void fed_drop(struct fed *f)
{
    hw_analyses_drop(f->work);
    hw_pages_clear(&f->pages);
    hw_report_destroy(f->r);
}

/* A figure of an arena or, for -1, of the totals; -1 if it is unknown. */
static inline int64_t fed_figure(const struct fed *f, int arena, enum hw_metric m)
{
    struct hw_figure figure = hw_report_figure(f->r, arena, m);
    return figure.known ? figure.n : -1;
}

static inline const struct hw_residency *fed_residency(const struct fed *f, int arena)
{
    return arena < 0 ? &f->r->residency : &f->r->arenas.data[arena].residency;
}

#endif
