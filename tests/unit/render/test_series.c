#include "render/rendered.h"

#include <jansson.h>

/* 2025-06-01T12:00:00.250Z */
#define NOON INT64_C(1748779200250000000)

static struct hw_figure figure(int64_t n)
{
    return (struct hw_figure){.known = true, .n = n};
}

static struct hw_sample sample(int64_t in_use)
{
    return (struct hw_sample){.time_ns = NOON,
                              .complete = true,
                              .system_bytes = figure(1 << 20),
                              .in_use_bytes = figure(in_use),
                              .in_use_chunks = figure(10),
                              .free_bytes = figure(500),
                              .rss_bytes = figure(2 << 20),
                              .pause_ns = figure(2500000),
                              .sandbox = "seccomp"};
}

static char *line(const struct hw_sample *now, const struct hw_sample *before, const char *format,
                  bool exact)
{
    char *text = NULL;
    size_t length = 0;
    struct hw_error err = {0};
    struct hw_render_options opt = {.format = format, .exact = exact};
    FILE *out = open_memstream(&text, &length);
    cr_assert_eq(hw_series_line(now, before, &opt, out, &err), HW_OK, "%s", err.text);
    fclose(out);
    return text;
}

static void expect_line(const struct hw_sample *now, const struct hw_sample *before,
                        const char *format, bool exact, const char *want)
{
    char *text = line(now, before, format, exact);
    const char *got = format && strcmp(format, "csv") == 0 ? text : text + 8; /* local time */
    cr_expect_str_eq(got, want);
    free(text);
}

static void setup(void)
{
    setenv("TZ", "UTC", 1);
}

TestSuite(series, .init = setup);

Test(series, text)
{
    struct hw_sample a = sample(700 << 10), b = sample(1 << 20), end = {.event = HW_EVENT_END};
    expect_line(&a, NULL, NULL, false,
                "  1.00M   700K   500B      -      -  2.00M  2.5ms      -      -      -\n");
    expect_line(&b, &a, NULL, false,
                "  1.00M  1.00M   500B      -      -  2.00M  2.5ms  +324K     0B     0B\n");
    b.skipped = 3;
    b.complete = false;
    strcpy(b.text, "a chunk\033[1m \xc2\x9b \xc3\xa9");
    expect_line(&b, &a, NULL, false,
                "  1.00M  1.00M   500B      -      -  2.00M  2.5ms  +324K     0B     0B  (3 "
                "skipped)  partial: a chunk?[1m ?? \xc3\xa9\n");
    strcpy(end.text, "the process has ended");
    expect_line(&end, &a, NULL, false, "  the process has ended\n");
    a.in_use_bytes.n = 1048575; /* is rounded up, and fits all the same */
    a.free_bytes.n = -5;
    a.system_bytes.n = 999999;
    expect_line(&a, NULL, NULL, false,
                "   976K  1.00M    -5B      -      -  2.00M  2.5ms      -      -      -\n");
}

Test(series, csv)
{
    struct hw_sample a = sample(700), b = sample(1000);
    expect_line(&a, NULL, "csv", false,
                "2025-06-01T12:00:00.250Z,1048576,700,10,500,,,,2097152,2500000,,,,,,,,,1,0,,,"
                "seccomp\n");
    b.event = HW_EVENT_EXEC;
    strcpy(b.text, "a, b");
    expect_line(
        &b, &a, "csv", false,
        "2025-06-01T12:00:00.250Z,1048576,1000,10,500,,,,2097152,2500000,0,300,0,0,,,,0,1,0,"
        "exec,\"a, b\",seccomp\n");
}

Test(series, json)
{
    struct hw_sample a = sample(700), b = sample(1000);
    char *text = line(&b, &a, "json", false);
    json_t *o = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    int change = 0;
    cr_assert_not_null(o);
    cr_expect_eq(strchr(text, '\n') - text + 1, (ptrdiff_t)strlen(text));
    cr_expect_eq(json_unpack(o, "{s:{s:i, s:n}, s:n, s:n}", "change", "in_use_bytes", &change,
                             "trim_bytes", "event", "text"),
                 0);
    cr_expect_eq(change, 300);
    json_decref(o);
    free(text);
}

Test(series, headings_have_the_columns_of_lines)
{
    for (int exact = 0; exact < 2; exact++) {
        char *text = NULL, *under;
        size_t length = 0;
        struct hw_render_options opt = {.exact = exact};
        struct hw_sample a = sample(1000);
        FILE *out = open_memstream(&text, &length);
        cr_assert_eq(hw_series_head(&opt, out, NULL), HW_OK);
        fclose(out);
        under = line(&a, NULL, NULL, exact);
        cr_expect_eq(strlen(text), strlen(under), "%s%s", text, under);
        cr_expect(exact || strlen(text) <= 80);
        free(text);
        free(under);
    }
    struct hw_render_options none = {.format = "malloc_info"};
    cr_expect_eq(hw_series_head(&none, stderr, NULL), HW_ERR_USAGE);
}

Test(series, of_a_report)
{
    struct hw_report *r = full_report();
    struct hw_sample s;
    r->method.time_ns = NOON;
    hw_report_sample(r, &s);
    cr_expect_not(s.complete);
    cr_expect(strstr(s.text, "size 0x41") != NULL, "%s", s.text);
    cr_expect(s.mmapped_bytes.known && s.mmapped_bytes.n == 204800);
    cr_expect_not(s.trim_bytes.known || s.rss_bytes.known);
    cr_expect(s.pause_ns.known && s.pause_ns.n == 1234567 && s.time_ns == NOON);
    cr_expect_str_eq(s.sandbox, "seccomp");
    hw_report_destroy(r);
}
