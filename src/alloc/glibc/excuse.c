/*
 * What is wrong with an arena that somebody was just changing is probably only half done; not so if
 * glibc itself has found it wrong, or the process died of a fault: maybe it did of that. The lock
 * of an arena tells that somebody was; but a process of one thread takes none (SINGLE_THREAD_P in
 * malloc/malloc.c, since 2.27).
 */
#include "alloc/glibc/glibc.h"

/* What to do about an arena that is half changed. */
static const char *advice(const struct hw_target *t)
{
    if (t->who.kind != HW_TARGET_LIVE)
        return "";
    if (!t->stood)
        return "; try again";
    return t->held_by
               ? "; it will be as long as the process stands still: let the debugger continue "
                 "it, then try again"
               : "; it will be as long as the process stands still: let it go on (kill "
                 "-CONT), then try again";
}

/* What is missing, or cannot be read, nobody has left half done. */
static bool is_flawed(const struct hw_report *r, int arena)
{
    for (size_t i = 0; i < r->findings.count; i++)
        if (r->findings.data[i].arena == arena &&
            r->findings.data[i].invariant != HW_INVARIANT_NONE)
            return true;
    return false;
}

/* Only the signals of faults have a code above 0: others were sent by somebody (SI_USER,
 * SI_TKILL). */
static bool may_have_died_of_it(const struct hw_report *r)
{
    const struct hw_ended *e = &r->target.ended;
    return r->abort.said || (e->signal && !(e->code.known && (int32_t)e->code.n <= 0));
}

void glibc_excuse_locked(const struct hw_target *t, struct hw_report *r)
{
    for (size_t i = 0; i < r->arenas.count && !may_have_died_of_it(r); i++) {
        if (is_flawed(r, (int)i) && r->arenas.data[i].locked && !r->arenas.data[i].moved)
            hw_report_add(
                r, HW_FINDING_NOTE, (int)i, (struct hw_maybe){0}, (struct hw_maybe){0},
                "arena %zu was locked: a thread was just changing it, so what is wrong with "
                "it is probably only half done%s",
                i, advice(t));
    }
}

/* The arena that it works in; where there is but one, it is that. */
static int arena_of(const struct hw_report *r, const struct hw_in_malloc *in)
{
    return in->works_in < 0 && r->arenas.count == 1 ? 0 : in->works_in;
}

void glibc_excuse_acts(const struct hw_target *t, struct hw_report *r)
{
    for (size_t i = 0; i < r->threads.count && !may_have_died_of_it(r); i++) {
        const struct hw_in_malloc *in = &r->threads.data[i].in_malloc;
        int arena = arena_of(r, in);
        if (in->known && in->waits_for < 0 && arena >= 0 && !r->arenas.data[arena].locked &&
            is_flawed(r, arena))
            hw_report_add(r, HW_FINDING_NOTE, arena, (struct hw_maybe){0}, (struct hw_maybe){0},
                          "thread %d stood in malloc: what is wrong with arena %d is probably only "
                          "half done%s",
                          r->threads.data[i].tid, arena, advice(t));
    }
}
