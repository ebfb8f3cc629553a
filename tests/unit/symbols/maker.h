/*
 * Small ELF files of any machine, made by hand: one segment that is mapped where its bytes stand,
 * so that the file is also what its memory looks like.
 *
 *     0x0000  headers      0x0600  symbols, relocations, dynamic section
 *     0x1000  code         0x2000  data
 */
#ifndef HW_TEST_SYMBOLS_MAKER_H
#define HW_TEST_SYMBOLS_MAKER_H

#include "symbols/modules.h"

enum { MAKER_CODE = 0x1000, MAKER_DATA = 0x2000, MAKER_SIZE = 0x3000 };

/* Numbers of relocations. */
struct maker_relocs {
    uint32_t relative, tpoff, jump_slot, glob_dat;
};
struct maker_relocs maker_relocs(const struct hw_machine *machine);

struct maker {
    const struct hw_machine *machine;
    const char *path;
    uint8_t bytes[MAKER_SIZE];  /* the file */
    uint8_t memory[MAKER_SIZE]; /* a copy of it, made by maker_finish() */
    uint32_t symbols, relocs, relrs, dyns, names, tls_size, tls_align;
};

void maker_start(struct maker *m, enum hw_machine_id machine, const char *path);

/* `type` is STT_...; the number of the symbol. `section`: 1 if it is defined, 0 if not. */
uint32_t maker_symbol(struct maker *m, const char *name, uint32_t value, uint32_t size,
                      unsigned type, unsigned section);
/* The addend goes into the table, or to the place, as the machine has it. */
void maker_reloc(struct maker *m, uint32_t place, uint32_t type, uint32_t symbol, int32_t addend);
void maker_relr(struct maker *m, uint64_t entry);
void maker_dyn(struct maker *m, int32_t tag, uint32_t value);
void maker_tls(struct maker *m, uint32_t size, uint32_t align);
/* A word of the file. */
void maker_word(struct maker *m, uint32_t at, uint64_t value);
/* Write the headers, and the file. */
void maker_finish(struct maker *m);

/* A word of the memory. */
void maker_poke(struct maker *m, uint32_t at, uint64_t value);
/* The memory, mapped at `start`. */
struct hw_buffer_range maker_range(const struct maker *m, hw_addr start);

/* A target of that machine, and its modules; fails the test if it cannot. `threads` may be NULL. */
struct hw_modules *maker_open(const struct hw_machine *machine,
                              const struct hw_buffer_range *ranges, size_t count,
                              const struct hw_thread *threads, size_t thread_count, const char *exe,
                              struct hw_target **target);

#endif
