/*
 * Texts in here are heapwalk's own or printable ASCII, so that nothing has to be cleaned.
 */
#include "render/json_verdict.h"

#include "render/json.h"

/* ---- verdict --------------------------------------------------------------------------------- */

static json_t *evidence(const struct hw_verdict *v)
{
    json_t *o = json_object();
    for (size_t i = 0; o && i < v->evidence_count; i++)
        if (json_object_set_new(o, v->evidence[i].name,
                                hw_json_figure(&v->evidence[i].value, v->evidence[i].unit)) != 0) {
            json_decref(o);
            o = NULL;
        }
    return o;
}

static json_t *one(const struct hw_verdict *v)
{
    return json_pack("{s:s, s:s, s:o, s:s?, s:s?}", "rule", v->rule, "text", v->text, "evidence",
                     evidence(v), "command", *v->command ? v->command : NULL, "cost",
                     *v->cost ? v->cost : NULL);
}

json_t *hw_json_verdict(const struct hw_report *r)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < r->verdict.count; i++)
        if (json_array_append_new(list, one(&r->verdict.data[i])) != 0) {
            json_decref(list);
            list = NULL;
        }
    return list;
}

/* ---- limits ---------------------------------------------------------------------------------- */

static json_t *settings(const struct hw_limits *l)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < l->settings.count; i++) {
        const struct hw_setting *s = &l->settings.data[i];
        if (json_array_append_new(
                list, json_pack("{s:s, s:s}", "name", s->name, "value", s->value)) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

json_t *hw_json_limits(const struct hw_report *r)
{
    const struct hw_limits *l = &r->limits;
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "cores", hw_json_maybe(l->cores),
                     "cgroup_cpus", hw_json_maybe(l->cgroup_cpus), "arenas",
                     hw_json_maybe(l->arenas), "idle_arenas", hw_json_maybe(l->idle_arenas),
                     "most_threads_per_arena", hw_json_maybe(l->most_threads), "environment",
                     r->target.live ? settings(l) : json_null());
}
