/*
 * C++ names in words: "_ZTV3Foo" is "vtable for Foo".
 *
 * The C++ runtime itself knows how, behind a C interface (__cxa_demangle, part of the Itanium ABI).
 * It is loaded when names are to be read: heapwalk needs no C++ to be built or to run, and
 * where there are C++ programs there is their runtime. Without it names stay as they are.
 */
#ifndef HW_SYMBOLS_DEMANGLE_H
#define HW_SYMBOLS_DEMANGLE_H

#include <stdbool.h>
#include <stddef.h>

struct hw_demangler {
    void *library; /* NULL: not there */
    char *(*demangle)(const char *name, char *buf, size_t *size, int *status);
};

struct hw_demangler hw_demangler_open(void);
void hw_demangler_close(struct hw_demangler *d);

/*
 * Write the name in words, or as it is where it is no C++ name or none that could be read in
 * reasonable time: ELF files may be hostile, and some names of 100 letters mean gigabytes of words.
 * Cut to fit. True if it is in words now.
 */
bool hw_demangle(const struct hw_demangler *d, const char *name, char *buf, size_t size);

#endif
