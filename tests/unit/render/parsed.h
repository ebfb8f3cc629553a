/*
 * What the JSON renderer writes, parsed. json_decref() it.
 */
#ifndef HW_TESTS_RENDER_PARSED_H
#define HW_TESTS_RENDER_PARSED_H

#include "render/rendered.h"

#include <jansson.h>

static inline json_t *parsed_with(const struct hw_report *r, const struct hw_render_options *opt)
{
    char *text = rendered_with(r, opt);
    json_error_t err;
    json_t *o = json_loads(text, JSON_REJECT_DUPLICATES, &err);
    cr_assert_not_null(o, "line %d: %s", err.line, err.text);
    size_t len = strlen(text);
    cr_expect(len > 2 && text[len - 1] == '\n' && text[len - 2] == '}');
    free(text);
    return o;
}

static inline json_t *parsed(const struct hw_report *r)
{
    return parsed_with(r, &(struct hw_render_options){.format = "json"});
}

#endif
