/*
 * Reports and blocks made by hand, for tests of analyses and renderers.
 */
#ifndef HW_TESTS_MODEL_SAMPLE_H
#define HW_TESTS_MODEL_SAMPLE_H

#include <criterion/criterion.h>
#include <string.h>

#include "model/model.h"

#define KIB ((uint64_t)1024)
#define MIB (1024 * KIB)

/* An empty report of a 64-bit glibc 2.36 process with default parameters. */
static inline struct hw_report *sample_report(void)
{
    struct hw_report *r = hw_report_create();
    cr_assert_not_null(r);
    r->target.live = true;
    r->target.pid = 4711;
    r->target.comm = strdup("victim");
    r->target.exe = strdup("/usr/bin/victim");
    r->target.arch = strdup("x86_64");
    r->target.word = 8;
    r->target.threads = 1;
    r->target.page_size = 4096;
    r->allocator.name = "glibc";
    r->allocator.version = strdup("2.36");
    r->allocator.libc_path = strdup("/lib/x86_64-linux-gnu/libc.so.6");
    r->allocator.libc_build_id = strdup("0123456789abcdef");
    r->allocator.layout_source = "dwarf";
    r->allocator.roots_source = "symtab";
    r->allocator.main_arena = 0x7f0000000c60;
    r->lists_known = true;
    r->method.mode = HW_MODE_STOPPED;
    r->method.pause_ns = hw_known(1234567);
    r->method.bytes_read = 135168;
    r->method.walk_ns = 1000000;
    r->method.sandbox = "seccomp";
    struct hw_params *p = &r->params;
    p->trim_threshold = hw_known(128 * KIB);
    p->top_pad = hw_known(0);
    p->mmap_threshold = hw_known(128 * KIB);
    p->mmap_threshold_dynamic = hw_known(1);
    p->arena_max = hw_known(0);
    p->arena_test = hw_known(8);
    p->n_mmaps = hw_known(0);
    p->n_mmaps_max = hw_known(65536);
    p->mmapped_bytes = hw_known(0);
    p->tcache_count = hw_known(7);
    p->tcache_max_bytes = hw_known(1032);
    p->max_n_mmaps = hw_known(0);
    p->max_mmapped_bytes = hw_known(0);
    p->thp_pagesize = hw_known(0);
    p->heap_max_bytes = 64 * MIB;
    p->min_chunk_bytes = 32;
    return r;
}

/* Add an arena with `system` bytes and a top of `top` bytes at its end: the main arena first, a brk
 * heap at 0x10000, then thread arenas of one heap each. */
static inline struct hw_arena *sample_arena(struct hw_report *r, uint64_t system, uint64_t top)
{
    unsigned index = (unsigned)r->arenas.count;
    hw_addr start = index ? 0x7f0000000000 - index * 64 * MIB : 0x10000;
    struct hw_arena a = {
        .index = index,
        .address = index ? start + 48 : r->allocator.main_arena,
        .kind = index ? HW_ARENA_THREAD : HW_ARENA_MAIN,
        .contiguous = index == 0,
        .attached_threads = hw_known(1),
        .top = {.address = start + system - top, .bytes = top},
        .granule = 4096,
        .max_system_bytes = system,
    };
    struct hw_heap heap = {.address = start, .bytes = system};
    if (index)
        heap.mprotect_bytes = hw_known(system);
    else
        a.brk = hw_known(start + system);
    cr_assert(hw_vec_push(&a.heaps, heap));
    hw_set(a.figures, HW_M_SYSTEM_BYTES, (int64_t)system);
    cr_assert(hw_vec_push(&r->arenas, a));
    return &r->arenas.data[index];
}

/* What bins and fastbins hold, as a walk that met the chunks would have it. */
static inline void sample_bins(struct hw_arena *a, int64_t chunks, int64_t bytes)
{
    hw_set(a->figures, HW_M_BIN_CHUNKS, chunks);
    hw_set(a->figures, HW_M_BIN_BYTES, bytes);
}
static inline void sample_fastbins(struct hw_arena *a, int64_t chunks, int64_t bytes)
{
    hw_set(a->figures, HW_M_FASTBIN_CHUNKS, chunks);
    hw_set(a->figures, HW_M_FASTBIN_BYTES, bytes);
}

static inline struct hw_block sample_block(enum hw_state state, int arena, uint64_t bytes)
{
    return (struct hw_block){.address = 0x7f0000001230,
                             .bytes = bytes,
                             .arena = arena,
                             .bin = HW_BIN_UNKNOWN,
                             .state = (uint8_t)state};
}

#endif
