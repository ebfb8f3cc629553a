/*
 * Follows code with all that is known of its registers, and of the words that it keeps on the
 * stack, because addresses are put together in steps and kept for long:
 *
 *     i386       call thunk; add $D, %ebx; mov %ebx, 0x28(%esp) ... mov 0x28(%esp), %ecx;
 *                lea 0x7cc(%ecx), %eax
 *     aarch64    adrp x0, PAGE; add x0, x0, #0x1b0; mov w1, #1; str w1, [x0, #72]
 *
 * Compilers move code about, so what is known at an instruction is what is known on every way to
 * it. Branches leave that at their targets (`arrivals`); the function is gone through in the order
 * of its addresses until nothing changes any more, and once again to tell the references.
 *
 * In loops that follow a pointer this does the right thing by itself: at first the pointer is a
 * known address, but not on the way back, so its members are told as members.
 */
#include "symbols/listing.h"

#include <stdlib.h>

/* Passes needed grow with the depth of loops; code that needs more tells less. */
enum { PASSES_MAX = 16 };

/* Words below the stack pointer at the start. */
enum { SLOTS = 64 };

/* What is known at an instruction. All zero: no way leads there, nothing is known. */
struct state {
    bool reached;
    struct hw_value reg[HW_REGS], slot[SLOTS];
};

struct track {
    const struct hw_listing *code;
    struct state now;
    struct state table;      /* where jumps lead whose targets are not known */
    struct state **arrivals; /* for each instruction; NULL if no branch leads there */
    bool changed, no_memory;
    hw_code_refs *refs; /* NULL until nothing changes any more */
};

static const struct hw_value unknown;

/* ---- values ---------------------------------------------------------------------------------- */

static bool same(const struct hw_value *a, const struct hw_value *b)
{
    return a->kind == b->kind && a->number == b->number;
}

static uint64_t wrap(const struct track *t, uint64_t number)
{
    return t->code->word == 4 ? (uint32_t)number : number;
}

static struct hw_value value_of(const struct track *t, int reg)
{
    return reg == HW_NO_REG ? unknown : t->now.reg[reg];
}

static void set(struct track *t, int reg, struct hw_value value)
{
    if (reg == HW_NO_REG)
        return;
    value.number = wrap(t, value.number);
    t->now.reg[reg] = value;
}

/* The word on the stack that a value points to; NULL if it points elsewhere, or not to a word. */
static struct hw_value *slot_at(struct track *t, uint64_t distance)
{
    uint64_t below = wrap(t, 0 - distance), word = t->code->word;
    return below && below % word == 0 && below / word <= SLOTS ? &t->now.slot[below / word - 1]
                                                               : NULL;
}

/* Memory on the stack is written: a word that is known, or bytes of several. */
static void write_stack(struct track *t, uint64_t distance, unsigned size, struct hw_value value)
{
    unsigned word = t->code->word;
    struct hw_value *slot = slot_at(t, distance);
    if (slot && size == word) {
        *slot = value;
        return;
    }
    uint64_t misplaced = distance % word;
    for (uint64_t at = distance - misplaced; at - distance + misplaced < size + misplaced;
         at += word)
        if ((slot = slot_at(t, at)) != NULL)
            *slot = unknown;
}

/* ---- references ------------------------------------------------------------------------------ */

static void tell(struct track *t, struct hw_code_ref ref)
{
    if (t->refs && !hw_vec_push(t->refs, ref))
        t->no_memory = true;
}

static void tell_address(struct track *t, hw_addr address)
{
    tell(t, (struct hw_code_ref){.kind = HW_REF_ADDRESS, .address = wrap(t, address)});
}

/* A constant as the signed number of that many bytes. */
static int64_t narrow(uint64_t number, unsigned size)
{
    switch (size) {
    case 1:
        return (int8_t)number;
    case 2:
        return (int16_t)number;
    case 4:
        return (int32_t)number;
    default:
        return (int64_t)number;
    }
}

/* Where memory is that an effect is about. */
static struct hw_value place_of(const struct track *t, const struct hw_effect *e)
{
    struct hw_value base = value_of(t, e->base), index = value_of(t, e->index);
    if (e->base == HW_NO_REG)
        base.kind = HW_VALUE_NUMBER;
    if (base.kind == HW_VALUE_UNKNOWN || (e->index != HW_NO_REG && index.kind != HW_VALUE_NUMBER))
        return unknown;
    base.number = wrap(t, base.number + index.number * e->scale + (uint64_t)e->disp);
    return base;
}

static void access_memory(struct track *t, const struct hw_effect *e)
{
    bool store = e->kind == HW_EFFECT_STORE;
    struct hw_value place = place_of(t, e), result = unknown;
    struct hw_value stored = e->from == HW_NO_REG ? e->value : value_of(t, e->from);
    struct hw_code_ref ref = {
        .kind = store ? HW_REF_STORE : HW_REF_LOAD, .address = place.number, .size = e->size};
    if (place.kind == HW_VALUE_STACK) {
        const struct hw_value *slot = slot_at(t, place.number);
        if (e->kind != HW_EFFECT_LOAD)
            write_stack(t, place.number, e->size, store ? stored : unknown);
        else if (slot && e->size == t->code->word)
            result = *slot;
    } else if (place.kind != HW_VALUE_UNKNOWN) {
        ref.constant = store && stored.kind == HW_VALUE_NUMBER;
        ref.value = ref.constant ? narrow(stored.number, e->size) : 0;
        tell(t, ref);
    } else if (e->index == HW_NO_REG) { /* an array tells nothing */
        ref.kind = HW_REF_MEMBER;
        ref.address = (uint64_t)e->disp;
        tell(t, ref);
    }
    if (e->kind == HW_EFFECT_LOAD)
        set(t, e->to, result);
}

/* ---- effects --------------------------------------------------------------------------------- */

/* Add a distance: half an address becomes a whole one, which is then told. */
static void add(struct track *t, const struct hw_effect *e)
{
    struct hw_value value = value_of(t, e->from);
    value.number += e->value.number;
    if (value.kind == HW_VALUE_BASE) {
        value.kind = HW_VALUE_NUMBER;
        tell_address(t, value.number);
    } else if (value.kind == HW_VALUE_PC) {
        value.kind = HW_VALUE_BASE;
    } else if (value.kind == HW_VALUE_UNKNOWN) {
        value = unknown;
    }
    set(t, e->to, value);
}

static bool is_in_module(const struct track *t, const struct hw_value *value)
{
    return value->kind == HW_VALUE_NUMBER && value->number >= t->code->mod->start &&
           value->number < t->code->mod->end;
}

static void apply(struct track *t, const struct hw_effect *e)
{
    switch (e->kind) {
    case HW_EFFECT_LOSE:
        set(t, e->to, unknown);
        break;
    case HW_EFFECT_SET: /* code at a fixed address takes addresses as if they were numbers */
        if (is_in_module(t, &e->value))
            tell_address(t, e->value.number);
        set(t, e->to, e->value);
        break;
    case HW_EFFECT_POINT:
        tell_address(t, e->value.number);
        set(t, e->to, e->value);
        break;
    case HW_EFFECT_COPY:
        set(t, e->to, value_of(t, e->from));
        break;
    case HW_EFFECT_ADD:
        add(t, e);
        break;
    case HW_EFFECT_LOAD:
    case HW_EFFECT_STORE:
    case HW_EFFECT_TOUCH:
        access_memory(t, e);
        break;
    }
}

/* ---- the ways through the function ----------------------------------------------------------- */

/* Keep what is known both in `s` and in `with`. True if that changes `s`. */
static bool join(const struct track *t, struct state *s, const struct state *with)
{
    int sp = t->code->stack_pointer;
    bool changed = false;
    if (!s->reached) {
        *s = *with;
        return with->reached;
    }
    /* Ways that meet have the same stack. Another one comes from behind a call that never returns,
     * so it is none. */
    if (!with->reached || !same(&s->reg[sp], &with->reg[sp]))
        return false;
    for (int i = 0; i < HW_REGS + SLOTS; i++) {
        struct hw_value *mine = i < HW_REGS ? &s->reg[i] : &s->slot[i - HW_REGS];
        const struct hw_value *other = i < HW_REGS ? &with->reg[i] : &with->slot[i - HW_REGS];
        if (mine->kind != HW_VALUE_UNKNOWN && !same(mine, other)) {
            *mine = unknown;
            changed = true;
        }
    }
    return changed;
}

/* The instruction at an address, by its number; their number if there is none. */
static size_t find_insn(const struct hw_listing *c, hw_addr address)
{
    size_t low = 0, high = c->insns.count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (c->insns.data[mid].address < address)
            low = mid + 1;
        else
            high = mid;
    }
    return low < c->insns.count && c->insns.data[low].address == address ? low : c->insns.count;
}

static void arrive(struct track *t, hw_addr target)
{
    size_t i = find_insn(t->code, target);
    if (i == t->code->insns.count || !t->now.reached)
        return;
    if (!t->arrivals[i] && !(t->arrivals[i] = calloc(1, sizeof *t->arrivals[i]))) {
        t->no_memory = true;
        return;
    }
    t->changed |= join(t, t->arrivals[i], &t->now);
}

static void leave(struct track *t, const struct hw_insn *insn)
{
    if (insn->flow == HW_FLOW_BRANCH || insn->flow == HW_FLOW_JUMP)
        arrive(t, insn->target);
    else if (insn->flow == HW_FLOW_TABLE)
        t->changed |= join(t, &t->table, &t->now);
    if (insn->flow != HW_FLOW_NEXT && insn->flow != HW_FLOW_BRANCH)
        t->now = (struct state){0};
}

static void pass(struct track *t)
{
    const struct hw_listing *c = t->code;
    bool fresh = false; /* the last instruction does not lead here */
    t->now = (struct state){.reached = true};
    t->now.reg[c->stack_pointer].kind = HW_VALUE_STACK;
    for (size_t i = 0; i < c->insns.count && !t->no_memory; i++) {
        const struct hw_insn *insn = &c->insns.data[i];
        if (t->arrivals[i]) {
            struct state here = *t->arrivals[i];
            join(t, &here, &t->now);
            t->now = here;
        } else if (fresh) {
            t->now = t->table;
        }
        for (size_t n = 0; n < insn->count; n++)
            apply(t, &c->effects.data[insn->first + n]);
        leave(t, insn);
        fresh = insn->flow != HW_FLOW_NEXT && insn->flow != HW_FLOW_BRANCH;
    }
}

bool hw_listing_track(const struct hw_listing *c, hw_code_refs *ret)
{
    struct track t = {.code = c, .changed = true};
    t.arrivals = calloc(c->insns.count + 1, sizeof *t.arrivals);
    if (!t.arrivals)
        return false;
    for (int i = 0; i < PASSES_MAX && t.changed && !t.no_memory; i++) {
        t.changed = false;
        pass(&t);
    }
    t.refs = ret;
    pass(&t);
    for (size_t i = 0; i < c->insns.count; i++)
        free(t.arrivals[i]);
    free(t.arrivals);
    return !t.no_memory;
}
