/*
 * The code of a function in a form that all instruction sets share: for each instruction what it
 * does to registers and memory, as far as addresses can come of it, and where it goes on.
 *
 *     disasm_x86.c, disasm_arm64.c     write it: one instruction, its effects
 *     track.c                          follows it, and tells what it refers to
 */
#ifndef HW_SYMBOLS_LISTING_H
#define HW_SYMBOLS_LISTING_H

#include "symbols/disasm.h"

enum { HW_REGS = 32, HW_NO_REG = -1 };

enum hw_value_kind {
    HW_VALUE_UNKNOWN,
    HW_VALUE_NUMBER, /* a constant or an address */
    HW_VALUE_PC,     /* where the code runs: what a call of the get-pc thunk leaves (i386) */
    HW_VALUE_BASE,   /* half an address: the GOT (i386), a page (aarch64); add a distance */
    HW_VALUE_STACK,  /* so far from where the stack pointer was at the function's start */
};

struct hw_value {
    enum hw_value_kind kind;
    uint64_t number;
};

enum hw_effect_kind {
    HW_EFFECT_LOSE,  /* to = something */
    HW_EFFECT_SET,   /* to = value */
    HW_EFFECT_POINT, /* to = value, which is an address that the code takes */
    HW_EFFECT_COPY,  /* to = from */
    HW_EFFECT_ADD,   /* to = from + value */
    HW_EFFECT_LOAD,  /* to = memory; HW_NO_REG if it is only looked at */
    HW_EFFECT_STORE, /* memory = from; HW_NO_REG: = value */
    HW_EFFECT_TOUCH, /* memory is read and written */
};

/* One thing that an instruction does; unused registers are HW_NO_REG. */
struct hw_effect {
    enum hw_effect_kind kind;
    int to, from;
    struct hw_value value;
    int base, index; /* memory is at base + index * scale + disp */
    unsigned scale;
    int64_t disp;
    unsigned size; /* bytes of memory */
};

enum hw_flow {
    HW_FLOW_NEXT,
    HW_FLOW_BRANCH, /* to `target` or to the next instruction */
    HW_FLOW_JUMP,   /* to `target` */
    HW_FLOW_TABLE,  /* to somewhere in the function, most likely */
    HW_FLOW_END,    /* out of it */
};

struct hw_insn {
    hw_addr address, target;
    enum hw_flow flow;
    size_t first, count; /* its effects */
};

struct hw_listing {
    struct hw_module *mod;
    unsigned word;
    int stack_pointer; /* a register */
    HW_VEC(struct hw_insn) insns;
    HW_VEC(struct hw_effect) effects;
    bool no_memory; /* something is missing */
};

/* Begin an instruction, say what it does in that order, and where it goes. */
void hw_listing_insn(struct hw_listing *c, hw_addr address);
void hw_listing_effect(struct hw_listing *c, struct hw_effect effect);
void hw_listing_flow(struct hw_listing *c, enum hw_flow flow, hw_addr target);

/* Effects by what they need. */
static inline struct hw_effect hw_lose(int to)
{
    return (struct hw_effect){.kind = HW_EFFECT_LOSE, .to = to};
}

static inline struct hw_effect hw_set(int to, enum hw_value_kind kind, uint64_t number)
{
    return (struct hw_effect){.kind = HW_EFFECT_SET, .to = to, .value = {kind, number}};
}

static inline struct hw_effect hw_point(int to, hw_addr address)
{
    return (struct hw_effect){
        .kind = HW_EFFECT_POINT, .to = to, .value = {HW_VALUE_NUMBER, address}};
}

static inline struct hw_effect hw_copy(int to, int from)
{
    return (struct hw_effect){.kind = HW_EFFECT_COPY, .to = to, .from = from};
}

static inline struct hw_effect hw_add(int to, int from, int64_t number)
{
    return (struct hw_effect){.kind = HW_EFFECT_ADD,
                              .to = to,
                              .from = from,
                              .value = {HW_VALUE_NUMBER, (uint64_t)number}};
}

static inline struct hw_effect hw_memory(enum hw_effect_kind kind, int base, int64_t disp,
                                         unsigned size)
{
    return (struct hw_effect){.kind = kind,
                              .to = HW_NO_REG,
                              .from = HW_NO_REG,
                              .base = base,
                              .index = HW_NO_REG,
                              .disp = disp,
                              .size = size};
}

/* The decoders: false if memory is out. */
bool hw_decode_x86(struct hw_listing *c, const uint8_t *bytes, size_t len, hw_addr address);
bool hw_decode_arm64(struct hw_listing *c, const uint8_t *bytes, size_t len, hw_addr address);

/* track.c: append what the code refers to. False if memory is out. */
bool hw_listing_track(const struct hw_listing *c, hw_code_refs *ret);

#endif
