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

static bool disassemble(struct hw_module *mod, const uint8_t *bytes, size_t len, hw_addr address,
                        hw_code_refs *ret)
{
    const struct hw_machine *m = mod->priv->main.machine;
    struct hw_listing code = {.mod = mod, .word = m->word};
    bool ok = m->id == HW_AARCH64 ? hw_decode_arm64(&code, bytes, len, address)
                                  : hw_decode_x86(&code, bytes, len, address);
    ok = ok && !code.no_memory && hw_listing_track(&code, ret);
    hw_vec_free(&code.insns);
    hw_vec_free(&code.effects);
    return ok;
}

int hw_disasm_refs(struct hw_module *mod, const char *function, hw_code_refs *ret,
                   struct hw_error *err)
{
    struct hw_symbol sym;
    if (!hw_module_symbol(mod, function, &sym) || sym.is_tls || sym.size == 0)
        return hw_fail(err, HW_ERR_NO_SYMBOLS, "%s has no function %s", mod->path, function);
    size_t len = sym.size < CODE_MAX ? (size_t)sym.size : CODE_MAX;
    hw_autofree uint8_t *code = malloc(len);
    if (!code)
        return hw_fail(err, HW_ERR_NOMEM, "no memory for the code of %s", function);
    len = hw_module_initial(mod, sym.address, code, len);
    if (len == 0)
        return hw_fail(err, HW_ERR_NO_SYMBOLS, "the file of %s has no code of %s", mod->path,
                       function);
    if (!disassemble(mod, code, len, sym.address, ret))
        return hw_fail(err, HW_ERR_NOMEM, "no memory to disassemble %s", function);
    return HW_OK;
}
