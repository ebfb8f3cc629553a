/*
 * x86 in both its widths. What is not told apart below may do anything to the registers that the
 * disassembler says it writes.
 */
#include "symbols/initial.h"
#include "symbols/listing.h"

#include <capstone/capstone.h>
#include <string.h>

enum { AX, CX, DX, BX, SP, BP, SI, DI };

struct decoder {
    struct hw_listing *code;
    csh handle;
    const cs_insn *insn;
    const cs_x86 *x86;
};

/* A register, or a part of one, by its number in instructions. */
static int number_of(unsigned reg)
{
    static const uint16_t parts[][5] = {
        {X86_REG_RAX, X86_REG_EAX, X86_REG_AX, X86_REG_AL, X86_REG_AH},
        {X86_REG_RCX, X86_REG_ECX, X86_REG_CX, X86_REG_CL, X86_REG_CH},
        {X86_REG_RDX, X86_REG_EDX, X86_REG_DX, X86_REG_DL, X86_REG_DH},
        {X86_REG_RBX, X86_REG_EBX, X86_REG_BX, X86_REG_BL, X86_REG_BH},
        {X86_REG_RSP, X86_REG_ESP, X86_REG_SP, X86_REG_SPL},
        {X86_REG_RBP, X86_REG_EBP, X86_REG_BP, X86_REG_BPL},
        {X86_REG_RSI, X86_REG_ESI, X86_REG_SI, X86_REG_SIL},
        {X86_REG_RDI, X86_REG_EDI, X86_REG_DI, X86_REG_DIL},
        {X86_REG_R8, X86_REG_R8D, X86_REG_R8W, X86_REG_R8B},
        {X86_REG_R9, X86_REG_R9D, X86_REG_R9W, X86_REG_R9B},
        {X86_REG_R10, X86_REG_R10D, X86_REG_R10W, X86_REG_R10B},
        {X86_REG_R11, X86_REG_R11D, X86_REG_R11W, X86_REG_R11B},
        {X86_REG_R12, X86_REG_R12D, X86_REG_R12W, X86_REG_R12B},
        {X86_REG_R13, X86_REG_R13D, X86_REG_R13W, X86_REG_R13B},
        {X86_REG_R14, X86_REG_R14D, X86_REG_R14W, X86_REG_R14B},
        {X86_REG_R15, X86_REG_R15D, X86_REG_R15W, X86_REG_R15B},
    };
    for (size_t i = 0; reg != X86_REG_INVALID && i < sizeof parts / sizeof *parts; i++)
        for (size_t n = 0; n < 5; n++)
            if (parts[i][n] == reg)
                return (int)i;
    return HW_NO_REG;
}

static int reg_of(const cs_x86_op *op)
{
    return op->type == X86_OP_REG ? number_of(op->reg) : HW_NO_REG;
}

static void effect(struct decoder *d, struct hw_effect e)
{
    hw_listing_effect(d->code, e);
}

/* What a memory operand means, if it is anywhere that can be known. */
static bool memory_of(const struct decoder *d, const cs_x86_op *op, enum hw_effect_kind kind,
                      struct hw_effect *ret)
{
    const x86_op_mem *m = &op->mem;
    if (op->type != X86_OP_MEM || m->segment != X86_REG_INVALID)
        return false;
    *ret = hw_memory(kind, number_of(m->base), m->disp, op->size);
    if (m->base == X86_REG_RIP)
        ret->disp += (int64_t)(d->insn->address + d->insn->size);
    else if (m->base != X86_REG_INVALID && ret->base == HW_NO_REG)
        return false;
    if (m->index == X86_REG_INVALID)
        return true;
    ret->index = number_of(m->index);
    ret->scale = (unsigned)m->scale;
    return ret->index != HW_NO_REG;
}

/* ---- instructions that matter: false if this is another form of them ------------------------- */

static bool is_word(const struct decoder *d, const cs_x86_op *op)
{
    return op->size == d->code->word;
}

static bool decode_store(struct decoder *d)
{
    const cs_x86_op *to = &d->x86->operands[0], *from = &d->x86->operands[1];
    struct hw_effect e;
    if (!memory_of(d, to, HW_EFFECT_STORE, &e))
        return false;
    e.from = reg_of(from);
    if (from->type == X86_OP_IMM)
        e.value = (struct hw_value){HW_VALUE_NUMBER, (uint64_t)from->imm};
    effect(d, e);
    return true;
}

static bool decode_mov(struct decoder *d)
{
    const cs_x86_op *from = &d->x86->operands[1];
    unsigned size = d->x86->operands[0].size;
    int to = reg_of(&d->x86->operands[0]);
    struct hw_effect e;
    if (to == HW_NO_REG)
        return decode_store(d);
    if (memory_of(d, from, HW_EFFECT_LOAD, &e))
        e.to = to;
    else if (from->type == X86_OP_IMM && size >= 4)
        e = hw_set(to, HW_VALUE_NUMBER, size == 4 ? (uint32_t)from->imm : (uint64_t)from->imm);
    else if (reg_of(from) != HW_NO_REG && size == d->code->word)
        e = hw_copy(to, reg_of(from));
    else
        return false;
    effect(d, e);
    return true;
}

static bool decode_lea(struct decoder *d)
{
    const cs_x86_op *to = &d->x86->operands[0], *from = &d->x86->operands[1];
    const x86_op_mem *m = &from->mem;
    int base = number_of(m->base);
    uint64_t next = d->insn->address + d->insn->size;
    if (m->index != X86_REG_INVALID || !is_word(d, to))
        return false;
    if (m->base == X86_REG_RIP)
        effect(d, hw_point(reg_of(to), next + (uint64_t)m->disp));
    else if (m->base == X86_REG_INVALID)
        effect(d, hw_set(reg_of(to), HW_VALUE_NUMBER, (uint64_t)m->disp));
    else if (base == HW_NO_REG)
        return false;
    else if (base != reg_of(to) || m->disp != 0) /* else it fills up space */
        effect(d, hw_add(reg_of(to), base, m->disp));
    return true;
}

static bool decode_add(struct decoder *d, int64_t sign)
{
    const cs_x86_op *to = &d->x86->operands[0], *by = &d->x86->operands[1];
    if (reg_of(to) == HW_NO_REG || by->type != X86_OP_IMM || !is_word(d, to))
        return false;
    effect(d, hw_add(reg_of(to), reg_of(to), sign * by->imm));
    return true;
}

/* Of a register with itself: zero. */
static bool decode_xor(struct decoder *d)
{
    const cs_x86_op *to = &d->x86->operands[0], *by = &d->x86->operands[1];
    if (reg_of(to) == HW_NO_REG || by->type != X86_OP_REG || by->reg != to->reg || to->size < 4)
        return false;
    effect(d, hw_set(reg_of(to), HW_VALUE_NUMBER, 0));
    return true;
}

static void push(struct decoder *d, int from, struct hw_value value)
{
    struct hw_effect e = hw_memory(HW_EFFECT_STORE, SP, 0, d->code->word);
    e.from = from;
    e.value = value;
    effect(d, hw_add(SP, SP, -(int64_t)d->code->word));
    effect(d, e);
}

static bool decode_push(struct decoder *d)
{
    const cs_x86_op *op = &d->x86->operands[0];
    struct hw_value value = {0};
    struct hw_effect e;
    if (op->type == X86_OP_IMM)
        value = (struct hw_value){HW_VALUE_NUMBER, (uint64_t)op->imm};
    if (memory_of(d, op, HW_EFFECT_LOAD, &e))
        effect(d, e);
    push(d, reg_of(op), value);
    return true;
}

static void pop(struct decoder *d, int to)
{
    struct hw_effect e = hw_memory(HW_EFFECT_LOAD, SP, 0, d->code->word);
    e.to = to;
    effect(d, e);
    effect(d, hw_add(SP, SP, d->code->word));
}

static bool decode_pop(struct decoder *d)
{
    if (reg_of(&d->x86->operands[0]) == HW_NO_REG)
        return false;
    pop(d, reg_of(&d->x86->operands[0]));
    return true;
}

static bool decode_leave(struct decoder *d)
{
    effect(d, hw_copy(SP, BP));
    pop(d, BP);
    return true;
}

/* The register that code at `target` sets to the address it returns to; HW_NO_REG if it is not
 * "mov (%esp),%reg; ret", the thunk that position-independent code of i386 calls. */
static int thunk_register(const struct decoder *d, hw_addr target)
{
    uint8_t code[4];
    if (d->code->word != 4 || hw_module_initial(d->code->mod, target, code, 4) != 4 ||
        code[0] != 0x8b || (code[1] & 0xc7) != 0x04 || code[2] != 0x24 || code[3] != 0xc3)
        return HW_NO_REG;
    return code[1] >> 3 & 7;
}

/* Other than its result, whatever a function spoils is not used again. */
static bool decode_call(struct decoder *d)
{
    const cs_x86_op *op = &d->x86->operands[0];
    struct hw_effect e;
    struct hw_value pc = {HW_VALUE_PC, d->insn->address + d->insn->size};
    if (memory_of(d, op, HW_EFFECT_LOAD, &e))
        effect(d, e);
    if (op->type == X86_OP_IMM && d->code->word == 4) {
        int thunk = thunk_register(d, (hw_addr)op->imm);
        if ((uint64_t)op->imm == pc.number) { /* to the pop behind it: a thunk in place */
            push(d, HW_NO_REG, pc);
            return true;
        }
        if (thunk != HW_NO_REG) {
            effect(d, hw_set(thunk, pc.kind, pc.number));
            return true;
        }
    }
    effect(d, hw_lose(AX));
    return true;
}

/* ---- all others ------------------------------------------------------------------------------ */

static void lose_written(struct decoder *d)
{
    cs_regs read, written;
    uint8_t reads, writes;
    if (cs_regs_access(d->handle, d->insn, read, &reads, written, &writes) == CS_ERR_OK)
        for (size_t i = 0; i < writes; i++)
            effect(d, hw_lose(number_of(written[i])));
    bool exchange = d->insn->id == X86_INS_XCHG || d->insn->id == X86_INS_XADD ||
                    d->insn->id == X86_INS_CMPXCHG;
    if (!exchange) /* of which the disassembler does not know all */
        return;
    effect(d, hw_lose(AX));
    for (size_t i = 0; i < d->x86->op_count; i++)
        effect(d, hw_lose(reg_of(&d->x86->operands[i])));
}

static void decode_other(struct decoder *d)
{
    for (size_t i = 0; i < d->x86->op_count; i++) {
        const cs_x86_op *op = &d->x86->operands[i];
        bool write = op->access & CS_AC_WRITE;
        struct hw_effect e;
        if (d->insn->id != X86_INS_LEA && d->insn->id != X86_INS_NOP &&
            memory_of(d, op, write ? HW_EFFECT_TOUCH : HW_EFFECT_LOAD, &e))
            effect(d, e);
    }
    lose_written(d);
}

static bool decode_known(struct decoder *d)
{
    switch (d->insn->id) {
    case X86_INS_MOV:
    case X86_INS_MOVABS:
        return decode_mov(d);
    case X86_INS_LEA:
        return decode_lea(d);
    case X86_INS_ADD:
        return decode_add(d, 1);
    case X86_INS_SUB:
        return decode_add(d, -1);
    case X86_INS_XOR:
        return decode_xor(d);
    case X86_INS_PUSH:
        return decode_push(d);
    case X86_INS_POP:
        return decode_pop(d);
    case X86_INS_LEAVE:
        return decode_leave(d);
    case X86_INS_CALL:
        return decode_call(d);
    default:
        return false;
    }
}

static void decode_flow(struct decoder *d)
{
    const cs_x86_op *op = &d->x86->operands[0];
    bool known = d->x86->op_count == 1 && op->type == X86_OP_IMM;
    hw_addr target = known ? (hw_addr)op->imm : 0;
    if (cs_insn_group(d->handle, d->insn, CS_GRP_RET) || d->insn->id == X86_INS_HLT ||
        d->insn->id == X86_INS_UD2)
        hw_listing_flow(d->code, HW_FLOW_END, 0);
    else if (d->insn->id == X86_INS_JMP)
        hw_listing_flow(d->code, known ? HW_FLOW_JUMP : HW_FLOW_TABLE, target);
    else if (known && cs_insn_group(d->handle, d->insn, CS_GRP_JUMP))
        hw_listing_flow(d->code, HW_FLOW_BRANCH, target);
}

bool hw_decode_x86(struct hw_listing *c, const uint8_t *bytes, size_t len, hw_addr address)
{
    struct decoder d = {.code = c};
    c->stack_pointer = SP;
    if (cs_open(CS_ARCH_X86, c->word == 8 ? CS_MODE_64 : CS_MODE_32, &d.handle) != CS_ERR_OK)
        return false;
    /* An instruction newer than the disassembler must not hide the rest. */
    cs_option(d.handle, CS_OPT_DETAIL, CS_OPT_ON);
    cs_option(d.handle, CS_OPT_SKIPDATA, CS_OPT_ON);
    cs_insn *insn = cs_malloc(d.handle);
    d.insn = insn;
    while (insn && !c->no_memory && cs_disasm_iter(d.handle, &bytes, &len, &address, insn)) {
        hw_listing_insn(c, insn->address);
        if (insn->id == 0) /* bytes that are no instruction; they have no detail */
            continue;
        d.x86 = &insn->detail->x86;
        if (!decode_known(&d))
            decode_other(&d);
        decode_flow(&d);
    }
    if (insn)
        cs_free(insn, 1);
    cs_close(&d.handle);
    return insn != NULL;
}
