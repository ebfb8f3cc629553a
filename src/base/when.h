/*
 * Moments for reports.
 */
#ifndef HW_BASE_WHEN_H
#define HW_BASE_WHEN_H

#include <stdint.h>

/* CLOCK_REALTIME: nanoseconds since the epoch. */
int64_t hw_wall_clock_ns(void);

/* "2025-06-01T12:00:00.123Z": UTC, as ISO 8601 has it. "" for what lies before the epoch or beyond
 * the year 9999. buf is returned. */
#define HW_WHEN_TEXT 32
char *hw_format_utc(char buf[HW_WHEN_TEXT], int64_t ns);

/* "12:00:00", of where we are. */
char *hw_format_local(char buf[HW_WHEN_TEXT], int64_t ns);

#endif
