/*
 * What the parts of the JSON report share, and those that have files of their own. Each function
 * returns a new value, NULL when memory is out.
 */
#ifndef HW_RENDER_JSON_H
#define HW_RENDER_JSON_H

#include "render/render.h"

#include <jansson.h>

/* JSON integers end at 2^63 - 1 here; glibc's "never" (a threshold of -1) lies beyond that. */
json_t *hw_json_integer(uint64_t n);
json_t *hw_json_maybe(struct hw_maybe m);
json_t *hw_json_address(hw_addr a);
/* Null for 0, and for NULL. */
json_t *hw_json_address_or_null(hw_addr a);
/* Bytes that are not UTF-8 are replaced. */
json_t *hw_json_text(const char *s);
json_t *hw_json_figure(const struct hw_figure *f, enum hw_unit unit);

/* "holes": null where nobody asked for them. */
json_t *hw_json_holes(const struct hw_report *r);

/* "check": null where nobody asked for it, as is the "scene" of a finding. */
json_t *hw_json_check(const struct hw_report *r);
json_t *hw_json_scene(const struct hw_report *r, const struct hw_finding *f);

/* "in_malloc" of a thread, "ended" of a target, "abort": null where there is nothing. */
json_t *hw_json_in_malloc(const struct hw_thread_row *t);
json_t *hw_json_ended(const struct hw_report *r);
json_t *hw_json_abort(const struct hw_report *r);

/* "top_pins" of an arena, null where unknown. */
json_t *hw_json_top_pins(const struct hw_report *r, const struct hw_arena *a);

#endif
