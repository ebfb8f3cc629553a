/*
 * A process image: bytes behind addresses.
 *
 *          struct hw_target                       what differs (struct hw_target_ops)
 *     +--------------------------+      live*.c   /proc/PID, process_vm_readv, stop.c
 *     | who: kind, pid, exe ...  |      core.c    PT_LOAD, NT_FILE, NT_PRSTATUS
 *     | maps: sorted, disjoint   | ---> buffer.c  the caller's arrays (tests, fuzzing)
 *     | threads: tid, tp, sp     |
 *     +--------------------------+
 *
 * Everything above this layer sees only struct hw_target. Three promises hold for every kind:
 *
 *   - A read returns the bytes that are really there. Bytes that cannot be read, or that a core did
 *     not save, end the read early (a hole); they never come back as zeros.
 *   - Maps are sorted by address and do not overlap. For a live process they are those of the last
 *     open or freeze; before a freeze they may be out of date.
 *   - Nothing is ever written into the target.
 *
 * To add a kind of image: one file with its ops table last, and its open function below.
 */
#ifndef HW_TARGET_TARGET_H
#define HW_TARGET_TARGET_H

#include "base/pages.h"
#include "target/machine.h"

#include <sys/types.h>

enum hw_target_kind { HW_TARGET_LIVE, HW_TARGET_CORE, HW_TARGET_BUFFER };

enum hw_map_flag {
    HW_MAP_EXEC = 1,
    HW_MAP_WRITE = 2,
    HW_MAP_READ = 4, /* as PF_X, PF_W, PF_R */
    HW_MAP_SHARED = 8,
    HW_MAP_UNCOPIED = 16, /* live, by way of a copy: not in the copy, so it cannot be read */
    HW_MAP_CHANGED = 32,  /* live: came to be or changed its size since pages were found */
};

/* One mapping of the image. [start, end), page-aligned in a live process and in kernel cores. */
struct hw_map {
    hw_addr start, end;
    uint64_t offset; /* where in the file the mapping begins; 0 if anonymous */
    uint32_t flags;  /* enum hw_map_flag */
    char *path;      /* the file; "[heap]", "[stack]", "[vdso]" ... where the kernel says so (live
                        only); NULL if anonymous. A live file that is gone ends in " (deleted)".
                        Owned by the target */
    /* Once hw_target_find_pages() has succeeded: what of it is in RAM, as anonymous memory and as
     * memory of a file or shared, and what is swapped out. */
    uint64_t anon_bytes, file_bytes, swapped_bytes;
};

/* In words: no machine has more registers in the block in which the kernel gives them. */
#define HW_REG_WORDS 34

/* One thread. Registers are known only while a live target is frozen and stands still; in a core
 * always. */
struct hw_thread {
    int tid;
    bool regs_known; /* sp, pc, regs */
    hw_addr tp;      /* thread pointer: fs_base on x86-64, the base behind gs on i386, tpidr_el0 on
                   aarch64; 0 if it has none, or neither registers tell it nor is there the
                   control block that would stand there */
    hw_addr sp, pc;
    uint64_t regs[HW_REG_WORDS]; /* all of them, in the kernel's order: regs.h reads them */
};

/* The signal at which a core was written. */
struct hw_signal {
    int number;      /* 0: none, or none is told */
    int tid;         /* the thread that it came to */
    int code;        /* si_code, where `told` */
    bool told;       /* code and address are known */
    hw_addr address; /* si_addr, where this signal has one; else 0 */
};

/* Who the image is of. Strings are owned by the target, NULL where unknown. */
struct hw_identity {
    enum hw_target_kind kind;
    int pid; /* 0 if unknown */
    char *comm;
    char *exe;                        /* path of the executable, as the target saw it */
    char *core;                       /* path of the core file */
    const struct hw_machine *machine; /* never NULL */
    uint64_t page_size;
};

/* What the kernel counts for a process, in bytes (proc(5), VmRSS and its like). Its counters may
 * lag behind by some pages for each CPU. */
struct hw_memory {
    uint64_t rss_bytes, anon_bytes, file_bytes,
        shmem_bytes; /* the first is the sum of the others */
    uint64_t swap_bytes, locked_bytes, virtual_bytes;
    bool locks_known; /* struct hw_pages tells which; else only a part is */
};

/* What an image has of a part of memory. */
enum hw_extent {
    HW_EXTENT_MISSING, /* nothing: it cannot be read */
    HW_EXTENT_ZEROS,   /* zeros that take no room, in a hole of a core file */
    HW_EXTENT_DATA,
};

/* Memory that a core should have, and has not. */
struct hw_missing {
    uint64_t bytes;
    uint64_t cut_off; /* of these, lost with the end of the file; the rest was never saved */
    hw_addr first;    /* where the first of them is, if there are any */
};

struct hw_target;

struct hw_target_ops {
    /*
     * Copy up to `len` bytes from `addr`. Returns the bytes copied: fewer than asked for where a
     * hole begins, 0 if `addr` itself is in one. Negative: enum hw_code, the whole image is gone.
     */
    ssize_t (*read)(struct hw_target *t, hw_addr addr, void *buf, size_t len, struct hw_error *err);
    /*
     * What one call can do for several ranges: copy one after the other, packed into one buffer, up
     * to the first byte that is not there. Returns the bytes copied; 0 if they have to be read one
     * by one, be it to find out why. NULL: always. Like read(), it may be called by several threads
     * at once.
     */
    size_t (*read_ranges)(struct hw_target *t, const struct hw_range *ranges, size_t count,
                          void *buf);
    /* See hw_target_prepare(). NULL: there is nothing to prepare. */
    int (*prepare)(struct hw_target *t, struct hw_error *err);
    /* Make the image stand still (t->mode), and bring maps and threads up to date. NULL: it always
     * stands still. */
    int (*freeze)(struct hw_target *t, struct hw_error *err);
    /* See hw_target_copy(). NULL: there is nothing to do. */
    int (*copy)(struct hw_target *t, struct hw_error *err);
    /* Let it run again. Called only after a freeze; cannot fail. */
    void (*thaw)(struct hw_target *t);
    /* See hw_target_let_go(). NULL: nothing stands still for us. */
    void (*let_go)(struct hw_target *t);
    /* Open, read-only, the file behind a mapping that has one; a descriptor or an enum hw_code. */
    int (*open_file)(struct hw_target *t, const struct hw_map *map, struct hw_error *err);
    /* See hw_target_find_pages(). NULL: that cannot be known. */
    int (*find_pages)(struct hw_target *t, struct hw_error *err);
    /* See hw_next_data(). NULL: every page may have data. */
    hw_addr (*next_data)(struct hw_target *t, hw_addr addr, hw_addr end, uint64_t *budget);
    /* See hw_target_extent(). NULL: that is not known. Called by several threads at once, as
     * read(). */
    enum hw_extent (*extent)(const struct hw_target *t, hw_addr addr, hw_addr end, hw_addr *until);
    /* See hw_target_missing(). NULL: nothing is. */
    void (*missing)(const struct hw_target *t, hw_addr start, hw_addr end, struct hw_missing *sum);
    /* See hw_target_check(). NULL: it is always there. */
    int (*check)(struct hw_target *t, struct hw_error *err);
    /* Release what the kind owns; the rest of struct hw_target is released by the caller. */
    void (*close)(struct hw_target *t);
};

/* Embedded first in the struct of each kind. */
struct hw_target {
    const struct hw_target_ops *ops;
    struct hw_identity who;
    struct hw_map *maps;
    size_t map_count;
    struct hw_thread *threads;
    size_t thread_count;
    bool pages_known;
    bool keep_pages;             /* through the next freeze: what was found before it will do */
    struct hw_memory memory;     /* where pages_known: the kernel's own sums */
    struct hw_pages pages;       /* where pages_known: see hw_target_find_pages() */
    _Atomic uint64_t bytes_read; /* by hw_read() and hw_read_ranges() so far */
    bool read_alone; /* no second thread may read ahead: to measure what that one spares */
    bool frozen;
    /* Live: it runs while it is read, as it is meant to (HW_MODE_RUNNING) or because the time that
     * it might stand still was up. Once set it stays until the next freeze; may be set in the
     * middle of any read. */
    _Atomic bool moving;
    enum hw_mode mode;    /* live: how it is to be frozen; may be set at any time */
    int64_t max_pause_ns; /* live, STOPPED: let it run again after so long, come what may; 0: no
                             limit */
    int64_t pause_ns; /* live: how long it stood still for the last freeze, -1 before the first */
    int64_t thread_pause_ns; /* live: how long one thread did once more when a copy was ended, or
                                -1 */
    int zombie;  /* live: the last dead copy that could not be cleared away, as the target numbers
                    it; else 0 */
    bool stood;  /* live: it stood still already, when we came to freeze it: ... */
    int held_by; /* ... this debugger holds it; 0: job control does (SIGSTOP and its like) */
    bool left_alone;       /* ... and that will do: it is read as it stands, like one that runs. If
                        somebody lets it run meanwhile, the thaw sets `moving` */
    bool stops_do;         /* live, STOPPED: stops by job control will do; may be set at any time */
    size_t missed_threads; /* live: threads that could not be stopped in time by the last freeze.
                              None of them could do more than end the system call that it was in,
                              ... */
    bool missed_start;     /* ... but that may have started others, which ran on; set by the thaw */
    bool truncated;        /* core: the file ends before its segments do ... */
    uint64_t core_bytes, core_wanted; /* ... after so many bytes of so many; 0 if unknown */
    bool leaves_out; /* core: what lies between two maps may have been one that was not saved */
    struct hw_signal signal; /* core: which ended the process; not a debugger's own */
    const char *unpack_flaw; /* core: what is wrong with the compressed file, NULL if nothing is */
};

/*
 * Open a process / a core. Fails with NO_PROCESS (no such pid, a kernel thread, a zombie),
 * PERMISSION (with the cause and the remedy), UNSUPPORTED (of another machine: see
 * target/machine.h), NOT_CORE, NOMEM, SYSTEM. *ret is closed with hw_target_close().
 */
int hw_target_open_live(int pid, struct hw_target **ret, struct hw_error *err);
int hw_target_open_core(const char *path, struct hw_target **ret, struct hw_error *err);

/*
 * Open no more of a process than its outline: maps, threads, pages, and the bytes of its files
 * where they cannot differ from what is in memory. Nothing is read of the process itself. It cannot
 * be frozen. Errors as hw_target_open_live().
 */
int hw_target_open_outline(int pid, struct hw_target **ret, struct hw_error *err);

/* A range of bytes for a buffer target. `bytes` is not copied and must outlive the target. */
struct hw_buffer_range {
    hw_addr start;
    const void *bytes;
    size_t len;
    uint32_t flags;   /* enum hw_map_flag */
    const char *path; /* copied; NULL if anonymous */
};
/*
 * An image made of the caller's arrays. Ranges may come in any order but must not overlap; page
 * size 4096, pid 0, x86-64 (a test may set who.machine to another). `threads` is copied and may be
 * NULL. Fails with USAGE, NOMEM.
 */
int hw_target_open_buffer(const struct hw_buffer_range *ranges, size_t range_count,
                          const struct hw_thread *threads, size_t thread_count,
                          struct hw_target **ret, struct hw_error *err);

/* Thaw if frozen, release everything. NULL is fine. */
void hw_target_close(struct hw_target *t);

/* See the ops of the same names. The first two also count, and may be called by several threads at
 * once while the target is neither frozen nor thawed. Reads of 0 bytes return 0. */
ssize_t hw_read(struct hw_target *t, hw_addr addr, void *buf, size_t len, struct hw_error *err);
ssize_t hw_read_ranges(struct hw_target *t, const struct hw_range *ranges, size_t count, void *buf,
                       struct hw_error *err);
/* Start what a freeze needs (t->mode) and somebody with fewer rights could not: who is about to
 * give up some calls this first. It serves every freeze until a copy is made, that one included.
 * Else the freeze does it. Nothing is done to the target yet. SYSTEM, NOMEM. */
int hw_target_prepare(struct hw_target *t, struct hw_error *err);
int hw_target_freeze(struct hw_target *t, struct hw_error *err);
/* In HW_MODE_SNAPSHOT, once it is frozen: read from a copy from now on, and let the process itself
 * run; else do nothing. Errors as hw_snapshot_take(), PERMISSION. It is still to be thawed. */
int hw_target_copy(struct hw_target *t, struct hw_error *err);
void hw_target_thaw(struct hw_target *t);
/* What is still to be read of a frozen target is not worth its standing still: as when its time is
 * up, it is `moving` from now on, until the thaw. Nothing happens where it was not we who stopped
 * it. */
void hw_target_let_go(struct hw_target *t);
int hw_target_open_file(struct hw_target *t, const struct hw_map *map, struct hw_error *err);

/* Whether what is read still is what was opened. Fails with GONE: the process has ended, or it has
 * executed another program, so that what was read since the freeze may be of that one. */
int hw_target_check(struct hw_target *t, struct hw_error *err);

/* When something went wrong with it: whether that may be because it is not, or not any more, what
 * it seemed to be. As hw_target_check(), and GONE if a process was just being started: it has
 * loaded or unloaded files since its maps were read, or the kernel was not done with it. */
int hw_target_look_again(struct hw_target *t, struct hw_error *err);

/*
 * All `len` bytes or an error: FAULT if any is missing, or what hw_read() failed with.
 */
int hw_read_all(struct hw_target *t, hw_addr addr, void *buf, size_t len, struct hw_error *err);

/* One pointer-sized little-endian word of the target. Errors as hw_read_all(). */
int hw_read_word(struct hw_target *t, hw_addr addr, uint64_t *ret, struct hw_error *err);

/*
 * Find out which pages are in RAM and which are swapped out, for the maps of the last freeze: sets
 * t->pages_known and fills t->pages, t->memory and the counts in t->maps, until the next freeze. To
 * be called while the target is frozen, before anything else is read of it, as it speaks of the
 * moment of the call. Reads nothing of the target. Fails with UNSUPPORTED (a core does not tell;
 * the kernel does not), PERMISSION, SYSTEM, NOMEM; nothing but these figures is lost then.
 */
int hw_target_find_pages(struct hw_target *t, struct hw_error *err);

/*
 * The first address at or above `addr` and below `end` whose page has something to find: it is in
 * RAM or swapped out, or was saved in the core and is not just a hole of the file, which is zeros.
 * `end` if there is none, or when *budget, one for each page or extent looked at, is spent. Reads
 * nothing of the target.
 *
 * Whoever searches memory page by page asks here first. Reading a page that was never touched makes
 * the kernel map its zero page there: the target's page tables grow, later residency figures lie,
 * and where the program handles its own page faults (userfaultfd) the read waits for a handler that
 * we may have stopped.
 */
hw_addr hw_next_data(struct hw_target *t, hw_addr addr, hw_addr end, uint64_t *budget);

/*
 * What a core has at `addr`, and up to where it is the same, `end` at most, through *until: parts
 * of large heaps and maps that were never touched need not be read to know that they are zeros.
 * Where that is not known (no core) all is DATA. addr < end.
 */
enum hw_extent hw_target_extent(const struct hw_target *t, hw_addr addr, hw_addr end,
                                hw_addr *until);

/* Add what a core has not of [start, end), which was memory, to *sum. Nothing if it is no core. */
void hw_target_missing(const struct hw_target *t, hw_addr start, hw_addr end,
                       struct hw_missing *sum);

/* The map that contains `addr`, or NULL. Valid until the next freeze or close. */
const struct hw_map *hw_map_at(const struct hw_target *t, hw_addr addr);

/* True if a map is anonymous memory: no file, or a kernel name like "[heap]" or "[anon: ...]". */
bool hw_map_is_anonymous(const struct hw_map *map);

/* The thread whose stack lies in `map`, or NULL. */
const struct hw_thread *hw_map_stack_of(const struct hw_target *t, const struct hw_map *map);

#endif
