#include "target/residency.h"

#include "base/cleanup.h"
#include "target/child.h"
#include "target/proc.h"
#include "target/target.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define PAGE  UINT64_C(4096)
#define PAGES 20000

#ifndef MADV_GUARD_INSTALL /* Linux 6.13 */
#define MADV_GUARD_INSTALL 102
#endif

/* ---- a process and what the kernel says of it ------------------------------------------------ */

/* Memory that a child inherits, and changes to its liking before it says so. */
struct memory {
    char *at;
    size_t bytes;
    void (*prepare)(char *at, size_t bytes);
    int ready; /* a pipe */
};

static void live_in(void *arg)
{
    const struct memory *m = arg;
    m->prepare(m->at, m->bytes);
    if (write(m->ready, "", 1) == 1)
        child_sleep(NULL);
}

static pid_t child_with(char *at, size_t bytes, void (*prepare)(char *at, size_t bytes))
{
    int ends[2];
    char byte;
    cr_assert_eq(pipe(ends), 0);
    struct memory m = {at, bytes, prepare, ends[1]};
    pid_t pid = child_start(live_in, &m);
    close(ends[1]);
    cr_assert_eq(read(ends[0], &byte, 1), 1, "the child did not get ready");
    close(ends[0]);
    cr_assert(reaches_state(pid, 'S'), "it touches pages of its program until it sleeps");
    return pid;
}

static char *map(size_t bytes, int flags)
{
    char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(p, MAP_FAILED);
    return p;
}

/* All of a process, asked in one way. */
struct asked {
    hw_map_vec maps;
    struct hw_pages pages;
};

/* A sanitizer maps terabytes for its own use, too many to be looked at page by page. */
static void forget_giants(hw_map_vec *maps)
{
    size_t kept = 0;
    for (size_t i = 0; i < maps->count; i++)
        if (maps->data[i].end - maps->data[i].start <= UINT64_C(1) << 30)
            maps->data[kept++] = maps->data[i];
        else
            free(maps->data[i].path);
    maps->count = kept;
}

static int read_pages(int pagemap, struct hw_map *maps, size_t count, bool swap_used,
                      enum hw_residency_way way, struct hw_pages *pages)
{
    struct hw_residency_source source = {.pagemap = pagemap, .swap_used = swap_used, .way = way};
    return hw_residency_read(&source, maps, count, pages, NULL);
}

static struct asked ask(pid_t pid, bool swap_used, enum hw_residency_way way)
{
    struct asked a = {.pages = hw_pages_empty(PAGE)};
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/pagemap", (int)pid);
    hw_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    cr_assert_geq(fd, 0);
    cr_assert_eq(hw_proc_maps(pid, &a.maps, NULL), HW_OK);
    forget_giants(&a.maps);
    int rc = read_pages(fd, a.maps.data, a.maps.count, swap_used, way, &a.pages);
    if (rc == HW_ERR_UNSUPPORTED)
        cr_skip("this kernel has no PAGEMAP_SCAN");
    cr_assert_eq(rc, HW_OK);
    return a;
}

static void forget(struct asked *a)
{
    hw_map_vec_free(&a->maps);
    hw_pages_clear(&a->pages);
}

static const struct hw_map *map_of(const struct asked *a, const void *at)
{
    const struct hw_map *found = NULL;
    for (size_t i = 0; i < a->maps.count && !found; i++)
        if (a->maps.data[i].end > (hw_addr)(uintptr_t)at)
            found = &a->maps.data[i];
    cr_assert(found && found->start <= (hw_addr)(uintptr_t)at, "no map at %p", at);
    return found;
}

static enum hw_page_state state_at(struct asked *a, const char *at, size_t page)
{
    return hw_pages_at(&a->pages, (hw_addr)(uintptr_t)at + page * PAGE);
}

/* Both ways say the same of every page of every map. */
static void expect_same(pid_t pid)
{
    struct asked a = ask(pid, false, HW_RESIDENCY_SCAN), b = ask(pid, false, HW_RESIDENCY_PREAD);
    cr_assert_eq(a.maps.count, b.maps.count);
    for (size_t i = 0; i < a.maps.count; i++) {
        const struct hw_map *x = &a.maps.data[i], *y = &b.maps.data[i];
        cr_expect_eq(x->anon_bytes, y->anon_bytes, "anonymous in %s: %lu, %lu", x->path,
                     x->anon_bytes, y->anon_bytes);
        cr_expect_eq(x->file_bytes, y->file_bytes, "of files in %s: %lu, %lu", x->path,
                     x->file_bytes, y->file_bytes);
        for (hw_addr at = x->start; at < x->end && x->start < INT64_MAX; at += PAGE)
            cr_assert_eq(hw_pages_at(&a.pages, at), hw_pages_at(&b.pages, at), "%s at %#lx",
                         x->path, at);
    }
    forget(&a);
    forget(&b);
}

static bool frames_may_be_seen(void)
{
    return access("/proc/kpageflags", R_OK) == 0;
}

/* ---- what is there --------------------------------------------------------------------------- */

/* Of every three pages one, and a longer piece now and then: far more ranges than the kernel tells
 * at once, and than one of its own batches has (512). */
static bool is_touched(size_t page)
{
    return page % 3 == 0 || page % 1000 < 70;
}

static void touch_some(char *at, size_t bytes)
{
    for (size_t page = 0; page < bytes / PAGE; page++)
        if (is_touched(page))
            at[page * PAGE + page % PAGE] = 1;
}

static void expect_touched(struct asked *a, const char *at)
{
    uint64_t touched = 0;
    for (size_t page = 0; page < PAGES; page++) {
        enum hw_page_state state = is_touched(page) ? HW_PAGE_RESIDENT : HW_PAGE_ABSENT;
        cr_assert_eq(state_at(a, at, page), state, "page %zu", page);
        touched += is_touched(page);
    }
    /* Whoever resumes where the kernel says it stopped counts some twice. */
    cr_expect_eq(
        hw_pages_count(&a->pages, (hw_addr)(uintptr_t)at, (hw_addr)(uintptr_t)at + PAGES * PAGE)
            .resident,
        touched * PAGE);
}

Test(target_residency, thousands_of_holes)
{
    /* Between others, so that the counts of its map are its own. */
    char *all = map((PAGES + 2) * PAGE, MAP_PRIVATE), *at = all + PAGE;
    mprotect(all, PAGE, PROT_NONE);
    mprotect(at + PAGES * PAGE, PAGE, PROT_NONE);
    pid_t pid = child_with(at, PAGES * PAGE, touch_some);
    uint64_t touched = 0;
    for (size_t page = 0; page < PAGES; page++)
        touched += is_touched(page);
    for (enum hw_residency_way way = HW_RESIDENCY_SCAN; way <= HW_RESIDENCY_PREAD; way++) {
        struct asked a = ask(pid, false, way);
        expect_touched(&a, at);
        cr_expect_eq(map_of(&a, at)->anon_bytes, touched * PAGE);
        cr_expect_eq(map_of(&a, at)->file_bytes, 0);
        forget(&a);
    }
    expect_same(pid);
    child_end(pid);
}

Test(target_residency, nothing_is_touched_by_asking)
{
    char *at = map(PAGES * PAGE, MAP_PRIVATE);
    pid_t pid = child_with(at, PAGES * PAGE, touch_some);
    long before = status_number(pid, "RssAnon:"), tables = status_number(pid, "VmPTE:");
    for (int i = 0; i < 2; i++) {
        expect_same(pid);
        struct asked a = ask(pid, false, HW_RESIDENCY_BEST);
        expect_touched(&a, at);
        forget(&a);
    }
    cr_expect_eq(status_number(pid, "RssAnon:"), before);
    cr_expect_eq(status_number(pid, "VmPTE:"), tables);
    child_end(pid);
}

Test(target_residency, an_empty_mapping)
{
    char *at = map(PAGES * PAGE, MAP_PRIVATE | MAP_NORESERVE);
    pid_t pid = child_with(at, 0, touch_some);
    struct asked a = ask(pid, false, HW_RESIDENCY_BEST);
    cr_expect_eq(
        hw_pages_run_end(&a.pages, (hw_addr)(uintptr_t)at, (hw_addr)(uintptr_t)at + PAGES * PAGE),
        (hw_addr)(uintptr_t)at + PAGES * PAGE);
    forget(&a);
    child_end(pid);
}

/* ---- the page of zeros ----------------------------------------------------------------------- */

static void read_some(char *at, size_t bytes)
{
    static volatile char sum;
    for (size_t page = 0; page < bytes / PAGE; page++)
        if (page % 3)
            sum = (char)(sum + at[page * PAGE]);
        else
            at[page * PAGE] = 1;
}

Test(target_residency, pages_of_zeros_cost_nothing)
{
    char *at = map(300 * PAGE, MAP_PRIVATE);
    madvise(at, 300 * PAGE, MADV_NOHUGEPAGE);
    pid_t pid = child_with(at, 300 * PAGE, read_some);
    struct asked a = ask(pid, false, HW_RESIDENCY_BEST);
    for (size_t page = 0; page < 300; page++)
        cr_expect_eq(state_at(&a, at, page), page % 3 ? HW_PAGE_ABSENT : HW_PAGE_RESIDENT);
    forget(&a);
    if (frames_may_be_seen())
        expect_same(pid);
    child_end(pid);
}

#define HUGE_PAGE (UINT64_C(2) << 20)

/* The first is written to, the second read, half of the third given back. */
static void use_huge_pages(char *at, size_t bytes)
{
    static volatile char sum;
    madvise(at, bytes, MADV_HUGEPAGE);
    at[0] = 1;
    sum = (char)(sum + at[HUGE_PAGE]);
    at[2 * HUGE_PAGE] = 1;
    madvise(at + 2 * HUGE_PAGE, HUGE_PAGE / 2, MADV_DONTNEED);
    madvise(at, bytes, MADV_NOHUGEPAGE); /* or the kernel may make the half whole again */
}

Test(target_residency, huge_pages)
{
    char *all = map(5 * HUGE_PAGE, MAP_PRIVATE);
    char *at = (char *)(((uintptr_t)all + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE);
    pid_t pid = child_with(at, 4 * HUGE_PAGE, use_huge_pages);
    struct asked a = ask(pid, false, HW_RESIDENCY_BEST);
    uint64_t start = (hw_addr)(uintptr_t)at;
    uint64_t first = hw_pages_count(&a.pages, start, start + HUGE_PAGE).resident;
    if (first == HUGE_PAGE) { /* else this machine has none to give */
        cr_expect_eq(hw_pages_count(&a.pages, start + HUGE_PAGE, start + 2 * HUGE_PAGE).resident,
                     0);
        cr_expect_eq(
            hw_pages_count(&a.pages, start + 2 * HUGE_PAGE, start + 4 * HUGE_PAGE).resident,
            HUGE_PAGE / 2);
    }
    forget(&a);
    if (frames_may_be_seen())
        expect_same(pid);
    child_end(pid);
    if (first != HUGE_PAGE)
        cr_skip("no huge pages here");
}

/* ---- what is not anonymous ------------------------------------------------------------------- */

Test(target_residency, pages_of_files)
{
    hw_autofile FILE *f = tmpfile();
    cr_assert_not_null(f);
    cr_assert_eq(ftruncate(fileno(f), 100 * (off_t)PAGE), 0);
    char *at = mmap(NULL, 100 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fileno(f), 0);
    cr_assert_neq(at, MAP_FAILED);
    pid_t pid = child_with(at, 100 * PAGE, read_some); /* and every third is a copy of its own */
    struct asked a = ask(pid, false, HW_RESIDENCY_BEST);
    cr_expect_eq(map_of(&a, at)->anon_bytes, 34 * PAGE);
    cr_expect_eq(map_of(&a, at)->file_bytes, 66 * PAGE);
    cr_expect_eq(
        hw_pages_count(&a.pages, (hw_addr)(uintptr_t)at, (hw_addr)(uintptr_t)at + 100 * PAGE)
            .resident,
        100 * PAGE);
    forget(&a);
    expect_same(pid);
    child_end(pid);
}

Test(target_residency, shared_memory)
{
    char *at = map(100 * PAGE, MAP_SHARED);
    pid_t pid = child_with(at, 50 * PAGE, read_some);
    struct asked a = ask(pid, false, HW_RESIDENCY_BEST);
    cr_expect_eq(map_of(&a, at)->anon_bytes, 0);
    cr_expect_eq(map_of(&a, at)->file_bytes, 50 * PAGE);
    forget(&a);
    expect_same(pid);
    child_end(pid);
}

/* ---- what looks like swap -------------------------------------------------------------------- */

static void install_guards(char *at, size_t bytes)
{
    memset(at + PAGE, 1, bytes - PAGE); /* the first is the guard that its parent tried */
    if (madvise(at + 10 * PAGE, 5 * PAGE, MADV_GUARD_INSTALL) != 0)
        _exit(0);
}

Test(target_residency, guard_pages_are_not_swapped_out)
{
    char *at = map(100 * PAGE, MAP_PRIVATE);
    if (madvise(at, PAGE, MADV_GUARD_INSTALL) != 0)
        cr_skip("this kernel has no guard pages of that kind");
    pid_t pid = child_with(at, 100 * PAGE, install_guards);
    for (enum hw_residency_way way = HW_RESIDENCY_SCAN; way <= HW_RESIDENCY_PREAD; way++) {
        struct asked a = ask(pid, false, way);
        for (size_t page = 1; page < 100; page++)
            cr_expect_eq(state_at(&a, at, page), page / 5 == 2 ? HW_PAGE_ABSENT : HW_PAGE_RESIDENT,
                         "page %zu", page);
        cr_expect_eq(map_of(&a, at)->swapped_bytes, 0);
        forget(&a);
    }
    child_end(pid);
}

/* ---- recorded -------------------------------------------------------------------------------- */

#define PRESENT   (UINT64_C(1) << 63)
#define SWAPPED   (UINT64_C(1) << 62)
#define FILE_PAGE (UINT64_C(1) << 61)
#define GUARD     (UINT64_C(1) << 58)
#define EXCLUSIVE (UINT64_C(1) << 56)

/* A file like pagemap, for addresses from page 16 on. It knows no ioctl. */
static int recorded(const uint64_t *entries, size_t count)
{
    int fd = memfd_create("pagemap", MFD_CLOEXEC);
    cr_assert_geq(fd, 0);
    cr_assert_eq(pwrite(fd, entries, count * sizeof *entries, 16 * sizeof *entries),
                 (ssize_t)(count * sizeof *entries));
    return fd;
}

static struct hw_map pages_16_to(uint64_t page)
{
    return (struct hw_map){.start = 16 * PAGE, .end = page * PAGE, .flags = HW_MAP_READ};
}

static const uint64_t mixed[] = {
    PRESENT | EXCLUSIVE | 5, SWAPPED | 0x123,     0,       SWAPPED | GUARD,
    PRESENT | FILE_PAGE,     SWAPPED | FILE_PAGE, PRESENT, PRESENT | SWAPPED};
#define MIXED (sizeof mixed / sizeof *mixed)

static void expect_mixed(bool swap_used)
{
    enum hw_page_state out = swap_used ? HW_PAGE_SWAPPED : HW_PAGE_ABSENT;
    const enum hw_page_state states[MIXED] = {
        HW_PAGE_RESIDENT, out, HW_PAGE_ABSENT,   HW_PAGE_ABSENT,
        HW_PAGE_RESIDENT, out, HW_PAGE_RESIDENT, HW_PAGE_RESIDENT};
    hw_autoclose int fd = recorded(mixed, MIXED);
    struct hw_map map = pages_16_to(16 + MIXED);
    map.anon_bytes = map.file_bytes = map.swapped_bytes = 99; /* of the time before */
    struct hw_pages pages = hw_pages_empty(PAGE);
    cr_assert_eq(read_pages(fd, &map, 1, swap_used, HW_RESIDENCY_BEST, &pages), HW_OK);
    for (size_t i = 0; i < MIXED; i++)
        cr_expect_eq(hw_pages_at(&pages, (16 + i) * PAGE), states[i], "page %zu", i);
    cr_expect_eq(map.anon_bytes, 3 * PAGE);
    cr_expect_eq(map.file_bytes, PAGE);
    cr_expect_eq(map.swapped_bytes, swap_used ? 2 * PAGE : 0);
    hw_pages_clear(&pages);
}

Test(target_residency, page_by_page_where_the_kernel_knows_no_other_way)
{
    expect_mixed(true);
    expect_mixed(false);
}

Test(target_residency, the_way_may_be_demanded)
{
    hw_autoclose int fd = recorded(mixed, MIXED);
    struct hw_map map = pages_16_to(16 + MIXED);
    struct hw_pages pages = hw_pages_empty(PAGE);
    cr_expect_eq(read_pages(fd, &map, 1, true, HW_RESIDENCY_SCAN, &pages), HW_ERR_UNSUPPORTED);
    cr_expect_eq(pages.slices.count, 0);
}

Test(target_residency, a_pagemap_that_ends_early)
{
    hw_autoclose int fd = recorded(mixed, MIXED);
    struct hw_map maps[] = {pages_16_to(1000), {.start = 2000 * PAGE, .end = 9000 * PAGE}};
    struct hw_pages pages = hw_pages_empty(PAGE);
    cr_assert_eq(read_pages(fd, maps, 2, false, HW_RESIDENCY_PREAD, &pages), HW_OK);
    cr_expect_eq(maps[0].anon_bytes, 3 * PAGE);
    cr_expect_eq(maps[1].anon_bytes, 0);
    hw_pages_clear(&pages);
}

Test(target_residency, what_cannot_be_read_is_an_error)
{
    struct hw_map map = pages_16_to(32);
    struct hw_pages pages = hw_pages_empty(PAGE);
    cr_expect_eq(read_pages(-1, &map, 1, false, HW_RESIDENCY_BEST, &pages), HW_ERR_SYSTEM);
    cr_expect_eq(pages.slices.count, 0);
}

Test(target_residency, too_much_is_not_looked_at_page_by_page)
{
    hw_autoclose int fd = recorded(mixed, MIXED);
    struct hw_map map = pages_16_to((UINT64_C(1) << 27) + 17);
    struct hw_pages pages = hw_pages_empty(PAGE);
    cr_assert_eq(ftruncate(fd, (off_t)(map.end / PAGE * 8)), 0);
    cr_expect_eq(read_pages(fd, &map, 1, false, HW_RESIDENCY_BEST, &pages), HW_ERR_UNSUPPORTED);
    cr_expect_eq(pages.slices.count, 0);
}

Test(target_residency, the_kernels_own_pages_are_nobodys)
{
    hw_autoclose int fd = recorded(mixed, MIXED);
    char vvar[] = "[vvar]";
    struct hw_map maps[] = {pages_16_to(16 + MIXED),
                            {.start = 0xffffffffff600000, .end = 0xffffffffff601000}};
    maps[0].path = vvar;
    struct hw_pages pages = hw_pages_empty(PAGE);
    cr_assert_eq(read_pages(fd, maps, 2, false, HW_RESIDENCY_BEST, &pages), HW_OK);
    cr_expect_eq(maps[0].anon_bytes + maps[0].file_bytes + maps[1].anon_bytes, 0);
    cr_expect_eq(pages.slices.count, 0);
}

/* ---- a target -------------------------------------------------------------------------------- */

Test(target_residency, of_a_live_target)
{
    char *at = map(PAGES * PAGE, MAP_PRIVATE);
    pid_t pid = child_with(at, PAGES * PAGE, touch_some);
    struct hw_target *t;
    cr_assert_eq(hw_target_open_live(pid, &t, NULL), HW_OK);
    cr_expect_not(t->pages_known);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(hw_target_freeze(t, NULL), HW_OK);
        cr_expect_not(t->pages_known, "what was known of the last stop is out of date");
        cr_assert_eq(hw_target_find_pages(t, NULL), HW_OK);
        cr_expect(t->pages_known);
        struct asked a = {.pages = t->pages};
        expect_touched(&a, at);
        uint64_t budget = 1000;
        cr_expect_eq(hw_next_data(t, (hw_addr)(uintptr_t)at + 70 * PAGE,
                                  (hw_addr)(uintptr_t)at + PAGES * PAGE, &budget),
                     (hw_addr)(uintptr_t)at + 72 * PAGE);
        hw_target_thaw(t);
    }
    cr_expect_eq(t->memory.rss_bytes,
                 t->memory.anon_bytes + t->memory.file_bytes + t->memory.shmem_bytes);
    cr_expect_eq(t->memory.locked_bytes, 0);
    cr_expect(t->memory.locks_known);
    uint64_t anon = 0;
    for (size_t i = 0; i < t->map_count; i++)
        anon += t->maps[i].flags & HW_MAP_SHARED ? 0 : t->maps[i].anon_bytes;
    int64_t lag = (int64_t)(anon - t->memory.anon_bytes);
    cr_expect(lag < 1 << 20 && -lag < 1 << 20, "%ld bytes more than RssAnon", (long)lag);
    hw_target_close(t);
    child_end(pid);
}

Test(target_residency, of_a_buffer_nothing_is_known)
{
    static const char bytes[64];
    struct hw_buffer_range range = {.start = 4096, .bytes = bytes, .len = sizeof bytes};
    struct hw_target *t;
    cr_assert_eq(hw_target_open_buffer(&range, 1, NULL, 0, &t, NULL), HW_OK);
    cr_expect_eq(hw_target_find_pages(t, NULL), HW_ERR_UNSUPPORTED);
    cr_expect_not(t->pages_known);
    hw_target_close(t);
}

/* ---- locks ----------------------------------------------------------------------------------- */

static void lock_some(char *at, size_t bytes)
{
    (void)bytes;
    /* Not by mlock(), of which a sanitizer makes nothing. */
    if (syscall(SYS_mlock, at + 3 * PAGE, 4 * PAGE) != 0 ||
        syscall(SYS_mlock, at + 50 * PAGE, PAGE) != 0)
        _exit(0);
}

static void lock_all(char *at, size_t bytes)
{
    (void)at;
    (void)bytes;
    if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) /* a sanitizer makes nothing of it */
        _exit(0);
}

static struct hw_target *frozen(pid_t pid)
{
    struct hw_target *t;
    cr_assert_eq(hw_target_open_live(pid, &t, NULL), HW_OK);
    cr_assert_eq(hw_target_freeze(t, NULL), HW_OK);
    cr_assert_eq(hw_target_find_pages(t, NULL), HW_OK);
    return t;
}

Test(target_residency, which_part_is_locked_is_not_known)
{
    char *at = map(100 * PAGE, MAP_PRIVATE);
    pid_t pid = child_with(at, 100 * PAGE, lock_some);
    struct hw_target *t = frozen(pid);
    cr_expect_eq(t->memory.locked_bytes, 5 * PAGE);
    cr_expect_not(t->memory.locks_known);
    cr_expect_eq(t->pages.locked.count, 0);
    hw_target_close(t);
    child_end(pid);
}

Test(target_residency, everything_is_locked)
{
    char *at = map(100 * PAGE, MAP_PRIVATE);
    pid_t pid = child_with(at, 100 * PAGE, lock_all);
    hw_addr start = (hw_addr)(uintptr_t)at;
    struct hw_target *t = frozen(pid);
    if (t->memory.locked_bytes == 0)
        cr_skip("nothing could be locked");
    cr_expect(t->memory.locks_known);
    cr_expect_eq(hw_pages_first_locked(&t->pages, start, start + PAGE), start);
    hw_target_close(t);
    child_end(pid);
}
