/*
 * What is known of a chunk besides its place and size: its first bytes, and the symbol that its
 * first word points to. Objects of C++ classes begin with a pointer to their vtable, which names
 * the class; others often with one to a table of functions or to a static description.
 *
 *     analyses        which chunks: struct hw_pin in report->holes and in arenas' top_pins
 *     hw_pins_read()  the bytes, while the target stands still      (only those few are ever read)
 *     hw_pins_name()  the symbols, when it runs again: that may load debug files
 *
 * What programs keep in their chunks is nobody's business. The first word leaves this file as the
 * name of a symbol or not at all; bytes are kept only where they were asked for (--sample).
 */
#ifndef HW_INSPECT_PINS_H
#define HW_INSPECT_PINS_H

#include "model/model.h"
#include "symbols/demangle.h"
#include "symbols/modules.h"
#include "target/target.h"

/* Read the first word of each pin in use, and the first `sample_bytes` of it. What cannot be read,
 * or is in no page that was ever touched, stays unknown. */
void hw_pins_read(struct hw_target *t, struct hw_report *r, unsigned sample_bytes);

/* Read, but never a page that has nothing: that would make the kernel map one. The bytes that there
 * are, without a hole. */
size_t hw_read_present(struct hw_target *t, hw_addr from, void *buf, size_t len);

/* Resolve the first words. */
void hw_pins_name(struct hw_modules *modules, const struct hw_demangler *demangler,
                  struct hw_report *r);

#endif
