/*
 * glibc keeps a control block at each thread's pointer. It names its thread, and it is part of two
 * circles of pointers that nothing else forms:
 *
 *     i386, x86-64                                aarch64
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
 * All threads with stacks by pthread_create() are in one circular list, the main thread and those
 * with stacks of their own in another: from one block the lists lead to the rest. A first one
 * stands
 *
 *     - at the high end of a stack, where pthread_create() puts it; near to the stack pointer, if
 *       that is known;
 *     - the main thread's, near the end of the pages that the dynamic linker asked for it, or, in a
 *       static program, at the beginning of the heap.
 *
 * Where `list` and `tid` are in struct pthread is the same from glibc 2.4 (nptl/descr.h) to 2.43.
 * Its size is not, and on aarch64 all of it lies below the thread pointer.
 */
#include "target/tcb.h"

#include "base/vec.h"
#include "target/window.h"

#include <string.h>

/* In struct pthread; `tid` comes right behind the two words of `list`. */
static const struct {
    unsigned list, size_min, size_max; /* the sizes: of what lies below tp */
} places[] = {
    [HW_X86_64] = {.list = 0x2c0},
    [HW_I386] = {.list = 0x60},
    [HW_AARCH64] = {.list = 0xc0, .size_min = 0x600, .size_max = 0x900},
};

#define TCB_ALIGN  16 /* all these blocks begin at multiples of it */
#define BLOCK_FAR  ((hw_addr)16 << 20)
#define DTV_MIN    14                  /* glibc's DTV_SURPLUS */
#define DTV_MAX    ((uint64_t)1 << 20) /* no program has as many modules */
#define DTV_PEEK   63                  /* among the first slots are those of the program's start */
#define STACK_NEAR ((hw_addr)1 << 20)
#define END_NEAR   ((hw_addr)16 << 10) /* struct pthread has 2.3 KiB, and some TLS is beside it */
#define STACKS_MAX ((hw_addr)16 << 20) /* a map that may be stacks without guard pages */

/* Bytes of memory to look through; and for how many other steps count. */
#define WHOLE_MAX   (UINT64_C(4) << 30)
#define QUICK_MAX   (UINT64_C(16) << 20)
#define QUICK_PAGES (UINT64_C(1) << 18) /* of which it is asked whether there is anything */
#define DTV_COST    1024                /* a look at a vector */
#define NAME_COST   4096                /* to look for a name at one place */

#define SEVERAL UINT64_MAX /* instead of one thread pointer */

struct search {
    struct hw_target *t;
    enum hw_tcb_search how;
    struct hw_window window;
    uint64_t budget, pages;
    size_t missing;  /* threads for which there is no block yet */
    hw_addr unnamed; /* a block that names no thread; 0: none, or SEVERAL */
};

static unsigned word_of(const struct search *s)
{
    return s->t->who.machine->word;
}

static uint64_t spend(struct search *s, uint64_t wanted)
{
    uint64_t n = wanted < s->budget ? wanted : s->budget;
    s->budget -= n;
    return n;
}

/* ---- is it one? ----------------------------------------------------------------------------- */

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

/* Do the neighbours of the element at `at` of a circular list know it? */
static bool is_linked(struct hw_target *t, hw_addr at, hw_addr next, hw_addr prev)
{
    uint64_t back, forth;
    return hw_read_word(t, next + t->who.machine->word, &back, NULL) == HW_OK && back == at &&
           hw_read_word(t, prev, &forth, NULL) == HW_OK && forth == at;
}

static struct hw_thread *find_thread(const struct hw_target *t, int tid)
{
    size_t low = 0, high = t->thread_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (t->threads[mid].tid < tid)
            low = mid + 1;
        else
            high = mid;
    }
    return low < t->thread_count && t->threads[low].tid == tid ? &t->threads[low] : NULL;
}

/* What a control block says of its thread. */
struct naming {
    struct hw_thread *thread; /* NULL: none that is there */
    unsigned below;           /* how far below tp its struct pthread begins */
    hw_addr next;             /* in the list of threads */
    bool first;               /* no other block was found that names it */
};

/* Find out whose control block is at `tp`. */
static struct naming name_of(struct search *s, hw_addr tp)
{
    enum hw_machine_id id = s->t->who.machine->id;
    unsigned w = word_of(s);
    struct naming n = {.below = places[id].size_min};
    for (; n.below <= places[id].size_max; n.below += TCB_ALIGN) {
        hw_addr list = tp - n.below + places[id].list;
        uint8_t bytes[2 * 8 + 4];
        if (spend(s, NAME_COST) < NAME_COST)
            break;
        if (hw_read_all(s->t, list, bytes, 2 * w + 4, NULL) != HW_OK)
            continue;
        int tid = (int)hw_word(bytes + 2 * w, 4);
        n.next = hw_word(bytes, w);
        n.thread = tid > 0 ? find_thread(s->t, tid) : NULL;
        if (n.thread && is_linked(s->t, list, n.next, hw_word(bytes + w, w)))
            return n;
    }
    return (struct naming){0};
}

/* Whether the first three words of a control block at `tp` are these. */
static bool looks_like_one(const struct hw_machine *m, hw_addr tp, const uint8_t *words,
                           hw_addr *dtv)
{
    unsigned w = m->word;
    hw_addr first = hw_word(words, w), second = hw_word(words + w, w);
    *dtv = hw_untag(m, m->tls_above ? first : second); /* mostly from calloc() */
    bool likely = m->tls_above ? second == 0 : first == tp && hw_word(words + 2 * w, w) == tp;
    return likely && *dtv != 0 && *dtv % w == 0;
}

/* Give the block at `tp`, if there is one, to its thread. `words` are the first three that are
 * there. */
static struct naming consider(struct search *s, hw_addr tp, const uint8_t *words)
{
    hw_addr dtv;
    struct naming none = {0};
    if (!looks_like_one(s->t->who.machine, tp, words, &dtv))
        return none;
    const struct hw_map *map = hw_map_at(s->t, dtv);
    if (!map || !(map->flags & HW_MAP_WRITE) || spend(s, DTV_COST) < DTV_COST ||
        !is_dtv(s->t, dtv, tp))
        return none;
    struct naming n = name_of(s, tp);
    hw_addr *place = n.thread ? &n.thread->tp : &s->unnamed;
    n.first = n.thread && *place == 0;
    s->missing -= n.first;
    *place = *place == 0 || *place == tp ? tp : SEVERAL;
    return n;
}

/* Consider the blocks in the list that `start` is an element of. Returns the element that is in no
 * block, the head of the list, 0 if there is none. */
static hw_addr follow_list(struct search *s, unsigned below, hw_addr start)
{
    unsigned w = word_of(s), list = places[s->t->who.machine->id].list;
    hw_addr at = start, head = 0;
    for (size_t i = 0; i <= s->t->thread_count && s->missing; i++) {
        uint8_t words[3 * 8];
        struct naming n = {0};
        hw_addr tp = at - list + below;
        if (tp % TCB_ALIGN == 0 && hw_read_all(s->t, tp, words, 3 * w, NULL) == HW_OK)
            n = consider(s, tp, words);
        if (!n.thread)
            head = at;
        if (n.thread)
            at = n.next;
        else if (hw_read_word(s->t, at, &at, NULL) != HW_OK)
            break;
        if (at == start)
            break;
    }
    return head;
}

/* A block leads to others. Since glibc 2.34 the heads of the lists stand side by side. */
static void follow(struct search *s, struct naming n)
{
    unsigned element = 2 * word_of(s);
    hw_addr head = follow_list(s, n.below, n.next);
    for (int side = -1; side <= 1 && head && s->missing; side += 2)
        follow_list(s, n.below, head + (hw_addr)side * element);
}

/* ---- where? --------------------------------------------------------------------------------- */

static bool done(const struct search *s)
{
    return s->how == HW_TCB_QUICK && s->missing == 0;
}

/* Where to go on from `at`: where there is something to read that may be read; `to` if nowhere. */
static hw_addr go_on(struct search *s, hw_addr at, hw_addr to)
{
    uint64_t page = s->t->who.page_size;
    if (at % page != 0)
        return at;
    at = hw_next_data(s->t, at, to, &s->pages);
    return at < to && spend(s, page) == page ? at : to;
}

/* Every step goes forward, and the budget bounds how far. */
static void look_through(struct search *s, hw_addr from, hw_addr to)
{
    size_t len = 3 * word_of(s);
    if (to > UINT64_MAX / TCB_ALIGN * TCB_ALIGN) /* no step from below it can wrap */
        to = UINT64_MAX / TCB_ALIGN * TCB_ALIGN;
    for (hw_addr at = from; at < to && !done(s) && (at = go_on(s, at, to)) < to;) {
        uint64_t segments = UINT32_MAX;
        const uint8_t *words = at % TCB_ALIGN ? NULL : hw_window_at(&s->window, at, len, to);
        struct naming n = words ? consider(s, at, words) : (struct naming){0};
        if (n.first)
            follow(s, n);
        hw_addr next = at / TCB_ALIGN * TCB_ALIGN + TCB_ALIGN;
        at = words ? next : hw_next_data(s->t, next, to, &segments);
    }
}

/* A thread that pthread_create() started has its block at the high end of its stack, mostly near to
 * the stack pointer. The map may go on with other stacks. */
static void look_at_stacks(struct search *s)
{
    for (size_t i = 0; i < s->t->thread_count; i++) {
        const struct hw_thread *th = &s->t->threads[i];
        const struct hw_map *map = hw_map_at(s->t, th->sp);
        if (!map || !(map->flags & HW_MAP_WRITE))
            continue;
        hw_addr end = map->end - th->sp < STACK_NEAR ? map->end : th->sp + STACK_NEAR;
        look_through(s, th->sp, end);
    }
}

static void look_everywhere(struct search *s)
{
    for (size_t i = 0; i < s->t->map_count; i++) {
        const struct hw_map *map = &s->t->maps[i];
        if (!map->path && map->flags & HW_MAP_WRITE)
            look_through(s, map->start, map->end);
    }
}

/* Where first blocks usually are. The kernel puts new maps below the old: the first stacks and the
 * pages of the dynamic linker are above most others. */
static void look_at_ends(struct search *s)
{
    for (size_t i = s->t->map_count; i-- > 0 && !done(s);) {
        const struct hw_map *map = &s->t->maps[i];
        hw_addr bytes = map->end - map->start, near = bytes < END_NEAR ? bytes : END_NEAR;
        if (!(map->flags & HW_MAP_WRITE) || !hw_map_is_anonymous(map))
            continue;
        if (map->path && strcmp(map->path, "[heap]") == 0)
            look_through(s, map->start, map->start + near);
        else
            look_through(s, map->end - near, map->end);
    }
}

/* Stacks without guard pages become one map, and the one at its end may be of none that lives. */
static void look_at_small_maps(struct search *s)
{
    for (size_t i = s->t->map_count; i-- > 0 && !done(s);) {
        const struct hw_map *map = &s->t->maps[i];
        if (map->flags & HW_MAP_WRITE && !map->path && map->end - map->start <= STACKS_MAX)
            look_through(s, map->start, map->end);
    }
}

/* ---- whose? --------------------------------------------------------------------------------- */

static void decide(struct search *s)
{
    struct hw_target *t = s->t;
    /* Before glibc 2.34 the only thread of a program without libpthread had no name. */
    if (t->thread_count == 1 && s->missing == 1)
        t->threads[0].tp = s->unnamed;
    for (size_t i = 0; i < t->thread_count; i++)
        if (t->threads[i].tp == SEVERAL)
            t->threads[i].tp = 0;
}

int hw_find_thread_pointers(struct hw_target *t, enum hw_tcb_search how, struct hw_error *err)
{
    bool quick = how == HW_TCB_QUICK;
    struct search s = {.t = t,
                       .how = how,
                       .budget = quick ? QUICK_MAX : WHOLE_MAX,
                       .pages = quick ? QUICK_PAGES : UINT64_MAX};
    for (size_t i = 0; i < t->thread_count; i++)
        s.missing += t->threads[i].tp == 0;
    if (quick)
        s.budget += (DTV_COST + NAME_COST) * (uint64_t)t->thread_count;
    if (s.missing == 0)
        return HW_OK;
    int rc = hw_window_init(&s.window, t, quick ? t->who.page_size : HW_WINDOW_BYTES, err);
    if (rc != HW_OK)
        return rc;
    if (quick) {
        look_at_ends(&s);
        look_at_small_maps(&s);
    } else {
        look_at_stacks(&s);
        if (s.missing)
            look_everywhere(&s);
    }
    decide(&s);
    hw_window_deinit(&s.window);
    return HW_OK;
}
