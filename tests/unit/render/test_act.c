/*
 * Threads in malloc, and how a process ended, in text and JSON.
 */
#include "parsed.h"
#include "rendered.h"

TestSuite(act_report);

/* The value at keys and indexes with dots between them. */
static json_t *at(json_t *o, const char *path)
{
    char keys[128];
    snprintf(keys, sizeof keys, "%s", path);
    for (char *rest = keys, *key; (key = strsep(&rest, "."));)
        o = json_is_array(o) ? json_array_get(o, strtoul(key, NULL, 10)) : json_object_get(o, key);
    cr_assert_not_null(o, "%s", path);
    return o;
}

static struct hw_thread_row *add_thread(struct hw_report *r, int tid)
{
    struct hw_thread_row row = {.tid = tid, .arena = 0};
    cr_assert(hw_vec_push(&r->threads, row));
    return &r->threads.data[r->threads.count - 1];
}

static void place(struct hw_report *r, int tid, const char *function, const char *entry, int works,
                  int waits, int holds)
{
    struct hw_in_malloc *in = &add_thread(r, tid)->in_malloc;
    *in = (struct hw_in_malloc){
        .known = true, .pc = 0x7f00, .works_in = works, .waits_for = waits, .holds = holds};
    strcpy(in->function, function);
    strcpy(in->entry, entry);
}

static struct hw_report *some_report(void)
{
    struct hw_report *r = sample_report();
    sample_arena(r, 132 * KIB, 64 * KIB);
    return r;
}

static void expect_line(struct hw_report *r, const char *line, bool there)
{
    char *text = rendered(r, "text");
    cr_expect_eq(strstr(text, line) != NULL, there, "%s in\n%s", line, text);
    free(text);
}

Test(act_report, lines_of_threads)
{
    struct hw_report *r = some_report();
    expect_line(r, "IN MALLOC", false);
    add_thread(r, 10);
    expect_line(r, "IN MALLOC", false);
    place(r, 11, "_int_malloc", "calloc", 1, -1, 1);
    place(r, 12, "", "free", 0, 0, -1);
    place(r, 13, "malloc", "malloc", 2, 2, 2);
    place(r, 14, "", "", -1, -1, -1);
    place(r, 15, "malloc", "malloc", 3, -1, -1);
    expect_line(r, "THREADS IN MALLOC\n", true);
    expect_line(r, "\n  11 in _int_malloc() for calloc() - has locked arena 1\n", true);
    expect_line(r, "\n  12 in free() - waits for the main arena\n", true);
    expect_line(r, "\n  13 in malloc() - waits for arena 2, which it has locked itself\n", true);
    expect_line(r, "\n  14 in malloc\n", true);
    expect_line(r, "\n  15 in malloc() - works in arena 3\n", true);
    hw_report_destroy(r);
}

Test(act_report, no_more_than_ten)
{
    struct hw_report *r = some_report();
    for (int i = 0; i < 1234; i++)
        place(r, 100 + i, "malloc", "malloc", -1, -1, -1);
    expect_line(r, "\n  109 in malloc()\n  ... and 1,224 more\n", true);
    hw_report_destroy(r);
}

Test(act_report, who_has_locked_an_arena)
{
    struct hw_report *r = some_report();
    r->arenas.data[0].locked = true;
    expect_line(r, "those of a half-made change\n", true);
    cr_assert(hw_vec_push(&r->arenas.data[0].held_by, 11));
    expect_line(r, "change - main by thread 11\n", true);
    for (int i = 0; i < 5; i++)
        cr_assert(hw_vec_push(&r->arenas.data[0].held_by, 12 + i));
    expect_line(r, "change - main by thread 11 or 12 or 13\n", true);
    hw_report_destroy(r);
}

Test(act_report, last_words)
{
    struct hw_report *r = some_report();
    r->abort = (struct hw_abort){.said = true, .message = "free(): invalid pointer", .arena = -1};
    expect_line(r, "\nABORTED: free(): invalid pointer (glibc's last words; no thread", true);
    r->abort.tid = 11;
    expect_line(r, "\nABORTED: free(): invalid pointer (glibc's last words, thread 11)\n", true);
    place(r, 11, "_int_free", "free", 1, -1, -1);
    r->abort.arena = 1;
    expect_line(r, "thread 11, in free(),\n         arena 1)\n", true);
    json_t *o = parsed(r);
    cr_expect_str_eq(json_string_value(at(o, "abort.message")), "free(): invalid pointer");
    cr_expect_eq(json_integer_value(at(o, "abort.tid")), 11);
    cr_expect_eq(json_integer_value(at(o, "abort.arena")), 1);
    cr_expect(json_is_null(at(o, "abort.signal")));
    json_decref(o);
    hw_report_destroy(r);
}

Test(act_report, the_signal_of_a_core)
{
    struct hw_report *r = some_report();
    r->target.live = false;
    r->method.mode = HW_MODE_CORE;
    r->target.ended = (struct hw_ended){
        .signal = 11, .tid = 7, .code = hw_known((uint32_t)-6), .address = hw_known(0x10)};
    expect_line(r, "SIGSEGV (thread 7, address 0x10)", true);
    json_t *o = parsed(r);
    cr_expect_str_eq(json_string_value(at(o, "target.ended.name")), "SIGSEGV");
    cr_expect_eq(json_integer_value(at(o, "target.ended.code")), -6);
    cr_expect_str_eq(json_string_value(at(o, "target.ended.address")), "0x10");
    json_decref(o);
    r->target.ended = (struct hw_ended){.signal = 40, .tid = 7};
    expect_line(r, "signal 40 (thread 7)", true);
    o = parsed(r);
    cr_expect(json_is_null(at(o, "target.ended.name")) &&
              json_is_null(at(o, "target.ended.code")) &&
              json_is_null(at(o, "target.ended.address")));
    json_decref(o);
    hw_report_destroy(r);
}

Test(act_report, keys_of_a_thread)
{
    struct hw_report *r = some_report();
    add_thread(r, 10);
    place(r, 11, "_int_malloc", "calloc", 1, -1, 1);
    place(r, 12, "", "", -1, 0, -1);
    json_t *o = parsed(r);
    cr_expect(json_is_null(at(o, "threads.0.in_malloc")));
    cr_expect_str_eq(json_string_value(at(o, "threads.1.in_malloc.function")), "_int_malloc");
    cr_expect_str_eq(json_string_value(at(o, "threads.1.in_malloc.entry")), "calloc");
    cr_expect_str_eq(json_string_value(at(o, "threads.1.in_malloc.pc")), "0x7f00");
    cr_expect_eq(json_integer_value(at(o, "threads.1.in_malloc.works_in_arena")), 1);
    cr_expect(json_is_null(at(o, "threads.1.in_malloc.waits_for_arena")));
    cr_expect_eq(json_integer_value(at(o, "threads.1.in_malloc.holds_arena")), 1);
    cr_expect(json_is_null(at(o, "threads.2.in_malloc.function")));
    cr_expect_eq(json_integer_value(at(o, "threads.2.in_malloc.waits_for_arena")), 0);
    cr_expect(json_is_null(at(o, "threads.2.in_malloc.works_in_arena")));
    json_decref(o);
    hw_report_destroy(r);
}
