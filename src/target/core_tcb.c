/*
 * Thread pointers of cores that do not tell them: gdb writes none for i386, qemu-user none at all.
 *
 * glibc keeps a control block at each thread's pointer. It names its thread, and it is part of two
 * circles of pointers that nothing else forms:
 *
 *     i386                                        aarch64
 *
 *             struct pthread                              struct pthread
 *     tp -->    self: tp                                    list, tid
 *               dtv ---------> capacity                     ...
 *               self: tp       generation         tp -->    dtv --------> capacity
 *               list, tid      block 1 ...                  0             generation
 *               ...               |                       block 1 <------ block 1 ...
 *        block 1 (below tp) <-----+                       (above tp)
 *
 * What is found must pass all of these tests, and be the only one that does. A thread without such
 * a block keeps an unknown thread pointer, never a guessed one.
 *
 * Where `list` and `tid` are in struct pthread is the same from glibc 2.4 (nptl/descr.h) to 2.43.
 * Its size is not, and on aarch64 all of it lies below the thread pointer.
 */
#include "base/vec.h"
#include "target/core_image.h"
#include "target/window.h"

/* In struct pthread; `tid` comes right behind the two words of `list`. */
static const struct {
    unsigned list, size_min, size_max; /* the sizes: of what lies below tp */
} places[] = {
    [HW_X86_64] = {.list = 0}, /* its registers always tell */
    [HW_I386] = {.list = 0x60},
    [HW_AARCH64] = {.list = 0xc0, .size_min = 0x600, .size_max = 0x900},
};

#define TCB_ALIGN  16 /* all these blocks begin at multiples of it */
#define BLOCK_FAR  ((hw_addr)16 << 20)
#define DTV_MIN    14                  /* glibc's DTV_SURPLUS */
#define DTV_MAX    ((uint64_t)1 << 20) /* no program has as many modules */
#define DTV_PEEK   63                  /* among the first slots are those of the program's start */
#define SEARCH_MAX (UINT64_C(4) << 30) /* bytes of memory to look through */
#define STACK_NEAR ((hw_addr)1 << 20)
#define DTV_COST   1024                /* what a look at a vector counts for */
#define TID_COST   (UINT64_C(1) << 18) /* what it counts for to look for a name */

struct tcb {
    hw_addr tp;
    int tid; /* 0: of no thread in the core */
};

struct search {
    struct hw_target *t;
    struct hw_window window;
    uint64_t budget;
    HW_VEC(struct tcb) found;
};

static uint64_t spend(struct search *s, uint64_t wanted)
{
    uint64_t n = wanted < s->budget ? wanted : s->budget;
    s->budget -= n;
    return n;
}

/* ---- is it one? ------------------------------------------------------------------------------ */

/* The distance of a TLS block from the thread pointer, UINT64_MAX if it is on the wrong side. */
static uint64_t distance(const struct hw_machine *m, hw_addr tp, hw_addr block)
{
    if (m->tls_above)
        return block > tp ? block - tp : UINT64_MAX;
    return block < tp ? tp - block : UINT64_MAX;
}

/* Does the vector of TLS blocks of `tp` stand at `dtv`? A slot without a block holds 0 or -1. */
static bool is_dtv(struct hw_target *t, hw_addr dtv, hw_addr tp)
{
    const struct hw_machine *m = t->who.machine;
    unsigned w = m->word;
    size_t slot = 2 * w;
    uint8_t bytes[(DTV_PEEK + 2) * 16]; /* capacity, generation, blocks: each in a slot */
    ssize_t n = hw_read(t, dtv - slot, bytes, (DTV_PEEK + 2) * slot, NULL);
    if (n < (ssize_t)(3 * slot) || hw_word(bytes + w, w) != 0 || hw_word(bytes + slot + w, w) != 0)
        return false;
    uint64_t capacity = hw_word(bytes, w), none = w == 4 ? UINT32_MAX : UINT64_MAX;
    uint64_t nearest = UINT64_MAX;
    if (capacity < DTV_MIN || capacity > DTV_MAX)
        return false;
    for (size_t i = 2; i < (size_t)n / slot && i - 1 <= capacity; i++) {
        hw_addr block = hw_word(bytes + i * slot, w);
        if (block == 0 || block == none)
            continue;
        block = hw_untag(m, block); /* of a module loaded later, from malloc() */
        if (!hw_map_at(t, block))
            return false;
        uint64_t far = distance(m, tp, block);
        nearest = far < nearest ? far : nearest;
    }
    return nearest < BLOCK_FAR && (!m->tls_above || nearest >= slot);
}

/* Is there an element of a circular list at `at`, which its neighbours know? */
static bool is_linked(struct hw_target *t, hw_addr at)
{
    unsigned w = t->who.machine->word;
    uint64_t next, prev, back, forth;
    return hw_read_word(t, at, &next, NULL) == HW_OK &&
           hw_read_word(t, at + w, &prev, NULL) == HW_OK &&
           hw_read_word(t, next + w, &back, NULL) == HW_OK && back == at &&
           hw_read_word(t, prev, &forth, NULL) == HW_OK && forth == at;
}

static bool has_thread(const struct hw_target *t, int tid)
{
    size_t low = 0, high = t->thread_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (t->threads[mid].tid < tid)
            low = mid + 1;
        else
            high = mid;
    }
    return low < t->thread_count && t->threads[low].tid == tid;
}

/* The thread whose control block is at `tp`; 0 if it is of none in the core. */
static int tid_at(struct hw_target *t, hw_addr tp)
{
    enum hw_machine_id id = t->who.machine->id;
    for (unsigned below = places[id].size_min; below <= places[id].size_max; below += TCB_ALIGN) {
        hw_addr list = tp - below + places[id].list;
        uint8_t bytes[4];
        if (hw_read(t, list + 2 * t->who.machine->word, bytes, 4, NULL) != 4)
            continue;
        int tid = (int)hw_word(bytes, 4);
        if (tid > 0 && has_thread(t, tid) && is_linked(t, list))
            return tid;
    }
    return 0;
}

/* Remember the control block at `tp` if there is one; `words` are the first three that are there.
 */
static int consider(struct search *s, hw_addr tp, const uint8_t *words, struct hw_error *err)
{
    const struct hw_machine *m = s->t->who.machine;
    unsigned w = m->word;
    hw_addr first = hw_word(words, w), second = hw_word(words + w, w);
    hw_addr dtv = hw_untag(m, m->tls_above ? first : second); /* mostly from calloc() */
    bool likely = m->tls_above ? second == 0 : first == tp && hw_word(words + 2 * w, w) == tp;
    if (!likely || dtv == 0 || dtv % w != 0)
        return HW_OK;
    const struct hw_map *map = hw_map_at(s->t, dtv);
    if (!map || !(map->flags & HW_MAP_WRITE) || spend(s, DTV_COST) < DTV_COST ||
        !is_dtv(s->t, dtv, tp) || spend(s, TID_COST) < TID_COST)
        return HW_OK;
    struct tcb tcb = {.tp = tp, .tid = tid_at(s->t, tp)};
    return hw_vec_push(&s->found, tcb) ? HW_OK : hw_fail(err, HW_ERR_NOMEM, "out of memory");
}

/* ---- where? ---------------------------------------------------------------------------------- */

/* Every step goes forward, and the budget bounds how far. */
static int look_through(struct search *s, hw_addr from, hw_addr to, struct hw_error *err)
{
    size_t len = 3 * s->t->who.machine->word;
    to = from + spend(s, to - from);
    if (to > UINT64_MAX / TCB_ALIGN * TCB_ALIGN) /* no step from below it can wrap */
        to = UINT64_MAX / TCB_ALIGN * TCB_ALIGN;
    for (hw_addr at = from; at < to;) {
        uint64_t segments = UINT32_MAX;
        const uint8_t *words = at % TCB_ALIGN ? NULL : hw_window_at(&s->window, at, len, to);
        int rc = words ? consider(s, at, words, err) : HW_OK;
        if (rc != HW_OK)
            return rc;
        hw_addr next = at / TCB_ALIGN * TCB_ALIGN + TCB_ALIGN;
        at = words ? next : hw_next_data(s->t, next, to, &segments);
    }
    return HW_OK;
}

/* A thread that pthread_create() started has its block at the high end of its stack, mostly near to
 * the stack pointer. The map may go on with other stacks. */
static int look_at_stacks(struct search *s, struct hw_error *err)
{
    int rc = HW_OK;
    for (size_t i = 0; i < s->t->thread_count && rc == HW_OK; i++) {
        const struct hw_thread *th = &s->t->threads[i];
        const struct hw_map *map = hw_map_at(s->t, th->sp);
        if (!map || !(map->flags & HW_MAP_WRITE))
            continue;
        hw_addr end = map->end - th->sp < STACK_NEAR ? map->end : th->sp + STACK_NEAR;
        rc = look_through(s, th->sp, end, err);
    }
    return rc;
}

static int look_everywhere(struct search *s, struct hw_error *err)
{
    int rc = HW_OK;
    for (size_t i = 0; i < s->t->map_count && rc == HW_OK; i++) {
        const struct hw_map *map = &s->t->maps[i];
        if (!map->path && map->flags & HW_MAP_WRITE)
            rc = look_through(s, map->start, map->end, err);
    }
    return rc;
}

/* ---- whose? ---------------------------------------------------------------------------------- */

static int by_tid(const void *a, const void *b)
{
    const struct tcb *x = a, *y = b;
    if (x->tid != y->tid)
        return x->tid < y->tid ? -1 : 1;
    return (x->tp > y->tp) - (x->tp < y->tp);
}

/* Give each thread the one block that names it. Returns how many threads are without. */
static size_t hand_out(struct search *s)
{
    size_t kept = 0, without = 0, k = 0;
    if (s->found.count)
        qsort(s->found.data, s->found.count, sizeof *s->found.data, by_tid);
    struct tcb *found = s->found.data;
    for (size_t i = 0; i < s->found.count; i++)
        if (kept == 0 || found[kept - 1].tp != found[i].tp)
            found[kept++] = found[i];
    s->found.count = kept;
    for (size_t i = 0; i < s->t->thread_count; i++) {
        struct hw_thread *th = &s->t->threads[i];
        while (k < kept && found[k].tid < th->tid)
            k++;
        bool here = k < kept && found[k].tid == th->tid;
        bool alone = here && (k + 1 == kept || found[k + 1].tid != th->tid);
        th->tp = alone ? found[k].tp : 0; /* a second one may have come to light */
        without += !alone;
    }
    /* Before glibc 2.34 the only thread of a program without libpthread had no name. */
    if (s->t->thread_count == 1 && without == 1 && kept == 1 && found[0].tid == 0) {
        s->t->threads[0].tp = found[0].tp;
        without = 0;
    }
    return without;
}

int core_find_thread_pointers(struct hw_target *t, struct hw_error *err)
{
    if (!places[t->who.machine->id].list || t->thread_count == 0)
        return HW_OK;
    struct search s = {.t = t, .budget = SEARCH_MAX};
    int rc = hw_window_init(&s.window, t, HW_WINDOW_BYTES, err);
    if (rc == HW_OK)
        rc = look_at_stacks(&s, err);
    if (rc == HW_OK && hand_out(&s) > 0)
        rc = look_everywhere(&s, err);
    if (rc == HW_OK)
        hand_out(&s);
    hw_vec_free(&s.found);
    hw_window_deinit(&s.window);
    return rc;
}
