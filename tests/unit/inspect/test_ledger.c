#include "inspect/ledger.h"
#include "model/sample.h"

#include <fcntl.h>
#include <sys/mman.h>

#define PAGE UINT64_C(4096)
#define MOST 16

/* A target that is nothing but maps, of which the tests say what is in RAM. */
struct made {
    struct hw_target t;
    struct hw_map maps[MOST];
    struct hw_thread thread;
    struct hw_report *r;
    struct hw_ledger ledger;
};

static int open_made(struct hw_target *t, const struct hw_map *map, struct hw_error *err)
{
    (void)t;
    if (strcmp(map->path, "/mnt/ram/file") == 0) /* on tmpfs, whatever its name */
        return memfd_create("file", MFD_CLOEXEC);
    if (strcmp(map->path, "/usr/lib/libx.so") == 0)
        return open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    return hw_fail(err, HW_ERR_PERMISSION, "no");
}

static void set_up(struct made *m)
{
    static const struct hw_target_ops ops = {.open_file = open_made};
    *m = (struct made){.t.ops = &ops, .r = sample_report()};
    m->t.maps = m->maps;
    m->t.pages = hw_pages_empty(PAGE);
    m->t.pages_known = true;
}

/* A map from page `first` on, `anon` + `file` pages of which are in RAM: all that it has. */
static void add_map(struct made *m, uint64_t first, const char *path, uint64_t anon, uint64_t file)
{
    cr_assert_lt(m->t.map_count, (size_t)MOST);
    hw_addr start = first * PAGE, end = (first + anon + file) * PAGE;
    m->maps[m->t.map_count++] = (struct hw_map){.start = start,
                                                .end = end,
                                                .flags = HW_MAP_READ | HW_MAP_WRITE,
                                                .path = (char *)(uintptr_t)path,
                                                .anon_bytes = anon * PAGE,
                                                .file_bytes = file * PAGE};
    cr_assert_eq(hw_pages_set(&m->t.pages, start, end, HW_PAGE_RESIDENT, NULL), HW_OK);
    m->t.memory.rss_bytes += (anon + file) * PAGE;
}

static void add_heap(struct made *m, hw_addr start, hw_addr end)
{
    struct hw_arena *a = sample_arena(m->r, end - start, 0);
    a->heaps.data[0].address = start;
}

static void begin(struct made *m)
{
    cr_assert_eq(hw_ledger_begin(&m->ledger, &m->t, NULL), HW_OK);
}

static void chunk(struct made *m, hw_addr address, uint64_t lead, uint64_t bytes, uint8_t tail)
{
    struct hw_block b = sample_block(HW_MMAPPED, -1, bytes);
    b.address = address;
    b.lead = lead;
    b.tail = tail;
    hw_ledger_blocks(&m->ledger, &b, 1);
}

/* In pages. */
static void expect_rss(struct made *m, uint64_t heap, uint64_t chunks, uint64_t stack,
                       uint64_t file, uint64_t shmem, uint64_t other, int64_t unexplained)
{
    hw_ledger_end(&m->ledger, m->r);
    const struct hw_rss *rss = &m->r->rss;
    cr_expect(rss->known);
    cr_expect_eq(rss->rss_bytes, m->t.memory.rss_bytes);
    cr_expect_eq(rss->glibc_heap_bytes, heap * PAGE, "heaps: %lu", rss->glibc_heap_bytes);
    cr_expect_eq(rss->mmapped_chunk_bytes, chunks * PAGE, "chunks: %lu", rss->mmapped_chunk_bytes);
    cr_expect_eq(rss->stack_bytes, stack * PAGE, "stacks: %lu", rss->stack_bytes);
    cr_expect_eq(rss->file_bytes, file * PAGE, "files: %lu", rss->file_bytes);
    cr_expect_eq(rss->shmem_bytes, shmem * PAGE, "shared: %lu", rss->shmem_bytes);
    cr_expect_eq(rss->other_anon_bytes, other * PAGE, "other: %lu", rss->other_anon_bytes);
    cr_expect_eq(rss->unexplained_bytes, unexplained * (int64_t)PAGE, "unexplained: %ld",
                 (long)rss->unexplained_bytes);
    hw_ledger_deinit(&m->ledger);
    hw_pages_clear(&m->t.pages);
    hw_report_destroy(m->r);
}

Test(ledger, every_map_is_for_something)
{
    struct made m;
    set_up(&m);
    add_map(&m, 10, "/usr/bin/program", 2, 5);
    add_map(&m, 100, "[heap]", 50, 0);
    add_map(&m, 1000, NULL, 20, 0);
    add_map(&m, 2000, "/usr/lib/libx.so", 3, 7);
    add_map(&m, 3000, "[stack]", 6, 0);
    add_map(&m, 4000, "[anon: a name]", 4, 0);
    begin(&m);
    add_heap(&m, 100 * PAGE, 140 * PAGE); /* the rest of it is not malloc's */
    expect_rss(&m, 40, 0, 6, 2 + 5 + 3 + 7, 0, 10 + 20 + 4, 0);
}

Test(ledger, heaps_and_chunks_are_taken_out_of_the_maps_they_are_in)
{
    struct made m;
    set_up(&m);
    add_map(&m, 100, "[heap]", 10, 0);
    add_map(&m, 1000, NULL, 100, 0);
    add_map(&m, 1100, "[anon: named by the program]", 10, 0); /* right behind it */
    cr_assert_eq(hw_pages_set(&m.t.pages, 1010 * PAGE, 1015 * PAGE, HW_PAGE_ABSENT, NULL), HW_OK);
    m.maps[1].anon_bytes -= 5 * PAGE;
    m.t.memory.rss_bytes -= 5 * PAGE;
    begin(&m);
    add_heap(&m, 100 * PAGE, 110 * PAGE);
    add_heap(&m, 1005 * PAGE, 1025 * PAGE);     /* five of which are not there */
    chunk(&m, 1050 * PAGE + 4080, 4080, 16, 0); /* with a lead, as memalign() makes it */
    chunk(&m, 1061 * PAGE, 0, PAGE - 16, 16);
    chunk(&m, 1095 * PAGE, 0, 10 * PAGE, 0); /* from one map into the next */
    expect_rss(&m, 25, 12, 0, 0, 0, 95 + 10 - 15 - 12, 0);
}

Test(ledger, stacks_of_threads)
{
    struct made m;
    set_up(&m);
    add_map(&m, 1000, NULL, 20, 0);
    add_map(&m, 2000, NULL, 30, 0);
    add_map(&m, 3000, "[stack]", 5, 0);
    m.thread = (struct hw_thread){.tid = 7, .regs_known = true, .sp = 2010 * PAGE + 8};
    m.t.threads = &m.thread;
    m.t.thread_count = 1;
    begin(&m);
    expect_rss(&m, 0, 0, 35, 0, 0, 20, 0);
}

Test(ledger, shared_memory_by_name_and_by_where_it_is)
{
    struct made m;
    set_up(&m);
    add_map(&m, 1000, "/dev/shm/a", 0, 1);
    add_map(&m, 2000, "/memfd:b (deleted)", 0, 2);
    add_map(&m, 3000, "/SYSV00000000 (deleted)", 0, 4);
    add_map(&m, 4000, "/dev/zero (deleted)", 0, 8);
    add_map(&m, 5000, "/mnt/ram/file", 0, 16);
    add_map(&m, 6000, "/usr/lib/libx.so", 0, 32);
    add_map(&m, 7000, "/not/to/be/opened", 0, 64);
    add_map(&m, 8000, "[anon_shmem:c]", 0, 128);
    begin(&m);
    expect_rss(&m, 0, 0, 0, 32 + 64, 1 + 2 + 4 + 8 + 16 + 128, 0, 0);
}

Test(ledger, what_no_rss_counts)
{
    struct made m;
    set_up(&m);
    add_map(&m, 1000, "/anon_hugepage (deleted)", 512, 0);
    add_map(&m, 3000, "/dev/device", 10, 0);
    m.maps[1].flags |= HW_MAP_SHARED;
    m.t.memory.rss_bytes = 0;
    begin(&m);
    expect_rss(&m, 0, 0, 0, 0, 0, 0, 0);
}

Test(ledger, the_kernels_sum_may_be_another)
{
    for (int lag = -3; lag <= 3; lag += 3) {
        struct made m;
        set_up(&m);
        add_map(&m, 1000, NULL, 20, 0);
        m.t.memory.rss_bytes += (uint64_t)lag * PAGE;
        m.t.memory.swap_bytes = 5 * PAGE;
        begin(&m);
        hw_ledger_end(&m.ledger, m.r);
        cr_expect_eq(m.r->rss.swap_bytes, 5 * PAGE);
        hw_ledger_deinit(&m.ledger);
        begin(&m);
        expect_rss(&m, 0, 0, 0, 0, 0, 20, lag);
    }
}

Test(ledger, blocks_in_no_map_are_nothing)
{
    struct made m;
    set_up(&m);
    add_map(&m, 1000, NULL, 20, 0);
    begin(&m);
    chunk(&m, 0, 0, PAGE, 0);
    chunk(&m, 5000 * PAGE, 0, UINT64_MAX, 0);
    chunk(&m, 1019 * PAGE, 0, 100 * PAGE, 0); /* one page of it is mapped */
    struct hw_block b = sample_block(HW_USED, 0, PAGE);
    b.address = 1000 * PAGE;
    hw_ledger_blocks(&m.ledger, &b, 1);
    expect_rss(&m, 0, 1, 0, 0, 0, 19, 0);
}

Test(ledger, without_pages_there_is_none)
{
    struct made m;
    set_up(&m);
    add_map(&m, 1000, NULL, 20, 0);
    m.t.pages_known = false;
    begin(&m);
    chunk(&m, 1000 * PAGE, 0, PAGE, 0);
    hw_ledger_end(&m.ledger, m.r);
    cr_expect_not(m.r->rss.known);
    hw_ledger_deinit(&m.ledger);
    hw_pages_clear(&m.t.pages);
    hw_report_destroy(m.r);
}
