/*
 * Which arena is which, and what else one has to know to believe a comparison.
 *
 * An arena stays where it is as long as the program runs. Of two processes, or of two programs that
 * one process ran after the other, addresses tell nothing, and the first is compared with the
 * first.
 */
#include "base/printable.h"
#include "diff/diff.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- arenas --------------------------------------------------------------------------------- */

struct place {
    uint64_t key; /* its address, or its index */
    size_t i;
    bool known;
};

static int compare(const void *left, const void *right)
{
    const struct place *a = left, *b = right;
    if (a->known != b->known)
        return a->known ? -1 : 1;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return a->i < b->i ? -1 : a->i > b->i;
}

/* The arenas of one report, by their keys. NULL when memory is out. */
static struct place *places_of(const struct hw_saved *s, bool by_address)
{
    struct place *list = calloc(s->arenas.count + 1, sizeof *list);
    for (size_t i = 0; list && i < s->arenas.count; i++) {
        const struct hw_saved_arena *a = &s->arenas.data[i];
        struct hw_maybe key = by_address ? a->address : a->index;
        list[i] = (struct place){.key = key.n, .i = i, .known = key.known};
    }
    if (list)
        qsort(list, s->arenas.count, sizeof *list, compare);
    return list;
}

/* `partner[i]` is the arena of `before` that the i-th of `after` is, plus 1; 0: there is none.
 * `taken` are those of `before` that are somebody's. Returns how many. */
static size_t pair(const struct hw_diff *d, bool by_address, size_t *partner, bool *taken)
{
    struct place *old = places_of(&d->before, by_address), *now = places_of(&d->after, by_address);
    size_t i = 0, k = 0, pairs = 0;
    while (old && now && i < d->before.arenas.count && k < d->after.arenas.count && old[i].known &&
           now[k].known) {
        if (old[i].key == now[k].key) {
            partner[now[k].i] = old[i].i + 1;
            taken[old[i].i] = true;
            pairs++;
        }
        bool next_old = old[i].key <= now[k].key, next_now = now[k].key <= old[i].key;
        i += next_old;
        k += next_now;
    }
    pairs = old && now ? pairs : SIZE_MAX;
    free(old);
    free(now);
    return pairs;
}

/* Of what a report of some arenas (--arena) has not nobody knows whether it was there. */
static bool list_pairs(struct hw_diff *d, const size_t *partner, const bool *taken)
{
    for (size_t i = 0; i < d->after.arenas.count; i++) {
        if (!partner[i] && d->before.some_arenas)
            continue;
        struct hw_arena_pair p = {.after = &d->after.arenas.data[i]};
        if (partner[i])
            p.before = &d->before.arenas.data[partner[i] - 1];
        if (!hw_vec_push(&d->arenas, p))
            return false;
    }
    for (size_t i = 0; i < d->before.arenas.count && !d->after.some_arenas; i++)
        if (!taken[i] &&
            !hw_vec_push(&d->arenas, (struct hw_arena_pair){.before = &d->before.arenas.data[i]}))
            return false;
    return true;
}

static bool match_arenas(struct hw_diff *d)
{
    size_t *partner = calloc(d->after.arenas.count + 1, sizeof *partner);
    bool *taken = calloc(d->before.arenas.count + 1, sizeof *taken);
    size_t pairs = 0;
    bool ok = partner && taken;
    if (ok && d->same_process != HW_NOT_SAME)
        pairs = pair(d, true, partner, taken);
    bool some = d->before.some_arenas || d->after.some_arenas;
    d->by_address = pairs > 0 || (some && d->same_process == HW_SAME);
    if (ok && !d->by_address)
        pairs = pair(d, false, partner, taken);
    ok = ok && pairs != SIZE_MAX && list_pairs(d, partner, taken);
    free(partner);
    free(taken);
    return ok;
}

/* ---- notes ---------------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static bool note(struct hw_diff *d, const char *fmt, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, fmt);
    bool ok = vasprintf(&text, fmt, args) >= 0;
    va_end(args);
    if (ok)
        hw_make_printable(text); /* names of files */
    if (ok && !hw_vec_push(&d->notes, text)) {
        free(text);
        ok = false;
    }
    return ok;
}

static bool note_partial(struct hw_diff *d, const struct hw_saved *s)
{
    return s->complete ||
           note(d, "%s is a partial report%s%s", s->file, s->why_not[0] ? ": " : "", s->why_not);
}

static bool note_some(struct hw_diff *d, const struct hw_saved *s)
{
    return !s->some_arenas ||
           note(d, "%s has not all arenas (--arena): others than those are not compared", s->file);
}

static enum hw_sameness sameness(const struct hw_saved *a, const struct hw_saved *b)
{
    if (!a->pid.known || !b->pid.known)
        return HW_SAME_UNKNOWN;
    if (a->pid.n != b->pid.n)
        return HW_NOT_SAME;
    if (!a->start_ticks.known || !b->start_ticks.known)
        return HW_SAME_UNKNOWN;
    return a->start_ticks.n == b->start_ticks.n ? HW_SAME : HW_NOT_SAME;
}

static bool note_process(struct hw_diff *d)
{
    const struct hw_saved *a = &d->before, *b = &d->after;
    if (d->same_process == HW_SAME_UNKNOWN)
        return note(d, "it is not known whether both reports are of the same process");
    if (d->same_process == HW_SAME)
        return true;
    if (a->pid.n == b->pid.n)
        return note(d,
                    "two processes are compared: that of pid %" PRIu64
                    " ended, and another one was given its number",
                    a->pid.n);
    return note(d, "two processes are compared: pid %" PRIu64 " (%s) and pid %" PRIu64 " (%s)",
                a->pid.n, a->comm[0] ? a->comm : "?", b->pid.n, b->comm[0] ? b->comm : "?");
}

static bool note_matching(struct hw_diff *d)
{
    bool needs = d->before.arenas.count > 0 && d->after.arenas.count > 0;
    return d->by_address || !needs || d->same_process == HW_NOT_SAME ||
           note(
               d,
               "no arena is where one was: it runs another program, or was started again; they are "
               "matched by their index");
}

static bool note_order(struct hw_diff *d)
{
    const struct hw_maybe *a = &d->before.time_ms, *b = &d->after.time_ms;
    return !a->known || !b->known || a->n <= b->n ||
           note(d, "%s is older than %s: what is said to have grown has shrunk", d->after.file,
                d->before.file);
}

int hw_diff_match(struct hw_diff *d, struct hw_error *err)
{
    d->same_process = sameness(&d->before, &d->after);
    if (match_arenas(d) && note_partial(d, &d->before) && note_partial(d, &d->after) &&
        note_some(d, &d->before) && note_some(d, &d->after) && note_process(d) &&
        note_matching(d) && note_order(d))
        return HW_OK;
    return hw_fail(err, HW_ERR_NOMEM, "no memory to compare the reports");
}
