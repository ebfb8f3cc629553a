#include "alloc/glibc/fields.h"

static const struct hw_struct_desc structs[] = {
#define HW_STRUCT(id, name, required) {name, required},
#include "alloc/glibc/fields.def"
};

static const struct hw_field_desc fields[] = {
#define HW_FIELD(id, strct, member, alias, required) {GLIBC_##strct, member, alias, required},
#include "alloc/glibc/fields.def"
};

const struct hw_layout_desc glibc_layout_desc = {structs, GLIBC_STRUCTS_, fields, GLIBC_FIELDS_};
