/*
 * --check as text and JSON.
 */
#include "render/rendered.h"

#include <jansson.h>

#define TEXT "AAAAAAAAAAAAAAAA"

/* A chunk whose header was overwritten with text, by the one before it; everything was looked
 * at. */
static struct hw_report *checked_report(void)
{
    struct hw_report *r = sample_report();
    sample_arena(r, 64 * MIB, 1 * MIB);
    hw_set(r->totals, HW_M_SYSTEM_BYTES, 64 * MIB);
    r->check.done = true;
    for (unsigned i = HW_INVARIANT_NONE + 1; i < HW_INVARIANTS_; i++)
        r->check.examined[i] = hw_known(i);
    r->check.examined[HW_INVARIANT_FASTBINS].known = false;
    hw_report_break(r, HW_INVARIANT_CHUNKS, HW_FINDING_BAD_CHUNK, 0, hw_known(0x2000), hw_known(64),
                    "a chunk of impossible size");
    struct hw_scene *s = &r->findings.data[0].scene;
    s->count = 24;
    memcpy(s->bytes, TEXT "\x21\0\0\0\0\0\x1b\n", 24);
    s->before = sample_block(HW_USED, 0, 0x100);
    s->before.address = 0x1f00;
    return r;
}

static void expect_in(const char *text, const char *part)
{
    cr_expect(strstr(text, part) != NULL, "no '%s' in:\n%s", part, text);
}

Test(check_report, as_text)
{
    struct hw_report *r = checked_report();
    char *text = rendered_with(r, &(struct hw_render_options){.format = "text", .width = 100});
    expect_in(text, "CHECK\n");
    expect_in(text, "  BROKEN  chunks follow each other");
    expect_in(text, "(1 place; also so for a");
    expect_in(text, "  ok      bins are linked both ways");
    expect_in(text, "(does not apply here)");
    expect_in(text, "  -       fastbins have");
    expect_in(text, "      0x2000  4141414141414141 4141414141414141  " TEXT "\n");
    expect_in(text, "      0x2010  0a1b000000000021                   !.......\n");
    expect_in(text, "before it: 0x1f00, 256 bytes, in use");
    free(text);
    text = rendered_with(r, &(struct hw_render_options){.format = "text", .width = 60});
    expect_in(text, "      0x2008  4141414141414141  AAAAAAAA\n");
    free(text);
    hw_report_destroy(r);
}

/* The program's data are shown only where that was asked for. */
Test(check_report, not_asked_for)
{
    struct hw_report *r = checked_report();
    r->check.done = false;
    char *text = rendered(r, "text"), *json = rendered(r, "json");
    cr_expect_null(strstr(text, "CHECK"));
    cr_expect_null(strstr(text, TEXT));
    cr_expect_null(strstr(json, "4141"));
    expect_in(json, "\"scene\": null");
    expect_in(json, "\"check\": null");
    expect_in(json, "\"invariant\": \"chunks\"");
    free(text);
    free(json);
    hw_report_destroy(r);
}

Test(check_report, as_json)
{
    struct hw_report *r = checked_report();
    char *text = rendered(r, "json");
    json_t *o = json_loads(text, 0, NULL);
    cr_assert_not_null(o);
    json_t *check = json_object_get(o, "check");
    cr_expect_eq(json_array_size(check), HW_INVARIANTS_ - 1);
    const char *name, *verdict;
    json_int_t examined, broken;
    cr_assert_eq(json_unpack(json_array_get(check, HW_INVARIANT_CHUNKS - 1), "{ss ss sI sI}",
                             "invariant", &name, "verdict", &verdict, "examined", &examined,
                             "broken", &broken),
                 0);
    cr_expect_str_eq(name, "chunks");
    cr_expect_str_eq(verdict, "broken");
    cr_expect_eq(examined, HW_INVARIANT_CHUNKS);
    cr_expect_eq(broken, 1);
    const char *bytes, *at, *state;
    json_t *finding = json_array_get(json_object_get(o, "findings"), 0), *chunk;
    cr_assert_eq(json_unpack(json_object_get(finding, "scene"), "{ss so s{ss ss}}", "bytes", &bytes,
                             "chunk", &chunk, "before", "address", &at, "state", &state),
                 0);
    cr_expect_str_eq(bytes, "4141414141414141414141414141414121000000"
                            "00001b0a");
    cr_expect(json_is_null(chunk));
    cr_expect_str_eq(at, "0x1f00");
    cr_expect_str_eq(state, "in use");
    json_decref(o);
    free(text);
    hw_report_destroy(r);
}

/* What is missing leaves an invariant neither broken nor sound. */
Test(check_report, in_part)
{
    struct hw_report *r = checked_report();
    r->check.missed[HW_INVARIANT_BINS] = 3;
    r->check.missed[HW_INVARIANT_CHUNKS] = 1; /* and it is broken besides */
    char *text = rendered_with(r, &(struct hw_render_options){.format = "text", .width = 100});
    expect_in(text, "  in part bins are linked both ways");
    expect_in(text, "  BROKEN  chunks follow each other");
    free(text);
    char *json = rendered(r, "json");
    json_t *o = json_loads(json, 0, NULL);
    json_t *bins = json_array_get(json_object_get(o, "check"), HW_INVARIANT_BINS - 1);
    cr_expect_str_eq(json_string_value(json_object_get(bins, "verdict")), "in_part");
    cr_expect_eq(json_integer_value(json_object_get(bins, "missed")), 3);
    json_decref(o);
    free(json);
    hw_report_destroy(r);
}
