#include "render/rendered.h"

Test(render, every_format_has_its_renderer)
{
    size_t count = 0;
    for (const struct hw_format *f = hw_formats(); f->name; f++, count++) {
        const struct hw_renderer *r = hw_renderer_find(f->name);
        cr_assert_not_null(r, "%s", f->name);
        cr_expect_str_eq(r->format.name, f->name);
        cr_expect_str_eq(r->format.help, f->help);
        cr_expect_eq(r->format.extension != NULL, f->extension != NULL);
        if (f->extension)
            cr_expect_str_eq(r->format.extension, f->extension);
        cr_expect_eq(r->format.lists_chunks, f->lists_chunks);
        cr_expect_eq(r->list_block != NULL, f->lists_chunks);
        cr_expect_not_null(r->report);
    }
    cr_expect_eq(count, 5);
}

Test(render, text_is_the_default)
{
    cr_expect_eq(hw_renderer_find(NULL), &hw_render_text);
    cr_expect_eq(hw_renderer_find("text"), &hw_render_text);
    cr_expect_null(hw_renderer_find("yaml"));
    cr_expect_null(hw_renderer_find(""));
}

static int fails(const struct hw_render_options *opt, size_t arenas, struct hw_error *err)
{
    struct hw_report *r = sample_report();
    for (size_t i = 0; i < arenas; i++)
        sample_arena(r, 132 * KIB, 4096);
    FILE *out = fopen("/dev/null", "w");
    int rc = hw_render(r, opt, out, err);
    fclose(out);
    hw_report_destroy(r);
    return rc;
}

Test(render, an_unknown_format_is_a_usage_error)
{
    struct hw_error err;
    cr_expect_eq(fails(&(struct hw_render_options){.format = "yaml"}, 1, &err), HW_ERR_USAGE);
    cr_expect_str_eq(err.text, "there is no format \"yaml\"");
    cr_expect_str_eq(err.remedy, "the formats are text, json, malloc_info, malloc_stats, csv");
    cr_expect_eq(fails(&(struct hw_render_options){.format = "yaml"}, 1, NULL), HW_ERR_USAGE);
}

Test(render, an_arena_that_is_not_there_is_a_usage_error)
{
    struct hw_error err;
    struct hw_render_options opt = {.format = "json", .arena = 7, .only_arena = true};
    cr_expect_eq(fails(&opt, 4, &err), HW_ERR_USAGE);
    cr_expect_str_eq(err.text, "there is no arena 7: this heap has arenas 0 to 3");
    cr_expect_eq(fails(&opt, 1, &err), HW_ERR_USAGE);
    cr_expect_str_eq(err.text, "there is no arena 7: this heap has only arena 0");
    cr_expect_eq(fails(&opt, 0, &err), HW_ERR_USAGE);
    opt.arena = -1;
    cr_expect_eq(fails(&opt, 4, &err), HW_ERR_USAGE);
    opt.arena = 3;
    cr_expect_eq(fails(&opt, 4, &err), HW_OK);
    opt = (struct hw_render_options){.format = "json", .arena = 7};
    cr_expect_eq(fails(&opt, 4, &err), HW_OK);
}

Test(render, a_full_disk_is_told)
{
    static const char *const formats[] = {"json", "csv", "malloc_info", "malloc_stats"};
    struct hw_report *r = full_report();
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        struct hw_error err;
        FILE *out = fopen("/dev/full", "w");
        cr_assert_not_null(out);
        struct hw_render_options opt = {.format = formats[i]};
        cr_expect_eq(hw_render(r, &opt, out, &err), HW_ERR_OUTPUT, "%s", formats[i]);
        cr_expect_str_eq(err.text, "cannot write the report: No space left on device");
        fclose(out);
    }
    hw_report_destroy(r);
}
