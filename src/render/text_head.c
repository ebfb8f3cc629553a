/*
 * Whose heap this is, and whether it is the one that the program uses.
 */
#include "render/text.h"

#include <inttypes.h>
#include <string.h>

static void put_origin(struct hw_flow *f, const struct hw_report *r)
{
    const char *comm = r->target.comm && *r->target.comm ? r->target.comm : "?";
    if (r->target.live)
        hw_flow_piece(f, "heapwalk: %s (pid %d)", comm, r->target.pid);
    else if (r->target.pid > 0)
        hw_flow_piece(f, "heapwalk: core of %s (pid %d)", comm, r->target.pid);
    else
        hw_flow_piece(f, "heapwalk: core of %s", comm);
}

/* The signal at which the core was written. */
static void put_end(struct hw_flow *f, const struct hw_report *r)
{
    const struct hw_ended *e = &r->target.ended;
    const char *name = hw_signal_name(e->signal);
    char at[48] = "";
    if (e->signal <= 0)
        return;
    if (e->address.known)
        snprintf(at, sizeof at, ", address %#" PRIx64, e->address.n);
    if (name)
        hw_flow_piece(f, "%s (thread %d%s)", name, e->tid, at);
    else
        hw_flow_piece(f, "signal %d (thread %d%s)", e->signal, e->tid, at);
}

static void put_method(struct hw_flow *f, const struct hw_report *r)
{
    char buf[HW_TEXT_NUMBER];
    const char *pause = r->method.pause_ns.known ? hw_text_time(buf, r->method.pause_ns.n) : NULL;
    switch (r->method.mode) {
    case HW_MODE_STOPPED:
        if (pause && r->method.pause_ns.n == 0)
            hw_flow_piece(f, "stood still already");
        else if (pause)
            hw_flow_piece(f, "stopped for %s", pause);
        break;
    case HW_MODE_RUNNING:
        hw_flow_piece(f, r->method.left_alone ? "stood still already"
                                              : "not stopped: read while it ran");
        break;
    case HW_MODE_SNAPSHOT:
        if (pause)
            hw_flow_piece(f, "snapshot, stopped for %s", pause);
        else
            hw_flow_piece(f, "snapshot");
        break;
    case HW_MODE_CORE:
        put_end(f, r);
        if (r->target.core)
            hw_flow_piece(f, "from %s", r->target.core);
        break;
    }
}

void hw_text_head(struct hw_text *t)
{
    const struct hw_report *r = t->r;
    char buf[HW_TEXT_NUMBER];
    fputs(hw_text_on(t, HW_STYLE_HEAD), t->out);
    struct hw_flow f = hw_flow_begin(t, 0, strlen("heapwalk: "), 2);
    f.limit = t->width;
    put_origin(&f, r);
    hw_flow_piece(&f, "%s %s", r->allocator.name ? r->allocator.name : "glibc",
                  r->allocator.version ? r->allocator.version : "(version unknown)");
    if (r->target.threads)
        hw_flow_piece(&f, "%s thread%s", hw_text_count(t, buf, hw_text_signed(r->target.threads)),
                      r->target.threads == 1 ? "" : "s");
    put_method(&f, r);
    fputs(hw_text_off(t), t->out);
    hw_flow_end(&f);
}

/* The allocator that has the program's memory instead; NULL if none is known. */
static const struct hw_other *serving(const struct hw_report *r)
{
    for (size_t i = 0; i < r->allocator.others.count; i++)
        if (r->allocator.others.data[i].serves_malloc)
            return &r->allocator.others.data[i];
    return NULL;
}

void hw_text_other(struct hw_text *t)
{
    const struct hw_other *o = serving(t->r);
    if (o) {
        hw_text_blank(t);
        hw_text_say(t, 0, 0, "%s%s%s (%s) serves this program's malloc. %s",
                    o->name ? o->name : "Another allocator", *o->version ? " " : "", o->version,
                    o->file,
                    t->r->allocator.unused ? "glibc's own heap was never used."
                                           : "What follows is glibc's own heap only.");
    } else if (t->r->allocator.unused) {
        hw_text_blank(t);
        hw_text_say(t, 0, 0, "glibc's malloc was never used in this process.");
        hw_text_say(t, 0, 0,
                    "Its memory comes from elsewhere: another allocator (jemalloc, tcmalloc, "
                    "mimalloc, a JVM, Go) or mmap() calls of its own.");
    } else {
        return;
    }
    t->gap = true;
}
