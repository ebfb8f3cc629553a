/*
 * What the files of this layer share and nobody else sees.
 *
 *     modules.c    the list, from the target's maps
 *     namespace.c  which of them come first
 *     elfimage.c   ELF headers as they stand in the target's memory
 *     elffile.c    one opened ELF file
 *     reloc.c      relocations of all machines in one form
 *     debugfile.c  where the separate debug file is
 *     load.c       which files belong to a module
 *     symtab.c     names to addresses and back
 *     frames.c     call frame information: where it is, and where functions begin
 *     unwind.c     from a function to its caller
 *     import.c     what a module's calls were bound to
 *     tls.c        where a module's thread-local block lies
 *     rodata.c     texts in read-only data
 *     match.c      the same by pattern
 *     types.c      struct layouts from DWARF
 *     disasm*.c    what code refers to; listing.h has the map
 *
 * Files and memory are foreign bytes: any header field may be a lie.
 */
#ifndef HW_SYMBOLS_PRIVATE_H
#define HW_SYMBOLS_PRIVATE_H

#include "symbols/modules.h"

#include "target/elfclass.h"

#include <gelf.h>

/* A word of the target that is a difference. */
static inline int64_t hw_word_signed(const struct hw_machine *m, uint64_t word)
{
    return m->word == 4 ? (int32_t)word : (int64_t)word;
}

/* ---- elfimage.c ------------------------------------------------------------------------------ */

enum { HW_IMAGE_PAGE = 4096, HW_IMAGE_PHDRS = 64, HW_IMAGE_DYNS = 128 };

/* The program headers of an ELF file mapped into a target. */
struct hw_elf_image {
    hw_addr start; /* where the ELF header lies */
    size_t phdr_count;
    Elf64_Phdr phdr[HW_IMAGE_PHDRS];
    size_t page_len; /* bytes in `page`, the first ones of the file */
    uint8_t page[HW_IMAGE_PAGE];
};

/* False if there is no readable ELF header of the target's machine, with program headers, at
 * `start`. */
bool hw_elf_image_read(struct hw_target *t, hw_addr start, struct hw_elf_image *ret);

/* Find the GNU build-id in memory; false if there is none or it cannot be read. */
bool hw_elf_image_build_id(struct hw_target *t, const struct hw_elf_image *image, hw_addr bias,
                           uint8_t id[64], size_t *len);

/* The first program header of a type, or NULL. */
const Elf64_Phdr *hw_elf_image_phdr(const struct hw_elf_image *image, uint32_t type);

/* Entries of the dynamic section in memory, up to its end mark; the number of them. */
size_t hw_elf_image_dynamic(struct hw_target *t, const struct hw_elf_image *image, hw_addr bias,
                            Elf64_Dyn ret[HW_IMAGE_DYNS]);

/*
 * The first PT_LOAD, if it is mapped at `start`: the distance from its address in the file to that.
 * False if there is none, or if it does not begin with the file.
 */
bool hw_phdrs_bias(const Elf64_Phdr *phdr, size_t count, uint64_t page_size, hw_addr start,
                   hw_addr *ret);

/* ---- elffile.c ------------------------------------------------------------------------------- */

/* An opened file. All zero means none. */
struct hw_elf_file {
    Elf *elf;
    int fd;
    const struct hw_machine *machine;
    char *path;
    hw_addr bias; /* of this file: a debug file may be linked elsewhere than a prelinked one */
    uint8_t build_id[64];
    size_t build_id_len;
};

/* Takes `fd` over, also when it fails. Fails with NO_SYMBOLS (not an ELF file of this machine: the
 * text names both), NOMEM. */
int hw_elf_open(int fd, const char *path, const struct hw_machine *machine, struct hw_elf_file *ret,
                struct hw_error *err);
void hw_elf_close(struct hw_elf_file *f);

/* Copies of the program headers; the number of them, at most `size`. */
size_t hw_elf_phdrs(const struct hw_elf_file *f, Elf64_Phdr *phdr, size_t size);

/* Copy up to `len` bytes that a segment has at `addr`, an address of the file. Returns the bytes
 * copied, 0 if there are none; `flags` are those of the segment. */
size_t hw_elf_bytes(const struct hw_elf_file *f, uint64_t addr, void *buf, size_t len,
                    uint32_t *flags);

/* A pointer-sized word of the file. */
bool hw_elf_word(const struct hw_elf_file *f, uint64_t addr, uint64_t *ret);

/* The first section of a type, or NULL. */
Elf_Scn *hw_elf_section(const struct hw_elf_file *f, uint32_t type, GElf_Shdr *shdr);

/* Whether it has type information itself. */
bool hw_elf_has_dwarf(const struct hw_elf_file *f);

/* ---- reloc.c --------------------------------------------------------------------------------- */

enum hw_reloc_kind {
    HW_RELOC_OTHER,
    HW_RELOC_RELATIVE,  /* bias + addend */
    HW_RELOC_TPOFF,     /* of a thread-local: its address - thread pointer */
    HW_RELOC_GLOB_DAT,  /* address of a symbol */
    HW_RELOC_JUMP_SLOT, /* the same, perhaps only when it is first called */
};

struct hw_reloc {
    enum hw_reloc_kind kind;
    uint64_t place;  /* an address of the file */
    uint64_t symbol; /* 0 if it has none */
    int64_t addend;
    bool in_place; /* the addend is what the file has at the place */
};

/* One table of relocations of a file. */
struct hw_relocs {
    const struct hw_elf_file *file;
    Elf_Data *data, *symbols; /* `symbols` may be NULL */
    size_t strings;           /* section of the symbols' names */
    bool rela, loaded;        /* `loaded`: the dynamic linker applies them */
};

/* The next table behind section *scn (NULL to begin), which moves on. False if there is none. */
bool hw_elf_relocs(const struct hw_elf_file *f, Elf_Scn **scn, struct hw_relocs *ret);

/* The i-th relocation; false past the last. */
bool hw_elf_reloc(const struct hw_relocs *r, int i, struct hw_reloc *ret);

/* Its symbol; false if it has none. */
bool hw_elf_reloc_symbol(const struct hw_relocs *relocs, const struct hw_reloc *r, GElf_Sym *ret);

/* Its addend, wherever that is; false if the file does not have it. */
bool hw_elf_reloc_addend(const struct hw_relocs *relocs, const struct hw_reloc *r, int64_t *ret);

/* An entry of the dynamic linker's table as it stands in memory, and how many bytes it takes: RELA
 * on 64-bit machines, REL on i386. */
size_t hw_elf_reloc_size(const struct hw_machine *m);
struct hw_reloc hw_elf_reloc_of(const struct hw_machine *m, const uint8_t *bytes);

/* ---- debugfile.c ----------------------------------------------------------------------------- */

/* What is searched for: the file that goes with this build-id. */
struct hw_debug_search {
    const struct hw_machine *machine;
    const uint8_t *build_id;
    size_t build_id_len;        /* 0 if it is not known */
    const char *debuginfo_path; /* or NULL */
    int root;                   /* the target's root directory: its own, a sysroot; or -1 */
};

/* Look in the build-id directories only. `suffix` is "" for the file itself, ".debug" for its debug
 * file. A file with another build-id is never accepted, here and below. */
bool hw_find_by_build_id(const struct hw_debug_search *s, const char *suffix,
                         struct hw_elf_file *ret);

/* Look everywhere for the debug file of `main`, which may be none. */
bool hw_find_debug_file(const struct hw_debug_search *s, const struct hw_elf_file *main,
                        struct hw_elf_file *ret);

/* ---- symtab.c -------------------------------------------------------------------------------- */

struct hw_symtab_entry;

/* One symbol table. All zero means there is none. */
struct hw_symtab {
    Elf_Data *symbols;
    const char *strings;
    size_t strings_len;
    uint32_t count;
    hw_addr bias;
    bool dynamic;
    struct hw_symtab_entry *index; /* sorted by hash; NULL before the first look-up */
    size_t index_len;
};

/* Read the table of `type` (SHT_SYMTAB, SHT_DYNSYM) if the file has one. */
void hw_symtab_init(struct hw_symtab *s, const struct hw_elf_file *f, uint32_t type);
void hw_symtab_deinit(struct hw_symtab *s);

/* ---- modules --------------------------------------------------------------------------------- */

enum { HW_SYMTABS = 3 };

struct hw_module_private {
    bool opened, loaded;
    const char *named;    /* the file that the caller says it is, or NULL */
    bool linked;          /* the program itself is linked to it; see namespace.c */
    bool headers_known;   /* ELF headers were read from memory */
    hw_addr header_again; /* where another PT_LOAD maps the start of the file; 0 if none does */
    struct hw_elf_file main, debug;
    struct hw_symtab tables[HW_SYMTABS]; /* best first: debug .symtab, main .symtab, .dynsym */
};

struct hw_modules {
    struct hw_target *target;
    char *exe, *libc, *sysroot, *debuginfo_path; /* or NULL */
    char *exe_problem;                           /* or NULL */
    struct hw_module *list;                      /* sorted by address, disjoint */
    struct hw_module **order;                    /* as hw_modules_get() tells them */
    size_t count;
};

/* namespace.c: set m->order. False when memory is out. */
bool hw_modules_order(struct hw_modules *m);

/* load.c: the build-id in memory decides. Where a core lacks it, the file is taken at its word.
 * NO_SYMBOLS; the text names both. */
int hw_check_build_id(const struct hw_module *mod, const struct hw_elf_file *f,
                      struct hw_error *err);

/* load.c: close what hw_module_load() opened. */
void hw_module_unload(struct hw_module *mod);

/* Write bytes in hexadecimal, as many as fit. Returns `buf`. */
const char *hw_hex(const uint8_t *bytes, size_t len, char *buf, size_t size);

#endif
