/*
 * How each allocator is recognised: one row of a table, nothing else. A file matches a row by its
 * path, or else by what it defines, or else by a text in its read-only data, which survives
 * stripping. To add an allocator: one row in foreign_rules.c.
 */
#ifndef HW_ALLOC_FOREIGN_RULES_H
#define HW_ALLOC_FOREIGN_RULES_H

#include "alloc/foreign.h"

struct hw_foreign_rule {
    const char *name; /* NULL ends the table */
    const char *heap; /* how a sentence names it: "musl's malloc" */
    enum hw_foreign_role role;
    const char *files[4];   /* patterns (fnmatch) of paths, with a slash; ended by NULL */
    const char *symbols[7]; /* any of these, ended by NULL */
    const char *marker;     /* a text, or NULL */
    const char *version;    /* pattern of a text; its first parentheses are the version; or NULL */
};
extern const struct hw_foreign_rule hw_foreign_rules[];

#endif
