/*
 * Sizes for people.
 */
#ifndef HW_BASE_SIZE_H
#define HW_BASE_SIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* "12.3 KiB", "4.00 GiB", "512 B": at least three digits, but for bytes; or with `exact` "1234567".
 * buf is returned; 24 bytes suffice. */
#define HW_SIZE_TEXT 24
char *hw_format_size(char buf[HW_SIZE_TEXT], uint64_t bytes, bool exact);

/* "12.3 KiB" made "12.3K", where it stands: for columns. `size` is returned. */
char *hw_compact_size(char *size);

/*
 * The parts of a sum, all in the unit in which hw_format_size() writes the sum, without its name
 * ("0.52"), and rounded so that what is written adds up: none is off by a whole last digit. Returns
 * the sum. Up to HW_PARTS_MAX parts; their sum must fit.
 */
#define HW_PARTS_MAX 16
uint64_t hw_format_parts(char (*buf)[HW_SIZE_TEXT], const uint64_t *parts, size_t count,
                         bool exact);

/* True for "0", "0.0", "0.00": what hw_format_parts() makes of a part that is too small to be
 * seen. */
bool hw_is_zero_text(const char *number);

#endif
