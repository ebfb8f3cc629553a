/*
 * Where the threads that were kept are, and who holds which arena: see act.c.
 */
#include "alloc/glibc/act.h"

#include <signal.h>

#define FRAMES_MAX 64

/* ---- where it is ---------------------------------------------------------------------------- */

static void add_arena(struct arena_set *s, int index)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->index[i] == index)
            return;
    if (s->count < ARENAS_MAX)
        s->index[s->count++] = index;
    else
        s->more = true;
}

static void add_arenas(struct arena_set *to, const struct arena_set *from)
{
    for (size_t i = 0; i < from->count; i++)
        add_arena(to, from->index[i]);
    to->more |= from->more;
}

/* Where an arena's malloc_state lies. */
struct home {
    hw_addr start;
    int index;
};

struct telling {
    struct glibc *g;
    struct hw_report *report;
    struct home *homes; /* sorted */
    uint64_t size;      /* of a malloc_state */
    unsigned word;
    int aborts; /* the thread that is in abort(); 0: none, -1: several */
};

/* What is found on the way up. */
struct trail {
    struct arena_set pending; /* of the frames so far, which what comes next has called */
    struct arena_set first;   /* of malloc's frames, and what they have called: the innermost ... */
    struct arena_set later;   /* ... and those that a signal handler interrupted */
    size_t entries;           /* so many times malloc was entered */
    bool inside;              /* the last frame was malloc's */
    bool aborts;
};

/* Arenas that a word of a frame leads to. */
static void look_at_word(const struct telling *t, uint64_t n, struct arena_set *ret)
{
    size_t low = 0, high = t->report->arenas.count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (t->homes[mid].start <= n)
            low = mid + 1;
        else
            high = mid;
    }
    if (low && n - t->homes[low - 1].start < t->size)
        add_arena(ret, t->homes[low - 1].index);
}

static void look_at_registers(const struct telling *t, const struct hw_frame *f,
                              struct arena_set *ret)
{
    for (unsigned i = 0; i < HW_DWARF_REGS; i++)
        if (f->regs.known >> i & 1)
            look_at_word(t, f->regs.value[i], ret);
}

/* The words between the stack pointers of a frame and of its caller. */
static void look_at_stack(const struct telling *t, const struct act *act, hw_addr from, hw_addr to,
                          struct arena_set *ret)
{
    if (from < act->start || from >= to)
        return;
    for (hw_addr at = from; at < to && at - act->start + t->word <= act->len; at += t->word)
        look_at_word(t, hw_word(act->bytes + (at - act->start), t->word), ret);
}

/* What only says that something is wrong; where that is tells the function that it was called
 * by. */
static bool is_messenger(const char *function)
{
    return strncmp(function, "malloc_printerr", strlen("malloc_printerr")) == 0;
}

static void name_frame(const struct glibc_function *fn, struct trail *trail,
                       struct hw_in_malloc *in)
{
    if (!trail->inside)
        trail->entries++;
    trail->inside = true;
    add_arenas(trail->entries == 1 ? &trail->first : &trail->later, &trail->pending);
    trail->pending = (struct arena_set){0};
    if (trail->entries > 1)
        return;
    if (!in->function[0] || is_messenger(in->function))
        memcpy(in->function, fn->name, sizeof in->function);
    memcpy(in->entry, fn->entry, sizeof in->entry);
}

static void follow(const struct telling *t, const struct act *act, struct trail *trail,
                   struct hw_in_malloc *in)
{
    struct glibc_acts *a = t->g->acts;
    struct hw_target *target = t->g->image.target;
    struct hw_stack stack = {.start = act->start,
                             .bytes = act->bytes,
                             .len = act->len,
                             .rest = target->who.kind == HW_TARGET_CORE ? target : NULL};
    struct hw_frame f;
    bool all = act->waits_for >= 0 || t->report->abort.said;
    hw_unwind_begin(target->who.machine, &act->thread, &f);
    for (unsigned i = 0; i < FRAMES_MAX; i++) {
        const struct glibc_function *fn = glibc_code_at(&a->code, hw_frame_place(&f));
        bool ours = fn && !fn->aborts;
        if (trail->inside && !ours && !all)
            return;
        if (hw_modules_at(t->g->image.modules, f.pc) != t->g->mod && !ours)
            trail->pending = (struct arena_set){0}; /* the program's own */
        hw_addr sp = hw_frame_sp(a->unwinder, &f);
        look_at_registers(t, &f, &trail->pending);
        bool more = hw_unwind_step(a->unwinder, &stack, &f);
        if (more)
            look_at_stack(t, act, sp, hw_frame_sp(a->unwinder, &f), &trail->pending);
        trail->aborts |= fn && fn->aborts;
        trail->inside &= ours;
        if (ours)
            name_frame(fn, trail, in);
        if (!more)
            return;
    }
}

/* ---- who holds what ------------------------------------------------------------------------- */

/* The arenas whose locks it may hold: not the one that it waits for, unless it was interrupted by
 * that. */
static struct arena_set may_hold(const struct act *act, const struct trail *trail)
{
    struct arena_set s = trail->later;
    if (act->waits_for < 0)
        add_arenas(&s, &trail->first);
    return s;
}

static void tell_thread(struct telling *t, struct act *act)
{
    struct hw_thread_row *row = &t->report->threads.data[act->row];
    struct hw_in_malloc in = {.pc = act->thread.pc, .works_in = -1, .holds = -1};
    struct trail trail = {0};
    in.waits_for = act->waits_for;
    follow(t, act, &trail, &in);
    in.known = trail.entries || in.waits_for >= 0;
    if (in.waits_for >= 0)
        in.works_in = in.waits_for;
    else if (trail.first.count == 1 && !trail.first.more)
        in.works_in = trail.first.index[0];
    row->in_malloc = in;
    struct arena_set refers = may_hold(act, &trail);
    for (size_t i = 0; i < refers.count && trail.entries; i++) {
        struct hw_arena *arena = &t->report->arenas.data[refers.index[i]];
        if (arena->locked && hw_vec_push(&arena->held_by, row->tid))
            add_arena(&act->held, refers.index[i]);
    }
    if (trail.aborts)
        t->aborts = t->aborts ? -1 : row->tid;
}

static int by_start(const void *a, const void *b)
{
    const struct home *x = a, *y = b;
    return (x->start > y->start) - (x->start < y->start);
}

static struct home *find_homes(const struct hw_report *r)
{
    struct home *homes = calloc(r->arenas.count + 1, sizeof *homes);
    for (size_t i = 0; homes && i < r->arenas.count; i++)
        homes[i] = (struct home){r->arenas.data[i].address, (int)i};
    if (homes && r->arenas.count)
        qsort(homes, r->arenas.count, sizeof *homes, by_start);
    return homes;
}

/* An arena that is locked, and that one thread alone refers to, is held by that: if it is one
 * arena. */
static void tell_holder(struct hw_report *r, const struct act *act)
{
    struct hw_in_malloc *in = &r->threads.data[act->row].in_malloc;
    size_t alone = 0;
    int arena = -1;
    for (size_t i = 0; i < act->held.count; i++)
        if (r->arenas.data[act->held.index[i]].held_by.count == 1) {
            arena = act->held.index[i];
            alone++;
        }
    if (alone != 1 || act->held.more)
        return;
    in->holds = arena;
    if (in->works_in < 0)
        in->works_in = arena;
}

/* Of several threads in abort() one said it: in a core the one that the signal came to, then. */
static void tell_abort(const struct telling *t)
{
    struct hw_report *r = t->report;
    const struct hw_ended *e = &r->target.ended;
    if (!r->abort.said)
        return;
    r->abort.tid = e->signal == SIGABRT ? e->tid : t->aborts > 0 ? t->aborts : 0;
    for (size_t i = 0; i < r->threads.count && r->abort.tid; i++)
        if (r->threads.data[i].tid == r->abort.tid && r->threads.data[i].in_malloc.known)
            r->abort.arena = r->threads.data[i].in_malloc.works_in;
}

void glibc_tell_acts(struct glibc *g, struct hw_report *r)
{
    if (!g->acts)
        return;
    struct telling t = {.g = g,
                        .report = r,
                        .homes = find_homes(r),
                        .size = g->layout.struct_size[GLIBC_MALLOC_STATE],
                        .word = g->layout.word};
    for (size_t i = 0; i < g->acts->list.count && t.homes; i++)
        tell_thread(&t, &g->acts->list.data[i]);
    free(t.homes);
    for (size_t i = 0; i < g->acts->list.count; i++)
        tell_holder(r, &g->acts->list.data[i]);
    tell_abort(&t);
    glibc_excuse_acts(g->image.target, r);
    glibc_drop_acts(g->acts);
}
