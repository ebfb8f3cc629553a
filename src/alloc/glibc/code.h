/*
 * Which code of the target is malloc's.
 */
#ifndef HW_ALLOC_GLIBC_CODE_H
#define HW_ALLOC_GLIBC_CODE_H

#include "model/model.h"
#include "symbols/modules.h"

/* A function. */
struct glibc_function {
    hw_addr start, end;
    bool aborts;                  /* abort(); else it is one of malloc's */
    bool jumped_to;               /* by one that is exported */
    char name[HW_FUNCTION_NAME];  /* "" if nothing tells */
    char entry[HW_FUNCTION_NAME]; /* what programs call to get there: the name, or what jumps there;
                                     "" where several do */
};

/* All that are known, in the order of addresses. Start from {0}, end with hw_vec_free(). */
typedef HW_VEC(struct glibc_function) glibc_code;

/* Find those of the module that malloc lives in, by its symbols; where it is stripped, by those
 * that it exports and what these jump to. NOMEM. */
int glibc_find_code(struct hw_module *mod, glibc_code *ret, struct hw_error *err);

/* The function that `addr` is in, or NULL. */
const struct glibc_function *glibc_code_at(const glibc_code *code, hw_addr addr);

#endif
