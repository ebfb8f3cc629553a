/*
 * Does memory agree with what a finder proposes? Asked of every proposal that does not come from
 * symbols, before it is believed. Bytes are read from a target that may be running: what is asked
 * for holds at any moment but during the first malloc() or the creation of an arena.
 */
#include "alloc/glibc/roots.h"

#define LISTS         127
#define ARENAS_MAX    ((size_t)1 << 16)
#define ATTEMPTS      3      /* on a target that runs */
#define BESIDE        256    /* no header of a malloc_state is longer */
#define ATTACHED_MAX  0x1000 /* threads; an arena that is used has more bytes than that */
#define NONCONTIGUOUS 2

/* A malloc_state, read as one variant. */
struct image {
    struct hw_target *target;
    hw_addr address;
    enum glibc_variant v;
    const uint8_t *bytes;
};

static uint64_t member(const struct image *s, enum glibc_field field, unsigned index)
{
    struct hw_field f = glibc_variant_field(s->v, field);
    return f.origin == HW_ORIGIN_ABSENT
               ? 0
               : glibc_word_of(s->bytes, f.offset + (size_t)index * f.size, f.size);
}

static bool is_writable(const struct hw_target *t, hw_addr addr)
{
    const struct hw_map *map = hw_map_at(t, addr);
    return map && (map->flags & HW_MAP_WRITE);
}

static unsigned word_of(const struct image *s)
{
    return s->target->who.machine->word;
}

static hw_addr bin_head(const struct image *s, unsigned bin)
{
    int bins = glibc_variant_offset(s->v, GLIBC_F_BINS);
    return s->address + (hw_addr)bins + 2 * word_of(s) * (hw_addr)(bin - 1) - 2 * word_of(s);
}

static bool points_back(const struct image *s, hw_addr fd, hw_addr head)
{
    uint64_t bk;
    return is_writable(s->target, fd) &&
           hw_read_word(s->target, fd + 3 * word_of(s), &bk, NULL) == HW_OK && bk == head;
}

/* Most bins are sane; the last one, which is never used, certainly is, and behind it there is none:
 * so an array of as many bins a little further on is not taken for this one. */
static bool bins_are_sane(const struct image *s)
{
    unsigned sane = 0, word = word_of(s);
    size_t behind = (size_t)glibc_variant_offset(s->v, GLIBC_F_BINS) + 2 * (size_t)word * LISTS;
    if (hw_word(s->bytes + behind, word) == bin_head(s, LISTS + 1))
        return false;
    for (unsigned bin = LISTS; bin >= 1; bin--) {
        hw_addr head = bin_head(s, bin), fd = member(s, GLIBC_F_BINS, 2 * (bin - 1));
        bool self = fd == head;
        if (bin == LISTS && !self)
            return false;
        sane += self || points_back(s, fd, head);
    }
    return 2 * sane > LISTS;
}

/* As the compiler initialised it: zeros, but for `next` and attached_threads. */
static bool is_initial(const struct image *s)
{
    size_t next = (size_t)glibc_variant_offset(s->v, GLIBC_F_NEXT);
    size_t attached = (size_t)glibc_variant_offset(s->v, GLIBC_F_ATTACHED); /* -1: none */
    for (size_t at = 0; at < glibc_variant_size(s->v); at += word_of(s)) {
        uint64_t wanted = at == next ? s->address : at == attached;
        if (hw_word(s->bytes + at, word_of(s)) != wanted)
            return false;
    }
    return true;
}

/* All that tells 2.22 from 2.23 is attached_threads in front of system_mem: a number of threads
 * stands there, or a number of bytes. */
static bool counts_possible(const struct image *s)
{
    switch (s->v) {
    case GLIBC_STATE_2184:
    case GLIBC_STATE_1104:
        return member(s, GLIBC_F_SYSTEM_MEM, 0) >= ATTACHED_MAX;
    case GLIBC_STATE_2192:
    case GLIBC_STATE_1108:
        return member(s, GLIBC_F_ATTACHED, 0) < ATTACHED_MAX;
    default:
        return true;
    }
}

/* Where the memory of a contiguous main arena begins follows from where it ends. */
static void expect_sbrk_base(const struct image *s, struct glibc_sighting *ret)
{
    uint64_t size;
    hw_addr top = member(s, GLIBC_F_TOP, 0);
    ret->used = top != bin_head(s, 1);
    ret->sbrk_base_known = !ret->used;
    if (!ret->used || (member(s, GLIBC_F_FLAGS, 0) & NONCONTIGUOUS) ||
        hw_read_word(s->target, top + word_of(s), &size, NULL) != HW_OK)
        return;
    ret->sbrk_base = top + (size & ~(uint64_t)CHUNK_FLAGS) - member(s, GLIBC_F_SYSTEM_MEM, 0);
    ret->sbrk_base_known = true;
}

bool glibc_sight_main_arena(struct hw_target *t, hw_addr address, enum glibc_variant state,
                            struct glibc_sighting *ret)
{
    uint8_t bytes[2304];
    struct image s = {.target = t, .address = address, .v = state, .bytes = bytes};
    uint32_t size = glibc_variant_size(state);
    if (address % t->who.machine->word != 0 || size > sizeof bytes ||
        hw_read_all(t, address, bytes, size, NULL) != HW_OK)
        return false;
    *ret = (struct glibc_sighting){.state = state, .sbrk_base_known = true};
    if (is_initial(&s))
        return true;
    if (!bins_are_sane(&s) || !counts_possible(&s))
        return false;
    expect_sbrk_base(&s, ret);
    return true;
}

/* ---- the ring -------------------------------------------------------------------------------- */

bool glibc_is_thread_arena(struct hw_target *t, hw_addr address, glibc_era_set *eras)
{
    glibc_era_set fit = 0;
    if (address % t->who.machine->word != 0 || !is_writable(t, address))
        return false;
    for (unsigned v = GLIBC_NO_STRUCT + 1; v < GLIBC_VARIANTS_; v++) {
        uint64_t arena, prev;
        hw_addr heap = address - glibc_variant_size(v);
        if (glibc_variant_struct(v) == GLIBC_HEAP_INFO && (*eras & glibc_eras_with(v)) &&
            heap % t->who.page_size == 0 && hw_read_word(t, heap, &arena, NULL) == HW_OK &&
            hw_read_word(t, heap + t->who.machine->word, &prev, NULL) == HW_OK &&
            arena == address && prev == 0)
            fit |= glibc_eras_with(v);
    }
    *eras &= fit ? fit : *eras;
    return fit != 0;
}

enum glibc_ring glibc_follow_ring(struct hw_target *t, hw_addr main_arena, enum glibc_variant state,
                                  glibc_era_set *eras)
{
    hw_addr next_at = (hw_addr)glibc_variant_offset(state, GLIBC_F_NEXT), arena = main_arena;
    for (size_t n = 0; n < ARENAS_MAX; n++) {
        if (hw_read_word(t, arena + next_at, &arena, NULL) != HW_OK)
            return GLIBC_RING_BROKEN;
        if (arena == main_arena)
            return GLIBC_RING_CLOSED;
        if (arena + BESIDE > main_arena && arena < main_arena + BESIDE)
            return GLIBC_RING_MISSED;
        if (!glibc_is_thread_arena(t, arena, eras))
            return GLIBC_RING_BROKEN;
    }
    return GLIBC_RING_BROKEN;
}

/* ---- a proposal ------------------------------------------------------------------------------ */

/* The eras by which an arena stands there; if there are some whose ring closes, only these. */
static glibc_era_set sight_any(struct hw_target *t, const struct glibc_roots *roots,
                               struct glibc_sighting *ret)
{
    glibc_era_set eras = 0;
    bool closed = false;
    for (unsigned v = GLIBC_NO_STRUCT + 1; v < GLIBC_VARIANTS_; v++) {
        struct glibc_sighting here;
        glibc_era_set fit = roots->eras & glibc_eras_with(v);
        if (glibc_variant_struct(v) != GLIBC_MALLOC_STATE || !fit ||
            !glibc_sight_main_arena(t, roots->main_arena, v, &here))
            continue;
        enum glibc_ring ring = glibc_follow_ring(t, roots->main_arena, v, &fit);
        if (ring == GLIBC_RING_MISSED || (closed && ring != GLIBC_RING_CLOSED))
            continue;
        if (!closed && ring == GLIBC_RING_CLOSED)
            eras = 0;
        closed = ring == GLIBC_RING_CLOSED;
        eras |= fit;
        *ret = here;
    }
    return eras;
}

/* What follows from a sighting for mp_. */
static void narrow(struct hw_target *t, struct glibc_roots *roots,
                   const struct glibc_sighting *main)
{
    if (!roots->mp)
        return;
    glibc_era_set eras = glibc_sight_mp(t, roots->mp, roots->eras, main);
    if (!eras) /* its address is known, so a damaged main_arena need not agree */
        eras = glibc_sight_mp(t, roots->mp, roots->eras, NULL);
    if (eras)
        roots->eras = eras;
    else
        roots->mp = 0;
}

bool glibc_verify_roots(struct hw_target *t, struct glibc_roots *roots)
{
    struct glibc_roots last = {0};
    for (unsigned i = 0; i < ATTEMPTS; i++) {
        struct glibc_sighting main;
        struct glibc_roots r = *roots;
        r.eras = sight_any(t, roots, &main);
        if (!r.eras)
            continue;
        narrow(t, &r, &main);
        last = r;
        if (r.mp || !roots->mp)
            break;
    }
    *roots = last;
    return last.main_arena != 0;
}
