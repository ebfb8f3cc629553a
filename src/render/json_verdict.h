/*
 * The verdict and the limits of the JSON report. Each gives a new value, NULL when memory is out.
 */
#ifndef HW_RENDER_JSON_VERDICT_H
#define HW_RENDER_JSON_VERDICT_H

#include "model/model.h"

#include <jansson.h>

json_t *hw_json_verdict(const struct hw_report *r);
json_t *hw_json_limits(const struct hw_report *r);

#endif
