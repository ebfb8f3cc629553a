/*
 * Threads in malloc, and how a process ended, in the JSON report.
 */
#include "render/json.h"

static json_t *arena_or_null(int arena)
{
    return arena >= 0 ? json_integer(arena) : json_null();
}

static json_t *tid_or_null(int tid)
{
    return tid > 0 ? json_integer(tid) : json_null();
}

static json_t *name_or_null(const char *name)
{
    return *name ? hw_json_text(name) : json_null();
}

json_t *hw_json_in_malloc(const struct hw_thread_row *t)
{
    const struct hw_in_malloc *in = &t->in_malloc;
    if (!in->known)
        return json_null();
    return json_pack("{so so so so so so}", "function", name_or_null(in->function), "entry",
                     name_or_null(in->entry), "pc", hw_json_address(in->pc), "works_in_arena",
                     arena_or_null(in->works_in), "waits_for_arena", arena_or_null(in->waits_for),
                     "holds_arena", arena_or_null(in->holds));
}

json_t *hw_json_ended(const struct hw_report *r)
{
    const struct hw_ended *e = &r->target.ended;
    const char *name = hw_signal_name(e->signal);
    if (e->signal <= 0)
        return json_null();
    return json_pack("{si so so so so}", "signal", e->signal, "name", hw_json_text(name), "tid",
                     tid_or_null(e->tid), "code",
                     e->code.known ? json_integer((int32_t)e->code.n) : json_null(), "address",
                     e->address.known ? hw_json_address(e->address.n) : json_null());
}

json_t *hw_json_abort(const struct hw_report *r)
{
    const struct hw_abort *a = &r->abort;
    int signal = r->target.ended.signal;
    if (!a->said)
        return json_null();
    return json_pack("{so so so so}", "message", hw_json_text(a->message), "tid",
                     tid_or_null(a->tid), "signal", signal > 0 ? json_integer(signal) : json_null(),
                     "arena", arena_or_null(a->arena));
}
