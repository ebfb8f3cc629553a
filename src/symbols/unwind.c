/*
 * Call frame information is the work of libdw, which says where each register of a caller is by a
 * few operations. Those are carried out here, as they need registers and memory of the target; only
 * those that compilers and the kernel write for frames, anything else ends the way up.
 */
#include "symbols/unwind.h"

#include "symbols/frames.h"

#include <dwarf.h>

/* Of all files together; a program of some hundred MiB has a tenth of that. */
#define FRAMES_BYTES ((uint64_t)64 << 20)

/* What compilers write takes three operations, the kernel's at most ten. */
#define OPS_MAX   64
#define STACK_MAX 16

struct hw_unwinder {
    struct hw_modules *modules;
    const struct hw_machine *machine;
    HW_VEC(struct hw_frames) sources;
    uint64_t budget; /* bytes that may still be read for them */
};

/* ---- files ---------------------------------------------------------------------------------- */

/* The kernel's own code. */
static int add_vdso(struct hw_unwinder *u, struct hw_target *t, struct hw_error *err)
{
    struct hw_frames f;
    if (!hw_frames_of_vdso(t, &f))
        return HW_OK;
    if (hw_vec_push(&u->sources, f))
        return HW_OK;
    hw_frames_close(&f);
    return hw_fail(err, HW_ERR_NOMEM, "out of memory");
}

/* What is known of the code at `addr`; NULL if there is nothing. */
static const struct hw_frames *source_at(struct hw_unwinder *u, hw_addr addr)
{
    for (size_t i = 0; i < u->sources.count; i++)
        if (addr >= u->sources.data[i].start && addr < u->sources.data[i].end)
            return &u->sources.data[i];
    struct hw_frames f;
    struct hw_module *mod = hw_modules_at(u->modules, addr);
    if (!mod)
        return NULL;
    hw_frames_of_module(u->modules, mod, &u->budget, &f);
    if (hw_vec_push(&u->sources, f))
        return &u->sources.data[u->sources.count - 1];
    hw_frames_close(&f);
    return NULL;
}

int hw_unwinder_open(struct hw_target *t, struct hw_modules *m, struct hw_unwinder **ret,
                     struct hw_error *err)
{
    struct hw_unwinder *u = calloc(1, sizeof *u);
    if (!u)
        return hw_fail(err, HW_ERR_NOMEM, "out of memory");
    u->modules = m;
    u->machine = t->who.machine;
    u->budget = FRAMES_BYTES;
    int rc = add_vdso(u, t, err);
    if (rc == HW_OK)
        *ret = u;
    else
        hw_unwinder_close(u);
    return rc;
}

void hw_unwinder_close(struct hw_unwinder *u)
{
    if (!u)
        return;
    for (size_t i = 0; i < u->sources.count; i++)
        hw_frames_close(&u->sources.data[i]);
    hw_vec_free(&u->sources);
    free(u);
}

/* ---- operations ----------------------------------------------------------------------------- */

/* What they are carried out with. */
struct state {
    const struct hw_machine *machine;
    const struct hw_stack *stack;
    const struct hw_dwarf_regs *regs;
    uint64_t cfa; /* 0: that is what is being asked for */
    uint64_t values[STACK_MAX];
    size_t depth;
    bool is_value; /* the result is the value, not where it is */
};

static uint64_t cut(const struct hw_machine *m, uint64_t n)
{
    return m->word == 4 ? (uint32_t)n : n;
}

static bool load(const struct state *s, hw_addr addr, uint64_t *ret)
{
    const struct hw_stack *k = s->stack;
    unsigned word = s->machine->word;
    if (addr < k->start || k->len < word || addr - k->start > k->len - word)
        return k->rest && hw_read_word(k->rest, addr, ret, NULL) == HW_OK;
    *ret = hw_word(k->bytes + (addr - k->start), word);
    return true;
}

static bool push(struct state *s, uint64_t n)
{
    if (s->depth == STACK_MAX)
        return false;
    s->values[s->depth++] = cut(s->machine, n);
    return true;
}

static bool push_register(struct state *s, uint64_t number, uint64_t add)
{
    return number < HW_DWARF_REGS && s->regs->known >> number & 1 &&
           push(s, s->regs->value[number] + add);
}

/* Two operands into one. */
static bool combine(struct state *s, uint8_t op)
{
    if (s->depth < 2)
        return false;
    uint64_t b = s->values[--s->depth], *a = &s->values[s->depth - 1], n;
    switch (op) {
    case DW_OP_plus:
        n = *a + b;
        break;
    case DW_OP_minus:
        n = *a - b;
        break;
    case DW_OP_and:
        n = *a & b;
        break;
    case DW_OP_shl:
        n = b < 64 ? *a << b : 0;
        break;
    default: /* DW_OP_ge; of addresses, and of what is left of them */
        n = *a >= b;
        break;
    }
    *a = cut(s->machine, n);
    return true;
}

static bool carry_out(struct state *s, const Dwarf_Op *op)
{
    uint8_t o = op->atom;
    if (o >= DW_OP_breg0 && o <= DW_OP_breg31)
        return push_register(s, o - DW_OP_breg0, op->number);
    if (o >= DW_OP_lit0 && o <= DW_OP_lit31)
        return push(s, o - DW_OP_lit0);
    if (o >= DW_OP_const1u && o <= DW_OP_consts)
        return push(s, op->number);
    switch (o) {
    case DW_OP_bregx:
        return push_register(s, op->number, op->number2);
    case DW_OP_call_frame_cfa:
        return s->cfa && push(s, s->cfa);
    case DW_OP_plus_uconst:
        return s->depth &&
               (s->values[s->depth - 1] = cut(s->machine, s->values[s->depth - 1] + op->number),
                true);
    case DW_OP_deref:
        return s->depth && load(s, s->values[s->depth - 1], &s->values[s->depth - 1]);
    case DW_OP_plus:
    case DW_OP_minus:
    case DW_OP_and:
    case DW_OP_shl:
    case DW_OP_ge:
        return combine(s, o);
    case DW_OP_stack_value:
        s->is_value = true;
        return true;
    default:
        return false;
    }
}

static bool evaluate(struct state *s, const Dwarf_Op *ops, size_t count, uint64_t *ret)
{
    s->depth = 0;
    s->is_value = false;
    for (size_t i = 0; i < count; i++)
        if (count > OPS_MAX || !carry_out(s, &ops[i]))
            return false;
    if (s->depth == 0)
        return false;
    *ret = s->values[s->depth - 1];
    return true;
}

/* The caller's register of this number; it stays unknown where that is not told. */
static void restore(struct state *s, Dwarf_Frame *frame, unsigned number, struct hw_dwarf_regs *ret)
{
    Dwarf_Op room[3], *ops;
    size_t count;
    uint64_t n;
    bool known = false;
    if (dwarf_frame_register(frame, (int)number, room, &ops, &count) != 0)
        return;
    if (count == 0 && ops == NULL) { /* it is the same */
        known = s->regs->known >> number & 1;
        n = s->regs->value[number];
    } else if (count == 1 && ops[0].atom >= DW_OP_reg0 && ops[0].atom <= DW_OP_reg31) {
        unsigned from = ops[0].atom - DW_OP_reg0;
        known = s->regs->known >> from & 1;
        n = s->regs->value[from];
    } else if (count && evaluate(s, ops, count, &n)) {
        known = s->is_value || load(s, n, &n);
    }
    if (known) {
        ret->value[number] = n;
        ret->known |= UINT64_C(1) << number;
    }
}

/* ---- from frame to frame -------------------------------------------------------------------- */

void hw_unwind_begin(const struct hw_machine *m, const struct hw_thread *th, struct hw_frame *ret)
{
    *ret = (struct hw_frame){.pc = th->pc};
    hw_regs_dwarf(m, th, &ret->regs);
}

/* Without the signature that aarch64 may put into a return address: addresses have 48 bits. */
static hw_addr code_address(const struct hw_machine *m, uint64_t n)
{
    return m->id == HW_AARCH64 ? n & (UINT64_MAX >> 16) : n;
}

static bool step(struct state *s, Dwarf_Frame *frame, struct hw_frame *f)
{
    Dwarf_Op *ops;
    size_t count;
    Dwarf_Addr start, end;
    bool signal;
    unsigned sp = hw_dwarf_sp(s->machine);
    int ra = dwarf_frame_info(frame, &start, &end, &signal);
    if (ra < 0 || ra >= HW_DWARF_REGS || dwarf_frame_cfa(frame, &ops, &count) != 0 || count == 0 ||
        !evaluate(s, ops, count, &s->cfa) || s->cfa == 0)
        return false;
    struct hw_frame up = {.called = !signal};
    for (unsigned i = 0; i < HW_DWARF_REGS; i++)
        restore(s, frame, i, &up.regs);
    /* Where no rule says else, the stack pointer is what it was before the call. */
    if (!signal || !(up.regs.known >> sp & 1)) {
        up.regs.value[sp] = s->cfa;
        up.regs.known |= UINT64_C(1) << sp;
    }
    if (!(up.regs.known >> ra & 1))
        return false;
    up.pc = code_address(s->machine, up.regs.value[ra]);
    if (up.pc == 0 || (up.pc == f->pc && up.regs.value[sp] == s->regs->value[sp]))
        return false;
    *f = up;
    return true;
}

bool hw_unwind_step(struct hw_unwinder *u, const struct hw_stack *stack, struct hw_frame *f)
{
    const struct hw_frames *source = source_at(u, hw_frame_place(f));
    Dwarf_Frame *frame = NULL;
    if (!source || !source->cfi ||
        dwarf_cfi_addrframe(source->cfi, hw_frame_place(f) - source->bias, &frame) != 0)
        return false;
    struct hw_dwarf_regs regs = f->regs;
    struct state s = {.machine = u->machine, .stack = stack, .regs = &regs};
    bool stepped = step(&s, frame, f);
    free(frame);
    return stepped;
}

hw_addr hw_frame_sp(const struct hw_unwinder *u, const struct hw_frame *f)
{
    unsigned sp = hw_dwarf_sp(u->machine);
    return f->regs.known >> sp & 1 ? f->regs.value[sp] : 0;
}
