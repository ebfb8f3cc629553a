#include "diff/saved.h"

static void refuse(const char *text, int code, const char *word)
{
    struct hw_saved s;
    struct hw_error err = {0};
    cr_expect_eq(read_text(text, &s, &err), code, "%.60s", text);
    cr_expect_eq(err.code, code);
    cr_expect(strstr(err.text, word) != NULL, "%.60s: %s", text, err.text);
}

Test(saved, what_a_report_has)
{
    struct hw_saved s =
        saved("{\"schema_version\":1,\"heapwalk\":{\"version\":\"x\"},\"complete\":true,"
              "\"target\":{\"pid\":7,\"start_ticks\":9,\"comm\":\"v\"},"
              "\"method\":{\"time\":\"1970-01-02T00:00:01.500Z\"},"
              "\"totals\":{\"in_use_bytes\":5,\"unaccounted_bytes\":-16,\"utilization\":0.25},"
              "\"rss\":{\"rss_bytes\":4096},"
              "\"histogram\":[{\"from\":32,\"to\":63,\"chunks\":2,\"bytes\":80}],"
              "\"arenas\":[{\"index\":3,\"address\":\"0x7f00\",\"free_bytes\":11}]}");
    cr_expect(s.complete);
    cr_expect(s.pid.known && s.pid.n == 7 && s.start_ticks.known && s.start_ticks.n == 9);
    cr_expect_str_eq(s.comm, "v");
    cr_expect(s.time_ms.known);
    cr_expect_eq(s.time_ms.n, 86401500);
    cr_expect(s.totals[HW_M_IN_USE_BYTES].known && s.totals[HW_M_IN_USE_BYTES].n == 5);
    cr_expect_eq(s.totals[HW_M_UNACCOUNTED_BYTES].n, -16);
    cr_expect_eq(s.totals[HW_M_UTILIZATION].ratio, 0.25);
    cr_expect(s.rss_bytes.known && s.rss_bytes.n == 4096);
    cr_expect(s.histogram.known && s.histogram.h.chunks[5] == 2 && s.histogram.h.bytes[5] == 80);
    cr_expect_eq(s.arenas.count, 1);
    cr_expect(s.arenas.data[0].address.n == 0x7f00 && s.arenas.data[0].index.n == 3);
    cr_expect_eq(s.arenas.data[0].figures[HW_M_FREE_BYTES].n, 11);
    hw_saved_deinit(&s);
}

Test(saved, what_is_missing_or_null_is_unknown)
{
    static const char *const texts[] = {
        REPORT(""),
        "{\"schema_version\":1,\"heapwalk\":{},\"totals\":{\"in_use_bytes\":null},\"target\":null,"
        "\"rss\":{\"rss_bytes\":null},\"histogram\":null,\"arenas\":null}"};
    for (size_t i = 0; i < 2; i++) {
        struct hw_saved s = saved(texts[i]);
        cr_expect_not(s.totals[HW_M_IN_USE_BYTES].known);
        cr_expect_not(s.rss_bytes.known || s.histogram.known || s.in_use_histogram.known);
        cr_expect_not(s.pid.known || s.start_ticks.known || s.time_ms.known || s.complete);
        cr_expect_eq(s.arenas.count, 0);
        hw_saved_deinit(&s);
    }
}

Test(saved, other_versions_and_other_files)
{
    refuse("{\"schema_version\":2,\"totals\":{}}", HW_ERR_UNSUPPORTED, "schema_version 2");
    refuse("{\"schema_version\":\"1\",\"heapwalk\":{},\"totals\":{}}", HW_ERR_CORRUPT, "no report");
    refuse("{\"heapwalk\":{},\"totals\":{}}", HW_ERR_CORRUPT, "no report");
    refuse("{}", HW_ERR_CORRUPT, "no report");
    refuse("[]", HW_ERR_CORRUPT, "no report");
    refuse("", HW_ERR_CORRUPT, "no JSON");
    refuse("hello", HW_ERR_CORRUPT, "no JSON");
    refuse(REPORT(",\"same_process\":null"), HW_ERR_CORRUPT, "no report");
}

Test(saved, values_of_the_wrong_kind)
{
    refuse(REPORT(",\"arenas\":[7]"), HW_ERR_CORRUPT, "arenas");
    refuse(REPORT(",\"arenas\":{}"), HW_ERR_CORRUPT, "arenas");
    refuse(REPORT(",\"arenas\":[{\"index\":-1}]"), HW_ERR_CORRUPT, "index");
    refuse(REPORT(",\"arenas\":[{\"address\":\"7f\"}]"), HW_ERR_CORRUPT, "address");
    refuse(REPORT(",\"arenas\":[{\"address\":\"0x7fq\"}]"), HW_ERR_CORRUPT, "address");
    refuse(REPORT(",\"arenas\":[{\"free_bytes\":\"1\"}]"), HW_ERR_CORRUPT, "free_bytes");
    refuse(REPORT(",\"arenas\":[{\"utilization\":2}]"), HW_ERR_CORRUPT, "utilization");
    refuse(REPORT(",\"histogram\":[{\"from\":3,\"chunks\":1,\"bytes\":1}]"), HW_ERR_CORRUPT,
           "histogram");
    refuse(REPORT(",\"histogram\":[{\"from\":0,\"chunks\":1,\"bytes\":1}]"), HW_ERR_CORRUPT,
           "histogram");
    refuse(REPORT(",\"histogram\":[{\"from\":4,\"chunks\":1}]"), HW_ERR_CORRUPT, "histogram");
    refuse(REPORT(",\"rss\":{\"rss_bytes\":1.5}"), HW_ERR_CORRUPT, "rss_bytes");
    refuse(REPORT(",\"target\":{\"comm\":7}"), HW_ERR_CORRUPT, "comm");
}

/* What takes much memory or stack of the parser is not given to it. */
Test(saved, too_much)
{
    static char text[4 << 20];
    struct hw_saved s;
    struct hw_error err = {0};
    memset(text, '[', sizeof text);
    cr_expect_eq(read_bytes(text, 1000, &s, &err), HW_ERR_CORRUPT);
    cr_expect(strstr(err.text, "more values") != NULL, "%s", err.text);
    for (size_t i = 0; i < sizeof text; i += 2)
        memcpy(text + i, "7,", 2);
    text[0] = '[';
    cr_expect_eq(read_bytes(text, sizeof text, &s, &err), HW_ERR_CORRUPT);
    cr_expect(strstr(err.text, "more values") != NULL, "%s", err.text);
    cr_expect_eq(hw_saved_read("/dev/zero", &s, &err), HW_ERR_CORRUPT);
    cr_expect(strstr(err.text, "larger") != NULL, "%s", err.text);
}

Test(saved, brackets_in_texts_are_none)
{
    char text[4096] = "{\"schema_version\":1,\"heapwalk\":{},\"totals\":{},\"x\":\"\\\"";
    memset(text + strlen(text), '[', 2000);
    strcat(text, "\"}");
    struct hw_saved s = saved(text);
    hw_saved_deinit(&s);
}

Test(saved, texts_do_nothing_to_a_terminal)
{
    struct hw_saved s = saved(REPORT(",\"target\":{\"comm\":\"a\\u001b[31m\\n\"},"
                                     "\"findings\":[{\"kind\":\"note\",\"text\":\"n\"},"
                                     "{\"kind\":\"bad_chunk\",\"text\":\"b\\r\"}]"));
    cr_expect_str_eq(s.comm, "a?[31m?");
    cr_expect_str_eq(s.why_not, "b?");
    hw_saved_deinit(&s);
}

Test(saved, no_file)
{
    struct hw_saved s;
    struct hw_error err = {0};
    cr_expect_eq(hw_saved_read("/nonexistent/report.json", &s, &err), HW_ERR_SYSTEM);
    cr_expect_eq(hw_saved_read("/tmp", &s, &err), HW_ERR_SYSTEM);
    cr_expect_eq(hw_saved_read("/tmp", &s, NULL), HW_ERR_SYSTEM);
}

/* Controls beyond ASCII, and characters that were cut. */
Test(saved, texts_of_more_than_ascii)
{
    char text[1024] =
        "{\"schema_version\":1,\"heapwalk\":{},\"totals\":{},\"target\":{\"comm\":\"a\\u009b\"},"
        "\"findings\":[{\"kind\":\"x\",\"text\":\"aa";
    for (size_t i = 0; i < 100; i++)
        strcat(text, "\xe2\x82\xac");
    strcat(text, "\"}]}");
    struct hw_saved s = saved(text);
    cr_expect_str_eq(s.comm, "a??");
    cr_expect_eq(strlen(s.why_not), 255);
    cr_expect_str_eq(s.why_not + 253, "\xac?");
    hw_saved_deinit(&s);
}

/* A comparison has a thousand times as much to say of an arena as "{}" takes. */
Test(saved, more_arenas_than_there_can_be)
{
    static char text[1 << 17] =
        "{\"schema_version\":1,\"heapwalk\":{},\"totals\":{},\"arenas\":[{}";
    for (char *p = text + strlen(text), *end = p + (size_t)20000 * 3; p < end; p += 3)
        memcpy(p, ",{}", 3);
    strcat(text, "]}");
    refuse(text, HW_ERR_CORRUPT, "arenas");
}

Test(saved, whether_all_arenas_are_there)
{
    static const struct {
        const char *text;
        bool some;
    } cases[] = {
        {"{\"system_bytes\":30},\"arenas\":[{\"system_bytes\":10},{\"system_bytes\":20}]}", false},
        {"{\"system_bytes\":30},\"arenas\":[{\"system_bytes\":20}]}", true},
        {"{\"system_bytes\":30},\"arenas\":[{\"system_bytes\":null}]}", false},
        {"{\"system_bytes\":30},\"arenas\":[]}", false},
        {"{},\"arenas\":[{\"system_bytes\":20}]}", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[256];
        snprintf(text, sizeof text, "{\"schema_version\":1,\"heapwalk\":{},\"totals\":%s",
                 cases[i].text);
        struct hw_saved s = saved(text);
        cr_expect_eq(s.some_arenas, cases[i].some, "%s", text);
        hw_saved_deinit(&s);
    }
}
