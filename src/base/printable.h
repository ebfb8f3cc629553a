/*
 * Names of processes and files are chosen by others, and must not be able to repaint the terminal
 * of whoever looks at them.
 */
#ifndef HW_BASE_PRINTABLE_H
#define HW_BASE_PRINTABLE_H

#include <stdio.h>

/* Bytes of the printable character (UTF-8) at `s`, of which `left` > 0 bytes are there; 0 if there
 * is none: a control character (ASCII or C1), or bytes that are no character. */
size_t hw_printable(const char *s, size_t left);

/* Put '?' in the place of each byte of a text that is not of a printable character. */
void hw_make_printable(char *s);

/* Write a text, likewise. */
void hw_put_printable(const char *s, FILE *out);

#endif
