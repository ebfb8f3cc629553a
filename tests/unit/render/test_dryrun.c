#include "render/render.h"

#include <criterion/criterion.h>

#include <jansson.h>
#include <string.h>

static struct hw_dryrun sample(void)
{
    return (struct hw_dryrun){
        .live = true,
        .pid = 42,
        .comm = "serv\033er",
        .arch = "x86_64",
        .threads = 3,
        .read = {.yes = true},
        .stop = {.yes = true},
        .snapshot = {.why_not = {.text = "too little memory", .remedy = "do without"}},
        .allocator = {.found = true,
                      .name = "glibc",
                      .version = "2.36",
                      .libc_path = "/lib/libc.so.6",
                      .libc_build_id = "abcd",
                      .symbols_file = "/d/abcd.debug",
                      .roots_named = true,
                      .types_known = true},
        .bytes = {true, 250000000},
        .max_pause_ns = 1000000000,
        .pause_ns = {true, 100000000},
        .works = true};
}

static char *rendered(const struct hw_dryrun *d, const char *format)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    struct hw_render_options opt = {.format = format};
    struct hw_error err = {0};
    cr_assert_eq(hw_render_dryrun(d, &opt, f, &err), HW_OK, "%s", err.text);
    fclose(f);
    return text;
}

static void expect(const struct hw_dryrun *d, const char *want)
{
    char *text = rendered(d, NULL);
    cr_expect_not_null(strstr(text, want), "no \"%s\" in:\n%s", want, text);
    free(text);
}

static void expect_not(const struct hw_dryrun *d, const char *unwanted)
{
    char *text = rendered(d, NULL);
    cr_expect_null(strstr(text, unwanted), "\"%s\" in:\n%s", unwanted, text);
    free(text);
}

Test(dryrun, what_would_be_done)
{
    struct hw_dryrun d = sample();
    expect(&d, "heapwalk: dry run at serv?er (pid 42)  x86_64  3 threads\n");
    expect(&d, "READ      possible\nSTOP      possible\n");
    expect(&d, "SNAPSHOT  not possible: too little memory; do without\n");
    expect(&d, "LIBC      glibc 2.36  /lib/libc.so.6  build-id abcd\n");
    expect(&d, "structs by type, from");
    expect(&d, "stopped while it is read, for about 100.0 ms and 1.00 s at most");
    expect(&d, "This would work.");
    d.max_pause_ns = 0;
    expect_not(&d, "at most");
    d.max_pause_ns = 50000000;
    d.two_passes = true;
    expect(&d, "read while it runs, then stopped for 50.0 ms at most");
    d.mode = HW_MODE_RUNNING;
    expect(&d, "read while it runs, not stopped");
    d.stood = d.left_alone = true;
    expect(&d, "read as it stands still already, stopped by a signal");
    d.held_by = 77;
    expect(&d, "read as it stands still already, stopped by pid 77");
    d.mode = HW_MODE_STOPPED;
    d.two_passes = d.left_alone = false;
    d.held_by = 0;
    expect(&d, "stopped while it is read, for about 100.0 ms and 50.0 ms at most (a\n");
    d.stood = false;
    d.mode = HW_MODE_SNAPSHOT;
    expect(&d, "stopped for a fork(), about 100.0 ms");
    d.allocator.roots_named = d.allocator.types_known = false;
    expect(&d, "debug symbols");
}

Test(dryrun, one_reason_for_all_is_told_once)
{
    struct hw_dryrun d = sample();
    struct hw_answer no = {.why_not = {.text = "not for you"}};
    d.read = d.stop = d.snapshot = no;
    d.allocator = (struct hw_dryrun_allocator){0};
    d.works = false;
    expect(&d, "READ      not possible: not for you\n");
    expect_not(&d, "STOP");
    expect_not(&d, "METHOD");
    expect(&d, "This would not work.");
}

Test(dryrun, as_json)
{
    struct hw_dryrun d = sample();
    for (int i = 0; i < 3; i++) {
        char *text = rendered(&d, "json");
        json_t *o = json_loads(text, 0, NULL);
        cr_assert_not_null(o, "%s", text);
        cr_expect(json_boolean_value(json_object_get(o, "works")) == d.works);
        json_t *possible = json_object_get(o, "possible");
        cr_expect_eq(json_is_null(json_object_get(possible, "read")), !d.live);
        json_decref(o);
        free(text);
        if (i == 0) /* nothing is known */
            d = (struct hw_dryrun){.live = true, .pid = 1, .comm = "\xff\xfe"};
        else
            d = (struct hw_dryrun){.mode = HW_MODE_CORE, .core = "c"};
    }
}

Test(dryrun, other_formats)
{
    struct hw_dryrun d = sample();
    struct hw_render_options opt = {.format = "csv"};
    cr_expect_eq(hw_render_dryrun(&d, &opt, stdout, NULL), HW_ERR_USAGE);
}
