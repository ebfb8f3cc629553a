/*
 * What machine a live process is for, when its executable says something else or nothing at all: a
 * process may exchange the file that /proc/PID/exe leads to (as programs that restore others do).
 */
#include "child.h"

#include "target/proc.h"

#include <elf.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct exchange {
    hw_addr start, end; /* of what is mapped of the executable */
    int fd;             /* of the file that it is to become */
};

/* munmap(rdi, rsi); prctl(PR_SET_MM, PR_SET_MM_MAP, rdx, r8, 0); for (;;) pause(); */
__asm__(".pushsection .rodata\n"
        "exchange_code:\n"
        "    movl $11, %eax\n"
        "    syscall\n"
        "    movl $35, %edi\n"
        "    movl $14, %esi\n"
        "    movq %r8, %r10\n"
        "    xorl %r8d, %r8d\n"
        "    movl $157, %eax\n"
        "    syscall\n"
        "1:  movl $34, %eax\n"
        "    syscall\n"
        "    jmp 1b\n"
        "exchange_code_end:\n"
        ".popsection\n");

extern const uint8_t exchange_code[], exchange_code_end[];

static void exchange_exe(void *arg)
{
    const struct exchange *x = arg;
    uint8_t *page =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return;
    memcpy(page, exchange_code, (size_t)(exchange_code_end - exchange_code));
    /* The file cannot be exchanged alone. Where the rest is matters to nobody. */
    uint64_t some = (uintptr_t)page, brk = (uintptr_t)sbrk(0);
    struct prctl_mm_map map = {
        .start_code = some,
        .end_code = some + 1,
        .start_data = some,
        .end_data = some + 1,
        .start_brk = brk,
        .brk = brk,
        .start_stack = some,
        .arg_start = some,
        .arg_end = some + 1,
        .env_start = some,
        .env_end = some + 1,
        .exe_fd = (uint32_t)x->fd,
    };
    memcpy(page + 2048, &map, sizeof map);
    void (*run)(hw_addr, hw_addr, void *, int, size_t) = NULL;
    memcpy(&run, &page, sizeof run);
    run(x->start, x->end - x->start, page + 2048, 0, sizeof map);
}

/* A process that says to be executing a file with these bytes. */
static pid_t start_as(const void *bytes, size_t len)
{
    char exe[4096] = "", path[] = "/tmp/hw-exe-XXXXXX", link[64], now[4096] = "";
    struct exchange x = {.start = UINT64_MAX};
    hw_map_vec maps = {0};
    cr_assert_gt(readlink("/proc/self/exe", exe, sizeof exe - 1), 0);
    cr_assert_eq(hw_proc_maps(getpid(), &maps, NULL), HW_OK);
    for (size_t i = 0; i < maps.count; i++)
        if (maps.data[i].path && strcmp(maps.data[i].path, exe) == 0) {
            x.start = x.start < maps.data[i].start ? x.start : maps.data[i].start;
            x.end = maps.data[i].end;
        }
    hw_map_vec_free(&maps);
    int fd = mkstemp(path);
    cr_assert(fd >= 0 && write(fd, bytes, len) == (ssize_t)len && fchmod(fd, 0700) == 0);
    close(fd);
    x.fd = open(path, O_RDONLY);
    pid_t pid = child_start(exchange_exe, &x);
    close(x.fd);
    snprintf(link, sizeof link, "/proc/%d/exe", (int)pid);
    for (int i = 0; i < 1000 && strcmp(now, path) != 0; i++) {
        nap_ms(1);
        ssize_t n = readlink(link, now, sizeof now - 1);
        now[n > 0 ? n : 0] = '\0';
    }
    unlink(path);
    if (strcmp(now, path) != 0) {
        child_end(pid);
        cr_skip_test("a process may not exchange its executable here");
    }
    return pid;
}

static Elf64_Ehdr header(unsigned class, unsigned data, unsigned machine)
{
    Elf64_Ehdr e = {.e_ident = ELFMAG, .e_type = ET_EXEC, .e_machine = (uint16_t)machine};
    e.e_ident[EI_CLASS] = (unsigned char)class;
    e.e_ident[EI_DATA] = (unsigned char)data;
    return e;
}

static void expect_refusal_of(Elf64_Ehdr e, const char *arch)
{
    pid_t pid = start_as(&e, sizeof e);
    struct hw_target *t;
    struct hw_error err = {0};
    char text[160];
    cr_expect_eq(hw_target_open_live(pid, &t, &err), HW_ERR_UNSUPPORTED);
    snprintf(text, sizeof text, "pid %d is a %s: heapwalk reads x86_64 and i386 processes", pid,
             arch);
    cr_expect_str_eq(err.text, text);
    child_end(pid);
}

Test(live_machine, refuses_those_it_does_not_read, .timeout = 60)
{
    expect_refusal_of(header(ELFCLASS32, ELFDATA2LSB, EM_X86_64), "32-bit process (x32)");
    expect_refusal_of(header(ELFCLASS32, ELFDATA2LSB, EM_ARM), "32-bit process (arm)");
    /* There are cores of these, but no process that this one could trace. */
    expect_refusal_of(header(ELFCLASS64, ELFDATA2LSB, EM_AARCH64), "64-bit process (aarch64)");
}

Test(live_machine, the_kernel_tells_if_the_executable_does_not, .timeout = 60)
{
    pid_t pid = start_as("#!/bin/sh of sorts", 18);
    struct hw_target *t;
    struct hw_error err = {0};
    cr_assert_eq(hw_target_open_live(pid, &t, &err), HW_OK, "%s", err.text);
    cr_expect_str_eq(t->who.machine->name, "x86_64");
    cr_expect_eq(hw_target_freeze(t, &err), HW_OK, "%s", err.text);
    cr_expect(t->threads[0].regs_known && t->threads[0].tp);
    hw_target_close(t);
    child_end(pid);
}
