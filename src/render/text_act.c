/*
 * What glibc said before it aborted the process, and what threads were doing in malloc: nothing
 * where it said nothing, and none was there.
 */
#include "render/text.h"

#include <string.h>

#define SHOWN 10

static const struct hw_in_malloc *in_malloc(const struct hw_report *r, int tid)
{
    for (size_t i = 0; i < r->threads.count; i++)
        if (r->threads.data[i].tid == tid && r->threads.data[i].in_malloc.known)
            return &r->threads.data[i].in_malloc;
    return NULL;
}

#define ARENA_NAME 32
/* "arena 3", "the main arena"; buf is returned. */
static const char *arena_name(char buf[ARENA_NAME], int arena)
{
    snprintf(buf, ARENA_NAME, arena > 0 ? "arena %d" : "the main arena", arena);
    return buf;
}

/* ---- last words ----------------------------------------------------------------------------- */

void hw_text_abort(struct hw_text *t)
{
    const struct hw_report *r = t->r;
    const struct hw_abort *a = &r->abort;
    if (!a->said)
        return;
    char name[ARENA_NAME];
    const struct hw_in_malloc *in = a->tid ? in_malloc(r, a->tid) : NULL;
    fputs(hw_text_on(t, HW_STYLE_ALARM), t->out);
    struct hw_flow f = hw_flow_begin(t, 0, strlen("ABORTED: "), 1);
    hw_flow_words(&f, "ABORTED: %s", a->message);
    if (!a->tid)
        hw_flow_words(&f, "(glibc's last words; no thread is known to be in abort())");
    else
        hw_flow_words(&f, "(glibc's last words, thread %d%s%s%s%s%s)", a->tid, in ? ", in " : "",
                      in && *in->entry ? in->entry : "", in ? (*in->entry ? "()" : "malloc") : "",
                      a->arena >= 0 ? ", " : "", a->arena >= 0 ? arena_name(name, a->arena) : "");
    fputs(hw_text_off(t), t->out);
    hw_flow_end(&f);
}

/* ---- threads -------------------------------------------------------------------------------- */

/* "in _int_malloc() for calloc()". */
static void put_place(struct hw_flow *f, const struct hw_in_malloc *in)
{
    const char *function = *in->function ? in->function : in->entry;
    if (*function)
        hw_flow_words(f, "in %s()", function);
    else
        hw_flow_words(f, "in malloc");
    if (*in->entry && strcmp(in->entry, function) != 0)
        hw_flow_words(f, "for %s()", in->entry);
}

static void put_locks(struct hw_flow *f, const struct hw_in_malloc *in)
{
    char name[ARENA_NAME];
    if (in->waits_for >= 0 && in->waits_for == in->holds)
        hw_flow_words(f, "- waits for %s, which it has locked itself",
                      arena_name(name, in->waits_for));
    else if (in->waits_for >= 0)
        hw_flow_words(f, "- waits for %s", arena_name(name, in->waits_for));
    else if (in->holds >= 0)
        hw_flow_words(f, "- has locked %s", arena_name(name, in->holds));
    else if (in->works_in >= 0)
        hw_flow_words(f, "- works in %s", arena_name(name, in->works_in));
}

void hw_text_acts(struct hw_text *t)
{
    const struct hw_report *r = t->r;
    size_t count = 0;
    char number[HW_TEXT_NUMBER];
    for (size_t i = 0; i < r->threads.count; i++) {
        const struct hw_in_malloc *in = &r->threads.data[i].in_malloc;
        if (!in->known || count++ >= SHOWN)
            continue;
        if (count == 1) {
            hw_text_blank(t);
            fprintf(t->out, "%sTHREADS IN MALLOC%s\n", hw_text_on(t, HW_STYLE_HEAD),
                    hw_text_off(t));
        }
        struct hw_flow f = hw_flow_begin(t, 2, 4, 1);
        hw_flow_words(&f, "%d", r->threads.data[i].tid);
        put_place(&f, in);
        put_locks(&f, in);
        hw_flow_end(&f);
    }
    if (count > SHOWN)
        hw_text_say(t, 2, 4, "... and %s more",
                    hw_text_count(t, number, hw_text_signed(count - SHOWN)));
}
