#include "fuzz.h"

#include "model/model.h"
#include "render/render.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <string.h>

void fuzz_fail(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("fuzz: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    abort();
}

/* ---- blocks --------------------------------------------------------------------------------- */

/* Beyond so many they are only counted. */
#define BLOCKS_KEPT ((size_t)1 << 16)

struct met {
    const struct hw_target *target;
    HW_VEC(struct hw_block) blocks;
};

static hw_addr first_of(const struct hw_block *b)
{
    return b->address - b->lead;
}

static hw_addr end_of(const struct hw_block *b)
{
    return b->address + b->bytes + b->tail;
}

static int meet(const struct hw_block *b, void *arg)
{
    struct met *met = arg;
    fuzz_require(b->state < HW_STATES_, "a block of state %u", b->state);
    fuzz_require(b->bytes <= UINT64_MAX - b->address, "the block at %#" PRIx64 " wraps",
                 b->address);
    if (met->blocks.count < BLOCKS_KEPT && b->bytes)
        fuzz_require(hw_vec_push(&met->blocks, *b), "no memory");
    return 0;
}

static int by_place(const void *a, const void *b)
{
    hw_addr x = first_of(a), y = first_of(b);
    return (x > y) - (x < y);
}

static void check_blocks(struct met *met, bool moving)
{
    struct hw_block *b = met->blocks.data;
    if (met->blocks.count == 0)
        return;
    qsort(b, met->blocks.count, sizeof *b, by_place);
    for (size_t i = 1; i < met->blocks.count && !moving; i++)
        fuzz_require(end_of(&b[i - 1]) <= first_of(&b[i]),
                     "a block of arena %d at %#" PRIx64
                     " (%s) overlaps one of arena %d at %#" PRIx64 " (%s)",
                     b[i - 1].arena, b[i - 1].address, hw_state_name(b[i - 1].state), b[i].arena,
                     b[i].address, hw_state_name(b[i].state));
}

/* ---- figures -------------------------------------------------------------------------------- */

static const enum hw_metric parts[] = {HW_M_IN_USE_BYTES, HW_M_TCACHE_BYTES, HW_M_FASTBIN_BYTES,
                                       HW_M_BIN_BYTES,    HW_M_TOP_BYTES,    HW_M_OVERHEAD_BYTES};
#define PARTS (sizeof parts / sizeof *parts)

/* What some writers of cores leave out altogether is not larger than this. */
static uint64_t left_out_max(const struct hw_target *t)
{
    return t->who.machine->word == 8 ? (uint64_t)1 << 40 : (uint64_t)64 << 20;
}

static bool is_private(const struct hw_map *map)
{
    return hw_map_is_anonymous(map) && !(map->flags & HW_MAP_SHARED);
}

/* Bytes that the image claims to have, saved or not. The list of maps is out of date in one that
 * runs, and may lack some of a row of anonymous ones in a core. */
static int64_t bytes_of(const struct hw_target *t)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < t->map_count; i++) {
        const struct hw_map *map = &t->maps[i];
        uint64_t gap = i > 0 ? map->start - map[-1].end : 0;
        bytes += map->end - map->start;
        if (i > 0 && t->leaves_out && gap < left_out_max(t) && is_private(map) &&
            is_private(map - 1))
            bytes += gap;
    }
    return t->moving || bytes > INT64_MAX ? INT64_MAX : (int64_t)bytes;
}

static void check_signs(const struct hw_report *r, int arena, int64_t limit)
{
    for (enum hw_metric m = 0; m < HW_METRICS_; m++) {
        const struct hw_metric_info *info = hw_metric_info(m);
        struct hw_figure f = hw_report_figure(r, arena, m);
        if (!f.known || (arena >= 0 && info->scope == HW_SCOPE_TOTAL))
            continue;
        if (info->unit == HW_UNIT_RATIO)
            fuzz_require(f.ratio >= 0 && f.ratio <= 1, "%d: %s is %f", arena, info->name, f.ratio);
        else if (m != HW_M_UNACCOUNTED_BYTES)
            fuzz_require(f.n >= 0, "%d: %s is %" PRId64, arena, info->name, f.n);
        if (info->unit == HW_UNIT_BYTES && m != HW_M_UNACCOUNTED_BYTES && m != HW_M_PACKED_BYTES)
            fuzz_require(f.n <= limit, "%d: %s is %" PRId64 ", all is %" PRId64, arena, info->name,
                         f.n, limit);
    }
}

static int64_t check_parts(const struct hw_report *r, int arena)
{
    int64_t sum = 0;
    for (size_t i = 0; i < PARTS; i++)
        sum += hw_report_figure(r, arena, parts[i]).n;
    struct hw_figure system = hw_report_figure(r, arena, HW_M_SYSTEM_BYTES),
                     left = hw_report_figure(r, arena, HW_M_UNACCOUNTED_BYTES);
    fuzz_require(system.known == left.known, "%d: half of the identity", arena);
    fuzz_require(!system.known || system.n == sum + left.n,
                 "%d: %" PRId64 " system bytes, %" PRId64 " met, %" PRId64 " unaccounted", arena,
                 system.n, sum, left.n);
    return sum;
}

static void check_histogram(const struct hw_histogram *h, int64_t chunks, int64_t bytes)
{
    for (unsigned i = 0; i < HW_BUCKETS; i++) {
        chunks -= (int64_t)h->chunks[i];
        bytes -= (int64_t)h->bytes[i];
    }
    fuzz_require(chunks == 0 && bytes == 0,
                 "a histogram lacks %" PRId64 " chunks, %" PRId64 " bytes", chunks, bytes);
}

static void check_arenas(const struct hw_report *r, int64_t image)
{
    int64_t sum = 0;
    for (size_t i = 0; i < r->arenas.count; i++) {
        const struct hw_arena *a = &r->arenas.data[i];
        check_signs(r, (int)i, image);
        sum += check_parts(r, (int)i);
        check_histogram(
            &a->histogram,
            hw_get(a->figures, HW_M_FASTBIN_CHUNKS) + hw_get(a->figures, HW_M_BIN_CHUNKS),
            hw_get(a->figures, HW_M_FASTBIN_BYTES) + hw_get(a->figures, HW_M_BIN_BYTES));
        fuzz_require(a->moved || hw_get(a->figures, HW_M_UNACCOUNTED_BYTES) == 0 ||
                         !hw_report_complete(r),
                     "arena %zu: complete, but there is something unaccounted for", i);
    }
    check_signs(r, -1, image);
    fuzz_require(sum == check_parts(r, -1), "the totals are not the sum of the arenas");
    fuzz_require(sum + hw_get(r->totals, HW_M_MMAPPED_BYTES) <= image,
                 "%" PRId64 " bytes of chunks in an image of %" PRId64, sum, image);
}

static void check_findings(const struct hw_report *r)
{
    bool any = false;
    for (size_t i = 0; i < HW_FINDINGS_; i++)
        any |= i != HW_FINDING_NOTE && r->finding_counts[i];
    fuzz_require(any != hw_report_complete(r), "completeness and findings contradict each other");
    for (size_t i = 0; i < r->findings.count; i++)
        fuzz_require(r->findings.data[i].line[0] && !strchr(r->findings.data[i].line, '\n'),
                     "finding %zu is not one line", i);
}

/* ---- output --------------------------------------------------------------------------------- */

/* Each line, or all of it at once, must be JSON. */
static void check_json(char *text, size_t len, bool lines)
{
    json_error_t why;
    for (char *p = text, *end = text + len; p < end;) {
        char *stop = lines ? memchr(p, '\n', (size_t)(end - p)) : NULL;
        size_t n = (size_t)((stop ? stop : end) - p);
        json_t *json = json_loadb(p, n, JSON_REJECT_DUPLICATES, &why);
        fuzz_require(json != NULL, "no JSON (%s): %.*s", why.text, (int)(n < 2000 ? n : 2000), p);
        json_decref(json);
        p += n + (stop != NULL);
    }
}

/* Names and paths may be any bytes, and terminals obey some of them. JSON escapes what it has to:
 * DEL is a character like others there, and terminals pass it over. */
static void check_text(const char *format, const char *text, size_t len)
{
    bool is_json = strcmp(format, "json") == 0;
    for (size_t i = 0; i < len; i++)
        fuzz_require(((unsigned char)text[i] >= ' ' && (text[i] != 0x7f || is_json)) ||
                         text[i] == '\n' || text[i] == '\t',
                     "%s: a character %#x in: %.*s", format, (unsigned char)text[i],
                     (int)(len < 2000 ? len : 2000), text);
}

typedef int (*print_fn)(void *arg, const struct hw_render_options *opt, FILE *out);

/* An image that changes may have become no heap at all since the walk before. */
static void print(const char *format, bool lines, bool changes, print_fn fn, void *arg)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    fuzz_require(out != NULL, "no memory");
    struct hw_render_options opt = {
        .format = format, .histogram = true, .all_arenas = true, .exact = true};
    int rc = fn(arg, &opt, out);
    fclose(out);
    fuzz_require(rc == HW_OK || rc == HW_ERR_UNSUPPORTED || (changes && rc == HW_ERR_CORRUPT),
                 "%s: %s", format, hw_code_text(rc));
    if (rc == HW_OK && strcmp(format, "json") == 0)
        check_json(text, len, lines);
    if (rc == HW_OK)
        check_text(format, text, len);
    free(text);
}

static int print_report(void *arg, const struct hw_render_options *opt, FILE *out)
{
    struct hw_error err = {0};
    int rc = hw_render(arg, opt, out, &err);
    return rc;
}

/* JSON, and one of the other formats, which are many: by the number of blocks. */
static void check_output(struct hw_report *r, unsigned extras, size_t blocks)
{
    static const char *const others[] = {"text", "csv", "malloc_stats", "text"};
    print("json", false, false, print_report, r);
    print(others[blocks % 4], false, false, print_report, r);
    if (extras & FUZZ_LISTS)
        print("malloc_info", false, false, print_report, r);
}

static int print_chunks(void *arg, const struct hw_render_options *opt, FILE *out)
{
    struct hw_report *r = NULL;
    int rc = hw_list_chunks(arg, opt, out, &r, NULL);
    hw_report_destroy(r);
    return rc;
}

struct question {
    struct hw_session *session;
    hw_addr address;
};

static int print_answer(void *arg, const struct hw_render_options *opt, FILE *out)
{
    const struct question *q = arg;
    struct hw_report *r = NULL;
    int rc = hw_whatis(q->session, q->address, opt, out, &r, NULL);
    hw_report_destroy(r);
    return rc;
}

/* Each question is a walk of its own, so it is asked in one format: by the number of blocks. */
static void ask_more(struct hw_session *s, const struct met *met, unsigned extras)
{
    static const char *const formats[] = {"json", "text", "csv"};
    size_t blocks = met->blocks.count;
    bool changes = extras & FUZZ_CHANGES;
    if (extras & FUZZ_CHUNKS)
        print(formats[blocks % 3], true, changes, print_chunks, s);
    if (!(extras & FUZZ_WHATIS))
        return;
    const struct hw_target *t = s->image.target;
    struct question ask[] = {
        {s, blocks ? met->blocks.data[blocks / 2].address + 8 : 0},
        {s, t->map_count ? t->maps[t->map_count - 1].end - 1 : 0},
        {s, t->thread_count ? t->threads[0].tp : UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof ask / sizeof *ask; i++)
        print(formats[(blocks + i) % 2], false, changes, print_answer, &ask[i]);
}

/* ---- all of it ------------------------------------------------------------------------------ */

int fuzz_inspect(struct hw_session *s, unsigned extras)
{
    struct met met = {.target = s->image.target};
    struct hw_error err = {0};
    struct hw_report *r;
    struct hw_listener listener = {.block = meet,
                                   .arg = &met,
                                   .want_lists = extras & FUZZ_LISTS,
                                   .want_bins = extras & FUZZ_BINS,
                                   .check = extras & FUZZ_CHECK,
                                   .holes = extras & FUZZ_HOLES ? 5 : 0,
                                   .sample_bytes = extras & FUZZ_HOLES ? 16 : 0};
    int rc = hw_inspect(s, &listener, &r, &err);
    fuzz_require((rc == HW_OK) == (r != NULL), "a report in spite of %s", hw_code_text(rc));
    fuzz_require(rc == HW_OK || (err.code == rc && err.text[0] && !strchr(err.text, '\n')),
                 "%s, but the error says '%s'", hw_code_text(rc), err.text);
    if (rc == HW_OK) {
        check_blocks(&met, s->image.target->moving);
        check_findings(r);
        check_arenas(r, bytes_of(s->image.target));
        check_output(r, extras, met.blocks.count);
        ask_more(s, &met, extras);
    }
    hw_report_destroy(r);
    hw_vec_free(&met.blocks);
    return rc;
}
