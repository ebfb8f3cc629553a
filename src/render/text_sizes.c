/*
 * Which sizes: histograms with one line for every power of two that has chunks, or only for those
 * with most bytes and one for the rest. Chunks in bins and chunks in use stand side by side where
 * the width allows, one below the other where not.
 */
#include "render/text.h"

#include "base/cleanup.h"

#include <inttypes.h>
#include <string.h>

#define COMPACT_ROWS 5
#define REST         HW_BUCKETS /* the row of all buckets that have none of their own */

struct group {
    const char *title; /* of the column with the number of chunks */
    enum hw_style style;
    const struct hw_histogram *h;
    uint64_t chunks_of[HW_BUCKETS + 1], bytes_of[HW_BUCKETS + 1]; /* what the rows show */
    int chunks, bytes; /* widths; chunks is 0 where there is no room for it */
    unsigned room;     /* for the bar; 0: there is none */
    uint64_t most;     /* bytes of the bucket with most bytes: the longest bar */
};

/* "64 KiB", or nothing where the range has no end that could be written. */
static char *bound(const struct hw_text *t, char buf[HW_TEXT_NUMBER], unsigned bucket, bool upper)
{
    uint64_t from = UINT64_C(1) << bucket;
    if (!upper)
        hw_text_whole(t, buf, from);
    else if (bucket + 1 >= HW_BUCKETS)
        snprintf(buf, HW_TEXT_NUMBER, "more");
    else
        hw_text_whole(t, buf, t->opt->exact ? 2 * from - 1 : 2 * from);
    return buf;
}

static bool has_chunks(const struct group *groups, size_t count, unsigned row)
{
    for (size_t g = 0; g < count; g++)
        if (groups[g].chunks_of[row] || groups[g].bytes_of[row])
            return true;
    return false;
}

/* ---- which rows ----------------------------------------------------------------------------- */

static void fill(struct group *g)
{
    memcpy(g->chunks_of, g->h->chunks, sizeof g->h->chunks);
    memcpy(g->bytes_of, g->h->bytes, sizeof g->h->bytes);
    g->chunks_of[REST] = g->bytes_of[REST] = 0;
}

static void move(uint64_t *to, uint64_t *from)
{
    if (__builtin_add_overflow(*to, *from, to))
        *to = UINT64_MAX; /* only in nonsense */
    *from = 0;
}

/* Rows with more bytes tell more. */
static uint64_t weight(const struct group *groups, size_t count, unsigned row)
{
    uint64_t most = 0;
    for (size_t g = 0; g < count; g++)
        most = groups[g].bytes_of[row] > most ? groups[g].bytes_of[row] : most;
    return most;
}

/* Fold the rows that tell least into one, until COMPACT_ROWS are left. Returns how many it has. */
static unsigned fold(struct group *groups, size_t count)
{
    unsigned rows = 0, folded = 0;
    for (unsigned i = 0; i < HW_BUCKETS; i++)
        rows += has_chunks(groups, count, i);
    while (rows > COMPACT_ROWS - (folded > 0) || folded == 1) {
        unsigned least = REST;
        for (unsigned i = 0; i < HW_BUCKETS; i++)
            if (has_chunks(groups, count, i) &&
                (least == REST || weight(groups, count, i) < weight(groups, count, least)))
                least = i;
        for (size_t g = 0; g < count; g++) {
            move(&groups[g].chunks_of[REST], &groups[g].chunks_of[least]);
            move(&groups[g].bytes_of[REST], &groups[g].bytes_of[least]);
        }
        rows--;
        folded++;
    }
    return folded;
}

static int max_int(int a, int b)
{
    return a > b ? a : b;
}

static void measure(const struct hw_text *t, struct group *g)
{
    char buf[HW_TEXT_NUMBER];
    g->chunks = (int)strlen(g->title);
    g->bytes = 9;
    g->most = 0;
    for (unsigned i = 0; i <= REST; i++) {
        g->chunks =
            max_int(g->chunks, (int)strlen(hw_text_count(t, buf, hw_text_signed(g->chunks_of[i]))));
        g->bytes =
            max_int(g->bytes, (int)strlen(hw_text_size(t, buf, hw_text_signed(g->bytes_of[i]))));
        if (g->bytes_of[i] > g->most)
            g->most = g->bytes_of[i];
    }
}

/* Columns of a group, with the gap before it. */
static int width_of(const struct group *g)
{
    return (g->chunks ? 2 + g->chunks : 0) + 2 + g->bytes + (g->room ? 2 + (int)g->room : 0);
}

static void print_row(struct hw_text *t, const struct group *groups, size_t count, unsigned row)
{
    char buf[HW_TEXT_NUMBER];
    int blanks = 0; /* owed to the left of the next group */
    for (size_t i = 0; i < count; i++) {
        const struct group *g = &groups[i];
        uint64_t bytes = g->bytes_of[row], chunks = g->chunks_of[row];
        if (chunks == 0 && bytes == 0) {
            blanks += width_of(g);
            continue;
        }
        fprintf(t->out, "%*s", blanks, "");
        if (g->chunks)
            fprintf(t->out, "  %*s", g->chunks, hw_text_count(t, buf, hw_text_signed(chunks)));
        fprintf(t->out, "  %*s", g->bytes, hw_text_size(t, buf, hw_text_signed(bytes)));
        blanks = g->room ? 2 + (int)g->room : 0;
        if (g->room && bytes) {
            fputs("  ", t->out);
            blanks -= 2;
            blanks -= (int)hw_text_bar(t, g->style, (double)bytes / (double)g->most, g->room);
        }
    }
    putc('\n', t->out);
}

/* ---- the table ------------------------------------------------------------------------------ */

struct range {
    int from, to; /* widths; to is 0 where there is no room for it */
};

static int width_of_range(const struct range *r)
{
    return 2 + r->from + (r->to ? 3 + r->to : 0);
}

static struct range measure_range(const struct hw_text *t, const struct group *groups, size_t count)
{
    char buf[HW_TEXT_NUMBER];
    struct range r = {.from = 0};
    for (unsigned i = 0; i < HW_BUCKETS; i++) {
        if (!has_chunks(groups, count, i))
            continue;
        r.from = max_int(r.from, (int)strlen(bound(t, buf, i, false)));
        r.to = max_int(r.to, (int)strlen(bound(t, buf, i, true)));
    }
    return r;
}

/* Bars for every group where they can be long enough, else for the first, else for none. Bars side
 * by side are of one scale. */
static void share_out(struct group *groups, size_t count, int left)
{
    size_t bars = left / (int)count >= 2 + HW_TEXT_GOOD_BAR ? count : 1;
    int each = left / (int)bars - 2;
    if (each > HW_TEXT_MAX_BAR)
        each = HW_TEXT_MAX_BAR;
    uint64_t most = 0;
    for (size_t i = 0; i < bars; i++)
        most = groups[i].most > most ? groups[i].most : most;
    for (size_t i = 0; i < bars; i++) {
        groups[i].room = each < HW_TEXT_MIN_BAR ? 0 : (unsigned)each;
        groups[i].most = most;
    }
}

static void print_head(struct hw_text *t, const struct range *range, const struct group *groups,
                       size_t count)
{
    fprintf(t->out, "%s%*s", hw_text_on(t, HW_STYLE_HEAD), width_of_range(range), "SIZE");
    for (size_t i = 0; i < count; i++) {
        const struct group *g = &groups[i];
        if (g->chunks)
            fprintf(t->out, "  %*s", g->chunks, g->title);
        fprintf(t->out, "  %*s", g->bytes, "BYTES");
        if (g->room && i + 1 < count)
            fprintf(t->out, "  %*s", (int)g->room, "");
    }
    fprintf(t->out, "%s\n", hw_text_off(t));
}

static void print_range(struct hw_text *t, const struct range *range, unsigned row, unsigned folded)
{
    char from[HW_TEXT_NUMBER], to[HW_TEXT_NUMBER];
    if (row == REST) {
        snprintf(from, sizeof from, "%u others", folded);
        fprintf(t->out, "%*s", width_of_range(range), from);
        return;
    }
    fprintf(t->out, "  %*s", range->from, bound(t, from, row, false));
    if (range->to)
        fprintf(t->out, " - %*s", range->to, bound(t, to, row, true));
}

static void print_histogram(struct hw_text *t, struct group *groups, size_t count, bool compact)
{
    for (size_t i = 0; i < count; i++)
        fill(&groups[i]);
    unsigned folded = compact ? fold(groups, count) : 0;
    struct range range = measure_range(t, groups, count);
    int used = width_of_range(&range);
    for (size_t i = 0; i < count; i++) {
        measure(t, &groups[i]);
        used += width_of(&groups[i]);
    }
    if (count > 1 && used + 2 + HW_TEXT_MIN_BAR > (int)t->width) { /* no room side by side */
        for (size_t i = 0; i < count; i++) {
            if (i)
                putc('\n', t->out);
            print_histogram(t, &groups[i], 1, compact);
        }
        return;
    }
    /* Only figures of a damaged heap are ever too wide for one group. */
    if (used > (int)t->width)
        range.to = 0;
    if (width_of_range(&range) + width_of(&groups[0]) > (int)t->width)
        groups[0].chunks = 0;
    used = width_of_range(&range);
    for (size_t i = 0; i < count; i++)
        used += width_of(&groups[i]);
    share_out(groups, count, (int)t->width - used);
    print_head(t, &range, groups, count);
    for (unsigned i = 0; i <= REST; i++) {
        if (!has_chunks(groups, count, i))
            continue;
        print_range(t, &range, i, folded);
        print_row(t, groups, count, i);
    }
}

/* ---- sections ------------------------------------------------------------------------------- */

static struct group free_group(const struct hw_histogram *h)
{
    return (struct group){.title = "IN BINS", .style = HW_STYLE_FREE, .h = h};
}

static bool is_empty(const struct hw_histogram *h)
{
    for (unsigned i = 0; i < HW_BUCKETS; i++)
        if (h->chunks[i] || h->bytes[i])
            return false;
    return true;
}

static void whole_heap(struct hw_text *t)
{
    struct group groups[2];
    size_t count = 0;
    bool has_free = !is_empty(&t->r->histogram), has_used = !is_empty(&t->r->in_use_histogram);
    if (has_free)
        groups[count++] = free_group(&t->r->histogram);
    if (has_used)
        groups[count++] =
            (struct group){.title = "IN USE", .style = HW_STYLE_USED, .h = &t->r->in_use_histogram};
    if (count == 0)
        return;
    putc('\n', t->out);
    print_histogram(t, groups, count, !t->opt->histogram);
}

static void one_arena(struct hw_text *t, const struct hw_arena *a)
{
    char name[HW_TEXT_NAME];
    hw_text_arena_name(name, a);
    putc('\n', t->out);
    if (is_empty(&a->histogram)) {
        hw_text_say(t, 0, 2, "Arena %s has no free chunks in its bins.", name);
        return;
    }
    hw_text_say(t, 0, 2, "Free chunks of arena %s:", name);
    struct group g = free_group(&a->histogram);
    print_histogram(t, &g, 1, false);
}

void hw_text_sizes(struct hw_text *t)
{
    if (!t->opt->only_arena)
        whole_heap(t);
    if (!t->opt->only_arena && !t->opt->histogram)
        return;
    size_t shown, count;
    hw_autofree const struct hw_arena **list = hw_text_worst(t, &shown, &count);
    for (size_t i = 0; i < shown; i++)
        one_arena(t, list[i]);
}
