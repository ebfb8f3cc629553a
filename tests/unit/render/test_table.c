#include "render/rendered.h"
#include "render/table.h"

static void expect_table(struct hw_render_options opt, const char *want)
{
    struct hw_report *r = full_report();
    char *text = rendered_with(r, &opt);
    cr_expect_str_eq(text, want);
    free(text);
    hw_report_destroy(r);
}

static int check(struct hw_render_options opt, const char *word)
{
    struct hw_error err = {0};
    int rc = hw_check_table(&opt, &err);
    cr_expect(rc == HW_OK || strstr(err.text, word) || strstr(err.remedy, word), "%s; %s", err.text,
              err.remedy);
    return rc;
}

Test(table, columns_by_name)
{
    expect_table((struct hw_render_options){.columns = "index,kind,in_use_bytes,locked"},
                 "INDEX  KIND    IN_USE_BYTES  LOCKED\n"
                 "    0  main           3.91K  no\n"
                 "    1  thread             -  yes\n");
    expect_table((struct hw_render_options){.columns = "INDEX,Top.Reason", .raw = true},
                 "INDEX TOP.REASON\n0 below_threshold\n1 -\n");
    expect_table((struct hw_render_options){.columns = "index", .no_headings = true},
                 "    0\n    1\n");
}

Test(table, unknown_is_never_zero)
{
    struct hw_render_options opt = {.columns = "in_use_bytes,utilization,attached_threads"};
    opt.format = "csv";
    expect_table(opt, "in_use_bytes,utilization,attached_threads\n4000,0.250000,1\n,,\n");
    opt.format = "json";
    expect_table(opt, "{\"in_use_bytes\":4000,\"utilization\":0.250000,\"attached_threads\":1}\n"
                      "{\"in_use_bytes\":null,\"utilization\":null,\"attached_threads\":null}\n");
    opt.format = "text";
    opt.raw = opt.no_headings = opt.exact = true;
    expect_table(opt, "4000 0.250000 1\n- - -\n");
}

Test(table, order)
{
    struct hw_render_options opt = {.columns = "index", .raw = true, .no_headings = true};
    opt.sort = "system_bytes";
    expect_table(opt, "0\n1\n");
    opt.sort = "-system_bytes";
    expect_table(opt, "1\n0\n");
    opt.sort = "in_use_bytes"; /* that of 1 is unknown: last, whichever way */
    expect_table(opt, "0\n1\n");
    opt.sort = "-in_use_bytes";
    expect_table(opt, "0\n1\n");
    opt.sort = "-kind";
    expect_table(opt, "1\n0\n");
    opt.sort = "heaps"; /* equal ones stay as they are */
    expect_table(opt, "0\n1\n");
}

Test(table, one_arena)
{
    struct hw_render_options opt = {
        .only_arena = true, .arena = 1, .raw = true, .no_headings = true};
    opt.columns = "index";
    expect_table(opt, "1\n");
    opt.table = "threads";
    opt.columns = "tid";
    opt.arena = 0;
    expect_table(opt, "4711\n");
    opt.table = "histogram";
    opt.columns = "from,chunks,bytes";
    opt.exact = true;
    expect_table(opt, "32 2 80\n128 1 128\n");
}

Test(table, other_tables)
{
    expect_table((struct hw_render_options){.table = "threads", .format = "csv"},
                 "tid,arena,tcache_bytes,tcache_chunks\n4711,0,512,4\n4712,,,\n");
    expect_table((struct hw_render_options){.table = "in_use_histogram", .format = "csv"},
                 "from,to,chunks,bytes\n"
                 "9223372036854775807,9223372036854775807,1,9223372036854775807\n");
    expect_table((struct hw_render_options){.table = "arenas", .columns = "tids", .raw = true},
                 "TIDS\n4711\\x204712\n-\n");
    expect_table(
        (struct hw_render_options){.table = "findings", .columns = "kind,text", .format = "json"},
        "{\"kind\":\"bad_chunk\",\"text\":\"size 0x41\"}\n"
        "{\"kind\":\"note\",\"text\":\"a note\"}\n");
    expect_table((struct hw_render_options){.table = "params", .format = "csv", .sort = "value"},
                 "name,value\ntop_pad,0\narena_max,0\nn_mmaps,0\nmmapped_bytes,0\n"
                 "mmap_threshold_dynamic,1\ntcache_count,7\narena_test,8\ntcache_max_bytes,1032\n"
                 "n_mmaps_max,65536\ntrim_threshold,131072\nmmap_threshold,131072\n");
}

/* Without rows there are headings all the same. */
Test(table, no_rows)
{
    expect_table((struct hw_render_options){.table = "holes", .columns = "arena,bytes"},
                 "ARENA  BYTES\n");
    expect_table((struct hw_render_options){.table = "holes", .no_headings = true}, "");
    expect_table((struct hw_render_options){.table = "holes", .format = "csv", .columns = "arena"},
                 "arena\n");
}

Test(table, the_usual_ones_and_more)
{
    struct hw_choice plain, more;
    struct hw_render_options opt = {.table = "arenas"};
    cr_assert_eq(hw_table_choose(&opt, &plain, NULL), HW_OK);
    opt.columns = "+brk,tids";
    cr_assert_eq(hw_table_choose(&opt, &more, NULL), HW_OK);
    cr_expect_eq(more.count, plain.count + 2);
    cr_expect_str_eq(more.columns[plain.count]->name, "brk");
}

/* What a table shows anyway is there. */
Test(table, all_tables_have_what_they_show)
{
    static const char *const names[] = {
        "arenas",           "heaps", "threads", "totals", "histogram",
        "in_use_histogram", "holes", "params",  "rss",    "findings"};
    static const char *const formats[] = {"text", "csv", "json"};
    for (size_t i = 0; i < 30; i++) {
        struct hw_report *r = full_report();
        struct hw_render_options opt = {.table = names[i / 3], .format = formats[i % 3]};
        free(rendered_with(r, &opt));
        hw_report_destroy(r);
    }
}

Test(table, what_there_is_not)
{
    cr_expect_eq(check((struct hw_render_options){.columns = "foo"}, "foo"), HW_ERR_USAGE);
    cr_expect_eq(check((struct hw_render_options){.columns = ""}, "without a name"), HW_ERR_USAGE);
    cr_expect_eq(check((struct hw_render_options){.columns = "index,,kind"}, "without a name"),
                 HW_ERR_USAGE);
    cr_expect_eq(check((struct hw_render_options){.sort = "-foo"}, "foo"), HW_ERR_USAGE);
    cr_expect_eq(check((struct hw_render_options){.table = "foo"}, "arenas, heaps"), HW_ERR_USAGE);
    cr_expect_eq(check((struct hw_render_options){.table = "arenas", .format = "malloc_info"},
                       "text, csv or json"),
                 HW_ERR_USAGE);
    cr_expect_eq(check((struct hw_render_options){.table = "chunks", .sort = "bytes"}, "sort(1)"),
                 HW_ERR_USAGE);
    cr_expect_eq(check((struct hw_render_options){.table = "chunks", .columns = "bytes"}, ""),
                 HW_OK);
}

Test(table, chunks)
{
    static const struct hw_block blocks[] = SAMPLE_BLOCKS;
    static const char want[] = "{\"state\":\"in use\",\"bytes\":48,\"lead_bytes\":null}\n"
                               "{\"state\":\"mmapped\",\"bytes\":200704,\"lead_bytes\":4096}\n";
    struct hw_report *r = sample_report();
    struct hw_render_options opt = {
        .table = "chunks", .columns = "state,bytes,lead_bytes", .format = "json"};
    struct hw_choice choice;
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    cr_assert_eq(hw_table_choose(&opt, &choice, NULL), HW_OK);
    hw_table_write_head(&choice, &opt, out);
    for (size_t i = 0; i < 2; i++) {
        struct hw_rows rows = {.r = r, .opt = &opt, .block = &blocks[i]};
        hw_table_write_row(&choice, &rows, (struct hw_row_key){0}, out);
    }
    fclose(out);
    cr_expect_str_eq(text, want);
    free(text);
    hw_report_destroy(r);
}

Test(table, texts_of_others)
{
    struct hw_report *r = full_report();
    strcpy(r->findings.data[1].text, "a \"b\", c\033[1m \xff");
    struct hw_render_options opt = {.table = "findings", .columns = "text", .no_headings = true};
    opt.format = "json";
    char *text = rendered_with(r, &opt);
    cr_expect(strstr(text, "{\"text\":\"a \\\"b\\\", c\\u001B[1m \xef\xbf\xbd\"}\n") != NULL, "%s",
              text);
    free(text);
    opt.format = "csv";
    text = rendered_with(r, &opt);
    cr_expect(strstr(text, "\"a \"\"b\"\", c") != NULL, "%s", text);
    free(text);
    opt.format = "text";
    opt.raw = true;
    text = rendered_with(r, &opt);
    cr_expect(strstr(text, "\033") == NULL && strstr(text, "a\\x20\"b\",\\x20c\\x1b[1m") != NULL,
              "%s", text);
    free(text);
    hw_report_destroy(r);
}
