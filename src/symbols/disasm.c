#include "symbols/disasm.h"

#include "base/cleanup.h"
#include "symbols/initial.h"

#include <capstone/capstone.h>

/* No function that is worth asking about is longer. */
enum { CODE_MAX = 1 << 16 };

/* One instruction: its operands in memory, at a fixed address or behind a register. */
static bool add_refs(const cs_insn *insn, hw_code_refs *ret)
{
    const cs_x86 *x = &insn->detail->x86;
    for (unsigned i = 0; i < x->op_count; i++) {
        const cs_x86_op *op = &x->operands[i];
        if (op->type != X86_OP_MEM || op->mem.index != X86_REG_INVALID ||
            op->mem.segment != X86_REG_INVALID)
            continue;
        struct hw_code_ref ref = {.kind = HW_REF_LOAD, .size = op->size};
        bool fixed = op->mem.base == X86_REG_RIP;
        ref.address = (uint64_t)op->mem.disp + (fixed ? insn->address + insn->size : 0);
        if (!fixed) {
            ref.kind = HW_REF_MEMBER;
        } else if (insn->id == X86_INS_LEA) {
            ref.kind = HW_REF_ADDRESS;
            ref.size = 0;
        } else if (insn->id == X86_INS_MOV && i == 0) {
            ref.kind = HW_REF_STORE;
            ref.constant = x->op_count == 2 && x->operands[1].type == X86_OP_IMM;
            ref.value = ref.constant ? x->operands[1].imm : 0;
        }
        if (!hw_vec_push(ret, ref))
            return false;
    }
    return true;
}

static bool disassemble(const uint8_t *code, size_t len, hw_addr address, hw_code_refs *ret)
{
    csh handle;
    if (cs_open(CS_ARCH_X86, CS_MODE_64, &handle) != CS_ERR_OK)
        return false;
    /* An instruction newer than the disassembler must not hide the rest. */
    cs_option(handle, CS_OPT_DETAIL, CS_OPT_ON);
    cs_option(handle, CS_OPT_SKIPDATA, CS_OPT_ON);
    cs_insn *insn = cs_malloc(handle);
    bool ok = insn != NULL;
    while (ok && cs_disasm_iter(handle, &code, &len, &address, insn))
        if (insn->id != 0) /* 0: bytes that are no instruction; they have no detail */
            ok = add_refs(insn, ret);
    if (insn)
        cs_free(insn, 1);
    cs_close(&handle);
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
    if (!disassemble(code, len, sym.address, ret))
        return hw_fail(err, HW_ERR_NOMEM, "no memory to disassemble %s", function);
    return HW_OK;
}
