#include "child.h"

#include "target/target.h"

#define PAGE 4096u

static struct hw_target *open_it(pid_t pid)
{
    struct hw_target *t;
    struct hw_error err = {0};
    cr_assert_eq(hw_target_open_live(pid, &t, &err), HW_OK, "%s", err.text);
    t->mode = HW_MODE_SNAPSHOT;
    return t;
}

static void freeze(struct hw_target *t)
{
    struct hw_error err = {0};
    cr_assert_eq(hw_target_freeze(t, &err), HW_OK, "%s", err.text);
    cr_assert_eq(hw_target_copy(t, &err), HW_OK, "%s", err.text);
}

struct shared {
    volatile int ready, go;
};
static struct shared *sh;

/* Some pages that are there and some that are not, with a number in each. */
#define PAGES 64
static uint32_t *pages, *kept_out, *wiped, *untouched;

/* The n-th of some ranges that may be read, with such that may not between them. */
static uint32_t *range(void *start, unsigned n)
{
    char *p = (char *)start + (size_t)(2 * n + 1) * PAGES * PAGE;
    cr_assert_eq(mprotect(p, PAGES * PAGE, PROT_READ | PROT_WRITE), 0);
    return (uint32_t *)(void *)p;
}

static void map_all(void)
{
    sh = child_shared(sizeof *sh);
    void *start = mmap(NULL, 9 * PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(start, MAP_FAILED);
    pages = range(start, 0);
    kept_out = range(start, 1);
    wiped = range(start, 2);
    untouched = range(start, 3);
}

static void touch(uint32_t *p, uint32_t value)
{
    for (uint32_t i = 0; i < PAGES; i += 3)
        p[i * PAGE / sizeof *p] = value + i;
}

/* Numbers are `value` first, and others as soon as it may go on. */
static void hold_pages(void *arg)
{
    (void)arg;
    touch(pages, 100);
    touch(kept_out, 200);
    touch(wiped, 300);
    madvise(kept_out, PAGES * PAGE, MADV_DONTFORK);
    madvise(wiped, PAGES * PAGE, MADV_WIPEONFORK);
    sh->ready = 1;
    while (!sh->go)
        nap_ms(1);
    touch(pages, 1000);
    touch(untouched, 1000);
    sh->ready = 2;
    child_sleep(NULL);
}

static pid_t start(void)
{
    map_all();
    pid_t pid = child_start(hold_pages, NULL);
    cr_assert(eventually(sh->ready == 1));
    return pid;
}

static uint32_t number_at(struct hw_target *t, const uint32_t *p, uint32_t page)
{
    uint32_t n = 0;
    ssize_t got = hw_read(t, (uintptr_t)p + page * PAGE, &n, sizeof n, NULL);
    return got == sizeof n ? n : UINT32_MAX;
}

static void run_on(void)
{
    sh->go = 1;
    cr_assert(eventually(sh->ready == 2));
}

static void expect_old_numbers(struct hw_target *t)
{
    for (uint32_t i = 0; i < PAGES; i += 3)
        cr_expect_eq(number_at(t, pages, i), 100 + i);
    cr_expect_eq(number_at(t, pages, 1), 0);
    /* Neither is in the copy, where the second would read as zeros. */
    cr_expect_eq(number_at(t, kept_out, 0), UINT32_MAX);
    cr_expect_eq(number_at(t, wiped, 0), UINT32_MAX);
    /* A read ends where one begins. */
    char buf[2 * PAGE];
    cr_expect_eq(hw_read(t, (uintptr_t)wiped - PAGE, buf, sizeof buf, NULL), 0);
    cr_expect_eq(hw_read(t, (uintptr_t)pages, buf, sizeof buf, NULL), sizeof buf);
}

Test(live_copy, is_read_while_the_process_runs_on, .timeout = 60)
{
    pid_t pid = start();
    struct hw_target *t = open_it(pid);
    freeze(t);
    run_on();
    expect_old_numbers(t);
    cr_expect_eq(t->thread_count, 1);
    cr_expect(t->threads[0].regs_known && t->threads[0].sp);
    hw_target_thaw(t);
    cr_expect(t->pause_ns > 0 && t->thread_pause_ns > 0);
    cr_expect_eq(t->zombie, 0);
    cr_expect_eq(number_at(t, pages, 3), 1003, "from now on it is the process that is read");
    cr_expect_eq(number_at(t, wiped, 3), 303);
    /* And once more, now stopped. */
    t->mode = HW_MODE_STOPPED;
    freeze(t);
    cr_expect_neq(status_number(pid, "TracerPid:"), 0);
    hw_target_thaw(t);
    cr_expect_eq(t->thread_pause_ns, -1);
    hw_target_close(t);
    child_end(pid);
}

Test(live_copy, reads_the_same_without_process_vm_readv, .timeout = 60)
{
    pid_t pid = start();
    forbid_call(SYS_process_vm_readv);
    struct hw_target *t = open_it(pid);
    freeze(t);
    run_on();
    expect_old_numbers(t);
    hw_target_close(t);
    cr_expect_eq(status_number(pid, "TracerPid:"), 0);
    child_end(pid);
}

Test(live_copy, pages_are_those_of_the_moment, .timeout = 60)
{
    pid_t pid = start();
    struct hw_target *t = open_it(pid);
    t->mode = HW_MODE_STOPPED;
    freeze(t);
    cr_assert_eq(hw_target_find_pages(t, NULL), HW_OK);
    struct {
        hw_addr start;
        uint64_t anon, file, swapped;
    } *before = calloc(t->map_count, sizeof *before);
    size_t count = t->map_count;
    for (size_t i = 0; i < count; i++) {
        const struct hw_map *map = &t->maps[i];
        before[i].start = map->start;
        before[i].anon = map->anon_bytes;
        before[i].file = map->file_bytes;
        before[i].swapped = map->swapped_bytes;
    }
    uint64_t rss = t->memory.rss_bytes;
    hw_target_thaw(t);

    t->mode = HW_MODE_SNAPSHOT;
    freeze(t);
    cr_assert_eq(hw_target_find_pages(t, NULL), HW_OK);
    cr_assert(t->pages_known);
    cr_assert_eq(t->map_count, count);
    cr_expect_eq(t->memory.rss_bytes, rss);
    for (size_t i = 0; i < count; i++) {
        const struct hw_map *map = &t->maps[i];
        cr_expect(map->start == before[i].start && map->anon_bytes == before[i].anon &&
                      map->file_bytes == before[i].file && map->swapped_bytes == before[i].swapped,
                  "%#lx %s: %lu %lu %lu, not %lu %lu %lu", map->start, map->path, map->anon_bytes,
                  map->file_bytes, map->swapped_bytes, before[i].anon, before[i].file,
                  before[i].swapped);
        bool uncopied = map->start == (uintptr_t)kept_out || map->start == (uintptr_t)wiped;
        cr_expect_eq((map->flags & HW_MAP_UNCOPIED) != 0, uncopied, "%#lx", map->start);
    }
    for (uint32_t i = 0; i < PAGES; i++)
        cr_expect_eq(hw_pages_at(&t->pages, (uintptr_t)pages + i * PAGE),
                     i % 3 ? HW_PAGE_ABSENT : HW_PAGE_RESIDENT);
    cr_expect_eq(hw_pages_at(&t->pages, (uintptr_t)untouched), HW_PAGE_ABSENT);
    free(before);
    hw_target_close(t);
    child_end(pid);
}

Test(live_copy, ends_with_the_process, .timeout = 60)
{
    pid_t pid = start();
    struct hw_target *t = open_it(pid);
    freeze(t);
    child_end(pid);
    char byte;
    cr_expect(eventually(hw_read(t, (uintptr_t)pages, &byte, 1, NULL) == HW_ERR_GONE));
    hw_target_close(t);
}

Test(live_copy, refused_is_left_alone, .timeout = 60)
{
    pid_t pid = start();
    struct hw_target *t = open_it(pid);
    t->who.machine = hw_machine(HW_I386);
    cr_expect_eq(hw_target_freeze(t, NULL), HW_ERR_UNSUPPORTED);
    cr_expect(!t->frozen);
    cr_expect_eq(status_number(pid, "TracerPid:"), 0);
    hw_target_close(t);
    child_end(pid);
}
