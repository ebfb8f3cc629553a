#include "alloc/forms.h"

#define NONE (-1)

/* clang-format off */
#define NO_TCACHE {0, 0, 0, 0, 0, false}

/*                                     size  fast lists top bins next  attached system */
#define STATE_17_64              {2184,    8, 10,  88, 104, 2152, NONE, 2168}
#define STATE_23_64              {2192,    8, 10,  88, 104, 2152, 2168, 2176}
#define STATE_27_64              {2200,   16, 10,  96, 112, 2160, 2176, 2184}
#define STATE_43_64              {2112, NONE,  0,   8,  24, 2072, 2088, 2096}
#define STATE_17_32              {1104,    8, 10,  48,  56, 1088, NONE, 1096}
#define STATE_23_32              {1108,    8, 10,  48,  56, 1088, 1096, 1100}
#define STATE_26_32              {1112,    8, 11,  52,  60, 1092, 1100, 1104}
#define STATE_27_32              {1116,   12, 11,  56,  64, 1096, 1104, 1108}
#define STATE_43_32              {1068, NONE,  0,   8,  16, 1048, 1056, 1060}

/*                                size   thp n_mmaps mmapped sbrk_base tcache_bins */
#define PAR_17_64                {  88, NONE, 40, 56,  80, NONE}
#define PAR_24_64                {  80, NONE, 40, 56,  72, NONE}
#define PAR_26_64                { 112, NONE, 40, 56,  72,   80}
#define PAR_35_64                { 136,   40, 60, 80,  96,  104}
#define PAR_43_64                { 144,   48, 68, 88, 104,  112}
#define PAR_17_32                {  52, NONE, 20, 36,  48, NONE}
#define PAR_24_32                {  48, NONE, 20, 36,  44, NONE}
#define PAR_26_32                {  64, NONE, 20, 36,  44,   48}
#define PAR_35_32                {  76,   20, 32, 48,  56,   60}
#define PAR_43_32                {  80,   24, 36, 52,  60,   64}

/*                                size counter lists entries fills slots */
#define TCACHE_26_64             { 576, 1, 64,  64,  7, false}
#define TCACHE_30_64             { 640, 2, 64, 128,  7, false}
#define TCACHE_42_64             { 760, 2, 76, 152,  7, true}
#define TCACHE_43_64             { 760, 2, 76, 152, 16, true}
#define TCACHE_26_32             { 320, 1, 64,  64,  7, false}
#define TCACHE_30_32             { 384, 2, 64, 128,  7, false}
#define TCACHE_42_32             { 456, 2, 76, 152,  7, true}
#define TCACHE_43_32             { 456, 2, 76, 152, 16, true}

#define RULES_64                 {8, 16, 32, 16}
#define RULES_32                 {4, 16, 16, 8}
#define RULES_OLD_32             {4, 8, 16, 8}

static const struct form forms_64[FORMS_] = {
    [FORM_2_17] = {"2.17 to 2.22",
                   RULES_64, STATE_17_64, PAR_17_64, {32, NONE}, NO_TCACHE, false, false},
    [FORM_2_23] = {"2.22 to 2.23",
                   RULES_64, STATE_23_64, PAR_17_64, {32, NONE}, NO_TCACHE, false, false},
    [FORM_2_24] = {"2.24 to 2.25",
                   RULES_64, STATE_23_64, PAR_24_64, {32, NONE}, NO_TCACHE, false, false},
    [FORM_2_26] = {"2.26",
                   RULES_64, STATE_23_64, PAR_26_64, {32, NONE}, TCACHE_26_64, false, false},
    [FORM_2_27] = {"2.26 to 2.29",
                   RULES_64, STATE_27_64, PAR_26_64, {32, NONE}, TCACHE_26_64, false, false},
    [FORM_2_30] = {"2.28 to 2.34",
                   RULES_64, STATE_27_64, PAR_26_64, {32, NONE}, TCACHE_30_64, false, false},
    [FORM_2_32] = {"2.28 to 2.34",
                   RULES_64, STATE_27_64, PAR_26_64, {32, NONE}, TCACHE_30_64, true, false},
    [FORM_2_35] = {"2.35 to 2.41",
                   RULES_64, STATE_27_64, PAR_35_64, {48, 32}, TCACHE_30_64, true, false},
    [FORM_2_42] = {"2.42",
                   RULES_64, STATE_27_64, PAR_35_64, {48, 32}, TCACHE_42_64, true, false},
    [FORM_2_43] = {"2.43",
                   RULES_64, STATE_43_64, PAR_43_64, {48, 32}, TCACHE_43_64, true, true},
};

static const struct form forms_32[FORMS_] = {
    [FORM_2_17] = {"2.17 to 2.22",
                   RULES_OLD_32, STATE_17_32, PAR_17_32, {16, NONE}, NO_TCACHE, false, false},
    [FORM_2_23] = {"2.22 to 2.23",
                   RULES_OLD_32, STATE_23_32, PAR_17_32, {16, NONE}, NO_TCACHE, false, false},
    [FORM_2_24] = {"2.24 to 2.25",
                   RULES_OLD_32, STATE_23_32, PAR_24_32, {16, NONE}, NO_TCACHE, false, false},
    [FORM_2_26] = {"2.26",
                   RULES_32, STATE_26_32, PAR_26_32, {24, NONE}, TCACHE_26_32, false, false},
    [FORM_2_27] = {"2.26 to 2.29",
                   RULES_32, STATE_27_32, PAR_26_32, {24, NONE}, TCACHE_26_32, false, false},
    [FORM_2_30] = {"2.28 to 2.34",
                   RULES_32, STATE_27_32, PAR_26_32, {24, NONE}, TCACHE_30_32, false, false},
    [FORM_2_32] = {"2.28 to 2.34",
                   RULES_32, STATE_27_32, PAR_26_32, {24, NONE}, TCACHE_30_32, true, false},
    [FORM_2_35] = {"2.35 to 2.41",
                   RULES_32, STATE_27_32, PAR_35_32, {24, 16}, TCACHE_30_32, true, false},
    [FORM_2_42] = {"2.42",
                   RULES_32, STATE_27_32, PAR_35_32, {24, 16}, TCACHE_42_32, true, false},
    [FORM_2_43] = {"2.43",
                   RULES_32, STATE_43_32, PAR_43_32, {24, 16}, TCACHE_43_32, true, true},
};
/* clang-format on */

const struct form *form_of(unsigned word, enum form_id id)
{
    return word == 8 ? &forms_64[id] : &forms_32[id];
}

static void set(struct hw_layout *l, unsigned field, int offset, unsigned size, unsigned count)
{
    if (offset != NONE)
        hw_layout_set(l, field, HW_ORIGIN_TABLE, (uint32_t)offset, size, count);
}

static void set_par(const struct form *f, struct hw_layout *l)
{
    int w = (int)f->rules.word, ints = f->par.n_mmaps, pages = f->par.thp,
        caches = f->par.tcache_bins;
    unsigned word = f->rules.word;
    set(l, GLIBC_F_MP_TRIM_THRESHOLD, 0, word, 1);
    set(l, GLIBC_F_MP_TOP_PAD, w, word, 1);
    set(l, GLIBC_F_MP_MMAP_THRESHOLD, 2 * w, word, 1);
    set(l, GLIBC_F_MP_ARENA_TEST, 3 * w, word, 1);
    set(l, GLIBC_F_MP_ARENA_MAX, 4 * w, word, 1);
    set(l, GLIBC_F_MP_THP_PAGESIZE, pages, word, 1);
    set(l, GLIBC_F_MP_HP_PAGESIZE, pages == NONE ? NONE : pages + w, word, 1);
    set(l, GLIBC_F_MP_N_MMAPS, ints, 4, 1);
    set(l, GLIBC_F_MP_N_MMAPS_MAX, ints + 4, 4, 1);
    set(l, GLIBC_F_MP_MAX_N_MMAPS, ints + 8, 4, 1);
    set(l, GLIBC_F_MP_NO_DYN_THRESHOLD, ints + 12, 4, 1);
    set(l, GLIBC_F_MP_MMAPPED_MEM, f->par.mmapped, word, 1);
    set(l, GLIBC_F_MP_MAX_MMAPPED_MEM, f->par.mmapped + w, word, 1);
    set(l, GLIBC_F_MP_SBRK_BASE, f->par.sbrk_base, word, 1);
    set(l, GLIBC_F_MP_TCACHE_MAX_BYTES, caches == NONE ? NONE : caches + w, word, 1);
    set(l, GLIBC_F_MP_TCACHE_COUNT, caches == NONE ? NONE : caches + 2 * w, word, 1);
}

void form_layout(const struct form *f, struct hw_layout *l)
{
    int w = (int)f->rules.word;
    unsigned word = f->rules.word;
    l->struct_size[GLIBC_MALLOC_STATE] = (uint64_t)f->state.size;
    l->struct_size[GLIBC_MALLOC_PAR] = (uint64_t)f->par.size;
    l->struct_size[GLIBC_HEAP_INFO] = (uint64_t)f->heap.size;
    l->struct_size[GLIBC_TCACHE] = (uint64_t)f->tcache.size;
    set(l, GLIBC_F_MUTEX, 0, 4, 1);
    set(l, GLIBC_F_FLAGS, 4, 4, 1);
    set(l, GLIBC_F_FASTBINS, f->state.fastbins, word, (unsigned)f->state.fast_lists);
    set(l, GLIBC_F_TOP, f->state.top, word, 1);
    set(l, GLIBC_F_BINS, f->state.bins, word, 254);
    set(l, GLIBC_F_BINMAP, f->state.bins + 254 * w, 4, 4);
    set(l, GLIBC_F_NEXT, f->state.next, word, 1);
    set(l, GLIBC_F_ATTACHED, f->state.attached, word, 1);
    set(l, GLIBC_F_SYSTEM_MEM, f->state.system, word, 1);
    set(l, GLIBC_F_MAX_SYSTEM_MEM, f->state.system + w, word, 1);
    set_par(f, l);
    set(l, GLIBC_F_HEAP_ARENA, 0, word, 1);
    set(l, GLIBC_F_HEAP_PREV, w, word, 1);
    set(l, GLIBC_F_HEAP_SIZE, 2 * w, word, 1);
    set(l, GLIBC_F_HEAP_MPROTECT_SIZE, 3 * w, word, 1);
    set(l, GLIBC_F_HEAP_PAGESIZE, f->heap.pagesize, word, 1);
    if (!f->tcache.size)
        return;
    set(l, f->tcache.slots ? GLIBC_F_TCACHE_NUM_SLOTS : GLIBC_F_TCACHE_COUNTS, 0,
        (unsigned)f->tcache.counter, (unsigned)f->tcache.lists);
    set(l, GLIBC_F_TCACHE_ENTRIES, f->tcache.entries, word, (unsigned)f->tcache.lists);
}
