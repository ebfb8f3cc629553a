/*
 * Code that puts its addresses together in steps: of i386, and of aarch64.
 */
#include "symbols/disasm.h"
#include "symbols/initial.h"

#include "maker.h"
#include "support.h"

#include <criterion/criterion.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { START = 0x56000000, FIXED = 0x8048000, ROOM = 0x4000 };

static struct scratch scratch;
static struct hw_target *target;
static struct hw_modules *modules;
static struct hw_error err;

static void setup(void)
{
    scratch_start(&scratch);
}

static void teardown(void)
{
    hw_modules_close(modules);
    hw_target_close(target);
    scratch_end(&scratch);
}

TestSuite(track, .init = setup, .fini = teardown);

static void expect(const hw_code_refs *refs, const struct hw_code_ref *wanted, size_t count)
{
    for (size_t i = 0; i < count && i < refs->count; i++) {
        const struct hw_code_ref *r = &refs->data[i];
        cr_expect_eq(r->kind, wanted[i].kind, "%zu: kind %d", i, r->kind);
        cr_expect_eq(r->address, wanted[i].address, "%zu: %#lx, not %#lx", i, (long)r->address,
                     (long)wanted[i].address);
        cr_expect_eq(r->size, wanted[i].size, "%zu: size %u", i, r->size);
        cr_expect_eq(r->constant, wanted[i].constant, "%zu: constant", i);
        cr_expect_eq(r->value, wanted[i].value, "%zu: value %ld", i, (long)r->value);
    }
    cr_expect_eq(refs->count, count);
}

#define EXPECT(refs, ...)                                                                          \
    expect((refs), (struct hw_code_ref[]){__VA_ARGS__},                                            \
           sizeof((struct hw_code_ref[]){__VA_ARGS__}) / sizeof(struct hw_code_ref))

#define TAKEN(at)                                                                                  \
    {                                                                                              \
        HW_REF_ADDRESS, (at), 0, false, 0                                                          \
    }
#define LOAD(at, size)                                                                             \
    {                                                                                              \
        HW_REF_LOAD, (at), (size), false, 0                                                        \
    }
#define STORE(at, size)                                                                            \
    {                                                                                              \
        HW_REF_STORE, (at), (size), false, 0                                                       \
    }
#define CONST(at, size, n)                                                                         \
    {                                                                                              \
        HW_REF_STORE, (at), (size), true, (n)                                                      \
    }
#define MEMBER(into, size)                                                                         \
    {                                                                                              \
        HW_REF_MEMBER, (into), (size), false, 0                                                    \
    }

/* ---- i386 ------------------------------------------------------------------------------------ */

/* Text of a source that defines `probe`, and the place that it refers to. */
#define SOURCE(code)                                                                               \
    "__asm__(\".data\\n.globl place\\n.hidden place\\nplace: .fill 64\\n\"\n"                      \
    "  \".text\\n.globl probe\\n.type probe,@function\\nprobe:\\n\"\n" code                        \
    "  \".size probe,.-probe\\n\"\n"                                                               \
    "  \"away: ret\\n thunk: mov (%esp),%eax\\n ret\\n\");\n"

/* Compile for i386, map the file at `start`, and ask for the references of `probe`. */
static hw_addr ask_i386(const char *source, const char *flags, hw_addr start, hw_code_refs *refs)
{
    static uint8_t memory[ROOM];
    size_t len;
    const char *path = scratch_path(&scratch, "probe.so");
    if (system("echo | cc -m32 -c -x c -o /dev/null - 2>/dev/null") != 0)
        cr_skip_test("this compiler makes no code for i386");
    compile(source, path, flags);
    uint8_t *bytes = slurp(path, &len);
    memcpy(memory, bytes, len < ROOM ? len : ROOM);
    free(bytes);
    struct hw_buffer_range range = {
        .start = start, .bytes = memory, .len = ROOM, .flags = HW_MAP_READ, .path = path};
    modules = maker_open(hw_machine(HW_I386), &range, 1, NULL, 0, NULL, &target);
    struct hw_module *mod = hw_modules_get(modules, 0);
    cr_assert_eq(hw_module_load(modules, mod, &err), HW_OK, "%s", err.text);
    cr_assert_eq(hw_disasm_refs(mod, "probe", refs, &err), HW_OK, "%s", err.text);
    struct hw_symbol s;
    cr_assert(hw_module_symbol(mod, "place", &s));
    return s.address;
}

/* The GOT's address is made at the start, kept on the stack over calls, and used everywhere. */
static const char independent[] = SOURCE(
    "\"call thunk\\n add $_GLOBAL_OFFSET_TABLE_,%eax\\n\"\n"
    "\"push %ebx\\n sub $0x18,%esp\\n mov %eax,0x8(%esp)\\n\"\n"
    "\"lea place@GOTOFF(%eax),%ebx\\n\"\n"
    "\"1: mov 0x448(%ebx),%ebx\\n test %ebx,%ebx\\n jne 1b\\n\"\n" /* a list: not of `place` */
    "\"test %edi,%edi\\n je 2f\\n\"\n"
    "\"sub $0xc,%esp\\n push %ebx\\n call away\\n\"\n" /* for good: the stack does not fit */
    "\"2: sub $0xc,%esp\\n push %ebx\\n call away\\n add $0x10,%esp\\n\"\n"
    "\"mov 0x8(%esp),%ecx\\n movl $1,place@GOTOFF+0x20(%ecx)\\n\"\n"
    "\"mov $-7,%edx\\n mov %edx,place@GOTOFF+0x24(%ecx)\\n\"\n"
    "\"lea 0x30,%edx\\n push place@GOTOFF(%ecx,%edx,1)\\n\"\n"
    "\"lea 0x0(%ecx),%ecx\\n mov 0x10(%ecx,%esi,4),%edi\\n jmp *%edi\\n\"\n"
    "\"mov %si,place@GOTOFF+0x28(%ecx)\\n addl $1,place@GOTOFF+0x2c(%ecx)\\n\"\n"
    "\"mov %gs:0x14,%eax\\n mov 0x10(%eax),%al\\n\"\n"
    "\"mov %ecx,%edx\\n mov $1,%ecx\\n xchg %edx,(%ecx,%ecx,2)\\n mov 4(%edx),%ax\\n\"\n"
    "\"add $0x20,%esp\\n pop %ebx\\n ret\\n\"\n");

Test(track, i386_position_independent)
{
    hw_code_refs refs = {0};
    hw_addr place = ask_i386(independent, "-m32 -shared -nostdlib -fPIC", START, &refs);
    EXPECT(&refs, TAKEN(place), MEMBER(0x448, 4), CONST(place + 0x20, 4, 1),
           CONST(place + 0x24, 4, -7), LOAD(place + 0x30, 4), STORE(place + 0x28, 2),
           LOAD(place + 0x2c, 4), MEMBER(0x10, 1), LOAD(3, 4), MEMBER(4, 2));
    hw_vec_free(&refs);
}

/* What only looks like a thunk, a register that is not known on every way, implicit results. */
static const char doubtful[] = SOURCE(
    "\"call 9f\\n add $_GLOBAL_OFFSET_TABLE_,%eax\\n mov place@GOTOFF(%eax),%cl\\n\"\n"
    "\"call thunk\\n add $_GLOBAL_OFFSET_TABLE_,%eax\\n mov %eax,%esi\\n mov %eax,%edi\\n\"\n"
    "\"test %cl,%cl\\n je 1f\\n mov $8,%esi\\n\"\n"
    "\"1: mov 12(%esi),%cl\\n movb $1,place@GOTOFF+16(%edi)\\n\"\n"
    "\"xor %eax,%eax\\n lock cmpxchg %ecx,place@GOTOFF+20(%edi)\\n mov 24(%eax),%ecx\\n\"\n"
    "\"ret\\n 9: mov 0x24(%ebp),%eax\\n ret\\n\"\n");

Test(track, i386_in_doubt)
{
    hw_code_refs refs = {0};
    hw_addr place = ask_i386(doubtful, "-m32 -shared -nostdlib -fPIC", START, &refs);
    cr_assert_geq(refs.count, 1);
    cr_expect_eq(refs.data[0].kind, HW_REF_MEMBER);
    struct hw_code_ref first = refs.data[0];
    EXPECT(&refs, MEMBER(first.address, 1), MEMBER(12, 1), CONST(place + 16, 1, 1),
           LOAD(place + 20, 4), MEMBER(24, 4), MEMBER(0x24, 4));
    hw_vec_free(&refs);
}

/* Without a thunk, a frame pointer, and with an address made by addition. */
static const char in_place[] =
    SOURCE("\"push %ebp\\n mov %esp,%ebp\\n sub $0x10,%esp\\n\"\n"
           "\"call 1f\\n 1: pop %ebx\\n add $_GLOBAL_OFFSET_TABLE_+(.-1b),%ebx\\n\"\n"
           "\"mov %ebx,-0xc(%ebp)\\n xor %ebx,%ebx\\n mov -0xc(%ebp),%esi\\n\"\n"
           "\"mov %ebx,place@GOTOFF(%esi)\\n\"\n"
           "\"movb $0,-0xb(%ebp)\\n mov -0xc(%ebp),%edi\\n mov 0x20(%edi),%eax\\n\"\n" /* spoilt */
           "\"add $place@GOTOFF,%esi\\n mov 4(%esi),%eax\\n\"\n"
           "\"leave\\n ret\\n\"\n");

Test(track, i386_without_a_thunk)
{
    hw_code_refs refs = {0};
    hw_addr place = ask_i386(in_place, "-m32 -shared -nostdlib -fPIC", START, &refs);
    EXPECT(&refs, CONST(place, 4, 0), MEMBER(0x20, 4), TAKEN(place), LOAD(place + 4, 4));
    hw_vec_free(&refs);
}

static const char fixed[] = SOURCE("\"mov place,%eax\\n movl $1,place+8\\n mov $place,%edx\\n\"\n"
                                   "\"mov %ecx,12(%edx)\\n mov $5,%edx\\n ret\\n\"\n");

Test(track, i386_at_a_fixed_address)
{
    hw_code_refs refs = {0};
    hw_addr place = ask_i386(fixed,
                             "-m32 -static -nostdlib -no-pie -Wl,-Ttext-segment=0x8048000 "
                             "-Wl,-e,probe",
                             FIXED, &refs);
    cr_expect_lt(place, FIXED + ROOM);
    EXPECT(&refs, LOAD(place, 4), CONST(place + 8, 4, 1), TAKEN(place), STORE(place + 12, 4));
    hw_vec_free(&refs);
}

/* ---- aarch64 --------------------------------------------------------------------------------- */

/* Make a file of the code, and ask for the references of all of it. */
static void ask_aarch64(const uint32_t *code, size_t count, hw_code_refs *refs)
{
    static struct maker lib;
    maker_start(&lib, HW_AARCH64, scratch_path(&scratch, "probe.so"));
    memcpy(lib.bytes + MAKER_CODE, code, count * sizeof *code);
    maker_symbol(&lib, "probe", MAKER_CODE, (uint32_t)(count * sizeof *code), STT_FUNC, 1);
    maker_finish(&lib);
    struct hw_buffer_range range = maker_range(&lib, START);
    modules = maker_open(lib.machine, &range, 1, NULL, 0, NULL, &target);
    struct hw_module *mod = hw_modules_get(modules, 0);
    cr_assert_eq(hw_module_load(modules, mod, &err), HW_OK, "%s", err.text);
    cr_assert_eq(hw_disasm_refs(mod, "probe", refs, &err), HW_OK, "%s", err.text);
}

Test(track, aarch64)
{
    static const uint32_t code[] = {
        0xa9bd7bfd, /*       stp x29, x30, [sp, #-48]! */
        0xb0000016, /*       adrp x22, place */
        0xf9000ff6, /*       str x22, [sp, #24] */
        0x34000100, /*       cbz w0, late */
        0x910402d6, /*       add x22, x22, #0x100 */
        0x52800021, /*       mov w1, #1 */
        0xb90036c1, /*       str w1, [x22, #52] */
        0x3900e2df, /*       strb wzr, [x22, #56] */
        0xa9410ec2, /*       ldp x2, x3, [x22, #16] */
        0x710002df, /*       cmp w22, #0 */
        0x14000009, /*       b done */
        0x910402d6, /* late: add x22, x22, #0x100 */
        0xf90006c0, /*       str x0, [x22, #8] */
        0xf9400fe4, /*       ldr x4, [sp, #24] */
        0x79408085, /*       ldrh w5, [x4, #64] */
        0x10fffe26, /*       adr x6, probe */
        0xf86558c7, /*       ldr x7, [x6, w5, uxtw #3] */
        0xd61f00e0, /*       br x7 */
        0xb94052c7, /*       ldr w7, [x22, #80] */
        0xb0000013, /* done: adrp x19, place */
        0x91080273, /*       add x19, x19, #0x200 */
        0xaa1303f4, /*       mov x20, x19 */
        0xaa1303e0, /* loop: mov x0, x19 */
        0x940000e9, /*       bl somewhere */
        0xf9443a73, /*       ldr x19, [x19, #2160] */
        0xeb14027f, /*       cmp x19, x20 */
        0x54ffff81, /*       b.ne loop */
        0x3dc00a80, /*       ldr q0, [x20, #32] */
        0xf8410681, /*       ldr x1, [x20], #16 */
        0xf9000681, /*       str x1, [x20, #8] */
        0xf2a000b4, /*       movk x20, #5, lsl #16 */
        0xf9400e81, /*       ldr x1, [x20, #24] */
        0xa8c37bfd, /*       ldp x29, x30, [sp], #48 */
        0xd65f03c0, /*       ret */
    };
    enum { PLACE = START + MAKER_DATA, STATE = PLACE + 0x100, ARENA = PLACE + 0x200 };
    hw_code_refs refs = {0};
    ask_aarch64(code, sizeof code / sizeof *code, &refs);
    EXPECT(&refs, TAKEN(STATE), CONST(STATE + 52, 4, 1), CONST(STATE + 56, 1, 0),
           LOAD(STATE + 16, 8), LOAD(STATE + 24, 8), TAKEN(STATE), STORE(STATE + 8, 8),
           LOAD(PLACE + 64, 2), TAKEN(START + MAKER_CODE), LOAD(STATE + 80, 4), TAKEN(ARENA),
           MEMBER(2160, 8), LOAD(ARENA + 32, 16), LOAD(ARENA, 8), STORE(ARENA + 24, 8),
           MEMBER(24, 8));
    hw_vec_free(&refs);
}

Test(track, aarch64_in_detail)
{
    static const uint32_t code[] = {
        0x90000001, /*     adrp x1, probe */
        0x90000002, /*     adrp x2, probe */
        0x34000060, /*     cbz w0, 1f */
        0xb0000001, /*     adrp x1, place */
        0x91400423, /*     add x3, x1, #1, lsl #12 */
        0xf9400824, /* 1:  ldr x4, [x1, #16]            of one or the other */
        0xfa4108a2, /*     ccmp x5, #1, #2, eq          writes no register */
        0xf9400c44, /*     ldr x4, [x2, #24] */
        0x4cdf7040, /*     ld1 {v0.16b}, [x2], #16 */
        0xf9401044, /*     ldr x4, [x2, #32] */
        0x90000002, /*     adrp x2, probe */
        0xa9428c42, /*     ldp x2, x3, [x2, #40]        into its own base */
        0x90000002, /*     adrp x2, probe */
        0xa9be0be2, /*     stp x2, x2, [sp, #-32]! */
        0xf94007e5, /*     ldr x5, [sp, #8] */
        0xb90038a6, /*     str w6, [x5, #56] */
        0xf84207e5, /*     ldr x5, [sp], #32 */
        0xb9003ca6, /*     str w6, [x5, #60] */
        0x0e0c3c05, /*     umov w5, v0.s[1] */
        0xb90040a6, /*     str w6, [x5, #64] */
        0xf9800440, /*     prfm pldl1keep, [x2, #8] */
        0x58fffd67, /*     ldr x7, probe */
        0xb82100a2, /*     ldadd w1, w2, [x5] */
        0xf9402446, /*     ldr x6, [x2, #72] */
        0xd65f0bff, /*     retaa */
        0xf9402846, /*     ldr x6, [x2, #80] */
    };
    enum { PROBE = START + MAKER_CODE, PLACE = START + MAKER_DATA };
    hw_code_refs refs = {0};
    ask_aarch64(code, sizeof code / sizeof *code, &refs);
    EXPECT(&refs, TAKEN(PLACE + 0x1000), MEMBER(16, 8), LOAD(PROBE + 24, 8), MEMBER(32, 8),
           LOAD(PROBE + 48, 8), LOAD(PROBE + 40, 8), STORE(PROBE + 56, 4), STORE(PROBE + 60, 4),
           MEMBER(64, 4), LOAD(PROBE, 8), MEMBER(0, 4), MEMBER(72, 8), MEMBER(80, 8));
    hw_vec_free(&refs);
}

/* ---- anything -------------------------------------------------------------------------------- */

/* Bytes of no meaning, as code of each machine: any answer will do, as long as there is one. */
Test(track, nonsense, .timeout = 240)
{
    static struct maker lib;
    uint32_t random = 2463534242u; /* the same nonsense in every run */
    for (unsigned round = 0; round < 300; round++) {
        maker_start(&lib, (enum hw_machine_id)(round % 3), scratch_path(&scratch, "probe.so"));
        maker_symbol(&lib, "probe", MAKER_CODE, 0x1000, STT_FUNC, 1);
        for (size_t i = MAKER_CODE; i < MAKER_DATA; i++) {
            random = random * 1664525 + 1013904223;
            lib.bytes[i] = (uint8_t)(random >> 24);
        }
        maker_finish(&lib);
        struct hw_buffer_range range = maker_range(&lib, START);
        modules = maker_open(lib.machine, &range, 1, NULL, 0, NULL, &target);
        hw_code_refs refs = {0};
        cr_assert_eq(hw_module_load(modules, hw_modules_get(modules, 0), &err), HW_OK);
        cr_expect_eq(hw_disasm_refs(hw_modules_get(modules, 0), "probe", &refs, &err), HW_OK);
        hw_vec_free(&refs);
        hw_modules_close(modules);
        hw_target_close(target);
        modules = NULL;
        target = NULL;
    }
}

/* ---- real libcs ------------------------------------------------------------------------------ */

/* How many of these references are of that kind, to the same place as `like`. */
static size_t count_like(const hw_code_refs *refs, const struct hw_code_ref *like)
{
    size_t n = 0;
    for (size_t i = 0; i < refs->count; i++) {
        const struct hw_code_ref *r = &refs->data[i];
        n += r->kind == like->kind && r->address == like->address && r->value == like->value;
    }
    return n;
}

static bool is_data(struct hw_module *mod, hw_addr at)
{
    hw_addr start, end;
    for (size_t i = 0; hw_module_data(mod, i, &start, &end); i++)
        if (at >= start && at < end)
            return true;
    return false;
}

/* All of these take main_arena, and only mallopt() sets mp_.no_dyn_threshold, in four places. */
static void check_libc(struct hw_module *mod)
{
    static const char *const functions[] = {"malloc_trim", "malloc_stats", "mallopt"};
    hw_code_refs refs[3] = {0};
    size_t arenas = 0, switches = 0;
    for (size_t i = 0; i < 3; i++)
        cr_assert_eq(hw_disasm_refs(mod, functions[i], &refs[i], &err), HW_OK, "%s", err.text);
    for (size_t i = 0; i < refs[2].count; i++) {
        const struct hw_code_ref *r = &refs[2].data[i];
        arenas += r->kind == HW_REF_ADDRESS && is_data(mod, r->address) &&
                  count_like(&refs[0], r) && count_like(&refs[1], r);
        switches += r->kind == HW_REF_STORE && r->constant && r->value == 1 && r->size == 4 &&
                    is_data(mod, r->address) && count_like(&refs[2], r) == 4;
    }
    cr_expect_geq(arenas, 1, "%s", mod->path);
    cr_expect_eq(switches, 4, "%s: %zu", mod->path, switches);
    for (size_t i = 0; i < 3; i++)
        hw_vec_free(&refs[i]);
}

Test(track, libcs_of_this_machine)
{
    static const struct {
        const char *path;
        enum hw_machine_id machine;
    } libcs[] = {
        {"/lib/x86_64-linux-gnu/libc.so.6", HW_X86_64},
        {"/lib32/libc.so.6", HW_I386},
        {"/usr/aarch64-linux-gnu/lib/libc.so.6", HW_AARCH64},
    };
    for (size_t i = 0; i < sizeof libcs / sizeof *libcs; i++) {
        if (access(libcs[i].path, R_OK) != 0) {
            cr_log_warn("%s is not there", libcs[i].path);
            continue;
        }
        size_t len;
        uint8_t *memory = slurp(libcs[i].path, &len);
        struct hw_buffer_range range = {.start = START,
                                        .bytes = memory,
                                        .len = len,
                                        .flags = HW_MAP_READ,
                                        .path = libcs[i].path};
        modules = maker_open(hw_machine(libcs[i].machine), &range, 1, NULL, 0, NULL, &target);
        struct hw_module *mod = hw_modules_get(modules, 0);
        cr_assert_eq(hw_module_open(modules, mod, &err), HW_OK, "%s", err.text);
        check_libc(mod);
        hw_modules_close(modules);
        hw_target_close(target);
        modules = NULL;
        target = NULL;
        free(memory);
    }
}
