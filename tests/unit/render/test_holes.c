/*
 * Holes and pins as text and JSON.
 */
#include "render/parsed.h"

#include <ctype.h>

static struct hw_pin pin_of(enum hw_state state, hw_addr address, uint64_t bytes)
{
    struct hw_pin p = {.block = sample_block(state, 0, bytes)};
    p.block.address = address;
    p.block.tid = state == HW_CACHED ? 4712 : 0;
    return p;
}

/* The main arena with one hole and a pin, residency known. */
static struct hw_report *pinned_report(void)
{
    struct hw_report *r = sample_report();
    struct hw_arena *a = sample_arena(r, 64 * MIB, 1 * MIB);
    hw_set(r->totals, HW_M_SYSTEM_BYTES, 64 * MIB);
    a->top_pins.known = true;
    a->top_pins.chunks = 1;
    a->top_pins.bytes = 1040;
    a->top_pins.joins_bytes = 20 * MIB;
    a->top_pins.joins_resident = 16 * MIB;
    a->top_pins.joins_trim = hw_known(15 * MIB);
    struct hw_pin pin = pin_of(HW_USED, 0x3f0000, 1040);
    strcpy(pin.symbol, "libfoo.so: vtable for Foo");
    cr_assert(hw_vec_push(&a->top_pins.first, pin));
    return r;
}

static struct hw_report *report_with_a_hole(void)
{
    struct hw_report *r = pinned_report();
    struct hw_hole hole = {.arena = 0,
                           .address = 0x20000,
                           .bytes = 20 * MIB,
                           .chunks = 2,
                           .resident_bytes = hw_known(16 * MIB),
                           .trim_bytes = hw_known(15 * MIB),
                           .below = pin_of(HW_CACHED, 0x1ffe0, 32),
                           .above = r->arenas.data[0].top_pins.first.data[0]};
    hole.above.sample_bytes = 20;
    memcpy(hole.above.sample, "\x10\xe0\0\0\0\x7f\0\0 \"secret\"\n~\x7f\xff", 20);
    r->holes_wanted = 1;
    cr_assert(hw_vec_push(&r->holes, hole));
    return r;
}

/* ---- text ------------------------------------------------------------------------------------ */

/* The text with every run of white space as one blank. */
static char *flat(char *text)
{
    char *to = text;
    for (const char *p = text; *p; p++)
        if (!isspace((unsigned char)*p))
            *to++ = *p;
        else if (to > text && to[-1] != ' ')
            *to++ = ' ';
    *to = '\0';
    return text;
}

static void expect_text(struct hw_report *r, const struct hw_render_options *opt, bool wanted,
                        const char *words)
{
    char *text = flat(rendered_with(r, opt));
    cr_expect_eq(strstr(text, words) != NULL, wanted, "\"%s\" %s in %s", words,
                 wanted ? "is not" : "is", text);
    free(text);
}
#define SAYS(r, words)  expect_text(r, &(struct hw_render_options){0}, true, words)
#define OMITS(r, words) expect_text(r, &(struct hw_render_options){0}, false, words)

Test(holes_shown, one_sentence_by_default)
{
    struct hw_report *r = pinned_report();
    SAYS(r,
         "1 chunk of 1.02 KiB at the end of the main arena keeps 20.0 MiB of free memory (16.0 MiB "
         "in RAM) from joining top, from where glibc would give it back by itself; "
         "malloc_trim(0) would give back 15.0 MiB of it now ");
    OMITS(r, "PINS");
    OMITS(r, "HOLES");
    OMITS(r, "vtable");
    hw_report_destroy(r);
}

Test(holes_shown, the_default_report_is_silent_about_little)
{
    struct hw_report *r = pinned_report();
    hw_set(r->totals, HW_M_SYSTEM_BYTES, 200 * MIB); /* less than a tenth */
    OMITS(r, "from joining");
    hw_set(r->totals, HW_M_SYSTEM_BYTES, 160 * MIB);
    SAYS(r, "from joining");
    r->arenas.data[0].top_pins.joins_resident = 1 * MIB - 1;
    hw_set(r->totals, HW_M_SYSTEM_BYTES, 2 * MIB);
    OMITS(r, "from joining");
    r->arenas.data[0].top_pins.joins_trim.known = false; /* a core: nothing else is known */
    SAYS(r, "from joining");
    hw_report_destroy(r);
}

Test(holes_shown, wordings)
{
    struct hw_report *r = pinned_report();
    struct hw_top_pins *p = &r->arenas.data[0].top_pins;
    p->chunks = 12;
    SAYS(r, " 12 chunks of 1.02 KiB in all at the end of the main arena keep 20.0 MiB");
    p->cached_chunks = 2;
    SAYS(r, " 14 chunks of 1.02 KiB in all, 2 of them in tcaches, at the end");
    p->chunks = 0;
    SAYS(r, " 2 chunks of 1.02 KiB in all, in tcaches, at the end");
    p->cached_chunks = 1;
    SAYS(r, " 1 chunk of 1.02 KiB, in a tcache, at the end of the main arena keeps");
    p->joins_trim = (struct hw_maybe){0};
    SAYS(r, "keeps 20.0 MiB of free memory from joining top");
    SAYS(r, "by itself; malloc_trim(0) would give back the whole pages of it");
    r->params.trim_threshold = hw_known(64 * MIB);
    SAYS(r, "from joining top, which glibc shrinks by itself once it has 64 MiB (trim_threshold);");
    r->params.trim_threshold = hw_known(UINT64_MAX);
    SAYS(r, "top, which glibc never shrinks by itself here (trim_threshold is off);");
    hw_report_destroy(r);
}

Test(holes_shown, memory_that_is_gone_matters_to_nobody)
{
    struct hw_report *r = report_with_a_hole();
    struct hw_top_pins *p = &r->arenas.data[0].top_pins;
    p->joins_resident = 0;
    p->joins_trim = hw_known(0);
    SAYS(r, "(0 B in RAM) from joining top");
    SAYS(r, "; none of it is in RAM any more ");
    r->holes_wanted = 0;
    OMITS(r, "from joining");
    hw_report_destroy(r);
}

Test(holes_shown, holes_and_pins)
{
    struct hw_report *r = report_with_a_hole();
    SAYS(r,
         " HOLES largest free runs, by bytes in RAM 0x20000 20.0 MiB main 2 chunks 16.0 MiB in "
         "RAM malloc_trim(0): 15.0 MiB above 0x3f0000 1.02 KiB in use libfoo.so: vtable for Foo ");
    SAYS(r, " below 0x1ffe0 32 B in the tcache of thread 4712 ");
    SAYS(r, " PINS what keeps tops from shrinking 1 chunk of 1.02 KiB");
    SAYS(r, " 15.0 MiB of it now 0x3f0000 1.02 KiB in use libfoo.so: vtable for Foo ");
    SAYS(r, " 10 e0 00 00 00 7f 00 00 20 22 73 65 63 72 65 74 |........ \"secret| 22 0a 7e 7f ");
    SAYS(r, " 7f |\".~.| ");
    hw_report_destroy(r);
}

Test(holes_shown, only_where_they_are)
{
    struct hw_report *r = report_with_a_hole();
    sample_arena(r, 1 * MIB, 4096);
    struct hw_render_options second = {.only_arena = true, .arena = 1};
    expect_text(r, &second, true, " PINS nothing keeps much from joining a top ");
    hw_vec_free(&r->holes);
    expect_text(r, &second, true, " HOLES none: nothing is free ");
    hw_report_destroy(r);
}

Test(holes_shown, ten_arenas_unless_all_are_asked_for)
{
    struct hw_report *r = report_with_a_hole();
    for (unsigned i = 1; i <= 12; i++) {
        struct hw_top_pins *p = &sample_arena(r, 2 * MIB, 4096)->top_pins;
        *p = (struct hw_top_pins){.known = true, .chunks = i, .bytes = 64 * i};
        p->joins_bytes = p->joins_resident = i * MIB;
        p->joins_trim = hw_known(0);
    }
    SAYS(r, " 12 chunks of 768 B in all at the end of arena 12 keep 12.0 MiB");
    SAYS(r, "... and 12 more");
    SAYS(r, " ... in 3 more arenas, too (--all-arenas shows them)");
    OMITS(r, "arena 1 keep");
    expect_text(r, &(struct hw_render_options){.all_arenas = true}, true, "arena 1 keep");
    hw_report_destroy(r);
}

Test(holes_shown, lines_fit)
{
    struct hw_report *r = report_with_a_hole();
    r->holes.data[0].above.sample_bytes = 64;
    memset(r->holes.data[0].above.symbol, 'x', sizeof r->holes.data[0].above.symbol - 1);
    for (unsigned width = 60; width < 140; width++) {
        char *text = rendered_with(r, &(struct hw_render_options){.width = width}), *save;
        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
            cr_expect_leq(strlen(line), width, "%s", line);
            cr_expect_neq(line[strlen(line) - 1], ' ', "%s", line);
        }
        free(text);
    }
    hw_report_destroy(r);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void expect_json(json_t *o, const char *json)
{
    json_t *wanted = json_loads(json, JSON_DECODE_ANY, NULL);
    char *is = json_dumps(o, JSON_ENCODE_ANY);
    cr_assert_not_null(wanted, "%s", json);
    cr_expect(json_equal(o, wanted), "%s is not %s", is, json);
    free(is);
    json_decref(wanted);
}

#define PIN                                                                                        \
    "{\"address\": \"0x3f0000\", \"pointer\": \"0x3f0010\", \"bytes\": 1040, \"state\": "          \
    "\"in use\", \"tid\": null, \"symbol\": \"libfoo.so: vtable for Foo\", \"sample\": "

Test(holes_shown, json_of_a_hole)
{
    struct hw_report *r = report_with_a_hole();
    json_t *o = parsed(r);
    expect_json(json_object_get(o, "holes"),
                "[{\"arena\": 0, \"address\": \"0x20000\", \"bytes\": 20971520, \"chunks\": 2, "
                "\"has_top\": false, \"resident_bytes\": 16777216, \"trim_bytes\": 15728640, "
                "\"below\": {\"address\": \"0x1ffe0\", \"pointer\": \"0x1fff0\", \"bytes\": 32, "
                "\"state\": \"tcache\", \"tid\": 4712, \"symbol\": null, \"sample\": null}, "
                "\"above\": " PIN "\"10e00000007f00002022736563726574220a7e7f\"}}]");
    json_decref(o);
    hw_report_destroy(r);
}

Test(holes_shown, json_of_pins)
{
    struct hw_report *r = pinned_report();
    sample_arena(r, 1 * MIB, 4096);
    json_t *o = parsed(r), *arenas = json_object_get(o, "arenas");
    expect_json(json_object_get(json_array_get(arenas, 0), "top_pins"),
                "{\"chunks\": 1, \"bytes\": 1040, \"tcache_chunks\": 0, \"tcache_bytes\": 0, "
                "\"joins_bytes\": 20971520, \"joins_resident_bytes\": 16777216, "
                "\"joins_trim_bytes\": 15728640, \"first\": [" PIN "null}]}");
    cr_expect(json_is_null(json_object_get(json_array_get(arenas, 1), "top_pins")));
    cr_expect(json_is_null(json_object_get(o, "holes")));
    json_decref(o);
    hw_report_destroy(r);
}

Test(holes_shown, json_of_what_is_not_known)
{
    struct hw_report *r = report_with_a_hole();
    struct hw_hole *h = &r->holes.data[0];
    struct hw_top_pins *p = &r->arenas.data[0].top_pins;
    h->resident_bytes = h->trim_bytes = p->joins_trim = (struct hw_maybe){0};
    p->joins_resident = 0;
    h->below.block.state = HW_STATES_;
    h->above = pin_of(HW_OVERHEAD, 0x30000, 16);
    json_t *o = parsed(r), *hole = json_array_get(json_object_get(o, "holes"), 0);
    json_t *pins = json_object_get(json_array_get(json_object_get(o, "arenas"), 0), "top_pins");
    cr_expect(json_is_null(json_object_get(hole, "resident_bytes")));
    cr_expect(json_is_null(json_object_get(hole, "trim_bytes")));
    cr_expect(json_is_null(json_object_get(hole, "below")));
    cr_expect(json_is_null(json_object_get(json_object_get(hole, "above"), "pointer")));
    cr_expect(json_is_null(json_object_get(pins, "joins_resident_bytes")));
    cr_expect(json_is_null(json_object_get(pins, "joins_trim_bytes")));
    json_decref(o);
    hw_report_destroy(r);
}
