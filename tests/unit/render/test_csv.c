#include "render/rendered.h"

/* Line `n` of a text, which is taken apart. */
static char *line(char *text, int n)
{
    char *save = NULL, *at = strtok_r(text, "\n", &save);
    while (at && n-- > 0)
        at = strtok_r(NULL, "\n", &save);
    return at;
}

static int commas(const char *s)
{
    int n = 0;
    for (; *s; s++)
        n += *s == ',';
    return n;
}

Test(csv, one_row_for_each_arena_and_the_total)
{
    struct hw_report *r = full_report();
    for (int n = 0; n < 4; n++) {
        char *text = rendered(r, "csv");
        cr_expect_eq(commas(line(text, n)), 2 + HW_METRICS_);
        free(text);
    }
    char *text = rendered(r, "csv");
    cr_expect_null(line(text, 4));
    free(text);
    hw_report_destroy(r);
}

Test(csv, the_header_names_every_metric)
{
    struct hw_report *r = full_report();
    char *text = rendered(r, "csv");
    char *save = NULL, *field = strtok_r(line(text, 0), ",", &save);
    cr_expect_str_eq(field, "arena");
    cr_expect_str_eq(strtok_r(NULL, ",", &save), "address");
    cr_expect_str_eq(strtok_r(NULL, ",", &save), "kind");
    for (int m = 0; m < HW_METRICS_; m++)
        cr_expect_str_eq(strtok_r(NULL, ",", &save), hw_metric_info((enum hw_metric)m)->name);
    cr_expect_null(strtok_r(NULL, ",", &save));
    free(text);
    hw_report_destroy(r);
}

Test(csv, unknown_is_empty)
{
    struct hw_report *r = full_report();
    char *text = rendered(r, "csv");
    cr_expect_str_eq(line(text, 1), "0,0x7f0000000c60,main,135168,4000,,,,,,,,,,-16,,,,,,,,,,,,"
                                    "0.333333,0.250000,");
    free(text);
    text = rendered(r, "csv");
    cr_expect_str_eq(line(text, 2), "1,0x7efffc000030,thread,1048576,,,,,,,,,,,,,,,,,,,,,,,,,");
    free(text);
    text = rendered(r, "csv");
    cr_expect_str_eq(line(text, 3), "total,,,1183744,,,,,,,,,,,,,,204800,,,,,,,,,,,");
    free(text);
    hw_report_destroy(r);
}

Test(csv, only_one_arena)
{
    struct hw_report *r = full_report();
    struct hw_render_options opt = {.format = "csv", .only_arena = true, .arena = 1};
    char *text = rendered_with(r, &opt);
    cr_expect_eq(strncmp(line(text, 1), "1,", 2), 0);
    free(text);
    text = rendered_with(r, &opt);
    cr_expect_eq(strncmp(line(text, 2), "total,", 6), 0);
    free(text);
    hw_report_destroy(r);
}

Test(csv, a_row_for_each_chunk)
{
    struct hw_report *r = sample_report();
    static const struct hw_block blocks[] = SAMPLE_BLOCKS;
    char *text = listed(r, "csv", blocks, SAMPLE_BLOCK_COUNT);
    cr_expect_str_eq(
        text, "address,pointer,bytes,state,arena,bin,tid\n"
              "0x10000,0x10010,48,in use,0,,\n"
              "0x7f0000000000,0x7f0000000010,200704,mmapped,,,\n"
              "0x10030,0x10040,32,tcache,0,0,4711\n"
              "0x10050,0x10060,128,fastbin,3,6,\n"
              "0x100d0,,4096,bin,12,1,\n"
              "0x110d0,,1,top,0,,\n"
              "0xffffffffffffffff,,18446744073709551615,overhead,2147483647,32767,2147483647\n");
    free(text);
    hw_report_destroy(r);
}

Test(csv, the_pointer_of_a_32_bit_chunk)
{
    struct hw_report *r = sample_report();
    r->target.word = 4;
    struct hw_block b = sample_block(HW_USED, 0, 16);
    b.address = 0x8000;
    char *text = listed(r, "csv", &b, 1);
    cr_expect_str_eq(line(text, 1), "0x8000,0x8008,16,in use,0,,");
    free(text);
    hw_report_destroy(r);
}
