/*
 * Ids of glibc's structs and members; see fields.def.
 */
#ifndef HW_ALLOC_GLIBC_FIELDS_H
#define HW_ALLOC_GLIBC_FIELDS_H

#include "layout/layout.h"

enum glibc_struct {
#define HW_STRUCT(id, name, required) GLIBC_##id,
#include "alloc/glibc/fields.def"
    GLIBC_STRUCTS_
};

enum glibc_field {
#define HW_FIELD(id, strct, member, alias, required) GLIBC_F_##id,
#include "alloc/glibc/fields.def"
    GLIBC_FIELDS_
};

extern const struct hw_layout_desc glibc_layout_desc;

#endif
