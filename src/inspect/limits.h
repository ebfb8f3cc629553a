/*
 * What the system says about a live process that malloc's limits depend on.
 */
#ifndef HW_INSPECT_LIMITS_H
#define HW_INSPECT_LIMITS_H

#include "model/model.h"

/* Fill r->limits with the CPUs that process `pid` has, and with malloc's settings in the
 * environment that it was started with. What cannot be found out stays unknown. */
void hw_limits_ask(int pid, struct hw_report *r);

/* Add malloc's settings from one "NAME=value" of an environment; others are ignored. */
void hw_limits_add(struct hw_limits *l, const char *variable);

#endif
