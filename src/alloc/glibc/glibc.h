/*
 * The backend for glibc's malloc (ptmalloc), 2.17 to 2.43.
 *
 * From roots to blocks, one file per step:
 *
 *     roots*.c   main_arena, mp_, tcache: where they are, how they are laid out     (target runs)
 *     ---------------------------------------------------------------------------- (target frozen)
 *     params.c   mp_ -> parameters, HEAP_MAX_SIZE
 *     arenas.c   the ring of arenas
 *     heaps.c    the heaps of thread arenas, through heap_info
 *     verify.c   is this really an arena? called before anything is believed
 *     caches.c   thread_arena and tcache of each thread
 *     tcache.c   \  free lists: a chunk that a tcache or fastbin holds looks in use to its
 *     fastbin.c   > neighbour, so these are read before the linear walk (links.c: how they are
 *     bins.c     /  linked; follow.c: many at a time; bins only where the sink wants them)
 *     regions.c  which pieces of memory the main arena consists of
 *     spans.c    where to look for memory that no list names
 *     order.c    which arenas are walked, and when
 *     walk.c     the linear walk: HERE THE STATE OF EVERY CHUNK IS DECIDED
 *     plain.c    the same for chunks that are nothing special: nearly all of the time goes into it
 *     proof.c    the linear walk met what bins hold, and nothing else
 *     resync.c   where chunks go on behind a place where they do not fit together
 *     rescue.c   chunks of tcaches that their lists do not lead to any more
 *     excuse.c   whose fault it is not: who was just changing an arena
 *     strays.c   arenas and heaps that no link leads to any more
 *     mend.c     what a damaged heap_info should say
 *     absent.c   what an incomplete core has not
 *     culprit.c  which of the chunks there is the damaged one
 *     check*.c   what is looked at only where all invariants are checked
 *     motion.c   what if the target runs while it is read?
 *     mmapped.c  chunks with a mapping of their own
 *     act*.c     threads that stand in malloc (code.c: which code that is)
 *     words.c    what glibc says before it aborts a process
 *
 * What an arena is made of:
 *
 *     main arena, contiguous        [sbrk_base ........ chunks ........ top]  = system_mem
 *       with foreign sbrk           [ ... chunks | fence ][ gap ][ chunks ... top]
 *     main arena, non-contiguous    several such pieces, most from mmap; no list of them
 *     thread arena, first heap      [heap_info][malloc_state][ chunks ... | fence ]
 *       later heaps                 [heap_info][ chunks ........................ top]
 *
 * Each piece is a struct region. The bytes of a region are its head (overhead), then chunks without
 * a gap up to the top chunk or to a fence.
 */
#ifndef HW_ALLOC_GLIBC_GLIBC_H
#define HW_ALLOC_GLIBC_GLIBC_H

#include "alloc/allocator.h"
#include "alloc/glibc/chunk.h"
#include "alloc/glibc/fields.h"
#include "alloc/glibc/sweep.h"
#include "alloc/glibc/table.h"
#include "target/seeker.h"
#include "target/window.h"

#include <stdatomic.h>
#include <string.h>

extern const struct hw_allocator hw_allocator_glibc;

/* What is known before the freeze. Filled by glibc_find_roots(). */
struct glibc {
    struct hw_image image;
    struct hw_layout layout;
    struct chunk_rules rules;
    hw_addr main_arena, mp;
    hw_addr curbrk; /* address of libc's copy of the program break; 0 if unknown */
    bool has_tcache, has_thread_arena;
    int64_t tcache_offset;       /* &tcache - thread pointer */
    int64_t thread_arena_offset; /* &thread_arena - thread pointer */
    const char *roots_source, *layout_source;
    char *version, *libc_path, *libc_build_id;
    struct hw_module *mod;   /* malloc lives in it */
    bool is_static;          /* that is the executable */
    glibc_era_set eras;      /* layout from the table: those that it may be; else empty */
    bool locals_known;       /* tcache_offset and thread_arena_offset are from symbols */
    bool tcaches_unknown;    /* there may be tcaches, but where is not known */
    struct glibc_acts *acts; /* NULL: nobody asks what threads do */
    hw_addr abort_msg;       /* of the pointer __abort_msg; 0 if unknown */
    char doubt[256];         /* two ways of finding the roots disagree: how; "" if they do not */
};

/* NO_HEAP, NO_SYMBOLS, UNSUPPORTED, NOMEM. On success release with glibc_release_roots(). */
int glibc_find_roots(struct glibc *g, struct hw_error *err);
/* The first step of it: which module malloc lives in, and of which version it is, from files alone.
 * *why says what stood in the way of its file. NO_HEAP, NOMEM. */
int glibc_identify(struct glibc *g, struct hw_error *why, struct hw_error *err);
void glibc_foresee(const struct hw_image *image, struct hw_dryrun_allocator *ret);
/* What only values can tell, at the beginning of a walk, when the target stands: where no symbols
 * say so, the thread-local pointers and the form of tcaches. NOMEM. */
int glibc_settle_roots(struct glibc *g, struct hw_report *report, struct hw_error *err);
/* Where tcaches are not known, a thread's share of them is not 0 but unknown. */
void glibc_forget_tcaches(struct hw_report *report);
void glibc_release_roots(struct glibc *g);
/* The module that is the C library, or NULL. */
struct hw_module *glibc_find_libc(const struct hw_image *image);

/*
 * act.c: what threads were doing in malloc. Before the freeze, find out which code is malloc's
 * (NOMEM); while the target stands, once arenas, threads and last words are in the report, keep
 * what tells of the threads that may be there; afterwards find out where they are, and who holds
 * which arena.
 */
int glibc_open_acts(struct glibc *g, struct hw_error *err);
void glibc_close_acts(struct glibc *g);
struct walk;
void glibc_take_acts(struct walk *w);
void glibc_tell_acts(struct glibc *g, struct hw_report *report);
/* While the target stands: one of its threads, if they are few, is in malloc. */
bool glibc_is_acting(struct glibc *g);

/* excuse.c: notes on arenas that somebody was changing: those that are locked; those of threads
 * that were in malloc, without a lock, once that has been told. */
void glibc_excuse_locked(const struct hw_target *t, struct hw_report *r);
void glibc_excuse_acts(const struct hw_target *t, struct hw_report *r);

/* words.c: glibc's last words, into the report. */
void glibc_read_last_words(struct walk *w);

/* A piece of memory that an arena's chunks lie in. */
struct region {
    hw_addr start, end; /* as counted in system_mem */
    hw_addr first;      /* the first chunk; start..first is overhead */
    bool last_heap;     /* thread arenas: the heap that holds the top chunk */
    hw_addr last_fence; /* thread arenas, other heaps: where the last header stands; else 0 */
    bool guessed;       /* thread arenas: its size is damaged, and it ends here at the latest */
};

/* A chunk that a tcache or a fastbin holds: 16 bytes, as there may be millions. */
struct cached {
    hw_addr address;
    union {
        struct {
            int32_t tid; /* 0 for a fastbin */
            uint16_t bin;
            uint8_t state; /* HW_CACHED or HW_PARKED */
            bool seen;     /* by the linear walk */
        };
        uint64_t candidate; /* sweep.c: state is HW_USED */
    };
};

/* Free chunks summed up so that two ways of counting them can be compared without remembering them.
 */
struct tally {
    uint64_t chunks, bytes;
    uint64_t digest; /* sum of a hash of address and size: equal sets have equal digests */
};

/* What did not fit together, maybe just because the target runs while it is read. */
struct motion {
    uint64_t places, bytes;
};

struct arena {
    hw_addr address;
    struct hw_object state; /* malloc_state */
    hw_addr top;            /* 0 if never used */
    uint64_t system_bytes;
    bool main, contiguous;
    bool top_is_bad; /* then `top` is 0 */
    bool distrusted; /* its system_mem is absurd: what was found is taken instead */
    HW_VEC(struct region) regions;
    HW_VEC(hw_addr) unsorted;    /* sorted; only where the sink wants bins */
    struct tally listed, walked; /* binned chunks: by the lists, by the linear walk, ... */
    struct tally bad;            /* ... and those that it found to be bad, but that are in a bin */
    uint64_t edges;              /* of the links of the chunks walked: see proof.c */
    bool edges_missing;          /* some links could not be read */
    bool absent;                 /* the core does not have all of its chunks, or heaps */
    size_t last;                 /* thread arenas: the region that was the last heap, ... */
    size_t more;                 /* ... and how many heaps have been found since the first look */
    uint64_t lost;               /* bytes of its regions that no block has */
    uint64_t top_bytes;          /* that were given out as top, ... */
    uint64_t cached_bytes;       /* ... and as chunks of tcaches and fastbins */
    /* See motion.c. */
    struct motion motion;
    bool raced; /* the target was running before the walk of this arena ended */
    bool moved;
    struct snapshot {
        uint64_t digest; /* of what in malloc_state tells of chunks */
        hw_addr top;
        uint64_t system_bytes;
        bool locked;
    } before;
    uint64_t cached_digest; /* of the chunks of tcaches and fastbins that lie in it */
    uint64_t cached_later;  /* the same, when all had been walked */
};

/* How the links of tcache and fastbin lists are stored (safe-linking, glibc 2.32+). */
enum link_kind { LINK_PLAIN, LINK_MANGLED };

/* A list of a tcache that broke, or leads to what is missing: so many of its chunks were not found
 * in it. */
struct lost_list {
    int32_t tid;
    size_t row; /* of the thread, in the report */
    unsigned bin;
    uint64_t missing, found;
    bool absent; /* as the core does not have them */
    hw_addr cache;
    uint64_t key; /* of the last chunk that was; not 0 only if there was one */
};

/* Where in the report a thread is. */
struct row_of {
    int32_t tid;
    size_t row;
};

/* [start, end) */
struct span {
    hw_addr start, end;
};

#define BATCH     256
#define KEPT_BACK 8 /* of them */

/* A part of memory that belongs to an arena. */
struct place {
    hw_addr start, end;
    unsigned arena;
};

/* What leads to memory that the core does not have. */
struct lead {
    hw_addr to;
    enum hw_invariant of; /* what could not be examined for it */
    int arena;            /* -1: none in particular */
};

#define UNLINKED_MAX 64

/* One walk of a frozen target, or of one that moves. */
struct walk {
    const struct glibc *g;
    struct hw_target *target;
    const struct hw_layout *layout;
    struct chunk_rules rules;
    const struct hw_sink *sink;
    struct hw_report *report;
    struct hw_object mp;
    hw_addr sbrk_base, brk; /* brk: the program break; 0 if unknown */
    uint64_t heap_max;      /* HEAP_MAX_SIZE */
    struct hw_window window;
    struct hw_window scan; /* for resync.c, once it is needed */
    struct hw_seeker seeker;
    struct sweep sweep;
    uint64_t looks;     /* budget of resync.c */
    uint64_t bin_steps; /* spent by bins.c, ... */
    uint64_t bin_flaws; /* ... what it found, and whether it came to no end */
    bool bins_given_up;
    hw_addr unlinked[UNLINKED_MAX]; /* chunks met in bins whose own links are both wrong: ... */
    unsigned unlinked_count;        /* ... the first of them */
    unsigned cuts;                  /* budget of links.c */
    uint64_t gap_steps;             /* spent by regions.c behind foreign sbrk gaps */
    enum link_kind link;
    int64_t link_votes;     /* above 0: mangled */
    uint64_t link_nulls;    /* votes for the end of a plain list */
    HW_VEC(hw_addr) caches; /* tcaches already read */
    HW_VEC(struct row_of) rows;
    HW_VEC(struct lost_list) lost;
    struct hw_block last;          /* of those handed out, where they are checked */
    uint64_t blocks;               /* so many, but for overhead */
    uint64_t key, key_votes;       /* of most chunks in tcaches */
    bool keys_are_caches;          /* the address of their tcache instead */
    HW_VEC(struct span) stretches; /* rows of neighbouring private anonymous mappings, sorted */
    HW_VEC(struct span) occupied;  /* by regions of arenas, sorted */
    uint64_t private_bytes;        /* in all stretches: arenas cannot hold more, all together */
    HW_VEC(struct arena) arenas;   /* same order as report->arenas */
    HW_VEC(struct cached) cached;  /* sorted by address once all lists are read */
    HW_VEC(struct place) places;   /* of all arenas, sorted; once all regions are known */
    HW_VEC(struct lead) leads;     /* some of them */
    HW_VEC(struct span) unseen;    /* by the walk of an arena, as something there is missing */
    bool regions_absent;           /* there may be more: not all memory of arenas was found */
    struct motion loose;           /* of what belongs to no arena */
    HW_VEC(unsigned) order;        /* the arenas that are to be walked, ... */
    size_t first;                  /* ... so many of them before mmapped chunks: see order.c */
    struct hw_block batch[BATCH];  /* to be handed to the sink, of one arena */
    size_t batched;
    bool stopped; /* the sink asked to stop */
};

/* ---- steps of a walk; each fails only where the whole walk must (NOMEM, GONE, CORRUPT) ----------
 */

/* params.c */
int glibc_read_params(struct walk *w, struct hw_error *err);
/* hw_object_read() of mp_ or main_arena; the error names them. */
int glibc_read_root(struct walk *w, unsigned strct, hw_addr address, struct hw_object *ret,
                    struct hw_error *err);
/* How many chunks with a mapping of their own there are by now, if the target moves. */
void glibc_count_mmapped(struct walk *w);

#define MAX_ARENAS ((size_t)1 << 16)
/* arenas.c: the ring, with heaps and rows of the report. At least the main arena, or an error. */
int glibc_read_arenas(struct walk *w, struct hw_error *err);
/* What thread arenas have from the kernel, all together. */
uint64_t glibc_thread_bytes(const struct walk *w);
/* Index of the arena at this address, -1 if there is none. */
int glibc_arena_index(const struct walk *w, hw_addr arena_address);
/* The state of the thread arena at this address; false, and why, if there is none. To be released
 * in any case. */
bool glibc_read_thread_arena(struct walk *w, hw_addr address, struct hw_object *state,
                             struct hw_error *why);
/* Add the arena of this state, which is taken over, with its heaps. */
int glibc_add_thread_arena(struct walk *w, struct hw_object *state, struct hw_error *err);

/* heaps.c: all heaps that the top of a thread arena leads to. */
int glibc_read_heaps(struct walk *w, unsigned arena, struct hw_error *err);
/* Add a heap, with this heap_info, to a thread arena. */
int glibc_add_heap(struct walk *w, unsigned arena, hw_addr heap, const struct hw_object *info,
                   bool guessed, struct hw_error *err);

/* strays.c: find arenas and heaps that nothing leads to. `why`: what is wrong with the ring behind
 * the arena `last`; NULL if it is closed. That is reported. */
int glibc_find_strays(struct walk *w, unsigned last, const char *why, struct hw_error *err);

/* verify.c: CORRUPT if main_arena is none. */
int glibc_verify_main_arena(struct walk *w, const struct hw_object *state, struct hw_error *err);
/* Report members of an arena that cannot be right, and clear those that nobody may use. */
void glibc_check_arena(struct walk *w, struct arena *a, unsigned index);
/* The arena's top cannot be where it says, and is looked for: report that, once. */
void glibc_distrust_top(struct walk *w, struct arena *a, unsigned index, const char *where);
/* Whether an arena may have so much system_mem. */
bool glibc_is_possible(const struct walk *w, uint64_t system_bytes);
/* heap_info at `heap` belongs to `arena` and its sizes are possible. *info is read, if it can be;
 * release it. */
bool glibc_heap_is_sane(struct walk *w, hw_addr heap, hw_addr arena, struct hw_object *info);
/* A page size, or a huge one, is what heap_info says of it, if it says anything. */
bool glibc_is_page_size(const struct walk *w, const struct hw_object *info);
/* Most of the bins of this malloc_state point to themselves or to chunks that point back. *sane of
 * *all. */
bool glibc_has_bins(struct walk *w, const struct hw_object *state, unsigned *sane, unsigned *all);

/* mend.c: something leads to a heap of this arena at `heap`, but *info, its heap_info, cannot be
 * right: report which members, and make them so in *info. *guessed: the size is the most that it
 * can be. False if no heap of this arena seems to be there. */
bool glibc_mend_heap(struct walk *w, unsigned arena, hw_addr heap, struct hw_object *info,
                     bool *guessed);
/* When all heaps of the arena are known: what system_mem tells of a size that was guessed. */
void glibc_settle_guess(struct walk *w, unsigned arena);

/* caches.c: find out how links are stored (w->link), from the structs or from the heads of
 * lists. */
int glibc_decide_links(struct walk *w, struct hw_error *err);
/* tcache.c, fastbin.c, bins.c: each list is followed; what tcaches and fastbins hold is added to
 * w->cached, what bins hold is summed up. */
int glibc_read_tcaches(struct walk *w, struct hw_error *err);
/* Whether this chunk was met in a bin though its own links do not tell of it. */
bool glibc_is_unlinked(const struct walk *w, hw_addr chunk);
/* Whether a chunk of this size belongs to a list of tcaches. */
bool glibc_tcache_takes(const struct chunk_rules *r, uint64_t size, unsigned list);
int glibc_read_fastbins(struct walk *w, unsigned arena, struct hw_error *err);
int glibc_read_bins(struct walk *w, unsigned arena, struct hw_error *err);
/* The bin that a free chunk is in. Of those in the unsorted one only where the sink wants bins. */
int16_t glibc_bin_of(const struct walk *w, const struct arena *a, hw_addr chunk, uint64_t size);
/* With which size a chunk in a bin is summed up; 0 if it says that it is larger than its arena. */
uint64_t glibc_listed_size(const struct walk *w, unsigned arena, struct chunk_header h);
/* rescue.c: what is known of the keys of chunks in tcaches: that of an intact chunk; ... */
void glibc_vote_key(struct walk *w, uint64_t key, hw_addr cache);
/* ... and of a list that broke. NOMEM. */
int glibc_note_lost(struct walk *w, const struct lost_list *l, struct hw_error *err);
/* Blocks that are in use, but for those that have a key, and belong to a list that broke. */
void glibc_rescue(struct walk *w, struct hw_block *b, size_t count);
void glibc_report_rescued(struct walk *w);
/* check.c */
void glibc_check_blocks(struct walk *w, const struct hw_block *b, size_t count);
/* proof.c: the bins of an arena that was walked hold what the walk met, or a finding tells. */
int glibc_prove_bins(struct walk *w, unsigned arena, struct hw_error *err);

/* While the target runs: how often a list that breaks is followed anew. */
#define LIST_TRIES 3

/* What is wrong with a list; NULL: nothing. */
struct flaw {
    const char *what;
    hw_addr at; /* the chunk, or the head of the list, that has what is wrong */
    hw_addr to; /* where its link leads to; 0: that does not matter */
};

/* links.c: how links are stored, if the structs tell; else let the link of a list's first chunk,
 * stored at its user pointer `at`, vote on that, then decide. Links lead to `distance` bytes before
 * user pointers. */
bool glibc_know_links(struct walk *w);
void glibc_vote_link(struct walk *w, hw_addr at, unsigned distance);
void glibc_count_votes(struct walk *w);
/* The link stored at `at`, whose bytes are `word`, as an address; 0 ends a list. */
hw_addr glibc_next_link(const struct walk *w, hw_addr at, const uint8_t *word);
/* Add to w->cached. *full: not added, as there are more than can be. NOMEM. */
int glibc_remember(struct walk *w, const struct cached *c, bool *full, struct hw_error *err);
/* What w->cached has from `first` on of the list that `of` is in stands there in its order, and its
 * last link leads back to `chunk`: keep each chunk of it once. Returns the first one that was met
 * twice; what was dropped is summed up. */
hw_addr glibc_cut_loop(struct walk *w, size_t first, const struct cached *of, hw_addr chunk,
                       struct tally *dropped);
/* All threads are in the report: index them for what follows, which may take back what a tcache
 * gave. NOMEM. */
int glibc_index_rows(struct walk *w, struct hw_error *err);
/* Sort w->cached by address and report what is in it twice. */
void glibc_sort_cached(struct walk *w);
/* Index of the first cached chunk at or above `address`. */
size_t glibc_cached_from(const struct walk *w, hw_addr address);
/* Report the cached chunks that the linear walk did not meet. */
void glibc_report_unseen(struct walk *w);

/* spans.c: what may be malloc's, and what is known to be. */
int glibc_find_stretches(struct walk *w, struct hw_error *err);
/* The end of the stretch that contains `addr`; 0 if none does. */
hw_addr glibc_stretch_end(const struct walk *w, hw_addr addr);
/* What may have been left out of the core between `start` and `end`, or the stretch's (end 0), was
 * memory. */
void glibc_count_left_out(struct walk *w, hw_addr start, hw_addr end);
/* Remember that a region lies there. */
int glibc_occupy(struct walk *w, hw_addr start, hw_addr end, struct hw_error *err);
/* How far a region that begins at `start` can reach, without bytes of another one, or of no memory
 * as far as that is known; `start` if that belongs to another. */
hw_addr glibc_room_end(const struct walk *w, hw_addr start);
/* The next part of a stretch, at or above *from, that no region occupies; *from moves behind it.
 * False when there is no more. */
bool glibc_next_unknown(const struct walk *w, hw_addr *from, struct span *ret);
/* The first page start at or above `addr` that can be read and has data; `end` if there is none
 * below it, or when the budget, one for each page passed over, is spent. */
hw_addr glibc_next_page(struct walk *w, hw_addr addr, hw_addr end, uint64_t *budget);

/* regions.c: the pieces of the main arena. */
int glibc_find_main_regions(struct walk *w, struct hw_error *err);
/* Where malloc's memory resumes behind a foreign sbrk gap that begins at `gap`; 0 if not found. */
hw_addr glibc_resume_after_gap(struct walk *w, const struct arena *a, hw_addr gap, hw_addr end);

/* The end of the fence headers that begin at p in the main arena; 0 if that is no fence. */
hw_addr glibc_main_fence_end(struct walk *w, hw_addr p, hw_addr end);

/* resync.c: the first place above `from` in a region of `a` where chunks seem to go on; `end` if
 * there is none. */
hw_addr glibc_resync(struct walk *w, const struct arena *a, const struct region *r, hw_addr from,
                     hw_addr end);
/* Does a chunk begin at p, as far as can be told? */
bool glibc_is_chain(struct walk *w, const struct arena *a, const struct region *r, hw_addr p,
                    hw_addr end);

/* The same, where a few chunks in a row are enough. */
bool glibc_may_be_chain(struct walk *w, const struct arena *a, const struct region *r, hw_addr p,
                        hw_addr end);

/* Chunks seem to begin inside the block b, which was taken for one, and to go on behind its end and
 * behind `at`, where none could be: the first of them, or 0. Or, if `through` is not 0, to have
 * that one among them. */
hw_addr glibc_chain_inside(struct walk *w, const struct arena *a, const struct region *r,
                           const struct hw_block *b, hw_addr at, hw_addr through);

/* absent.c: the core should have `len` bytes at `addr`, which may be malloc's, and has not. */
bool glibc_is_absent(const struct walk *w, hw_addr addr, uint64_t len);
/* What leads to `to`, which is absent, was not examined in full. */
void glibc_leave_out(struct walk *w, enum hw_invariant invariant, int arena, hw_addr to);
/* A list leads to this chunk, of which `len` bytes were wanted: true if it is absent, which is no
 * damage then, and noted as above. */
bool glibc_leads_out(struct walk *w, enum hw_invariant invariant, int arena, hw_addr chunk,
                     uint64_t len);
/* The heap_info there, or that and the arena behind it, is not all there. */
bool glibc_is_absent_heap(const struct walk *w, hw_addr heap);
bool glibc_is_absent_arena(struct walk *w, hw_addr arena);
/* The walk of an arena could not read what is at `at`, and saw nothing of [from, to). */
void glibc_lose_sight(struct walk *w, unsigned arena, hw_addr at, hw_addr from, hw_addr to);
/* When all were walked: that none met this chunk may be for that. Those are sorted first. */
void glibc_sort_unseen(struct walk *w);
bool glibc_may_be_unseen(struct walk *w, hw_addr chunk);
/* The links of the free chunk at p, or one of its neighbours in the bin, are absent. */
bool glibc_is_cut_off(struct walk *w, hw_addr p);
/* Readable memory outside of arenas that the core does not have. */
struct absent {
    uint64_t bytes;
    uint64_t reach; /* with all that lies behind it in the same mappings */
};
struct absent glibc_absent_elsewhere(const struct walk *w);
/* Report what was led to and lies in no arena. */
void glibc_report_absent(struct walk *w);

/* motion.c */
static inline bool glibc_moving(const struct walk *w)
{
    return atomic_load_explicit(&w->target->moving, memory_order_relaxed);
}
/* Something does not fit, by so many bytes as far as is known. True if that may be because the
 * target is running: it is noted down, and must not be reported as damage. `a`: of this arena, or
 * NULL. */
bool glibc_excuse(struct walk *w, struct arena *a, uint64_t bytes);
/* Read the arena's state anew, and where the region ends that is being walked; top may have moved,
 * and heaps may have been added behind those known. `walked`: no region ends before that. */
int glibc_read_again(struct walk *w, unsigned arena, size_t region, hw_addr walked,
                     struct hw_error *err);
/* Before the first arena is walked: what belongs to which. */
int glibc_prepare_motion(struct walk *w, struct hw_error *err);
/* Before and after the walk of one. */
int glibc_begin_arena(struct walk *w, unsigned arena, struct hw_error *err);
void glibc_end_arena(struct walk *w, unsigned arena);
/* When all were walked: which of them moved. */
int glibc_settle_motion(struct walk *w, struct hw_error *err);
/* Their bytes, all together. */
uint64_t glibc_sum_of_heaps(const struct arena *a);
/* When all heaps of a thread arena are known: are there as many bytes as it says? */
void glibc_check_heaps(struct walk *w, unsigned arena);
/* Heaps that the arena has got since, and the end of the one that is region `region`. */
int glibc_refresh_heaps(struct walk *w, unsigned arena, size_t region, struct hw_error *err);

/* walk.c: of one arena. */
int glibc_walk_regions(struct walk *w, unsigned arena, struct hw_error *err);

/* order.c: mmapped chunks come in between. */
int glibc_walk_first_arenas(struct walk *w, struct hw_error *err);
int glibc_walk_other_arenas(struct walk *w, struct hw_error *err);

/* mmapped.c */
int glibc_walk_mmapped(struct walk *w, struct hw_error *err);

/* ---- small things shared by the steps
 * ------------------------------------------------------------ */

/* Hand what was collected to the sink, when enough is there or what comes is of another arena. */
static inline void glibc_flush(struct walk *w)
{
    if (w->lost.count)
        glibc_rescue(w, w->batch, w->batched);
    if (w->sink->want_check)
        glibc_check_blocks(w, w->batch, w->batched);
    if (w->batched && !w->stopped && w->sink->blocks(w->sink->ctx, w->batch, w->batched) != 0)
        w->stopped = true;
    w->batched = 0;
}

/* The same, but for the last ones, which may have to be taken back (culprit.c). */
static inline void glibc_flush_most(struct walk *w)
{
    struct hw_block last[KEPT_BACK];
    size_t first = w->batched - KEPT_BACK;
    memcpy(last, &w->batch[first], sizeof last);
    w->batched = first;
    glibc_flush(w);
    memcpy(w->batch, last, sizeof last);
    w->batched = KEPT_BACK;
}

/* A block for the sink. */
static inline void glibc_emit(struct walk *w, const struct hw_block *b)
{
    w->batch[w->batched++] = *b;
    if (w->batched == BATCH)
        glibc_flush_most(w);
}

/* The arena's note of its top is wrong, and the header at p looks like that of the real one: all
 * that is left of the region is its own. */
static inline bool glibc_is_old_top(const struct arena *a, hw_addr p, struct chunk_header h,
                                    hw_addr end)
{
    return a->top_is_bad && h.raw == ((end - p) | CHUNK_P);
}

static inline void tally_add(struct tally *t, hw_addr address, uint64_t size)
{
    /* A multiplicative hash; sums of it commute, so order does not matter. */
    uint64_t x = (address ^ (size << 40)) * 0x9e3779b97f4a7c15u;
    t->chunks++;
    t->bytes += size;
    t->digest += x ^ (x >> 29);
}

/* A hash of the link between two neighbours in a bin. Sums of it commute, as those of
 * tally_add(). */
static inline uint64_t edge(hw_addr from, hw_addr to)
{
    uint64_t x = from * 0x9e3779b97f4a7c15u + to * 0xc2b2ae3d27d4eb4fu;
    x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93u;
    return x ^ (x >> 29);
}

/* Notices when following links has come back to where it was (Brent): memory of two words. */
struct loop_guard {
    hw_addr mark;
    uint64_t steps, limit;
};
static inline bool loop_guard_repeats(struct loop_guard *guard, hw_addr here)
{
    if (guard->limit && here == guard->mark)
        return true;
    if (guard->steps++ == guard->limit) {
        guard->mark = here;
        guard->limit = guard->limit ? guard->limit * 2 : 1;
    }
    return false;
}

/* list links: the target of the link stored as `word` at address `at`. */
static inline hw_addr link_decode(enum link_kind kind, hw_addr at, uint64_t word)
{
    return kind == LINK_MANGLED ? (at >> 12) ^ word : word;
}

#endif
