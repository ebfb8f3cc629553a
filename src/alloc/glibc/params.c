/*
 * mp_: glibc's parameters and its count of mmapped chunks.
 */
#include "alloc/glibc/glibc.h"

#include <inttypes.h>
#include <string.h>

/* HEAP_MAX_SIZE is 2 * DEFAULT_MMAP_THRESHOLD_MAX (malloc/arena.c, all versions). */
static uint64_t usual_heap_max(const struct chunk_rules *r)
{
    return r->word == 8 ? (uint64_t)64 << 20 : (uint64_t)1 << 20;
}

static struct hw_maybe param(const struct walk *w, unsigned field)
{
    return hw_has(w->layout, field) ? hw_known(hw_fetch(&w->mp, field, 0)) : (struct hw_maybe){0};
}

/* The break as the kernel shows it, rounded up to a page; 0 if it shows none. For static programs
 * without symbols, where nothing tells of __curbrk. */
static hw_addr break_in_maps(const struct hw_target *t)
{
    for (size_t i = t->map_count; i-- > 0;)
        if (t->maps[i].path && strcmp(t->maps[i].path, "[heap]") == 0)
            return t->maps[i].end;
    return 0;
}

int glibc_read_root(struct walk *w, unsigned strct, hw_addr address, struct hw_object *ret,
                    struct hw_error *err)
{
    int rc = hw_object_read(ret, w->layout, w->target, strct, address, err);
    if (rc == HW_ERR_FAULT)
        return hw_fail(err, rc, "cannot read %s, which is in libc's data, at %#" PRIx64,
                       strct == GLIBC_MALLOC_PAR ? "mp_" : "main_arena", address);
    return rc;
}

int glibc_read_params(struct walk *w, struct hw_error *err)
{
    int rc = glibc_read_root(w, GLIBC_MALLOC_PAR, w->g->mp, &w->mp, err);
    if (rc != HW_OK)
        return rc;
    w->sbrk_base = hw_fetch(&w->mp, GLIBC_F_MP_SBRK_BASE, 0);
    if (!w->g->curbrk || hw_read_word(w->target, w->g->curbrk, &w->brk, NULL) != HW_OK)
        w->brk = break_in_maps(w->target);
    if (w->sbrk_base)
        glibc_count_left_out(w, w->sbrk_base, w->brk);
    /* glibc.malloc.hugetlb=2 makes heaps of four huge pages (malloc/arena.c, 2.35 to 2.41). */
    bool sized_so = !hw_has(w->layout, GLIBC_F_TCACHE_NUM_SLOTS);
    uint64_t hp = sized_so ? hw_fetch(&w->mp, GLIBC_F_MP_HP_PAGESIZE, 0) : 0;
    bool huge = hp >= w->target->who.page_size && hp <= (uint64_t)1 << 40 && (hp & (hp - 1)) == 0;
    w->heap_max = huge ? 4 * hp : usual_heap_max(&w->rules);

    struct hw_params *p = &w->report->params;
    p->trim_threshold = param(w, GLIBC_F_MP_TRIM_THRESHOLD);
    p->top_pad = param(w, GLIBC_F_MP_TOP_PAD);
    p->mmap_threshold = param(w, GLIBC_F_MP_MMAP_THRESHOLD);
    p->mmap_threshold_dynamic = hw_known(hw_fetch(&w->mp, GLIBC_F_MP_NO_DYN_THRESHOLD, 0) == 0);
    p->arena_max = param(w, GLIBC_F_MP_ARENA_MAX);
    p->arena_test = param(w, GLIBC_F_MP_ARENA_TEST);
    p->n_mmaps = param(w, GLIBC_F_MP_N_MMAPS);
    p->n_mmaps_max = param(w, GLIBC_F_MP_N_MMAPS_MAX);
    p->mmapped_bytes = param(w, GLIBC_F_MP_MMAPPED_MEM);
    p->tcache_count = param(w, GLIBC_F_MP_TCACHE_COUNT);
    p->tcache_max_bytes = param(w, GLIBC_F_MP_TCACHE_MAX_BYTES);
    p->max_n_mmaps = param(w, GLIBC_F_MP_MAX_N_MMAPS);
    p->max_mmapped_bytes = param(w, GLIBC_F_MP_MAX_MMAPPED_MEM);
    p->thp_pagesize = param(w, GLIBC_F_MP_THP_PAGESIZE);
    p->heap_max_bytes = w->heap_max;
    p->min_chunk_bytes = w->rules.min_size;
    p->chunk_alignment = w->rules.alignment;
    return HW_OK;
}

void glibc_count_mmapped(struct walk *w)
{
    struct hw_object mp;
    struct hw_params *p = &w->report->params;
    if (!glibc_moving(w))
        return;
    if (hw_object_read(&mp, w->layout, w->target, GLIBC_MALLOC_PAR, w->g->mp, NULL) == HW_OK) {
        p->n_mmaps = hw_known(hw_fetch(&mp, GLIBC_F_MP_N_MMAPS, 0));
        p->mmapped_bytes = hw_known(hw_fetch(&mp, GLIBC_F_MP_MMAPPED_MEM, 0));
    }
    hw_object_deinit(&mp);
}
