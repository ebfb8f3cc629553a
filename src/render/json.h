/*
 * Parts of the JSON report that have files of their own. Each gives a new value, NULL when memory is
 * out. Texts in them are heapwalk's own or printable ASCII.
 */
#ifndef HW_RENDER_JSON_H
#define HW_RENDER_JSON_H

#include "render/render.h"

#include <jansson.h>

json_t *hw_json_verdict(const struct hw_report *r);
json_t *hw_json_limits(const struct hw_report *r);

/* "holes": null where nobody asked for them. */
json_t *hw_json_holes(const struct hw_report *r);

/* "top_pins" of an arena, null where unknown. */
json_t *hw_json_top_pins(const struct hw_report *r, const struct hw_arena *a);

#endif
