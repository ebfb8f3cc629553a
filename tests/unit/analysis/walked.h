/*
 * A walk over a heap that is written down as a text, for tests of analyses that look at the order
 * of blocks:
 *
 *     "u100 f200 t50 p30 T1000 o16"     used, free, in a tcache, in a fastbin ("parked"), top,
 *                                       overhead: gross sizes, one behind the other
 *     "|"                               the next heap of the arena begins
 *     "?64"                             64 bytes that could not be read
 */
#ifndef HW_TESTS_ANALYSIS_WALKED_H
#define HW_TESTS_ANALYSIS_WALKED_H

#include "analysis/analysis.h"
#include "model/sample.h"

#include <ctype.h>

struct walked {
    struct hw_report *r;
    struct hw_pages pages;
};

static inline enum hw_state walked_state(char letter)
{
    static const char letters[] = "u tpfTo", *at;
    at = strchr(letters, letter);
    cr_assert(at && letter != ' ', "what is %c?", letter);
    return (enum hw_state)(at - letters);
}

/* All of the arena's heaps; the first begins at `start`, each of the others 64 MiB further on. Sets
 * sizes of heaps, top and break. */
static inline void walked_layout(struct hw_arena *a, hw_addr start, const char *text)
{
    hw_addr p = start;
    hw_vec_free(&a->heaps);
    cr_assert(hw_vec_push(&a->heaps, (struct hw_heap){.address = start}));
    for (char *end; *text; text = end) {
        end = (char *)(uintptr_t)text + 1;
        if (*text == '|') {
            start += 64 * MIB;
            p = start;
            cr_assert(hw_vec_push(&a->heaps, (struct hw_heap){.address = start}));
        } else if (!isspace((unsigned char)*text)) {
            uint64_t bytes = strtoull(text + 1, &end, 0);
            if (*text == 'T')
                a->top = (struct hw_top){.address = p, .bytes = bytes};
            p += bytes;
            a->heaps.data[a->heaps.count - 1].bytes = p - start;
        }
    }
    if (a->kind == HW_ARENA_MAIN)
        a->brk = hw_known(a->top.address + a->top.bytes);
}

static inline void walked_blocks(struct hw_analyzing *z, const struct hw_arena *a, const char *text)
{
    size_t heap = 0;
    hw_addr p = a->heaps.data[0].address;
    for (char *end; *text; text = end) {
        end = (char *)(uintptr_t)text + 1;
        if (*text == '|') {
            p = a->heaps.data[++heap].address;
        } else if (!isspace((unsigned char)*text)) {
            uint64_t bytes = strtoull(text + 1, &end, 0);
            struct hw_block b = sample_block(HW_USED, (int)a->index, bytes);
            b.address = p;
            p += bytes;
            if (*text == '?')
                continue;
            b.state = (uint8_t)walked_state(*text);
            b.tid = b.state == HW_CACHED ? 77 : 0;
            hw_analyses_blocks(z, &b, 1);
        }
    }
}

/* All pages of the arenas' heaps are in RAM. */
static inline void walked_resident(struct walked *w)
{
    w->pages = hw_pages_empty(4096);
    for (size_t i = 0; i < w->r->arenas.count; i++) {
        const struct hw_arena *a = &w->r->arenas.data[i];
        for (size_t h = 0; h < a->heaps.count; h++)
            cr_assert_eq(hw_pages_set(&w->pages, a->heaps.data[h].address / 4096 * 4096,
                                      a->heaps.data[h].address + a->heaps.data[h].bytes + 4095,
                                      HW_PAGE_RESIDENT, NULL),
                         HW_OK);
    }
    w->r->pages = &w->pages;
}

/* Walk arenas that are in the report, each as written in `texts` (ended by NULL). */
static inline void walk_all(struct walked *w, const char *const *texts)
{
    struct hw_analyzing *z;
    cr_assert_eq(hw_analyses_begin(w->r, &z, NULL), HW_OK);
    for (size_t i = 0; texts[i]; i++)
        walked_blocks(z, &w->r->arenas.data[i], texts[i]);
    hw_analyses_end(z);
    w->r->pages = NULL;
}

/* A report of the main arena alone, walked; in RAM if that is asked for. */
static inline struct walked walk_main(const char *text, bool resident)
{
    struct walked w = {.r = sample_report()};
    walked_layout(sample_arena(w.r, 0, 0), 0x10000, text);
    if (resident)
        walked_resident(&w);
    walk_all(&w, (const char *const[]){text, NULL});
    return w;
}

static inline void walked_done(struct walked *w)
{
    hw_pages_clear(&w->pages);
    hw_report_destroy(w->r);
}

#endif
