/*
 * Where the thread pointers of a core come from: its notes, or the control blocks in its memory.
 */
#include "core_builder.h"

#include <criterion/criterion.h>

#include <string.h>

/* ---- notes ----------------------------------------------------------------------------------- */

static hw_addr tp_of(struct builder *b, size_t thread)
{
    struct hw_target *t = core_must_open(b, WHOLE);
    cr_assert_lt(thread, t->thread_count);
    cr_expect(t->threads[thread].regs_known);
    hw_addr tp = t->threads[thread].tp;
    hw_target_close(t);
    return tp;
}

static struct builder *i386_core(unsigned gs, const void *tls, size_t len)
{
    struct builder *b = core_new(HW_I386);
    uint8_t status[144] = {[24] = 5};
    memcpy(status + 72 + 10 * 4, &gs, sizeof gs);
    core_add_note(b, "CORE", NT_PRSTATUS, status, sizeof status);
    core_add_note(b, "LINUX", NT_386_TLS, tls, len);
    core_add_load(b, 0x10000, 0x1000, 0x1000, PF_R | PF_W, 0);
    return b;
}

Test(core_tls, on_i386_gs_selects_the_descriptor)
{
    uint32_t tls[3][4] = {{12, 0x11000, 0xfffff, 0x51}, {13, 0x12000, 0, 0}, {14, 0x13000, 0, 0}};
    cr_expect_eq(tp_of(i386_core(12 << 3 | 3, tls, sizeof tls), 0), 0x11000);
    cr_expect_eq(tp_of(i386_core(14 << 3 | 3, tls, sizeof tls), 0), 0x13000);
    cr_expect_eq(tp_of(i386_core(6 << 3 | 3, tls, sizeof tls), 0), 0, "there is no such entry");
    cr_expect_eq(tp_of(i386_core(12 << 3 | 7, tls, sizeof tls), 0), 0, "of the local table");
    cr_expect_eq(tp_of(i386_core(0, tls, sizeof tls), 0), 0);
    cr_expect_eq(tp_of(i386_core(14 << 3 | 3, tls, sizeof tls - 1), 0), 0, "cut");
    cr_expect_eq(tp_of(i386_core(12 << 3 | 3, tls, 0), 0), 0);
}

Test(core_tls, a_note_belongs_to_the_thread_before_it)
{
    uint64_t tls = 0x7000, nobody = 0xbad;
    uint8_t status[392] = {[32] = 5}, broken[392] = {0};
    struct builder *b = core_new(HW_AARCH64);
    core_add_note(b, "LINUX", NT_ARM_TLS, &nobody, 8);
    core_add_note(b, "CORE", NT_PRSTATUS, status, sizeof status);
    core_add_psinfo(b, 5, "prog");
    core_add_note(b, "LINUX", NT_ARM_TLS, &tls, 8);
    status[32] = 6;
    core_add_note(b, "CORE", NT_PRSTATUS, status, sizeof status);
    core_add_note(b, "LINUX", NT_ARM_TLS, &tls, 7);
    core_add_note(b, "CORE", NT_ARM_TLS, &tls, 8);
    core_add_note(b, "LINUX", NT_386_TLS, &tls, 8);
    core_add_note(b, "CORE", NT_PRSTATUS, broken, sizeof broken);
    core_add_note(b, "LINUX", NT_ARM_TLS, &nobody, 8);
    core_add_load(b, 0x10000, 0x1000, 0x1000, PF_R | PF_W, 0);
    cr_expect_eq(tp_of(b, 0), 0x7000);
    cr_expect_eq(tp_of(b, 1), 0);
}

/* ---- control blocks -------------------------------------------------------------------------- */

/* The control block of one thread, and what it takes part in, in the segment added last. */
struct tcb {
    hw_addr tp, dtv, block;
    hw_addr pthread; /* where struct pthread begins */
    hw_addr list, next;
    int tid;
};

static struct tcb tcb_at(const struct builder *b, hw_addr tp, int tid)
{
    bool above = b->machine->tls_above;
    hw_addr pthread = above ? tp - 0x740 : tp;
    return (struct tcb){.tp = tp,
                        .dtv = tp + 0x800 + 2 * b->machine->word,
                        .block = above ? tp + 16 : tp - 0x60,
                        .pthread = pthread,
                        .list = pthread + (above ? 0xc0 : 0x60),
                        .next = tp + 0xa00,
                        .tid = tid};
}

static void add_tcb(struct builder *b, const struct tcb *c)
{
    unsigned w = b->machine->word;
    core_poke(b, c->tp, b->machine->tls_above ? c->dtv : c->tp);
    core_poke(b, c->tp + w, b->machine->tls_above ? 0 : c->dtv);
    if (!b->machine->tls_above)
        core_poke(b, c->tp + 2 * w, c->tp);
    core_poke(b, c->dtv - 2 * w, 16); /* capacity */
    core_poke(b, c->dtv, 1);          /* generation */
    core_poke(b, c->dtv + 2 * w, c->block);
    core_poke(b, c->dtv + 4 * w, UINT64_MAX); /* a module whose block was never needed */
    core_poke(b, c->list, c->next);
    core_poke(b, c->list + w, c->next);
    core_poke(b, c->next, c->list);
    core_poke(b, c->next + w, c->list);
    core_poke(b, c->list + 2 * w, (uint64_t)c->tid);
}

#define STACK  0x80000
#define MEMORY 0x60000
#define SAVED  0x8000

/* A core whose notes do not tell thread pointers: thread 5 has its stack at STACK, 6 does not. */
static struct builder *silent_core(enum hw_machine_id id)
{
    struct builder *b = core_new(id);
    core_add_thread(b, 5, 0, STACK + 0x100, 0x1000);
    core_add_thread(b, 6, 0, 0x1000, 0x1000);
    core_add_load(b, STACK, SAVED, SAVED, PF_R | PF_W, 0);
    return b;
}

EACH_MACHINE(core_tls, HW_I386, finds_the_control_block_of_each_thread)
{
    struct builder *b = silent_core(id);
    struct tcb first = tcb_at(b, STACK + 0x7000, 5), second = tcb_at(b, MEMORY + 0x2000, 6);
    add_tcb(b, &first);
    core_add_load(b, MEMORY, SAVED, SAVED, PF_R | PF_W, 0);
    add_tcb(b, &second);
    cr_expect_eq(tp_of(b, 0), first.tp);
    cr_expect_eq(tp_of(b, 1), second.tp);
}

EACH_MACHINE(core_tls, HW_I386, does_not_choose_between_two)
{
    struct builder *b = silent_core(id);
    struct tcb first = tcb_at(b, STACK + 0x3000, 6), second = tcb_at(b, STACK + 0x6000, 6);
    add_tcb(b, &first);
    add_tcb(b, &second);
    cr_expect_eq(tp_of(b, 1), 0);
}

/* Also if one is near the stack pointer, and the other shows when thread 6 is searched for. */
EACH_MACHINE(core_tls, HW_I386, does_not_prefer_the_one_it_saw_first)
{
    struct builder *b = silent_core(id);
    struct tcb first = tcb_at(b, STACK + 0x7000, 5), second = tcb_at(b, MEMORY + 0x2000, 5);
    add_tcb(b, &first);
    core_add_load(b, MEMORY, SAVED, SAVED, PF_R | PF_W, 0);
    add_tcb(b, &second);
    cr_expect_eq(tp_of(b, 0), 0);
}

/* The vector of blocks comes from calloc(), blocks of modules loaded later from malloc(). */
Test(core_tls, tagged_memory)
{
    hw_addr tag = (hw_addr)5 << 56;
    struct builder *b = silent_core(HW_AARCH64);
    struct tcb tcb = tcb_at(b, STACK + 0x7000, 5);
    add_tcb(b, &tcb);
    core_poke(b, tcb.tp, tcb.dtv | tag);
    core_poke(b, tcb.dtv + 48, (STACK + 0x400) | tag);
    cr_expect_eq(tp_of(b, 0), tcb.tp);
}

EACH_MACHINE(core_tls, HW_I386, believes_the_notes_if_there_are_any)
{
    struct builder *b = silent_core(id);
    struct tcb first = tcb_at(b, STACK + 0x7000, 5);
    add_tcb(b, &first);
    core_add_thread(b, 7, 0x5550, 0, 0);
    cr_expect_eq(tp_of(b, 0), 0);
    cr_expect_eq(tp_of(b, 2), 0x5550);
}

EACH_MACHINE(core_tls, HW_I386, only_writable_memory_holds_control_blocks)
{
    static const struct mapped file = {MEMORY, MEMORY + SAVED, 0, "/a/file"};
    for (int k = 0; k < 3; k++) {
        struct builder *b = silent_core(id);
        if (k == 1)
            core_add_files(b, &file, 1, 1);
        core_add_load(b, MEMORY, SAVED, SAVED, k == 2 ? PF_R : PF_R | PF_W, 0);
        struct tcb second = tcb_at(b, MEMORY + 0x2000, 6);
        add_tcb(b, &second);
        cr_expect_eq(tp_of(b, 1), k == 0 ? second.tp : 0);
    }
}

/* As those of programs without libpthread were, up to glibc 2.33. */
EACH_MACHINE(core_tls, HW_I386, an_only_thread_needs_no_name)
{
    for (int blocks = 0; blocks <= 2; blocks++) {
        struct builder *b = core_new(id);
        core_add_thread(b, 5, 0, STACK + 0x100, 0x1000);
        core_add_load(b, STACK, SAVED, SAVED, PF_R | PF_W, 0);
        for (int i = 0; i < blocks; i++) {
            struct tcb c = tcb_at(b, STACK + 0x3000 * (hw_addr)(i + 1), 0);
            c.list = c.next = STACK + 0x1000; /* somewhere else */
            add_tcb(b, &c);
        }
        cr_expect_eq(tp_of(b, 0), blocks == 1 ? STACK + 0x3000 : 0, "%d", blocks);
    }
    struct builder *b = silent_core(id);
    struct tcb c = tcb_at(b, STACK + 0x3000, 0);
    add_tcb(b, &c);
    cr_expect_eq(tp_of(b, 0), 0, "there is another thread");
}

EACH_MACHINE(core_tls, HW_I386, every_part_of_a_control_block_counts)
{
    const unsigned w = hw_machine(id)->word;
    const struct tcb c = tcb_at(silent_core(id), STACK + 0x7000, 5);
    const struct {
        hw_addr at;
        uint64_t word;
    } damage[] = {
        {c.tp, c.tp + w},       {c.tp + w, STACK + SAVED - w},
        {c.dtv - 2 * w, 3},     {c.dtv - 2 * w, 0x40000000},
        {c.dtv - w, 1},         {c.dtv + w, 1},
        {c.dtv + 2 * w, 0},     {c.dtv + 2 * w, 0xbad},
        {c.dtv + 6 * w, 0xbad}, {c.list, c.list},
        {c.list + w, 0},        {c.list, 0x1000},
        {c.next, c.next},       {c.next + w, c.next},
        {c.list + 2 * w, 6},    {c.list + 2 * w, 0},
    };
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        struct builder *b = silent_core(id);
        add_tcb(b, &c);
        cr_expect_eq(tp_of(b, 0), c.tp);
        core_poke(b, damage[i].at, damage[i].word);
        cr_expect_eq(tp_of(b, 0), 0, "%s, damage %zu", hw_machine(id)->name, i);
    }
}

EACH_MACHINE(core_tls, HW_I386, random_memory_is_survived)
{
    uint64_t x = 88172645463325252u;
    for (int i = 0; i < 300; i++) {
        struct builder *b = silent_core(id);
        struct tcb c = tcb_at(b, STACK + 0x7000, 5);
        add_tcb(b, &c);
        for (hw_addr at = STACK; at < STACK + SAVED - 16; at += 8) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            if (x % 4 == 0) /* mostly pointers around */
                core_poke(b, at, x % 3 ? STACK + (x >> 40) % SAVED / 8 * 8 : x >> 20);
        }
        struct hw_target *t = core_must_open(b, WHOLE);
        for (size_t k = 0; k < t->thread_count; k++)
            cr_expect(t->threads[k].tp == 0 || hw_map_at(t, t->threads[k].tp));
        hw_target_close(t);
    }
}

EACH_MACHINE(core_tls, HW_I386, the_ends_of_memory_end_the_search)
{
    hw_addr last = hw_machine(id)->word == 4 ? UINT32_MAX : UINT64_MAX;
    struct builder *b = core_new(id);
    core_add_thread(b, 5, 0, last - 1, 0x1000);
    core_add_thread(b, 6, 0, 0x1003, 0x1000);
    core_add_load(b, 0, 0x1009, 0x1009, PF_R | PF_W, 0);
    core_add_load(b, last - 0xfff, 0x1000, 0x1000, PF_R | PF_W, 0xff);
    cr_expect_eq(tp_of(b, 0), 0);
    cr_expect_eq(tp_of(b, 1), 0);
}
