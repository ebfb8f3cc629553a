/*
 * What a module's memory held before its first instruction ran: the bytes of its file at their
 * addresses in the target, relocated.
 */
#ifndef HW_SYMBOLS_INITIAL_H
#define HW_SYMBOLS_INITIAL_H

#include "symbols/modules.h"

/*
 * Copy up to `len` bytes from `addr`, an address of the target. Pointers into the module itself are
 * relocated, others are not. Returns the bytes copied: fewer than asked for where a segment's bytes
 * in the file end, 0 if `addr` is in none or no file is loaded.
 */
size_t hw_module_initial(struct hw_module *mod, hw_addr addr, void *buf, size_t len);

/* The part of the i-th writable segment that the file gives bytes for; false past the last. */
bool hw_module_data(struct hw_module *mod, size_t i, hw_addr *start, hw_addr *end);

#endif
