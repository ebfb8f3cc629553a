#include "child.h"

#include "target/target.h"

#include <elf.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* ---- a builder of cores ---------------------------------------------------------------------- */

struct builder {
    Elf64_Ehdr e;
    Elf64_Phdr p[32];
    uint8_t notes[8192];
    size_t notes_len;
    uint8_t data[64 << 10];
    size_t data_len;
};

#define NOTES_AT offsetof(struct builder, notes)
#define DATA_AT  offsetof(struct builder, data)

static struct builder *core_new(void)
{
    static struct builder b;
    b = (struct builder){
        .e = {.e_ident = ELFMAG "\x02\x01\x01",
              .e_type = ET_CORE,
              .e_machine = EM_X86_64,
              .e_version = 1,
              .e_phoff = offsetof(struct builder, p),
              .e_ehsize = sizeof b.e,
              .e_phentsize = sizeof b.p[0],
              .e_phnum = 1},
        .p = {{.p_type = PT_NOTE, .p_offset = NOTES_AT}},
    };
    return &b;
}

static void add_note(struct builder *b, const char *name, uint32_t type, const void *desc,
                     size_t len)
{
    Elf64_Nhdr h = {
        .n_namesz = (uint32_t)strlen(name) + 1, .n_descsz = (uint32_t)len, .n_type = type};
    uint8_t *p = b->notes + b->notes_len;
    memcpy(p, &h, sizeof h);
    p += sizeof h;
    memcpy(p, name, h.n_namesz);
    p += (h.n_namesz + 3) & ~3u;
    memcpy(p, desc, len);
    p += (len + 3) & ~(size_t)3;
    b->notes_len = (size_t)(p - b->notes);
    b->p[0].p_filesz = b->notes_len;
}

/* A segment of which `saved` bytes are in the file, each of the value `fill`. */
static Elf64_Phdr *add_load(struct builder *b, uint64_t start, uint64_t bytes, uint64_t saved,
                            uint32_t flags, int fill)
{
    Elf64_Phdr *p = &b->p[b->e.e_phnum++];
    *p = (Elf64_Phdr){.p_type = PT_LOAD,
                      .p_flags = flags,
                      .p_vaddr = start,
                      .p_memsz = bytes,
                      .p_filesz = saved,
                      .p_offset = DATA_AT + b->data_len};
    memset(b->data + b->data_len, fill, saved);
    b->data_len += saved;
    return p;
}

static void add_thread(struct builder *b, int tid, uint64_t tp, uint64_t sp, uint64_t pc)
{
    uint8_t desc[336] = {0};
    memcpy(desc + 32, &tid, 4);
    memcpy(desc + 112 + 16 * 8, &pc, 8);
    memcpy(desc + 112 + 19 * 8, &sp, 8);
    memcpy(desc + 280, &tp, 8);
    add_note(b, "CORE", NT_PRSTATUS, desc, sizeof desc);
}

static void add_psinfo(struct builder *b, int pid, const char *name)
{
    uint8_t desc[136] = {0};
    memcpy(desc + 24, &pid, 4);
    snprintf((char *)desc + 40, 16, "%s", name);
    add_note(b, "CORE", NT_PRPSINFO, desc, sizeof desc);
}

struct mapped {
    uint64_t start, end, page;
    const char *name;
};

static void add_files(struct builder *b, const struct mapped *files, size_t n, uint64_t count)
{
    uint8_t desc[2048] = {0};
    uint64_t head[2] = {count, 4096};
    memcpy(desc, head, 16);
    size_t at = 16;
    for (size_t i = 0; i < n; i++, at += 24)
        memcpy(desc + at, &files[i], 24);
    for (size_t i = 0; i < n; i++) {
        memcpy(desc + at, files[i].name, strlen(files[i].name) + 1);
        at += strlen(files[i].name) + 1;
    }
    add_note(b, "CORE", NT_FILE, desc, at);
}

static const char *write_core(const struct builder *b, size_t bytes)
{
    static char path[64];
    snprintf(path, sizeof path, "/tmp/hw-core-%d-XXXXXX", getpid());
    int fd = mkstemp(path);
    cr_assert(fd >= 0);
    size_t len = DATA_AT + b->data_len;
    if (bytes < len)
        len = bytes;
    cr_assert_eq(write(fd, b, len), (ssize_t)len);
    close(fd);
    return path;
}

/* Open what was built, cut to `bytes`. */
static int open_built(const struct builder *b, size_t bytes, struct hw_target **t,
                      struct hw_error *err)
{
    const char *path = write_core(b, bytes);
    int rc = hw_target_open_core(path, t, err);
    unlink(path);
    cr_assert_eq(rc == HW_OK, *t != NULL);
    return rc;
}

#define WHOLE SIZE_MAX

static struct hw_target *must_open(const struct builder *b, size_t bytes)
{
    struct hw_target *t;
    struct hw_error err = {0};
    cr_assert_eq(open_built(b, bytes, &t, &err), HW_OK, "%s", err.text);
    return t;
}

static struct builder *typical(void)
{
    static const struct mapped files[] = {
        {0x400000, 0x402000, 0, "/usr/bin/prog"},
        {0x402000, 0x403000, 2, "/usr/bin/prog"},
        {0x7f0000000000, 0x7f0000004000, 0x10, "/lib/libc.so.6"},
        {0x7f0000005000, 0x7f0000006000, 0, "/usr/share/left out by the writer"},
    };
    uint64_t auxv[] = {AT_PAGESZ, 4096, AT_PHDR, 0x400040, AT_ENTRY, 0x401000, AT_NULL, 0};
    struct builder *b = core_new();
    add_thread(b, 77, 0x7000, 0x7ffd00000100, 0x401010);
    add_psinfo(b, 70, "prog\x1b[1m");
    add_note(b, "CORE", NT_AUXV, auxv, sizeof auxv);
    add_files(b, files, 4, 4);
    add_note(b, "LINUX", NT_PRSTATUS, "not a status of ours", 21);
    add_thread(b, 71, 0x8000, 0x500100, 0x401020);
    add_load(b, 0x400000, 0x2000, 0x1000, PF_R | PF_X, 'x');
    add_load(b, 0x402000, 0x1000, 0x1000, PF_R | PF_W, 'd');
    add_load(b, 0x500000, 0x2000, 0x2000, PF_R | PF_W, 'h');
    add_load(b, 0x502000, 0x1000, 0x1000, PF_R | PF_W, 'i');
    add_load(b, 0x7f0000000000, 0x4000, 0, PF_R | PF_X, 0);
    add_load(b, 0x7ffd00000000, 0x1000, 0x1000, PF_R | PF_W, 's');
    return b;
}

/* ---- sound cores ----------------------------------------------------------------------------- */

Test(core, knows_who_it_was)
{
    struct hw_target *t = must_open(typical(), WHOLE);
    cr_expect_eq(t->who.kind, HW_TARGET_CORE);
    cr_expect_eq(t->who.pid, 70);
    cr_expect_str_eq(t->who.comm, "prog?[1m");
    cr_expect_str_eq(t->who.exe, "/usr/bin/prog");
    cr_expect_eq(strncmp(t->who.core, "/tmp/hw-core-", 13), 0);
    cr_expect_eq(t->who.page_size, 4096);
    cr_expect_eq(t->pause_ns, -1);
    cr_expect(!t->truncated);
    cr_assert_eq(t->thread_count, 2);
    cr_expect_eq(t->threads[0].tid, 71);
    cr_expect_eq(t->threads[1].tid, 77);
    cr_expect(t->threads[1].regs_known);
    cr_expect_eq(t->threads[1].tp, 0x7000);
    cr_expect_eq(t->threads[1].sp, 0x7ffd00000100);
    cr_expect_eq(t->threads[1].pc, 0x401010);
    cr_expect_eq(hw_map_stack_of(t, hw_map_at(t, 0x7ffd00000000)), &t->threads[1]);
    hw_target_close(t);
}

Test(core, has_maps_of_segments_and_files)
{
    struct hw_target *t = must_open(typical(), WHOLE);
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
        {0x7f0000000000, 0x7f0000004000, 0x10000, 5, "/lib/libc.so.6"},
        {0x7f0000005000, 0x7f0000006000, 0, 4, "/usr/share/left out by the writer"},
        {0x7ffd00000000, 0x7ffd00001000, 0, 6, NULL},
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

Test(core, what_was_not_saved_is_a_hole)
{
    struct hw_target *t = must_open(typical(), WHOLE);
    uint8_t buf[0x4000];
    cr_expect_eq(hw_read(t, 0x400ff0, buf, 64, NULL), 16);
    cr_expect_eq(buf[15], 'x');
    cr_expect_eq(hw_read(t, 0x401000, buf, 64, NULL), 0);
    cr_expect_eq(hw_read(t, 0x403000, buf, 64, NULL), 0);
    cr_expect_eq(hw_read(t, 0x7f0000000000, buf, 64, NULL), 0);
    cr_expect_eq(hw_read(t, 0x7f0000005000, buf, 64, NULL), 0);
    cr_expect_eq(hw_read(t, UINT64_MAX - 1, buf, 64, NULL), 0);
    /* Segments that touch are read through. */
    cr_expect_eq(hw_read(t, 0x500800, buf, sizeof buf, NULL), 0x2800);
    cr_expect(buf[0] == 'h' && buf[0x17ff] == 'h' && buf[0x1800] == 'i' && buf[0x27ff] == 'i');
    hw_target_close(t);
}

Test(core, cuts_segments_and_files_where_they_disagree)
{
    static const struct mapped files[] = {{0x3000, 0x9000, 3, "/b"}, {0x2000, 0x4000, 0, "/a"}};
    struct builder *b = core_new();
    add_files(b, files, 2, 2);
    add_load(b, 0x8000, 0x2000, 0x2000, PF_R, '2');
    add_load(b, 0x1000, 0x4000, 0x4000, PF_R | PF_W, '1');
    struct hw_target *t = must_open(b, WHOLE);
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

Test(core, the_name_it_was_started_by_will_do_for_an_executable)
{
    uint64_t auxv[] = {AT_EXECFN, 0x10010, AT_PAGESZ, 12345, AT_NULL, 0};
    struct builder *b = core_new();
    add_thread(b, 5, 1, 2, 3);
    add_note(b, "CORE", NT_AUXV, auxv, sizeof auxv);
    add_load(b, 0x10000, 0x1000, 0x1000, PF_R, 'z');
    memcpy(b->data + 0x10, "./prog", 7);
    struct hw_target *t = must_open(b, WHOLE);
    cr_expect_str_eq(t->who.exe, "./prog");
    cr_expect_eq(t->who.pid, 5, "the first thread, for want of better");
    cr_expect_eq(t->who.page_size, 4096, "nonsense is not believed");
    cr_expect_null(t->who.comm);
    hw_target_close(t);
}

/* ---- damaged cores --------------------------------------------------------------------------- */

Test(core, a_file_that_ends_early_is_truncated)
{
    struct builder *b = typical();
    struct hw_target *t = must_open(b, DATA_AT + 0x2800);
    uint8_t buf[0x2000];
    cr_expect(t->truncated);
    cr_expect_eq(t->map_count, 7);
    cr_expect_eq(hw_read(t, 0x500000, buf, 0x2000, NULL), 0x800);
    cr_expect_eq(hw_read(t, 0x500800, buf, 0x2000, NULL), 0);
    cr_expect_eq(hw_read(t, 0x502000, buf, 0x10, NULL), 0);
    hw_target_close(t);
}

Test(core, any_length_of_file_is_survived)
{
    struct builder *b = typical();
    struct hw_error err;
    for (size_t len = 0; len < NOTES_AT + b->notes_len + 8; len += len < 2200 ? 13 : 3) {
        struct hw_target *t;
        int rc = open_built(b, len, &t, &err);
        cr_assert(rc == HW_OK || rc == HW_ERR_NOT_CORE, "%zu: %s", len, err.text);
        cr_assert(rc != HW_OK || t->truncated);
        hw_target_close(t);
    }
}

Test(core, overlapping_segments_are_made_disjoint)
{
    struct builder *b = core_new();
    add_load(b, 0x1000, 0x3000, 0x3000, PF_R, 'a');
    Elf64_Phdr *inner = add_load(b, 0x2000, 0x1000, 0x1000, PF_R, 'b');
    Elf64_Phdr *after = add_load(b, 0x3000, 0x3000, 0x2000, PF_R, 'c');
    (void)inner;
    memset(b->data + (after->p_offset - DATA_AT), 'd', 0x1000);
    struct hw_target *t = must_open(b, WHOLE);
    uint8_t buf[0x8000];
    cr_assert_eq(t->map_count, 2);
    cr_expect_eq(t->maps[1].start, 0x4000);
    cr_expect_eq(hw_read(t, 0x1000, buf, sizeof buf, NULL), 0x4000);
    cr_expect(buf[0x2fff] == 'a' && buf[0x3000] == 'c' && buf[0x3fff] == 'c');
    hw_target_close(t);
}

Test(core, absurd_segments_do_no_harm)
{
    struct builder *b = typical();
    static const uint64_t odd[] = {0,         1, 0x1000, 1ull << 62, 1ull << 63, UINT64_MAX - 4095,
                                   UINT64_MAX};
    enum { N = sizeof odd / sizeof *odd };
    uint8_t buf[64];
    Elf64_Phdr *p = add_load(b, 0, 0, 0, 7, 0), *q = add_load(b, 0, 0, 0, 7, 0);
    for (unsigned i = 0; i < N * N * N * N; i++) {
        p->p_vaddr = odd[i % N];
        p->p_memsz = odd[i / N % N];
        p->p_filesz = odd[i / N / N % N];
        p->p_offset = odd[i / N / N / N];
        *q = *p;
        if (i % 2)
            q->p_type = PT_NOTE;
        struct hw_target *t = must_open(b, WHOLE);
        for (unsigned k = 0; k < N; k++)
            hw_read(t, odd[k], buf, sizeof buf, NULL);
        for (size_t k = 1; k < t->map_count; k++)
            cr_assert(t->maps[k].start >= t->maps[k - 1].end && t->maps[k].start < t->maps[k].end);
        cr_expect_eq(hw_read(t, 0x7ffd00000000, buf, 1, NULL) <= 1, true);
        hw_target_close(t);
    }
}

Test(core, absurd_notes_do_no_harm)
{
    static const struct mapped odd[] = {
        {0x9000, 0x8000, 0, "/backwards"},
        {0x1000, 0x3000, UINT64_MAX, "/offset"},
        {0, UINT64_MAX, 0, "/everything"},
    };
    struct builder *b = core_new();
    add_files(b, odd, 3, UINT64_MAX);
    add_files(b, odd, 3, 3);
    add_note(b, "CORE", NT_PRSTATUS, "short", 6);
    add_note(b, "CORE", NT_PRPSINFO, "short", 6);
    add_note(b, "CORE", NT_AUXV, "short", 6);
    add_thread(b, -1, 0, 0, 0);
    add_thread(b, 6, 1, 0, 0);
    add_thread(b, 6, 2, 0, 0);
    add_load(b, 0x1000, 0x1000, 0x1000, PF_R, 'a');
    struct hw_target *t = must_open(b, WHOLE);
    cr_expect_eq(t->thread_count, 1, "the same thread twice is one");
    hw_target_close(t);

    /* Sizes that point out of the notes. */
    for (size_t at = 0; at + 4 <= 400; at += 4)
        for (int bits = 0; bits < 3; bits++) {
            struct builder *c = typical();
            memset(c->notes + at, bits == 0 ? 0xff : bits == 1 ? 0x7f : 0, 4);
            hw_target_close(must_open(c, WHOLE));
        }
}

Test(core, more_segments_than_a_header_can_count)
{
    struct builder *b = typical();
    Elf64_Shdr first = {.sh_info = b->e.e_phnum};
    b->e.e_phnum = PN_XNUM;
    b->e.e_shoff = DATA_AT + b->data_len;
    memcpy(b->data + b->data_len, &first, sizeof first);
    b->data_len += sizeof first;
    struct hw_target *t = must_open(b, WHOLE);
    cr_expect_eq(t->map_count, 7);
    cr_expect(!t->truncated);
    hw_target_close(t);

    first.sh_info = UINT32_MAX; /* more than there are */
    memcpy(b->data + b->data_len - sizeof first, &first, sizeof first);
    t = must_open(b, WHOLE);
    cr_expect(t->truncated);
    hw_target_close(t);

    b->e.e_shoff = UINT64_MAX - 10;
    struct hw_error err;
    cr_expect_eq(open_built(b, WHOLE, &t, &err), HW_ERR_NOT_CORE);
}

Test(core, random_damage_is_survived)
{
    uint64_t x = 88172645463325252u;
    uint8_t buf[256];
    for (int i = 0; i < 3000; i++) {
        struct builder *b = typical();
        for (int k = 0; k < 4; k++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            size_t span = x & 1 ? NOTES_AT : NOTES_AT + b->notes_len;
            ((uint8_t *)b)[(x >> 8) % span] = (uint8_t)(x >> 56);
        }
        struct hw_target *t;
        if (open_built(b, WHOLE, &t, NULL) != HW_OK)
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

Test(core, says_what_a_file_is_instead, .timeout = 30)
{
    expect_refusal("/nonexistent/core", HW_ERR_SYSTEM, "No such file");
    expect_refusal("/tmp", HW_ERR_NOT_CORE, "is a directory");
    expect_refusal("/dev/zero", HW_ERR_NOT_CORE, "is not a regular file");
    char dir[] = "/tmp/hw-fifo-XXXXXX", fifo[64];
    cr_assert_not_null(mkdtemp(dir));
    snprintf(fifo, sizeof fifo, "%s/fifo", dir);
    cr_assert_eq(mkfifo(fifo, 0600), 0);
    expect_refusal(fifo, HW_ERR_NOT_CORE, "is not a regular file");
    unlink(fifo);
    rmdir(dir);
    expect_refusal_of("", 0, HW_ERR_NOT_CORE, "is empty");
    expect_refusal_of("x", 1, HW_ERR_NOT_CORE, "is not an ELF file");
    expect_refusal_of("\177ELF", 4, HW_ERR_NOT_CORE, "is not an ELF file");
    expect_refusal_of("{\"a\": 1, \"b\": 2, \"c\": 3}", 24, HW_ERR_NOT_CORE, "not an ELF file");
    expect_refusal_of("\x28\xb5\x2f\xfd and so on and on", 20, HW_ERR_NOT_CORE,
                      "is compressed (zstd)");
    expect_refusal("/proc/self/exe", HW_ERR_NOT_CORE,
                   "is an executable or shared library, not a core");
}

Test(core, refuses_other_machines)
{
    struct builder *b = typical();
    struct hw_target *t;
    struct hw_error err;
    b->e.e_machine = EM_RISCV;
    cr_expect_eq(open_built(b, WHOLE, &t, &err), HW_ERR_UNSUPPORTED);
    cr_expect_not_null(strstr(err.text, "is the core of a 64-bit process (riscv): heapwalk reads "
                                        "x86_64, i386 and aarch64 cores"),
                       "%s", err.text);
    b->e.e_ident[EI_CLASS] = ELFCLASS32;
    b->e.e_machine = EM_X86_64;
    cr_expect_eq(open_built(b, WHOLE, &t, &err), HW_ERR_UNSUPPORTED);
    cr_expect_not_null(strstr(err.text, "(x32)"), "%s", err.text);
    b = core_new();
    cr_expect_eq(open_built(b, WHOLE, &t, &err), HW_ERR_NOT_CORE);
    cr_expect_not_null(strstr(err.text, "without any memory"), "%s", err.text);
}

/* ---- cores by others ------------------------------------------------------------------------- */

static uint8_t *known_bytes;

static void *second_thread(void *arg)
{
    child_sleep(arg);
    return NULL;
}

static void crash(void *arg)
{
    const char *dir = arg;
    pthread_t th;
    struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
    setrlimit(RLIMIT_CORE, &unlimited);
    signal(SIGABRT, SIG_DFL);
    if (chdir(dir) != 0 || pthread_create(&th, NULL, second_thread, NULL) != 0)
        _exit(1);
    abort();
}

/* The file that a crash leaves in `dir`; false where the kernel gives cores to a program. */
static bool core_of_crash(const char *dir, pid_t pid, char *path, size_t size)
{
    char pattern[128] = "", with_pid = '0';
    FILE *f = fopen("/proc/sys/kernel/core_pattern", "re");
    if (!f || !fgets(pattern, sizeof pattern, f))
        pattern[0] = '|';
    if (f)
        fclose(f);
    f = fopen("/proc/sys/kernel/core_uses_pid", "re");
    if (f) {
        with_pid = (char)fgetc(f);
        fclose(f);
    }
    pattern[strcspn(pattern, "\n")] = '\0';
    if (strpbrk(pattern, "|/%@") || !pattern[0])
        return false;
    snprintf(path, size, with_pid == '1' ? "%s/%s.%d" : "%s/%s", dir, pattern, pid);
    return true;
}

static void expect_known_core(const char *path, pid_t pid)
{
    struct hw_target *t;
    struct hw_error err = {0};
    cr_assert_eq(hw_target_open_core(path, &t, &err), HW_OK, "%s", err.text);
    char exe[4096] = "";
    cr_assert_gt(readlink("/proc/self/exe", exe, sizeof exe - 1), 0);
    cr_expect_eq(t->who.pid, pid);
    cr_expect_str_eq(t->who.exe, exe);
    cr_expect_not_null(t->who.comm);
    cr_expect(!t->truncated);
    cr_expect_eq(t->thread_count, 2);
    for (size_t i = 0; i < t->thread_count; i++) {
        const struct hw_thread *th = &t->threads[i];
        uint64_t self = 0; /* the thread pointer of x86-64 points at itself */
        cr_expect_eq(hw_read_word(t, th->tp, &self, NULL), HW_OK);
        cr_expect_eq(self, th->tp);
        cr_expect_not_null(hw_map_at(t, th->sp));
        cr_expect_not_null(hw_map_at(t, th->pc));
    }
    uint8_t buf[8192];
    cr_expect_eq(hw_read(t, (uintptr_t)known_bytes, buf, sizeof buf, NULL), 8192);
    cr_expect_eq(memcmp(buf, known_bytes, sizeof buf), 0);
    const struct hw_map *code = hw_map_at(t, (uintptr_t)&expect_known_core);
    cr_assert_not_null(code);
    cr_expect_str_eq(code->path, exe);
    int fd = hw_target_open_file(t, code, &err);
    cr_expect(fd >= 0, "%s", err.text);
    close(fd);
    hw_target_close(t);
}

static void make_known_bytes(void)
{
    known_bytes = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(known_bytes, MAP_FAILED);
    for (int i = 0; i < 8192; i++)
        known_bytes[i] = (uint8_t)(i * 31 + i / 256);
}

Test(core, reads_a_core_of_the_kernel, .timeout = 60)
{
    char dir[] = "/tmp/hw-crash-XXXXXX", path[256];
    cr_assert_not_null(mkdtemp(dir));
    make_known_bytes();
    pid_t pid = child_start(crash, dir);
    int status;
    waitpid(pid, &status, 0);
    bool there = core_of_crash(dir, pid, path, sizeof path) && WIFSIGNALED(status) &&
                 WCOREDUMP(status) && access(path, R_OK) == 0;
    if (there) {
        expect_known_core(path, pid);
        unlink(path);
    }
    rmdir(dir);
    if (!there)
        cr_skip_test("the kernel writes no plain core files here");
}

static void two_threads(void *arg)
{
    pthread_t th;
    pthread_create(&th, NULL, second_thread, arg);
    child_sleep(arg);
}

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define SANITIZED true
#else
#define SANITIZED false
#endif

Test(core, reads_a_core_of_gcore, .timeout = 120)
{
    if (SANITIZED)
        cr_skip_test("gcore would write out the whole shadow memory");
    char dir[] = "/tmp/hw-gcore-XXXXXX", command[256], path[256];
    if (system("command -v gcore >/dev/null") != 0)
        cr_skip_test("needs gcore");
    cr_assert_not_null(mkdtemp(dir));
    make_known_bytes();
    pid_t pid = child_start(two_threads, NULL);
    for (int i = 0; i < 2000 && status_number(pid, "Threads:") != 2; i++)
        nap_ms(1);
    snprintf(command, sizeof command, "gcore -o %s/core %d >/dev/null 2>&1", dir, pid);
    int rc = system(command);
    child_end(pid);
    snprintf(path, sizeof path, "%s/core.%d", dir, pid);
    cr_assert_eq(rc, 0);
    expect_known_core(path, pid);
    unlink(path);
    rmdir(dir);
}
