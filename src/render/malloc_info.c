/*
 * What malloc_info(0, stream) would have printed in the process, byte for byte.
 *
 * The text changed over time; each row of `dialects` has what is different from the row before it.
 * Some things look like mistakes and are glibc's own ways:
 *   - In bins a chunk counts with its flag bits, so sizes are odd and totals too large by one each.
 *   - The unsorted bin comes last, although it is bin 1.
 *   - aspace of the main arena is its system_mem twice, whatever its mappings are.
 *   - The total "max" is the sum of the arenas' maxima, which were not reached at the same time.
 */
#include "render/render.h"

#include <inttypes.h>

#define UNSORTED 1

struct dialect {
    int since;            /* glibc 2.N */
    bool fast_total;      /* "fast" lines are there */
    bool mmap_total;      /* the total line for mmap is there */
    bool top_is_rest;     /* top is counted in "rest" */
    bool subheaps;        /* all heaps of an arena are summed and counted, not the last one taken */
    const char *size_tab; /* printed before each <size>, but not before <unsorted> */
};

#define SEVEN_TABS "\t\t\t\t\t\t\t      "

/* Branches 2.28 to 2.30 count top although the first releases did not: branches are what people
 * run. */
static const struct dialect dialects[] = {
    {0, true, false, false, false, ""},         {19, true, false, false, false, SEVEN_TABS},
    {20, true, true, false, false, SEVEN_TABS}, {27, true, true, false, true, SEVEN_TABS},
    {28, true, true, true, true, SEVEN_TABS},   {31, true, true, true, true, ""},
    {43, false, true, true, true, ""},
};

/* That of the report's version; that of 2.31 to 2.42 where the version is unknown. */
static const struct dialect *dialect_of(const struct hw_report *r)
{
    int minor = hw_report_glibc_minor(r);
    if (minor < 0)
        minor = 42;
    const struct dialect *best = dialects;
    for (size_t i = 0; i < sizeof dialects / sizeof *dialects; i++)
        if (dialects[i].since <= minor)
            best = &dialects[i];
    return best;
}

struct sums {
    uint64_t fast_chunks, fast_bytes, rest_chunks, rest_bytes;
    uint64_t system, max_system;
    uint64_t aspace, mprotect;
    uint64_t mmaps, mmapped; /* of the trailer only */
};

static void add(struct sums *total, const struct sums *s)
{
    total->fast_chunks += s->fast_chunks;
    total->fast_bytes += s->fast_bytes;
    total->rest_chunks += s->rest_chunks;
    total->rest_bytes += s->rest_bytes;
    total->system += s->system;
    total->max_system += s->max_system;
    total->aspace += s->aspace;
    total->mprotect += s->mprotect;
}

static struct sums sum_arena(const struct hw_arena *a, const struct dialect *d)
{
    struct sums s = {.system = (uint64_t)hw_get(a->figures, HW_M_SYSTEM_BYTES),
                     .max_system = a->max_system_bytes};
    for (size_t i = 0; i < HW_FAST_LISTS; i++) {
        s.fast_chunks += a->fast[i].chunks;
        s.fast_bytes += a->fast[i].bytes;
    }
    for (size_t i = 0; i < HW_BIN_LISTS; i++) {
        s.rest_chunks += a->bins[i].chunks;
        s.rest_bytes += a->bins[i].raw_bytes;
    }
    if (d->top_is_rest) {
        s.rest_chunks++;
        s.rest_bytes += a->top.bytes;
    }
    if (a->kind == HW_ARENA_MAIN) {
        s.aspace = s.mprotect = s.system;
        return s;
    }
    size_t first = d->subheaps || a->heaps.count == 0 ? 0 : a->heaps.count - 1;
    for (size_t i = first; i < a->heaps.count; i++) {
        const struct hw_heap *heap = &a->heaps.data[i];
        s.aspace += heap->bytes;
        s.mprotect += heap->mprotect_bytes.known ? heap->mprotect_bytes.n : heap->bytes;
    }
    return s;
}

static void put_size(FILE *out, const char *element, uint64_t from, uint64_t to, uint64_t total,
                     uint64_t count)
{
    fprintf(out,
            "  <%s from=\"%" PRIu64 "\" to=\"%" PRIu64 "\" total=\"%" PRIu64 "\" count=\"%" PRIu64
            "\"/>\n",
            element, from, to, total, count);
}

static void put_sizes(FILE *out, const struct hw_arena *a, const struct dialect *d,
                      uint64_t alignment)
{
    for (size_t i = 0; i < HW_FAST_LISTS; i++) {
        const struct hw_list *list = &a->fast[i];
        if (list->chunks == 0)
            continue;
        fputs(d->size_tab, out);
        put_size(out, "size", list->to - (alignment - 1), list->to, list->bytes, list->chunks);
    }
    for (size_t i = UNSORTED + 1; i < HW_BIN_LISTS; i++) {
        const struct hw_list *list = &a->bins[i];
        if (list->chunks == 0)
            continue;
        fputs(d->size_tab, out);
        put_size(out, "size", list->from, list->to, list->raw_bytes, list->chunks);
    }
    const struct hw_list *list = &a->bins[UNSORTED];
    if (list->chunks)
        put_size(out, "unsorted", list->from, list->to, list->raw_bytes, list->chunks);
}

static void put_total(FILE *out, const char *type, uint64_t count, uint64_t bytes)
{
    fprintf(out, "<total type=\"%s\" count=\"%" PRIu64 "\" size=\"%" PRIu64 "\"/>\n", type, count,
            bytes);
}

static void put_space(FILE *out, const char *element, const char *type, uint64_t n)
{
    fprintf(out, "<%s type=\"%s\" size=\"%" PRIu64 "\"/>\n", element, type, n);
}

/* The lines that arenas and the trailer have in common. */
static void put_sums(FILE *out, const struct sums *s, const struct dialect *d, bool trailer)
{
    if (d->fast_total)
        put_total(out, "fast", s->fast_chunks, s->fast_bytes);
    put_total(out, "rest", s->rest_chunks, s->rest_bytes);
    if (trailer && d->mmap_total)
        put_total(out, "mmap", s->mmaps, s->mmapped);
    put_space(out, "system", "current", s->system);
    put_space(out, "system", "max", s->max_system);
    put_space(out, "aspace", "total", s->aspace);
    put_space(out, "aspace", "mprotect", s->mprotect);
}

static int report(const struct hw_report *r, const struct hw_render_options *opt, FILE *out,
                  struct hw_error *err)
{
    if (!r->lists_known) {
        hw_fail(err, HW_ERR_USAGE,
                "malloc_info tells of each free list, and this walk followed none");
        hw_remedy(err, "inspect with want_lists in struct hw_listener");
        return HW_ERR_USAGE;
    }
    const struct dialect *d = dialect_of(r);
    struct sums total = {.mmaps = hw_own_count(r->params.n_mmaps, r, HW_M_MMAPPED_CHUNKS),
                         .mmapped = hw_own_count(r->params.mmapped_bytes, r, HW_M_MMAPPED_BYTES)};
    fputs("<malloc version=\"1\">\n", out);
    for (size_t i = 0; i < r->arenas.count; i++) {
        const struct hw_arena *a = &r->arenas.data[i];
        struct sums s = sum_arena(a, d);
        add(&total, &s);
        if (!hw_shows_arena(opt, (int)i))
            continue;
        fprintf(out, "<heap nr=\"%zu\">\n<sizes>\n", i);
        put_sizes(out, a, d, hw_report_alignment(r));
        fputs("</sizes>\n", out);
        put_sums(out, &s, d, false);
        if (d->subheaps && a->kind != HW_ARENA_MAIN)
            put_space(out, "aspace", "subheaps", a->heaps.count);
        fputs("</heap>\n", out);
    }
    put_sums(out, &total, d, true);
    fputs("</malloc>\n", out);
    return HW_OK;
}

const struct hw_renderer hw_render_malloc_info = {
    .format = HW_FORMAT_MALLOC_INFO,
    .report = report,
};
