/*
 * Threads in the act: which of them stood in malloc, and which arenas they had locked.
 *
 *     registers    pc in malloc's code, or futex(2) on the lock of an arena
 *     stack        frames of malloc's functions, below what these have called
 *
 * Whatever looks like a return address on a stack may be left over from a call that is long done.
 * So a thread is said to be in malloc only where its calls lead there (symbols/unwind.h); that
 * takes time, and is done when the target runs again, from a copy of the ends of the stacks. Only
 * those are copied that have a word which leads into malloc's code.
 *
 * The lock of an arena does not tell who holds it. But malloc's functions have the address of the
 * arena that they work in: in a register, or in their frames. Who does not have it, does not hold
 * its lock. That a thread waits for an arena is certain, and needs no symbols: an arena begins with
 * its lock.
 */
#include "alloc/glibc/act.h"

#include "alloc/glibc/follow.h"
#include "base/cleanup.h"

/* Of each stack: what malloc and what it calls take. Where an arena is locked or the process has
 * aborted, somebody is there for certain; then signal handlers may stand in between, which with
 * what the kernel saves of the CPU take some KiB. */
#define STACK_NEAR ((size_t)2 << 10)
#define STACK_DEEP ((size_t)16 << 10)
/* Behind the last word that leads into malloc: the rest of its frame. */
#define FRAME_BYTES ((size_t)2 << 10)
/* Threads whose stacks are read together. */
#define GROUP 32
/* Of all copies. */
#define COPIES_BYTES ((size_t)16 << 20)

void glibc_drop_acts(struct glibc_acts *a)
{
    for (size_t i = 0; i < a->list.count; i++)
        free(a->list.data[i].bytes);
    hw_vec_free(&a->list);
    a->copied = 0;
}

int glibc_open_acts(struct glibc *g, struct hw_error *err)
{
    struct hw_symbol words;
    if (hw_module_symbol(g->mod, "__abort_msg", &words) && !words.is_tls)
        g->abort_msg = words.address;
    g->acts = calloc(1, sizeof *g->acts);
    if (!g->acts)
        return hw_fail(err, HW_ERR_NOMEM, "out of memory");
    int rc = glibc_find_code(g->mod, &g->acts->code, err);
    if (rc == HW_OK)
        rc = hw_unwinder_open(g->image.target, g->image.modules, &g->acts->unwinder, err);
    if (rc == HW_OK &&
        g->acts->code.count) { /* what it takes is read now, not while the target stands */
        struct hw_frame f = {.pc = g->acts->code.data[0].start};
        hw_unwind_step(g->acts->unwinder, &(struct hw_stack){0}, &f);
    }
    return rc;
}

void glibc_close_acts(struct glibc *g)
{
    if (!g->acts)
        return;
    glibc_drop_acts(g->acts);
    hw_unwinder_close(g->acts->unwinder);
    hw_vec_free(&g->acts->code);
    free(g->acts);
    g->acts = NULL;
}

/* ---- while it stands ------------------------------------------------------------------------ */

/* How much of the end of a stack there is, up to a page that was never touched. */
static size_t stack_bytes(struct hw_target *t, hw_addr sp, size_t most)
{
    const struct hw_map *map = hw_map_at(t, sp);
    uint64_t page = t->who.page_size, budget = most / page + 2;
    if (!map || sp % t->who.machine->word)
        return 0;
    size_t len = map->end - sp < most ? (size_t)(map->end - sp) : most;
    hw_addr end = sp + len;
    for (hw_addr at = sp / page * page + page; at < end && t->who.kind == HW_TARGET_LIVE;
         at += page)
        if (hw_next_data(t, at, at + page, &budget) != at)
            end = at;
    return (size_t)(end - sp);
}

/* Read the ends of some stacks, by one call where there is so much of each: a thread would take as
 * long as all of them. */
static void read_stacks(struct hw_target *t, const struct hw_thread *th, size_t count, size_t most,
                        uint8_t *bytes, size_t *len)
{
    hw_addr at[GROUP];
    bool there[GROUP];
    for (size_t i = 0; i < count; i++) {
        len[i] = stack_bytes(t, th[i].sp, most);
        at[i] = len[i] == most ? th[i].sp : 0;
    }
    glibc_read_places(t, at, count, most, bytes, there);
    for (size_t i = 0; i < count; i++) {
        if (there[i] || len[i] == 0)
            continue;
        ssize_t got = hw_read(t, th[i].sp, bytes + i * most, len[i], NULL);
        len[i] = got > 0 ? (size_t)got : 0;
    }
}

/* Behind the last word that leads into the code; 0 if none does. */
static size_t last_hit(const glibc_code *code, unsigned word, const uint8_t *bytes, size_t len)
{
    if (code->count == 0)
        return 0;
    hw_addr low = code->data[0].start, high = code->data[code->count - 1].end;
    size_t hit = 0;
    for (size_t i = 0; i + word <= len; i += word) {
        hw_addr n = hw_word(bytes + i, word);
        if (n > low && n <= high && glibc_code_at(code, n - 1))
            hit = i + word;
    }
    return hit;
}

/* Keep the thread if it may be in malloc, or waits for an arena. */
static void take(struct walk *w, size_t i, const uint8_t *stack, size_t len)
{
    struct glibc_acts *a = w->g->acts;
    const struct hw_target *t = w->target;
    const struct hw_thread *th = &t->threads[i];
    struct act act = {.row = i, .waits_for = -1, .thread = *th, .start = th->sp, .len = len};
    hw_addr futex = hw_regs_futex(t->who.machine, th);
    if (futex)
        act.waits_for = glibc_arena_index(w, futex);
    size_t hit = last_hit(&a->code, t->who.machine->word, stack, len);
    bool inside = glibc_code_at(&a->code, th->pc) || th->tid == t->signal.tid;
    if (act.waits_for < 0 && !inside && !hit)
        return;
    if (len - hit > FRAME_BYTES && th->tid != t->signal.tid)
        act.len = hit + FRAME_BYTES;
    if (act.len > COPIES_BYTES - a->copied || !(act.bytes = malloc(act.len + 1)))
        act.len = 0;
    if (act.len)
        memcpy(act.bytes, stack, act.len);
    if (hw_vec_push(&a->list, act))
        a->copied += act.len;
    else
        free(act.bytes);
}

static bool is_certain(const struct hw_report *r)
{
    bool certain = r->abort.said || r->target.ended.signal;
    for (size_t i = 0; i < r->arenas.count && !certain; i++)
        certain = r->arenas.data[i].locked;
    return certain;
}

void glibc_take_acts(struct walk *w)
{
    struct hw_target *t = w->target;
    struct glibc_acts *a = w->g->acts;
    if (!a)
        return;
    glibc_drop_acts(a);
    size_t most = is_certain(w->report) ? STACK_DEEP : STACK_NEAR, len[GROUP];
    size_t total =
        w->report->threads.count < t->thread_count ? w->report->threads.count : t->thread_count;
    hw_autofree uint8_t *bytes = malloc(GROUP * most);
    for (size_t first = 0; first < total && bytes; first += GROUP) {
        size_t count = total - first < GROUP ? total - first : GROUP;
        read_stacks(t, &t->threads[first], count, most, bytes, len);
        for (size_t i = 0; i < count; i++)
            if (t->threads[first + i].regs_known)
                take(w, first + i, bytes + i * most, len[i]);
    }
    if (t->moving) /* stacks are not what they were when registers were read */
        glibc_drop_acts(a);
}

/* ---- at once after the freeze --------------------------------------------------------------- */

/* So many threads, so many frames of each: a look takes some microseconds. Where there are more
 * threads, the locks of arenas tell. */
#define LOOK_THREADS 8
#define LOOK_FRAMES  12
#define LOOK_BYTES   ((size_t)1 << 10)

/* Only libc's own frames are followed: nothing of other files is read while the target stands. */
static bool is_in_malloc(struct glibc *g, const struct hw_thread *th)
{
    struct hw_target *t = g->image.target;
    uint8_t bytes[LOOK_BYTES];
    struct hw_frame f;
    hw_unwind_begin(t->who.machine, th, &f);
    const struct glibc_function *fn = glibc_code_at(&g->acts->code, f.pc);
    if (fn)
        return !fn->aborts;
    if (hw_modules_at(g->image.modules, f.pc) != g->mod)
        return false;
    ssize_t len = hw_read(t, th->sp, bytes, stack_bytes(t, th->sp, sizeof bytes), NULL);
    struct hw_stack stack = {.start = th->sp, .bytes = bytes, .len = len > 0 ? (size_t)len : 0};
    if (!last_hit(&g->acts->code, t->who.machine->word, bytes, stack.len))
        return false;
    for (unsigned i = 0; i < LOOK_FRAMES; i++) {
        fn = glibc_code_at(&g->acts->code, hw_frame_place(&f));
        if (fn)
            return !fn->aborts;
        if (hw_modules_at(g->image.modules, f.pc) != g->mod ||
            !hw_unwind_step(g->acts->unwinder, &stack, &f))
            return false;
    }
    return false;
}

bool glibc_is_acting(struct glibc *g)
{
    const struct hw_target *t = g->image.target;
    if (!g->acts || t->thread_count > LOOK_THREADS)
        return false;
    for (size_t i = 0; i < t->thread_count; i++)
        if (t->threads[i].regs_known && is_in_malloc(g, &t->threads[i]))
            return true;
    return false;
}
