/*
 * Roots by what libc's code refers to. The functions that report on the heap are exported, so also
 * a stripped libc has their addresses and sizes:
 *
 *     mallinfo2, mallinfo     lea main_arena; mov next(%reg); add system_mem(%reg)
 *     malloc_trim             lea main_arena, several times
 *     malloc_stats            lea main_arena; mov mp_.max_n_mmaps, mp_.max_mmapped_mem
 *     mallopt                 lea main_arena; mov %reg -> mp_.trim_threshold, mp_.top_pad, ...;
 *                             mov $1 -> mp_.no_dyn_threshold
 *
 * main_arena is the address in libc's data that most of them take; one vote is not enough. mp_ is
 * where the stores of mallopt() fall on its members: all in their places, with their sizes.
 */
#include "alloc/glibc/roots.h"

#include "symbols/disasm.h"
#include "symbols/initial.h"

#define VOTES_NEEDED 2
#define VOTERS_MAX   64
/* Of the members of mp_ listed below, so many must be referred to. */
#define MEMBERS_NEEDED 7

static const char *const functions[] = {"mallinfo2", "mallinfo", "malloc_trim", "malloc_stats",
                                        "mallopt"};

static const enum glibc_field mp_members[] = {
    GLIBC_F_MP_TRIM_THRESHOLD, GLIBC_F_MP_TOP_PAD,     GLIBC_F_MP_MMAP_THRESHOLD,
    GLIBC_F_MP_ARENA_TEST,     GLIBC_F_MP_ARENA_MAX,   GLIBC_F_MP_N_MMAPS_MAX,
    GLIBC_F_MP_MAX_N_MMAPS,    GLIBC_F_MP_MMAPPED_MEM, GLIBC_F_MP_MAX_MMAPPED_MEM,
};

/* The functions that take an address, as a set. */
struct vote {
    hw_addr address;
    unsigned functions;
};

struct votes {
    struct vote votes[VOTERS_MAX];
    size_t count;
};

static bool in_data(struct hw_module *mod, hw_addr addr)
{
    hw_addr start, end;
    for (size_t i = 0; hw_module_data(mod, i, &start, &end); i++)
        if (addr >= start && addr < end)
            return true;
    return false;
}

static void vote(struct votes *v, hw_addr address, unsigned function)
{
    for (size_t i = 0; i < v->count; i++) {
        if (v->votes[i].address == address) {
            v->votes[i].functions |= 1U << function;
            return;
        }
    }
    if (v->count < VOTERS_MAX)
        v->votes[v->count++] = (struct vote){address, 1U << function};
}

/* The address with most votes, 0 if there is none or two have as many. */
static hw_addr winner(const struct votes *v)
{
    hw_addr best = 0;
    int most = VOTES_NEEDED - 1;
    for (size_t i = 0; i < v->count; i++) {
        int n = __builtin_popcount(v->votes[i].functions);
        if (n < most || (n == most && most < VOTES_NEEDED))
            continue;
        best = n > most ? v->votes[i].address : 0;
        most = n;
    }
    return best;
}

static bool refers(const hw_code_refs *refs, hw_addr address, unsigned size)
{
    for (size_t i = 0; i < refs->count; i++) {
        const struct hw_code_ref *r = &refs->data[i];
        if ((r->kind == HW_REF_LOAD || r->kind == HW_REF_STORE) && r->address == address &&
            r->size == size)
            return true;
    }
    return false;
}

static bool steps_over(const hw_code_refs *refs, enum glibc_variant v, enum glibc_field field)
{
    struct hw_field f = glibc_variant_field(v, field);
    for (size_t i = 0; i < refs->count; i++)
        if (refs->data[i].kind == HW_REF_MEMBER && refs->data[i].address == f.offset &&
            refs->data[i].size == f.size)
            return true;
    return false;
}

/* The layouts of malloc_state whose `next` and system_mem these functions use; all of them where
 * the code does not tell. */
static glibc_era_set eras_by_members(const hw_code_refs *refs, glibc_era_set known)
{
    glibc_era_set eras = 0;
    for (unsigned v = GLIBC_NO_STRUCT + 1; v < GLIBC_VARIANTS_; v++)
        if (glibc_variant_struct(v) == GLIBC_MALLOC_STATE && steps_over(refs, v, GLIBC_F_NEXT) &&
            steps_over(refs, v, GLIBC_F_SYSTEM_MEM))
            eras |= glibc_eras_with(v);
    return eras & known ? eras & known : known;
}

static unsigned members_referred(const hw_code_refs *refs, hw_addr mp, enum glibc_variant v)
{
    unsigned n = 0;
    for (size_t i = 0; i < sizeof mp_members / sizeof *mp_members; i++) {
        struct hw_field f = glibc_variant_field(v, mp_members[i]);
        n += refers(refs, mp + f.offset, f.size);
    }
    return n;
}

/* Each store of a constant 1 may be no_dyn_threshold of each layout. */
static void find_mp(const hw_code_refs *refs, struct glibc_roots *ret)
{
    unsigned best = MEMBERS_NEEDED - 1;
    glibc_era_set eras = 0;
    for (size_t i = 0; i < refs->count; i++) {
        const struct hw_code_ref *r = &refs->data[i];
        if (r->kind != HW_REF_STORE || !r->constant || r->value != 1 || r->size != 4)
            continue;
        for (unsigned v = GLIBC_NO_STRUCT + 1; v < GLIBC_VARIANTS_; v++) {
            int at = glibc_variant_offset(v, GLIBC_F_MP_NO_DYN_THRESHOLD);
            if (at < 0 || !(glibc_eras_with(v) & ret->eras))
                continue;
            hw_addr mp = r->address - (hw_addr)at;
            unsigned n = members_referred(refs, mp, v);
            if (n < best || (n == best && best < MEMBERS_NEEDED))
                continue;
            bool same = n == best && mp == ret->mp;
            if (n == best && !same) { /* two places, equally good */
                ret->mp = 0;
                continue;
            }
            eras = (same ? eras : 0) | glibc_eras_with(v);
            ret->mp = mp;
            best = n;
        }
    }
    if (ret->mp)
        ret->eras &= eras;
}

static int find(const struct glibc_search *s, struct glibc_roots *ret, struct hw_error *err)
{
    hw_code_refs refs = {0};
    struct votes votes = {0};
    int rc = HW_OK;
    for (unsigned f = 0; f < sizeof functions / sizeof *functions && rc != HW_ERR_NOMEM; f++) {
        size_t first = refs.count;
        rc = hw_disasm_refs(s->mod, functions[f], &refs, err);
        for (size_t i = first; i < refs.count; i++)
            if (refs.data[i].kind == HW_REF_ADDRESS && in_data(s->mod, refs.data[i].address))
                vote(&votes, refs.data[i].address, f);
    }
    ret->main_arena = winner(&votes);
    ret->eras = eras_by_members(&refs, ret->eras);
    find_mp(&refs, ret);
    hw_vec_free(&refs);
    return rc == HW_ERR_NOMEM ? rc : HW_OK;
}

const struct glibc_finder glibc_finder_disassembly = {"disassembly", find};
