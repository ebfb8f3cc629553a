/*
 * From "member `top` of struct malloc_state" to "8 bytes at offset 96", with the origin of that.
 *
 * A backend describes the members it wants in one static table (alloc/glibc/fields.def). The layout
 * resolves each to offset, size and count, or to *absent*, which is a normal answer: versions
 * differ, and the presence of a member decides, never a version number. A struct is taken whole
 * from one source, never mixed from two.
 *
 *     description (static)            layout (per target)          object (bytes of one struct)
 *     { "malloc_state", "top" }  -->  { 96, 8, 1, dwarf }     -->  hw_fetch(&obj, TOP, 0)
 *
 * hw_fetch() is the only way in which a backend reads a member of a struct of the target.
 */
#ifndef HW_LAYOUT_LAYOUT_H
#define HW_LAYOUT_LAYOUT_H

#include "symbols/types.h"
#include "target/target.h"

enum hw_origin { HW_ORIGIN_ABSENT, HW_ORIGIN_DWARF, HW_ORIGIN_TABLE, HW_ORIGIN_SCAN };

/* "absent", "dwarf", "table", "scan". */
const char *hw_origin_name(enum hw_origin origin);

/* What is wanted. Struct and field ids are the indices in the backend's tables. */
struct hw_struct_desc {
    const char *name;
    bool required;
};
struct hw_field_desc {
    unsigned strct; /* index of its struct */
    const char *name;
    const char *alias; /* another name it has or had, or NULL */
    bool required;
};
struct hw_layout_desc {
    const struct hw_struct_desc *structs;
    size_t struct_count;
    const struct hw_field_desc *fields;
    size_t field_count;
};

struct hw_field {
    enum hw_origin origin;
    uint32_t offset, size, count; /* bytes, bytes of one element, elements */
};

struct hw_layout {
    const struct hw_layout_desc *desc;
    uint64_t *struct_size;  /* by struct id; 0 if the struct is absent */
    struct hw_field *field; /* by field id */
    unsigned word;          /* bytes in a pointer */
};

/* Empty layout: all absent. NOMEM. */
int hw_layout_init(struct hw_layout *l, const struct hw_layout_desc *desc, unsigned word,
                   struct hw_error *err);
void hw_layout_deinit(struct hw_layout *l);

/*
 * Resolve every struct and field from DWARF. Fails with NO_SYMBOLS if a required one is missing
 * (named in the text), CORRUPT if a member does not fit into its struct or is wider than 8 bytes.
 */
int hw_layout_from_types(struct hw_layout *l, struct hw_types *types, struct hw_error *err);

/* Set one field by hand (a table of known layouts, tests). */
void hw_layout_set(struct hw_layout *l, unsigned field, enum hw_origin origin, uint32_t offset,
                   uint32_t size, uint32_t count);

static inline bool hw_has(const struct hw_layout *l, unsigned field)
{
    return l->field[field].origin != HW_ORIGIN_ABSENT;
}

/* The address of element `index` of a field of the struct at `base`. The field must be present. */
static inline hw_addr hw_field_addr(const struct hw_layout *l, unsigned field, hw_addr base,
                                    unsigned index)
{
    const struct hw_field *f = &l->field[field];
    return base + f->offset + (uint64_t)index * f->size;
}

/* A struct of the target, copied whole. */
struct hw_object {
    const struct hw_layout *layout;
    hw_addr address;
    uint8_t *bytes;
    size_t len;
};

/* Copy struct `strct` from `address`. FAULT if it is not all there, USAGE if the struct is absent,
 * NOMEM. Released with hw_object_deinit(). */
int hw_object_read(struct hw_object *obj, const struct hw_layout *l, struct hw_target *t,
                   unsigned strct, hw_addr address, struct hw_error *err);
void hw_object_deinit(struct hw_object *obj);

/*
 * Element `index` of a field, zero-extended. An absent field, an index past its count or past the
 * object reads as 0: where that matters ask hw_has() first.
 */
uint64_t hw_fetch(const struct hw_object *obj, unsigned field, unsigned index);

#endif
