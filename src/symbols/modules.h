/*
 * The ELF files mapped into a target: which they are, where they lie, what they define.
 *
 * Modules are found from the target's own maps, the same way in a live process and in a core.
 * Listing them opens nothing; hw_module_load() opens one file and the separate debug file that
 * belongs to it (build-id directories, .gnu_debuglink; through libdwfl also debuginfod, only where
 * DEBUGINFOD_URLS is set).
 *
 * The build-id in the target's memory decides. A file at the old path with another build-id (libc
 * was upgraded under the running process) is not used; the file is then looked for by build-id.
 */
#ifndef HW_SYMBOLS_MODULES_H
#define HW_SYMBOLS_MODULES_H

#include "target/target.h"

struct hw_modules;

struct hw_module {
    char *path;         /* as in the target's maps, without " (deleted)" */
    const char *name;   /* its last component */
    hw_addr start, end; /* first to last byte mapped from the file, gaps included */
    hw_addr bias;       /* add it to an address in the file to get one in the target */
    bool is_exe;        /* the main executable */
    bool has_build_id;  /* read from the target's memory; may be missing in a core */
    uint8_t build_id[64];
    size_t build_id_len;
    char *file;    /* the file used for symbols; NULL before a load */
    char *problem; /* why a load could not use the file itself; NULL if it could */
    struct hw_module_private *priv;
};

struct hw_modules_options {
    const char *exe;            /* the executable of a core, where it cannot be found; or NULL */
    const char *libc;           /* the file that is the target's libc; or NULL */
    const char *sysroot;        /* files are looked for below this directory first; or NULL */
    const char *debuginfo_path; /* as libdwfl's, or NULL for its default */
};

/*
 * List the modules of `t`, which must outlive them. Strings in `opt` are copied. Fails with
 * NO_SYMBOLS (opt->libc cannot be a file of this target, or opt->sysroot is no directory), NOMEM.
 */
int hw_modules_open(struct hw_target *t, const struct hw_modules_options *opt,
                    struct hw_modules **ret, struct hw_error *err);
void hw_modules_close(struct hw_modules *m);

/* Why the executable that the caller named is not the one of the target (it is not used then), or
 * may not be; NULL if it is, or none was named. */
const char *hw_modules_exe_problem(const struct hw_modules *m);

size_t hw_modules_count(const struct hw_modules *m);
/* In the order of addresses, but copies of libc in other namespaces (dlmopen) come behind the one
 * that the program itself is linked to. */
struct hw_module *hw_modules_get(struct hw_modules *m, size_t i);
/* The module mapped at `addr`, or NULL. */
struct hw_module *hw_modules_at(struct hw_modules *m, hw_addr addr);

/*
 * Open the file of a module and its debug file. Doing it twice is free. Fails with NO_SYMBOLS (no
 * file, or its build-id is another: text names both), NOMEM.
 */
int hw_module_load(struct hw_modules *m, struct hw_module *mod, struct hw_error *err);

/*
 * The same without the debug file, which is quick: enough for what the file itself defines, imports
 * and says. hw_module_load() may follow.
 */
int hw_module_open(struct hw_modules *m, struct hw_module *mod, struct hw_error *err);

/* A file name by which glibc's libc goes: "libc.so.6", "libc-2.31.so"; not "libcrypt.so.1". */
bool hw_is_libc_name(const char *name);

struct hw_symbol {
    hw_addr
        address; /* in the target; for a thread-local one the offset in the module's TLS block */
    uint64_t size;
    bool is_tls;
    bool dynamic_only; /* known from .dynsym; otherwise from .symtab (of the file or its debug file)
                        */
};

/* A defined symbol by its exact name; false if there is none. The module must be loaded. */
bool hw_module_symbol(struct hw_module *mod, const char *name, struct hw_symbol *ret);

/* Nearest function or object at or below `addr`: its name (owned by the module) and the distance
 * into it; NULL if none. Loads nothing: works on loaded modules only. */
const char *hw_module_name_of(struct hw_module *mod, hw_addr addr, uint64_t *offset);

/*
 * Call `visit` for each function that the module's tables name, in no order and maybe more than
 * once: [start, end) in the target, end == start where its size is not told. The name is valid
 * during the call. It ends early where that returns false. The module must be loaded.
 */
void hw_module_functions(struct hw_module *mod,
                         bool (*visit)(void *ctx, const char *name, hw_addr start, hw_addr end),
                         void *ctx);

/*
 * The function that begins at `start`, also in a file without names for it: up to where the next
 * one begins, by the file's table for unwinding (.eh_frame_hdr). False if none begins there, or
 * there is no such table. The module must be loaded.
 */
bool hw_module_function_end(struct hw_module *mod, hw_addr start, hw_addr *end);

/*
 * Distance from a thread's thread pointer to the module's TLS block, the same in every thread:
 * address of a thread-local = tp + offset + hw_symbol.address. It is negative, on aarch64 positive.
 * It is taken from already relocated TPOFF slots of the module in the target's memory (all must
 * agree), for an executable without one computed from its PT_TLS, else from the threads' vectors
 * of blocks. It needs no hw_module_load(), but is surer with it.
 * NO_SYMBOLS if the module has no static TLS, or it cannot be told; CORRUPT if slots disagree.
 */
int hw_module_tls_offset(struct hw_modules *m, struct hw_module *mod, int64_t *ret,
                         struct hw_error *err);

/* Bytes in the module's TLS block, from its program headers; 0 if it has none or they are not
 * known. */
uint64_t hw_module_tls_size(struct hw_modules *m, const struct hw_module *mod);

/*
 * Where the function `name`, which the module calls through its GOT, leads in the target: what the
 * dynamic linker bound it to. False if the module has no such import, or none that is bound yet.
 */
bool hw_module_import(struct hw_modules *m, struct hw_module *mod, const char *name, hw_addr *ret);

/* Find `needle` in the file's .rodata; copies up to `size`-1 bytes of the text from there up to the
 * first control character into `buf`. False if it is not there. */
bool hw_module_find_text(struct hw_module *mod, const char *needle, char *buf, size_t size);

/* Find a text (ended by NUL, of at most 1023 bytes) in the file's .rodata that matches `pattern`, a
 * POSIX extended regular expression, and copy the part in its first parentheses. */
bool hw_module_match_text(struct hw_module *mod, const char *pattern, char *buf, size_t size);

#endif
