#include "symbols/disasm.h"

#include "base/cleanup.h"
#include "symbols/initial.h"
#include "symbols/listing.h"
#include "symbols/private.h"

/* No function that is worth asking about is longer. */
enum { CODE_MAX = 1 << 14 };

void hw_listing_insn(struct hw_listing *c, hw_addr address)
{
    struct hw_insn insn = {.address = address, .first = c->effects.count};
    if (!hw_vec_push(&c->insns, insn))
        c->no_memory = true;
}

void hw_listing_effect(struct hw_listing *c, struct hw_effect effect)
{
    if (!hw_vec_push(&c->effects, effect))
        c->no_memory = true;
    else if (c->insns.count)
        c->insns.data[c->insns.count - 1].count++;
}

void hw_listing_flow(struct hw_listing *c, enum hw_flow flow, hw_addr target)
{
    if (c->insns.count == 0)
        return;
    c->insns.data[c->insns.count - 1].flow = flow;
    c->insns.data[c->insns.count - 1].target = target;
}

/* To be freed with free_listing(), also where that fails: memory is out. */
static bool decode(struct hw_module *mod, const uint8_t *bytes, size_t len, hw_addr address,
                   struct hw_listing *ret)
{
    const struct hw_machine *m = mod->priv->main.machine;
    *ret = (struct hw_listing){.mod = mod, .word = m->word};
    bool ok = m->id == HW_AARCH64 ? hw_decode_arm64(ret, bytes, len, address)
                                  : hw_decode_x86(ret, bytes, len, address);
    return ok && !ret->no_memory;
}

static void free_listing(struct hw_listing *code)
{
    hw_vec_free(&code->insns);
    hw_vec_free(&code->effects);
}

/* The listing of [start, end), to be freed also on failure; `what` it is, for messages. */
static int list(struct hw_module *mod, const char *what, hw_addr start, hw_addr end,
                struct hw_listing *ret, struct hw_error *err)
{
    *ret = (struct hw_listing){0};
    size_t len = end - start < CODE_MAX ? (size_t)(end - start) : CODE_MAX;
    hw_autofree uint8_t *code = malloc(len + 1);
    if (!code)
        return hw_fail(err, HW_ERR_NOMEM, "no memory for the code of %s", what);
    len = hw_module_initial(mod, start, code, len);
    if (len == 0)
        return hw_fail(err, HW_ERR_NO_SYMBOLS, "the file of %s has no code of %s", mod->path, what);
    if (!decode(mod, code, len, start, ret))
        return hw_fail(err, HW_ERR_NOMEM, "no memory to disassemble %s", what);
    return HW_OK;
}

int hw_disasm_refs(struct hw_module *mod, const char *function, hw_code_refs *ret,
                   struct hw_error *err)
{
    struct hw_symbol sym;
    struct hw_listing code;
    if (!hw_module_symbol(mod, function, &sym) || sym.is_tls || sym.size == 0)
        return hw_fail(err, HW_ERR_NO_SYMBOLS, "%s has no function %s", mod->path, function);
    uint64_t size = sym.size < CODE_MAX ? sym.size : CODE_MAX;
    int rc = list(mod, function, sym.address, sym.address + size, &code, err);
    if (rc == HW_OK && !hw_listing_track(&code, ret))
        rc = hw_fail(err, HW_ERR_NOMEM, "no memory to disassemble %s", function);
    free_listing(&code);
    return rc;
}

int hw_disasm_exits(struct hw_module *mod, hw_addr start, hw_addr end, hw_addr_vec *ret,
                    struct hw_error *err)
{
    struct hw_listing code;
    int rc = list(mod, "a function", start, end, &code, err);
    for (size_t i = 0; i < code.insns.count && rc == HW_OK; i++) {
        const struct hw_insn *insn = &code.insns.data[i];
        bool jumps = insn->flow == HW_FLOW_JUMP || insn->flow == HW_FLOW_BRANCH;
        bool leaves = jumps && (insn->target < start || insn->target >= end);
        if (leaves && !hw_vec_push(ret, insn->target))
            rc = hw_fail(err, HW_ERR_NOMEM, "out of memory");
    }
    free_listing(&code);
    return rc;
}
