/*
 * What the code of a function refers to, without running it.
 */
#ifndef HW_SYMBOLS_DISASM_H
#define HW_SYMBOLS_DISASM_H

#include "base/vec.h"
#include "symbols/modules.h"

enum hw_ref_kind {
    HW_REF_ADDRESS, /* the address itself is taken (lea, adrp and add) */
    HW_REF_LOAD,    /* read, or read and written, or it is not clear which */
    HW_REF_STORE,   /* written (mov, str) */
    HW_REF_MEMBER,  /* not an address: so many bytes behind a pointer that is not known */
};

struct hw_code_ref {
    enum hw_ref_kind kind;
    hw_addr address; /* in the target; for HW_REF_MEMBER the distance */
    unsigned size;   /* bytes read or written; 0 for HW_REF_ADDRESS */
    bool constant;   /* HW_REF_STORE: `value` is what is written */
    int64_t value;
};

typedef HW_VEC(struct hw_code_ref) hw_code_refs;

/*
 * Append what the function of this name refers to, in the order of its code. The module must be
 * loaded; the code comes from its file. Fails with NO_SYMBOLS (no such function, or its code is not
 * in the file), NOMEM.
 */
int hw_disasm_refs(struct hw_module *mod, const char *function, hw_code_refs *ret,
                   struct hw_error *err);

typedef HW_VEC(hw_addr) hw_addr_vec;

/* Append where the code at [start, end) jumps to outside of itself: its tail calls, not its calls.
 * Errors as above. */
int hw_disasm_exits(struct hw_module *mod, hw_addr start, hw_addr end, hw_addr_vec *ret,
                    struct hw_error *err);

#endif
