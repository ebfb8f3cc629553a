/*
 * mp_ by its values. It has no pointer to itself, but values that hardly ever change and stand in a
 * fixed order:
 *
 *     trim_threshold  top_pad  mmap_threshold   131072 each, or as the program set them
 *     arena_test                                8, or 2 where words have 4 bytes
 *     n_mmaps  n_mmaps_max                      n, 65536
 *     sbrk_base                                 where main_arena's memory begins: this is known
 *     tcache_bins  tcache_max_bytes  tcache_count   64, 1032 or 1041 (1020 or 1025), 7 or 16
 */
#include "alloc/glibc/roots.h"

#define THRESHOLD_DEFAULT ((uint64_t)128 << 10)
#define COUNT_MAX         ((uint64_t)1 << 30) /* of anything that a program counts or sets */
#define SCORE_NEEDED      3

struct mp_values {
    enum glibc_variant v;
    unsigned word;
    const uint8_t *bytes;
};

static uint64_t value(const struct mp_values *m, enum glibc_field field)
{
    struct hw_field f = glibc_variant_field(m->v, field);
    return f.origin == HW_ORIGIN_ABSENT ? 0 : glibc_word_of(m->bytes, f.offset, f.size);
}

static bool is_page_size(uint64_t n)
{
    return (n & (n - 1)) == 0 && n <= (uint64_t)1 << 40;
}

static bool counters_possible(const struct mp_values *m)
{
    uint64_t n = value(m, GLIBC_F_MP_N_MMAPS), bytes = value(m, GLIBC_F_MP_MMAPPED_MEM);
    return n <= value(m, GLIBC_F_MP_MAX_N_MMAPS) && value(m, GLIBC_F_MP_MAX_N_MMAPS) <= COUNT_MAX &&
           value(m, GLIBC_F_MP_N_MMAPS_MAX) <= INT32_MAX &&
           bytes <= value(m, GLIBC_F_MP_MAX_MMAPPED_MEM) && bytes % (2 * m->word) == 0 &&
           (bytes || !n);
}

static bool settings_possible(const struct mp_values *m)
{
    return value(m, GLIBC_F_MP_ARENA_TEST) <= COUNT_MAX &&
           value(m, GLIBC_F_MP_ARENA_MAX) <= COUNT_MAX &&
           value(m, GLIBC_F_MP_NO_DYN_THRESHOLD) <= 1 &&
           is_page_size(value(m, GLIBC_F_MP_THP_PAGESIZE)) &&
           is_page_size(value(m, GLIBC_F_MP_HP_PAGESIZE));
}

/* tcache_bins stands in front of tcache_max_bytes. */
static uint64_t tcache_bins(const struct mp_values *m)
{
    int at = glibc_variant_offset(m->v, GLIBC_F_MP_TCACHE_MAX_BYTES);
    return at < 0 ? 0 : hw_word(m->bytes + at - m->word, m->word);
}

static bool has_tcache(const struct mp_values *m)
{
    return glibc_variant_offset(m->v, GLIBC_F_MP_TCACHE_COUNT) >= 0;
}

static bool tcache_possible(const struct mp_values *m)
{
    return !has_tcache(m) || (tcache_bins(m) >= 1 && tcache_bins(m) <= 64 &&
                              value(m, GLIBC_F_MP_TCACHE_MAX_BYTES) <= (uint64_t)1 << 32 &&
                              value(m, GLIBC_F_MP_TCACHE_COUNT) <= UINT16_MAX);
}

/* The thresholds that nobody changed, or that glibc has adapted itself. */
static bool thresholds_usual(const struct mp_values *m)
{
    uint64_t trim = value(m, GLIBC_F_MP_TRIM_THRESHOLD);
    uint64_t mmap = value(m, GLIBC_F_MP_MMAP_THRESHOLD);
    return mmap == THRESHOLD_DEFAULT ? trim == THRESHOLD_DEFAULT
                                     : mmap > THRESHOLD_DEFAULT && trim == 2 * mmap;
}

/*
 * How much `bytes` (of glibc_variant_size(v)) look like mp_: -1 if they cannot be, else a number
 * that grows with every value that chance would not have put there. `main`: what is known of
 * main_arena, or NULL.
 */
static int mp_score(enum glibc_variant v, const uint8_t *bytes, const struct glibc_sighting *main)
{
    unsigned word = glibc_variant_field(v, GLIBC_F_MP_TRIM_THRESHOLD).size;
    struct mp_values m = {.v = v, .word = word, .bytes = bytes};
    hw_addr sbrk_base = value(&m, GLIBC_F_MP_SBRK_BASE);
    bool known = main && main->sbrk_base_known, set = main && main->used;
    if (!counters_possible(&m) || !settings_possible(&m) || !tcache_possible(&m) ||
        (known && sbrk_base != main->sbrk_base) || (!known && (sbrk_base ? sbrk_base < 4096 : set)))
        return -1;
    uint64_t max_bytes = value(&m, GLIBC_F_MP_TCACHE_MAX_BYTES);
    uint64_t count = value(&m, GLIBC_F_MP_TCACHE_COUNT);
    int score = 0;
    score += value(&m, GLIBC_F_MP_N_MMAPS_MAX) == 65536;
    score += value(&m, GLIBC_F_MP_ARENA_TEST) == (m.word == 8 ? 8 : 2);
    score += thresholds_usual(&m);
    score += has_tcache(&m) && tcache_bins(&m) == 64;
    score += m.word == 8 ? max_bytes == 1032 || max_bytes == 1041
                         : max_bytes == 1020 || max_bytes == 1025;
    score += has_tcache(&m) && (count == 7 || count == 16);
    score += known && sbrk_base ? 2 : 0; /* not enough alone */
    return score;
}

/* The layouts of mp_ in a set of eras. */
struct layouts {
    size_t count;
    struct {
        enum glibc_variant v;
        glibc_era_set eras;
    } of[GLIBC_VARIANTS_];
};

static struct layouts layouts_in(glibc_era_set eras)
{
    struct layouts l = {0};
    for (unsigned v = GLIBC_NO_STRUCT + 1; v < GLIBC_VARIANTS_; v++) {
        glibc_era_set fit = glibc_eras_with(v) & eras;
        if (glibc_variant_struct(v) != GLIBC_MALLOC_PAR || !fit)
            continue;
        l.of[l.count].v = v;
        l.of[l.count++].eras = fit;
    }
    return l;
}

/* The eras with the best score among `layouts`, and that score (-1: none is possible). */
static glibc_era_set best_eras(const uint8_t *bytes, size_t len, const struct layouts *layouts,
                               const struct glibc_sighting *main, int *ret)
{
    glibc_era_set best = 0;
    *ret = -1;
    for (size_t i = 0; i < layouts->count; i++) {
        enum glibc_variant v = layouts->of[i].v;
        if (glibc_variant_size(v) > len)
            continue;
        int score = mp_score(v, bytes, main);
        if (score < 0 || score < *ret)
            continue;
        best = (score == *ret ? best : 0) | layouts->of[i].eras;
        *ret = score;
    }
    return best;
}

glibc_era_set glibc_sight_mp(struct hw_target *t, hw_addr address, glibc_era_set eras,
                             const struct glibc_sighting *main)
{
    uint8_t bytes[256];
    struct layouts layouts = layouts_in(eras);
    int score;
    ssize_t n = hw_read(t, address, bytes, sizeof bytes, NULL);
    return n > 0 ? best_eras(bytes, (size_t)n, &layouts, main, &score) : 0;
}

int glibc_search_mp(const uint8_t *bytes, size_t len, hw_addr start,
                    const struct glibc_sighting *main, struct glibc_roots *ret)
{
    int best = SCORE_NEEDED - 1, score;
    struct layouts layouts = layouts_in(ret->eras);
    unsigned word = glibc_eras_word(ret->eras);
    bool unique = false;
    for (size_t at = 0; at + 3 * word <= len; at += word) {
        /* Quickly over what is zero: trim_threshold and mmap_threshold are not. */
        if (hw_word(bytes + at, word) == 0 && hw_word(bytes + at + 2 * word, word) == 0)
            continue;
        glibc_era_set eras = best_eras(bytes + at, len - at, &layouts, main, &score);
        if (score < best || !eras)
            continue;
        unique = score > best;
        if (score == best)
            continue;
        best = score;
        ret->mp = start + at;
    }
    return unique ? best : 0;
}
