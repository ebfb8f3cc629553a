#include "render/real_heap.h"

/* A main arena with some of each kind, and a thread arena of two heaps. */
static struct hw_report *two_arenas(const char *version)
{
    struct hw_report *r = sample_report();
    free(r->allocator.version);
    r->allocator.version = version ? strdup(version) : NULL;
    struct hw_arena *a = sample_arena(r, 135168, 76544);
    a->fast[0] = real_fast(32, 13);
    a->fast[6] = real_fast(128, 1);
    a->bins[1] = real_bin(1121, 2865, 5106, 3);
    a->bins[33] = real_bin(529, 529, 1058, 2);
    a->bins[70] = real_bin(1409, 1473, 2882, 2);
    struct hw_arena *b = sample_arena(r, 67108864, 32);
    b->heaps.data[0].mprotect_bytes = hw_known(67108864);
    struct hw_heap second = {
        .address = 0x7f0000000000, .bytes = 135168, .mprotect_bytes = hw_known(139264)};
    cr_assert(hw_vec_push(&b->heaps, second));
    hw_set(b->figures, HW_M_SYSTEM_BYTES, 67244032);
    b->max_system_bytes = 67301376;
    r->params.n_mmaps = hw_known(1);
    r->params.mmapped_bytes = hw_known(503808);
    return r;
}

static void expect(const char *version, const char *text)
{
    struct hw_report *r = two_arenas(version);
    char *actual = rendered(r, "malloc_info");
    cr_expect_str_eq(actual, text);
    free(actual);
    hw_report_destroy(r);
}

#define SIZES(tab)                                                                                 \
    tab "  <size from=\"17\" to=\"32\" total=\"416\" count=\"13\"/>\n" tab                         \
        "  <size from=\"113\" to=\"128\" total=\"128\" count=\"1\"/>\n" tab                        \
        "  <size from=\"529\" to=\"529\" total=\"1058\" count=\"2\"/>\n" tab                       \
        "  <size from=\"1409\" to=\"1473\" total=\"2882\" count=\"2\"/>\n"                         \
        "  <unsorted from=\"1121\" to=\"2865\" total=\"5106\" count=\"3\"/>\n"
#define TAB "\t\t\t\t\t\t\t      "

Test(malloc_info, the_text_of_2_31_to_2_42)
{
    static const char text[] =
        "<malloc version=\"1\">\n"
        "<heap nr=\"0\">\n"
        "<sizes>\n" SIZES("") "</sizes>\n"
                              "<total type=\"fast\" count=\"14\" size=\"544\"/>\n"
                              "<total type=\"rest\" count=\"8\" size=\"85590\"/>\n"
                              "<system type=\"current\" size=\"135168\"/>\n"
                              "<system type=\"max\" size=\"135168\"/>\n"
                              "<aspace type=\"total\" size=\"135168\"/>\n"
                              "<aspace type=\"mprotect\" size=\"135168\"/>\n"
                              "</heap>\n"
                              "<heap nr=\"1\">\n"
                              "<sizes>\n"
                              "</sizes>\n"
                              "<total type=\"fast\" count=\"0\" size=\"0\"/>\n"
                              "<total type=\"rest\" count=\"1\" size=\"32\"/>\n"
                              "<system type=\"current\" size=\"67244032\"/>\n"
                              "<system type=\"max\" size=\"67301376\"/>\n"
                              "<aspace type=\"total\" size=\"67244032\"/>\n"
                              "<aspace type=\"mprotect\" size=\"67248128\"/>\n"
                              "<aspace type=\"subheaps\" size=\"2\"/>\n"
                              "</heap>\n"
                              "<total type=\"fast\" count=\"14\" size=\"544\"/>\n"
                              "<total type=\"rest\" count=\"9\" size=\"85622\"/>\n"
                              "<total type=\"mmap\" count=\"1\" size=\"503808\"/>\n"
                              "<system type=\"current\" size=\"67379200\"/>\n"
                              "<system type=\"max\" size=\"67436544\"/>\n"
                              "<aspace type=\"total\" size=\"67379200\"/>\n"
                              "<aspace type=\"mprotect\" size=\"67383296\"/>\n"
                              "</malloc>\n";
    expect("2.31", text);
    expect("2.36", text);
    expect("2.42", text);
    expect(NULL, text);
}

Test(malloc_info, without_fastbins_there_is_no_total_for_them)
{
    struct hw_report *r = two_arenas("2.43");
    char *text = rendered(r, "malloc_info");
    cr_expect_null(strstr(text, "fast"));
    cr_expect_not_null(strstr(text, "</sizes>\n<total type=\"rest\""));
    free(text);
    hw_report_destroy(r);
}

Test(malloc_info, older_versions_differ)
{
    static const char text[] =
        "<malloc version=\"1\">\n"
        "<heap nr=\"0\">\n"
        "<sizes>\n" SIZES(TAB) "</sizes>\n"
                               "<total type=\"fast\" count=\"14\" size=\"544\"/>\n"
                               "<total type=\"rest\" count=\"7\" size=\"9046\"/>\n"
                               "<system type=\"current\" size=\"135168\"/>\n"
                               "<system type=\"max\" size=\"135168\"/>\n"
                               "<aspace type=\"total\" size=\"135168\"/>\n"
                               "<aspace type=\"mprotect\" size=\"135168\"/>\n"
                               "</heap>\n"
                               "<heap nr=\"1\">\n"
                               "<sizes>\n"
                               "</sizes>\n"
                               "<total type=\"fast\" count=\"0\" size=\"0\"/>\n"
                               "<total type=\"rest\" count=\"0\" size=\"0\"/>\n"
                               "<system type=\"current\" size=\"67244032\"/>\n"
                               "<system type=\"max\" size=\"67301376\"/>\n"
                               "<aspace type=\"total\" size=\"135168\"/>\n"
                               "<aspace type=\"mprotect\" size=\"139264\"/>\n"
                               "</heap>\n"
                               "<total type=\"fast\" count=\"14\" size=\"544\"/>\n"
                               "<total type=\"rest\" count=\"7\" size=\"9046\"/>\n"
                               "<total type=\"mmap\" count=\"1\" size=\"503808\"/>\n"
                               "<system type=\"current\" size=\"67379200\"/>\n"
                               "<system type=\"max\" size=\"67436544\"/>\n"
                               "<aspace type=\"total\" size=\"270336\"/>\n"
                               "<aspace type=\"mprotect\" size=\"274432\"/>\n"
                               "</malloc>\n";
    expect("2.24", text);
}

Test(malloc_info, a_report_without_lists_is_refused)
{
    struct hw_report *r = sample_report();
    struct hw_error err;
    struct hw_render_options opt = {.format = "malloc_info"};
    r->lists_known = false;
    FILE *out = tmpfile();
    cr_expect_eq(hw_render(r, &opt, out, &err), HW_ERR_USAGE);
    cr_expect_eq(ftell(out), 0);
    cr_expect_not_null(strstr(err.remedy, "want_lists"));
    fclose(out);
    hw_report_destroy(r);
}

Test(malloc_info, only_one_heap_and_all_totals)
{
    struct hw_report *r = two_arenas("2.36");
    struct hw_render_options opt = {.format = "malloc_info", .only_arena = true, .arena = 1};
    char *text = rendered_with(r, &opt);
    cr_expect_null(strstr(text, "<heap nr=\"0\">"));
    cr_expect_not_null(strstr(text, "<heap nr=\"1\">"));
    cr_expect_not_null(strstr(text, "<system type=\"current\" size=\"67379200\"/>\n"));
    free(text);
    hw_report_destroy(r);
}

Test(malloc_info, fastbins_of_old_32_bit_targets_are_8_apart)
{
    struct hw_report *r = two_arenas("2.24");
    r->params.chunk_alignment = 8;
    char *text = rendered(r, "malloc_info");
    cr_expect_not_null(strstr(text, "<size from=\"25\" to=\"32\""));
    free(text);
    r->params.chunk_alignment = 16;
    text = rendered(r, "malloc_info");
    cr_expect_not_null(strstr(text, "<size from=\"17\" to=\"32\""));
    free(text);
    hw_report_destroy(r);
}

/* ---- against the real function --------------------------------------------------------------- */

#if !SANITIZED
Test(malloc_info, as_the_real_function_prints_it)
{
    static char real[REAL_TEXT_MAX];
    use_arenas();
    FILE *out = real_text_stream(real);
    cr_assert_eq(malloc_info(0, out), 0);
    fclose(out);
    struct hw_report *r = read_real_heap(real);
    char *text = rendered(r, "malloc_info");
    cr_expect_str_eq(text, real);
    cr_expect_geq(r->arenas.count, 2);
    free(text);
    hw_report_destroy(r);
}
#endif
