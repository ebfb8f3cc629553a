/*
 * A live i386 process, and its core by the kernel: a program of its own, made of a few lines of
 * assembler, so that no 32-bit compiler or C library is needed.
 */
#include "child.h"

#include "target/proc.h"
#include "target/stop.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

/*
 * Three threads sleep in pause(), each on a stack of its own. The first two have thread pointers
 * that its TLS descriptor leads to; the third has changed to 64-bit code.
 */
#define BASE       0x10000
#define CODE       0x10100
#define MAIN_SP    0x18000
#define MAIN_TP    0x12000
#define SECOND_SP  0x19000
#define SECOND_TP  0x12800
#define THIRD_SP   0x1a000
#define MEMORY_END 0x1b000

__asm__(".pushsection .rodata\n"
        ".code32\n"
        "i386_program:\n"
        "    movl $0x18000, %esp\n"
        "    pushl $0x51\n" /* struct user_desc: 32-bit, in pages, useable */
        "    pushl $0xfffff\n"
        "    pushl $0x12000\n"
        "    pushl $-1\n" /* whichever is free */
        "    movl %esp, %ebx\n"
        "    movl $243, %eax\n" /* set_thread_area() */
        "    int $0x80\n"
        "    movl (%esp), %edx\n"
        "    leal 3(,%edx,8), %eax\n"
        "    movw %ax, %gs\n"
        "    pushl $0x51\n"
        "    pushl $0xfffff\n"
        "    pushl $0x12800\n"
        "    pushl %edx\n"
        "    movl %esp, %esi\n"
        "    movl $0x19000, %ecx\n"
        "    movl $0xd0f00, %ebx\n"
        "    movl $120, %eax\n" /* clone() of a thread with a TLS descriptor */
        "    int $0x80\n"
        "    testl %eax, %eax\n"
        "    jz sleep\n"
        "    movl $0x1a000, %ecx\n"
        "    movl $0x50f00, %ebx\n"
        "    movl $120, %eax\n" /* clone() of one without */
        "    int $0x80\n"
        "    testl %eax, %eax\n"
        "    jz wide\n"
        "    movl $0x18000, %esp\n"
        "sleep:\n"
        "    movl $29, %eax\n" /* pause() */
        "    int $0x80\n"
        "i386_sleeping:\n"
        "    jmp sleep\n"
        "wide:\n"
        "    ljmp $0x33, $(wide_sleep - i386_program + 0x10100)\n"
        ".code64\n"
        "wide_sleep:\n"
        "    movl $34, %eax\n"
        "    syscall\n"
        "    jmp wide_sleep\n"
        "i386_program_end:\n"
        ".popsection\n");

extern const uint8_t i386_program[], i386_sleeping[], i386_program_end[];

static void write_program(const char *path)
{
    struct {
        Elf32_Ehdr e;
        Elf32_Phdr p;
        uint8_t code[0x200] __attribute__((aligned(0x100)));
    } file = {
        .e = {.e_ident = ELFMAG "\x01\x01\x01",
              .e_type = ET_EXEC,
              .e_machine = EM_386,
              .e_version = 1,
              .e_entry = CODE,
              .e_phoff = offsetof(__typeof__(file), p),
              .e_ehsize = sizeof file.e,
              .e_phentsize = sizeof file.p,
              .e_phnum = 1},
        .p = {.p_type = PT_LOAD,
              .p_vaddr = BASE,
              .p_filesz = sizeof file,
              .p_memsz = MEMORY_END - BASE,
              .p_flags = PF_R | PF_W | PF_X,
              .p_align = 4096},
    };
    cr_assert_eq(offsetof(__typeof__(file), code), CODE - BASE);
    size_t len = (size_t)(i386_program_end - i386_program);
    cr_assert_leq(len, sizeof file.code);
    memcpy(file.code, i386_program, len);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
    cr_assert(fd >= 0 && write(fd, &file, sizeof file) == (ssize_t)sizeof file);
    close(fd);
}

static void run_program(void *arg)
{
    struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
    setrlimit(RLIMIT_CORE, &unlimited);
    signal(SIGABRT, SIG_DFL);
    if (chdir(arg) == 0)
        execl("./prog", "prog", (char *)NULL);
    _exit(1);
}

/* Whether each thread has got as far as its last system call. */
static bool all_sleep(pid_t pid)
{
    hw_tid_vec tids = {0};
    bool asleep = hw_proc_tids(pid, &tids);
    for (size_t i = 0; i < tids.count; i++) {
        struct hw_proc_stat stat;
        asleep = asleep && hw_proc_stat(tids.data[i], &stat) && stat.state == 'S';
    }
    hw_vec_free(&tids);
    return asleep;
}

/* Start the program in a new directory, whose name is filled into `dir`. */
static pid_t start(char dir[])
{
    char path[64];
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/prog", dir);
    write_program(path);
    pid_t pid = child_start(run_program, dir);
    bool runs = false;
    cr_assert(eventually((runs = status_number(pid, "Threads:") == 3) || state_of(pid) == 'Z'));
    unlink(path); /* it is read through /proc/PID/exe all the same */
    if (!runs) {
        child_end(pid);
        rmdir(dir);
        cr_skip_test("this kernel runs no i386 programs");
    }
    cr_assert(eventually(all_sleep(pid)));
    return pid;
}

static void expect_thread(const struct hw_thread *th, hw_addr tp, hw_addr sp)
{
    cr_expect(th->regs_known);
    cr_expect_eq(th->tp, tp);
    cr_expect_eq(th->sp, sp);
    cr_expect_eq(th->pc, CODE + (hw_addr)(i386_sleeping - i386_program));
}

static void expect_memory(struct hw_target *t)
{
    uint8_t code[sizeof(uint64_t)];
    uint64_t word = 0;
    cr_expect_eq(hw_read_all(t, CODE, code, sizeof code, NULL), HW_OK);
    cr_expect_eq(memcmp(code, i386_program, sizeof code), 0);
    cr_expect_eq(hw_read_word(t, CODE, &word, NULL), HW_OK);
    cr_expect_eq(word, hw_word(i386_program, 4));
    const struct hw_map *stack = hw_map_at(t, MAIN_SP);
    cr_assert_not_null(stack);
    cr_expect_eq(stack->end, MEMORY_END);
    for (size_t i = 0; i < t->map_count; i++)
        cr_expect_leq(t->maps[i].end, UINT64_C(1) << 32);
}

Test(i386, reads_a_process_and_its_core, .timeout = 60)
{
    char dir[] = "/tmp/hw-i386-XXXXXX", path[256];
    struct hw_target *t;
    struct hw_error err = {0};
    pid_t pid = start(dir);
    cr_assert_eq(hw_target_open_live(pid, &t, &err), HW_OK, "%s", err.text);
    cr_expect_str_eq(t->who.machine->name, "i386");
    cr_assert_eq(hw_target_freeze(t, &err), HW_OK, "%s", err.text);
    cr_assert_eq(t->thread_count, 3);
    expect_thread(&t->threads[0], MAIN_TP, MAIN_SP);
    expect_thread(&t->threads[1], SECOND_TP, SECOND_SP);
    cr_expect(!t->threads[2].regs_known, "it runs 64-bit code");
    expect_memory(t);
    hw_target_close(t);

    /* To the main thread: the core is of the kind of the thread that takes the signal. */
    syscall(SYS_tgkill, pid, pid, SIGABRT);
    int status;
    waitpid(pid, &status, 0);
    bool there = child_core(dir, pid, path, sizeof path) && WIFSIGNALED(status) &&
                 WCOREDUMP(status) && access(path, R_OK) == 0;
    if (there) {
        cr_assert_eq(hw_target_open_core(path, &t, &err), HW_OK, "%s", err.text);
        cr_expect_str_eq(t->who.machine->name, "i386");
        cr_expect_eq(t->who.pid, pid);
        cr_expect_str_eq(t->who.comm, "prog");
        cr_assert_eq(t->thread_count, 3);
        expect_thread(&t->threads[0], MAIN_TP, MAIN_SP);
        expect_thread(&t->threads[1], SECOND_TP, SECOND_SP);
        expect_memory(t);
        hw_target_close(t);
        unlink(path);
    }
    rmdir(dir);
    if (!there)
        cr_skip_test("the kernel writes no plain core files here");
}

Test(i386, registers_of_the_wrong_machine_are_not_known, .timeout = 60)
{
    char dir[] = "/tmp/hw-i386-XXXXXX";
    struct hw_stop *s;
    struct hw_error err = {0};
    pid_t pid = start(dir);
    cr_assert_eq(hw_stop_all(pid, hw_machine(HW_X86_64),
                             (struct hw_stop_limits){.wait_ns = 1000000000}, &s, &err),
                 HW_OK, "%s", err.text);
    size_t count;
    const struct hw_thread *th = hw_stop_threads(s, &count);
    cr_assert_eq(count, 3);
    cr_expect(!th[0].regs_known && th[0].sp == 0 && th[0].tp == 0);
    cr_expect(!th[1].regs_known);
    cr_expect(th[2].regs_known && th[2].sp == THIRD_SP);
    hw_stop_release(s);
    child_end(pid);
    rmdir(dir);
}
