/*
 * What a core does not have, and what it has without storing it.
 */
#include "child.h"
#include "core_builder.h"

#define PAGE 4096u

/* ---- holes of the file ----------------------------------------------------------------------- */

static void align_data(struct builder *b, size_t skew)
{
    b->data_len += (PAGE - (DATA_AT + b->data_len) % PAGE) % PAGE + skew;
}

static bool is_zero(struct hw_target *t, hw_addr page)
{
    uint8_t bytes[PAGE], zeros[PAGE] = {0};
    cr_assert_eq(hw_read(t, page, bytes, PAGE, NULL), PAGE);
    return memcmp(bytes, zeros, PAGE) == 0;
}

/* Twelve pages, of which the first, the sixth and the last have something. */
static struct hw_target *open_sparse(enum hw_machine_id id, size_t skew)
{
    struct builder *b = core_new(id);
    align_data(b, skew);
    core_add_load(b, 0x100000, 14 * PAGE, 12 * PAGE, PF_R | PF_W, 0);
    core_poke(b, 0x100010, 1);
    core_poke(b, 0x105800, 2);
    core_poke(b, 0x10bff0, 3);
    return core_must_open(b, WHOLE);
}

/* Blocks of the file are not where pages are if a core begins anywhere, as gcore's do. */
static const size_t skews[] = {0, 0x740, 0x800, 0xff8};
enum { SKEWS = sizeof skews / sizeof *skews };

static bool has_holes(void)
{
    struct hw_target *t = open_sparse(HW_X86_64, 0);
    hw_addr until;
    bool has = hw_target_extent(t, 0x101000, 0x105000, &until) == HW_EXTENT_ZEROS;
    hw_target_close(t);
    return has;
}

EACH_MACHINE(core, HW_X86_64, a_hole_of_the_file_is_zeros)
{
    for (size_t i = 0; i < SKEWS; i++) {
        struct hw_target *t = open_sparse(id, skews[i]);
        uint8_t bytes[64];
        cr_expect(is_zero(t, 0x102000));
        cr_expect(!is_zero(t, 0x105000));
        cr_expect_eq(hw_read(t, 0x10bfc0, bytes, sizeof bytes, NULL), 64);
        cr_expect_eq(bytes[0x30], 3);
        cr_expect_eq(hw_read(t, 0x10c000, bytes, sizeof bytes, NULL), 0, "not saved: no zeros");
        hw_target_close(t);
    }
}

EACH_MACHINE(core, HW_X86_64, pages_are_zeros_only_if_all_of_them_is)
{
    if (!has_holes())
        cr_skip_test("files have no holes here");
    for (size_t i = 0; i < SKEWS; i++) {
        struct hw_target *t = open_sparse(id, skews[i]);
        unsigned zeros = 0;
        hw_addr until;
        for (hw_addr at = 0x100000; at < 0x10c000; at = until) {
            enum hw_extent what = hw_target_extent(t, at, 0x10e000, &until);
            cr_assert_gt(until, at);
            cr_assert_neq(what, HW_EXTENT_MISSING);
            cr_expect_eq(until % PAGE, 0);
            for (hw_addr page = at; page < until && what == HW_EXTENT_ZEROS; page += PAGE, zeros++)
                cr_expect(is_zero(t, page));
        }
        cr_expect_geq(zeros, 7, "%u of the 9 empty pages with a skew of %zu", zeros, skews[i]);
        cr_expect_eq(until, 0x10c000);
        cr_expect_eq(hw_target_extent(t, 0x10c000, 0x10d000, &until), HW_EXTENT_MISSING);
        cr_expect_eq(until, 0x10d000);
        cr_expect_eq(hw_target_extent(t, 0x1000, 0x10d000, &until), HW_EXTENT_MISSING);
        cr_expect_eq(until, 0x100000);
        hw_target_close(t);
    }
}

EACH_MACHINE(core, HW_X86_64, a_search_passes_over_holes)
{
    if (!has_holes())
        cr_skip_test("files have no holes here");
    for (size_t i = 0; i < SKEWS; i++) {
        struct hw_target *t = open_sparse(id, skews[i]);
        uint64_t budget = 100;
        size_t met = 0;
        for (hw_addr at = 0x100000; (at = hw_next_data(t, at, 0x200000, &budget)) < 0x200000;
             at += PAGE) {
            cr_expect_eq(at % PAGE, 0);
            met += !is_zero(t, at);
        }
        cr_expect_eq(met, 3);
        cr_expect_gt(budget, 80);
        hw_target_close(t);
    }
}

Test(core, a_search_ends_with_its_budget)
{
    struct hw_target *t = open_sparse(HW_X86_64, 0);
    uint64_t budget = 1;
    cr_expect_eq(hw_next_data(t, 0x10c000, 0x200000, &budget), 0x200000);
    cr_expect_eq(budget, 0);
    hw_target_close(t);
}

/* ---- what is missing ------------------------------------------------------------------------- */

static struct hw_missing missing(struct hw_target *t, hw_addr start, hw_addr end)
{
    struct hw_missing m = {0};
    hw_target_missing(t, start, end, &m);
    return m;
}

static void expect_missing(struct hw_target *t, hw_addr start, hw_addr end, uint64_t bytes,
                           uint64_t cut_off, hw_addr first)
{
    struct hw_missing m = missing(t, start, end);
    cr_expect(m.bytes == bytes && m.cut_off == cut_off && (bytes == 0 || m.first == first),
              "[%lx, %lx): %lu, %lu cut off, at %lx", start, end, m.bytes, m.cut_off, m.first);
}

EACH_MACHINE(core, HW_X86_64, counts_what_was_not_saved)
{
    struct builder *b = core_new(id);
    core_add_load(b, 0x10000, 0x4000, 0x4000, PF_R | PF_W, 'a');
    core_add_load(b, 0x14000, 0x4000, 0x1000, PF_R | PF_W, 'b'); /* as a filter would */
    core_add_load(b, 0x18000, 0x2000, 0, PF_R | PF_W, 'c');      /* as MADV_DONTDUMP */
    core_add_load(b, 0x1a000, 0x1000, 0x1000, PF_R | PF_W, 'd');
    core_add_load(b, 0x1d000, 0x1000, 0x1000, PF_R | PF_W, 'e'); /* and gcore left something out */
    struct hw_target *t = core_must_open(b, WHOLE);
    expect_missing(t, 0x10000, 0x15000, 0, 0, 0);
    expect_missing(t, 0x10000, 0x10000, 0, 0, 0);
    expect_missing(t, 0x10000, 0x18000, 0x3000, 0, 0x15000);
    expect_missing(t, 0x16800, 0x17000, 0x800, 0, 0x16800);
    expect_missing(t, 0x10000, 0x1e000, 0x7000, 0, 0x15000);
    expect_missing(t, 0x1a800, 0x1e000, 0x2000, 0, 0x1b000);
    expect_missing(t, 0x1b000, 0x1c000, 0x1000, 0, 0x1b000);
    expect_missing(t, 0x0, 0x11000, 0x10000, 0, 0x0);
    expect_missing(t, 0x1d000, 0x1f000, 0x1000, 0, 0x1e000);
    expect_missing(t, 0x1e000, 0x1f000, 0x1000, 0, 0x1e000);
    expect_missing(t, 0x1f000, 0x1e000, 0, 0, 0);
    /* Sums are added to. */
    struct hw_missing sum = missing(t, 0x10000, 0x18000);
    hw_target_missing(t, 0x1a000, 0x1d000, &sum);
    cr_expect(sum.bytes == 0x5000 && sum.first == 0x15000);
    hw_target_close(t);
}

EACH_MACHINE(core, HW_X86_64, tells_what_was_cut_off_from_what_was_not_saved)
{
    struct builder *b = core_new(id);
    core_add_load(b, 0x10000, 0x4000, 0x4000, PF_R | PF_W, 'a');
    core_add_load(b, 0x20000, 0x4000, 0x2000, PF_R | PF_W, 'b');
    core_add_load(b, 0x30000, 0x4000, 0x4000, PF_R | PF_W, 'c');
    struct hw_target *t = core_must_open(b, DATA_AT + 0x5800);
    cr_expect(t->truncated);
    cr_expect_eq(t->core_bytes, DATA_AT + 0x5800);
    cr_expect_eq(t->core_wanted, DATA_AT + 0xa000);
    expect_missing(t, 0x10000, 0x14000, 0, 0, 0);
    expect_missing(t, 0x20000, 0x24000, 0x2800, 0x800, 0x21800);
    expect_missing(t, 0x21000, 0x21c00, 0x400, 0x400, 0x21800);
    expect_missing(t, 0x30000, 0x34000, 0x4000, 0x4000, 0x30000);
    expect_missing(t, 0x30000, 0x32000, 0x2000, 0x2000, 0x30000);
    hw_target_close(t);
}

EACH_MACHINE(core, HW_X86_64, overlaps_are_not_counted_twice)
{
    struct builder *b = core_new(id);
    core_add_load(b, 0x10000, 0x4000, 0x2000, PF_R, 'a');
    core_add_load(b, 0x11000, 0x5000, 0x5000, PF_R, 'b');
    struct hw_target *t = core_must_open(b, WHOLE);
    expect_missing(t, 0x10000, 0x16000, 0x2000, 0, 0x12000);
    hw_target_close(t);
}

Test(core, nothing_is_missing_of_what_is_no_core)
{
    static uint8_t bytes[64];
    struct hw_buffer_range range = {.start = 0x1000, .bytes = bytes, .len = sizeof bytes};
    struct hw_target *t;
    hw_addr until;
    cr_assert_eq(hw_target_open_buffer(&range, 1, NULL, 0, &t, NULL), HW_OK);
    expect_missing(t, 0x1000, 0x3000, 0, 0, 0);
    cr_expect_eq(hw_target_extent(t, 0x1000, 0x3000, &until), HW_EXTENT_DATA);
    cr_expect_eq(until, 0x3000);
    hw_target_close(t);
}

/* Kernels tell of all mappings, and align their segments. */
EACH_MACHINE(core, HW_X86_64, knows_whether_mappings_may_be_left_out)
{
    struct builder *b = core_new(id);
    core_add_load(b, 0x10000, 0x4000, 0x4000, PF_R | PF_W, 'a')->p_align = 0x10000;
    core_add_load(b, 0x20000, 0x4000, 0, PF_R | PF_W, 'b')->p_align = 0x1000;
    struct hw_target *t = core_must_open(b, WHOLE);
    cr_expect(!t->leaves_out);
    hw_target_close(t);
    core_add_load(b, 0x30000, 0x4000, 0x4000, PF_R | PF_W, 'c')->p_align = 1;
    t = core_must_open(b, WHOLE);
    cr_expect(t->leaves_out);
    hw_target_close(t);
}
