#include "alloc/glibc/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct member {
    enum glibc_field field;
    uint16_t offset, size, count;
};

struct variant {
    enum glibc_struct strct;
    uint32_t size;
    const struct member *members;
    size_t count;
};

struct era {
    unsigned word;
    const char *versions;
    enum glibc_variant variant[GLIBC_STRUCTS_];
};

#define HW_AT(field, offset, size, count)                                                          \
    {                                                                                              \
        GLIBC_F_##field, offset, size, count                                                       \
    }
#define HW_VARIANT(id, strct, bytes, ...) static const struct member members_##id[] = {__VA_ARGS__};
#include "alloc/glibc/table.def"

static const struct variant variants[GLIBC_VARIANTS_] = {
#define HW_VARIANT(id, strct, bytes, ...)                                                          \
    [GLIBC_##                                                                                      \
        id] = {GLIBC_##strct, bytes, members_##id, sizeof members_##id / sizeof(struct member)},
#include "alloc/glibc/table.def"
};

static const struct era eras_known[GLIBC_ERAS_] = {
#define HW_ERA(id, word, versions, state, par, heap, tcache)                                       \
    [GLIBC_ERA_##id] = {word,                                                                      \
                        versions,                                                                  \
                        {[GLIBC_MALLOC_STATE] = GLIBC_##state,                                     \
                         [GLIBC_MALLOC_PAR] = GLIBC_##par,                                         \
                         [GLIBC_HEAP_INFO] = GLIBC_##heap,                                         \
                         [GLIBC_TCACHE] = GLIBC_##tcache}},
#include "alloc/glibc/table.def"
};

enum glibc_struct glibc_variant_struct(enum glibc_variant v)
{
    return variants[v].strct;
}

uint32_t glibc_variant_size(enum glibc_variant v)
{
    return variants[v].size;
}

unsigned glibc_variant_word(enum glibc_variant v)
{
    return glibc_eras_word(glibc_eras_with(v));
}

struct hw_field glibc_variant_field(enum glibc_variant v, enum glibc_field field)
{
    for (size_t i = 0; i < variants[v].count; i++) {
        const struct member *m = &variants[v].members[i];
        if (m->field == field)
            return (struct hw_field){HW_ORIGIN_TABLE, m->offset, m->size, m->count};
    }
    return (struct hw_field){0};
}

int glibc_variant_offset(enum glibc_variant v, enum glibc_field field)
{
    struct hw_field f = glibc_variant_field(v, field);
    return f.origin == HW_ORIGIN_ABSENT ? -1 : (int)f.offset;
}

glibc_era_set glibc_eras_of(unsigned word)
{
    glibc_era_set set = 0;
    for (unsigned era = 0; era < GLIBC_ERAS_; era++)
        if (eras_known[era].word == word)
            set |= (glibc_era_set)1 << era;
    return set;
}

unsigned glibc_eras_word(glibc_era_set eras)
{
    return eras ? eras_known[__builtin_ctz(eras)].word : 0;
}

glibc_era_set glibc_eras_with(enum glibc_variant v)
{
    glibc_era_set set = 0;
    for (unsigned era = 0; era < GLIBC_ERAS_; era++)
        if (eras_known[era].variant[variants[v].strct] == v)
            set |= (glibc_era_set)1 << era;
    return set;
}

glibc_era_set glibc_eras_with_size(enum glibc_struct strct, uint64_t size)
{
    glibc_era_set set = 0;
    for (unsigned v = GLIBC_NO_STRUCT + 1; v < GLIBC_VARIANTS_; v++)
        if (variants[v].strct == strct && variants[v].size == size)
            set |= glibc_eras_with(v);
    return set;
}

glibc_era_set glibc_eras_with_tcache(void)
{
    glibc_era_set set = 0;
    for (unsigned era = 0; era < GLIBC_ERAS_; era++)
        if (eras_known[era].variant[GLIBC_TCACHE] != GLIBC_NO_STRUCT)
            set |= (glibc_era_set)1 << era;
    return set;
}

const char *glibc_eras_versions(glibc_era_set eras, char *buf, size_t size)
{
    const char *first = "", *last = "";
    for (unsigned era = 0; era < GLIBC_ERAS_; era++) {
        if (!(eras >> era & 1))
            continue;
        if (!*first)
            first = eras_known[era].versions;
        last = eras_known[era].versions;
    }
    /* "2.26 to 2.29" and "2.28 to 2.34" make "2.26 to 2.34". */
    const char *space = strrchr(last, ' ');
    if (space)
        last = space + 1;
    int from = (int)strcspn(first, " ");
    if (strncmp(first, last, (size_t)from + 1) == 0)
        snprintf(buf, size, "%s", last);
    else
        snprintf(buf, size, "%.*s to %s", from, first, last);
    return buf;
}

void glibc_layout_from_table(struct hw_layout *layout, glibc_era_set eras)
{
    unsigned newest = GLIBC_ERAS_;
    for (unsigned era = 0; era < GLIBC_ERAS_; era++)
        if (eras >> era & 1)
            newest = era;
    memset(layout->struct_size, 0, layout->desc->struct_count * sizeof *layout->struct_size);
    memset(layout->field, 0, layout->desc->field_count * sizeof *layout->field);
    for (unsigned s = 0; newest < GLIBC_ERAS_ && s < GLIBC_STRUCTS_; s++) {
        const struct variant *v = &variants[eras_known[newest].variant[s]];
        layout->struct_size[s] = v->size;
        for (size_t i = 0; i < v->count; i++)
            hw_layout_set(layout, v->members[i].field, HW_ORIGIN_TABLE, v->members[i].offset,
                          v->members[i].size, v->members[i].count);
    }
}
