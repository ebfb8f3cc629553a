/*
 * What the tests of hand-built heaps have in common: each has a builder, and what its last walk
 * told.
 */
#ifndef TESTS_UNIT_ALLOC_BUILT_H
#define TESTS_UNIT_ALLOC_BUILT_H

#include "alloc/builder.h"

#include <criterion/criterion.h>

static struct builder *b;
static struct result *r;

static void setup(void)
{
    b = builder_create();
}

static void teardown(void)
{
    result_destroy(r);
    builder_destroy(b);
}

/* Walk what is built by now. */
static void walk_once(void)
{
    result_destroy(r);
    r = builder_walk(b);
    cr_assert_eq(r->code, HW_OK, "%s", r->err.text);
}

#endif
