/*
 * The heap of the test itself, as glibc describes it, taken over into a report: what our renderers
 * make of that must be what glibc said. Not where SANITIZED: there glibc's malloc is not used.
 */
#ifndef HW_TESTS_RENDER_REAL_HEAP_H
#define HW_TESTS_RENDER_REAL_HEAP_H

#include <gnu/libc-version.h>
#include <malloc.h>
#include <pthread.h>

#include "render/rendered.h"
#include "sanitized.h"

static inline struct hw_list real_bin(uint64_t from, uint64_t to, uint64_t raw_bytes,
                                      uint64_t chunks)
{
    return (struct hw_list){.chunks = chunks,
                            .bytes = raw_bytes - chunks,
                            .raw_bytes = raw_bytes,
                            .from = from,
                            .to = to};
}

static inline struct hw_list real_fast(uint64_t size, uint64_t chunks)
{
    return (struct hw_list){.chunks = chunks, .bytes = size * chunks, .from = size, .to = size};
}

/* The number behind ` name="`. */
static inline uint64_t attribute(const char *line, const char *name)
{
    char key[32];
    snprintf(key, sizeof key, " %s=\"", name);
    const char *p = strstr(line, key);
    cr_assert_not_null(p, "no %s in %s", name, line);
    return strtoull(p + strlen(key), NULL, 10);
}

/* The facts of a real text, taken over into a report. */
struct reader {
    struct hw_report *r;
    struct hw_arena *arena; /* NULL: the trailer */
    size_t fasts, bins;
    uint64_t raw_bytes; /* of all bins of this arena */
};

static inline void read_size(struct reader *in, const char *line)
{
    uint64_t from = attribute(line, "from"), to = attribute(line, "to");
    uint64_t total = attribute(line, "total"), count = attribute(line, "count");
    if (to % 2 == 0) { /* bins have the flag bit in their sizes */
        in->arena->fast[in->fasts++] = real_fast(to, count);
        hw_add(in->arena->figures, HW_M_FASTBIN_BYTES, to * count);
        return;
    }
    size_t index = strstr(line, "<unsorted") ? 1 : in->bins++;
    in->arena->bins[index] = real_bin(from, to, total, count);
    hw_add(in->arena->figures, HW_M_BIN_BYTES, total - count);
    in->raw_bytes += total;
}

/* Heaps are known by their sum and number only. */
static inline void read_aspace(struct reader *in, const char *line)
{
    uint64_t n = attribute(line, "size");
    struct hw_arena *a = in->arena;
    if (strstr(line, "\"total\"")) {
        a->heaps.data[0].bytes = n;
    } else if (strstr(line, "\"mprotect\"")) {
        a->heaps.data[0].mprotect_bytes = hw_known(n);
    } else {
        static const struct hw_heap empty = {.mprotect_bytes = {true, 0}};
        for (a->kind = HW_ARENA_THREAD; a->heaps.count < n;)
            cr_assert(hw_vec_push(&a->heaps, empty));
    }
}

static inline void read_line(struct reader *in, const char *line)
{
    if (strstr(line, "<heap ")) {
        struct hw_report *r = in->r;
        *in = (struct reader){.r = r, .arena = sample_arena(r, 0, 0), .bins = 2};
    } else if (strstr(line, "</heap>")) {
        in->arena = NULL;
    } else if (strstr(line, "\"mmap\"")) {
        in->r->params.n_mmaps = hw_known(attribute(line, "count"));
        in->r->params.mmapped_bytes = hw_known(attribute(line, "size"));
    } else if (!in->arena) {
        return;
    } else if (strstr(line, "<size ") || strstr(line, "<unsorted ")) {
        read_size(in, line);
    } else if (strstr(line, "\"rest\"")) {
        in->arena->top.bytes = attribute(line, "size") - in->raw_bytes;
    } else if (strstr(line, "\"current\"")) {
        hw_set(in->arena->figures, HW_M_SYSTEM_BYTES, (int64_t)attribute(line, "size"));
    } else if (strstr(line, "\"max\"")) {
        in->arena->max_system_bytes = attribute(line, "size");
    } else if (strstr(line, "<aspace ")) {
        read_aspace(in, line);
    }
}

/* A report with the facts of a text of malloc_info(3). */
static inline struct hw_report *read_real_heap(const char *text)
{
    struct reader in = {.r = sample_report()};
    free(in.r->allocator.version);
    in.r->allocator.version = strdup(gnu_get_libc_version());
    char *copy = strdup(text), *save = NULL;
    for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        read_line(&in, line);
    free(copy);
    for (size_t i = 0; i < in.r->arenas.count; i++)
        cr_assert_eq(in.r->arenas.data[i].kind, i ? HW_ARENA_THREAD : HW_ARENA_MAIN);
    return in.r;
}

static inline void *use_an_arena(void *arg)
{
    size_t count = *(size_t *)arg;
    void **kept = calloc(count, sizeof *kept);
    for (size_t i = 0; i < count; i++)
        kept[i] = malloc(20 + i * 37 % 3000);
    for (size_t i = 0; i < count; i++)
        if (i % 3)
            free(kept[i]);
    return NULL; /* and keep the rest */
}

/* Make three arenas more, with chunks of all kinds. */
static inline void use_arenas(void)
{
    size_t counts[] = {200, 3000, 100000}; /* the last needs several heaps */
    for (size_t i = 0; i < 3; i++) {
        pthread_t thread;
        use_an_arena(&counts[0]);
        cr_assert_eq(pthread_create(&thread, NULL, use_an_arena, &counts[i]), 0);
        pthread_join(thread, NULL);
    }
}

/* A stream into `text` that needs no memory when it is written to, so that the heap does not change
 * while it is described. */
#define REAL_TEXT_MAX ((size_t)1 << 20)
static inline FILE *real_text_stream(char *text)
{
    FILE *out = fmemopen(text, REAL_TEXT_MAX, "w");
    cr_assert_not_null(out);
    setvbuf(out, NULL, _IONBF, 0);
    return out;
}

#endif
