#include "render/parsed.h"

static json_t *full_json(void)
{
    struct hw_report *r = full_report();
    json_t *o = parsed(r);
    hw_report_destroy(r);
    return o;
}

/* The value at "a.b.0.c". */
static json_t *at(json_t *o, const char *path)
{
    char buf[128], *save = NULL;
    strcpy(buf, path);
    for (char *key = strtok_r(buf, ".", &save); key; key = strtok_r(NULL, ".", &save))
        o = json_is_array(o) ? json_array_get(o, strtoul(key, NULL, 10)) : json_object_get(o, key);
    cr_assert_not_null(o, "there is no %s", path);
    return o;
}

static void expect_keys(json_t *o, const char *path, const char *expected)
{
    char keys[2048] = "";
    const char *key;
    json_t *value;
    json_object_foreach(*path ? at(o, path) : o, key, value)
    {
        strcat(keys, *keys ? " " : "");
        strcat(keys, key);
    }
    cr_expect_str_eq(keys, expected, "%s has %s", path, keys);
}

static void expect_int(json_t *o, const char *path, json_int_t n)
{
    cr_expect(json_is_integer(at(o, path)), "%s is no integer", path);
    cr_expect_eq(json_integer_value(at(o, path)), n, "%s is %lld", path,
                 (long long)json_integer_value(at(o, path)));
}

static void expect_text(json_t *o, const char *path, const char *text)
{
    cr_assert(json_is_string(at(o, path)), "%s is no string", path);
    cr_expect_str_eq(json_string_value(at(o, path)), text);
}

static void expect_null(json_t *o, const char *path)
{
    cr_expect(json_is_null(at(o, path)), "%s is not null", path);
}

Test(json, all_keys_in_order)
{
    json_t *o = full_json();
    expect_keys(
        o, "",
        "schema_version heapwalk target allocator method complete findings params mallinfo2 "
        "totals histogram in_use_histogram arenas threads rss verdict finding_counts "
        "holes limits check abort");
    expect_keys(o, "heapwalk", "version");
    expect_keys(o, "target", "kind pid comm exe core arch threads page_size ended start_ticks");
    expect_keys(o, "allocator",
                "name version libc layout_source roots_source main_arena unused others");
    expect_keys(o, "allocator.libc", "path build_id");
    expect_keys(o, "method", "mode pause_ns stops thread_pause_ns bytes_read walk_ns sandbox time");
    expect_keys(o, "findings.0", "kind arena address bytes text invariant scene");
    expect_keys(o, "params",
                "trim_threshold top_pad mmap_threshold mmap_threshold_dynamic arena_max arena_test "
                "n_mmaps n_mmaps_max mmapped_bytes tcache_count tcache_max_bytes");
    expect_keys(o, "mallinfo2",
                "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost");
    expect_keys(o, "totals",
                "system_bytes in_use_bytes in_use_chunks tcache_bytes tcache_chunks fastbin_bytes "
                "fastbin_chunks bin_bytes bin_chunks top_bytes overhead_bytes unaccounted_bytes "
                "free_bytes largest_free_bytes mmapped_bytes mmapped_chunks resident_bytes "
                "free_resident_bytes free_swapped_bytes free_returned_bytes in_use_resident_bytes "
                "trim_resident_bytes trim_bytes external_fragmentation utilization packed_bytes "
                "stays free_by_kind page_fullness");
    expect_keys(o, "totals.stays",
                "shared_page_bytes tcache_bytes thread_top_bytes main_top_bytes other_bytes");
    expect_keys(o, "totals.free_by_kind", "tcache fastbin bin top");
    expect_keys(o, "totals.free_by_kind.top", "resident_bytes swapped_bytes returned_bytes");
    expect_keys(o, "histogram.0", "from to chunks bytes");
    expect_keys(
        o, "arenas.0",
        "index address kind locked held_by moved attached_threads tids heaps top max_system_bytes "
        "system_bytes in_use_bytes in_use_chunks tcache_bytes tcache_chunks fastbin_bytes "
        "fastbin_chunks bin_bytes bin_chunks top_bytes overhead_bytes unaccounted_bytes "
        "free_bytes largest_free_bytes resident_bytes free_resident_bytes "
        "free_swapped_bytes free_returned_bytes in_use_resident_bytes trim_resident_bytes "
        "trim_bytes external_fragmentation utilization packed_bytes stays free_by_kind "
        "page_fullness histogram contiguous brk top_pins");
    expect_keys(o, "arenas.0.heaps.0", "address bytes mprotect_bytes resident_bytes free");
    expect_keys(o, "arenas.0.top",
                "address bytes resident_bytes trimmable_bytes malloc_trim_bytes reason");
    expect_keys(o, "threads.0", "tid arena tcache_bytes tcache_chunks in_malloc");
    expect_keys(o, "rss",
                "rss_bytes glibc_heap_bytes mmapped_chunk_bytes stack_bytes file_bytes shmem_bytes "
                "other_anon_bytes swap_bytes unexplained_bytes");
    json_decref(o);
}

Test(json, where_it_comes_from)
{
    json_t *o = full_json();
    expect_int(o, "schema_version", 1);
    expect_text(o, "heapwalk.version", HW_VERSION_STRING);
    expect_text(o, "target.kind", "live");
    expect_int(o, "target.pid", 4711);
    expect_text(o, "target.comm", "victim");
    expect_text(o, "target.exe", "/usr/bin/victim");
    expect_null(o, "target.core");
    expect_text(o, "target.arch", "x86_64");
    expect_int(o, "target.threads", 1);
    expect_int(o, "target.page_size", 4096);
    expect_text(o, "allocator.name", "glibc");
    expect_text(o, "allocator.version", "2.36");
    expect_text(o, "allocator.libc.path", "/lib/x86_64-linux-gnu/libc.so.6");
    expect_text(o, "allocator.libc.build_id", "0123456789abcdef");
    expect_text(o, "allocator.layout_source", "dwarf");
    expect_text(o, "allocator.roots_source", "symtab");
    expect_text(o, "allocator.main_arena", "0x7f0000000c60");
    cr_expect(json_is_false(at(o, "allocator.unused")));
    expect_text(o, "method.mode", "stopped");
    expect_int(o, "method.pause_ns", 1234567);
    expect_int(o, "method.bytes_read", 135168);
    expect_text(o, "method.sandbox", "seccomp");
    expect_int(o, "method.walk_ns", 1000000);
    json_decref(o);
}

Test(json, findings)
{
    json_t *o = full_json();
    cr_expect(json_is_false(at(o, "complete")));
    cr_expect_eq(json_array_size(at(o, "findings")), 2);
    expect_text(o, "findings.0.kind", "bad_chunk");
    expect_int(o, "findings.0.arena", 1);
    expect_text(o, "findings.0.address", "0x7effc0000030");
    expect_int(o, "findings.0.bytes", 64);
    expect_text(o, "findings.0.text", "size 0x41");
    expect_null(o, "findings.1.arena");
    expect_null(o, "findings.1.address");
    expect_null(o, "findings.1.bytes");
    expect_keys(o, "finding_counts", "note bad_chunk");
    expect_int(o, "finding_counts.bad_chunk", 1);
    json_decref(o);
}

Test(json, params_and_mallinfo)
{
    json_t *o = full_json();
    expect_int(o, "params.trim_threshold", 131072);
    expect_int(o, "params.top_pad", 0);
    cr_expect(json_is_true(at(o, "params.mmap_threshold_dynamic")));
    expect_int(o, "params.n_mmaps_max", 65536);
    expect_int(o, "params.tcache_max_bytes", 1032);
    static const char *const fields[] = {"arena",   "ordblks", "smblks",   "hblks",    "hblkhd",
                                         "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"};
    static const json_int_t values[] = {1, 2, 3, 4, 5, 0, 7, 8, 9, 10};
    for (size_t i = 0; i < 10; i++)
        cr_expect_eq(json_integer_value(json_object_get(at(o, "mallinfo2"), fields[i])), values[i]);
    json_decref(o);
}

Test(json, figures)
{
    json_t *o = full_json();
    expect_int(o, "totals.system_bytes", 1183744);
    expect_int(o, "totals.mmapped_bytes", 204800);
    expect_null(o, "totals.resident_bytes");
    expect_null(o, "totals.stays.other_bytes");
    expect_null(o, "totals.utilization");
    expect_int(o, "arenas.0.system_bytes", 135168);
    expect_int(o, "arenas.0.unaccounted_bytes", -16);
    cr_expect(json_is_real(at(o, "arenas.0.utilization")));
    cr_expect_eq(json_real_value(at(o, "arenas.0.utilization")), 0.25);
    cr_expect_float_eq(json_real_value(at(o, "arenas.0.external_fragmentation")), 1.0 / 3, 1e-6);
    expect_null(o, "arenas.1.in_use_bytes");
    expect_null(o, "rss.rss_bytes");
    cr_expect_eq(json_array_size(at(o, "verdict")), 0);
    json_decref(o);
}

Test(json, what_is_not_known_of_pages_is_null)
{
    json_t *o = full_json();
    expect_null(o, "totals.free_by_kind.bin.resident_bytes");
    expect_null(o, "totals.page_fullness");
    expect_null(o, "arenas.0.stays.shared_page_bytes");
    expect_null(o, "arenas.0.page_fullness");
    expect_null(o, "arenas.0.heaps.0.resident_bytes");
    expect_null(o, "arenas.0.heaps.0.free.returned_bytes");
    expect_null(o, "rss.unexplained_bytes");
    json_decref(o);
}

/* Into the same place of an arena and of the totals. */
static void know_residency(struct hw_residency *res)
{
    for (unsigned kind = 0; kind < HW_FREE_KINDS_; kind++)
        res->free[kind] = (struct hw_split){true, 1000 + kind, 100 + kind, 10 + kind};
    res->in_use = (struct hw_split){true, 5000, 6, 7};
    for (unsigned why = 0; why < HW_STAYS_; why++)
        res->stays[why] = (struct hw_figure){.known = true, .n = 20 + why};
    for (unsigned i = 0; i < HW_FULLNESS; i++)
        res->fullness[i] = 4096 * (i + 1);
}

static void expect_residency(json_t *o)
{
    expect_int(o, "stays.shared_page_bytes", 20);
    expect_int(o, "stays.tcache_bytes", 21);
    expect_int(o, "stays.thread_top_bytes", 22);
    expect_int(o, "stays.main_top_bytes", 23);
    expect_int(o, "stays.other_bytes", 24);
    expect_int(o, "free_by_kind.tcache.resident_bytes", 1000);
    expect_int(o, "free_by_kind.fastbin.swapped_bytes", 101);
    expect_int(o, "free_by_kind.top.returned_bytes", 13);
    cr_expect_eq(json_array_size(at(o, "page_fullness")), HW_FULLNESS);
    static const json_int_t ends[] = {0, 0, 10, 25, 50, 75, 100};
    for (unsigned i = 0; i < HW_FULLNESS; i++) {
        json_t *row = json_array_get(at(o, "page_fullness"), i);
        expect_int(row, "from_percent", ends[i]);
        expect_int(row, "to_percent", ends[i + 1]);
        expect_int(row, "bytes", 4096 * (i + 1));
    }
}

Test(json, what_is_known_of_pages)
{
    struct hw_report *r = full_report();
    know_residency(&r->residency);
    know_residency(&r->arenas.data[0].residency);
    r->arenas.data[0].heaps.data[0].resident_bytes = hw_known(8192);
    r->arenas.data[0].heaps.data[0].free = (struct hw_split){true, 1, 2, 3};
    r->rss = (struct hw_rss){.known = true,
                             .rss_bytes = 100,
                             .glibc_heap_bytes = 60,
                             .mmapped_chunk_bytes = 10,
                             .stack_bytes = 5,
                             .file_bytes = 20,
                             .shmem_bytes = 4,
                             .other_anon_bytes = 3,
                             .swap_bytes = 9,
                             .unexplained_bytes = -2};
    json_t *o = parsed(r);
    expect_residency(at(o, "totals"));
    expect_residency(at(o, "arenas.0"));
    expect_null(o, "arenas.1.page_fullness");
    expect_int(o, "arenas.0.heaps.0.resident_bytes", 8192);
    expect_int(o, "arenas.0.heaps.0.free.resident_bytes", 1);
    expect_int(o, "arenas.0.heaps.0.free.swapped_bytes", 2);
    expect_int(o, "arenas.0.heaps.0.free.returned_bytes", 3);
    expect_int(o, "rss.rss_bytes", 100);
    expect_int(o, "rss.other_anon_bytes", 3);
    expect_int(o, "rss.swap_bytes", 9);
    expect_int(o, "rss.unexplained_bytes", -2);
    json_decref(o);
    hw_report_destroy(r);
}

Test(json, a_ratio_of_one_or_zero_is_still_a_real)
{
    struct hw_report *r = sample_report();
    r->totals[HW_M_UTILIZATION] = (struct hw_figure){.known = true, .ratio = 1};
    r->totals[HW_M_EXTERNAL_FRAGMENTATION] = (struct hw_figure){.known = true, .ratio = 0};
    json_t *o = parsed(r);
    cr_expect(json_is_real(at(o, "totals.utilization")));
    cr_expect(json_is_real(at(o, "totals.external_fragmentation")));
    json_decref(o);
    hw_report_destroy(r);
}

Test(json, histograms_go_from_the_first_to_the_last_bucket_in_use)
{
    json_t *o = full_json();
    cr_expect_eq(json_array_size(at(o, "histogram")), 3);
    expect_int(o, "histogram.0.from", 32);
    expect_int(o, "histogram.0.to", 63);
    expect_int(o, "histogram.0.chunks", 2);
    expect_int(o, "histogram.0.bytes", 80);
    expect_int(o, "histogram.1.chunks", 0);
    expect_int(o, "histogram.2.from", 128);
    expect_int(o, "histogram.2.to", 255);
    cr_expect_eq(json_array_size(at(o, "arenas.0.histogram")), 3);
    cr_expect_eq(json_array_size(at(o, "arenas.1.histogram")), 0);
    cr_expect_eq(json_array_size(at(o, "in_use_histogram")), 1);
    expect_int(o, "in_use_histogram.0.to", INT64_MAX);
    json_decref(o);
}

Test(json, arenas)
{
    json_t *o = full_json();
    cr_expect_eq(json_array_size(at(o, "arenas")), 2);
    expect_int(o, "arenas.0.index", 0);
    expect_text(o, "arenas.0.address", "0x7f0000000c60");
    expect_text(o, "arenas.0.kind", "main");
    cr_expect(json_is_false(at(o, "arenas.0.locked")));
    expect_int(o, "arenas.0.attached_threads", 1);
    cr_expect_eq(json_array_size(at(o, "arenas.0.tids")), 2);
    expect_int(o, "arenas.0.tids.1", 4712);
    expect_text(o, "arenas.0.heaps.0.address", "0x10000");
    expect_int(o, "arenas.0.heaps.0.bytes", 135168);
    expect_null(o, "arenas.0.heaps.0.mprotect_bytes");
    expect_text(o, "arenas.0.top.address", "0x21000");
    expect_int(o, "arenas.0.top.bytes", 65536);
    expect_null(o, "arenas.0.top.resident_bytes");
    expect_int(o, "arenas.0.top.trimmable_bytes", 0);
    expect_int(o, "arenas.0.top.malloc_trim_bytes", 61440);
    expect_text(o, "arenas.0.top.reason", "below_threshold");
    expect_int(o, "arenas.0.max_system_bytes", 135168);
    cr_expect(json_is_true(at(o, "arenas.0.contiguous")));
    expect_text(o, "arenas.0.brk", "0x31000");

    expect_text(o, "arenas.1.kind", "thread");
    cr_expect(json_is_true(at(o, "arenas.1.locked")));
    cr_expect(json_is_false(at(o, "arenas.0.moved")));
    cr_expect(json_is_true(at(o, "arenas.1.moved")));
    expect_null(o, "arenas.1.attached_threads");
    expect_int(o, "arenas.1.heaps.0.mprotect_bytes", 1048576);
    expect_null(o, "arenas.1.top.address");
    expect_null(o, "arenas.1.top.trimmable_bytes");
    expect_null(o, "arenas.1.top.reason");
    expect_null(o, "arenas.1.contiguous");
    expect_null(o, "arenas.1.brk");
    json_decref(o);
}

Test(json, threads)
{
    json_t *o = full_json();
    expect_int(o, "threads.0.tid", 4711);
    expect_int(o, "threads.0.arena", 0);
    expect_int(o, "threads.0.tcache_bytes", 512);
    expect_int(o, "threads.0.tcache_chunks", 4);
    expect_null(o, "threads.1.arena");
    expect_null(o, "threads.1.tcache_bytes");
    json_decref(o);
}

Test(json, only_one_arena)
{
    struct hw_report *r = full_report();
    json_t *o = parsed_with(
        r, &(struct hw_render_options){.format = "json", .only_arena = true, .arena = 1});
    cr_expect_eq(json_array_size(at(o, "arenas")), 1);
    expect_int(o, "arenas.0.index", 1);
    expect_int(o, "totals.system_bytes", 1183744);
    json_decref(o);
    hw_report_destroy(r);
}

Test(json, a_report_that_knows_nothing)
{
    struct hw_report *r = hw_report_create();
    r->method.mode = HW_MODE_CORE;
    json_t *o = parsed(r);
    expect_text(o, "target.kind", "core");
    expect_null(o, "target.pid");
    expect_null(o, "target.comm");
    expect_null(o, "allocator.version");
    expect_null(o, "allocator.main_arena");
    expect_text(o, "method.mode", "core");
    expect_null(o, "method.pause_ns");
    expect_null(o, "params.trim_threshold");
    expect_null(o, "params.mmap_threshold_dynamic");
    expect_null(o, "totals.system_bytes");
    cr_expect(json_is_true(at(o, "complete")));
    cr_expect_eq(json_array_size(at(o, "arenas")), 0);
    json_decref(o);
    hw_report_destroy(r);
}

Test(json, what_does_not_fit_into_63_bits_is_cut)
{
    struct hw_report *r = sample_report();
    r->params.trim_threshold = hw_known(UINT64_MAX); /* M_TRIM_THRESHOLD -1: never */
    json_t *o = parsed(r);
    expect_int(o, "params.trim_threshold", INT64_MAX);
    json_decref(o);
    hw_report_destroy(r);
}

static void expect_comm(const char *comm, const char *expected)
{
    struct hw_report *r = sample_report();
    free(r->target.comm);
    r->target.comm = strdup(comm);
    json_t *o = parsed(r);
    expect_text(o, "target.comm", expected);
    json_decref(o);
    hw_report_destroy(r);
}

#define REPLACED "\xef\xbf\xbd"

Test(json, names_that_are_not_utf8_are_made_so)
{
    expect_comm("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80", /* valid */
                "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80");
    expect_comm("a \"quoted\"\n\\name\x01", "a \"quoted\"\n\\name\x01");
    expect_comm("\xff", REPLACED);
    expect_comm("a\x80z", "a" REPLACED "z");
    expect_comm("ok \xe2\x82", "ok " REPLACED REPLACED);                  /* cut off */
    expect_comm("\xc3\xbc\xc0\xaf", "\xc3\xbc" REPLACED REPLACED);        /* overlong */
    expect_comm("\xed\xa0\x80", REPLACED REPLACED REPLACED);              /* surrogate */
    expect_comm("\xf4\x90\x80\x80", REPLACED REPLACED REPLACED REPLACED); /* too large */
    expect_comm("\xf8\x88\x80\x80\x80", REPLACED REPLACED REPLACED REPLACED REPLACED);
}

/* ---- chunks ---------------------------------------------------------------------------------- */

Test(json, a_line_for_each_chunk)
{
    struct hw_report *r = sample_report();
    static const struct hw_block blocks[] = SAMPLE_BLOCKS;
    char *text = listed(r, "json", blocks, SAMPLE_BLOCK_COUNT);
    char *save = NULL, *line = strtok_r(text, "\n", &save);
    for (size_t i = 0; i < SAMPLE_BLOCK_COUNT; i++, line = strtok_r(NULL, "\n", &save)) {
        json_error_t err;
        cr_assert_not_null(line);
        json_t *o = json_loads(line, i == 6 ? JSON_DECODE_INT_AS_REAL : 0, &err);
        cr_assert_not_null(o, "%s: %s", line, err.text);
        expect_keys(o, "", "address pointer bytes state arena bin tid");
        expect_text(o, "state", hw_state_name((enum hw_state)blocks[i].state));
        json_decref(o);
    }
    cr_expect_null(line);
    free(text);
    hw_report_destroy(r);
}

Test(json, the_values_of_a_chunk)
{
    struct hw_report *r = sample_report();
    static const struct hw_block blocks[] = SAMPLE_BLOCKS;
    char *text = listed(r, "json", blocks, SAMPLE_BLOCK_COUNT);
    cr_expect_str_eq(
        text,
        "{\"address\":\"0x10000\",\"pointer\":\"0x10010\",\"bytes\":48,\"state\":\"in use\","
        "\"arena\":0,\"bin\":null,\"tid\":null}\n"
        "{\"address\":\"0x7f0000000000\",\"pointer\":\"0x7f0000000010\",\"bytes\":200704,"
        "\"state\":\"mmapped\",\"arena\":null,\"bin\":null,\"tid\":null}\n"
        "{\"address\":\"0x10030\",\"pointer\":\"0x10040\",\"bytes\":32,\"state\":\"tcache\","
        "\"arena\":0,\"bin\":0,\"tid\":4711}\n"
        "{\"address\":\"0x10050\",\"pointer\":\"0x10060\",\"bytes\":128,\"state\":\"fastbin\","
        "\"arena\":3,\"bin\":6,\"tid\":null}\n"
        "{\"address\":\"0x100d0\",\"pointer\":null,\"bytes\":4096,\"state\":\"bin\","
        "\"arena\":12,\"bin\":1,\"tid\":null}\n"
        "{\"address\":\"0x110d0\",\"pointer\":null,\"bytes\":1,\"state\":\"top\","
        "\"arena\":0,\"bin\":null,\"tid\":null}\n"
        "{\"address\":\"0xffffffffffffffff\",\"pointer\":null,\"bytes\":18446744073709551615,"
        "\"state\":\"overhead\",\"arena\":2147483647,\"bin\":32767,\"tid\":2147483647}\n");
    free(text);
    hw_report_destroy(r);
}
