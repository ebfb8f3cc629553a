/*
 * From a function to its callers: in a child that sleeps where it is known to.
 */
#include "symbols/unwind.h"

#include "symbols/disasm.h"
#include "target/child.h"

#include <dlfcn.h>

#define UP_MAX 16
/* An address of this program, as of its children. */
#define ADDRESS(x) ((hw_addr)(uintptr_t)(x))

static struct hw_target *target;
static struct hw_modules *modules;
static struct hw_unwinder *unwinder;
static uint8_t bytes[64 << 10];
static struct hw_stack stack;

/* ---- a child --------------------------------------------------------------------------------- */

static __attribute__((noinline)) void inner(void)
{
    for (;;)
        pause();
}

static __attribute__((noinline)) int middle(int n)
{
    volatile char room[3000];
    room[n] = 1;
    inner();
    return room[n];
}

static __attribute__((noinline)) void outer(void *arg)
{
    *(volatile int *)arg += middle(7);
}

static void handle(int signal)
{
    (void)signal;
    outer(&(int){0});
}

/* The handler interrupts this one. */
static __attribute__((noinline)) void interrupted(void *arg)
{
    (void)arg;
    signal(SIGUSR1, handle);
    for (;;)
        raise(SIGUSR1);
}

static void look_at(pid_t pid)
{
    struct hw_error err = {0};
    cr_assert_eq(hw_target_open_live(pid, &target, &err), HW_OK, "%s", err.text);
    cr_assert_eq(hw_modules_open(target, NULL, &modules, &err), HW_OK, "%s", err.text);
    cr_assert_eq(hw_unwinder_open(target, modules, &unwinder, &err), HW_OK, "%s", err.text);
    cr_assert_eq(hw_target_freeze(target, &err), HW_OK, "%s", err.text);
    hw_addr sp = target->threads[0].sp;
    ssize_t got = hw_read(target, sp, bytes, sizeof bytes, NULL);
    cr_assert_gt(got, 0);
    stack = (struct hw_stack){.start = sp, .bytes = bytes, .len = (size_t)got};
}

static pid_t sleeping(void (*body)(void *))
{
    static int n;
    pid_t pid = child_start(body, &n);
    char path[64], what[8] = "";
    snprintf(path, sizeof path, "/proc/%d/syscall", (int)pid);
    cr_assert(eventually(({ /* 34: pause(2) */
                            FILE *f = fopen(path, "re");
                            if (f) {
                                what[0] = '\0';
                                (void)!fgets(what, sizeof what, f);
                                fclose(f);
                            }
                            strncmp(what, "34 ", 3) == 0;
    })));
    look_at(pid);
    return pid;
}

static void leave(pid_t pid)
{
    hw_unwinder_close(unwinder);
    hw_modules_close(modules);
    hw_target_close(target);
    child_end(pid);
}

static size_t go_up(hw_addr places[UP_MAX])
{
    struct hw_frame f;
    size_t n = 0;
    hw_unwind_begin(target->who.machine, &target->threads[0], &f);
    do
        places[n++] = hw_frame_place(&f);
    while (n < UP_MAX && hw_unwind_step(unwinder, &stack, &f));
    return n;
}

/* How many steps up it is to a function of this program, 0 if it is not met. */
static size_t find(const hw_addr *places, size_t count, const void *function)
{
    hw_addr start = ADDRESS(function), end;
    struct hw_module *mod = hw_modules_at(modules, start);
    cr_assert_eq(hw_module_open(modules, mod, NULL), HW_OK);
    cr_assert(hw_module_function_end(mod, start, &end));
    for (size_t i = 1; i < count; i++)
        if (places[i] >= start && places[i] < end)
            return i;
    return 0;
}

Test(unwind, callers_in_their_order)
{
    hw_addr places[UP_MAX];
    pid_t pid = sleeping(outer);
    size_t count = go_up(places), i = find(places, count, inner);
    cr_expect(i > 0, "inner() is not among %zu", count);
    cr_expect_eq(find(places, count, middle), i + 1);
    cr_expect_eq(find(places, count, outer), i + 2);
    leave(pid);
}

Test(unwind, through_a_signal_handler)
{
    hw_addr places[UP_MAX];
    pid_t pid = sleeping(interrupted);
    size_t count = go_up(places), i = find(places, count, handle);
    cr_expect(i > 0, "handle() is not among %zu", count);
    cr_expect_gt(find(places, count, interrupted), i);
    leave(pid);
}

Test(unwind, a_stack_that_ends_too_early)
{
    hw_addr places[UP_MAX];
    pid_t pid = sleeping(outer);
    stack.len = 1024; /* in middle() */
    size_t count = go_up(places);
    cr_expect(find(places, count, middle) > 0);
    cr_expect_eq(find(places, count, outer), 0);
    stack.rest = target;
    count = go_up(places);
    cr_expect(find(places, count, outer) > 0);
    stack = (struct hw_stack){0};
    cr_expect_leq(go_up(places), 2);
    leave(pid);
}

/* Wherever registers lead, it ends. */
Test(unwind, registers_that_lie)
{
    pid_t pid = sleeping(outer);
    struct hw_thread *th = &target->threads[0];
    hw_addr places[UP_MAX], pc = th->pc;
    for (unsigned i = 0; i < 4096; i++) {
        th->pc = pc + i * 7;
        for (unsigned j = 0; j < HW_REG_WORDS; j++)
            th->regs[j] = stack.start + i * (j + 1) % 9000;
        th->regs[16] = th->pc;
        cr_assert_leq(go_up(places), UP_MAX);
    }
    leave(pid);
}

/* ---- without names --------------------------------------------------------------------------- */

Test(unwind, where_functions_end)
{
    pid_t pid = sleeping(outer);
    hw_addr start = ADDRESS(dlsym(RTLD_DEFAULT, "malloc_info")),
            end = 0; /* no sanitizer has that */
    struct hw_module *mod = hw_modules_at(modules, start);
    struct hw_symbol sym;
    cr_assert_eq(hw_module_open(modules, mod, NULL), HW_OK);
    cr_assert(hw_module_symbol(mod, "malloc_info", &sym));
    cr_expect(hw_module_function_end(mod, start, &end));
    cr_expect(end >= sym.address + sym.size && end <= sym.address + sym.size + 64);
    cr_expect_not(hw_module_function_end(mod, start + 1, &end));
    cr_expect_not(hw_module_function_end(mod, mod->start, &end));
    cr_expect_not(hw_module_function_end(mod, mod->end, &end));
    leave(pid);
}

Test(unwind, what_a_function_jumps_to)
{
    pid_t pid = sleeping(outer);
    struct hw_symbol realloc_at, malloc_at;
    struct hw_module *mod = hw_modules_at(modules, ADDRESS(dlsym(RTLD_DEFAULT, "malloc_info")));
    cr_assert_eq(hw_module_open(modules, mod, NULL), HW_OK);
    cr_assert(hw_module_symbol(mod, "realloc", &realloc_at));
    cr_assert(hw_module_symbol(mod, "malloc", &malloc_at));
    hw_addr end = realloc_at.address + realloc_at.size;
    hw_addr_vec exits = {0};
    bool found = false;
    cr_expect_eq(hw_disasm_exits(mod, realloc_at.address, end, &exits, NULL), HW_OK);
    for (size_t i = 0; i < exits.count; i++) {
        cr_expect(exits.data[i] < realloc_at.address || exits.data[i] >= end);
        found |= exits.data[i] == malloc_at.address;
    }
    cr_expect(found, "realloc(NULL, n) is malloc(n), 2.31 to 2.43");
    hw_vec_free(&exits);
    leave(pid);
}
