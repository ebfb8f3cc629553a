/*
 * Finding main_arena, mp_ and the thread-local pointers, also where no symbol names them.
 *
 *     finder         reads                          works without
 *     symtab         symbol tables                  (types: then the layout is from table.def)
 *     table          libc's initial data, its file  debug files
 *     disassembly    libc's code, its file          debug files
 *     scan           the target's memory            any file
 *
 * Each finder proposes; what it says is believed only when the target's memory agrees (verify.c).
 * When symbols are there nobody else is asked. Otherwise all others are, the first in the table
 * that holds is taken, and a later one that holds too but says something else is a finding.
 */
#ifndef HW_ALLOC_GLIBC_ROOTS_H
#define HW_ALLOC_GLIBC_ROOTS_H

#include "alloc/glibc/glibc.h"

/* Where to look. */
struct glibc_search {
    struct hw_target *target;
    struct hw_modules *modules;
    struct hw_module *mod; /* malloc lives in it; not loaded if its file was not found */
};

/* What a finder proposes. */
struct glibc_roots {
    hw_addr main_arena, mp; /* 0: not found */
    glibc_era_set eras;     /* that fit the way they were found */
};

struct glibc_finder {
    const char *name; /* roots_source of the report */
    /* Proposes what it can; nothing found is no failure. Fails with NOMEM. */
    int (*find)(const struct glibc_search *s, struct glibc_roots *ret, struct hw_error *err);
};

extern const struct glibc_finder glibc_finder_symtab;      /* roots_symtab.c */
extern const struct glibc_finder glibc_finder_table;       /* roots_data.c */
extern const struct glibc_finder glibc_finder_disassembly; /* roots_code.c */
extern const struct glibc_finder glibc_finder_scan;        /* roots_data.c */

/* The table of finders, best first, ended by NULL. */
extern const struct glibc_finder *const glibc_finders[];

/* ---- verify.c: does memory agree? ------------------------------------------------------------ */

/* A malloc_state as it stands in memory, read through one variant. */
struct glibc_sighting {
    enum glibc_variant state;
    bool used;            /* malloc was used: bins are initialised, top is a chunk */
    bool sbrk_base_known; /* 0 for an unused one; not known if the arena is not contiguous */
    hw_addr sbrk_base;    /* what mp_ must say */
};

/*
 * Whether main_arena stands at `address`, laid out as `state`: most bins point to themselves or to
 * chunks that point back, or all is still as initialised. *ret is written on success.
 */
bool glibc_sight_main_arena(struct hw_target *t, hw_addr address, enum glibc_variant state,
                            struct glibc_sighting *ret);

/*
 * Follow the ring of arenas that begins at main_arena; each thread arena has its heap_info in
 * front. Removes from *eras those whose heap_info is another.
 */
enum glibc_ring {
    GLIBC_RING_BROKEN, /* leads nowhere: a wrong place, or damage */
    GLIBC_RING_CLOSED, /* comes back */
    GLIBC_RING_MISSED, /* comes back beside where it began: a place a few words off */
};
enum glibc_ring glibc_follow_ring(struct hw_target *t, hw_addr main_arena, enum glibc_variant state,
                                  glibc_era_set *eras);

/* Whether a thread arena stands at `address`, behind a heap_info of one of the eras. */
bool glibc_is_thread_arena(struct hw_target *t, hw_addr address, glibc_era_set *eras);

/*
 * Compare a proposal with memory: eras that memory contradicts are removed, and a root that
 * contradicts it is set to 0. False if nothing of it is left, or main_arena is not.
 */
bool glibc_verify_roots(struct hw_target *t, struct glibc_roots *roots);

/* ---- roots_mp.c: recognising mp_ by its values ----------------------------------------------- */

/* The eras whose mp_ fits best to what stands in memory at `address`; empty if none does. */
glibc_era_set glibc_sight_mp(struct hw_target *t, hw_addr address, glibc_era_set eras,
                             const struct glibc_sighting *main);

/* Find mp_ in `len` bytes at `start`: its score, 0 if it is not there, or not in one place only. */
int glibc_search_mp(const uint8_t *bytes, size_t len, hw_addr start,
                    const struct glibc_sighting *main, struct glibc_roots *ret);

/* ---- roots_locals.c -------------------------------------------------------------------------- */

/*
 * tcache and thread_arena by the values they have, in all threads of a frozen target, unless they
 * are known; also decides the layout of tcaches. Fills in g; what cannot be told is a finding.
 * Fails with NOMEM.
 */
int glibc_find_thread_locals(struct glibc *g, struct hw_report *report, struct hw_error *err);

static inline uint64_t glibc_word_of(const uint8_t *bytes, size_t at, unsigned size)
{
    uint64_t word = 0;
    for (unsigned i = size; i-- > 0;)
        word = word << 8 | bytes[at + i];
    return word;
}

#endif
