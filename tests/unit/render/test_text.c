/*
 * The text report of hand-made heaps, against files in tests/golden/text and against rules that
 * hold for every report. HW_UPDATE_GOLDEN=1 writes the files: read them before they are committed.
 */
#include "text_samples.h"

#include "base/cleanup.h"
#include "render/render.h"

#include <criterion/criterion.h>
#include <string.h>

#define GOLDEN_DIR "tests/golden/text" /* tests run from the root of the repository */

/* ---- helpers --------------------------------------------------------------------------------- */

static char *render(const struct hw_report *r, const struct hw_render_options *opt)
{
    char *text = NULL;
    size_t length = 0;
    FILE *f = open_memstream(&text, &length);
    cr_assert_not_null(f);
    struct hw_error err;
    cr_assert_eq(hw_render_text.report(r, opt, f, &err), HW_OK);
    fclose(f);
    cr_assert_eq(strlen(text), length, "a NUL byte in the report");
    return text;
}

static char *render_sample(struct hw_report *(*make)(void), const struct hw_render_options *opt)
{
    struct hw_report *r = make();
    char *text = render(r, opt);
    hw_report_destroy(r);
    return text;
}

static unsigned columns(const char *line, size_t length)
{
    unsigned n = 0;
    for (size_t i = 0; i < length; i++)
        n += ((unsigned char)line[i] & 0xc0) != 0x80;
    return n;
}

/* Remove "\033[...m", and nothing else. */
static void strip_color(char *text)
{
    char *to = text;
    for (const char *from = text; *from;) {
        if (strncmp(from, "\033[", 2) == 0)
            from += strcspn(from, "m") + 1;
        else
            *to++ = *from++;
    }
    *to = '\0';
}

/* ---- golden files ---------------------------------------------------------------------------- */

static char *read_file(const char *path)
{
    hw_autofile FILE *f = fopen(path, "r");
    char *text = NULL;
    size_t size = 0;
    if (!f || getdelim(&text, &size, '\0', f) < 0) {
        free(text);
        return NULL;
    }
    return text;
}

static void show_difference(const char *path, const char *is, const char *wanted)
{
    unsigned line = 1;
    while (*is && *is == *wanted) {
        line += *is == '\n';
        is++;
        wanted++;
    }
    cr_expect_fail("%s, line %u: \"%.*s\" where \"%.*s\" was expected (from there on)", path, line,
                   (int)strcspn(is, "\n"), is, (int)strcspn(wanted, "\n"), wanted);
}

static void check_golden(const char *name, struct hw_report *(*make)(void),
                         const struct hw_render_options *opt)
{
    hw_autofree char *text = render_sample(make, opt), *path = NULL;
    cr_assert_geq(asprintf(&path, "%s/%s.txt", GOLDEN_DIR, name), 0);
    if (getenv("HW_UPDATE_GOLDEN")) {
        hw_autofile FILE *f = fopen(path, "w");
        cr_assert_not_null(f, "cannot write %s", path);
        fputs(text, f);
        return;
    }
    hw_autofree char *wanted = read_file(path);
    cr_assert_not_null(wanted, "cannot read %s (HW_UPDATE_GOLDEN=1 writes it)", path);
    if (strcmp(text, wanted) != 0)
        show_difference(path, text, wanted);
}

Test(text, golden_at_three_widths)
{
    static const unsigned widths[] = {60, 80, 200};
    for (const struct sample *s = samples; s->name; s++) {
        for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
            hw_autofree char *name = NULL;
            cr_assert_geq(asprintf(&name, "%s-%u", s->name, widths[i]), 0);
            check_golden(name, s->make, &(struct hw_render_options){.width = widths[i]});
        }
    }
}

Test(text, golden_with_options)
{
    check_golden("many-arenas-exact", sample_many_arenas,
                 &(struct hw_render_options){.exact = true});
    check_golden("many-arenas-all", sample_many_arenas,
                 &(struct hw_render_options){.all_arenas = true});
    check_golden("many-arenas-histogram", sample_many_arenas,
                 &(struct hw_render_options){.histogram = true});
    check_golden("many-arenas-arena-12", sample_many_arenas,
                 &(struct hw_render_options){.only_arena = true, .arena = 12});
    check_golden("locked-arena-1", sample_locked,
                 &(struct hw_render_options){.only_arena = true, .arena = 1});
    check_golden("moved-arena-5", sample_moved,
                 &(struct hw_render_options){.only_arena = true, .arena = 5});
    check_golden("moved-arena-2", sample_moved,
                 &(struct hw_render_options){.only_arena = true, .arena = 2});
    check_golden("moved-all", sample_moved, &(struct hw_render_options){.all_arenas = true});
    check_golden("partial-color", sample_partial, &(struct hw_render_options){.color = true});
}

/* ---- rules for every report ------------------------------------------------------------------ */

static void check_lines(const char *name, const char *text, unsigned width)
{
    for (const char *line = text; *line;) {
        size_t length = strcspn(line, "\n");
        cr_expect(columns(line, length) <= width, "%s, width %u: \"%.*s\"", name, width,
                  (int)length, line);
        cr_expect(length == 0 || line[length - 1] != ' ', "%s: blanks after \"%.*s\"", name,
                  (int)length, line);
        cr_expect(strncmp(line, "\n\n", 2) != 0, "%s: two blank lines", name);
        cr_expect_eq(line[length], '\n', "%s: the last line has no end", name);
        line += length + (line[length] == '\n');
    }
}

static void check_words(const char *name, const char *text)
{
    static const char *const wrong[] = {"nan",  "inf",    "(null)", "18446744073709551615",
                                        "\033", "1024.0", "\t"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_expect_null(strstr(text, wrong[i]), "%s: \"%s\" in the report", name, wrong[i]);
}

static void check_rules(const struct sample *s, struct hw_render_options opt, unsigned width)
{
    hw_autofree char *plain = render_sample(s->make, &opt);
    check_lines(s->name, plain, width);
    check_words(s->name, plain);
    opt.color = true;
    hw_autofree char *colored = render_sample(s->make, &opt);
    cr_expect_not_null(strchr(colored, '\033'), "%s: no colour", s->name);
    strip_color(colored);
    cr_expect_str_eq(colored, plain, "%s: colour changes the text", s->name);
}

Test(text, rules)
{
    static const unsigned widths[][2] = {{0, 80},  {1, 60},  {60, 60},   {61, 61},   {72, 72},
                                         {80, 80}, {97, 97}, {120, 120}, {200, 200}, {999, 999}};
    for (const struct sample *s = samples; s->name; s++) {
        for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
            struct hw_render_options opt = {.width = widths[i][0]};
            check_rules(s, opt, widths[i][1]);
            opt.exact = true;
            check_rules(s, opt, widths[i][1]);
            opt.all_arenas = opt.histogram = true;
            check_rules(s, opt, widths[i][1]);
        }
    }
}

Test(text, rules_for_one_arena)
{
    for (const struct sample *s = samples; s->name; s++) {
        struct hw_report *r = s->make();
        size_t arenas = r->arenas.count;
        hw_report_destroy(r);
        for (size_t i = 0; i < arenas && i < 3; i++)
            check_rules(
                s, (struct hw_render_options){.only_arena = true, .arena = (int)i, .width = 60},
                60);
    }
}

/* ---- what it says ---------------------------------------------------------------------------- */

static void expect_text(const char *text, const char *part, bool there)
{
    cr_expect((strstr(text, part) != NULL) == there, "\"%s\" is %sin:\n%s", part,
              there ? "not " : "", text);
}

Test(text, answers_first)
{
    hw_autofree char *text = render_sample(sample_one_arena, &(struct hw_render_options){0});
    expect_text(text, "heapwalk: sleep (pid 9049)  glibc 2.36  1 thread  stopped for 187 us\nRSS ",
                true);
    expect_text(text, "RSS       1.53 MiB = glibc heaps 0.01 (0.6%)", true);
    expect_text(text, "PARTIAL", false);
    expect_text(text, "FINDINGS", false);
    expect_text(text, "unaccounted", false);
}

Test(text, unknown_is_left_out)
{
    struct hw_report *r = sample_one_arena();
    r->totals[HW_M_TCACHE_BYTES].known = false;
    r->totals[HW_M_MMAPPED_BYTES].known = false;
    r->totals[HW_M_TRIM_BYTES].known = false;
    r->arenas.data[0].figures[HW_M_LARGEST_FREE_BYTES].known = false;
    r->arenas.data[0].top.malloc_trim_bytes.known = false;
    r->params.arena_max.known = false;
    r->params.mmap_threshold.known = false;
    hw_autofree char *text = render(r, &(struct hw_render_options){.all_arenas = true});
    hw_report_destroy(r);
    expect_text(text, "tcache", false);
    expect_text(text, "mmapped", false);
    expect_text(text, "LARGEST", false);
    expect_text(text, "malloc_trim", false);
    expect_text(text, "for each core", false);
    expect_text(text, "mmap_threshold", false);
    expect_text(text, "swap", false);
}

Test(text, a_core_says_once_that_it_knows_no_pages)
{
    hw_autofree char *text = render_sample(sample_core, &(struct hw_render_options){0});
    const char *where = strstr(text, "RAM");
    cr_assert_not_null(where);
    cr_expect_null(strstr(where + 1, "RAM"), "twice:\n%s", text);
    expect_text(text, "what was in RAM a core does not tell", true);
    expect_text(text, "RSS", false);
}

static unsigned lines(const char *text)
{
    unsigned n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

Test(text, short_where_all_is_well_and_never_long)
{
    hw_autofree char *well = render_sample(sample_one_arena, &(struct hw_render_options){0});
    hw_autofree char *core = render_sample(sample_core, &(struct hw_render_options){0});
    hw_autofree char *bad = render_sample(sample_many_arenas, &(struct hw_render_options){0});
    cr_expect_leq(lines(well), 20, "%s", well);
    cr_expect_leq(lines(core), 20, "%s", core);
    cr_expect_leq(lines(bad), 47, "%s", bad);
}

/* The number behind `label`, in hundredths or tenths as it is written. */
static long number_after(const char *text, const char *label)
{
    const char *p = strstr(text, label);
    cr_assert_not_null(p, "no \"%s\" in:\n%s", label, text);
    long n = 0;
    for (p += strlen(label); (*p >= '0' && *p <= '9') || *p == '.'; p++)
        n = *p == '.' ? n : 10 * n + (*p - '0');
    return n;
}

Test(text, ledger_adds_up_as_it_is_printed)
{
    hw_autofree char *text =
        render_sample(sample_many_arenas, &(struct hw_render_options){.width = 200});
    static const char *const labels[] = {"= glibc heaps ", "+ mmapped chunks ", "+ files ",
                                         "+ other anonymous "};
    long sum = 0;
    for (size_t i = 0; i < sizeof labels / sizeof *labels; i++)
        sum += number_after(text, labels[i]);
    cr_expect_eq(sum, number_after(text, "RSS       "), "%s", text);
}

Test(text, names_of_other_allocators)
{
    hw_autofree char *text =
        render_sample(sample_swapped, &(struct hw_render_options){.width = 200});
    expect_text(text, "+ other anonymous 5.00 (with mimalloc's) (and 310.0 MiB in swap)\n", true);
}

Test(text, partial_is_loud_and_names_every_kind)
{
    hw_autofree char *text = render_sample(sample_partial, &(struct hw_render_options){0});
    expect_text(text, "PARTIAL: 41 findings", true);
    expect_text(text, "truncated_core", true);
    expect_text(text, "... 37 more bad_chunk findings", true);
    expect_text(text, "unaccounted            11.0 MiB", true);
}

Test(text, worst_arena_first_and_the_rest_counted)
{
    hw_autofree char *text = render_sample(sample_many_arenas, &(struct hw_render_options){0});
    const char *worst = strstr(text, "\n    55 "), *next = strstr(text, "\n    10 ");
    cr_assert(worst && next && worst < next);
    expect_text(text, "... 54 more arenas, holding 3.30 GiB free in RAM (--all-arenas shows them)",
                true);

    hw_autofree char *all =
        render_sample(sample_many_arenas, &(struct hw_render_options){.all_arenas = true});
    expect_text(all, "more arenas", false);
    expect_text(all, "\n  main ", true);
}

Test(text, names_cannot_repaint_the_terminal)
{
    hw_autofree char *text = render_sample(sample_locked, &(struct hw_render_options){0});
    expect_text(text, "busy ?[31mworker??? x\xc3\xa9? (pid 9049)", true);
}

/* ---- listing --------------------------------------------------------------------------------- */

Test(text, list)
{
    struct hw_report *r = sample_many_arenas();
    static const struct hw_block blocks[] = {
        {.address = 0x55d0c0de1290, .bytes = 1040, .state = HW_USED, .bin = HW_BIN_UNKNOWN},
        {.address = 0x55d0c0de16a0, .bytes = 32, .state = HW_CACHED, .tid = 1234, .bin = 3},
        {.address = 0x55d0c0de16c0, .bytes = 64, .state = HW_PARKED, .arena = 2, .bin = 2},
        {.address = 0x7f0000000b20, .bytes = 2048, .state = HW_FREE, .arena = 12, .bin = 64},
        {.address = 0x7f0000001320, .bytes = 4096, .state = HW_FREE, .arena = 12, .bin = 1},
        {.address = 0x7f0000002320, .bytes = 96, .state = HW_FREE, .arena = 12, .bin = -1},
        {.address = 0x7f0000002380, .bytes = 134784, .state = HW_TOP, .arena = 12, .bin = -1},
        {.address = 0x7f0000000000, .bytes = 2256, .state = HW_OVERHEAD, .arena = 12, .bin = -1},
        {.address = 0x7f1000000ff0,
         .bytes = 1u << 30,
         .state = HW_MMAPPED,
         .arena = -1,
         .lead = 4080,
         .bin = -1},
        {.address = UINT64_MAX - 15,
         .bytes = UINT64_MAX,
         .state = HW_CACHED,
         .arena = INT32_MAX,
         .tid = INT32_MIN,
         .bin = INT16_MIN},
    };
    static const char wanted[] =
        "ADDRESS             POINTER                    BYTES  STATE     ARENA  DETAIL\n"
        "0x55d0c0de1290      0x55d0c0de12a0              1040  in use    main\n"
        "0x55d0c0de16a0      0x55d0c0de16b0                32  tcache    main   tcache of 1234, "
        "bin 3\n"
        "0x55d0c0de16c0      0x55d0c0de16d0                64  fastbin   2      fastbin 2\n"
        "0x7f0000000b20      0x7f0000000b30              2048  bin       12     bin 64\n"
        "0x7f0000001320      0x7f0000001330              4096  bin       12     unsorted\n"
        "0x7f0000002320      0x7f0000002330                96  bin       12\n"
        "0x7f0000002380      -                         134784  top       12\n"
        "0x7f0000000000      -                           2256  overhead  12\n"
        "0x7f1000000ff0      0x7f1000001000        1073741824  mmapped   -      lead 4080\n"
        "0xfffffffffffffff0  0x0                 18446744073709551615 tcache 2147483647 tcache of "
        "-2147483648, bin -32768\n";

    struct hw_render_options opt = {0};
    char *text = NULL;
    size_t length = 0;
    FILE *f = open_memstream(&text, &length);
    hw_render_text.list_head(r, &opt, f);
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        hw_render_text.list_block(r, &opt, &blocks[i], f);
    fclose(f);
    cr_expect_str_eq(text, wanted, "%s", text);
    free(text);
    hw_report_destroy(r);
}

Test(text, list_of_one_arena)
{
    struct hw_report *r = sample_one_arena();
    struct hw_render_options opt = {.only_arena = true, .arena = 3};
    char *text = NULL;
    size_t length = 0;
    FILE *f = open_memstream(&text, &length);
    for (int arena = -1; arena < 5; arena++)
        hw_render_text.list_block(
            r, &opt,
            &(struct hw_block){.address = 0x1000, .bytes = 32, .state = HW_USED, .arena = arena},
            f);
    fclose(f);
    cr_expect_str_eq(text, "0x1000              0x1010                        32  in use    3\n");
    free(text);
    hw_report_destroy(r);
}
