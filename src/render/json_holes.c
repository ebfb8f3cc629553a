/*
 * Holes and pins in the JSON report.
 */
#include "render/json.h"

#include <stdio.h>

static json_t *hex(const struct hw_pin *p)
{
    char digits[2 * sizeof p->sample + 1] = "";
    for (unsigned i = 0; i < p->sample_bytes; i++)
        snprintf(digits + 2 * i, 3, "%02x", p->sample[i]);
    return p->sample_bytes ? json_string(digits) : json_null();
}

static json_t *pin(const struct hw_report *r, const struct hw_pin *p)
{
    const struct hw_block *b = &p->block;
    if (b->state == HW_STATES_)
        return json_null();
    return json_pack("{so so so ss so so so}", "address", hw_json_address(b->address), "pointer",
                     hw_has_pointer(b) ? hw_json_address(b->address + hw_header_bytes(r))
                                       : json_null(),
                     "bytes", hw_json_integer(b->bytes), "state", hw_state_name(b->state), "tid",
                     b->tid ? json_integer(b->tid) : json_null(), "symbol",
                     *p->symbol ? hw_json_text(p->symbol) : json_null(), "sample", hex(p));
}

static json_t *hole(const struct hw_report *r, const struct hw_hole *h)
{
    return json_pack("{si so so so sb so so so so}", "arena", h->arena, "address",
                     hw_json_address(h->address), "bytes", hw_json_integer(h->bytes), "chunks",
                     hw_json_integer(h->chunks), "has_top", h->has_top, "resident_bytes",
                     hw_json_maybe(h->resident_bytes), "trim_bytes", hw_json_maybe(h->trim_bytes),
                     "below", pin(r, &h->below), "above", pin(r, &h->above));
}

/* Append, or make the whole NULL: jansson takes NULL for a value that failed. */
static json_t *with(json_t *list, json_t *value)
{
    if (json_array_append_new(list, value) == 0)
        return list;
    json_decref(list);
    return NULL;
}

json_t *hw_json_holes(const struct hw_report *r)
{
    if (!r->holes_wanted)
        return json_null();
    json_t *list = json_array();
    for (size_t i = 0; list && i < r->holes.count; i++)
        list = with(list, hole(r, &r->holes.data[i]));
    return list;
}

json_t *hw_json_top_pins(const struct hw_report *r, const struct hw_arena *a)
{
    const struct hw_top_pins *p = &a->top_pins;
    if (!p->known)
        return json_null();
    json_t *first = json_array();
    for (size_t i = 0; first && i < p->first.count; i++)
        first = with(first, pin(r, &p->first.data[i]));
    return json_pack("{so so so so so so so so}", "chunks", hw_json_integer(p->chunks), "bytes",
                     hw_json_integer(p->bytes), "tcache_chunks", hw_json_integer(p->cached_chunks),
                     "tcache_bytes", hw_json_integer(p->cached_bytes), "joins_bytes",
                     hw_json_integer(p->joins_bytes), "joins_resident_bytes",
                     p->joins_trim.known ? hw_json_integer(p->joins_resident) : json_null(),
                     "joins_trim_bytes", hw_json_maybe(p->joins_trim), "first", first);
}
