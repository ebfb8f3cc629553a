#include "core_builder.h"

#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct builder *core_new(enum hw_machine_id id)
{
    static struct builder b;
    const struct hw_machine *m = hw_machine(id);
    b = (struct builder){
        .e = {.e_ident = ELFMAG "\x02\x01\x01",
              .e_type = ET_CORE,
              .e_machine = (uint16_t)m->elf_machine,
              .e_version = 1,
              .e_phoff = offsetof(struct builder, p),
              .e_ehsize = sizeof b.e,
              .e_phentsize = sizeof b.p[0],
              .e_phnum = 1},
        .p = {{.p_type = PT_NOTE, .p_offset = NOTES_AT}},
        .machine = m,
    };
    b.e.e_ident[EI_CLASS] = (unsigned char)m->elf_class;
    return &b;
}

static void put(const struct builder *b, uint8_t *to, uint64_t word)
{
    memcpy(to, &word, b->machine->word); /* both of us are little-endian */
}

void core_add_note(struct builder *b, const char *name, uint32_t type, const void *desc, size_t len)
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

Elf64_Phdr *core_add_load(struct builder *b, uint64_t start, uint64_t bytes, uint64_t saved,
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

static void add_x86_64_thread(struct builder *b, int tid, uint64_t tp, uint64_t sp, uint64_t pc)
{
    uint8_t desc[336] = {0};
    memcpy(desc + 32, &tid, 4);
    memcpy(desc + 112 + 16 * 8, &pc, 8);
    memcpy(desc + 112 + 19 * 8, &sp, 8);
    memcpy(desc + 280, &tp, 8);
    core_add_note(b, "CORE", NT_PRSTATUS, desc, sizeof desc);
}

static void add_i386_thread(struct builder *b, int tid, uint64_t tp, uint64_t sp, uint64_t pc)
{
    uint8_t desc[144] = {0};
    memcpy(desc + 24, &tid, 4);
    desc[72 + 10 * 4] = 13 << 3 | 3; /* gs */
    memcpy(desc + 72 + 12 * 4, &pc, 4);
    memcpy(desc + 72 + 15 * 4, &sp, 4);
    core_add_note(b, "CORE", NT_PRSTATUS, desc, sizeof desc);
    core_add_note(b, "CORE", NT_FPREGSET, desc, 108);
    uint32_t tls[3][4] = {{12, 0xbad, 0xfffff, 0x51}, {13, (uint32_t)tp, 0xfffff, 0x51}, {14}};
    if (tp)
        core_add_note(b, "LINUX", NT_386_TLS, tls, sizeof tls);
}

static void add_aarch64_thread(struct builder *b, int tid, uint64_t tp, uint64_t sp, uint64_t pc)
{
    uint8_t desc[392] = {0};
    memcpy(desc + 32, &tid, 4);
    memcpy(desc + 112 + 31 * 8, &sp, 8);
    memcpy(desc + 112 + 32 * 8, &pc, 8);
    core_add_note(b, "CORE", NT_PRSTATUS, desc, sizeof desc);
    core_add_note(b, "CORE", NT_FPREGSET, desc, 100);
    uint64_t tls[2] = {tp, 0xbad}; /* tpidr_el0, tpidr2_el0 */
    if (tp)
        core_add_note(b, "LINUX", NT_ARM_TLS, tls, sizeof tls);
}

void core_add_thread(struct builder *b, int tid, uint64_t tp, uint64_t sp, uint64_t pc)
{
    static void (*const add[])(struct builder *, int, uint64_t, uint64_t, uint64_t) = {
        [HW_X86_64] = add_x86_64_thread,
        [HW_I386] = add_i386_thread,
        [HW_AARCH64] = add_aarch64_thread,
    };
    add[b->machine->id](b, tid, tp, sp, pc);
}

void core_set_signal(struct builder *b, int signal, bool by_kernel)
{
    uint8_t *desc = b->notes + sizeof(Elf64_Nhdr) + 8;
    if (by_kernel)
        memcpy(desc, &signal, sizeof signal);
    memcpy(desc + 12, &signal, 2);
}

void core_add_siginfo(struct builder *b, int signal, int code, uint64_t address)
{
    uint8_t desc[128] = {0};
    int words[] = {signal, 0, code};
    memcpy(desc, words, sizeof words);
    put(b, desc + (b->machine->word == 4 ? 12 : 16), address);
    core_add_note(b, "CORE", NT_SIGINFO, desc, sizeof desc);
}

void core_add_psinfo(struct builder *b, int pid, const char *name)
{
    uint8_t desc[136] = {0};
    bool narrow = b->machine->word == 4;
    memcpy(desc + (narrow ? 12 : 24), &pid, 4);
    snprintf((char *)desc + (narrow ? 28 : 40), 16, "%s", name);
    core_add_note(b, "CORE", NT_PRPSINFO, desc, narrow ? 124 : 136);
}

void core_add_auxv(struct builder *b, const uint64_t *words, size_t count)
{
    uint8_t desc[256];
    unsigned w = b->machine->word;
    cr_assert_leq(count * w, sizeof desc);
    for (size_t i = 0; i < count; i++)
        put(b, desc + i * w, words[i]);
    core_add_note(b, "CORE", NT_AUXV, desc, count * w);
}

void core_add_files(struct builder *b, const struct mapped *files, size_t n, uint64_t count)
{
    uint8_t desc[2048] = {0}, *to = desc;
    unsigned w = b->machine->word;
    put(b, to, count);
    put(b, to + w, 4096);
    to += 2 * w;
    for (size_t i = 0; i < n; i++, to += 3 * w) {
        put(b, to, files[i].start);
        put(b, to + w, files[i].end);
        put(b, to + 2 * w, files[i].page);
    }
    for (size_t i = 0; i < n; i++) {
        memcpy(to, files[i].name, strlen(files[i].name) + 1);
        to += strlen(files[i].name) + 1;
    }
    core_add_note(b, "CORE", NT_FILE, desc, (size_t)(to - desc));
}

void core_poke(struct builder *b, uint64_t addr, uint64_t word)
{
    const Elf64_Phdr *p = &b->p[b->e.e_phnum - 1];
    cr_assert(addr >= p->p_vaddr && addr + 8 <= p->p_vaddr + p->p_filesz);
    put(b, (uint8_t *)b + p->p_offset + (addr - p->p_vaddr), word);
}

struct builder *core_typical(enum hw_machine_id id)
{
    static const struct mapped files[] = {
        {0x400000, 0x402000, 0, "/usr/bin/prog"},
        {0x402000, 0x403000, 2, "/usr/bin/prog"},
        {0xf7000000, 0xf7004000, 0x10, "/lib/libc.so.6"},
        {0xf7005000, 0xf7006000, 0, "/usr/share/left out by the writer"},
    };
    static const uint64_t auxv[] = {AT_PAGESZ, 16384,    AT_PHDR, 0x400040,
                                    AT_ENTRY,  0x401000, AT_NULL, 0};
    struct builder *b = core_new(id);
    core_add_thread(b, 77, 0x7000, 0xfffdd100, 0x401010);
    core_add_psinfo(b, 70, "prog\x1b[1m");
    core_add_auxv(b, auxv, sizeof auxv / sizeof *auxv);
    core_add_files(b, files, 4, 4);
    core_add_note(b, "LINUX", NT_PRSTATUS, "not a status of ours", 21);
    core_add_thread(b, 71, 0x8000, 0x500100, 0x401020);
    core_add_load(b, 0x400000, 0x2000, 0x1000, PF_R | PF_X, 'x');
    core_add_load(b, 0x402000, 0x1000, 0x1000, PF_R | PF_W, 'd');
    core_add_load(b, 0x500000, 0x2000, 0x2000, PF_R | PF_W, 'h');
    core_add_load(b, 0x502000, 0x1000, 0x1000, PF_R | PF_W, 'i');
    core_add_load(b, 0xf7000000, 0x4000, 0, PF_R | PF_X, 0);
    core_add_load(b, 0xfffdd000, 0x1000, 0x1000, PF_R | PF_W, 's');
    return b;
}

/* ---- the file -------------------------------------------------------------------------------- */

/* Fields too large for 32 bits keep their low half, as damage. */
static void narrow_headers(const struct builder *b, uint8_t *file)
{
    Elf32_Ehdr e = {.e_type = b->e.e_type,
                    .e_machine = b->e.e_machine,
                    .e_version = b->e.e_version,
                    .e_phoff = (uint32_t)b->e.e_phoff,
                    .e_shoff = (uint32_t)b->e.e_shoff,
                    .e_ehsize = sizeof e,
                    .e_phentsize = sizeof(Elf32_Phdr),
                    .e_phnum = b->e.e_phnum};
    memcpy(e.e_ident, b->e.e_ident, sizeof e.e_ident);
    e.e_phentsize = (uint16_t)(e.e_phentsize + b->e.e_phentsize - sizeof b->p[0]);
    memset(file, 0, NOTES_AT);
    memcpy(file, &e, sizeof e);
    for (size_t i = 0; i < sizeof b->p / sizeof *b->p; i++) {
        const Elf64_Phdr *wide = &b->p[i];
        Elf32_Phdr p = {.p_type = wide->p_type,
                        .p_offset = (uint32_t)wide->p_offset,
                        .p_vaddr = (uint32_t)wide->p_vaddr,
                        .p_filesz = (uint32_t)wide->p_filesz,
                        .p_memsz = (uint32_t)wide->p_memsz,
                        .p_flags = wide->p_flags,
                        .p_align = (uint32_t)wide->p_align};
        memcpy(file + offsetof(struct builder, p) + i * sizeof p, &p, sizeof p);
    }
}

/* Blocks of zeros are holes, as in cores by a kernel. */
static void write_sparse(int fd, const uint8_t *file, size_t len)
{
    static const uint8_t zeros[4096];
    for (size_t at = 0; at < len; at += sizeof zeros) {
        size_t n = len - at < sizeof zeros ? len - at : sizeof zeros;
        if (memcmp(file + at, zeros, n) != 0)
            cr_assert_eq(pwrite(fd, file + at, n, (off_t)at), (ssize_t)n);
    }
    cr_assert_eq(ftruncate(fd, (off_t)len), 0);
}

static const char *write_core(const struct builder *b, size_t bytes)
{
    static char path[64];
    static uint8_t file[sizeof *b];
    size_t len = DATA_AT + b->data_len;
    memcpy(file, b, len);
    if (b->machine->word == 4)
        narrow_headers(b, file);
    snprintf(path, sizeof path, "/tmp/hw-core-%d-XXXXXX", getpid());
    int fd = mkstemp(path);
    cr_assert(fd >= 0);
    if (bytes < len)
        len = bytes;
    write_sparse(fd, file, len);
    close(fd);
    return path;
}

int core_open(const struct builder *b, size_t bytes, struct hw_target **t, struct hw_error *err)
{
    const char *path = write_core(b, bytes);
    int rc = hw_target_open_core(path, t, err);
    unlink(path);
    cr_assert_eq(rc == HW_OK, *t != NULL);
    return rc;
}

struct hw_target *core_must_open(const struct builder *b, size_t bytes)
{
    struct hw_target *t;
    struct hw_error err = {0};
    cr_assert_eq(core_open(b, bytes, &t, &err), HW_OK, "%s", err.text);
    return t;
}
