/*
 * What a renderer writes, as a string. Free it.
 */
#ifndef HW_TESTS_RENDER_RENDERED_H
#define HW_TESTS_RENDER_RENDERED_H

#include "model/sample.h"
#include "render/render.h"

static inline char *rendered_with(const struct hw_report *r, const struct hw_render_options *opt)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    struct hw_error err = {0};
    cr_assert_not_null(out);
    cr_assert_eq(hw_render(r, opt, out, &err), HW_OK, "%s", err.text);
    fclose(out);
    return text;
}

static inline char *rendered(const struct hw_report *r, const char *format)
{
    return rendered_with(r, &(struct hw_render_options){.format = format});
}

/* The lines of a listing of `count` blocks, with its head. */
static inline char *listed(const struct hw_report *r, const char *format,
                           const struct hw_block *blocks, size_t count)
{
    static const struct hw_render_options opt;
    const struct hw_renderer *renderer = hw_renderer_find(format);
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    cr_assert_not_null(out);
    if (renderer->list_head)
        renderer->list_head(r, &opt, out);
    for (size_t i = 0; i < count; i++)
        renderer->list_block(r, &opt, &blocks[i], out);
    fclose(out);
    return text;
}

/* One block of every state, and the extremes. */
#define SAMPLE_BLOCKS                                                                              \
    {                                                                                              \
        {.address = 0x10000, .bytes = 48, .bin = HW_BIN_UNKNOWN, .state = HW_USED},                \
            {.address = 0x7f0000000000,                                                            \
             .bytes = 200704,                                                                      \
             .lead = 4096,                                                                         \
             .arena = -1,                                                                          \
             .bin = HW_BIN_UNKNOWN,                                                                \
             .state = HW_MMAPPED},                                                                 \
            {.address = 0x10030, .bytes = 32, .tid = 4711, .bin = 0, .state = HW_CACHED},          \
            {.address = 0x10050, .bytes = 128, .arena = 3, .bin = 6, .state = HW_PARKED},          \
            {.address = 0x100d0, .bytes = 4096, .arena = 12, .bin = 1, .state = HW_FREE},          \
            {.address = 0x110d0, .bytes = 1, .bin = HW_BIN_UNKNOWN, .state = HW_TOP},              \
            {.address = UINT64_MAX,                                                                \
             .bytes = UINT64_MAX,                                                                  \
             .arena = INT32_MAX,                                                                   \
             .bin = INT16_MAX,                                                                     \
             .tid = INT32_MAX,                                                                     \
             .state = HW_OVERHEAD},                                                                \
    }
#define SAMPLE_BLOCK_COUNT 7

/* Two arenas with everything that a report can hold. */
static inline struct hw_report *full_report(void)
{
    struct hw_report *r = sample_report();
    struct hw_arena *a = sample_arena(r, 132 * KIB, 64 * KIB);
    hw_set(a->figures, HW_M_IN_USE_BYTES, 4000);
    hw_set(a->figures, HW_M_UNACCOUNTED_BYTES, -16);
    a->figures[HW_M_UTILIZATION] = (struct hw_figure){.known = true, .ratio = 0.25};
    a->figures[HW_M_EXTERNAL_FRAGMENTATION] = (struct hw_figure){.known = true, .ratio = 1.0 / 3};
    a->histogram.chunks[5] = 2;
    a->histogram.bytes[5] = 80;
    a->histogram.chunks[7] = 1;
    a->histogram.bytes[7] = 128;
    a->top.trimmable_bytes = hw_known(0);
    a->top.malloc_trim_bytes = hw_known(61440);
    a->top.reason = HW_TRIM_BELOW_THRESHOLD;
    cr_assert(hw_vec_push(&a->tids, 4711));
    cr_assert(hw_vec_push(&a->tids, 4712));
    struct hw_arena *b = sample_arena(r, 1 * MIB, 0);
    b->locked = true;
    b->moved = true;
    b->attached_threads.known = false;
    b->top.address = 0;
    r->histogram = r->arenas.data[0].histogram;
    r->in_use_histogram.chunks[63] = 1;
    r->in_use_histogram.bytes[63] = (uint64_t)1 << 63;
    hw_set(r->totals, HW_M_SYSTEM_BYTES, 1 * (int64_t)MIB + 135168);
    hw_set(r->totals, HW_M_MMAPPED_BYTES, 204800);
    struct hw_thread_row t = {
        .tid = 4711, .arena = 0, .tcache_bytes = hw_known(512), .tcache_chunks = hw_known(4)};
    cr_assert(hw_vec_push(&r->threads, t));
    t = (struct hw_thread_row){.tid = 4712, .arena = -1};
    cr_assert(hw_vec_push(&r->threads, t));
    hw_report_add(r, HW_FINDING_BAD_CHUNK, 1, hw_known(0x7effc0000030), hw_known(64), "size 0x41");
    hw_report_add(r, HW_FINDING_NOTE, -1, (struct hw_maybe){0}, (struct hw_maybe){0}, "a note");
    r->mallinfo2 = (struct hw_mallinfo2){.arena = 1,
                                         .ordblks = 2,
                                         .smblks = 3,
                                         .hblks = 4,
                                         .hblkhd = 5,
                                         .fsmblks = 7,
                                         .uordblks = 8,
                                         .fordblks = 9,
                                         .keepcost = 10};
    return r;
}

#endif
