/*
 * Call frame information: where it is in files and in the kernel's own code.
 */
#ifndef HW_SYMBOLS_FRAMES_H
#define HW_SYMBOLS_FRAMES_H

#include "symbols/private.h"

#include <elfutils/libdw.h>

/* That of the code at [start, end). */
struct hw_frames {
    hw_addr start, end;
    hw_addr bias;   /* add it to an address in `cfi` to get one in the target */
    Dwarf_CFI *cfi; /* NULL: there is none */
    Elf *elf;       /* that it is read from, in memory at ... */
    uint8_t *bytes;
};

/* Of a module, whose file is opened if need be. Where there is none *ret has nothing but its range.
 * At most *budget bytes are read of it, and taken from that. */
void hw_frames_of_module(struct hw_modules *m, struct hw_module *mod, uint64_t *budget,
                         struct hw_frames *ret);
/* Of the code that the kernel maps into each process; false if it is not found. */
bool hw_frames_of_vdso(struct hw_target *t, struct hw_frames *ret);
void hw_frames_close(struct hw_frames *f);

#endif
