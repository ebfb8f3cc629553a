/*
 * Cores made by hand, of any machine: headers, notes and segments are appended one by one.
 */
#ifndef TEST_TARGET_CORE_BUILDER_H
#define TEST_TARGET_CORE_BUILDER_H

#include "target/target.h"

#include <elf.h>

/* The file begins with this struct; the headers of a 32-bit core are narrowed when it is
 * written. */
struct builder {
    Elf64_Ehdr e;
    Elf64_Phdr p[32];
    uint8_t notes[8192];
    size_t notes_len;
    uint8_t data[64 << 10];
    size_t data_len;
    const struct hw_machine *machine;
};

#define NOTES_AT offsetof(struct builder, notes)
#define DATA_AT  offsetof(struct builder, data)

/* An empty core. There is one builder: the last one asked for. */
struct builder *core_new(enum hw_machine_id id);

/* Two threads, four files, seven maps. */
struct builder *core_typical(enum hw_machine_id id);

void core_add_note(struct builder *b, const char *name, uint32_t type, const void *desc,
                   size_t len);

/* A segment of which `saved` bytes are in the file, each of the value `fill`. */
Elf64_Phdr *core_add_load(struct builder *b, uint64_t start, uint64_t bytes, uint64_t saved,
                          uint32_t flags, int fill);

/* The notes of a thread, as the kernel writes them; without that of its TLS if `tp` is 0. */
void core_add_thread(struct builder *b, int tid, uint64_t tp, uint64_t sp, uint64_t pc);
/* The first thread's status, which is the first note, tells a signal; as the kernel writes it, or
 * gdb. */
void core_set_signal(struct builder *b, int signal, bool by_kernel);
/* What more there is to it; behind that note. `address` is a word of the machine. */
void core_add_siginfo(struct builder *b, int signal, int code, uint64_t address);
void core_add_psinfo(struct builder *b, int pid, const char *name);

/* `words` are as many as `count` says. */
void core_add_auxv(struct builder *b, const uint64_t *words, size_t count);

struct mapped {
    uint64_t start, end, page;
    const char *name;
};

/* NT_FILE of `n` files, which claims to be of `count`. */
void core_add_files(struct builder *b, const struct mapped *files, size_t n, uint64_t count);

/* A word of the machine, in what core_add_load() added last. */
void core_poke(struct builder *b, uint64_t addr, uint64_t word);

/* Open what was built, cut to `bytes`. */
int core_open(const struct builder *b, size_t bytes, struct hw_target **t, struct hw_error *err);
struct hw_target *core_must_open(const struct builder *b, size_t bytes);

#define WHOLE SIZE_MAX

/* A test that is run for cores of each machine from `first` on, with `id` as its argument. */
#define EACH_MACHINE(suite, first, name)                                                           \
    static void on_machine_##name(enum hw_machine_id id);                                          \
    Test(suite, name)                                                                              \
    {                                                                                              \
        for (enum hw_machine_id id = first; id <= HW_AARCH64; id++)                                \
            on_machine_##name(id);                                                                 \
    }                                                                                              \
    static void on_machine_##name(enum hw_machine_id id)

#endif
