#include "layout/layout.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* No struct that an allocator keeps is anywhere near this large; a damaged debug file may say so.
 */
enum { STRUCT_MAX = 1 << 20, FIELD_MAX = 8 };

const char *hw_origin_name(enum hw_origin origin)
{
    static const char *const names[] = {
        [HW_ORIGIN_ABSENT] = "absent",
        [HW_ORIGIN_DWARF] = "dwarf",
        [HW_ORIGIN_TABLE] = "table",
        [HW_ORIGIN_SCAN] = "scan",
    };
    return names[origin];
}

int hw_layout_init(struct hw_layout *l, const struct hw_layout_desc *desc, unsigned word,
                   struct hw_error *err)
{
    *l = (struct hw_layout){.desc = desc, .word = word};
    /* One more than needed, so that an empty table is not taken for a failure. */
    l->struct_size = calloc(desc->struct_count + 1, sizeof *l->struct_size);
    l->field = calloc(desc->field_count + 1, sizeof *l->field);
    if (!l->struct_size || !l->field) {
        hw_layout_deinit(l);
        return hw_fail(err, HW_ERR_NOMEM, "out of memory");
    }
    return HW_OK;
}

void hw_layout_deinit(struct hw_layout *l)
{
    free(l->struct_size);
    free(l->field);
    l->struct_size = NULL;
    l->field = NULL;
}

static void clear(struct hw_layout *l)
{
    memset(l->struct_size, 0, l->desc->struct_count * sizeof *l->struct_size);
    memset(l->field, 0, l->desc->field_count * sizeof *l->field);
}

static int resolve_struct(struct hw_layout *l, struct hw_types *types, size_t id,
                          struct hw_error *err)
{
    const struct hw_struct_desc *d = &l->desc->structs[id];
    uint64_t size;
    if (!hw_types_struct(types, d->name, &size)) {
        if (d->required)
            return hw_fail(err, HW_ERR_NO_SYMBOLS, "struct %s is not in the debug information",
                           d->name);
        return HW_OK;
    }
    if (size == 0 || size > STRUCT_MAX)
        return hw_fail(err, HW_ERR_CORRUPT, "struct %s has an impossible size of %" PRIu64 " bytes",
                       d->name, size);
    l->struct_size[id] = size;
    return HW_OK;
}

static bool fits(const struct hw_type_member *m, uint64_t struct_size)
{
    return m->offset <= struct_size && m->count <= struct_size &&
           m->size * m->count <= struct_size - m->offset;
}

static int resolve_field(struct hw_layout *l, struct hw_types *types, size_t id,
                         struct hw_error *err)
{
    const struct hw_field_desc *d = &l->desc->fields[id];
    const char *strct = l->desc->structs[d->strct].name;
    uint64_t struct_size = l->struct_size[d->strct];
    struct hw_type_member m;
    if (struct_size == 0)
        return HW_OK; /* a field cannot be needed more than its struct */
    if (!hw_types_member(types, strct, d->name, &m) &&
        !(d->alias && hw_types_member(types, strct, d->alias, &m))) {
        if (d->required)
            return hw_fail(err, HW_ERR_NO_SYMBOLS, "struct %s has no member %s", strct, d->name);
        return HW_OK;
    }
    if (m.size == 0 || m.size > FIELD_MAX || !fits(&m, struct_size))
        return hw_fail(err, HW_ERR_CORRUPT,
                       "member %s of struct %s cannot be right: %" PRIu64 " x %" PRIu64
                       " bytes at %" PRIu64,
                       d->name, strct, m.count, m.size, m.offset);
    hw_layout_set(l, (unsigned)id, HW_ORIGIN_DWARF, (uint32_t)m.offset, (uint32_t)m.size,
                  (uint32_t)m.count);
    return HW_OK;
}

int hw_layout_from_types(struct hw_layout *l, struct hw_types *types, struct hw_error *err)
{
    int rc = HW_OK;
    clear(l);
    for (size_t i = 0; i < l->desc->struct_count && rc == HW_OK; i++)
        rc = resolve_struct(l, types, i, err);
    for (size_t i = 0; i < l->desc->field_count && rc == HW_OK; i++)
        rc = resolve_field(l, types, i, err);
    if (rc != HW_OK)
        clear(l);
    return rc;
}

void hw_layout_set(struct hw_layout *l, unsigned field, enum hw_origin origin, uint32_t offset,
                   uint32_t size, uint32_t count)
{
    l->field[field] =
        (struct hw_field){.origin = origin, .offset = offset, .size = size, .count = count};
}

int hw_object_read(struct hw_object *obj, const struct hw_layout *l, struct hw_target *t,
                   unsigned strct, hw_addr address, struct hw_error *err)
{
    *obj = (struct hw_object){.layout = l, .address = address};
    uint64_t size = l->struct_size[strct];
    if (size == 0 || size > STRUCT_MAX)
        return hw_fail(err, HW_ERR_USAGE, "the layout of struct %s is not known",
                       l->desc->structs[strct].name);
    obj->bytes = malloc(size);
    if (!obj->bytes)
        return hw_fail(err, HW_ERR_NOMEM, "out of memory");
    obj->len = size;
    int rc = hw_read_all(t, address, obj->bytes, size, err);
    if (rc != HW_OK)
        hw_object_deinit(obj);
    return rc;
}

void hw_object_deinit(struct hw_object *obj)
{
    free(obj->bytes);
    obj->bytes = NULL;
    obj->len = 0;
}

uint64_t hw_fetch(const struct hw_object *obj, unsigned field, unsigned index)
{
    const struct hw_field *f = &obj->layout->field[field];
    uint64_t at = f->offset + (uint64_t)index * f->size, value = 0;
    if (f->origin == HW_ORIGIN_ABSENT || index >= f->count || f->size > sizeof value ||
        at + f->size > obj->len)
        return 0;
    for (uint32_t i = f->size; i-- > 0;)
        value = value << 8 | obj->bytes[at + i]; /* targets are little-endian */
    return value;
}
