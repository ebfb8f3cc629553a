/*
 * Sizes for people.
 */
#ifndef HW_BASE_SIZE_H
#define HW_BASE_SIZE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* "12.3 KiB", "4.0 GiB", "512 B"; or with `exact` "1234567". buf is returned; 24 bytes suffice. */
#define HW_SIZE_TEXT 24
char *hw_format_size(char buf[HW_SIZE_TEXT], uint64_t bytes, bool exact);

#endif
