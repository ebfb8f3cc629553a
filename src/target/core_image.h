/*
 * The parts of reading a core that core.c puts together: its headers (core_elf.c), what its notes
 * say about the process (core_notes.c) or else the dynamic linker knew (core_links.c), what of
 * memory is where in the file (core_segments.c), and which of that takes no room there
 * (core_holes.c).
 */
#ifndef HW_TARGET_CORE_IMAGE_H
#define HW_TARGET_CORE_IMAGE_H

#include "target/image.h"

#include <elf.h>

/* ---- core_elf.c ----------------------------------------------------------------------------- */

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

/* ---- core_notes.c --------------------------------------------------------------------------- */

/* A file that was mapped, from NT_FILE. */
struct core_file {
    hw_addr start, end;
    uint64_t offset; /* in the file */
    char *path;      /* in core_notes.names */
    size_t name;     /* where in them, while they may still move */
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
    struct hw_signal signal; /* of the first of them */
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

/* ---- core_holes.c --------------------------------------------------------------------------- */

struct core_holes;

/* Of an open file, which stays the caller's. NOMEM. */
int core_holes_create(int fd, struct core_holes **ret, struct hw_error *err);
void core_holes_destroy(struct core_holes *h);

/* Whether the byte at `offset` lies in a hole of the file, where there are only zeros; *until,
 * above `offset`, is where that changes (UINT64_MAX: not before the end). Any number of threads may
 * ask. */
bool core_holes_at(struct core_holes *h, uint64_t offset, uint64_t *until);

/* ---- core_segments.c ------------------------------------------------------------------------ */

struct core_segment {
    hw_addr start, end;
    uint64_t saved;                      /* bytes from start that are in the file */
    uint64_t claimed;                    /* and that should be, if the file were whole */
    uint64_t offset;                     /* where they are */
    uint32_t flags;                      /* enum hw_map_flag */
    uint64_t saved_below, claimed_below; /* sums over all segments below this one */
};

/* Start from {.file_size = ...}; release the list. */
struct core_segments {
    HW_VEC(struct core_segment) list; /* sorted and disjoint after core_segments_finish() */
    uint64_t memory;                  /* bytes of all of them */
    uint64_t file_size;
    uint64_t wanted; /* bytes that the file should have for them */
    bool truncated;  /* something is not in the file, or was too much to be true */
    bool unaligned;  /* not by a kernel, which aligns all to pages and tells all that was mapped */
};

/* How much of [offset, offset + len) is in the file. */
uint64_t core_in_file(const struct core_segments *c, uint64_t offset, uint64_t len);

/* Add a PT_LOAD. NOMEM. */
int core_segments_add(struct core_segments *c, const struct hw_machine *m, const Elf64_Phdr *p,
                      struct hw_error *err);
/* After the last one: sort, and make disjoint; what lies over another begins after it. */
void core_segments_finish(struct core_segments *c);

/* The first segment that ends above `addr`; their number if there is none. */
size_t core_segments_find(const struct core_segments *c, hw_addr addr);

/* See hw_target_extent() and hw_target_missing(). `page` is the size of one. */
enum hw_extent core_segments_extent(const struct core_segments *c, struct core_holes *holes,
                                    uint64_t page, hw_addr addr, hw_addr end, hw_addr *until);
void core_segments_missing(const struct core_segments *c, hw_addr start, hw_addr end,
                           struct hw_missing *sum);

/* Append the maps of the image; their paths stay those of the notes. NOMEM. */
int core_segments_maps(const struct core_segments *c, const struct core_notes *n, hw_map_vec *maps,
                       struct hw_error *err);

/* ---- core_links.c --------------------------------------------------------------------------- */

/* Where no note tells of files, add those that the dynamic linker knows; before
 * core_notes_finish(). NOMEM. */
int core_links_find(struct hw_target *t, const struct core_segments *segments,
                    struct core_notes *notes, struct hw_error *err);

/* ---- shared --------------------------------------------------------------------------------- */

/* pread() until `len` bytes are there, the file ends or it fails; returns the bytes read. */
size_t core_pread(int fd, void *buf, size_t len, uint64_t offset);

#endif
