#include "alloc/builder_private.h"

#include "analysis/analysis.h"

/* On no machine is there such a file. */
#define LIBC_PATH "/no/such/directory/libc.so.6"

/* The image that is walked, for who wants to change it meanwhile. Each test is a process. */
static struct builder *walked;
static const struct hw_target_ops *buffer_ops;

static ssize_t read_and_tell(struct hw_target *t, hw_addr addr, void *buf, size_t len,
                             struct hw_error *err)
{
    ssize_t n = buffer_ops->read(t, addr, buf, len, err);
    if (walked && walked->on_read)
        walked->on_read(walked, addr, len, &t->moving);
    return n;
}

void builder_lacks(struct builder *b, hw_addr start, hw_addr end)
{
    must(b->lack_count < LACKS_MAX);
    b->lacks[b->lack_count++] = (struct hw_range){start, end};
}

static enum hw_extent extent(const struct hw_target *t, hw_addr addr, hw_addr end, hw_addr *until)
{
    enum hw_extent what = hw_map_at(t, addr) ? HW_EXTENT_DATA : HW_EXTENT_MISSING;
    *until = end < addr + 8 ? end : addr + 8; /* words are all there, or not at all */
    for (unsigned i = 0; i < walked->lack_count; i++)
        if (addr >= walked->lacks[i].start && addr < walked->lacks[i].end)
            what = HW_EXTENT_MISSING;
    return what;
}

static ssize_t read_what_is_there(struct hw_target *t, hw_addr addr, void *buf, size_t len,
                                  struct hw_error *err)
{
    for (unsigned i = 0; i < walked->lack_count; i++) {
        const struct hw_range *r = &walked->lacks[i];
        if (addr >= r->start && addr < r->end)
            return 0;
        if (addr < r->start && len > r->start - addr)
            len = r->start - addr;
    }
    return buffer_ops->read(t, addr, buf, len, err);
}

static void missing(const struct hw_target *t, hw_addr start, hw_addr end, struct hw_missing *sum)
{
    hw_addr until;
    for (hw_addr p = start; p < end; p = until)
        if (extent(t, p, end, &until) == HW_EXTENT_MISSING) {
            sum->first = sum->bytes ? sum->first : p;
            sum->bytes += until - p;
        }
}

static void lack(struct builder *b, struct hw_target *t)
{
    walked = b;
    buffer_ops = t->ops;
    b->ops = *t->ops;
    b->ops.read = read_what_is_there;
    b->ops.read_ranges = NULL;
    b->ops.extent = extent;
    b->ops.missing = missing;
    t->ops = &b->ops;
}

static void let_run(struct builder *b, struct hw_target *t)
{
    walked = b;
    buffer_ops = t->ops;
    b->lists_read = false;
    b->ops = *t->ops;
    b->ops.read = read_and_tell;
    b->ops.read_ranges = NULL;
    t->ops = &b->ops;
    t->read_alone = true;
    t->moving = b->moving;
}

struct hw_target *builder_target(struct builder *b)
{
    HW_VEC(struct hw_buffer_range) ranges = {0};
    for (size_t i = 0; i < b->pieces.count; i++) {
        const struct piece *p = b->pieces.data[i];
        struct hw_buffer_range range = {.start = p->start,
                                        .bytes = p->bytes,
                                        .len = p->size,
                                        .flags = HW_MAP_READ | HW_MAP_WRITE,
                                        .path = p == b->libc ? LIBC_PATH : NULL};
        must(hw_vec_push(&ranges, range));
    }
    struct hw_thread thread = {.tid = THREAD_ID, .regs_known = true, .tp = b->tls};
    struct hw_target *t = NULL;
    int rc = hw_target_open_buffer(ranges.data, ranges.count, &thread, 1, &t, NULL);
    must(rc == HW_OK);
    t->who.machine = b->machine;
    t->who.page_size = b->page;
    t->leaves_out = b->leaves_out;
    if (b->on_read || b->moving)
        let_run(b, t);
    if (b->lack_count)
        lack(b, t);
    hw_vec_free(&ranges);
    return t;
}

struct recorder {
    struct result *result;
    struct hw_target *target;
    builder_schedule_fn schedule;
    builder_known_fn known;
    struct hw_analyzing *analyzing;
};

static void on_ready(void *ctx)
{
    struct recorder *recorder = ctx;
    if (walked)
        walked->lists_read = true;
    must(hw_analyses_begin(recorder->result->report, &recorder->analyzing, NULL) == HW_OK);
}

static int on_blocks(void *ctx, const struct hw_block *blocks, size_t count)
{
    struct recorder *recorder = ctx;
    hw_analyses_blocks(recorder->analyzing, blocks, count);
    must(count > 0);
    for (size_t i = 0; i < count; i++) {
        must(blocks[i].arena == blocks[0].arena);
        must(hw_vec_push(&recorder->result->blocks, blocks[i]));
    }
    return 0;
}

static bool is_known(void *ctx, unsigned arena)
{
    const struct recorder *recorder = ctx;
    return recorder->known(&recorder->result->report->arenas.data[arena]);
}

static size_t schedule(void *ctx, unsigned *arenas, size_t count)
{
    return ((const struct recorder *)ctx)->schedule(arenas, count);
}

static void on_enough(void *ctx)
{
    struct recorder *recorder = ctx;
    recorder->result->at_enough = recorder->result->blocks.count;
    recorder->target->moving = true;
}

static struct result *begin(struct builder *b, struct hw_target **t)
{
    struct result *r = calloc(1, sizeof *r);
    must(r);
    builder_link(b);
    *t = builder_target(b);
    r->report = hw_report_create();
    r->report->target.word = b->machine->word;
    r->report->target.page_size = (*t)->who.page_size;
    return r;
}

static void walk(const struct builder *b, struct hw_target *t, struct result *r, void *state)
{
    struct recorder recorder = {
        .result = r, .target = t, .known = b->known, .schedule = b->schedule};
    struct hw_sink sink = {.report = r->report,
                           .ready = on_ready,
                           .blocks = on_blocks,
                           .known = b->known ? is_known : NULL,
                           .schedule = b->schedule ? schedule : NULL,
                           .enough = on_enough,
                           .ctx = &recorder,
                           .want_lists = !b->no_lists,
                           .want_bins = b->want_bins,
                           .want_check = b->want_check};
    r->code = hw_allocator_glibc.walk(state, &sink, &r->err);
    if (r->code == HW_OK)
        hw_analyses_end(recorder.analyzing);
    else
        hw_analyses_drop(recorder.analyzing);
}

static struct result *end(struct result *r, struct hw_target *t)
{
    r->bytes_read = t->bytes_read;
    for (size_t i = 0; i < t->map_count; i++)
        r->image_bytes += t->maps[i].end - t->maps[i].start;
    hw_target_close(t);
    return r;
}

struct glibc builder_backend(const struct builder *b, struct hw_target *t)
{
    struct glibc g = {.image.target = t,
                      .rules = b->form->rules,
                      .main_arena = b->arena,
                      .mp = b->par,
                      .curbrk = b->curbrk,
                      .has_tcache = b->form->tcache.size > 0,
                      .has_thread_arena = true,
                      .tcache_offset = (int64_t)(b->tls_tcache - b->tls),
                      .thread_arena_offset = (int64_t)(b->tls_arena - b->tls),
                      .roots_source = "table",
                      .layout_source = "table"};
    must(hw_layout_init(&g.layout, &glibc_layout_desc, b->machine->word, NULL) == HW_OK);
    form_layout(b->form, &g.layout);
    return g;
}

struct result *builder_walk(struct builder *b)
{
    struct hw_target *t;
    struct result *r = begin(b, &t);
    struct glibc g = builder_backend(b, t);
    walk(b, t, r, &g);
    hw_layout_deinit(&g.layout);
    return end(r, t);
}

bool builder_busy(struct builder *b)
{
    struct hw_target *t = builder_target(b);
    struct glibc g = builder_backend(b, t);
    bool busy = hw_allocator_glibc.busy(&g);
    hw_layout_deinit(&g.layout);
    hw_target_close(t);
    return busy;
}

struct result *builder_open_and_walk(struct builder *b)
{
    struct hw_target *t;
    struct hw_modules *modules = NULL;
    void *state = NULL;
    struct result *r = begin(b, &t);
    r->code = hw_modules_open(t, NULL, &modules, &r->err);
    struct hw_image image = {.target = t, .modules = modules};
    if (r->code == HW_OK)
        r->code = hw_allocator_glibc.open(&image, &state, &r->err);
    if (r->code == HW_OK)
        walk(b, t, r, state);
    hw_allocator_glibc.close(state);
    hw_modules_close(modules);
    return end(r, t);
}

void result_destroy(struct result *r)
{
    if (!r)
        return;
    hw_report_destroy(r->report);
    hw_vec_free(&r->blocks);
    free(r);
}

const struct hw_block *block_at(const struct result *r, hw_addr address)
{
    static const struct hw_block none = {.state = HW_STATES_, .arena = -2};
    for (size_t i = 0; i < r->blocks.count; i++)
        if (r->blocks.data[i].address == address)
            return &r->blocks.data[i];
    return &none;
}

int64_t figure(const struct result *r, int arena, enum hw_metric m)
{
    struct hw_figure f = hw_report_figure(r->report, arena, m);
    must(f.known);
    return f.n;
}

uint64_t findings(const struct result *r, enum hw_finding_kind kind)
{
    return r->report->finding_counts[kind];
}
