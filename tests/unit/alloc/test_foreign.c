/*
 * Naming other allocators: by the names of mapped files, in images made of nothing but maps; and
 * what is said of them. By symbols, texts and bound calls: tests/e2e/foreign.py, with real ones.
 */
#include "alloc/foreign.h"

#include <criterion/criterion.h>
#include <string.h>

#define CODE (HW_MAP_READ | HW_MAP_EXEC)
#define DATA HW_MAP_READ

static struct hw_error err;
static uint8_t page[4096], more[4096];

struct fixture {
    struct hw_image image;
    hw_foreign_vec found;
};

/* An image of one or two mapped files, searched. */
static struct fixture search(const char *path, uint32_t flags, const char *second)
{
    struct hw_buffer_range ranges[] = {
        {0x10000, page, sizeof page, flags, path},
        {0x20000, more, sizeof more, CODE, second},
    };
    struct fixture f = {0};
    cr_assert_eq(hw_target_open_buffer(ranges, second ? 2 : 1, NULL, 0, &f.image.target, &err),
                 HW_OK);
    cr_assert_eq(hw_modules_open(f.image.target, NULL, &f.image.modules, &err), HW_OK);
    cr_assert_eq(hw_foreign_find(&f.image, &f.found, &err), HW_OK);
    return f;
}

static void drop(struct fixture *f)
{
    hw_vec_free(&f->found);
    hw_modules_close(f->image.modules);
    hw_target_close(f->image.target);
}

static void expect_name(const char *path, uint32_t flags, const char *name)
{
    struct fixture f = search(path, flags, NULL);
    const char *got = f.found.count ? f.found.data[0].facts.name : NULL;
    if (name)
        cr_expect_str_eq(got ? got : "nothing", name, "%s: %s", path, got ? got : "nothing");
    else
        cr_expect_eq(f.found.count, 0, "%s: %s", path, got);
    drop(&f);
}

Test(foreign, files_bear_names)
{
    expect_name("/usr/lib/x86_64-linux-gnu/libjemalloc.so.2", CODE, "jemalloc");
    expect_name("/opt/app/libmimalloc.so.2.0", CODE, "mimalloc");
    expect_name("/opt/app/libmimalloc-secure.so.3", CODE, "mimalloc");
    expect_name("/usr/lib/libtcmalloc.so.4", CODE, "tcmalloc");
    expect_name("/usr/lib/libtcmalloc_minimal.so.4.5.10", CODE, "tcmalloc");
    expect_name("/usr/lib/x86_64-linux-gnu/libasan.so.8.0.0", CODE, "AddressSanitizer");
    expect_name("/usr/lib/clang/14/lib/linux/libclang_rt.asan-x86_64.so", CODE, "AddressSanitizer");
    expect_name("/usr/lib/x86_64-linux-gnu/libtsan.so.2", CODE, "ThreadSanitizer");
    expect_name("/usr/libexec/valgrind/vgpreload_memcheck-amd64-linux.so", CODE, "valgrind");
    expect_name("/lib/ld-musl-x86_64.so.1", CODE, "musl");
    expect_name("/usr/lib/x86_64-linux-musl/libc.so", CODE, "musl");
    expect_name("/apex/com.android.runtime/lib64/bionic/libc.so", CODE, "bionic");
    expect_name("/apex/com.android.runtime/bin/linker64", CODE, "bionic");
    expect_name("/usr/lib/x86_64-linux-gnu/libc.so.6", CODE, "glibc");
    expect_name("/lib/libc-2.31.so", CODE, "glibc");
    expect_name("/usr/lib/x86_64-linux-gnu/libc_malloc_debug.so.0", CODE, "glibc");
}

Test(foreign, others_do_not)
{
    expect_name("/usr/libexec/valgrind/vgpreload_core-amd64-linux.so", CODE, NULL);
    expect_name("/usr/lib/libcrypt.so.1", CODE, NULL);
    expect_name("/usr/lib/libjemallocator.so", CODE, NULL);
    expect_name("/usr/lib/libubsan.so.1", CODE, NULL);
    expect_name("/usr/lib/libc-client.so.2007e", CODE, NULL);
    expect_name("/home/libjemalloc.so.2/notes.txt", CODE, NULL);
}

/* A debugger looks into a libc without running it. */
Test(foreign, data_is_not_code)
{
    expect_name("/usr/lib/x86_64-linux-gnu/libc.so.6", DATA, NULL);
    expect_name("/usr/lib/libjemalloc.so.2", DATA, NULL);
}

/* ---- in the report --------------------------------------------------------------------------- */

static struct hw_report *report_with(struct fixture *f, hw_addr main_arena, uint64_t bytes)
{
    struct hw_report *r = hw_report_create();
    cr_assert_not_null(r);
    r->allocator.main_arena = main_arena;
    r->allocator.unused = bytes == 0;
    hw_set(r->totals, HW_M_SYSTEM_BYTES, (int64_t)bytes);
    hw_foreign_report(&f->found, &f->image, r);
    return r;
}

static void expect_finding(const struct hw_report *r, size_t i, enum hw_finding_kind kind,
                           const char *text)
{
    cr_assert_gt(r->findings.count, i);
    cr_expect_eq(r->findings.data[i].kind, kind);
    cr_expect_str_eq(r->findings.data[i].text, text);
}

Test(foreign, the_walked_heap_is_no_other)
{
    struct fixture f = search("/usr/lib/libc.so.6", CODE, NULL);
    struct hw_report *r = report_with(&f, 0x10100, 1 << 20);
    cr_expect_eq(r->findings.count, 0);
    cr_expect_eq(r->allocator.others.count, 0);
    hw_report_destroy(r);
    drop(&f);
}

Test(foreign, who_serves_malloc_is_said_first)
{
    struct fixture f = search("/lib/libmimalloc.so.2", CODE, "/lib/libjemalloc.so.2");
    cr_assert_eq(f.found.count, 2);
    f.found.data[1].facts.serves_malloc = true;
    strcpy(f.found.data[1].facts.version, "5.3.0");
    struct hw_report *r = report_with(&f, 0, 2000);
    cr_assert_eq(r->allocator.others.count, 2);
    cr_expect_str_eq(r->allocator.others.data[0].name, "jemalloc");
    cr_expect(hw_report_complete(r));
    expect_finding(r, 0, HW_FINDING_NOTE,
                   "jemalloc 5.3.0 (libjemalloc.so.2) serves this program's malloc; what this "
                   "report tells is glibc's own heap, which holds only 1 KiB");
    expect_finding(r, 1, HW_FINDING_NOTE,
                   "mimalloc (libmimalloc.so.2) is in this program, too: what it holds is not in "
                   "this report");
    hw_report_destroy(r);

    r = report_with(&f, 0, 0);
    expect_finding(r, 0, HW_FINDING_NOTE,
                   "jemalloc 5.3.0 (libjemalloc.so.2) serves this program's malloc; glibc's own "
                   "heap was never used");
    hw_report_destroy(r);
    r = report_with(&f, 0, 5ul << 30);
    cr_expect(strstr(r->findings.data[0].text, "which holds 5120 MiB"), "%s",
              r->findings.data[0].text);
    hw_report_destroy(r);
    drop(&f);
}

/* main_arena of the second libc, as it is before the first malloc and after. */
Test(foreign, a_second_glibc_counts_if_it_was_used)
{
    const char *unused = "another copy of glibc's malloc (libc.so.6) is mapped, but was not used";
    const char *used = "another copy of glibc's malloc (libc.so.6) is mapped and was used: its "
                       "arenas are not in this report";
    uint64_t bin = 0x20160, heap = 0x10000;
    struct fixture f = search("/a/libc.so.6", CODE, "/b/libc.so.6");
    cr_assert_eq(f.found.count, 2);
    f.found.data[1].arena = 0x20100;
    memset(more, 0, sizeof more);
    memcpy(more + 0x160, &bin, sizeof bin);
    struct hw_report *r = report_with(&f, 0x10100, 1000);
    cr_expect(hw_report_complete(r));
    expect_finding(r, 0, HW_FINDING_NOTE, unused);
    cr_expect_not(r->allocator.others.data[0].serves_malloc);
    hw_report_destroy(r);

    memcpy(more + 0x160, &heap, sizeof heap);
    r = report_with(&f, 0x10100, 1000);
    cr_expect_not(hw_report_complete(r));
    expect_finding(r, 0, HW_FINDING_OTHER_MALLOC, used);
    hw_report_destroy(r);

    /* Where its arena is not known, nobody can say that it was not used. */
    f.found.data[1].arena = 0;
    r = report_with(&f, 0x10100, 1000);
    expect_finding(r, 0, HW_FINDING_OTHER_MALLOC,
                   "another copy of glibc's malloc (libc.so.6) is mapped: its arenas are not in "
                   "this report");
    hw_report_destroy(r);
    drop(&f);
}

/* ---- without a glibc heap -------------------------------------------------------------------- */

Test(foreign, refusals_name_the_reason)
{
    struct fixture f = search("/none/ld-musl-x86_64.so.1", CODE, NULL);
    f.image.target->who.kind = HW_TARGET_LIVE;
    f.image.target->who.pid = 77;
    hw_fail(&err, HW_ERR_NO_HEAP, "no glibc");
    cr_expect_eq(hw_foreign_explain(&f.found, f.image.target, &err), HW_ERR_NO_HEAP);
    cr_expect_str_eq(err.text, "pid 77 uses musl's malloc (ld-musl-x86_64.so.1): heapwalk reads "
                               "glibc heaps only");
    cr_expect_eq(hw_foreign_explain(&f.found, f.image.target, NULL), HW_ERR_NO_HEAP);
    f.image.target->who.kind = HW_TARGET_BUFFER;
    drop(&f);

    /* jemalloc in a musl program: that one has the memory. */
    f = search("/none/ld-musl-x86_64.so.1", CODE, "/none/libjemalloc.so.2");
    f.found.data[1].facts.serves_malloc = true;
    hw_foreign_explain(&f.found, f.image.target, &err);
    cr_expect_str_eq(err.text,
                     "the program of this core uses jemalloc (libjemalloc.so.2): heapwalk "
                     "reads glibc heaps only");
    drop(&f);

    f = search("/bin/something", CODE, NULL);
    hw_fail(&err, HW_ERR_NO_HEAP, "no glibc");
    cr_expect_eq(hw_foreign_explain(&f.found, f.image.target, &err), HW_ERR_NO_HEAP);
    cr_expect_str_eq(err.text, "no glibc", "nothing is known, nothing is made up");
    drop(&f);
}
