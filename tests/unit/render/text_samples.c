#include "text_samples.h"

#include <criterion/criterion.h>
#include <string.h>

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

/* ---- building ------------------------------------------------------------------------------- */

static struct hw_report *live_report(const char *comm, uint64_t threads)
{
    struct hw_report *r = hw_report_create();
    cr_assert_not_null(r);
    r->target.live = true;
    r->target.pid = 9049;
    r->target.comm = strdup(comm);
    r->target.arch = strdup("x86_64");
    r->target.word = 8;
    r->target.page_size = 4096;
    r->target.threads = threads;
    r->allocator.name = "glibc";
    r->allocator.version = strdup("2.36");
    r->allocator.layout_source = "dwarf";
    r->allocator.roots_source = "symtab";
    r->allocator.main_arena = 0x7f31a2df2c60;
    r->method.mode = HW_MODE_STOPPED;
    r->method.pause_ns = hw_known(12345678);
    r->method.bytes_read = 3 * GIB + 300 * MIB;
    r->method.walk_ns = 845000000;
    r->params.mmap_threshold = hw_known(128 * KIB);
    r->params.mmap_threshold_dynamic = hw_known(1);
    r->params.trim_threshold = hw_known(128 * KIB);
    r->params.top_pad = hw_known(0);
    r->params.arena_max = hw_known(0);
    r->params.tcache_count = hw_known(7);
    r->params.tcache_max_bytes = hw_known(1032);
    return r;
}

struct parts {
    uint64_t used, tcache, fastbin, bin, top, overhead, largest;
};

static void set_ratio(struct hw_figure *f, double ratio)
{
    f->known = true;
    f->ratio = ratio;
}

static void set_figures(struct hw_figure *f, const struct parts *p)
{
    uint64_t usable = p->fastbin + p->bin + p->top, held = usable + p->tcache;
    uint64_t system = p->used + held + p->overhead;
    const struct {
        enum hw_metric metric;
        uint64_t n;
    } values[] = {
        {HW_M_SYSTEM_BYTES, system},
        {HW_M_IN_USE_BYTES, p->used},
        {HW_M_IN_USE_CHUNKS, p->used / 96},
        {HW_M_TCACHE_BYTES, p->tcache},
        {HW_M_TCACHE_CHUNKS, p->tcache / 64},
        {HW_M_FASTBIN_BYTES, p->fastbin},
        {HW_M_FASTBIN_CHUNKS, p->fastbin / 48},
        {HW_M_BIN_BYTES, p->bin},
        {HW_M_BIN_CHUNKS, p->bin / 2000},
        {HW_M_TOP_BYTES, p->top},
        {HW_M_OVERHEAD_BYTES, p->overhead},
        {HW_M_UNACCOUNTED_BYTES, 0},
        {HW_M_FREE_BYTES, held},
        {HW_M_LARGEST_FREE_BYTES, p->largest},
    };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        hw_set(f, values[i].metric, (int64_t)values[i].n);
    if (usable)
        set_ratio(&f[HW_M_EXTERNAL_FRAGMENTATION], 1 - (double)p->largest / (double)usable);
    if (system)
        set_ratio(&f[HW_M_UTILIZATION], (double)p->used / (double)system);
}

static void spread(struct hw_histogram *h, uint64_t bytes, unsigned first, unsigned last)
{
    for (unsigned i = first; i <= last && bytes; i++) {
        uint64_t share = i == last ? bytes : bytes / 3;
        uint64_t size = UINT64_C(3) << (i - 1);
        h->chunks[i] += share / size;
        h->bytes[i] += share;
        bytes -= share;
    }
}

static struct hw_arena *add_arena(struct hw_report *r, const struct parts *p, size_t heaps)
{
    struct hw_arena a = {.index = (unsigned)r->arenas.count, .granule = 4096};
    bool is_main = a.index == 0;
    a.kind = is_main ? HW_ARENA_MAIN : HW_ARENA_THREAD;
    a.contiguous = is_main;
    a.address = is_main ? r->allocator.main_arena : 0x7f3000000030 - a.index * 64 * MIB;
    a.attached_threads = hw_known(1);
    set_figures(a.figures, p);
    a.max_system_bytes = (uint64_t)hw_get(a.figures, HW_M_SYSTEM_BYTES) + 132 * KIB;
    spread(&a.histogram, p->bin + p->fastbin, 6, 16);
    for (size_t i = 0; i < heaps; i++)
        cr_assert(hw_vec_push(&a.heaps, (struct hw_heap){.address = a.address + i * 64 * MIB,
                                                         .bytes = a.max_system_bytes / heaps}));
    cr_assert(hw_vec_push(&a.tids, 9049 + (int)a.index));
    a.top = (struct hw_top){.address = a.address + MIB,
                            .bytes = p->top,
                            .trimmable_bytes = hw_known(0),
                            .malloc_trim_bytes = hw_known(is_main ? p->top & ~(4 * KIB - 1) : 0),
                            .reason = HW_TRIM_BELOW_THRESHOLD};
    cr_assert(hw_vec_push(&r->arenas, a));
    return &r->arenas.data[a.index];
}

/* What the analyses do after the walk. */
static void sum_up(struct hw_report *r)
{
    struct parts sum = {0};
    for (size_t i = 0; i < r->arenas.count; i++) {
        const struct hw_arena *a = &r->arenas.data[i];
        sum.used += (uint64_t)hw_get(a->figures, HW_M_IN_USE_BYTES);
        sum.tcache += (uint64_t)hw_get(a->figures, HW_M_TCACHE_BYTES);
        sum.fastbin += (uint64_t)hw_get(a->figures, HW_M_FASTBIN_BYTES);
        sum.bin += (uint64_t)hw_get(a->figures, HW_M_BIN_BYTES);
        sum.top += (uint64_t)hw_get(a->figures, HW_M_TOP_BYTES);
        sum.overhead += (uint64_t)hw_get(a->figures, HW_M_OVERHEAD_BYTES);
        uint64_t largest = (uint64_t)hw_get(a->figures, HW_M_LARGEST_FREE_BYTES);
        if (largest > sum.largest)
            sum.largest = largest;
        for (unsigned b = 0; b < HW_BUCKETS; b++) {
            r->histogram.chunks[b] += a->histogram.chunks[b];
            r->histogram.bytes[b] += a->histogram.bytes[b];
        }
    }
    set_figures(r->totals, &sum);
    spread(&r->in_use_histogram, sum.used, 5, 13);
}

/* What the analyses make of the pages of an arena: of its free memory 1 / `one_in` is in RAM, and
 * nine tenths of that could be given back. */
static void set_pages(struct hw_report *r, struct hw_arena *a, unsigned one_in)
{
    struct hw_residency *res[] = {&a->residency, &r->residency};
    struct hw_figure *figures[] = {a->figures, r->totals};
    int64_t held = hw_get(a->figures, HW_M_FREE_BYTES),
            used = hw_get(a->figures, HW_M_IN_USE_BYTES);
    int64_t resident = held / one_in, trim = resident / 10 * 9;
    int64_t cached = hw_get(a->figures, HW_M_TCACHE_BYTES) / one_in;
    a->top.resident_bytes = hw_known(a->top.bytes / one_in);
    for (size_t i = 0; i < 2; i++) {
        for (size_t why = 0; why < HW_STAYS_; why++)
            res[i]->stays[why].known = true;
        res[i]->in_use.known = true;
        res[i]->in_use.resident += (uint64_t)used;
        res[i]->stays[HW_STAY_TCACHE].n += cached;
        res[i]->stays[HW_STAY_SHARED_PAGE].n += resident - trim - cached;
        hw_add(figures[i], HW_M_FREE_RESIDENT_BYTES, (uint64_t)resident);
        hw_add(figures[i], HW_M_FREE_SWAPPED_BYTES, 0);
        hw_add(figures[i], HW_M_FREE_RETURNED_BYTES, (uint64_t)(held - resident));
        hw_add(figures[i], HW_M_IN_USE_RESIDENT_BYTES, (uint64_t)used);
        hw_add(figures[i], HW_M_TRIM_BYTES, (uint64_t)trim);
        hw_add(figures[i], HW_M_TRIM_RESIDENT_BYTES, (uint64_t)trim);
        hw_add(figures[i], HW_M_RESIDENT_BYTES, (uint64_t)(resident + used));
        res[i]->fullness[0] += (uint64_t)trim;
        res[i]->fullness[2] += (uint64_t)(resident - trim);
        res[i]->fullness[HW_FULLNESS - 1] += (uint64_t)used;
    }
}

/* The RSS ledger, after all arenas have their pages. */
static void set_rss(struct hw_report *r, uint64_t mmapped, uint64_t files, uint64_t other)
{
    r->rss = (struct hw_rss){.known = true,
                             .glibc_heap_bytes = (uint64_t)hw_get(r->totals, HW_M_RESIDENT_BYTES),
                             .mmapped_chunk_bytes = mmapped,
                             .stack_bytes = 20 * KIB * r->target.threads,
                             .file_bytes = files,
                             .other_anon_bytes = other};
    r->rss.rss_bytes = r->rss.glibc_heap_bytes + mmapped + r->rss.stack_bytes + files + other;
}

static void set_mmapped(struct hw_report *r, uint64_t chunks, uint64_t bytes)
{
    hw_set(r->totals, HW_M_MMAPPED_CHUNKS, (int64_t)chunks);
    hw_set(r->totals, HW_M_MMAPPED_BYTES, (int64_t)bytes);
}

/* ---- samples -------------------------------------------------------------------------------- */

static struct hw_report *sample_unused(void)
{
    struct hw_report *r = live_report("jemalloc-user", 4);
    r->allocator.unused = true;
    r->method.bytes_read = 0;
    struct hw_other jemalloc = {
        .name = "jemalloc", .version = "5.3.0", .file = "libjemalloc.so.2", .serves_malloc = true};
    cr_assert(hw_vec_push(&r->allocator.others, jemalloc));
    set_rss(r, 0, 7 * MIB, 3 * GIB);
    return r;
}

struct hw_report *sample_one_arena(void)
{
    struct hw_report *r = live_report("sleep", 1);
    add_arena(r,
              &(struct parts){.used = 5808,
                              .tcache = 720,
                              .bin = 0,
                              .top = 128 * KIB + 512,
                              .overhead = 0,
                              .largest = 128 * KIB + 512},
              1);
    sum_up(r);
    set_mmapped(r, 0, 0);
    set_pages(r, &r->arenas.data[0], 31);
    set_rss(r, 0, 1500 * KIB, 36 * KIB);
    r->method.pause_ns = hw_known(187000);
    r->method.walk_ns = 420000;
    r->method.bytes_read = 140 * KIB;
    return r;
}

/* A server whose threads allocated, freed nearly all, and went to sleep; its pages could not be
 * read. */
static struct hw_report *sample_no_pages(void)
{
    struct hw_report *r = live_report("epsio_engine", 129);
    for (unsigned i = 0; i < 64; i++) {
        uint64_t k = (i * 37 + 11) % 64; /* out of order */
        add_arena(r,
                  &(struct parts){.used = (20 + k) * MIB + 4096 * k,
                                  .tcache = (k * 64 + 3) * 64,
                                  .fastbin = k * 48 * 10,
                                  .bin = (40 + k * 5) * MIB + k * 816,
                                  .top = (k % 7) * 19 * KIB + 1328,
                                  .overhead = 2256 + (k / 8) * 64,
                                  .largest = (k % 9 + 1) * 700 * KIB},
                  1 + (20 + 6 * k) / 64);
    }
    sum_up(r);
    set_mmapped(r, 41, 512 * MIB);
    r->arenas.data[0].top.trimmable_bytes = hw_known(0);
    r->params.mmap_threshold = hw_known(32 * MIB);
    r->params.trim_threshold = hw_known(64 * MIB);
    hw_report_add(r, HW_FINDING_NOTE, -1, (struct hw_maybe){0}, (struct hw_maybe){0},
                  "3 threads have no arena yet");
    return r;
}

/* The same with all that can be known. */
struct hw_report *sample_many_arenas(void)
{
    struct hw_report *r = sample_no_pages();
    for (unsigned i = 0; i < r->arenas.count; i++) {
        set_pages(r, &r->arenas.data[i], 1 + i % 5);
        r->arenas.data[i].attached_threads = hw_known(i % 8 ? 2 + i % 3 : 0);
    }
    set_rss(r, 500 * MIB, 210 * MIB, 120 * MIB);
    r->limits.cores = hw_known(8);
    r->limits.arenas = hw_known(64);
    r->limits.cgroup_cpus = hw_known(2);
    r->limits.idle_arenas = hw_known(8);
    struct hw_setting cap = {.name = "glibc.malloc.arena_max", .value = "64"};
    cr_assert(hw_vec_push(&r->limits.settings, cap));
    struct hw_verdict v = {
        .rule = "retention",
        .text = "Retention, not a leak: 5.79 GiB (59% of RSS) is memory that the program has freed "
                "and malloc keeps in RAM; 3.23 GiB is in use.",
        .command = "call malloc_trim(0) in the program after such peaks",
        .cost = "about 0.5 s in which each arena is locked in turn"};
    cr_assert(hw_vec_push(&r->verdict, v));
    return r;
}

/* Half of it in swap, some of it never touched, and the kernel's counter lags. */
struct hw_report *sample_swapped(void)
{
    struct hw_report *r = live_report("batch", 2);
    add_arena(r,
              &(struct parts){
                  .used = 600 * MIB, .bin = 500 * MIB, .top = 300 * MIB, .largest = 300 * MIB},
              1);
    add_arena(r,
              &(struct parts){.used = 10 * MIB,
                              .bin = 5 * MIB,
                              .tcache = 7000,
                              .top = 20 * KIB,
                              .overhead = 2240,
                              .largest = MIB},
              1);
    sum_up(r);
    set_mmapped(r, 2, 900 * MIB);
    set_pages(r, &r->arenas.data[0], 2);
    set_pages(r, &r->arenas.data[1], 1);
    for (size_t i = 0; i < 2; i++) {
        struct hw_figure *f = i ? r->totals : r->arenas.data[0].figures;
        struct hw_residency *res = i ? &r->residency : &r->arenas.data[0].residency;
        hw_set(f, HW_M_FREE_SWAPPED_BYTES, 200 * (int64_t)MIB);
        hw_add(f, HW_M_FREE_RETURNED_BYTES, -(200 * MIB));
        hw_add(f, HW_M_TRIM_BYTES, 190 * MIB);
        hw_add(f, HW_M_IN_USE_RESIDENT_BYTES, -(150 * MIB));
        res->in_use.resident -= 150 * MIB;
        res->in_use.swapped += 110 * MIB;
        res->in_use.returned += 40 * MIB;
    }
    set_rss(r, 300 * MIB, 9 * MIB, 0);
    r->rss.unexplained_bytes = -8 * (int64_t)MIB;
    r->rss.rss_bytes -= 8 * MIB;
    r->rss.shmem_bytes = 0;
    r->rss.swap_bytes = 310 * MIB;
    struct hw_other mimalloc = {.name = "mimalloc", .file = "libaddon.so"};
    cr_assert(hw_vec_push(&r->allocator.others, mimalloc));
    r->rss.other_anon_bytes = 5 * GIB;
    r->rss.rss_bytes += 5 * GIB;
    return r;
}

/* A core of a process that was well. */
struct hw_report *sample_core(void)
{
    struct hw_report *r = sample_one_arena();
    r->target.live = false;
    r->target.core = strdup("core.9049");
    r->method.mode = HW_MODE_CORE;
    r->method.pause_ns = (struct hw_maybe){0};
    r->rss.known = false;
    memset(&r->residency, 0, sizeof r->residency);
    memset(&r->arenas.data[0].residency, 0, sizeof r->residency);
    static const enum hw_metric unknown[] = {HW_M_RESIDENT_BYTES,        HW_M_FREE_RESIDENT_BYTES,
                                             HW_M_FREE_SWAPPED_BYTES,    HW_M_FREE_RETURNED_BYTES,
                                             HW_M_IN_USE_RESIDENT_BYTES, HW_M_TRIM_BYTES,
                                             HW_M_TRIM_RESIDENT_BYTES};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        r->totals[unknown[i]].known = r->arenas.data[0].figures[unknown[i]].known = false;
    r->arenas.data[0].top.resident_bytes = (struct hw_maybe){0};
    return r;
}

struct hw_report *sample_partial(void)
{
    struct hw_report *r = live_report("mysqld", 38);
    r->target.live = false;
    r->target.core = strdup("/var/lib/systemd/coredump/core.mysqld.112.9049.1700000000000000");
    r->method.mode = HW_MODE_CORE;
    r->method.pause_ns = (struct hw_maybe){0};
    add_arena(r,
              &(struct parts){.used = 700 * MIB,
                              .tcache = 12 * KIB,
                              .fastbin = 480,
                              .bin = 90 * MIB,
                              .top = 5 * MIB,
                              .overhead = 16,
                              .largest = 40 * MIB},
              1);
    add_arena(
        r,
        &(struct parts){
            .used = 30 * MIB, .bin = 21 * MIB, .top = 60 * KIB, .overhead = 2240, .largest = MIB},
        1);
    sum_up(r);
    set_mmapped(r, 3, 700 * MIB + 12 * KIB);
    hw_set(r->totals, HW_M_UNACCOUNTED_BYTES, 11 * (int64_t)MIB);
    hw_set(r->totals, HW_M_SYSTEM_BYTES, hw_get(r->totals, HW_M_SYSTEM_BYTES) + 11 * (int64_t)MIB);
    r->arenas.data[0].top.trimmable_bytes = hw_known(0);
    r->arenas.data[0].top.malloc_trim_bytes = hw_known(0);
    r->arenas.data[0].top.reason = HW_TRIM_BRK_MOVED;
    for (unsigned i = 0; i < 40; i++)
        hw_report_add(r, HW_FINDING_BAD_CHUNK, 1, hw_known(0x7f30f8001230 + i * 64 * KIB),
                      hw_known(64 * KIB),
                      "size word 0x4141414141414141 is larger than the heap; the walk went on at "
                      "the next chunk that a bin knows, %u bytes later",
                      1000 + i);
    hw_report_add(r, HW_FINDING_TRUNCATED_CORE, -1, (struct hw_maybe){0}, hw_known(11 * MIB),
                  "the core file ends 11 MiB before its last segment does");
    hw_report_add(r, HW_FINDING_NOTE, -1, (struct hw_maybe){0}, (struct hw_maybe){0},
                  "thread caches are counted as of the time of the crash");
    return r;
}

struct hw_report *sample_locked(void)
{
    struct hw_report *r = live_report("busy \033[31mworker\n\xc2\x9b x\xc3\xa9\xff", 3);
    r->method.mode = HW_MODE_RUNNING;
    r->method.pause_ns = (struct hw_maybe){0};
    r->allocator.version = (free(r->allocator.version), NULL);
    add_arena(r, &(struct parts){.used = 40 * MIB, .bin = 2 * MIB, .top = 99 * KIB, .largest = MIB},
              1);
    struct hw_arena *a = add_arena(
        r, &(struct parts){.used = 3 * MIB, .bin = 60 * MIB, .overhead = 2240, .largest = 9 * MIB},
        2);
    a->locked = true;
    a->attached_threads = hw_known(0);
    sum_up(r);
    r->params.trim_threshold = hw_known(UINT64_MAX);
    r->params.mmap_threshold_dynamic = hw_known(0);
    r->params.arena_max = hw_known(2);
    r->params.tcache_count = hw_known(0);
    r->arenas.data[0].top.trimmable_bytes = (struct hw_maybe){0};
    return r;
}

/* What did not stand still; arena 2 was only locked. */
struct hw_report *sample_moved(void)
{
    struct hw_report *r = live_report("server", 40);
    r->method.mode = HW_MODE_RUNNING;
    r->method.pause_ns = (struct hw_maybe){0};
    for (size_t i = 0; i < 40; i++) {
        struct hw_arena *a = add_arena(
            r,
            &(struct parts){
                .used = (40 - i) * MIB, .bin = (i % 7) * MIB, .top = 99 * KIB, .largest = MIB},
            1);
        a->locked = i % 3 == 2;
        a->moved = i % 5 == 0 || i > 20;
        if (a->moved)
            hw_report_add(r, HW_FINDING_MOVED, (int)i, (struct hw_maybe){0}, (struct hw_maybe){0},
                          "it changed while it was read");
    }
    sum_up(r);
    return r;
}

static struct hw_report *sample_one_moved(void)
{
    struct hw_report *r = live_report("lone", 1);
    struct parts parts = {.used = 40 * MIB, .bin = 2 * MIB, .top = 99 * KIB, .largest = MIB};
    r->method.mode = HW_MODE_RUNNING;
    r->method.pause_ns = (struct hw_maybe){0};
    add_arena(r, &parts, 1)->moved = true;
    hw_report_add(r, HW_FINDING_MOVED, 0, (struct hw_maybe){0}, (struct hw_maybe){0},
                  "it changed while it was read");
    sum_up(r);
    return r;
}

/* Figures of a heap that someone made to hurt us. */
struct hw_report *sample_hostile(void)
{
    struct hw_report *r = live_report("evil", UINT64_MAX);
    add_arena(r, &(struct parts){.used = 1000, .bin = 5, .top = 7, .largest = 7}, 1);
    add_arena(r, &(struct parts){.used = 1000, .bin = 5, .top = 7, .largest = 7}, 1);
    for (size_t i = 0; i < r->arenas.count; i++) {
        struct hw_arena *a = &r->arenas.data[i];
        hw_set(a->figures, HW_M_SYSTEM_BYTES, i ? -1 : INT64_MAX);
        hw_set(a->figures, HW_M_IN_USE_BYTES, INT64_MAX);
        hw_set(a->figures, HW_M_FREE_BYTES, INT64_MIN);
        hw_set(a->figures, HW_M_UNACCOUNTED_BYTES, -4096);
        a->top.bytes = UINT64_MAX;
        a->top.malloc_trim_bytes = hw_known(UINT64_MAX);
        a->top.trimmable_bytes = hw_known(UINT64_MAX);
        a->attached_threads = hw_known(UINT64_MAX);
        a->max_system_bytes = UINT64_MAX;
        a->histogram.chunks[63] = 1;
        a->histogram.bytes[63] = UINT64_MAX;
        a->histogram.chunks[4] = UINT64_MAX / 16;
        a->histogram.bytes[4] = UINT64_MAX - 15;
        set_ratio(&a->figures[HW_M_EXTERNAL_FRAGMENTATION], i ? 0.0 / 0.0 : 99);
    }
    memcpy(r->totals, r->arenas.data[1].figures, sizeof r->totals);
    hw_set(r->totals, HW_M_IN_USE_CHUNKS, INT64_MIN);
    hw_set(r->totals, HW_M_LARGEST_FREE_BYTES, INT64_MAX);
    set_mmapped(r, UINT64_MAX, UINT64_MAX);
    r->histogram = r->in_use_histogram = r->arenas.data[0].histogram;
    r->params.mmap_threshold = hw_known(UINT64_MAX - 1);
    r->params.tcache_count = hw_known(UINT64_MAX - 1);
    r->params.arena_max = hw_known(UINT64_MAX - 1);
    r->method.pause_ns = r->params.top_pad = hw_known(UINT64_MAX - 1);
    r->method.bytes_read = r->method.walk_ns = UINT64_MAX - 1;
    return r;
}

/* The same in a live process, with pages that nobody has. */
static struct hw_report *sample_hostile_pages(void)
{
    struct hw_report *r = sample_hostile();
    static const enum hw_metric absurd[] = {HW_M_RESIDENT_BYTES,        HW_M_FREE_RESIDENT_BYTES,
                                            HW_M_FREE_SWAPPED_BYTES,    HW_M_FREE_RETURNED_BYTES,
                                            HW_M_IN_USE_RESIDENT_BYTES, HW_M_TRIM_BYTES,
                                            HW_M_TRIM_RESIDENT_BYTES};
    for (size_t i = 0; i <= r->arenas.count; i++) {
        struct hw_arena *a = i < r->arenas.count ? &r->arenas.data[i] : NULL;
        struct hw_figure *f = a ? a->figures : r->totals;
        struct hw_residency *res = a ? &a->residency : &r->residency;
        for (size_t m = 0; m < sizeof absurd / sizeof *absurd; m++)
            hw_set(f, absurd[m], (m + i) % 2 ? INT64_MIN : INT64_MAX);
        for (size_t why = 0; why < HW_STAYS_; why++)
            res->stays[why] = (struct hw_figure){.known = true, .n = INT64_MAX - (int64_t)why};
        res->in_use = (struct hw_split){true, UINT64_MAX - 1, UINT64_MAX - 1, UINT64_MAX - 1};
        for (size_t k = 0; k < HW_FULLNESS; k++)
            res->fullness[k] = UINT64_MAX - 1;
        if (a)
            a->top.resident_bytes = hw_known(UINT64_MAX - 1);
    }
#define ABSURD_(field) r->rss.field = UINT64_MAX - 1;
    HW_RSS(ABSURD_)
#undef ABSURD_
    r->rss.known = true;
    r->rss.unexplained_bytes = INT64_MIN;
    r->limits.cores = r->limits.arenas = r->limits.idle_arenas = hw_known(UINT64_MAX - 1);
    r->limits.cgroup_cpus = hw_known(0);
    return r;
}

/* Nothing is known but that there is a heap. */
static struct hw_report *sample_unknown(void)
{
    struct hw_report *r = hw_report_create();
    cr_assert_not_null(r);
    struct hw_arena a = {.index = 0, .kind = HW_ARENA_MAIN};
    cr_assert(hw_vec_push(&r->arenas, a));
    hw_set(r->totals, HW_M_IN_USE_BYTES, 4711);
    hw_set(r->arenas.data[0].figures, HW_M_IN_USE_BYTES, 4711);
    return r;
}

const struct sample samples[] = {
    {"unused", sample_unused},
    {"one-arena", sample_one_arena},
    {"many-arenas", sample_many_arenas},
    {"no-pages", sample_no_pages},
    {"swapped", sample_swapped},
    {"core", sample_core},
    {"partial", sample_partial},
    {"locked", sample_locked},
    {"moved", sample_moved},
    {"one-moved", sample_one_moved},
    {"hostile", sample_hostile},
    {"hostile-pages", sample_hostile_pages},
    {"unknown", sample_unknown},
    {NULL, NULL},
};
