/*
 * Every rule of the verdict twice: with figures that just fire it, and with figures that nearly do.
 */
#include "analysis/verdict.h"

#include "model/sample.h"

/* ---- cases by hand --------------------------------------------------------------------------- */

static void add_residency(struct hw_figure *f, uint64_t used, uint64_t held)
{
    hw_add(f, HW_M_IN_USE_BYTES, used);
    hw_add(f, HW_M_IN_USE_RESIDENT_BYTES, used);
    hw_add(f, HW_M_FREE_BYTES, held);
    hw_add(f, HW_M_FREE_RESIDENT_BYTES, held);
    hw_add(f, HW_M_FREE_SWAPPED_BYTES, 0);
    hw_add(f, HW_M_FREE_RETURNED_BYTES, 0);
    hw_add(f, HW_M_RESIDENT_BYTES, used + held);
}

/* An arena with `used` bytes in use and `held` free ones, all of them in RAM, in bins. */
static struct hw_arena *arena(struct hw_report *r, uint64_t used, uint64_t held)
{
    struct hw_arena *a = sample_arena(r, used + held, 0);
    hw_add(r->totals, HW_M_SYSTEM_BYTES, used + held);
    add_residency(r->totals, used, held);
    add_residency(a->figures, used, held);
    r->residency.free[HW_FREE_BIN].known = true;
    r->residency.free[HW_FREE_BIN].resident += held;
    r->rss.glibc_heap_bytes += used + held;
    return a;
}

/* A process with so much RSS, and a main arena. What is not glibc's is called pages of files. */
static struct hw_report *process(uint64_t rss, uint64_t used, uint64_t held)
{
    struct hw_report *r = sample_report();
    hw_set(r->totals, HW_M_TRIM_BYTES, 0);
    hw_set(r->totals, HW_M_TRIM_RESIDENT_BYTES, 0);
    for (size_t i = 0; i < HW_STAYS_; i++)
        r->residency.stays[i].known = true;
    r->rss.known = true;
    r->rss.rss_bytes = rss;
    r->limits.cores = hw_known(8);
    arena(r, used, held);
    r->rss.file_bytes = rss > used + held ? rss - used - held : 0;
    return r;
}

/* The same without residency. */
static struct hw_report *core(uint64_t used, uint64_t held)
{
    static const enum hw_metric unknown[] = {HW_M_IN_USE_RESIDENT_BYTES, HW_M_FREE_RESIDENT_BYTES,
                                             HW_M_FREE_SWAPPED_BYTES,    HW_M_FREE_RETURNED_BYTES,
                                             HW_M_RESIDENT_BYTES,        HW_M_TRIM_BYTES,
                                             HW_M_TRIM_RESIDENT_BYTES};
    struct hw_report *r = process(0, used, held);
    r->target.live = false;
    r->method.mode = HW_MODE_CORE;
    r->rss.known = false;
    r->limits.cores.known = false;
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        r->totals[unknown[i]].known = r->arenas.data[0].figures[unknown[i]].known = false;
    r->residency = (struct hw_residency){0};
    return r;
}

static void trims(struct hw_report *r, uint64_t bytes)
{
    hw_set(r->totals, HW_M_TRIM_BYTES, (int64_t)bytes);
    hw_set(r->totals, HW_M_TRIM_RESIDENT_BYTES, (int64_t)bytes);
}

static void stays(struct hw_report *r, enum hw_stay why, uint64_t bytes)
{
    r->residency.stays[why].n = (int64_t)bytes;
}

/* ---- what is said ---------------------------------------------------------------------------- */

static void check_plain(const struct hw_verdict *v)
{
    cr_expect_not_null(v->rule);
    size_t length = strlen(v->text);
    cr_expect(length > 20 && length + 1 < sizeof v->text, "%s: %zu", v->rule, length);
    cr_expect_eq(v->text[length - 1], '.', "%s ends in: %s", v->rule, v->text);
    cr_expect_null(strstr(v->text, "  "), "%s: %s", v->rule, v->text);
    cr_expect(strlen(v->cost) + 1 < sizeof v->cost && strlen(v->command) + 1 < sizeof v->command);
    cr_expect_eq(*v->command == '\0', *v->cost == '\0', "%s: a command without a cost", v->rule);
    cr_expect_null(strstr(v->command, "gdb"));
    cr_expect_gt(v->evidence_count, 0, "%s proves nothing", v->rule);
}

/* "retention trim_now" */
static const char *rules_of(struct hw_report *r)
{
    static char names[256];
    names[0] = '\0';
    hw_judge(r);
    for (size_t i = 0; i < r->verdict.count; i++) {
        check_plain(&r->verdict.data[i]);
        strcat(names, i ? " " : "");
        strcat(names, r->verdict.data[i].rule);
    }
    return names;
}

#define EXPECT(r, names)                                                                           \
    do {                                                                                           \
        const char *got_ = rules_of(r);                                                            \
        cr_expect_str_eq(got_, names, "got: %s", got_);                                            \
    } while (0)

static const struct hw_verdict *find(const struct hw_report *r, const char *rule)
{
    for (size_t i = 0; i < r->verdict.count; i++)
        if (strcmp(r->verdict.data[i].rule, rule) == 0)
            return &r->verdict.data[i];
    cr_assert_fail("%s did not fire", rule);
    return NULL;
}

#define SAYS(r, rule, words)                                                                       \
    cr_expect_not_null(strstr(find(r, rule)->text, words), "%s", find(r, rule)->text)

static int64_t proof(const struct hw_report *r, const char *rule, const char *name)
{
    const struct hw_verdict *v = find(r, rule);
    for (size_t i = 0; i < v->evidence_count; i++)
        if (strcmp(v->evidence[i].name, name) == 0)
            return v->evidence[i].value.n;
    cr_assert_fail("%s does not prove %s", rule, name);
    return -1;
}

/* ---- answers --------------------------------------------------------------------------------- */

Test(verdict, retention_above_30_per_cent)
{
    struct hw_report *r = process(1000 * MIB, 600 * MIB, 301 * MIB);
    EXPECT(r, "retention main_arena");
    SAYS(r, "retention", "301.0 MiB, 30% of RSS");
    SAYS(r, "retention", "all of it in the main arena");
    cr_expect_eq(proof(r, "retention", "free_resident_bytes"), 301 * (int64_t)MIB);
    cr_expect_eq(proof(r, "retention", "rss_bytes"), 1000 * (int64_t)MIB);
    hw_report_destroy(r);

    r = process(1000 * MIB, 600 * MIB, 300 * MIB);
    EXPECT(r, "some_retention main_arena");
    hw_report_destroy(r);
}

Test(verdict, some_retention_from_10_per_cent_on)
{
    struct hw_report *r = process(1000 * MIB, 600 * MIB, 100 * MIB);
    EXPECT(r, "some_retention main_arena");
    hw_report_destroy(r);

    r = process(1000 * MIB, 600 * MIB, 100 * MIB - 4096);
    EXPECT(r, "live_data");
    hw_report_destroy(r);
}

Test(verdict, little_is_not_worth_a_word)
{
    struct hw_report *r = process(16 * MIB, 2 * MIB, 8 * MIB);
    EXPECT(r, "retention main_arena");
    hw_report_destroy(r);

    r = process(16 * MIB, 2 * MIB, 8 * MIB - 4096);
    trims(r, 8 * MIB - 4096);
    EXPECT(r, "healthy");
    hw_report_destroy(r);
}

Test(verdict, without_a_ledger_the_heap_is_the_whole)
{
    struct hw_report *r = process(0, 690 * MIB, 310 * MIB);
    r->rss = (struct hw_rss){0};
    EXPECT(r, "retention main_arena");
    SAYS(r, "retention", "31% of what malloc has");
    hw_report_destroy(r);
}

Test(verdict, live_data_is_one_sentence)
{
    struct hw_report *r = process(1000 * MIB, 500 * MIB, 90 * MIB);
    EXPECT(r, "live_data");
    SAYS(r, "live_data", "500.0 MiB, 50% of RSS");
    cr_expect_str_empty(find(r, "live_data")->command);
    hw_report_destroy(r);

    r = process(1000 * MIB, 499 * MIB, 90 * MIB);
    EXPECT(r, "healthy");
    hw_report_destroy(r);
}

Test(verdict, mmapped_chunks_are_live_data)
{
    struct hw_report *r = process(1000 * MIB, 1 * MIB, 1 * MIB);
    r->rss.mmapped_chunk_bytes = 900 * MIB;
    EXPECT(r, "live_data");
    hw_report_destroy(r);
}

Test(verdict, an_empty_report_is_healthy)
{
    struct hw_report *r = hw_report_create();
    EXPECT(r, "healthy");
    EXPECT(r, "healthy"); /* judged again, nothing is said twice */
    hw_report_destroy(r);
}

static void other(struct hw_report *r, const char *name, bool serves)
{
    struct hw_other o = {.name = name, .serves_malloc = serves};
    cr_assert(hw_vec_push(&r->allocator.others, o));
}

Test(verdict, unused_ends_it)
{
    struct hw_report *r = process(1000 * MIB, 0, 0);
    r->allocator.unused = true;
    EXPECT(r, "unused");
    SAYS(r, "unused", "mmap()");
    other(r, "jemalloc", true);
    EXPECT(r, "unused");
    SAYS(r, "unused", "jemalloc serves this program");
    r->allocator.unused = false;
    EXPECT(r, "other_allocator");
    hw_report_destroy(r);
}

Test(verdict, another_allocator_that_serves_malloc)
{
    struct hw_report *r = process(1000 * MIB, 60 * MIB, 39 * MIB);
    EXPECT(r, "not_malloc");
    other(r, "jemalloc", true);
    EXPECT(r, "other_allocator");
    SAYS(r, "other_allocator", "jemalloc; glibc's malloc has only 99.0 MiB of 1000.0 MiB RSS");
    hw_report_destroy(r);

    r = process(1000 * MIB, 0, 100 * MIB);
    other(r, "jemalloc", true);
    EXPECT(r, "some_retention main_arena");
    hw_report_destroy(r);
}

Test(verdict, another_allocator_beside_malloc)
{
    struct hw_report *r = process(1000 * MIB, 20 * MIB, 20 * MIB);
    other(r, "Go", false);
    r->rss.other_anon_bytes = 500 * MIB;
    EXPECT(r, "other_allocator");
    SAYS(r, "other_allocator", "Go");
    r->rss.other_anon_bytes = 499 * MIB;
    EXPECT(r, "not_malloc");
    r->rss.other_anon_bytes = 500 * MIB;
    r->allocator.others.data[0].name = NULL; /* one that is not known, and serves nobody */
    EXPECT(r, "not_malloc");
    hw_report_destroy(r);
}

Test(verdict, another_allocator_in_a_core)
{
    struct hw_report *r = core(4 * MIB, 3 * MIB);
    other(r, NULL, true);
    EXPECT(r, "other_allocator");
    SAYS(r, "other_allocator", "another allocator");
    hw_report_destroy(r);

    r = core(5 * MIB, 3 * MIB);
    other(r, NULL, true);
    EXPECT(r, "healthy");
    hw_report_destroy(r);
}

Test(verdict, memory_that_is_not_mallocs)
{
    struct hw_report *r = process(64 * MIB, 5 * MIB, MIB);
    r->rss.shmem_bytes = 58 * MIB;
    r->rss.file_bytes = 0;
    EXPECT(r, "not_malloc");
    SAYS(r, "not_malloc", "58.0 MiB are shared memory");
    r->rss.rss_bytes = 64 * MIB - 4096; /* too small to be looked at */
    EXPECT(r, "healthy");
    hw_report_destroy(r);

    r = process(70 * MIB, 6 * MIB, MIB); /* 10% */
    EXPECT(r, "healthy");
    hw_report_destroy(r);
}

Test(verdict, a_core_tells_what_is_in_the_books)
{
    struct hw_report *r = core(900 * MIB, 100 * MIB);
    EXPECT(r, "free_in_books main_arena");
    SAYS(r, "free_in_books", "Whether it is in RAM a core does not tell");
    cr_expect_eq(proof(r, "free_in_books", "system_and_mmapped_bytes"), 1000 * (int64_t)MIB);
    r->target.live = true; /* of a kernel that does not tell either */
    EXPECT(r, "free_in_books main_arena");
    SAYS(r, "free_in_books", "could not be found out");
    hw_report_destroy(r);

    r = core(901 * MIB, 99 * MIB);
    EXPECT(r, "live_data");
    SAYS(r, "live_data", "only 99.0 MiB is free, so");
    hw_report_destroy(r);

    r = core(0, 8 * MIB - 1);
    EXPECT(r, "healthy");
    cr_expect_null(strstr(find(r, "healthy")->text, "RAM"));
    hw_report_destroy(r);
}

/* ---- trimming -------------------------------------------------------------------------------- */

Test(verdict, trim_now_gives_back_half)
{
    struct hw_report *r = process(150 * MIB, 50 * MIB, 20 * MIB);
    trims(r, 10 * MIB);
    EXPECT(r, "some_retention trim_now main_arena");
    SAYS(r, "trim_now", "10.0 MiB now, in less than 0.1 s; 10.0 MiB of the free memory would stay");
    cr_expect_not_null(strstr(find(r, "trim_now")->command, "malloc_trim(0) in the program"));
    trims(r, 10 * MIB - 4096);
    EXPECT(r, "some_retention main_arena");
    hw_report_destroy(r);
}

Test(verdict, trim_now_gives_back_much_of_rss)
{
    struct hw_report *r = process(1000 * MIB, 50 * MIB, 800 * MIB);
    trims(r, 100 * MIB);
    EXPECT(r, "retention trim_now main_arena");
    trims(r, 100 * MIB - 4096);
    EXPECT(r, "retention main_arena");
    hw_report_destroy(r);

    r = process(20 * MIB, 5 * MIB, 10 * MIB); /* more than half, but nothing to speak of */
    trims(r, 8 * MIB);
    EXPECT(r, "retention trim_now main_arena");
    trims(r, 8 * MIB - 4096);
    EXPECT(r, "retention main_arena");
    hw_report_destroy(r);
}

Test(verdict, trim_takes_time_by_pages_and_pieces)
{
    struct hw_report *r = process(5 * KIB * MIB, MIB, 4 * KIB * MIB);
    trims(r, 4 * KIB * MIB); /* 1048576 pages */
    r->histogram.chunks[11] = 1000000;
    r->histogram.chunks[12] = 150000;
    r->histogram.chunks[30] = 1;
    EXPECT(r, "retention trim_now main_arena");
    SAYS(r, "trim_now", "in about 0.6 s");
    cr_expect_eq(proof(r, "trim_now", "estimated_ms"), (1048576 * 300 + 150001 * 2000) / 1000000);
    hw_report_destroy(r);
}

Test(verdict, pinned_by_live_data_on_the_same_pages)
{
    struct hw_report *r = process(200 * MIB, 80 * MIB, 100 * MIB);
    stays(r, HW_STAY_SHARED_PAGE, 50 * MIB);
    r->residency.fullness[0] = 7 * MIB;
    r->residency.fullness[1] = 3 * MIB;
    r->residency.fullness[3] = 4 * MIB;
    r->residency.fullness[4] = 90 * MIB;
    EXPECT(r, "retention pinned main_arena");
    SAYS(r, "pinned", "50.0 MiB");
    cr_expect_eq(proof(r, "pinned", "half_empty_page_bytes"), 7 * (int64_t)MIB);
    cr_expect_str_empty(find(r, "pinned")->command);
    stays(r, HW_STAY_SHARED_PAGE, 50 * MIB - 16);
    EXPECT(r, "retention main_arena");
    hw_report_destroy(r);
}

Test(verdict, locked_memory_stays)
{
    struct hw_report *r = process(200 * MIB, 80 * MIB, 100 * MIB);
    r->target.locked_bytes = hw_known(190 * MIB);
    stays(r, HW_STAY_OTHER, 50 * MIB);
    EXPECT(r, "retention locked main_arena");
    SAYS(r, "locked", "keeps 190.0 MiB in RAM");
    stays(r, HW_STAY_OTHER, 50 * MIB - 4096);
    EXPECT(r, "retention main_arena");
    hw_report_destroy(r);
}

Test(verdict, swapped_free_memory)
{
    struct hw_report *r = process(100 * MIB, 80 * MIB, MIB);
    hw_set(r->totals, HW_M_FREE_SWAPPED_BYTES, 10 * (int64_t)MIB);
    hw_set(r->totals, HW_M_TRIM_BYTES, 9 * (int64_t)MIB);
    r->rss.swap_bytes = 20 * MIB;
    EXPECT(r, "swapped");
    SAYS(r, "swapped", "would drop 9.00 MiB of that");
    hw_set(r->totals, HW_M_TRIM_BYTES, 0);
    EXPECT(r, "swapped");
    cr_expect_str_empty(find(r, "swapped")->command);
    hw_set(r->totals, HW_M_FREE_SWAPPED_BYTES, 10 * (int64_t)MIB - 4096);
    EXPECT(r, "live_data");
    hw_report_destroy(r);
}

Test(verdict, counters_do_not_know_what_was_returned)
{
    struct hw_report *r = process(100 * MIB, 80 * MIB, 9 * MIB);
    hw_set(r->totals, HW_M_FREE_BYTES, 20 * (int64_t)MIB);
    hw_set(r->totals, HW_M_FREE_RETURNED_BYTES, 10 * (int64_t)MIB);
    EXPECT(r, "returned");
    SAYS(r, "returned", "counts 20.0 MiB as free");
    SAYS(r, "returned", "9.00 MiB of it is in RAM");
    hw_set(r->totals, HW_M_FREE_RETURNED_BYTES, 10 * (int64_t)MIB - 4096);
    EXPECT(r, "live_data");
    hw_set(r->totals, HW_M_FREE_BYTES, 21 * (int64_t)MIB);
    hw_set(r->totals, HW_M_FREE_RETURNED_BYTES, 10 * (int64_t)MIB);
    EXPECT(r, "live_data");
    hw_report_destroy(r);
}

/* ---- settings -------------------------------------------------------------------------------- */

Test(verdict, mmap_threshold_that_grew)
{
    struct hw_report *r = process(200 * MIB, 80 * MIB, 100 * MIB);
    r->params.mmap_threshold = hw_known(MIB + 4096);
    r->histogram.bytes[17] = 10 * MIB;
    r->histogram.bytes[20] = 40 * MIB;
    r->histogram.bytes[21] = 50 * MIB; /* larger than the threshold: merged from who knows what */
    r->histogram.bytes[16] = 50 * MIB; /* never had mappings of their own */
    r->histogram.chunks[17] = 50;
    r->histogram.chunks[20] = 30;
    EXPECT(r, "retention mmap_threshold main_arena");
    SAYS(r, "mmap_threshold", "80 free chunks");
    cr_expect_str_eq(find(r, "mmap_threshold")->command, "MALLOC_MMAP_THRESHOLD_=131072");

    r->histogram.bytes[17] -= 16;
    EXPECT(r, "retention main_arena");
    r->histogram.bytes[17] += 16;
    r->params.mmap_threshold = hw_known(MIB);
    EXPECT(r, "retention main_arena");
    r->params.mmap_threshold = hw_known(MIB + 4096);
    r->params.mmap_threshold_dynamic = hw_known(0);
    EXPECT(r, "retention main_arena");
    r->params.mmap_threshold_dynamic = hw_known(1);
    r->residency.free[HW_FREE_BIN].resident = 49 * MIB; /* these chunks cost no RAM */
    EXPECT(r, "retention main_arena");
    hw_report_destroy(r);
}

static void top_of(struct hw_report *r, size_t i, uint64_t bytes)
{
    struct hw_arena *a = &r->arenas.data[i];
    a->top.bytes = a->top.merged_bytes = bytes;
    a->top.reason = HW_TRIM_BELOW_THRESHOLD;
    a->residency.free[HW_FREE_TOP] = (struct hw_split){true, bytes, 0, 0};
}

Test(verdict, trim_threshold_that_grew)
{
    struct hw_report *r = process(200 * MIB, 80 * MIB, 40 * MIB);
    arena(r, MIB, 60 * MIB);
    top_of(r, 0, 20 * MIB);
    top_of(r, 1, 30 * MIB);
    r->params.trim_threshold = hw_known(64 * MIB);
    EXPECT(r, "retention trim_threshold few_arenas");
    SAYS(r, "trim_threshold", "keeps 50.0 MiB at the ends of 2 arenas");
    SAYS(r, "trim_threshold", "has grown to 64.0 MiB");
    cr_expect_str_eq(find(r, "trim_threshold")->command, "MALLOC_TRIM_THRESHOLD_=131072");

    top_of(r, 1, 30 * MIB - 4096);
    EXPECT(r, "retention few_arenas");
    top_of(r, 1, 30 * MIB);
    r->params.trim_threshold = hw_known(30 * MIB); /* that top would have been cut */
    EXPECT(r, "retention few_arenas");
    r->params.trim_threshold = hw_known(64 * MIB);
    r->arenas.data[1].top.reason = HW_TRIM_BRK_MOVED; /* nothing could cut this one */
    EXPECT(r, "retention few_arenas");
    hw_report_destroy(r);
}

Test(verdict, trim_threshold_that_was_set)
{
    struct hw_report *r = process(200 * MIB, 80 * MIB, 100 * MIB);
    top_of(r, 0, 100 * MIB);
    r->params.mmap_threshold_dynamic = hw_known(0);
    r->params.trim_threshold = hw_known(UINT64_MAX);
    EXPECT(r, "retention trim_threshold main_arena");
    SAYS(r, "trim_threshold", "that is off");
    r->params.trim_threshold = hw_known(128 * MIB);
    EXPECT(r, "retention trim_threshold main_arena");
    SAYS(r, "trim_threshold", "is set to 128.0 MiB");
    r->params.trim_threshold = hw_known(MIB); /* may have been larger when top grew */
    EXPECT(r, "retention main_arena");
    hw_report_destroy(r);
}

Test(verdict, small_tops_are_as_they_should_be)
{
    struct hw_report *r = process(200 * MIB, 80 * MIB, 0);
    for (size_t i = 1; i <= 800; i++) {
        arena(r, 16 * KIB, 127 * KIB);
        top_of(r, i, 127 * KIB);
    }
    r->params.trim_threshold = hw_known(64 * MIB);
    EXPECT(r, "retention arena_cap");
    hw_report_destroy(r);
}

Test(verdict, tcache_that_holds_much)
{
    struct hw_report *r = process(100 * MIB, 80 * MIB, 9 * MIB);
    struct hw_thread_row t = {.tid = 1, .tcache_bytes = hw_known(4 * MIB)};
    for (unsigned i = 0; i < 3; i++, t.tcache_bytes.n = i == 2 ? 0 : t.tcache_bytes.n)
        cr_assert(hw_vec_push(&r->threads, t));
    r->params.tcache_count = hw_known(1000);
    r->residency.free[HW_FREE_TCACHE] = (struct hw_split){true, 10 * MIB, 0, 0};
    EXPECT(r, "tcache");
    SAYS(r, "tcache", "The caches of 2 threads (tcache) hold 10.0 MiB");
    cr_expect_str_eq(find(r, "tcache")->command, "GLIBC_TUNABLES=glibc.malloc.tcache_count=7");
    r->params.tcache_count = hw_known(7);
    EXPECT(r, "tcache");
    cr_expect_str_eq(find(r, "tcache")->command, "GLIBC_TUNABLES=glibc.malloc.tcache_count=2");
    r->residency.free[HW_FREE_TCACHE].resident = 10 * MIB - 4096;
    EXPECT(r, "live_data");
    hw_report_destroy(r);
}

/* ---- arenas ---------------------------------------------------------------------------------- */

/* `count` thread arenas of 10 MiB free each. */
static struct hw_report *many_arenas(size_t count, uint64_t used, uint64_t main_held)
{
    struct hw_report *r = process(count * (10 * MIB + used) + main_held + 20 * MIB, MIB, main_held);
    for (size_t i = 0; i < count; i++)
        arena(r, used, 10 * MIB);
    r->target.threads = 41;
    r->limits.idle_arenas = hw_known(3);
    r->limits.arenas = hw_known(64);
    return r;
}

Test(verdict, arena_cap_where_waste_is_spread)
{
    struct hw_report *r = many_arenas(63, 10 * MIB, 0);
    EXPECT(r, "retention arena_cap");
    SAYS(r, "retention", "100% of it in 63 thread arenas");
    SAYS(r, "arena_cap", "(3 without a thread)");
    SAYS(r, "arena_cap", "41 threads in 8 arenas are 6 each");
    cr_expect_str_eq(find(r, "arena_cap")->command, "MALLOC_ARENA_MAX=8");
    cr_expect_not_null(strstr(find(r, "arena_cap")->cost, "locks"));
    cr_expect_eq(proof(r, "arena_cap", "arenas_with_half"), 32);
    r->limits.cgroup_cpus = hw_known(3);
    rules_of(r);
    cr_expect_str_eq(find(r, "arena_cap")->command, "MALLOC_ARENA_MAX=3");
    r->limits.cgroup_cpus = hw_known(1);
    rules_of(r);
    cr_expect_str_eq(find(r, "arena_cap")->command, "MALLOC_ARENA_MAX=2");
    hw_report_destroy(r);

    r = many_arenas(63, 10 * MIB + 16 * KIB, 0); /* more than half of it is in use */
    EXPECT(r, "retention");
    hw_report_destroy(r);
}

Test(verdict, no_arena_cap_where_it_would_change_nothing)
{
    struct hw_report *r = many_arenas(7, 0, 0); /* half of it is in 4 */
    EXPECT(r, "retention arena_cap");
    hw_report_destroy(r);

    r = many_arenas(6, 0, 0); /* half of it is in 3 */
    EXPECT(r, "retention few_arenas");
    hw_report_destroy(r);
}

Test(verdict, main_arena_with_most_of_it)
{
    struct hw_report *r = many_arenas(10, 0, 101 * MIB);
    EXPECT(r, "retention main_arena");
    SAYS(r, "main_arena", "MALLOC_ARENA_MAX) will not help");
    cr_expect_str_empty(find(r, "main_arena")->command);
    hw_report_destroy(r);

    r = many_arenas(10, 0, 100 * MIB);
    EXPECT(r, "retention arena_cap");
    hw_report_destroy(r);
}

Test(verdict, few_arenas_are_named)
{
    struct hw_report *r = many_arenas(10, 0, 0);
    struct hw_arena *worst = arena(r, MIB, 200 * MIB);
    r->rss.rss_bytes += 201 * MIB;
    cr_assert(hw_vec_push(&worst->tids, 4712));
    EXPECT(r, "retention few_arenas");
    SAYS(r, "few_arenas", "in 1 of them, most in arena 11 (200.0 MiB; thread 4712)");
    worst->tids.count = 0;
    worst->attached_threads = hw_known(0);
    rules_of(r);
    SAYS(r, "few_arenas", "no thread is attached to it");
    hw_report_destroy(r);
}

Test(verdict, spread_in_a_core)
{
    struct hw_report *r = core(MIB, 0);
    for (size_t i = 0; i < 16; i++)
        arena(r, MIB, 10 * MIB);
    r->totals[HW_M_FREE_RESIDENT_BYTES].known = false;
    EXPECT(r, "free_in_books arena_cap");
    cr_expect_str_eq(find(r, "arena_cap")->command, "MALLOC_ARENA_MAX=4");
    hw_report_destroy(r);
}

static void pins(struct hw_arena *a, uint64_t chunks, uint64_t joins)
{
    struct hw_pin pin = {.block = sample_block(HW_USED, (int)a->index, 1040)};
    a->top_pins.known = true;
    a->top_pins.chunks = chunks;
    a->top_pins.bytes = chunks * 1040;
    a->top_pins.joins_bytes = joins + MIB;
    a->top_pins.joins_resident = joins;
    if (a->top_pins.first.count == 0)
        cr_assert(hw_vec_push(&a->top_pins.first, pin));
}

Test(verdict, top_pinned_by_few_chunks)
{
    struct hw_report *r = process(200 * MIB, 10 * MIB, 100 * MIB);
    pins(&r->arenas.data[0], 16, 50 * MIB);
    EXPECT(r, "retention main_arena top_pinned");
    SAYS(r, "top_pinned", "16 chunks (16.3 KiB) at the end of 1 arena keep 50.0 MiB");
    SAYS(r, "top_pinned", "the first is at 0x7f0000001230, 1.02 KiB");
    pins(&r->arenas.data[0], 1, 50 * MIB);
    EXPECT(r, "retention main_arena top_pinned");
    SAYS(r, "top_pinned", "1 chunk (1.02 KiB) at the end of 1 arena keeps");

    pins(&r->arenas.data[0], 17, 50 * MIB);
    EXPECT(r, "retention main_arena");
    pins(&r->arenas.data[0], 16, 50 * MIB - 16);
    EXPECT(r, "retention main_arena");
    pins(&r->arenas.data[0], 16, 50 * MIB);
    r->arenas.data[0].top.reason = HW_TRIM_NONCONTIGUOUS;
    EXPECT(r, "retention main_arena");
    r->arenas.data[0].top.reason = HW_TRIM_NONE;
    r->params.trim_threshold = hw_known(51 * MIB + 16 * 1040 + 1);
    EXPECT(r, "retention main_arena");
    r->params.trim_threshold = hw_known(51 * MIB + 16 * 1040);
    EXPECT(r, "retention main_arena top_pinned");
    r->arenas.data[0].top_pins.chunks = 0; /* chunks in tcaches hold on, too */
    r->arenas.data[0].top_pins.cached_chunks = 16;
    EXPECT(r, "retention main_arena top_pinned");
    r->arenas.data[0].top_pins.cached_chunks = 17;
    EXPECT(r, "retention main_arena");
    r->arenas.data[0].top_pins.cached_chunks = 16;
    r->arenas.data[0].top_pins.known = false;
    EXPECT(r, "retention main_arena");
    hw_report_destroy(r);
}

/* ---- what was not exact ---------------------------------------------------------------------- */

static void move(struct hw_report *r, size_t arena)
{
    r->arenas.data[arena].moved = true;
    hw_report_add(r, HW_FINDING_MOVED, (int)arena, (struct hw_maybe){0}, (struct hw_maybe){0},
                  "it changed while it was read");
}

Test(verdict, what_changed_while_it_was_read_is_said_first)
{
    struct hw_report *r = many_arenas(20, 5 * MIB, 0);
    EXPECT(r, "retention arena_cap");
    move(r, 3);
    EXPECT(r, "incomplete retention arena_cap");
    SAYS(r, "incomplete", "About right, not exact: 1 of 21 arenas changed while it was read.");
    cr_expect_eq(proof(r, "incomplete", "moved_arenas"), 1);
    move(r, 0);
    hw_set(r->totals, HW_M_UNACCOUNTED_BYTES, -4096);
    EXPECT(r, "incomplete retention arena_cap");
    SAYS(r, "incomplete", "2 of 21 arenas changed while they were read.");
    cr_expect_null(strstr(find(r, "incomplete")->text, "followed"));
    hw_set(r->totals, HW_M_UNACCOUNTED_BYTES, 4096);
    EXPECT(r, "incomplete retention arena_cap");
    SAYS(r, "incomplete", "they were read. 4.00 KiB of ");
    SAYS(r, "incomplete", " could not be followed.");
    cr_expect_eq(proof(r, "incomplete", "unaccounted_bytes"), 4096);

    hw_report_add(r, HW_FINDING_BAD_CHUNK, 1, (struct hw_maybe){0}, hw_known(64), "wrong");
    EXPECT(r, "incomplete retention arena_cap");
    SAYS(r, "incomplete", "Incomplete: 4.00 KiB of ");
    SAYS(r, "incomplete", "These figures may be wrong.");
    cr_expect_eq(proof(r, "incomplete", "moved_arenas"), 2);
    hw_report_destroy(r);
}

Test(verdict, caches_and_lone_arenas_may_change_too)
{
    struct hw_report *r = process(1000 * MIB, 900 * MIB, 0);
    hw_report_add(r, HW_FINDING_MOVED, -1, (struct hw_maybe){0}, (struct hw_maybe){0}, "a tcache");
    EXPECT(r, "incomplete live_data");
    SAYS(r, "incomplete", "About right, not exact: something changed while it was read.");
    move(r, 0);
    EXPECT(r, "incomplete live_data");
    SAYS(r, "incomplete", "About right, not exact: the arena changed while it was read.");
    hw_report_destroy(r);
}

/* ---- all together ---------------------------------------------------------------------------- */

Test(verdict, no_more_than_four_sentences)
{
    struct hw_report *r = many_arenas(20, MIB, 0);
    trims(r, 100 * MIB);
    stays(r, HW_STAY_SHARED_PAGE, 100 * MIB);
    r->residency.free[HW_FREE_TCACHE] = (struct hw_split){true, 50 * MIB, 0, 0};
    hw_set(r->totals, HW_M_FREE_SWAPPED_BYTES, 100 * (int64_t)MIB);
    EXPECT(r, "retention trim_now pinned arena_cap");
    hw_report_destroy(r);
}

Test(verdict, damaged_figures_do_no_harm)
{
    struct hw_report *r = process(UINT64_MAX, 0, 0);
    for (size_t m = 0; m < HW_METRICS_; m++) {
        r->totals[m].known = r->arenas.data[0].figures[m].known = true;
        r->totals[m].n = m % 2 ? INT64_MIN : INT64_MAX;
        r->arenas.data[0].figures[m].n = m % 2 ? INT64_MAX : -1;
    }
    for (size_t i = 0; i < HW_STAYS_; i++)
        r->residency.stays[i].n = i % 2 ? INT64_MAX : INT64_MIN;
    r->rss.glibc_heap_bytes = r->rss.mmapped_chunk_bytes = UINT64_MAX;
    r->target.page_size = 0;
    r->target.threads = UINT64_MAX;
    memset(&r->histogram, 0xff, sizeof r->histogram);
    hw_judge(r);
    cr_expect_gt(r->verdict.count, 0);
    hw_report_destroy(r);
}

Test(verdict, percentages_round_to_what_is_true)
{
    char buf[HW_PERCENT_TEXT];
    cr_expect_str_eq(hw_percent(buf, 0, 0), "100%");
    cr_expect_str_eq(hw_percent(buf, 7, 7), "100%");
    cr_expect_str_eq(hw_percent(buf, 9999, 10000), "over 99%");
    cr_expect_str_eq(hw_percent(buf, 99, 100), "99%");
    cr_expect_str_eq(hw_percent(buf, 1, 100), "1%");
    cr_expect_str_eq(hw_percent(buf, 1, 101), "under 1%");
    cr_expect_str_eq(hw_percent(buf, 1, 3), "33%");
}
