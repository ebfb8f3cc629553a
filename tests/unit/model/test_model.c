#include "model/sample.h"

static const struct hw_maybe none;

Test(model, every_enum_value_has_a_name)
{
    for (int s = 0; s < HW_STATES_; s++)
        cr_assert_not_null(hw_state_name((enum hw_state)s));
    cr_assert_str_eq(hw_state_name(HW_USED), "in use");
    cr_assert_str_eq(hw_state_name(HW_MMAPPED), "mmapped");
    cr_assert_str_eq(hw_state_name(HW_CACHED), "tcache");
    cr_assert_str_eq(hw_state_name(HW_PARKED), "fastbin");
    cr_assert_str_eq(hw_state_name(HW_FREE), "bin");
    cr_assert_str_eq(hw_state_name(HW_OVERHEAD), "overhead");
    cr_assert_str_eq(hw_state_name((enum hw_state)200), "unknown");
    for (int k = 0; k < HW_FINDINGS_; k++)
        cr_assert_not_null(hw_finding_name((enum hw_finding_kind)k));
    cr_assert_str_eq(hw_finding_name(HW_FINDING_BAD_CHUNK), "bad_chunk");
    cr_assert_null(hw_trim_reason_name(HW_TRIM_NONE));
    for (int t = HW_TRIM_NONE + 1; t <= HW_TRIM_UNUSED; t++)
        cr_assert_not_null(hw_trim_reason_name((enum hw_trim_reason)t));
    cr_assert_str_eq(hw_mode_name(HW_MODE_CORE), "core");
}

Test(model, metrics_are_described)
{
    cr_assert_str_eq(hw_metric_info(HW_M_SYSTEM_BYTES)->name, "system_bytes");
    cr_assert_eq(hw_metric_info(HW_M_UTILIZATION)->unit, HW_UNIT_RATIO);
    cr_assert_eq(hw_metric_info(HW_M_MMAPPED_BYTES)->scope, HW_SCOPE_TOTAL);
    cr_assert_null(hw_metric_info(HW_METRICS_));
    for (int m = 0; m < HW_METRICS_; m++)
        cr_assert(*hw_metric_info((enum hw_metric)m)->help);
}

Test(model, destroying_nothing_is_fine)
{
    hw_report_destroy(NULL);
    hw_report_destroy(hw_report_create());
}

Test(model, a_new_report_knows_nothing)
{
    struct hw_report *r = hw_report_create();
    cr_assert(hw_report_complete(r));
    cr_assert_eq(hw_report_pause_ns(r), -1);
    cr_assert_eq(hw_report_thread_pause_ns(r), -1);
    cr_assert_eq(hw_report_arenas(r), 0);
    cr_assert_null(hw_report_finding(r, 0));
    cr_assert_not(hw_report_figure(r, -1, HW_M_SYSTEM_BYTES).known);
    hw_report_destroy(r);
}

Test(model, figures_are_found_by_arena_and_metric)
{
    struct hw_report *r = sample_report();
    sample_arena(r, 132 * KIB, 4096);
    hw_set(r->totals, HW_M_TOP_BYTES, 5);
    cr_assert_eq(hw_report_pause_ns(r), 1234567);
    r->method.thread_pause_ns = hw_known(89);
    cr_assert_eq(hw_report_thread_pause_ns(r), 89);
    cr_assert_eq(hw_report_arenas(r), 1);
    cr_assert_eq(hw_report_figure(r, 0, HW_M_SYSTEM_BYTES).n, 135168);
    cr_assert_eq(hw_report_figure(r, -1, HW_M_TOP_BYTES).n, 5);
    cr_assert_not(hw_report_figure(r, 1, HW_M_SYSTEM_BYTES).known);
    cr_assert_not(hw_report_figure(r, -2, HW_M_TOP_BYTES).known);
    cr_assert_not(hw_report_figure(r, 0, HW_METRICS_).known);
    hw_report_destroy(r);
}

Test(model, a_finding_names_kind_place_and_size)
{
    struct hw_report *r = sample_report();
    hw_report_add(r, HW_FINDING_NOTE, -1, none, none, "all %s", "well");
    cr_assert(hw_report_complete(r));
    hw_report_add(r, HW_FINDING_BAD_CHUNK, 3, hw_known(0x7f0010), hw_known(64), "size 0x41");
    cr_assert_not(hw_report_complete(r));
    cr_assert_str_eq(hw_report_finding(r, 0), "note: all well");
    cr_assert_str_eq(hw_report_finding(r, 1),
                     "bad_chunk in arena 3 at 0x7f0010, 64 bytes: size 0x41");
    cr_assert_null(hw_report_finding(r, 2));
    hw_report_destroy(r);
}

Test(model, a_finding_names_nothing_twice)
{
    struct hw_report *r = sample_report();
    hw_report_add(r, HW_FINDING_BAD_LIST, 3, hw_known(0x7f0010), none,
                  "bin 5 of arena 3: a loop at 0x7f0010");
    hw_report_add(r, HW_FINDING_BAD_LIST, 3, hw_known(0x7f0010), none, "arena 31, 0x7f00100");
    cr_assert_str_eq(hw_report_finding(r, 0), "bad_list: bin 5 of arena 3: a loop at 0x7f0010");
    cr_assert_str_eq(hw_report_finding(r, 1),
                     "bad_list in arena 3 at 0x7f0010: arena 31, 0x7f00100");
    hw_report_destroy(r);
}

Test(model, a_finding_is_one_line_of_bounded_length)
{
    struct hw_report *r = sample_report();
    char name[1000];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = 0;
    name[3] = '\n';
    name[4] = '\x1b';
    hw_report_add(r, HW_FINDING_UNREADABLE, -1, none, none, "%s", name);
    cr_assert_null(strchr(hw_report_finding(r, 0), '\n'));
    cr_assert_null(strchr(hw_report_finding(r, 0), '\x1b'));
    cr_assert_eq(strlen(r->findings.data[0].text), sizeof r->findings.data[0].text - 1);
    hw_report_destroy(r);
}

Test(model, of_many_findings_some_are_kept_and_all_counted)
{
    struct hw_report *r = sample_report();
    for (int i = 0; i < 1000; i++)
        hw_report_add(r, HW_FINDING_BAD_CHUNK, 0, none, none, "chunk %d", i);
    hw_report_add(r, HW_FINDING_BAD_LIST, 0, none, none, "a list");
    cr_assert_eq(r->findings.count, HW_FINDINGS_KEPT + 1);
    cr_assert_eq(r->finding_counts[HW_FINDING_BAD_CHUNK], 1000);
    cr_assert_str_eq(hw_report_finding(r, HW_FINDINGS_KEPT), "bad_list in arena 0: a list");
    hw_report_destroy(r);
}

Test(model, the_version_of_glibc)
{
    static const struct {
        const char *text;
        int minor;
    } cases[] = {{"2.36", 36},
                 {"2.36-9+deb12u14", 36},
                 {"2.17", 17},
                 {"3.1", -1},
                 {"2.999999999", -1},
                 {"2.x", -1},
                 {"", -1},
                 {NULL, -1}};
    struct hw_report r = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char buf[32];
        r.allocator.version = cases[i].text ? strcpy(buf, cases[i].text) : NULL;
        cr_expect_eq(hw_report_glibc_minor(&r), cases[i].minor, "%s", cases[i].text);
    }
}

Test(model, sums_of_damaged_sizes_wrap_and_do_not_trap)
{
    struct hw_figure f[HW_METRICS_] = {{0}};
    hw_add(f, HW_M_BIN_BYTES, UINT64_MAX / 2);
    hw_add(f, HW_M_BIN_BYTES, UINT64_MAX / 2);
    cr_assert_eq(f[HW_M_BIN_BYTES].n, -2);
}

Test(model, holes_are_shown_as_they_are_kept)
{
    struct hw_report *r = sample_report();
    struct hw_hole_view view = {.address = 1};
    cr_assert_eq(hw_report_holes(r), 0);
    cr_assert_not(hw_report_hole(r, 0, &view));
    cr_assert_eq(view.address, 1);

    struct hw_hole hole = {.arena = 3,
                           .address = 0x7000,
                           .bytes = 4096,
                           .chunks = 2,
                           .has_top = true,
                           .resident_bytes = hw_known(1024),
                           .below.block = {.address = 0x6fe0, .bytes = 32, .state = HW_USED},
                           .below.symbol = "vtable for Foo",
                           .above.block.state = HW_STATES_};
    cr_assert(hw_vec_push(&r->holes, hole));
    cr_assert_eq(hw_report_holes(r), 1);
    cr_assert(hw_report_hole(r, 0, &view));
    cr_assert_eq(view.address, 0x7000);
    cr_assert_eq(view.bytes, 4096);
    cr_assert_eq(view.arena, 3);
    cr_assert_eq(view.chunks, 2);
    cr_assert(view.has_top);
    cr_assert(view.resident_bytes.known);
    cr_assert_eq(view.resident_bytes.n, 1024);
    cr_assert_not(view.trim_bytes.known);
    cr_assert_eq(view.below.address, 0x6fe0);
    cr_assert_str_eq(view.below_symbol, "vtable for Foo");
    cr_assert_eq(view.above.state, HW_STATES_);
    cr_assert_str_eq(view.above_symbol, "");
    cr_assert_not(hw_report_hole(r, 1, &view));
    hw_report_destroy(r);
}
