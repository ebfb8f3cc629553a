/*
 * What a core file says about its process besides its bytes. Shared by core.c and core_notes.c.
 */
#ifndef HW_TARGET_CORE_IMAGE_H
#define HW_TARGET_CORE_IMAGE_H

#include "target/image.h"

/* A file that was mapped, from NT_FILE. */
struct core_file {
    hw_addr start, end;
    uint64_t offset; /* in the file */
    char *path;      /* in core_notes.names */
};

/* Start from {0}. */
struct core_notes {
    HW_VEC(struct core_file) files; /* sorted and disjoint after core_notes_finish() */
    char *names;                    /* where their paths are */
    hw_thread_vec threads;
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
