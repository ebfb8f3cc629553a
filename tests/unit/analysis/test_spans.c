#include "analysis/spans.h"
#include "model/sample.h"

struct found {
    struct hw_block blocks[HW_SPAN_BLOCKS];
    struct hw_span spans[HW_SPAN_BLOCKS];
    size_t count;
};

/* Blocks of 16 bytes, one behind the other, by the letters of their states; ' ' is a hole. */
static struct found find(const char *text)
{
    static const char letters[] = "umtpfTo";
    struct found f = {0};
    size_t n = 0;
    for (size_t i = 0; text[i]; i++) {
        if (text[i] == ' ')
            continue;
        f.blocks[n] = sample_block((enum hw_state)(strchr(letters, text[i]) - letters), 0, 16);
        f.blocks[n++].address = 0x10000 + 16 * i;
    }
    f.count = hw_spans(f.blocks, n, f.spans);
    return f;
}

static void expect_counts(const char *text, const size_t *counts, size_t n)
{
    static struct found f;
    f = find(text);
    size_t block = 0;
    cr_assert_eq(f.count, n, "'%s' has %zu spans", text, f.count);
    for (size_t i = 0; i < n; i++) {
        const struct hw_block *first = &f.blocks[block];
        cr_expect_eq(f.spans[i].count, counts[i], "'%s', span %zu", text, i);
        cr_expect_eq(f.spans[i].bytes, 16 * counts[i], "'%s', span %zu", text, i);
        cr_expect_eq(f.spans[i].address, first->address, "'%s', span %zu", text, i);
        cr_expect_eq(f.spans[i].state, first->state, "'%s', span %zu", text, i);
        block += counts[i];
    }
}
#define EXPECT_COUNTS(text, ...)                                                                   \
    expect_counts(text, (const size_t[]){__VA_ARGS__},                                             \
                  sizeof((const size_t[]){__VA_ARGS__}) / sizeof(size_t))

Test(spans, neighbours_that_are_alike)
{
    EXPECT_COUNTS("u", 1);
    EXPECT_COUNTS("uuuu", 4);
    EXPECT_COUNTS("uuffppttuu", 2, 2, 2, 2, 2);
    EXPECT_COUNTS("ufufu", 1, 1, 1, 1, 1);
    EXPECT_COUNTS("uu uuu", 2, 3);
    cr_expect_eq(find("").count, 0);
}

Test(spans, tops_and_overhead_stand_alone)
{
    EXPECT_COUNTS("ouuooTTo", 1, 2, 1, 1, 1, 1, 1);
}

Test(spans, as_many_as_there_may_be)
{
    char text[HW_SPAN_BLOCKS + 1] = "";
    memset(text, 'u', HW_SPAN_BLOCKS);
    EXPECT_COUNTS(text, HW_SPAN_BLOCKS);
    for (size_t i = 0; i < HW_SPAN_BLOCKS; i += 2)
        text[i] = 'f';
    struct found f = find(text);
    cr_expect_eq(f.count, HW_SPAN_BLOCKS);
    cr_expect_eq(f.spans[HW_SPAN_BLOCKS - 1].count, 1);
}
