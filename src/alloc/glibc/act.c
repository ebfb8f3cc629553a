/*
 * Threads in the act: which of them stood in malloc, and which arenas they had locked.
 *
 *     registers    pc in malloc's code, or futex(2) on the lock of an arena
 *     stack        frames of malloc's functions, below what these have called
 *
 * Whatever looks like a return address on a stack may be left over from a call that is long done. So a
 * thread is said to be in malloc only where its calls lead there (symbols/unwind.h); that takes time, and
 * is done when the target runs again, from a copy of the ends of the stacks. Only those are copied
 * that have a word which leads into malloc's code.
 *
 * The lock of an arena does not tell who holds it. But malloc's functions have the address of the arena
 * that they work in: in a register, or in their frames. Who does not have it, does not hold its lock.
 * That a thread waits for an arena is certain, and needs no symbols: an arena begins with its lock.
 */
#include "alloc/glibc/act.h"

#include "base/cleanup.h"

/* Signal handlers may stand between the end of the stack and malloc: with what the kernel saves of the
 * CPU they take some KiB. */
#define STACK_BYTES ((size_t)16 << 10)
/* Behind the last word that leads into malloc: the rest of its frame. */
#define FRAME_BYTES ((size_t)2 << 10)
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

/* ---- while it stands --------------------------------------------------------------------------- */

/* Copy the end of a stack, without pages that were never touched. */
static size_t read_stack(struct hw_target *t, hw_addr sp, uint8_t *buf)
{
    const struct hw_map *map = hw_map_at(t, sp);
    uint64_t page = t->who.page_size, budget = STACK_BYTES / page + 2;
    if (!map)
        return 0;
    size_t len = map->end - sp < STACK_BYTES ? (size_t)(map->end - sp) : STACK_BYTES;
    hw_addr end = sp + len;
    if (t->who.kind == HW_TARGET_LIVE)
        for (hw_addr at = sp / page * page + page; at < end; at += page)
            if (hw_next_data(t, at, at + page, &budget) != at)
                end = at;
    ssize_t got = hw_read(t, sp, buf, (size_t)(end - sp), NULL);
    return got > 0 ? (size_t)got : 0;
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
static void take(struct walk *w, size_t i, uint8_t *stack)
{
    struct glibc_acts *a = w->g->acts;
    const struct hw_target *t = w->target;
    const struct hw_thread *th = &t->threads[i];
    struct act act = {.row = i, .waits_for = -1, .thread = *th, .start = th->sp};
    unsigned word = t->who.machine->word;
    hw_addr futex = hw_regs_futex(t->who.machine, th);
    if (futex)
        act.waits_for = glibc_arena_index(w, futex);
    if (th->sp % word == 0)
        act.len = read_stack(w->target, th->sp, stack);
    size_t hit = last_hit(&a->code, word, stack, act.len);
    bool inside = glibc_code_at(&a->code, th->pc) || th->tid == t->signal.tid;
    if (act.waits_for < 0 && !inside && !hit)
        return;
    if (act.len - hit > FRAME_BYTES && th->tid != t->signal.tid)
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

void glibc_take_acts(struct walk *w)
{
    struct hw_target *t = w->target;
    hw_autofree uint8_t *stack = malloc(STACK_BYTES);
    if (!w->g->acts)
        return;
    glibc_drop_acts(w->g->acts);
    for (size_t i = 0; i < t->thread_count && i < w->report->threads.count && stack; i++)
        if (t->threads[i].regs_known)
            take(w, i, stack);
    if (t->moving) /* stacks are not what they were when registers were read */
        glibc_drop_acts(w->g->acts);
}
