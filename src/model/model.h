/*
 * The report: everything heapwalk knows about one heap, as plain values. No I/O, no pointers into
 * the target. A backend and the analyses fill it, renderers print it.
 *
 *     struct hw_report
 *       who, method, allocator, params      where it comes from, how it was read
 *       totals, histogram, in_use_histogram one column of figures
 *       arenas[] -> figures, heaps, lists   the same figures for each arena
 *       threads[]                           which arena, how much in the cache
 *       findings[]                          whatever was unreadable, inconsistent or skipped
 */
#ifndef HW_MODEL_MODEL_H
#define HW_MODEL_MODEL_H

#include "base/err.h"
#include "base/pages.h"
#include "base/vec.h"

/* A number that may be unknown (null in JSON). */
struct hw_maybe {
    bool known;
    uint64_t n;
};
static inline struct hw_maybe hw_known(uint64_t n)
{
    return (struct hw_maybe){true, n};
}

/* ---- findings ------------------------------------------------------------------------------- */

/* X(id, name). A finding makes a report partial, unless it is HW_FINDING_NOTE. */
#define HW_FINDINGS(X)                                                                             \
    X(NOTE, "note")                         /* worth knowing, nothing is missing */                \
    X(UNREADABLE, "unreadable")             /* bytes of a heap that could not be read */           \
    X(MISSING, "missing")                   /* bytes of a heap that the core does not have */      \
    X(TRUNCATED_CORE, "truncated_core")     /* the core file ends too early */                     \
    X(THREAD_MISSED, "thread_missed")       /* threads may have run that nobody stopped */         \
    X(THREAD_CACHE, "thread_cache")         /* a tcache that cannot be read or trusted */          \
    X(ARENA_RING, "arena_ring")             /* the ring of arenas does not close */                \
    X(BAD_ARENA, "bad_arena")               /* members of an arena that cannot be right */         \
    X(ARENA_HEAPS, "arena_heaps")           /* heap_info chain or sizes contradict system_mem */   \
    X(BAD_CHUNK, "bad_chunk")               /* a chunk header that cannot be right */              \
    X(BAD_LIST, "bad_list")                 /* a bin, fastbin or tcache list that is broken */     \
    X(LIST_MISMATCH, "list_mismatch")       /* lists and linear walk disagree */                   \
    X(REGION_NOT_FOUND, "region_not_found") /* system bytes that no region explains */             \
    X(MMAPPED_MISMATCH, "mmapped_mismatch") /* mmapped chunks found differ from mp_ */             \
    X(OTHER_MALLOC, "other_malloc")         /* another glibc malloc, whose arenas are left out */  \
    X(MOVED, "moved")                 /* an arena or tcache that changed while it was read */      \
    X(STOPPED_EARLY, "stopped_early") /* the listener ended the walk, or a search was too long */

/*
 * What must hold in a heap of glibc's malloc (--check): X(id, name, what it is, who leaves it
 * undone for a moment). A thread that is just doing that is no damage; "" if nobody does.
 */
#define HW_INVARIANTS(X)                                                                           \
    X(ARENA_RING, "arena_ring", "arenas form a ring, from main_arena back to it", "")              \
    X(ARENAS, "arenas", "arenas have possible flags, sizes, tops and numbers of threads", "")      \
    X(MAIN_END, "main_end", "the main arena ends where its top ends: at sbrk_base + system_mem",   \
      "while it grows or shrinks")                                                                 \
    X(MAIN_REGIONS, "main_regions", "the pieces of the main arena add up to its system_mem", "")   \
    X(THREAD_HEAPS, "thread_heaps", "the heaps of thread arenas add up to their system_mem",       \
      "while one grows, shrinks or comes")                                                         \
    X(CHUNKS, "chunks", "chunks follow each other up to top, with possible sizes and flags",       \
      "while a chunk is split")                                                                    \
    X(FREE_CHUNKS, "free_chunks",                                                                  \
      "free chunks repeat their size at their end, and none adjoins another one or top",           \
      "while chunks are merged, or go from one bin to another")                                    \
    X(BINS, "bins", "bins are linked both ways, in order, with chunks of the right sizes",         \
      "while a chunk is put into one or taken out")                                                \
    X(BIN_SETS, "bin_sets", "bins hold the chunks that are free, and nothing else",                \
      "while chunks are merged, or go from one bin to another")                                    \
    X(BINMAP, "binmap", "the map of bins has all that are not empty", "")                          \
    X(TCACHES, "tcaches", "tcaches are as long as they say, with chunks of the right sizes",       \
      "while their thread is in malloc or free, which take no lock for it")                        \
    X(FASTBINS, "fastbins", "fastbins have chunks of the right sizes, each of them once",          \
      "while any thread is in free, also where the arena is not locked")                           \
    X(MMAPPED, "mmapped", "there are as many mmapped chunks as malloc has counted",                \
      "while one comes or goes")

enum hw_invariant {
    HW_INVARIANT_NONE,
#define HW_INVARIANT_ENUM_(id, name, text, half_done) HW_INVARIANT_##id,
    HW_INVARIANTS(HW_INVARIANT_ENUM_)
#undef HW_INVARIANT_ENUM_
        HW_INVARIANTS_
};

struct hw_invariant_info {
    const char *name, *text, *half_done;
};
/* Static; the one of NONE has NULLs. */
const struct hw_invariant_info *hw_invariant_info(enum hw_invariant id);

/* What stands where a finding is (--check). Private data of the program, maybe. */
#define HW_PLACE_BYTES 64
struct hw_scene {
    unsigned count; /* of the bytes at its address; 0: none, or unknown */
    uint8_t bytes[HW_PLACE_BYTES];
    /* The block that begins there; and the one that ends there, or that the place is inside of.
     * Their state is HW_STATES_ where none does. */
    struct hw_block here, before;
};

enum hw_finding_kind {
#define HW_FINDING_ENUM_(id, name) HW_FINDING_##id,
    HW_FINDINGS(HW_FINDING_ENUM_)
#undef HW_FINDING_ENUM_
        HW_FINDINGS_
};

struct hw_finding {
    enum hw_finding_kind kind;
    int arena;                   /* -1: none in particular */
    struct hw_maybe address;     /* where in the target */
    struct hw_maybe bytes;       /* how many bytes it concerns */
    char text[256];              /* one line: what is wrong, without kind, place and size */
    char line[512];              /* all of the above as one line; set by hw_report_add() */
    enum hw_invariant invariant; /* that does not hold, if it is one */
    struct hw_scene scene;       /* only where it was checked */
};

/* "note", "unreadable", ...; never NULL. */
const char *hw_finding_name(enum hw_finding_kind kind);

/* What an HW_MMAPPED block takes of the address space, a page multiple. */
static inline uint64_t hw_mapping_bytes(const struct hw_block *b)
{
    return b->lead + b->bytes + b->tail;
}

/* ---- histograms ----------------------------------------------------------------------------- */

/* Bucket i counts chunks of 2^i .. 2^(i+1)-1 bytes. */
#define HW_BUCKETS 64
struct hw_histogram {
    uint64_t chunks[HW_BUCKETS];
    uint64_t bytes[HW_BUCKETS];
};

/*
 * What the chunks in use of each bucket cost beyond what was asked for: see analysis/histogram.c.
 * What was asked for is not recorded, so of rounding only the most that it can be is known.
 */
struct hw_chunk_costs {
    uint64_t header_bytes[HW_BUCKETS];
    uint64_t rounding_max_bytes[HW_BUCKETS];
};

/* ---- residency ------------------------------------------------------------------------------ */

/* Bytes by the state of the page under each. Unknown in a core. */
struct hw_split {
    bool known;
    uint64_t resident, swapped;
    uint64_t returned; /* never touched, given back, or the page of zeros: costs nothing */
};

/* The kinds of free memory that are split: X(id, name). */
#define HW_FREE_KINDS(X)                                                                           \
    X(TCACHE, "tcache")                                                                            \
    X(FASTBIN, "fastbin")                                                                          \
    X(BIN, "bin")                                                                                  \
    X(TOP, "top")
enum hw_free_kind {
#define HW_FREE_KIND_ENUM_(id, name) HW_FREE_##id,
    HW_FREE_KINDS(HW_FREE_KIND_ENUM_)
#undef HW_FREE_KIND_ENUM_
        HW_FREE_KINDS_
};

/* Why free resident memory would stay if malloc_trim(0) were called: X(id, name). */
#define HW_STAYS(X)                                                                                \
    X(SHARED_PAGE, "shared_page_bytes") /* its page also holds live data or a header */            \
    X(TCACHE, "tcache_bytes")           /* malloc_trim() leaves tcaches alone */                   \
    X(THREAD_TOP, "thread_top_bytes")   /* and the tops of thread arenas */                        \
    X(MAIN_TOP, "main_top_bytes")       /* rounding, or the break was moved by others */           \
    X(OTHER, "other_bytes")             /* locked in RAM */
enum hw_stay {
#define HW_STAY_ENUM_(id, name) HW_STAY_##id,
    HW_STAYS(HW_STAY_ENUM_)
#undef HW_STAY_ENUM_
        HW_STAYS_
};

/* Resident pages of heaps by how full of chunks in use they are: 0, up to 10, 25, 50, 75, 100 %. */
#define HW_FULLNESS 6
extern const unsigned hw_fullness_percent[HW_FULLNESS];

/* The figures above, of an arena or of all of them. */
struct hw_residency {
    struct hw_split free[HW_FREE_KINDS_];
    struct hw_split in_use;
    struct hw_figure stays[HW_STAYS_];
    uint64_t fullness[HW_FULLNESS]; /* bytes of pages */
};

/* ---- what holds free memory back ------------------------------------------------------------ */

/* A chunk in use (or in a tcache, or overhead) beside free memory. Plain data; texts are cut to
 * fit.
 */
struct hw_pin {
    struct hw_block block;      /* state HW_STATES_: there is none */
    struct hw_maybe first_word; /* what its user data begins with; for chunks in use only */
    char symbol[128]; /* where that points to: "libfoo.so: vtable for Foo"; "" if nowhere */
    uint8_t sample[HW_SAMPLE_MAX]; /* the first bytes of its user data, only where asked for */
    unsigned sample_bytes;
};

/* Where free memory is, and what of it malloc_trim(0) would ask the kernel to take back, and what
 * of that the kernel would take. */
struct hw_trim {
    struct hw_page_bytes held, asked, given;
};

/* Free chunks next to each other, as they lie once fastbin chunks are merged with their neighbours.
 */
struct hw_run {
    hw_addr address;
    uint64_t bytes;
    int32_t arena;
    unsigned chunks;
    bool has_top; /* it ends with the arena's top */
    /* What it adjoins: a chunk in use, in a tcache, or overhead. `state` is HW_STATES_ where
     * nothing does, at the ends of a heap and where something could not be read. */
    struct hw_block below, above;
    struct hw_trim trim; /* 0 where pages are not known */
};

/* One of the largest free runs (--holes): free chunks next to each other. */
struct hw_hole {
    int arena;
    hw_addr address;
    uint64_t bytes;
    unsigned chunks;
    bool has_top;                   /* it ends with the arena's top */
    struct hw_maybe resident_bytes; /* of it in RAM */
    struct hw_maybe trim_bytes;     /* resident or swapped, and malloc_trim(0) would give it back */
    struct hw_pin below, above;
};
typedef HW_VEC(struct hw_hole) hw_hole_vec;

/*
 * The chunks at the end of an arena that keep its top from growing downwards: without them so much
 * free memory would join top, from where glibc gives memory back by itself. All 0 where nothing
 * worth mentioning is held back, or where top cannot be given back anyway. Found out by
 * analysis/pins.c, which says which chunks are chosen.
 */
struct hw_top_pins {
    bool known;
    uint64_t chunks, bytes; /* of those in use */
    uint64_t cached_chunks,
        cached_bytes;            /* between them, in tcaches: they hold on as live ones do */
    uint64_t joins_bytes;        /* free bytes that would join top, ... */
    uint64_t joins_resident;     /* ... how many of them are in RAM; 0 where that is unknown ... */
    struct hw_maybe joins_trim;  /* ... and what malloc_trim(0) would give back of them now */
    HW_VEC(struct hw_pin) first; /* the first of the chunks, in the order of addresses */
};
#define HW_TOP_PINS_KEPT 16

/* ---- arenas --------------------------------------------------------------------------------- */

enum hw_arena_kind { HW_ARENA_MAIN, HW_ARENA_THREAD };

/* A contiguous piece of an arena. */
struct hw_heap {
    hw_addr address;
    uint64_t bytes;
    struct hw_maybe mprotect_bytes; /* thread arenas: heap_info.mprotect_size */
    uint64_t
        tail_free_bytes; /* thread arenas: what heap_trim() would get back at the end of this heap,
                            its closing fence and the free chunk before it; 0 in the last heap */
    struct hw_maybe resident_bytes;
    struct hw_split free; /* the free chunks in it */
};

/* One free list as glibc keeps it, summed up: what malloc_info(3) needs. */
struct hw_list {
    uint64_t chunks;
    uint64_t bytes;     /* sum of chunk sizes, flag bits masked */
    uint64_t raw_bytes; /* bins: sum of the size words, flag bits and all */
    uint64_t from,
        to; /* smallest and largest size word in bins; 0 if empty. Fastbins: the chunk size */
};
#define HW_FAST_LISTS 11  /* i386 has the most */
#define HW_BIN_LISTS  128 /* [1] unsorted, [2..126] small and large; [0] unused */

enum hw_trim_reason {
    HW_TRIM_NONE, /* there is something to give back */
    HW_TRIM_BELOW_THRESHOLD,
    HW_TRIM_BRK_MOVED,
    HW_TRIM_NONCONTIGUOUS,
    HW_TRIM_SUB_PAGE,
    HW_TRIM_THREAD_ARENA,
    HW_TRIM_NOT_LAST_HEAP,
    HW_TRIM_UNUSED, /* no top yet */
};
/* "below_threshold", ...; NULL for HW_TRIM_NONE. */
const char *hw_trim_reason_name(enum hw_trim_reason reason);

struct hw_top {
    hw_addr address; /* 0: the arena was never used */
    uint64_t bytes;
    uint64_t merged_bytes; /* with the fastbin and free chunks before it, which glibc merges into it
                              before it gives anything back; 0: not known yet */
    struct hw_maybe resident_bytes, trimmable_bytes, malloc_trim_bytes;
    enum hw_trim_reason reason;
};

struct hw_arena {
    unsigned index;
    hw_addr address;
    enum hw_arena_kind kind;
    bool locked;          /* its mutex was held */
    bool moved;           /* it changed while it was read: its figures are about right, not exact */
    uint64_t fingerprint; /* Two walks that give the same one, neither of them `moved`, met the same
                             chunks in the same states, as far as that can be told without a walk;
                             0: none was taken */
    uint64_t walk_ns;     /* that its walk took, in time or in time of our processors: the lesser */
    bool contiguous;      /* main arena only: its top may grow by brk */
    struct hw_maybe attached_threads; /* not kept before glibc 2.23 */
    HW_VEC(int) tids;                 /* threads whose thread_arena this is */
    HW_VEC(int) held_by; /* locked: the threads in malloc that refer to it; empty: not known */
    HW_VEC(struct hw_heap) heaps; /* in the order the arena got them; top lies in the last */
    struct hw_top top;
    struct hw_maybe brk; /* main arena: the program break */
    uint64_t granule;    /* unit in which the top can shrink: page size, or a huge page */
    uint64_t max_system_bytes;
    struct hw_list fast[HW_FAST_LISTS], bins[HW_BIN_LISTS]; /* the latter only if lists_known */
    struct hw_figure figures[HW_METRICS_];
    struct hw_residency residency;
    struct hw_top_pins top_pins;
    struct hw_histogram histogram; /* free chunks in fastbins and bins */
    struct hw_histogram in_use_histogram;
    uint64_t smallest_in_use; /* how many of them have the least size that there is */
    /* The largest of its free runs, in no order, as many as holes are wanted. */
    HW_VEC(struct hw_run) largest;
};

/* ---- the whole process ---------------------------------------------------------------------- */

/*
 * RSS, sorted by what it is for. The kernel's counters may lag behind its page tables, so the parts
 * and the sum may differ: `unexplained` is the rest, and may be negative.
 */
#define HW_RSS(X)                                                                                  \
    X(rss_bytes) /* the kernel's VmRSS */                                                          \
    X(glibc_heap_bytes)                                                                            \
    X(mmapped_chunk_bytes)                                                                         \
    X(stack_bytes)                                                                                 \
    X(file_bytes)                                                                                  \
    X(shmem_bytes)                                                                                 \
    X(other_anon_bytes)                                                                            \
    X(swap_bytes) /* VmSwap, which is no part of RSS */
struct hw_rss {
    bool known;
#define HW_RSS_FIELD_(f) uint64_t f;
    HW_RSS(HW_RSS_FIELD_)
#undef HW_RSS_FIELD_
    int64_t unexplained_bytes;
};

/* A setting of malloc's in the environment that the process was started with. Plain data, printable
 * ASCII; texts are cut to fit. */
struct hw_setting {
    char name[64]; /* "MALLOC_ARENA_MAX", "glibc.malloc.arena_max" */
    char value[64];
};

/* What limits the number of arenas, and how threads are spread over them. What is asked of the
 * system is unknown in a core. */
struct hw_limits {
    struct hw_maybe cores; /* that glibc would see: online ones */
    struct hw_maybe
        cgroup_cpus; /* CPU quota of the process's cgroup, rounded up; glibc ignores it. Unknown
                        also where there is none */
    struct hw_maybe arenas;       /* the most arenas there will be: see analysis/limits.c */
    struct hw_maybe idle_arenas;  /* arenas that no thread is attached to */
    struct hw_maybe most_threads; /* attached to one arena */
    HW_VEC(struct hw_setting) settings;
};

/* ---- verdict -------------------------------------------------------------------------------- */

#define HW_EVIDENCE_MAX 8
struct hw_evidence {
    const char *name; /* "free_resident_bytes"; static */
    struct hw_figure value;
    enum hw_unit unit;
};
/* A rule that fired. Plain data. */
struct hw_verdict {
    const char *rule;  /* "retention"; static */
    char text[512];    /* one or two sentences */
    char command[256]; /* what to apply, "" if nothing */
    char cost[160];    /* what applying it costs, "" if nothing */
    struct hw_evidence evidence[HW_EVIDENCE_MAX];
    size_t evidence_count;
};

/* ---- the rest of a report ------------------------------------------------------------------- */

/*
 * A thread in malloc's code: it was in one of its functions when the image was taken, as its calls
 * tell, or it waits for an arena. Arenas are -1 where none is known.
 */
#define HW_FUNCTION_NAME 48
struct hw_in_malloc {
    bool known;                      /* else it was elsewhere, or that cannot be told */
    hw_addr pc;                      /* of the thread, maybe in what malloc calls */
    char function[HW_FUNCTION_NAME]; /* of malloc's functions with a name, the innermost one, ... */
    char entry[HW_FUNCTION_NAME];    /* ... and the outermost: what was called; "" if unknown */
    int works_in;  /* the arena that its frames in malloc refer to; of several the one it holds */
    int waits_for; /* the arena for whose lock it waits in the kernel */
    int holds;     /* the arena that is locked, and that no other thread in malloc refers to */
};

struct hw_thread_row {
    int tid;
    int arena; /* -1: none yet */
    struct hw_maybe tcache_bytes, tcache_chunks;
    struct hw_in_malloc in_malloc;
};

/* What glibc had to say before it aborted the process; said even by one that goes on, if it caught
 * that. */
#define HW_LAST_WORDS 256
struct hw_abort {
    bool said;
    char message[HW_LAST_WORDS]; /* printable; cut to fit */
    int tid;                     /* the thread that is in abort(); 0 if none is known to be */
    int arena;                   /* that it worked in meanwhile; -1 if none is known */
};

/* The signal that ended a process, from its core. */
struct hw_ended {
    int signal;                    /* 0: none, or it is not known */
    int tid;                       /* the thread that it came to */
    struct hw_maybe code, address; /* si_code, si_addr */
};
/* "SIGSEGV"; NULL for one that has no name. */
const char *hw_signal_name(int signal);

/* mallinfo2(3), in its own order: X(field). */
#define HW_MALLINFO2(X)                                                                            \
    X(arena)                                                                                       \
    X(ordblks)                                                                                     \
    X(smblks)                                                                                      \
    X(hblks)                                                                                       \
    X(hblkhd)                                                                                      \
    X(usmblks)                                                                                     \
    X(fsmblks)                                                                                     \
    X(uordblks)                                                                                    \
    X(fordblks)                                                                                    \
    X(keepcost)
struct hw_mallinfo2 {
#define HW_MALLINFO2_FIELD_(f) uint64_t f;
    HW_MALLINFO2(HW_MALLINFO2_FIELD_)
#undef HW_MALLINFO2_FIELD_
};

/* The allocator's parameters, in the order of the JSON object: X(field). */
#define HW_PARAMS(X)                                                                               \
    X(trim_threshold)                                                                              \
    X(top_pad)                                                                                     \
    X(mmap_threshold)                                                                              \
    X(mmap_threshold_dynamic)                                                                      \
    X(arena_max)                                                                                   \
    X(arena_test)                                                                                  \
    X(n_mmaps)                                                                                     \
    X(n_mmaps_max)                                                                                 \
    X(mmapped_bytes)                                                                               \
    X(tcache_count)                                                                                \
    X(tcache_max_bytes)
struct hw_params {
#define HW_PARAM_FIELD_(f) struct hw_maybe f;
    HW_PARAMS(HW_PARAM_FIELD_)
#undef HW_PARAM_FIELD_
    /* Not printed as parameters, but needed by formulas. */
    struct hw_maybe max_n_mmaps, max_mmapped_bytes; /* malloc_stats(3) */
    struct hw_maybe thp_pagesize;                   /* unit of systrim() where not 0 */
    uint64_t heap_max_bytes;                        /* HEAP_MAX_SIZE */
    uint64_t min_chunk_bytes;                       /* MINSIZE */
    uint64_t chunk_alignment;                       /* MALLOC_ALIGNMENT */
};

/* An allocator besides the one the report is of. Plain data; texts are cut to fit. */
struct hw_other {
    const char *name;   /* "jemalloc"; static; NULL if it is not one that heapwalk knows */
    char version[32];   /* "5.3.0"; "" if unknown */
    char file[64];      /* the file it was found in, "libjemalloc.so.2" */
    char evidence[192]; /* how it was found */
    bool serves_malloc; /* the program's malloc() leads there */
};

/* "stopped", "running", "snapshot", "core". */
const char *hw_mode_name(enum hw_mode mode);

struct hw_report {
    struct {
        bool live;
        int pid;
        char *comm, *exe, *core;
        char *arch;
        unsigned word;
        uint64_t threads, page_size;
        struct hw_maybe start_ticks; /* when it was started, in clock ticks since the machine was */
        /* The kernel's sums for a live process (VmLck, RssAnon). What is locked in RAM, nothing
         * gives back. */
        struct hw_maybe locked_bytes, anon_bytes;
        bool some_locked; /* a part of it is, and which is not known: malloc_trim() may give back
                             less than is foretold */
        struct hw_ended ended;
    } target;
    struct {
        const char *name; /* "glibc"; static */
        char *version;    /* "2.36"; NULL if unknown */
        char *libc_path;
        char *libc_build_id;                      /* hex; NULL if unknown */
        const char *layout_source, *roots_source; /* static */
        hw_addr main_arena;
        bool unused; /* nothing was ever allocated from it */
        HW_VEC(struct hw_other) others;
    } allocator;
    struct {
        enum hw_mode mode;
        int64_t time_ns;                 /* since the epoch, when the walk began; 0: a core */
        struct hw_maybe pause_ns;        /* the longest time in one piece */
        struct hw_maybe stops;           /* how often it was stopped; unknown of a core */
        struct hw_maybe thread_pause_ns; /* snapshot: of one thread, when the copy was ended */
        bool left_alone;                 /* it stood still already, and nothing was done to it */
        uint64_t bytes_read, walk_ns;
        const char *sandbox; /* what confined us meanwhile; static; NULL: nothing */
    } method;
    struct hw_params params;
    struct hw_mallinfo2 mallinfo2;
    struct hw_figure totals[HW_METRICS_];
    struct hw_residency residency;
    const struct hw_pages *pages; /* where the target's pages are, for the time of the walk; NULL:
                                     unknown */
    struct hw_histogram histogram, in_use_histogram;
    struct hw_chunk_costs in_use_costs;
    struct hw_rss rss;
    struct hw_limits limits;
    size_t holes_wanted;               /* set before the walk, ... */
    int holes_arena;                   /* ... with it: only of this arena; -1: of any */
    hw_hole_vec holes;                 /* the largest first */
    HW_VEC(struct hw_verdict) verdict; /* the most important first */
    bool lists_known; /* bins[] of arenas are filled in: the walk was asked to follow the lists */
    HW_VEC(struct hw_arena) arenas;
    HW_VEC(struct hw_thread_row) threads;
    struct hw_abort abort;
    /* What was looked at for each invariant, and how often it did not hold: --check. */
    struct {
        bool done;
        struct hw_maybe examined[HW_INVARIANTS_];
        uint64_t broken[HW_INVARIANTS_];
        uint64_t missed[HW_INVARIANTS_]; /* places that could not be read: not examined in full */
    } check;
    HW_VEC(struct hw_finding) findings;    /* at most HW_FINDINGS_KEPT of each kind are kept ... */
    uint64_t finding_counts[HW_FINDINGS_]; /* ... but all are counted */
};
#define HW_FINDINGS_KEPT 32

/* ---- one address ---------------------------------------------------------------------------- */

/* What an address is (--whatis). Plain data; strings are cut to fit. */
struct hw_whatis {
    hw_addr address;
    bool in_block;
    struct hw_block block; /* where in_block */
    /* Where that is in an arena: what begins where it ends, and what ends where it begins. */
    struct hw_neighbour {
        enum {
            HW_NEIGHBOUR_NONE, /* the heap ends there */
            HW_NEIGHBOUR_LOST, /* what could not be made sense of */
            HW_NEIGHBOUR_BLOCK
        } kind;
        struct hw_block block; /* where it is one */
    } above, below;
    hw_addr heap; /* the heap it lies in; 0 for an mmapped chunk */
    /* In a heap, and in none of its blocks: between two of them, in what could not be made sense
     * of. */
    bool unaccounted;
    int arena;
    hw_addr lost_start, lost_end;
    const struct hw_finding *finding; /* of the report, about that; NULL if there is none */
    bool mapped;
    hw_addr map_start, map_end;
    char permissions[5]; /* "rw-p" */
    char path[256];      /* of the mapping, "" if anonymous */
    int stack_tid;       /* the thread whose stack this is, 0 if none */
    bool in_module;      /* `path` is an ELF file mapped here */
    char symbol[128];    /* nearest symbol at or below the address, "" if unknown */
    uint64_t symbol_offset;
};

/* NOMEM gives NULL. */
struct hw_report *hw_report_create(void);

/* The N of a glibc "2.N..."; -1 where the version is unknown or another. What malloc_info(3) prints
 * and when heap_trim() acts depends on it. */
int hw_report_glibc_minor(const struct hw_report *r);

/* MALLOC_ALIGNMENT, which chunk sizes are multiples of; where it is unknown, what nearly all
 * have. */
uint64_t hw_report_alignment(const struct hw_report *r);

/* How large a top is when glibc comes to give something of it back: fastbin chunks before it are
 * merged into it first. */
static inline uint64_t hw_merged_top_bytes(const struct hw_top *t)
{
    return t->merged_bytes ? t->merged_bytes : t->bytes;
}

/* True for -1 as mallopt() takes it, which means "never": no size is ever that large. */
static inline bool hw_is_never(const struct hw_report *r, uint64_t n)
{
    return n == (r->target.word == 4 ? UINT32_MAX : UINT64_MAX);
}

/* Whether free() asks for trim_threshold before it cuts the top of this arena: of thread arenas it
 * does since glibc 2.22 (malloc/arena.c, heap_trim). */
static inline bool hw_heeds_trim_threshold(const struct hw_report *r, const struct hw_arena *a)
{
    int minor = hw_report_glibc_minor(r);
    return a->kind == HW_ARENA_MAIN || minor < 0 || minor >= 22;
}

/*
 * Add a finding. Beyond HW_FINDINGS_KEPT of a kind it is only counted, and it is dropped (but
 * counted) when memory is out. `address` and `bytes` may be unknown.
 */
void hw_report_add(struct hw_report *r, enum hw_finding_kind kind, int arena,
                   struct hw_maybe address, struct hw_maybe bytes, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));

/* The same, of an invariant that does not hold. */
void hw_report_break(struct hw_report *r, enum hw_invariant invariant, enum hw_finding_kind kind,
                     int arena, struct hw_maybe address, struct hw_maybe bytes, const char *fmt,
                     ...) __attribute__((format(printf, 7, 8)));

static inline void hw_set(struct hw_figure *figures, enum hw_metric m, int64_t n)
{
    figures[m].known = true;
    figures[m].n = n;
}
static inline void hw_add(struct hw_figure *figures, enum hw_metric m, uint64_t n)
{
    figures[m].known = true;
    figures[m].n = (int64_t)((uint64_t)figures[m].n + n); /* damaged sizes may wrap, not trap */
}
static inline int64_t hw_get(const struct hw_figure *figures, enum hw_metric m)
{
    return figures[m].known ? figures[m].n : 0;
}
/* Whether anything was unreadable, inconsistent or skipped; what only changed while it was read is
 * none of these. */
bool hw_report_flawed(const struct hw_report *r);

/* What the allocator itself counts, where that is known, else what the walk found. */
static inline uint64_t hw_own_count(struct hw_maybe own, const struct hw_report *r,
                                    enum hw_metric found)
{
    return own.known ? own.n : (uint64_t)hw_get(r->totals, found);
}

#endif
