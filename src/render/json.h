/*
 * Parts of the JSON report that have files of their own. Each returns a new value, NULL when memory
 * is out.
 */
#ifndef HW_RENDER_JSON_H
#define HW_RENDER_JSON_H

#include "render/render.h"

#include <jansson.h>

/* A text of any bytes: what is not UTF-8 in it is replaced. NULL is null. */
json_t *hw_json_text(const char *s);

/* "holes": null where nobody asked for them. */
json_t *hw_json_holes(const struct hw_report *r);

/* "top_pins" of an arena, null where unknown. */
json_t *hw_json_top_pins(const struct hw_report *r, const struct hw_arena *a);

#endif
