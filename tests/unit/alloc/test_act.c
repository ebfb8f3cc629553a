/*
 * Which code is malloc's, and glibc's last words.
 */
#include "alloc/glibc/code.h"
#include "alloc/glibc/glibc.h"

#include "target/child.h"

TestSuite(act);

/* ---- code ------------------------------------------------------------------------------------ */

Test(act, functions_of_malloc)
{
    struct hw_target *t;
    struct hw_modules *m;
    glibc_code code = {0};
    pid_t pid = child_start(child_sleep, NULL);
    cr_assert_eq(hw_target_open_live(pid, &t, NULL), HW_OK);
    cr_assert_eq(hw_modules_open(t, NULL, &m, NULL), HW_OK);
    struct hw_image image = {.target = t, .modules = m};
    struct hw_module *libc = glibc_find_libc(&image);
    cr_assert_not_null(libc);
    hw_module_load(m, libc, NULL);
    cr_assert_eq(glibc_find_code(libc, &code, NULL), HW_OK);
    static const char *const names[] = {"malloc", "free", "calloc", "realloc", "mallinfo", "abort"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct hw_symbol sym;
        cr_assert(hw_module_symbol(libc, names[i], &sym));
        const struct glibc_function *first = glibc_code_at(&code, sym.address);
        const struct glibc_function *last = glibc_code_at(&code, sym.address + sym.size - 1);
        cr_assert(first && first == last, "%s", names[i]);
        cr_expect_str_eq(first->name, names[i]);
        cr_expect_str_eq(first->entry, names[i]);
        cr_expect_eq(first->aborts, strcmp(names[i], "abort") == 0);
    }
    for (size_t i = 0; i < code.count; i++) {
        cr_expect_lt(code.data[i].start, code.data[i].end);
        cr_expect(i == 0 || code.data[i - 1].end <= code.data[i].start);
    }
    struct hw_symbol other;
    cr_assert(hw_module_symbol(libc, "qsort", &other));
    cr_expect_null(glibc_code_at(&code, other.address));
    cr_expect_null(glibc_code_at(&code, 0));
    cr_expect_null(glibc_code_at(&code, UINT64_MAX));
    cr_expect_null(glibc_code_at(&(glibc_code){0}, other.address));
    hw_vec_free(&code);
    hw_modules_close(m);
    hw_target_close(t);
    child_end(pid);
}

/* ---- last words ------------------------------------------------------------------------------ */

#define POINTER ((hw_addr)0x10000)
#define WORDS   ((hw_addr)0x20000)

static struct hw_abort read_words(hw_addr at, uint32_t size, const char *text, size_t len)
{
    static struct hw_report r;
    uint64_t pointer[512] = {at};
    uint8_t words[4096];
    memset(words, 'z', sizeof words);
    memcpy(words, &size, sizeof size);
    memcpy(words + sizeof size, text, len);
    struct hw_buffer_range ranges[] = {{.start = POINTER, .bytes = pointer, .len = sizeof pointer},
                                       {.start = WORDS, .bytes = words, .len = sizeof words}};
    struct hw_target *t;
    cr_assert_eq(hw_target_open_buffer(ranges, 2, NULL, 0, &t, NULL), HW_OK);
    struct glibc g = {.abort_msg = POINTER};
    static struct walk w;
    r = (struct hw_report){0};
    w = (struct walk){.g = &g, .target = t, .report = &r};
    glibc_read_last_words(&w);
    hw_target_close(t);
    return r.abort;
}

#define SAID(text) read_words(WORDS, 4 + sizeof(text), text, sizeof(text))

Test(act, words_that_were_said)
{
    cr_expect_str_eq(SAID("free(): invalid pointer\n").message, "free(): invalid pointer");
    cr_expect_str_eq(SAID("corrupted size vs. prev_size").message, "corrupted size vs. prev_size");
    struct hw_abort a = SAID("x");
    cr_expect(a.said && a.tid == 0 && a.arena == -1);
}

Test(act, words_that_nobody_said)
{
    cr_expect_not(read_words(0, 24, "x", 2).said, "no pointer");
    cr_expect_not(read_words(0xdead0000, 24, "x", 2).said, "it leads nowhere");
    cr_expect_not(read_words(WORDS, 0, "x", 2).said, "no bytes");
    cr_expect_not(read_words(WORDS, 4, "x", 2).said, "none but the size");
    cr_expect_not(read_words(WORDS, 24, "", 1).said, "none");
    cr_expect_not(read_words(WORDS, 24, "\n \n", 4).said, "no words");
}

Test(act, words_of_hostile_bytes)
{
    cr_expect_str_eq(SAID("a\033[31mb\xff"
                          "c\nd\n")
                         .message,
                     "a?[31mb?c?d");
    struct hw_abort a = read_words(WORDS, UINT32_MAX, "abc", 3); /* and no end */
    cr_expect_eq(strlen(a.message), HW_LAST_WORDS - 1);
    cr_expect(strncmp(a.message, "abczzz", 6) == 0);
    a = read_words(WORDS, 4 + 5, "abc", 3);
    cr_expect_str_eq(a.message, "abczz", "its size ends it");
    a = read_words(WORDS + 4096 - 8, 24, "x", 2); /* at the end of what there is */
    cr_expect(strlen(a.message) <= 4);
}
