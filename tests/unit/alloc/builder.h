/*
 * Hand-built heaps: lay out an arena chunk by chunk, then let the real backend walk it.
 *
 *     struct builder *b = builder_create();
 *     build_used(b, 0x20);
 *     build_tcache(b, 0x40);
 *     build_top(b, 0x1000);
 *     struct result *r = builder_walk(b);
 *
 * The image is a buffer target: libc's first page and its data (main_arena, mp_, a thread's TLS
 * block), the memory from sbrk, and as many aligned heaps and anonymous mappings as asked for.
 * The layout is that of glibc 2.36 on x86-64, unless another one is named. Chunks are appended to
 * the current piece; lists are linked at the end.
 */
#ifndef TESTS_UNIT_ALLOC_BUILDER_H
#define TESTS_UNIT_ALLOC_BUILDER_H

#include "alloc/forms.h"

#include "base/vec.h"

/* Where the pieces of images with words of 8 bytes lie. */
#define SBRK_BASE  ((hw_addr)0x555500000000)
#define HEAP_BASE  ((hw_addr)0x7f0000000000)
#define HEAP_MAX   ((hw_addr)64 << 20)
#define MMAP_BASE  ((hw_addr)0x7e0000000000)
#define PIECE_SIZE ((size_t)256 << 10)
#define THREAD_ID  1234

struct builder;

struct result {
    struct hw_report *report;
    int code; /* of the walk */
    struct hw_error err;
    HW_VEC(struct hw_block) blocks;
    uint64_t bytes_read; /* by the walk */
    uint64_t image_bytes;
    size_t
        at_enough; /* blocks told when the rest did not need a target that stands still; 0: never */
};

struct builder *builder_create(void);
struct builder *builder_create_of(enum hw_machine_id machine, enum form_id id);
void builder_destroy(struct builder *b);
const struct form *builder_form(const struct builder *b);

/* Settings; before the first chunk unless said otherwise. */
void builder_sbrk_base(struct builder *b, hw_addr base);   /* an unaligned first break; 0: none */
void builder_page_size(struct builder *b, uint64_t bytes); /* instead of 4096 */
void builder_noncontiguous(struct builder *b);
void builder_system_extra(struct builder *b, int64_t bytes); /* make system_mem wrong by so much */
void builder_mmaps(struct builder *b, unsigned count, uint64_t bytes); /* mp_ counters; any time */
void builder_want_bins(struct builder *b);
void builder_want_check(struct builder *b);
void builder_leaves_out(struct builder *b); /* as cores by gdb do */
void builder_no_lists(struct builder *b);   /* bins are proven by the walk, not followed */

/* Append one chunk of gross size `size` to the current piece; its address is returned. */
hw_addr build_used(struct builder *b, uint64_t size);
hw_addr build_tcache(struct builder *b, uint64_t size);
hw_addr build_fast(struct builder *b, uint64_t size);
hw_addr build_free(struct builder *b, uint64_t size); /* in the bin of its size */
hw_addr build_unsorted(struct builder *b, uint64_t size);
/* Ends the piece and its arena; a size of 0 fills up to a page. */
hw_addr build_top(struct builder *b, uint64_t size);

/* The thread's tcache as glibc has it: in a chunk. Otherwise it is elsewhere. */
hw_addr build_tcache_struct(struct builder *b);
/* A mapping of `bytes` with one chunk of its own in it, counted by mp_. */
hw_addr build_mmapped(struct builder *b, uint64_t bytes);

/* Ends of pieces that do not end in top. */
void build_heap_fence(struct builder *b,
                      unsigned first); /* thread heap: size of the first header */
void build_main_fence(struct builder *b, unsigned headers); /* main: so many headers */
/* Foreign memory behind a main fence, filled with `fill`; chunks go on behind it. */
void build_gap(struct builder *b, uint64_t bytes, uint8_t fill);

/* A thread arena in a new heap; what follows is built into it. */
void build_arena(struct builder *b);
/* Another heap of the current thread arena. */
void build_heap(struct builder *b);
/* An anonymous mapping; main-arena pieces are appended to it. Its address. */
hw_addr build_mapping(struct builder *b);
/* Skip to the next page of the current mapping. */
void build_next_page(struct builder *b);
/* A mapping that no chunk is built into. Its address. */
hw_addr build_foreign(struct builder *b, size_t bytes);

/* Raw access to the image, to plant damage. After builder_link() lists are in place. */
void builder_poke(struct builder *b, hw_addr address, uint64_t word);
uint64_t builder_peek(struct builder *b, hw_addr address);
hw_addr builder_here(struct builder *b); /* where the next chunk goes */
hw_addr builder_main_arena(struct builder *b);
hw_addr builder_params(struct builder *b); /* mp_ */
hw_addr builder_thread_pointer(struct builder *b);
void builder_link(struct builder *b);
/* After that: make the tcache's count of chunks of this size wrong by so many. */
void builder_tcache_count(struct builder *b, uint64_t size, int n);
/* Or take them all out of it. */
void builder_tcache_empty(struct builder *b, uint64_t size);

/*
 * A target that runs while it is read: after each read of the walk `fn` is told what was read, and
 * may change the image, and *moving.
 */
typedef void (*builder_read_fn)(struct builder *b, hw_addr addr, size_t len, _Atomic bool *moving);
void builder_runs(struct builder *b, bool moving, builder_read_fn fn);
/* The walk has come so far. */
bool builder_lists_read(const struct builder *b);
/* What the listener says when it is asked whether it knows an arena. */
typedef bool (*builder_known_fn)(const struct hw_arena *a);
void builder_knows(struct builder *b, builder_known_fn fn);
/* In which order it wants those that it does not know, and how many of them at once. When these are
 * told, the target runs. */
typedef size_t (*builder_schedule_fn)(unsigned *arenas, size_t count);
void builder_schedules(struct builder *b, builder_schedule_fn fn);

/* Link (once), walk, analyse. Roots and layout are given. */
struct result *builder_walk(struct builder *b);
/* The same, but the backend has to find roots, layout and thread-local storage in memory alone. */
struct result *builder_open_and_walk(struct builder *b);
void result_destroy(struct result *r);
/* What the backend says without a walk. */
bool builder_busy(struct builder *b);

/* The image is a core that was written without these bytes; so up to LACKS_MAX times. */
#define LACKS_MAX 4
void builder_lacks(struct builder *b, hw_addr start, hw_addr end);

/* The block at an address; a static one of state HW_STATES_ if there is none. */
const struct hw_block *block_at(const struct result *r, hw_addr address);
/* A figure of arena `arena`, -1 for the totals. */
int64_t figure(const struct result *r, int arena, enum hw_metric m);
/* How many findings of a kind there are. */
uint64_t findings(const struct result *r, enum hw_finding_kind kind);

#endif
