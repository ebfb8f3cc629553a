/*
 * hw_whatis(): what one address is. The walk tells which block contains it; maps, threads and
 * modules tell the rest.
 */
#include "inspect/session.h"
#include "render/render.h"

#include <string.h>

/* The program may use the first word of the next chunk, too, as long as its own is not in a bin.
 * The very address of the next chunk, though, is that chunk's name. */
static bool reaches_into_next(const struct hw_block *b)
{
    return b->state == HW_USED || b->state == HW_CACHED || b->state == HW_PARKED;
}

static void look_at_neighbour(struct hw_neighbour *n, const struct hw_block *b, bool beside)
{
    if (beside && b->arena >= 0)
        *n = (struct hw_neighbour){.kind = HW_NEIGHBOUR_BLOCK, .block = *b};
}

/* Blocks come in the order of addresses, but for what lies between heaps: `last` came before. */
static void look_at_block(struct hw_whatis *what, const struct hw_report *r,
                          const struct hw_block *last, const struct hw_block *b)
{
    hw_addr start = b->address - b->lead, end = start + hw_mapping_bytes(b);
    uint64_t bytes = hw_mapping_bytes(b) + (reaches_into_next(b) ? r->target.word : 0);
    if (end <= what->address && end > what->lost_start)
        what->lost_start = end;
    if (start > what->address && start < what->lost_end)
        what->lost_end = start;
    bool inside = what->address >= start && what->address - start < bytes;
    if (what->address == b->address || (inside && !what->in_block)) {
        what->in_block = true;
        what->block = *b;
        what->above = what->below = (struct hw_neighbour){0};
        look_at_neighbour(&what->below, last, last->address + last->bytes == b->address);
    } else if (what->in_block) {
        const struct hw_block *of = &what->block;
        look_at_neighbour(&what->above, b, of->address + of->bytes == b->address);
    }
}

static void copy_text(char *to, size_t size, const char *from)
{
    snprintf(to, size, "%s", from ? from : "");
}

/* While the target stands still: maps and threads are those of this moment. */
static void look_at_maps(struct hw_whatis *what, struct hw_target *t)
{
    const struct hw_map *map = hw_map_at(t, what->address);
    if (!map)
        return;
    what->mapped = true;
    what->map_start = map->start;
    what->map_end = map->end;
    snprintf(what->permissions, sizeof what->permissions, "%c%c%c%c",
             map->flags & HW_MAP_READ ? 'r' : '-', map->flags & HW_MAP_WRITE ? 'w' : '-',
             map->flags & HW_MAP_EXEC ? 'x' : '-', map->flags & HW_MAP_SHARED ? 's' : 'p');
    copy_text(what->path, sizeof what->path, map->path);
    const struct hw_thread *thread = hw_map_stack_of(t, map);
    if (thread)
        what->stack_tid = thread->tid;
    else if (t->who.kind == HW_TARGET_LIVE && map->path && strcmp(map->path, "[stack]") == 0)
        what->stack_tid = t->who.pid; /* of threads that run, registers are not known */
}

static void look_at_modules(struct hw_whatis *what, struct hw_modules *modules)
{
    struct hw_module *mod = hw_modules_at(modules, what->address);
    if (!mod)
        return;
    what->in_module = true;
    copy_text(what->path, sizeof what->path, mod->path);
    if (hw_module_load(modules, mod, NULL) == HW_OK)
        copy_text(what->symbol, sizeof what->symbol,
                  hw_module_name_of(mod, what->address, &what->symbol_offset));
}

/* The heap of this arena that the address lies in; NULL if none is. */
static const struct hw_heap *heap_at(const struct hw_arena *arena, hw_addr address)
{
    for (size_t i = 0; i < arena->heaps.count; i++) {
        const struct hw_heap *heap = &arena->heaps.data[i];
        if (address >= heap->address && address - heap->address < heap->bytes)
            return heap;
    }
    return NULL;
}

/* A finding about what was lost: it names a place there. */
static const struct hw_finding *finding_about(const struct hw_whatis *what,
                                              const struct hw_report *r)
{
    for (size_t i = 0; i < r->findings.count; i++) {
        const struct hw_finding *f = &r->findings.data[i];
        if (f->kind != HW_FINDING_NOTE && f->arena == what->arena && f->address.known &&
            f->address.n >= what->lost_start && f->address.n < what->lost_end)
            return f;
    }
    return NULL;
}

static void look_at_lost(struct hw_whatis *what, const struct hw_report *r, int index,
                         const struct hw_heap *heap)
{
    what->unaccounted = true;
    what->arena = index;
    what->heap = heap->address;
    if (what->lost_start < heap->address)
        what->lost_start = heap->address;
    if (what->lost_end > heap->address + heap->bytes)
        what->lost_end = heap->address + heap->bytes;
    what->finding = finding_about(what, r);
}

/* Where its heap ends, what comes next is of another one; where it goes on and no block does,
 * something was lost. */
static void settle_neighbour(struct hw_neighbour *n, bool at_end)
{
    if (at_end)
        *n = (struct hw_neighbour){0};
    else if (n->kind == HW_NEIGHBOUR_NONE)
        n->kind = HW_NEIGHBOUR_LOST;
}

static void look_at_rest(struct hw_whatis *what, const struct hw_heap *heap)
{
    hw_addr end = what->block.address + what->block.bytes;
    settle_neighbour(&what->below, what->block.address == heap->address);
    settle_neighbour(&what->above, end == heap->address + heap->bytes);
}

static void look_at_heaps(struct hw_whatis *what, const struct hw_report *r)
{
    const struct hw_heap *heap = NULL;
    if (what->in_block && what->block.arena >= 0)
        heap = heap_at(&r->arenas.data[what->block.arena], what->address);
    what->heap = heap ? heap->address : 0;
    if (heap)
        look_at_rest(what, heap);
    for (size_t i = 0; i < r->arenas.count && !what->in_block && !what->unaccounted; i++)
        if ((heap = heap_at(&r->arenas.data[i], what->address)))
            look_at_lost(what, r, (int)i, heap);
}

struct question {
    struct hw_whatis what;
    struct hw_target *target;
    struct hw_block last; /* that came */
};

static int on_block(void *ctx, const struct hw_report *r, const struct hw_block *b)
{
    struct question *q = ctx;
    look_at_block(&q->what, r, &q->last, b);
    q->last = *b;
    return 0; /* to the end: the report is wanted too */
}

static void on_standing(void *ctx, const struct hw_report *r)
{
    struct question *q = ctx;
    (void)r;
    look_at_maps(&q->what, q->target);
}

int hw_whatis(struct hw_session *s, hw_addr address, const struct hw_render_options *opt, FILE *out,
              struct hw_report **ret, struct hw_error *err)
{
    struct hw_target *t = s->image.target;
    struct question q = {
        .what = {.address = hw_untag(t->who.machine, address), .lost_end = UINT64_MAX},
        .target = t};
    struct hw_walker walker = {
        .block = on_block, .standing = on_standing, .ctx = &q, .want_bins = true};
    struct hw_report *r;
    *ret = NULL;
    int rc = hw_session_walk(s, &walker, &r, err);
    if (rc != HW_OK)
        return rc;
    look_at_modules(&q.what, s->image.modules);
    look_at_heaps(&q.what, r);
    rc = hw_render_whatis(&q.what, r, opt, out, err);
    if (rc == HW_OK)
        *ret = r;
    else
        hw_report_destroy(r);
    return rc;
}
