/*
 * Is it malloc at all? What the resident memory of the process is for, in one sum.
 */
#include "render/text.h"

#include <string.h>

struct part {
    const char *label;
    size_t field; /* in struct hw_rss */
    bool malloc;  /* glibc's: with its share of RSS, and never left out */
};

static const struct part parts[] = {
    {"glibc heaps", offsetof(struct hw_rss, glibc_heap_bytes), true},
    {"mmapped chunks", offsetof(struct hw_rss, mmapped_chunk_bytes), false},
    {"stacks", offsetof(struct hw_rss, stack_bytes), false},
    {"files", offsetof(struct hw_rss, file_bytes), false},
    {"shmem", offsetof(struct hw_rss, shmem_bytes), false},
    {"other anonymous", offsetof(struct hw_rss, other_anon_bytes), false},
};
enum { PARTS = sizeof parts / sizeof *parts };

/* "(with jemalloc's)": heapwalk cannot tell their heaps from the rest. */
static void put_others(struct hw_flow *f, const struct hw_report *r)
{
    size_t named = 0, put = 0;
    for (size_t i = 0; i < r->allocator.others.count; i++)
        named += r->allocator.others.data[i].name != NULL;
    for (size_t i = 0; i < r->allocator.others.count; i++)
        if (r->allocator.others.data[i].name) {
            hw_flow_words(f, "%s%s's%s", put ? "" : "(with ", r->allocator.others.data[i].name,
                          put + 1 < named ? "," : ")");
            put++;
        }
}

/* The sum of the parts is RSS, but for what the kernel's counters lag behind its pages. */
static void put_sum(struct hw_text *t, struct hw_flow *f)
{
    const struct hw_rss *rss = &t->r->rss;
    uint64_t bytes[PARTS + 1];
    char numbers[PARTS + 1][HW_SIZE_TEXT], buf[HW_TEXT_NUMBER];
    for (size_t i = 0; i < PARTS; i++)
        memcpy(&bytes[i], (const char *)rss + parts[i].field, sizeof bytes[i]);
    bytes[PARTS] = rss->unexplained_bytes > 0 ? (uint64_t)rss->unexplained_bytes : 0;
    uint64_t sum = hw_format_parts(numbers, bytes, PARTS + 1, t->opt->exact);

    hw_text_amount(t, buf, hw_text_signed(sum));
    hw_flow_words(f, "%s", buf);
    if (sum != rss->rss_bytes) {
        char kernel[HW_TEXT_NUMBER];
        hw_text_amount(t, kernel, hw_text_signed(rss->rss_bytes));
        if (strcmp(kernel, buf) != 0)
            hw_flow_words(f, "(of which the kernel's counter has %s)", kernel);
    }
    const char *sign = "=";
    for (size_t i = 0; i <= PARTS; i++) {
        bool own = i < PARTS && parts[i].malloc;
        if (hw_is_zero_text(numbers[i]) && !own)
            continue;
        hw_flow_piece(f, "%s %s %s", sign, i < PARTS ? parts[i].label : "unexplained", numbers[i]);
        if (own && sum)
            hw_flow_piece(f, "(%s)", hw_text_percent(buf, (double)bytes[i] / (double)sum));
        if (i < PARTS && parts[i].field == offsetof(struct hw_rss, other_anon_bytes))
            put_others(f, t->r);
        sign = "+";
    }
    if (rss->swap_bytes)
        hw_flow_words(f, "(and %s in swap)",
                      hw_text_amount(t, buf, hw_text_signed(rss->swap_bytes)));
}

void hw_text_ledger(struct hw_text *t)
{
    if (t->r->rss.known) {
        struct hw_flow f = hw_flow_label(t, "RSS");
        f.gap = 1;
        put_sum(t, &f);
        hw_flow_end(&f);
    } else if (!t->r->target.live && !t->r->allocator.unused) {
        hw_text_say(t, 0, 0,
                    "All sizes are of address space: what was in RAM a core does not tell.");
    } else if (!t->r->allocator.unused) {
        hw_text_say(t, 0, 0, "All sizes are of address space: what is in RAM could not be read.");
    }
}
