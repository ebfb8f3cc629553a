/*
 * Known layouts of glibc's structs, for a libc without type information.
 *
 *     variant   one layout of one struct          STATE_2200, PAR_136, ...
 *     era       a combination that was released   2.35 to 2.41: STATE_2200, PAR_136, HEAP_48, ...
 *
 * Which era a libc belongs to is found by elimination: a set of eras starts with all that have the
 * machine's word size, and each piece of evidence (the size of a symbol, where a pointer stands)
 * removes those that contradict it. A struct is taken whole from the table or not at all.
 */
#ifndef HW_ALLOC_GLIBC_TABLE_H
#define HW_ALLOC_GLIBC_TABLE_H

#include "alloc/glibc/fields.h"

enum glibc_variant {
    GLIBC_NO_STRUCT,
#define HW_VARIANT(id, ...) GLIBC_##id,
#include "alloc/glibc/table.def"
    GLIBC_VARIANTS_
};

enum glibc_era {
#define HW_ERA(id, ...) GLIBC_ERA_##id,
#include "alloc/glibc/table.def"
    GLIBC_ERAS_
};

/* A set of eras: bit i stands for era i. */
typedef uint32_t glibc_era_set;

/* The struct that a variant is a layout of, its size, and the bytes in a word of its machines. */
enum glibc_struct glibc_variant_struct(enum glibc_variant v);
uint32_t glibc_variant_size(enum glibc_variant v);
unsigned glibc_variant_word(enum glibc_variant v);

/* Where a member is; all zero if this variant has none. */
struct hw_field glibc_variant_field(enum glibc_variant v, enum glibc_field field);

/* Its offset alone; -1 if this variant has no such member. */
int glibc_variant_offset(enum glibc_variant v, enum glibc_field field);

/* All eras of machines with words of so many bytes: where every search begins. */
glibc_era_set glibc_eras_of(unsigned word);
/* That number of bytes; 0 for an empty set. */
unsigned glibc_eras_word(glibc_era_set eras);

/* The eras that have this variant / a variant of this size of a struct. */
glibc_era_set glibc_eras_with(enum glibc_variant v);
glibc_era_set glibc_eras_with_size(enum glibc_struct strct, uint64_t size);

/* The eras that have tcaches. */
glibc_era_set glibc_eras_with_tcache(void);

/* "2.35 to 2.41"; from the first to the last version of a set that is not empty, written to `buf`.
 */
const char *glibc_eras_versions(glibc_era_set eras, char *buf, size_t size);

/* Fill in structs of `layout` from the table: all of them, or one. Not set: no bits in the set. The
 * newest era of the set is taken; eras that the evidence cannot tell apart differ in nothing that
 * is there to be read. */
void glibc_layout_from_table(struct hw_layout *layout, glibc_era_set eras);

#endif
