/*
 * Struct layouts from DWARF, by names.
 */
#ifndef HW_SYMBOLS_TYPES_H
#define HW_SYMBOLS_TYPES_H

#include "symbols/modules.h"

/* The types that one compile unit of a module knows. */
struct hw_types;

/*
 * The compile unit that defines `function`: the one whose DW_AT_name is `source`, for example
 * "malloc.c", and that contains it, else what .debug_aranges tells, else any of that name. The
 * module must be loaded and must outlive *ret. Fails with NO_SYMBOLS (no DWARF, no such unit),
 * NOMEM.
 */
int hw_types_open(struct hw_module *mod, const char *function, const char *source,
                  struct hw_types **ret, struct hw_error *err);
void hw_types_close(struct hw_types *types);

/* Size of `struct name` (its definition, not a declaration); false if it is not known. */
bool hw_types_struct(struct hw_types *types, const char *name, uint64_t *size);

struct hw_type_member {
    uint64_t offset; /* from the start of the struct */
    uint64_t size;   /* of one element */
    uint64_t count;  /* elements of an array; 1 for a scalar */
};

/* A member of `struct name`; false if there is none. Arrays of one dimension are resolved. */
bool hw_types_member(struct hw_types *types, const char *name, const char *member,
                     struct hw_type_member *ret);

#endif
