/*
 * Finding main_arena and mp_ by what stands in memory, in hand-made images without any file: one
 * for each era, laid out by the table, with words of 8 or 4 bytes as it has.
 */
#include "alloc/glibc/roots.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <string.h>

#define LIBC_PATH "/lib/libc.so.6"
#define LIBC      ((hw_addr)0x7f800000)
#define LIBC_SIZE 0x4000
#define DATA      (LIBC + 0x4000)
#define DATA_SIZE 0x4000
#define BRK       ((hw_addr)0x55550000)
#define BRK_SIZE  0x21000
#define HEAP      ((hw_addr)0x7c000000)
#define HEAP_SIZE 0x2000
#define MAIN      (DATA + 0x1c60)
#define MP        (DATA + 0x1340)

/* A test of one era in words of 8 bytes and in words of 4. */
#define TEST_OF_BOTH(suite, name)                                                                  \
    static void name(unsigned era);                                                                \
    Test(suite, name)                                                                              \
    {                                                                                              \
        name(GLIBC_ERA_2_35);                                                                      \
        name(GLIBC_ERA_2_35_32);                                                                   \
    }                                                                                              \
    static void name(unsigned era)

/* One image and how it is laid out. */
struct image {
    enum glibc_variant state, par, heap;
    unsigned word;
    uint8_t libc[LIBC_SIZE], data[DATA_SIZE], brk[BRK_SIZE], thread_heap[HEAP_SIZE];
    struct hw_target *target;
    struct hw_modules *modules;
};

static enum glibc_variant variant_of(unsigned era, enum glibc_struct strct)
{
    for (unsigned v = GLIBC_NO_STRUCT + 1; v < GLIBC_VARIANTS_; v++)
        if (glibc_variant_struct(v) == strct && (glibc_eras_with(v) >> era & 1))
            return v;
    return GLIBC_NO_STRUCT;
}

static uint8_t *at(struct image *im, hw_addr a)
{
    if (a >= DATA && a < DATA + DATA_SIZE)
        return im->data + (a - DATA);
    if (a >= BRK && a < BRK + BRK_SIZE)
        return im->brk + (a - BRK);
    cr_assert(a >= HEAP && a < HEAP + HEAP_SIZE);
    return im->thread_heap + (a - HEAP);
}

static void poke(struct image *im, hw_addr a, uint64_t word)
{
    memcpy(at(im, a), &word, im->word);
}

static void set(struct image *im, hw_addr base, enum glibc_variant v, enum glibc_field field,
                uint64_t value)
{
    struct hw_field f = glibc_variant_field(v, field);
    if (f.origin != HW_ORIGIN_ABSENT)
        memcpy(at(im, base + f.offset), &value, f.size);
}

/* As the compiler initialises them. */
static void initialise(struct image *im, hw_addr arena)
{
    set(im, arena, im->state, GLIBC_F_NEXT, arena);
    set(im, arena, im->state, GLIBC_F_ATTACHED, 1);
    set(im, MP, im->par, GLIBC_F_MP_TRIM_THRESHOLD, 128 << 10);
    set(im, MP, im->par, GLIBC_F_MP_TOP_PAD, 128 << 10);
    set(im, MP, im->par, GLIBC_F_MP_MMAP_THRESHOLD, 128 << 10);
    set(im, MP, im->par, GLIBC_F_MP_ARENA_TEST, im->word == 8 ? 8 : 2);
    set(im, MP, im->par, GLIBC_F_MP_N_MMAPS_MAX, 65536);
    set(im, MP, im->par, GLIBC_F_MP_TCACHE_MAX_BYTES, im->word == 8 ? 1032 : 1020);
    set(im, MP, im->par, GLIBC_F_MP_TCACHE_COUNT, 7);
    int max_bytes = glibc_variant_offset(im->par, GLIBC_F_MP_TCACHE_MAX_BYTES);
    if (max_bytes > 0)
        poke(im, MP + (hw_addr)max_bytes - im->word, 64); /* tcache_bins */
}

static void init_bins(struct image *im, hw_addr arena)
{
    hw_addr bins = arena + (hw_addr)glibc_variant_offset(im->state, GLIBC_F_BINS);
    unsigned pair = 2 * im->word;
    for (unsigned i = 0; i < 127; i++) {
        poke(im, bins + pair * i, bins + pair * i - pair);
        poke(im, bins + pair * i + im->word, bins + pair * i - pair);
    }
    set(im, arena, im->state, GLIBC_F_TOP, bins - pair);
}

/* After the first malloc(): top, and a chunk in bin 5. */
static void use(struct image *im, hw_addr arena)
{
    hw_addr top = BRK + 0x1000, chunk = BRK + 0x400;
    hw_addr bins = arena + (hw_addr)glibc_variant_offset(im->state, GLIBC_F_BINS);
    unsigned w = im->word;
    init_bins(im, arena);
    poke(im, top + w, (BRK_SIZE - 0x1000) | 1);
    set(im, arena, im->state, GLIBC_F_TOP, top);
    set(im, arena, im->state, GLIBC_F_SYSTEM_MEM, BRK_SIZE);
    set(im, arena, im->state, GLIBC_F_MAX_SYSTEM_MEM, BRK_SIZE);
    poke(im, bins + 8 * w, chunk);
    poke(im, bins + 9 * w, chunk);
    poke(im, chunk + 2 * w, bins + 6 * w);
    poke(im, chunk + 3 * w, bins + 6 * w);
    set(im, MP, im->par, GLIBC_F_MP_SBRK_BASE, BRK);
}

/* A thread arena in the ring, in a heap of its own. */
static void add_arena(struct image *im)
{
    hw_addr arena = HEAP + glibc_variant_size(im->heap);
    poke(im, HEAP, arena);
    init_bins(im, arena);
    set(im, arena, im->state, GLIBC_F_NEXT, MAIN);
    set(im, MAIN, im->state, GLIBC_F_NEXT, arena);
}

static struct image *empty_image(unsigned era)
{
    struct image *im = calloc(1, sizeof *im);
    cr_assert_not_null(im);
    im->word = glibc_eras_word((glibc_era_set)1 << era);
    return im;
}

static struct image *image_of(unsigned era)
{
    struct image *im = empty_image(era);
    im->state = variant_of(era, GLIBC_MALLOC_STATE);
    im->par = variant_of(era, GLIBC_MALLOC_PAR);
    im->heap = variant_of(era, GLIBC_HEAP_INFO);
    initialise(im, MAIN);
    return im;
}

static void scan(struct image *im, struct glibc_roots *ret)
{
    struct hw_buffer_range ranges[] = {
        {LIBC, im->libc, LIBC_SIZE, HW_MAP_READ | HW_MAP_EXEC, LIBC_PATH},
        {DATA, im->data, DATA_SIZE, HW_MAP_READ | HW_MAP_WRITE, LIBC_PATH},
        {BRK, im->brk, BRK_SIZE, HW_MAP_READ | HW_MAP_WRITE, NULL},
        {HEAP, im->thread_heap, HEAP_SIZE, HW_MAP_READ | HW_MAP_WRITE, NULL},
    };
    cr_assert_eq(hw_target_open_buffer(ranges, 4, NULL, 0, &im->target, NULL), HW_OK);
    im->target->who.machine = hw_machine(im->word == 4 ? HW_I386 : HW_X86_64);
    cr_assert_eq(hw_modules_open(im->target, NULL, &im->modules, NULL), HW_OK);
    struct glibc_search where = {im->target, im->modules, hw_modules_at(im->modules, DATA)};
    cr_assert_not_null(where.mod);
    *ret = (struct glibc_roots){.eras = glibc_eras_of(im->target->who.machine->word)};
    cr_assert_eq(glibc_finder_scan.find(&where, ret, NULL), HW_OK);
}

static void end(struct image *im)
{
    hw_modules_close(im->modules);
    hw_target_close(im->target);
    free(im);
}

static void scan_finds(struct image *im, unsigned era)
{
    struct glibc_roots r;
    scan(im, &r);
    cr_assert_eq(r.main_arena, MAIN, "era %u", era);
    cr_assert_eq(r.mp, MP, "era %u", era);
    cr_assert(glibc_verify_roots(im->target, &r));
    cr_assert_eq(r.mp, MP);
    cr_assert(r.eras >> era & 1, "era %u", era);
    end(im);
}

Test(roots_scan, before_the_first_malloc)
{
    for (unsigned era = 0; era < GLIBC_ERAS_; era++)
        scan_finds(image_of(era), era);
}

Test(roots_scan, initialised_but_not_used)
{
    for (unsigned era = 0; era < GLIBC_ERAS_; era++) {
        struct image *im = image_of(era);
        init_bins(im, MAIN);
        /* Only from 2.42 on, so only where the table can tell these from the older ones. */
        if (glibc_eras_with_tcache() >> era & 1)
            scan_finds(im, era);
        else
            free(im);
    }
}

Test(roots_scan, in_use)
{
    for (unsigned era = 0; era < GLIBC_ERAS_; era++) {
        struct image *im = image_of(era);
        use(im, MAIN);
        scan_finds(im, era);
    }
}

Test(roots_scan, thread_arenas_tell_the_era)
{
    for (unsigned era = 0; era < GLIBC_ERAS_; era++) {
        struct image *im = image_of(era);
        struct glibc_roots r;
        use(im, MAIN);
        add_arena(im);
        scan(im, &r);
        cr_assert_eq(r.main_arena, MAIN);
        cr_assert(glibc_verify_roots(im->target, &r));
        cr_assert_eq(r.eras & ~glibc_eras_with(im->heap), 0, "by heap_info");
        cr_assert_eq(r.eras & ~glibc_eras_with(im->state), 0);
        cr_assert_eq(r.eras & ~glibc_eras_with(im->par), 0);
        cr_assert(r.eras >> era & 1);
        end(im);
    }
}

/* sbrk_base cannot be computed; the other values of mp_ must do. */
Test(roots_scan, not_contiguous)
{
    for (unsigned era = 0; era < GLIBC_ERAS_; era++) {
        struct image *im = image_of(era);
        use(im, MAIN);
        set(im, MAIN, im->state, GLIBC_F_FLAGS, 2);
        set(im, MAIN, im->state, GLIBC_F_SYSTEM_MEM, BRK_SIZE + 0x100000);
        scan_finds(im, era);
    }
}

TEST_OF_BOTH(roots_scan, settings_of_the_program)
{
    struct image *im = image_of(era);
    use(im, MAIN);
    set(im, MP, im->par, GLIBC_F_MP_TRIM_THRESHOLD, (uint64_t)-1);
    set(im, MP, im->par, GLIBC_F_MP_MMAP_THRESHOLD, 1 << 20);
    set(im, MP, im->par, GLIBC_F_MP_NO_DYN_THRESHOLD, 1);
    set(im, MP, im->par, GLIBC_F_MP_ARENA_MAX, 2);
    set(im, MP, im->par, GLIBC_F_MP_N_MMAPS_MAX, 0);
    scan_finds(im, era);
}

/* ---- what must not be believed --------------------------------------------------------------- */

TEST_OF_BOTH(roots_scan, nothing_there)
{
    struct image *im = empty_image(era);
    struct glibc_roots r;
    scan(im, &r);
    cr_assert_eq(r.main_arena, 0);
    cr_assert_eq(r.mp, 0);
    end(im);
}

static struct image *broken_ring(unsigned era)
{
    struct image *im = image_of(era);
    use(im, MAIN);
    add_arena(im);
    set(im, HEAP + glibc_variant_size(im->heap), im->state, GLIBC_F_NEXT, BRK);
    return im;
}

/* mp_ proves it, and tells which layout it has. */
Test(roots_scan, ring_that_is_broken)
{
    scan_finds(broken_ring(GLIBC_ERA_2_35), GLIBC_ERA_2_35);
    scan_finds(broken_ring(GLIBC_ERA_2_43), GLIBC_ERA_2_43);
    scan_finds(broken_ring(GLIBC_ERA_2_35_32), GLIBC_ERA_2_35_32);
    scan_finds(broken_ring(GLIBC_ERA_2_43_32), GLIBC_ERA_2_43_32);
}

/* Unless two layouts have the same mp_. */
Test(roots_scan, ring_that_is_broken_ambiguously)
{
    struct image *im = broken_ring(GLIBC_ERA_2_30);
    struct glibc_roots r;
    scan(im, &r);
    cr_assert_eq(r.main_arena, 0);
    end(im);
}

TEST_OF_BOTH(roots_scan, ring_that_is_broken_and_no_mp)
{
    struct image *im = broken_ring(era);
    struct glibc_roots r;
    set(im, MP, im->par, GLIBC_F_MP_SBRK_BASE, BRK + 16);
    scan(im, &r);
    cr_assert_eq(r.main_arena, 0);
    end(im);
}

/* A copy that the program made of the bins alone, pointers adapted: its ring does not lead to it.
 */
TEST_OF_BOTH(roots_scan, bins_elsewhere)
{
    struct image *im = image_of(era);
    use(im, MAIN);
    init_bins(im, DATA + 0x2800);
    scan_finds(im, era);
}

/* A perfect twin that is not used, as in a second copy of malloc. */
TEST_OF_BOTH(roots_scan, unused_twin)
{
    struct image *im = image_of(era);
    use(im, MAIN);
    set(im, DATA + 0x2800, im->state, GLIBC_F_NEXT, DATA + 0x2800);
    set(im, DATA + 0x2800, im->state, GLIBC_F_ATTACHED, 1);
    scan_finds(im, era);
}

/* As if libc's data were nothing but arenas: neither is believed, and it does not take for ever. */
Test(roots_scan, arenas_without_end, .timeout = 60)
{
    enum glibc_variant v = variant_of(GLIBC_ERA_2_35, GLIBC_MALLOC_STATE);
    size_t size = glibc_variant_size(v), bytes = (size_t)8 << 20;
    size_t next = (size_t)glibc_variant_offset(v, GLIBC_F_NEXT);
    size_t attached = (size_t)glibc_variant_offset(v, GLIBC_F_ATTACHED);
    uint8_t *data = calloc(1, bytes), *libc = calloc(1, LIBC_SIZE);
    cr_assert(data && libc);
    for (size_t i = 0; i + size <= bytes; i += size) {
        uint64_t self = DATA + i;
        memcpy(data + i + next, &self, sizeof self);
        data[i + attached] = 1;
    }
    struct hw_buffer_range ranges[] = {
        {LIBC, libc, LIBC_SIZE, HW_MAP_READ | HW_MAP_EXEC, LIBC_PATH},
        {DATA, data, bytes, HW_MAP_READ | HW_MAP_WRITE, LIBC_PATH},
    };
    struct glibc_search where = {0};
    struct glibc_roots r = {.eras = glibc_eras_of(8)};
    cr_assert_eq(hw_target_open_buffer(ranges, 2, NULL, 0, &where.target, NULL), HW_OK);
    cr_assert_eq(hw_modules_open(where.target, NULL, &where.modules, NULL), HW_OK);
    where.mod = hw_modules_at(where.modules, DATA);
    cr_assert_eq(glibc_finder_scan.find(&where, &r, NULL), HW_OK);
    cr_expect_eq(r.main_arena, 0);
    hw_modules_close(where.modules);
    hw_target_close(where.target);
    free(data);
    free(libc);
}

/* Two that are equally good: neither. */
TEST_OF_BOTH(roots_scan, two_in_use)
{
    struct image *im = image_of(era);
    struct glibc_roots r;
    use(im, MAIN);
    set(im, DATA + 0x2800, im->state, GLIBC_F_NEXT, DATA + 0x2800);
    use(im, DATA + 0x2800);
    scan(im, &r);
    cr_assert_eq(r.main_arena, 0);
    end(im);
}

TEST_OF_BOTH(roots_scan, two_mp)
{
    struct image *im = image_of(era);
    struct glibc_roots r;
    use(im, MAIN);
    memcpy(at(im, DATA + 0x400), at(im, MP), glibc_variant_size(im->par));
    scan(im, &r);
    cr_assert_eq(r.main_arena, MAIN);
    cr_assert_eq(r.mp, 0);
    end(im);
}

/* Pointers to anywhere, thousands of them, are looked at within bounds. */
TEST_OF_BOTH(roots_scan, pathological_data)
{
    struct image *im = empty_image(era);
    struct glibc_roots r;
    for (size_t i = 0; i < DATA_SIZE; i += im->word)
        poke(im, DATA + i, DATA + i - (i % 16 ? 3 : 2) * im->word);
    scan(im, &r);
    cr_assert_eq(r.main_arena, 0);
    end(im);
}

/* ---- what memory says of a proposal ---------------------------------------------------------- */

TEST_OF_BOTH(roots_verify, wrong_places_are_refuted)
{
    struct image *im = image_of(era);
    struct glibc_roots r;
    use(im, MAIN);
    scan(im, &r);
    struct glibc_roots wrong = {
        .main_arena = MAIN + im->word, .mp = MP, .eras = glibc_eras_of(im->word)};
    cr_assert_not(glibc_verify_roots(im->target, &wrong));
    cr_assert_eq(wrong.main_arena, 0);
    wrong = (struct glibc_roots){.main_arena = MAIN, .mp = BRK, .eras = glibc_eras_of(im->word)};
    poke(im, BRK + 3 * im->word, (uint64_t)-1); /* no arena_test */
    cr_assert(glibc_verify_roots(im->target, &wrong));
    cr_assert_eq(wrong.mp, 0);
    wrong =
        (struct glibc_roots){.main_arena = 0xdead0000, .mp = MP, .eras = glibc_eras_of(im->word)};
    cr_assert_not(glibc_verify_roots(im->target, &wrong));
    end(im);
}

/* Where files give the addresses, a damaged arena is still the arena. */
TEST_OF_BOTH(roots_verify, damage_is_not_a_refutation)
{
    struct image *im = image_of(era);
    struct glibc_roots r;
    use(im, MAIN);
    set(im, MAIN, im->state, GLIBC_F_SYSTEM_MEM, UINT64_MAX / 2);
    set(im, MAIN, im->state, GLIBC_F_FLAGS, 0x55);
    set(im, MAIN, im->state, GLIBC_F_NEXT, 0x10);
    scan(im, &r);
    cr_assert_eq(r.main_arena, 0, "neither ring nor mp_ fit");
    r = (struct glibc_roots){.main_arena = MAIN, .mp = MP, .eras = glibc_eras_with(im->par)};
    cr_assert(glibc_verify_roots(im->target, &r));
    cr_assert_eq(r.mp, MP);
    end(im);
}
