#include "diff/saved.h"

#define ARENA(index, address) "{\"index\":" #index ",\"address\":\"" address "\"}"

static char *process(char *buf, const char *target, const char *arenas)
{
    sprintf(buf, REPORT(",\"complete\":true,\"target\":{%s},\"arenas\":[%s]"), target, arenas);
    return buf;
}

/* "3-1 0-0 4-": index before, index after; what is not there is left out. */
static void expect_pairs(const char *target_a, const char *a, const char *target_b, const char *b,
                         const char *want, bool by_address)
{
    char one[2048], two[2048], got[256] = "";
    struct hw_diff *d = compared(process(one, target_a, a), process(two, target_b, b));
    for (size_t i = 0; i < d->arenas.count; i++) {
        const struct hw_arena_pair *p = &d->arenas.data[i];
        char *end = got + strlen(got);
        if (p->before)
            end += sprintf(end, "%d", (int)p->before->index.n);
        end += sprintf(end, "-");
        if (p->after)
            end += sprintf(end, "%d", (int)p->after->index.n);
        sprintf(end, " ");
    }
    cr_expect_str_eq(got, want);
    cr_expect_eq(d->by_address, by_address);
    hw_diff_destroy(d);
}

#define ONE "\"pid\":1,\"start_ticks\":5"

Test(match, arenas_stay_where_they_are)
{
    expect_pairs(ONE, ARENA(0, "0x10") "," ARENA(1, "0x20") "," ARENA(2, "0x30"), ONE,
                 ARENA(0, "0x10") "," ARENA(1, "0x40") "," ARENA(2, "0x20"), "0-0 -1 1-2 2- ",
                 true);
    expect_pairs(ONE, "", ONE, ARENA(0, "0x10"), "-0 ", false);
    expect_pairs(ONE, ARENA(0, "0x10"), ONE, "", "0- ", false);
    expect_pairs(ONE, "", ONE, "", "", false);
}

Test(match, by_index_where_addresses_tell_nothing)
{
    const char *other = "\"pid\":1,\"start_ticks\":6";
    expect_pairs(ONE, ARENA(0, "0x10") "," ARENA(1, "0x20"), other,
                 ARENA(0, "0x10") "," ARENA(1, "0x30"), "0-0 1-1 ", false);
    expect_pairs(ONE, ARENA(0, "0x10"), ONE, ARENA(0, "0x50") "," ARENA(1, "0x60"), "0-0 -1 ",
                 false);
    expect_pairs(ONE, "{\"index\":0}", ONE, "{\"index\":0}", "0-0 ", false);
}

/* Each is somebody's once. */
Test(match, the_same_twice)
{
    expect_pairs(ONE, ARENA(0, "0x10") "," ARENA(1, "0x10"), ONE, ARENA(2, "0x10"), "0-2 1- ",
                 true);
    expect_pairs(ONE, ARENA(0, "0x10"), ONE, ARENA(1, "0x10") "," ARENA(2, "0x10"), "0-1 -2 ",
                 true);
    expect_pairs(ONE, "{},{}", ONE, "{},{},{}", "-0 -0 -0 0- 0- ", false);
}

/* What a report of some arenas (--arena) has not is neither new nor gone. */
Test(match, some_arenas_and_all)
{
    static const char some[] =
        "{\"schema_version\":1,\"heapwalk\":{},\"complete\":true,\"target\":{" ONE
        "},\"totals\":{\"system_bytes\":30},\"arenas\":[{\"index\":1,"
        "\"address\":\"0x20\",\"system_bytes\":20}]}",
                      all[] =
                          "{\"schema_version\":1,\"heapwalk\":{},\"complete\":true,\"target\":{" ONE
                          "},\"totals\":{\"system_bytes\":30},\"arenas\":[{\"index\":0,"
                          "\"address\":\"0x10\",\"system_bytes\":10},{\"index\":1,"
                          "\"address\":\"0x20\",\"system_bytes\":20}]}",
                      other[] =
                          "{\"schema_version\":1,\"heapwalk\":{},\"complete\":true,\"target\":{" ONE
                          "},\"totals\":{\"system_bytes\":30},\"arenas\":[{\"index\":0,"
                          "\"address\":\"0x10\",\"system_bytes\":10}]}";
    const char *const cases[][2] = {{some, all}, {all, some}, {some, some}, {some, other}};
    static const size_t pairs[] = {1, 1, 1, 0}, notes[] = {1, 1, 2, 2};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct hw_diff *d = compared(cases[i][0], cases[i][1]);
        cr_expect_eq(d->arenas.count, pairs[i], "%zu", i);
        cr_expect_eq(d->notes.count, notes[i], "%zu", i);
        cr_expect(d->by_address);
        cr_expect(strstr(hw_diff_note(d, 0), "not all arenas") != NULL, "%s", hw_diff_note(d, 0));
        hw_diff_destroy(d);
    }
}

static enum hw_sameness sameness(const char *a, const char *b, const char *word)
{
    char one[1024], two[1024];
    struct hw_diff *d = compared(process(one, a, ""), process(two, b, ""));
    enum hw_sameness same = d->same_process;
    cr_expect_eq(d->notes.count, *word ? 1 : 0);
    if (*word && d->notes.count)
        cr_expect(strstr(d->notes.data[0], word) != NULL, "%s", d->notes.data[0]);
    hw_diff_destroy(d);
    return same;
}

Test(match, the_same_process)
{
    cr_expect_eq(sameness(ONE, ONE, ""), HW_SAME);
    cr_expect_eq(sameness(ONE, "\"pid\":2,\"start_ticks\":5", "pid 2"), HW_NOT_SAME);
    cr_expect_eq(sameness(ONE, "\"pid\":1,\"start_ticks\":6", "its number"), HW_NOT_SAME);
    cr_expect_eq(sameness(ONE, "\"pid\":1", "not known"), HW_SAME_UNKNOWN);
    cr_expect_eq(sameness("", ONE, "not known"), HW_SAME_UNKNOWN);
}

Test(match, partial_reports_are_named)
{
    struct hw_diff *d =
        compared(REPORT(",\"complete\":true,"
                        "\"target\":{" ONE "}"),
                 REPORT(",\"complete\":false,\"target\":{" ONE
                        "},\"findings\":[{\"kind\":\"bad_chunk\",\"text\":\"odd\"}]"));
    cr_expect_not(hw_diff_complete(d));
    cr_expect_eq(d->notes.count, 1);
    cr_expect(strstr(hw_diff_note(d, 0), "partial report: odd") != NULL, "%s", hw_diff_note(d, 0));
    cr_expect_null(hw_diff_note(d, 1));
    hw_diff_destroy(d);
    hw_diff_destroy(NULL);
}

Test(match, changes_that_do_not_fit)
{
    struct hw_figure low = {.known = true, .n = INT64_MIN}, high = {.known = true, .n = INT64_MAX},
                     unknown = {0};
    cr_expect_not(hw_change(low, high).known);
    cr_expect_not(hw_change(unknown, high).known);
    cr_expect_not(hw_change(high, unknown).known);
    cr_expect_eq(hw_change(high, high).n, 0);
}
