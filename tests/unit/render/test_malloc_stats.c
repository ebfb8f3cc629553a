#include "render/real_heap.h"

#include <unistd.h>

Test(malloc_stats, the_text)
{
    struct hw_report *r = sample_report();
    struct hw_arena *a = sample_arena(r, 135168, 90000);
    sample_bins(a, 3, 6544);
    struct hw_arena *b = sample_arena(r, 195153920, 94960);
    sample_bins(b, 651, 65014912);
    r->params.n_mmaps = r->params.max_n_mmaps = hw_known(1);
    r->params.mmapped_bytes = r->params.max_mmapped_bytes = hw_known(503808);
    char *text = rendered(r, "malloc_stats");
    cr_expect_str_eq(text, "Arena 0:\n"
                           "system bytes     =     135168\n"
                           "in use bytes     =      38624\n"
                           "Arena 1:\n"
                           "system bytes     =  195153920\n"
                           "in use bytes     =  130044048\n"
                           "Total (incl. mmap):\n"
                           "system bytes     =  195792896\n"
                           "in use bytes     =  130586480\n"
                           "max mmap regions =          1\n"
                           "max mmap bytes   =     503808\n");
    free(text);
    hw_report_destroy(r);
}

Test(malloc_stats, totals_do_not_wrap_at_4_gib)
{
    struct hw_report *r = sample_report();
    sample_arena(r, 5 * 1024 * MIB, 0);
    sample_arena(r, 6 * 1024 * MIB, 0);
    r->params.mmapped_bytes = hw_known(7 * 1024 * MIB);
    char *text = rendered(r, "malloc_stats");
    cr_expect_not_null(strstr(text, "Arena 0:\nsystem bytes     = 5368709120\n"));
    cr_expect_not_null(strstr(text, "Total (incl. mmap):\nsystem bytes     = 19327352832\n"));
    free(text);
    hw_report_destroy(r);
}

Test(malloc_stats, only_one_arena_and_all_totals)
{
    struct hw_report *r = sample_report();
    sample_arena(r, 1000, 0);
    sample_arena(r, 2000, 0);
    struct hw_render_options opt = {.format = "malloc_stats", .only_arena = true, .arena = 1};
    char *text = rendered_with(r, &opt);
    cr_expect_null(strstr(text, "Arena 0"));
    cr_expect_not_null(strstr(text, "Arena 1"));
    cr_expect_not_null(strstr(text, "system bytes     =       3000\n"));
    free(text);
    hw_report_destroy(r);
}

/* ---- against the real function --------------------------------------------------------------- */

#if !SANITIZED
/* What the real functions print about the same heap. */
static void real_texts(char *info, char *stats)
{
    FILE *file = tmpfile(), *out = real_text_stream(info);
    cr_assert_not_null(file);
    fflush(stderr);
    int saved = dup(STDERR_FILENO);
    cr_assert_neq(dup2(fileno(file), STDERR_FILENO), -1);
    malloc_stats();
    malloc_info(0, out);
    dup2(saved, STDERR_FILENO);
    close(saved);
    cr_assert_gt(pread(fileno(file), stats, REAL_TEXT_MAX - 1, 0), 0);
    fclose(out);
    fclose(file);
}

Test(malloc_stats, as_the_real_function_prints_it)
{
    static char info[REAL_TEXT_MAX], stats[REAL_TEXT_MAX];
    void *mapped = malloc(1 << 20);
    use_arenas();
    real_texts(info, stats);

    struct hw_report *r = read_real_heap(info);
    unsigned long regions = 0, bytes = 0;
    const char *maxima = strstr(stats, "max mmap regions");
    cr_assert_not_null(maxima);
    cr_assert_eq(sscanf(maxima, "max mmap regions = %lu\nmax mmap bytes   = %lu", &regions, &bytes),
                 2);
    r->params.max_n_mmaps = hw_known(regions);
    r->params.max_mmapped_bytes = hw_known(bytes);
    char *text = rendered(r, "malloc_stats");
    cr_expect_str_eq(text, stats);
    free(text);
    free(mapped);
    hw_report_destroy(r);
}
#endif
