/*
 * The parts of reading a core that core.c puts together: its headers (core_elf.c), and what its
 * notes say about the process (core_notes.c).
 */
#ifndef HW_TARGET_CORE_IMAGE_H
#define HW_TARGET_CORE_IMAGE_H

#include "target/image.h"

#include <elf.h>

/* What the ELF header says. Those of 32-bit cores are as those of the others, only narrower. */
struct core_header {
    const struct hw_machine *machine;
    uint64_t offset, count; /* of the program headers: in the file; how many */
    uint64_t sections;      /* where the section headers are */
};

/* Fails with NOT_CORE, UNSUPPORTED. `path` is for the messages. */
int core_read_header(int fd, const char *path, struct core_header *ret, struct hw_error *err);

/* Read `count` program headers, beginning with number `first`, as those of a 64-bit core. Returns
 * how many of them are there. */
size_t core_read_segments(int fd, const struct core_header *h, uint64_t first, Elf64_Phdr *ret,
                          size_t count);

/* A file that was mapped, from NT_FILE. */
struct core_file {
    hw_addr start, end;
    uint64_t offset; /* in the file */
    char *path;      /* in core_notes.names */
};

/* Start from {.machine = ...}. */
struct core_notes {
    const struct hw_machine *machine;
    HW_VEC(struct core_file) files; /* sorted and disjoint after core_notes_finish() */
    char *names;                    /* where their paths are */
    hw_thread_vec threads;
    bool tells_tls;     /* some thread's pointer is told */
    bool in_thread;     /* the notes at hand are of the last of them */
    unsigned tls_entry; /* which TLS descriptor is its thread pointer's, 0 if that is not told so */
    int pid;
    char comm[17];
    uint64_t page_size;          /* 0 if unknown */
    hw_addr phdr, entry, execfn; /* from NT_AUXV: AT_PHDR, AT_ENTRY, AT_EXECFN; 0 if unknown */
    size_t seen;                 /* notes so far */
};

/* Read the notes in [offset, end) of the file, which both lie within it. What makes no sense is
 * left out. NOMEM. */
int core_notes_read(struct core_notes *n, int fd, uint64_t offset, uint64_t end,
                    struct hw_error *err);

/* After the last of them. */
void core_notes_finish(struct core_notes *n);

/* The file mapped at `addr`, or NULL. */
const struct core_file *core_notes_file_at(const struct core_notes *n, hw_addr addr);

void core_notes_deinit(struct core_notes *n);

/* pread() until `len` bytes are there, the file ends or it fails; returns the bytes read. */
size_t core_pread(int fd, void *buf, size_t len, uint64_t offset);

#endif
