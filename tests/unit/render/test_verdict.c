/*
 * How a verdict and the limits are printed.
 */
#include "analysis/verdict.h"
#include "render/parsed.h"

static struct hw_report *judged(void)
{
    struct hw_report *r = sample_report();
    struct hw_verdict v = {
        .rule = "retention",
        .text =
            "Retention: so much memory was freed but is still in RAM that a line is not enough.",
        .evidence = {{"free_resident_bytes", {.known = true, .n = 4096}, HW_UNIT_BYTES},
                     {"unknown", {.known = false}, HW_UNIT_COUNT},
                     {"share", {.known = true, .ratio = 0.5}, HW_UNIT_RATIO}},
        .evidence_count = 3};
    cr_assert(hw_vec_push(&r->verdict, v));
    v = (struct hw_verdict){.rule = "arena_cap",
                            .text = "Spread.",
                            .command = "MALLOC_ARENA_MAX=4",
                            .cost = "Threads then wait for each other's locks, which is told in "
                                    "more words than fit."};
    cr_assert(hw_vec_push(&r->verdict, v));
    return r;
}

static json_t *json_of(const struct hw_report *r, const char *key)
{
    json_t *o = parsed(r);
    json_t *value = json_incref(json_object_get(o, key));
    json_decref(o);
    return value;
}

static void expect_packed(json_t *got, json_t *want)
{
    char *text = json_dumps(got, 0);
    cr_expect(json_equal(got, want), "%s", text);
    free(text);
    json_decref(got);
    json_decref(want);
}

Test(render_verdict, as_json)
{
    struct hw_report *r = judged();
    json_t *got = json_of(r, "verdict");
    expect_packed(json_incref(json_array_get(got, 0)),
                  json_pack("{s:s, s:s, s:{s:i, s:n, s:f}, s:n, s:n}", "rule", "retention", "text",
                            r->verdict.data[0].text, "evidence", "free_resident_bytes", 4096,
                            "unknown", "share", 0.5, "command", "cost"));
    expect_packed(json_incref(json_array_get(got, 1)),
                  json_pack("{s:s, s:s, s:{}, s:s, s:s}", "rule", "arena_cap", "text", "Spread.",
                            "evidence", "command", "MALLOC_ARENA_MAX=4", "cost",
                            r->verdict.data[1].cost));
    json_decref(got);
    hw_report_destroy(r);
}

Test(render_verdict, as_text)
{
    static const char expected[] =
        "\nVERDICT   Retention: so much memory was freed but is still in RAM that a line is\n"
        "          not enough.\n"
        "          Spread.\n"
        "            do:    MALLOC_ARENA_MAX=4\n"
        "            cost:  Threads then wait for each other's locks, which is told in\n"
        "                   more words than fit.\n";
    struct hw_report *r = judged();
    char *text = rendered(r, "text");
    cr_expect_not_null(strstr(text, expected), "%s", text);
    free(text);
    hw_report_destroy(r);
}

Test(render_verdict, limits_as_json)
{
    struct hw_report *r = sample_report();
    expect_packed(json_of(r, "limits"),
                  json_pack("{s:n, s:n, s:n, s:n, s:n, s:[]}", "cores", "cgroup_cpus", "arenas",
                            "idle_arenas", "most_threads_per_arena", "environment"));
    r->limits.cores = hw_known(4);
    r->limits.cgroup_cpus = hw_known(2);
    r->limits.arenas = hw_known(UINT64_MAX);
    r->limits.idle_arenas = hw_known(0);
    r->limits.most_threads = hw_known(3);
    struct hw_setting s = {"glibc.malloc.arena_max", "4"};
    cr_assert(hw_vec_push(&r->limits.settings, s));
    expect_packed(json_of(r, "limits"),
                  json_pack("{s:i, s:i, s:I, s:i, s:i, s:[{s:s, s:s}]}", "cores", 4, "cgroup_cpus",
                            2, "arenas", (json_int_t)INT64_MAX, "idle_arenas", 0,
                            "most_threads_per_arena", 3, "environment", "name", s.name, "value",
                            s.value));
    r->target.live = false;
    json_t *o = json_of(r, "limits");
    cr_expect(json_is_null(json_object_get(o, "environment")));
    json_decref(o);
    hw_report_destroy(r);
}
