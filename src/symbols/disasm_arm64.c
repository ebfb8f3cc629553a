/*
 * aarch64. Its instructions are of one size and sorted by a few bits, so a table of masks is all it
 * takes. Letters are those of the architecture's manual: Rd and Rt are written, Rn is a base.
 */
#include "symbols/listing.h"
#include "target/machine.h"

/* Register 31 is the stack pointer where it is a base, and else none: it reads as zero. */
enum { SP = 31, ZERO = 31 };

struct decoder {
    struct hw_listing *code;
    hw_addr address;
    uint32_t op;
};

static unsigned bits(const struct decoder *d, unsigned low, unsigned count)
{
    return d->op >> low & ((1U << count) - 1);
}

static int64_t signed_bits(const struct decoder *d, unsigned low, unsigned count)
{
    int64_t sign = (int64_t)1 << (count - 1);
    return ((int64_t)bits(d, low, count) ^ sign) - sign;
}

static int rd(const struct decoder *d)
{
    return (int)bits(d, 0, 5);
}

static int rn(const struct decoder *d)
{
    return (int)bits(d, 5, 5);
}

static int or_none(unsigned reg)
{
    return reg == ZERO ? HW_NO_REG : (int)reg;
}

static void effect(struct decoder *d, struct hw_effect e)
{
    hw_listing_effect(d->code, e);
}

/* ---- arithmetic ------------------------------------------------------------------------------ */

/* ADR, ADRP */
static void decode_adr(struct decoder *d)
{
    int64_t distance = signed_bits(d, 5, 19) * 4 + bits(d, 29, 2);
    int to = or_none(bits(d, 0, 5));
    if (bits(d, 31, 1))
        effect(d, hw_set(to, HW_VALUE_BASE,
                         (d->address & ~(uint64_t)0xfff) + (uint64_t)distance * 0x1000));
    else
        effect(d, hw_point(to, d->address + (uint64_t)distance));
}

/* ADD, SUB of an immediate; also "mov" from and to SP, and those that set flags (CMP). */
static void decode_add(struct decoder *d)
{
    int64_t number = (int64_t)bits(d, 10, 12) << (bits(d, 22, 1) ? 12 : 0);
    bool wide = bits(d, 31, 1), minus = bits(d, 30, 1), flags = bits(d, 29, 1);
    int to = flags ? or_none(bits(d, 0, 5)) : rd(d);
    if (wide)
        effect(d, hw_add(to, rn(d), minus ? -number : number));
    else
        effect(d, hw_lose(to));
}

/* MOVZ, MOVN, MOVK */
static void decode_mov_number(struct decoder *d)
{
    unsigned opc = bits(d, 29, 2);
    uint64_t number = (uint64_t)bits(d, 5, 16) << 16 * bits(d, 21, 2);
    if (opc == 0)
        number = ~number;
    if (!bits(d, 31, 1))
        number = (uint32_t)number;
    int to = or_none(bits(d, 0, 5));
    effect(d, opc == 3 ? hw_lose(to) : hw_set(to, HW_VALUE_NUMBER, number));
}

/* ORR Rd, ZR, Rm */
static void decode_mov(struct decoder *d)
{
    int to = or_none(bits(d, 0, 5)), from = or_none(bits(d, 16, 5));
    effect(d, from == HW_NO_REG ? hw_set(to, HW_VALUE_NUMBER, 0) : hw_copy(to, from));
}

static void decode_other(struct decoder *d)
{
    effect(d, hw_lose(or_none(bits(d, 0, 5))));
}

static void decode_nothing(struct decoder *d)
{
    (void)d;
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* How an access changes its base. */
enum mode { OFFSET, AFTER, BEFORE };

/* One access of `count` registers side by side. */
struct access {
    bool store, vector;
    unsigned size, count, reg[2];
    enum mode mode;
    int64_t disp;
};

static void access_one(struct decoder *d, const struct access *a, unsigned i)
{
    int64_t disp = (a->mode == OFFSET ? a->disp : 0) + (int64_t)(i * a->size);
    struct hw_effect e =
        hw_memory(a->store ? HW_EFFECT_STORE : HW_EFFECT_LOAD, rn(d), disp, a->size);
    if (a->store && !a->vector && a->reg[i] == ZERO)
        e.value = (struct hw_value){HW_VALUE_NUMBER, 0};
    else if (!a->vector)
        *(a->store ? &e.from : &e.to) = or_none(a->reg[i]);
    effect(d, e);
}

static void access_all(struct decoder *d, const struct access *a)
{
    if (a->mode == BEFORE)
        effect(d, hw_add(rn(d), rn(d), a->disp));
    /* The base is read before it may be loaded. */
    bool swap = a->count == 2 && !a->store && !a->vector && a->reg[0] == (unsigned)rn(d);
    for (unsigned i = 0; i < a->count; i++)
        access_one(d, a, swap ? 1 - i : i);
    if (a->mode == AFTER)
        effect(d, hw_add(rn(d), rn(d), a->disp));
}

/* LDR, STR and what is like them, at Rn + `disp`, which is in units of the size if it is scaled. */
static void access_register(struct decoder *d, enum mode mode, int64_t disp, bool scaled)
{
    unsigned size = bits(d, 30, 2), opc = bits(d, 22, 2);
    struct access a = {.vector = bits(d, 26, 1), .count = 1, .reg = {bits(d, 0, 5)}, .mode = mode};
    a.store = a.vector ? !(opc & 1) : opc == 0;
    if (!a.vector && size == 3 && opc == 2) /* PRFM */
        return;
    if (a.vector)
        size |= (opc & 2) << 1;
    a.size = 1U << size;
    a.disp = scaled ? disp * a.size : disp;
    access_all(d, &a);
}

static void decode_scaled(struct decoder *d)
{
    access_register(d, OFFSET, bits(d, 10, 12), true);
}

static void decode_unscaled(struct decoder *d)
{
    static const enum mode modes[] = {OFFSET, AFTER, OFFSET, BEFORE};
    access_register(d, modes[bits(d, 10, 2)], signed_bits(d, 12, 9), false);
}

/* LDP, STP */
static void decode_pair(struct decoder *d)
{
    static const enum mode modes[] = {OFFSET, AFTER, OFFSET, BEFORE};
    struct access a = {.store = !bits(d, 22, 1),
                       .vector = bits(d, 26, 1),
                       .count = 2,
                       .reg = {bits(d, 0, 5), bits(d, 10, 5)},
                       .mode = modes[bits(d, 23, 2)]};
    unsigned opc = bits(d, 30, 2);
    a.size = a.vector ? 4U << opc : opc == 2 ? 8 : 4;
    a.disp = signed_bits(d, 15, 7) * a.size;
    access_all(d, &a);
}

/* Rn + Rm: an array. */
static void decode_indexed(struct decoder *d)
{
    bool vector = bits(d, 26, 1), store = bits(d, 22, 2) == 0;
    if (!vector && !store)
        decode_other(d);
}

/* Exclusive, ordered, atomic: Rt, Rt2 and Rs may be written, or not. */
static void decode_atomic(struct decoder *d)
{
    effect(d, hw_memory(HW_EFFECT_TOUCH, rn(d), 0, 1U << bits(d, 30, 2)));
    decode_other(d);
    effect(d, hw_lose(or_none(bits(d, 16, 5))));
}

/* LD1 ... that move their base */
static void decode_vectors(struct decoder *d)
{
    effect(d, hw_lose(rn(d)));
}

/* LDR of what lies beside the code */
static void decode_literal(struct decoder *d)
{
    bool vector = bits(d, 26, 1);
    unsigned opc = bits(d, 30, 2);
    int64_t at = (int64_t)d->address + signed_bits(d, 5, 19) * 4;
    struct hw_effect e =
        hw_memory(HW_EFFECT_LOAD, HW_NO_REG, at, vector || opc < 2 ? 4U << opc : 4);
    if (opc == 3) /* PRFM */
        return;
    e.to = vector ? HW_NO_REG : or_none(bits(d, 0, 5));
    effect(d, e);
}

/* ---- flow ------------------------------------------------------------------------------------ */

static void branch(struct decoder *d, enum hw_flow flow, int64_t distance)
{
    hw_listing_flow(d->code, flow, d->address + (uint64_t)distance * 4);
}

static void decode_b(struct decoder *d)
{
    branch(d, HW_FLOW_JUMP, signed_bits(d, 0, 26));
}

/* B.cond, CBZ, CBNZ */
static void decode_branch(struct decoder *d)
{
    branch(d, HW_FLOW_BRANCH, signed_bits(d, 5, 19));
}

/* TBZ, TBNZ */
static void decode_test(struct decoder *d)
{
    branch(d, HW_FLOW_BRANCH, signed_bits(d, 5, 14));
}

/* BL, SVC. Other than its result, whatever a function spoils is not used again. */
static void decode_call(struct decoder *d)
{
    effect(d, hw_lose(0));
}

/* BR, BLR, RET, with authentication or without */
static void decode_register(struct decoder *d)
{
    unsigned opc = bits(d, 21, 3);
    if (opc == 1)
        decode_call(d);
    else
        hw_listing_flow(d->code, opc == 0 ? HW_FLOW_TABLE : HW_FLOW_END, 0);
}

static void decode_end(struct decoder *d)
{
    hw_listing_flow(d->code, HW_FLOW_END, 0);
}

/* What fits first. Rd is lost wherever nothing better is known. */
/* clang-format off */
static const struct {
    uint32_t mask, value;
    void (*decode)(struct decoder *d);
} table[] = {
    {0x1f000000, 0x10000000, decode_adr},
    {0x1f800000, 0x11000000, decode_add},
    {0x1f800000, 0x12800000, decode_mov_number},
    {0x1c000000, 0x10000000, decode_other},     /* other arithmetic with immediates */
    {0x7fe0ffe0, 0x2a0003e0, decode_mov},
    {0x1fe00000, 0x1a400000, decode_nothing},   /* CCMP, CCMN */
    {0x0e000000, 0x0a000000, decode_other},     /* other arithmetic with registers */
    {0x3b000000, 0x39000000, decode_scaled},
    {0x3b200c00, 0x38200800, decode_indexed},
    {0x3b200c00, 0x38200000, decode_atomic},    /* LDADD, SWP ... */
    {0x3b200000, 0x38000000, decode_unscaled},
    {0x3a000000, 0x28000000, decode_pair},
    {0x3f000000, 0x08000000, decode_atomic},    /* LDXR, STLR, CAS ... */
    {0x3b000000, 0x18000000, decode_literal},
    {0xbe800000, 0x0c800000, decode_vectors},
    {0xfc000000, 0x14000000, decode_b},
    {0xff000000, 0x54000000, decode_branch},    /* B.cond */
    {0x7e000000, 0x34000000, decode_branch},    /* CBZ, CBNZ */
    {0x7e000000, 0x36000000, decode_test},
    {0xfc000000, 0x94000000, decode_call},      /* BL */
    {0xfe000000, 0xd6000000, decode_register},
    {0xffe0001f, 0xd4000001, decode_call},      /* SVC */
    {0xff000000, 0xd4000000, decode_end},       /* BRK, HLT */
    {0xffff0000, 0x00000000, decode_end},       /* UDF */
    {0xfff00000, 0xd5300000, decode_other},     /* MRS */
    {0x5f20fc00, 0x1e200000, decode_other},     /* FMOV, FCVTZS ... */
    {0x9fe0ec00, 0x0e002c00, decode_other},     /* SMOV, UMOV */
};
/* clang-format on */

bool hw_decode_arm64(struct hw_listing *c, const uint8_t *bytes, size_t len, hw_addr address)
{
    c->stack_pointer = SP;
    for (size_t at = 0; at + 4 <= len && !c->no_memory; at += 4) {
        struct decoder d = {c, address + at, (uint32_t)hw_word(bytes + at, 4)};
        hw_listing_insn(c, d.address);
        for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
            if ((d.op & table[i].mask) == table[i].value) {
                table[i].decode(&d);
                break;
            }
        }
    }
    return true;
}
