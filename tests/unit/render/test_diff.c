#include "diff/saved.h"
#include "render/diff.h"

#include <jansson.h>

static char *render(const struct hw_diff *d, const char *format, bool exact)
{
    char *text = NULL;
    size_t length = 0;
    struct hw_error err = {0};
    struct hw_render_options opt = {.format = format, .exact = exact};
    FILE *out = open_memstream(&text, &length);
    cr_assert_eq(hw_diff_render(d, &opt, out, &err), HW_OK, "%s", err.text);
    fclose(out);
    return text;
}

#define WHO  "\"complete\":true,\"target\":{\"pid\":1,\"start_ticks\":2,\"comm\":\"v\"}"
#define HEAD "{\"schema_version\":1,\"heapwalk\":{\"version\":\"x\"}," WHO ","

#define BEFORE                                                                                     \
    HEAD "\"totals\":{\"system_bytes\":10000,\"in_use_bytes\":4000,\"free_bytes\":6000,"           \
         "\"trim_bytes\":0},\"rss\":{\"rss_bytes\":8192},"                                         \
         "\"histogram\":[{\"from\":64,\"chunks\":3,\"bytes\":300}],"                               \
         "\"in_use_histogram\":[{\"from\":1024,\"chunks\":1,\"bytes\":1040}],"                     \
         "\"arenas\":[{\"index\":0,\"address\":\"0x10\",\"system_bytes\":10000,"                   \
         "\"in_use_bytes\":4000,\"free_bytes\":6000}]}"
#define AFTER                                                                                      \
    HEAD "\"totals\":{\"system_bytes\":30000,\"in_use_bytes\":24480,\"free_bytes\":5520,"          \
         "\"trim_bytes\":4096},\"rss\":{\"rss_bytes\":28672},"                                     \
         "\"histogram\":[{\"from\":64,\"chunks\":3,\"bytes\":300}],"                               \
         "\"in_use_histogram\":[{\"from\":1024,\"chunks\":21,\"bytes\":21520}],"                   \
         "\"arenas\":[{\"index\":0,\"address\":\"0x10\",\"system_bytes\":10000,"                   \
         "\"in_use_bytes\":4000,\"free_bytes\":6000},"                                             \
         "{\"index\":1,\"address\":\"0x20\",\"system_bytes\":20000,\"in_use_bytes\":20480}]}"

Test(diff, what_grew_in_one_line)
{
    char buf[HW_SUMMARY_MAX];
    struct hw_diff *d = compared(BEFORE, AFTER);
    cr_expect_str_eq(hw_diff_summary(d, false, buf),
                     "in use +20.0 KiB, free -480 B, trimmable +4.00 KiB, RSS +20.0 KiB; most in "
                     "arena 1, which is new (+20.0 KiB); chunks in use of 1 KiB - 2 KiB +20.0 KiB "
                     "(+20)");
    cr_expect(strstr(hw_diff_summary(d, true, buf), "in use +20480 B, ") != NULL, "%s", buf);
    hw_diff_destroy(d);
    d = compared(BEFORE, BEFORE);
    cr_expect_str_eq(hw_diff_summary(d, false, buf), "nothing");
    hw_diff_destroy(d);
    d = compared(REPORT(""), REPORT(""));
    cr_expect_str_eq(hw_diff_summary(d, false, buf), "unknown: there is nothing to compare");
    hw_diff_destroy(d);
}

Test(diff, text)
{
    struct hw_diff *d = compared(BEFORE, AFTER);
    char *text = render(d, "text", false);
    cr_expect(strstr(text, "\nGREW      in use +20.0 KiB") != NULL, "%s", text);
    cr_expect(strstr(text, "    in use                3.91 KiB    23.9 KiB   +20.0 KiB\n") != NULL,
              "%s", text);
    cr_expect(strstr(text, "  1        +19.5 KiB   +20.0 KiB           -           -           -  "
                           "new\n") != NULL,
              "%s", text);
    cr_expect(strstr(text, "main") == NULL, "an arena that did not change: %s", text);
    cr_expect(strstr(text, "64 B - 128 B") == NULL, "a size that did not change: %s", text);
    cr_expect(strstr(text, "1 KiB - 2 KiB          0           0        +20   +20.0 KiB\n") != NULL,
              "%s", text);
    free(text);
    hw_diff_destroy(d);
}

Test(diff, csv)
{
    struct hw_diff *d = compared(BEFORE, AFTER);
    char *text = render(d, "csv", false);
    static const char *const rows[] = {
        "part,key,figure,before,after,change\n",
        "\nreport,,complete,1,1,0\n",
        "\ntotals,,in_use_bytes,4000,24480,20480\n",
        "\ntotals,,mmapped_bytes,,,\n",
        "\nrss,,rss_bytes,8192,28672,20480\n",
        "\nhistogram,64,chunks,3,3,0\n",
        "\nin_use_histogram,1024,bytes,1040,21520,20480\n",
        "\narenas,0x20,present,0,1,1\n",
        "\narenas,0x20,in_use_bytes,,20480,\n",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        cr_expect(strstr(text, rows[i]) != NULL, "no %s in %s", rows[i], text);
    free(text);
    hw_diff_destroy(d);
}

Test(diff, json)
{
    struct hw_diff *d = compared(BEFORE, AFTER);
    char *text = render(d, "json", false);
    json_t *o = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    int change = 0, present = 0;
    const char *state = NULL;
    cr_assert_not_null(o);
    cr_expect_eq(json_unpack(o, "{s:{s:{s:i}}, s:[{s:s},{s:s}]}", "totals", "in_use_bytes",
                             "change", &change, "arenas", "state", &state, "state", &state),
                 0);
    cr_expect_eq(change, 20480);
    cr_expect_str_eq(state, "new");
    cr_expect(json_is_null(
        json_object_get(json_object_get(json_object_get(o, "totals"), "mmapped_bytes"), "change")));
    cr_expect_eq(json_unpack(o, "{s:b}", "same_process", &present), 0);
    cr_expect(present);
    json_decref(o);
    free(text);
    hw_diff_destroy(d);
}

/* Nonsense of hostile reports: bounded, and no arithmetic that does not fit. */
Test(diff, extremes)
{
    char buf[HW_SUMMARY_MAX];
    struct hw_diff *d = compared(
        REPORT(
            ",\"arenas\":[{\"index\":0,\"in_use_bytes\":-9223372036854775808,"
            "\"free_bytes\":-9223372036854775808}],\"rss\":{\"rss_bytes\":-9223372036854775808}"),
        REPORT(",\"arenas\":[{\"index\":0,\"in_use_bytes\":9223372036854775807,"
               "\"free_bytes\":0}],\"rss\":{\"rss_bytes\":0},"
               "\"histogram\":[{\"from\":4611686018427387904,\"chunks\":9223372036854775807,"
               "\"bytes\":9223372036854775807}]"));
    hw_diff_summary(d, false, buf);
    static const char *const formats[] = {"text", "csv", "json"};
    for (size_t i = 0; i < 6; i++)
        free(render(d, formats[i % 3], i > 2));
    hw_diff_destroy(d);
}

Test(diff, no_such_format)
{
    struct hw_error err = {0};
    struct hw_diff *d = compared(BEFORE, AFTER);
    cr_expect_eq(
        hw_diff_render(d, &(struct hw_render_options){.format = "malloc_info"}, stderr, &err),
        HW_ERR_USAGE);
    hw_diff_destroy(d);
}
