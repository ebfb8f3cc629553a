#include "child.h"
#include "core_builder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* ---- sound cores ----------------------------------------------------------------------------- */

EACH_MACHINE(core, HW_X86_64, knows_who_it_was)
{
    struct hw_target *t = core_must_open(core_typical(id), WHOLE);
    cr_expect_eq(t->who.kind, HW_TARGET_CORE);
    cr_expect_eq(t->who.machine, hw_machine(id));
    cr_expect_eq(t->who.pid, 70);
    cr_expect_str_eq(t->who.comm, "prog?[1m");
    cr_expect_str_eq(t->who.exe, "/usr/bin/prog");
    cr_expect_eq(strncmp(t->who.core, "/tmp/hw-core-", 13), 0);
    cr_expect_eq(t->who.page_size, 16384);
    cr_expect_eq(t->pause_ns, -1);
    cr_expect(!t->truncated);
    cr_assert_eq(t->thread_count, 2);
    cr_expect_eq(t->threads[0].tid, 71);
    cr_expect_eq(t->threads[1].tid, 77);
    cr_expect(t->threads[1].regs_known);
    cr_expect_eq(t->threads[1].tp, 0x7000);
    cr_expect_eq(t->threads[1].sp, 0xfffdd100);
    cr_expect_eq(t->threads[1].pc, 0x401010);
    cr_expect_eq(hw_map_stack_of(t, hw_map_at(t, 0xfffdd000)), &t->threads[1]);
    hw_target_close(t);
}

EACH_MACHINE(core, HW_X86_64, has_maps_of_segments_and_files)
{
    struct hw_target *t = core_must_open(core_typical(id), WHOLE);
    static const struct {
        hw_addr start, end;
        uint64_t offset;
        uint32_t flags;
        const char *path;
    } want[] = {
        {0x400000, 0x402000, 0, 5, "/usr/bin/prog"},
        {0x402000, 0x403000, 0x2000, 6, "/usr/bin/prog"},
        {0x500000, 0x502000, 0, 6, NULL},
        {0x502000, 0x503000, 0, 6, NULL},
        {0xf7000000, 0xf7004000, 0x10000, 5, "/lib/libc.so.6"},
        {0xf7005000, 0xf7006000, 0, 4, "/usr/share/left out by the writer"},
        {0xfffdd000, 0xfffde000, 0, 6, NULL},
    };
    cr_assert_eq(t->map_count, sizeof want / sizeof *want);
    for (size_t i = 0; i < t->map_count; i++) {
        const struct hw_map *m = &t->maps[i];
        cr_expect(m->start == want[i].start && m->end == want[i].end, "map %zu", i);
        cr_expect_eq(m->offset, want[i].offset);
        cr_expect_eq(m->flags, want[i].flags);
        cr_expect_eq(m->path == NULL, want[i].path == NULL);
        if (m->path && want[i].path)
            cr_expect_str_eq(m->path, want[i].path);
    }
    hw_target_close(t);
}

EACH_MACHINE(core, HW_X86_64, what_was_not_saved_is_a_hole)
{
    struct hw_target *t = core_must_open(core_typical(id), WHOLE);
    uint8_t buf[0x4000];
    cr_expect_eq(hw_read(t, 0x400ff0, buf, 64, NULL), 16);
    cr_expect_eq(buf[15], 'x');
    cr_expect_eq(hw_read(t, 0x401000, buf, 64, NULL), 0);
    cr_expect_eq(hw_read(t, 0x403000, buf, 64, NULL), 0);
    cr_expect_eq(hw_read(t, 0xf7000000, buf, 64, NULL), 0);
    cr_expect_eq(hw_read(t, 0xf7005000, buf, 64, NULL), 0);
    cr_expect_eq(hw_read(t, UINT64_MAX - 1, buf, 64, NULL), 0);
    /* Segments that touch are read through. */
    cr_expect_eq(hw_read(t, 0x500800, buf, sizeof buf, NULL), 0x2800);
    cr_expect(buf[0] == 'h' && buf[0x17ff] == 'h' && buf[0x1800] == 'i' && buf[0x27ff] == 'i');
    hw_target_close(t);
}

EACH_MACHINE(core, HW_X86_64, cuts_segments_and_files_where_they_disagree)
{
    static const struct mapped files[] = {{0x3000, 0x9000, 3, "/b"}, {0x2000, 0x4000, 0, "/a"}};
    struct builder *b = core_new(id);
    core_add_files(b, files, 2, 2);
    core_add_load(b, 0x8000, 0x2000, 0x2000, PF_R, '2');
    core_add_load(b, 0x1000, 0x4000, 0x4000, PF_R | PF_W, '1');
    struct hw_target *t = core_must_open(b, WHOLE);
    static const struct {
        hw_addr start, end;
        uint64_t offset;
        const char *path;
    } want[] = {
        {0x1000, 0x2000, 0, NULL},      {0x2000, 0x4000, 0, "/a"},
        {0x4000, 0x5000, 0x4000, "/b"}, {0x5000, 0x8000, 0x5000, "/b"},
        {0x8000, 0x9000, 0x8000, "/b"}, {0x9000, 0xa000, 0, NULL},
    };
    cr_assert_eq(t->map_count, 6);
    for (size_t i = 0; i < 6; i++) {
        const struct hw_map *m = &t->maps[i];
        cr_expect(m->start == want[i].start && m->end == want[i].end, "map %zu", i);
        cr_expect_eq(m->offset, want[i].offset, "map %zu", i);
        cr_expect(want[i].path ? m->path && strcmp(m->path, want[i].path) == 0 : !m->path);
    }
    hw_target_close(t);
}

EACH_MACHINE(core, HW_X86_64, the_name_it_was_started_by_will_do_for_an_executable)
{
    uint64_t auxv[] = {AT_EXECFN, 0x10010, AT_PAGESZ, 12345, AT_NULL, 0};
    struct builder *b = core_new(id);
    core_add_thread(b, 5, 1, 2, 3);
    core_add_auxv(b, auxv, sizeof auxv / sizeof *auxv);
    core_add_load(b, 0x10000, 0x1000, 0x1000, PF_R, 'z');
    memcpy(b->data + 0x10, "./prog", 7);
    struct hw_target *t = core_must_open(b, WHOLE);
    cr_expect_str_eq(t->who.exe, "./prog");
    cr_expect_eq(t->who.pid, 5, "the first thread, for want of better");
    cr_expect_eq(t->who.page_size, 4096, "nonsense is not believed");
    cr_expect_null(t->who.comm);
    hw_target_close(t);
}

/* ---- damaged cores --------------------------------------------------------------------------- */

EACH_MACHINE(core, HW_X86_64, a_file_that_ends_early_is_truncated)
{
    struct builder *b = core_typical(id);
    struct hw_target *t = core_must_open(b, DATA_AT + 0x2800);
    uint8_t buf[0x2000];
    cr_expect(t->truncated);
    cr_expect_eq(t->map_count, 7);
    cr_expect_eq(hw_read(t, 0x500000, buf, 0x2000, NULL), 0x800);
    cr_expect_eq(hw_read(t, 0x500800, buf, 0x2000, NULL), 0);
    cr_expect_eq(hw_read(t, 0x502000, buf, 0x10, NULL), 0);
    hw_target_close(t);
}

EACH_MACHINE(core, HW_X86_64, any_length_of_file_is_survived)
{
    struct builder *b = core_typical(id);
    struct hw_error err;
    for (size_t len = 0; len < NOTES_AT + b->notes_len + 8; len += len < 2200 ? 13 : 3) {
        struct hw_target *t;
        int rc = core_open(b, len, &t, &err);
        cr_assert(rc == HW_OK || rc == HW_ERR_NOT_CORE, "%zu: %s", len, err.text);
        cr_assert(rc != HW_OK || t->truncated);
        hw_target_close(t);
    }
}

EACH_MACHINE(core, HW_X86_64, overlapping_segments_are_made_disjoint)
{
    struct builder *b = core_new(id);
    core_add_load(b, 0x1000, 0x3000, 0x3000, PF_R, 'a');
    Elf64_Phdr *inner = core_add_load(b, 0x2000, 0x1000, 0x1000, PF_R, 'b');
    Elf64_Phdr *after = core_add_load(b, 0x3000, 0x3000, 0x2000, PF_R, 'c');
    (void)inner;
    memset(b->data + (after->p_offset - DATA_AT), 'd', 0x1000);
    struct hw_target *t = core_must_open(b, WHOLE);
    uint8_t buf[0x8000];
    cr_assert_eq(t->map_count, 2);
    cr_expect_eq(t->maps[1].start, 0x4000);
    cr_expect_eq(hw_read(t, 0x1000, buf, sizeof buf, NULL), 0x4000);
    cr_expect(buf[0x2fff] == 'a' && buf[0x3000] == 'c' && buf[0x3fff] == 'c');
    hw_target_close(t);
}

EACH_MACHINE(core, HW_X86_64, absurd_segments_do_no_harm)
{
    struct builder *b = core_typical(id);
    static const uint64_t odd[] = {0,         1, 0x1000, 1ull << 62, 1ull << 63, UINT64_MAX - 4095,
                                   UINT64_MAX};
    enum { N = sizeof odd / sizeof *odd };
    uint8_t buf[64];
    Elf64_Phdr *p = core_add_load(b, 0, 0, 0, 7, 0), *q = core_add_load(b, 0, 0, 0, 7, 0);
    for (unsigned i = 0; i < N * N * N * N; i++) {
        p->p_vaddr = odd[i % N];
        p->p_memsz = odd[i / N % N];
        p->p_filesz = odd[i / N / N % N];
        p->p_offset = odd[i / N / N / N];
        *q = *p;
        if (i % 2)
            q->p_type = PT_NOTE;
        struct hw_target *t = core_must_open(b, WHOLE);
        for (unsigned k = 0; k < N; k++)
            hw_read(t, odd[k], buf, sizeof buf, NULL);
        for (size_t k = 1; k < t->map_count; k++)
            cr_assert(t->maps[k].start >= t->maps[k - 1].end && t->maps[k].start < t->maps[k].end);
        cr_expect_eq(hw_read(t, 0xfffdd000, buf, 1, NULL) <= 1, true);
        hw_target_close(t);
    }
}

/* Sums of sizes cannot overflow. */
EACH_MACHINE(core, HW_X86_64, no_segments_are_more_than_all_user_memory)
{
    struct builder *b = core_new(id);
    core_add_load(b, 0x1000, 0x1000, 0x1000, PF_R | PF_W, 1);
    core_add_load(b, 0x10000, UINT64_MAX / 2, 0x1000, PF_R | PF_W, 2);
    core_add_load(b, UINT64_MAX - 0xffff, 0x2000, 0x1000, PF_R | PF_W, 3);
    struct hw_target *t = core_must_open(b, WHOLE);
    bool wide = t->who.machine->word == 8;
    uint64_t bytes = 0;
    for (size_t i = 0; i < t->map_count; i++)
        bytes += t->maps[i].end - t->maps[i].start;
    cr_expect_leq(bytes, UINT64_C(1) << 56);
    cr_expect_eq(t->truncated, wide);
    cr_expect_eq(t->map_count, 2);
    hw_target_close(t);
}

EACH_MACHINE(core, HW_X86_64, absurd_notes_do_no_harm)
{
    static const struct mapped odd[] = {
        {0x9000, 0x8000, 0, "/backwards"},
        {0x1000, 0x3000, UINT64_MAX, "/offset"},
        {0, UINT64_MAX, 0, "/everything"},
    };
    struct builder *b = core_new(id);
    core_add_files(b, odd, 3, UINT64_MAX);
    core_add_files(b, odd, 3, 3);
    core_add_note(b, "CORE", NT_PRSTATUS, "short", 6);
    core_add_note(b, "CORE", NT_PRPSINFO, "short", 6);
    core_add_note(b, "CORE", NT_AUXV, "short", 6);
    core_add_thread(b, -1, 0, 0, 0);
    core_add_thread(b, 6, 1, 0, 0);
    core_add_thread(b, 6, 2, 0, 0);
    core_add_load(b, 0x1000, 0x1000, 0x1000, PF_R, 'a');
    struct hw_target *t = core_must_open(b, WHOLE);
    cr_expect_eq(t->thread_count, 1, "the same thread twice is one");
    hw_target_close(t);

    /* Sizes that point out of the notes. */
    for (size_t at = 0; at + 4 <= 400; at += 4)
        for (int bits = 0; bits < 3; bits++) {
            struct builder *c = core_typical(id);
            memset(c->notes + at, bits == 0 ? 0xff : bits == 1 ? 0x7f : 0, 4);
            hw_target_close(core_must_open(c, WHOLE));
        }
}

EACH_MACHINE(core, HW_X86_64, more_segments_than_a_header_can_count)
{
    struct builder *b = core_typical(id);
    union {
        Elf32_Shdr narrow;
        Elf64_Shdr wide;
    } first = {0};
    uint32_t *info = hw_machine(id)->word == 4 ? &first.narrow.sh_info : &first.wide.sh_info;
    *info = b->e.e_phnum;
    b->e.e_phnum = PN_XNUM;
    b->e.e_shoff = DATA_AT + b->data_len;
    memcpy(b->data + b->data_len, &first, sizeof first);
    b->data_len += sizeof first;
    struct hw_target *t = core_must_open(b, WHOLE);
    cr_expect_eq(t->map_count, 7);
    cr_expect(!t->truncated);
    hw_target_close(t);

    *info = UINT32_MAX; /* more than there are */
    memcpy(b->data + b->data_len - sizeof first, &first, sizeof first);
    t = core_must_open(b, WHOLE);
    cr_expect(t->truncated);
    hw_target_close(t);

    b->e.e_shoff = UINT64_MAX - 10;
    struct hw_error err;
    cr_expect_eq(core_open(b, WHOLE, &t, &err), HW_ERR_NOT_CORE);
}

EACH_MACHINE(core, HW_X86_64, random_damage_is_survived)
{
    uint64_t x = 88172645463325252u;
    uint8_t buf[256];
    for (int i = 0; i < 3000; i++) {
        struct builder *b = core_typical(id);
        for (int k = 0; k < 4; k++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            size_t span = x & 1 ? NOTES_AT : NOTES_AT + b->notes_len;
            ((uint8_t *)b)[(x >> 8) % span] = (uint8_t)(x >> 56);
        }
        struct hw_target *t;
        if (core_open(b, WHOLE, &t, NULL) != HW_OK)
            continue;
        for (size_t k = 0; k < t->map_count; k++)
            hw_read(t, t->maps[k].end - 1, buf, sizeof buf, NULL);
        hw_target_close(t);
    }
}

/* ---- what is no core ------------------------------------------------------------------------- */

static void expect_refusal(const char *path, int code, const char *text)
{
    struct hw_target *t;
    struct hw_error err = {0};
    cr_expect_eq(hw_target_open_core(path, &t, &err), code);
    cr_expect_null(t);
    cr_expect_not_null(strstr(err.text, text), "%s", err.text);
    cr_expect_not_null(strstr(err.text, path), "%s", err.text);
    cr_expect_eq(hw_target_open_core(path, &t, NULL), code);
}

static void expect_refusal_of(const void *bytes, size_t len, int code, const char *text)
{
    char path[] = "/tmp/hw-nocore-XXXXXX";
    int fd = mkstemp(path);
    cr_assert(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
    close(fd);
    expect_refusal(path, code, text);
    unlink(path);
}

/* Who opened the pipe may take longer than one that never comes is waited for. */
Test(core, waits_for_who_has_a_pipe_open, .timeout = 30)
{
    char dir[] = "/tmp/hw-fifo-XXXXXX", fifo[64];
    cr_assert_not_null(mkdtemp(dir));
    snprintf(fifo, sizeof fifo, "%s/fifo", dir);
    cr_assert_eq(mkfifo(fifo, 0600), 0);
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open(fifo, O_WRONLY);
        sleep(4);
        _exit(write(fd, "late", 4) != 4);
    }
    int status;
    expect_refusal(fifo, HW_ERR_NOT_CORE, "is not an ELF file");
    cr_expect_eq(waitpid(pid, &status, 0), pid);
    cr_expect_eq(status, 0);
    unlink(fifo);
    rmdir(dir);
}

Test(core, says_what_a_file_is_instead, .timeout = 30)
{
    expect_refusal("/nonexistent/core", HW_ERR_SYSTEM, "No such file");
    expect_refusal("/tmp", HW_ERR_NOT_CORE, "is a directory");
    expect_refusal("/dev/zero", HW_ERR_NOT_CORE, "is neither a file nor a pipe");
    char dir[] = "/tmp/hw-fifo-XXXXXX", fifo[64];
    cr_assert_not_null(mkdtemp(dir));
    snprintf(fifo, sizeof fifo, "%s/fifo", dir);
    cr_assert_eq(mkfifo(fifo, 0600), 0);
    expect_refusal(fifo, HW_ERR_NOT_CORE, "is a pipe into which nobody writes");
    unlink(fifo);
    rmdir(dir);
    expect_refusal_of("", 0, HW_ERR_NOT_CORE, "is empty");
    expect_refusal_of("x", 1, HW_ERR_NOT_CORE, "is not an ELF file");
    expect_refusal_of("\177ELF", 4, HW_ERR_NOT_CORE, "is not an ELF file");
    expect_refusal_of("{\"a\": 1, \"b\": 2, \"c\": 3}", 24, HW_ERR_NOT_CORE, "not an ELF file");
    expect_refusal_of("\x28\xb5\x2f\xfd and so on and on", 20, HW_ERR_NOT_CORE,
                      "cannot be unpacked (zstd)");
    expect_refusal("/proc/self/exe", HW_ERR_NOT_CORE,
                   "is an executable or shared library, not a core");
}

Test(core, refuses_other_machines)
{
    struct builder *b = core_typical(HW_X86_64);
    struct hw_target *t;
    struct hw_error err;
    b->e.e_machine = EM_RISCV;
    cr_expect_eq(core_open(b, WHOLE, &t, &err), HW_ERR_UNSUPPORTED);
    cr_expect_not_null(strstr(err.text, "is the core of a 64-bit process (riscv): heapwalk reads "
                                        "x86_64, i386 and aarch64 cores"),
                       "%s", err.text);
    b->e.e_ident[EI_CLASS] = ELFCLASS32;
    b->e.e_machine = EM_X86_64;
    cr_expect_eq(core_open(b, WHOLE, &t, &err), HW_ERR_UNSUPPORTED);
    cr_expect_not_null(strstr(err.text, "(x32)"), "%s", err.text);
    b = core_new(HW_X86_64);
    cr_expect_eq(core_open(b, WHOLE, &t, &err), HW_ERR_NOT_CORE);
    cr_expect_not_null(strstr(err.text, "without any memory"), "%s", err.text);
}
