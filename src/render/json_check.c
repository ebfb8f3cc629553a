/*
 * --check in the JSON report.
 */
#include "render/check.h"
#include "render/json.h"

#include <stdio.h>

static json_t *invariant(const struct hw_report *r, enum hw_invariant i)
{
    static const char *const names[] = {
        [HW_CHECK_HOLDS] = "holds",
        [HW_CHECK_BROKEN] = "broken",
        [HW_CHECK_IN_PART] = "in_part",
        [HW_CHECK_UNKNOWN] = "unknown",
    };
    const struct hw_invariant_info *info = hw_invariant_info(i);
    return json_pack(
        "{ss ss ss so so so so}", "invariant", info->name, "text", info->text, "verdict",
        names[hw_check_verdict(r, i)], "examined", hw_json_maybe(r->check.examined[i]), "broken",
        hw_json_integer(r->check.broken[i]), "missed", hw_json_integer(r->check.missed[i]),
        "half_done", *info->half_done ? json_string(info->half_done) : json_null());
}

json_t *hw_json_check(const struct hw_report *r)
{
    if (!r->check.done)
        return json_null();
    json_t *list = json_array();
    for (unsigned i = HW_INVARIANT_NONE + 1; i < HW_INVARIANTS_ && list; i++)
        if (json_array_append_new(list, invariant(r, (enum hw_invariant)i)) != 0) {
            json_decref(list);
            list = NULL;
        }
    return list;
}

static json_t *block(const struct hw_report *r, const struct hw_block *b)
{
    if (!b)
        return json_null();
    return json_pack(
        "{so so so ss so}", "address", hw_json_address(b->address), "pointer",
        hw_has_pointer(b) ? hw_json_address(b->address + hw_header_bytes(r)) : json_null(), "bytes",
        hw_json_integer(b->bytes), "state", hw_state_name((enum hw_state)b->state), "tid",
        b->tid ? json_integer(b->tid) : json_null());
}

json_t *hw_json_scene(const struct hw_report *r, const struct hw_finding *f)
{
    char hex[2 * HW_PLACE_BYTES + 1] = "";
    if (!r->check.done || !f->address.known || f->kind == HW_FINDING_NOTE)
        return json_null();
    for (unsigned i = 0; i < f->scene.count && i < HW_PLACE_BYTES; i++)
        snprintf(hex + 2 * i, 3, "%02x", f->scene.bytes[i]);
    return json_pack("{so so so}", "bytes", f->scene.count ? json_string(hex) : json_null(),
                     "before", block(r, hw_scene_before(f)), "chunk", block(r, hw_scene_here(f)));
}
