/*
 * Heaps of every era of glibc, on every machine, read by the whole backend: it finds roots, layout
 * and thread-local storage in memory alone, as in a core without any file. Many of these versions
 * run on no system that the tests run on.
 */
#include "alloc/builder_private.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#define MMAPPED_SMALL 0x30000
#define MMAPPED_LARGE 0x80000
#define LARGE_PAGES   0x10000
#define HEAP_BYTES    0x10000 /* of a heap that is not the last: whole pages of any size */
#define PER_ERA       64      /* blocks that a test remembers */

/* What is built, and what is expected of it. */
struct heap {
    struct builder *b;
    const struct form *form;
    struct result *r;
    struct hw_block laid[PER_ERA];
    unsigned count;
    int arena; /* that is built into */
    uint64_t sums[2][HW_STATES_], chunks[2][HW_STATES_];
};

/* One machine and one era. */
struct subject {
    enum hw_machine_id machine;
    enum form_id id;
};

static struct criterion_test_params all_subjects(void)
{
    static struct subject subjects[3 * FORMS_];
    size_t n = 0;
    for (unsigned m = HW_X86_64; m <= HW_AARCH64; m++)
        for (unsigned id = 0; id < FORMS_; id++)
            subjects[n++] = (struct subject){m, id};
    return cr_make_param_array(struct subject, subjects, n);
}

static struct heap begin(const struct subject *s)
{
    struct heap h = {.b = builder_create_of(s->machine, s->id)};
    if (s->machine == HW_AARCH64) /* as some systems have them */
        builder_page_size(h.b, LARGE_PAGES);
    h.form = builder_form(h.b);
    return h;
}

static void end(struct heap *h)
{
    result_destroy(h->r);
    builder_destroy(h->b);
}

static hw_addr note(struct heap *h, enum hw_state state, hw_addr address, uint64_t bytes)
{
    cr_assert(h->count < PER_ERA);
    h->laid[h->count++] = (struct hw_block){
        .address = address, .bytes = bytes, .state = (uint8_t)state, .arena = h->arena};
    h->sums[h->arena][state] += bytes;
    h->chunks[h->arena][state]++;
    return address;
}

static void used(struct heap *h, uint64_t size)
{
    note(h, HW_USED, build_used(h->b, size), size);
}

static void binned(struct heap *h, uint64_t size)
{
    note(h, HW_FREE, build_free(h->b, size), size);
}

static void unsorted(struct heap *h, uint64_t size)
{
    note(h, HW_FREE, build_unsorted(h->b, size), size);
}

/* Where this era has none, the chunk stays in use. */
static void cached(struct heap *h, uint64_t size)
{
    if (h->form->tcache.size)
        note(h, HW_CACHED, build_tcache(h->b, size), size);
    else
        used(h, size);
}

static void fast(struct heap *h, uint64_t size)
{
    if (h->form->state.fastbins >= 0)
        note(h, HW_PARKED, build_fast(h->b, size), size);
    else
        used(h, size);
}

static void top(struct heap *h)
{
    hw_addr p = build_top(h->b, 0);
    note(h, HW_TOP, p, builder_here(h->b) - p);
}

static void own_tcache(struct heap *h)
{
    if (!h->form->tcache.size)
        return;
    hw_addr p = build_tcache_struct(h->b);
    note(h, HW_USED, p, builder_here(h->b) - p);
}

/* A little of everything. */
static void fill(struct heap *h)
{
    used(h, 0x20);
    cached(h, 0x40);
    fast(h, 0x20);
    binned(h, 0x90);
    cached(h, 0x40);
    fast(h, 0x20);
    fast(h, 0x40);
    binned(h, 0x500);
    cached(h, 0x400);
    unsorted(h, 0x1200);
    used(h, 0x30);
}

static void walk(struct heap *h)
{
    h->r = builder_open_and_walk(h->b);
    cr_assert_eq(h->r->code, HW_OK, "%s", h->r->err.text);
}

static void expect_complete(const struct heap *h)
{
    const struct hw_report *r = h->r->report;
    for (size_t i = 0; i < r->findings.count; i++)
        cr_expect(false, "glibc %s: %s", h->form->versions, r->findings.data[i].text);
    cr_expect(hw_report_complete(r));
    cr_expect_str_eq(r->allocator.roots_source, "scan");
    cr_expect_str_eq(r->allocator.layout_source, "table");
    cr_expect_eq(r->allocator.main_arena, builder_main_arena(h->b));
    cr_expect_eq(r->params.chunk_alignment, h->form->rules.alignment);
}

static void expect_blocks(const struct heap *h)
{
    for (unsigned i = 0; i < h->count; i++) {
        const struct hw_block *want = &h->laid[i], *got = block_at(h->r, want->address);
        cr_expect(got->state == want->state && got->bytes == want->bytes &&
                      got->arena == want->arena,
                  "glibc %s: at %#lx: state %d, %lu bytes, arena %d", h->form->versions,
                  (unsigned long)want->address, got->state, (unsigned long)got->bytes, got->arena);
    }
}

static void expect_sums(const struct heap *h)
{
    static const struct {
        enum hw_state state;
        enum hw_metric bytes;
    } columns[] = {{HW_USED, HW_M_IN_USE_BYTES},
                   {HW_CACHED, HW_M_TCACHE_BYTES},
                   {HW_PARKED, HW_M_FASTBIN_BYTES},
                   {HW_FREE, HW_M_BIN_BYTES},
                   {HW_TOP, HW_M_TOP_BYTES}};
    for (int a = 0; a <= h->arena; a++) {
        for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
            cr_expect_eq(figure(h->r, a, columns[i].bytes), (int64_t)h->sums[a][columns[i].state],
                         "arena %d, state %d", a, (int)columns[i].state);
        cr_expect_eq(figure(h->r, a, HW_M_UNACCOUNTED_BYTES), 0);
    }
}

/* As the process itself would count. */
static void expect_mallinfo(const struct heap *h, uint64_t system, uint64_t mmaps, uint64_t mmapped)
{
    const struct hw_mallinfo2 *m = &h->r->report->mallinfo2;
    uint64_t fast_bytes = 0, fast_chunks = 0, free_bytes = 0, bins = 0;
    for (int a = 0; a <= h->arena; a++) {
        fast_bytes += h->sums[a][HW_PARKED];
        fast_chunks += h->chunks[a][HW_PARKED];
        bins += h->chunks[a][HW_FREE];
        free_bytes += h->sums[a][HW_PARKED] + h->sums[a][HW_FREE] + h->sums[a][HW_TOP];
    }
    cr_expect_eq(m->arena, system);
    cr_expect_eq(m->ordblks, bins + (uint64_t)h->arena + 1);
    cr_expect_eq(m->smblks, fast_chunks);
    cr_expect_eq(m->hblks, mmaps);
    cr_expect_eq(m->hblkhd, mmapped);
    cr_expect_eq(m->usmblks, 0);
    cr_expect_eq(m->fsmblks, fast_bytes);
    cr_expect_eq(m->uordblks, system - free_bytes);
    cr_expect_eq(m->fordblks, free_bytes);
    cr_expect_eq(m->keepcost, h->sums[0][HW_TOP]);
}

/* ---- contiguous main arena, thread arena of two heaps, chunks with mappings of their own ---- */

/* What the two headers of a fence take, and what is left over behind them. */
static uint64_t fence_bytes(const struct form *f)
{
    return 2 * f->rules.header + f->rules.alignment - f->rules.header;
}

static void first_heap(struct heap *h)
{
    build_arena(h->b);
    fill(h);
    uint64_t rest = HEAP_BYTES - builder_here(h->b) % HEAP_BYTES - fence_bytes(h->form);
    used(h, rest - 0x100);
    binned(h, 0x100);
    build_heap_fence(h->b, h->form->rules.header);
}

static void build_all(struct heap *h, hw_addr mmapped[2])
{
    own_tcache(h);
    fill(h);
    top(h);
    h->arena = 1;
    first_heap(h);
    build_heap(h->b);
    fill(h);
    top(h);
    mmapped[0] = build_mmapped(h->b, MMAPPED_SMALL);
    mmapped[1] = build_mmapped(h->b, MMAPPED_LARGE);
}

ParameterizedTestParameters(eras, everything)
{
    return all_subjects();
}

ParameterizedTest(const struct subject *s, eras, everything)
{
    struct heap h = begin(s);
    hw_addr mmapped[2];
    build_all(&h, mmapped);
    walk(&h);
    expect_complete(&h);
    expect_blocks(&h);
    expect_sums(&h);
    const struct hw_report *r = h.r->report;
    cr_expect_str_eq(r->allocator.version, h.form->versions);
    cr_expect_eq(r->params.heap_max_bytes, h.form->rules.word == 8 ? 64 << 20 : 1 << 20);
    cr_assert_eq(r->arenas.count, 2);
    cr_assert_eq(r->arenas.data[1].heaps.count, 2);
    const struct hw_heap *heaps = r->arenas.data[1].heaps.data;
    cr_expect_eq(heaps[0].tail_free_bytes, 0x100 + fence_bytes(h.form));
    cr_expect_eq(heaps[1].tail_free_bytes, 0);
    uint64_t main = (uint64_t)figure(h.r, 0, HW_M_SYSTEM_BYTES);
    expect_mallinfo(&h, main + heaps[0].bytes + heaps[1].bytes, 2, MMAPPED_SMALL + MMAPPED_LARGE);
    for (unsigned i = 0; i < 2; i++) {
        const struct hw_block *block = block_at(h.r, mmapped[i]);
        cr_expect_eq(block->state, HW_MMAPPED);
        cr_expect_eq(hw_mapping_bytes(block), i ? MMAPPED_LARGE : MMAPPED_SMALL);
    }
    if (h.form->tcache.size) {
        cr_expect_eq(r->threads.data[0].tcache_bytes.n,
                     h.sums[0][HW_CACHED] + h.sums[1][HW_CACHED]);
        cr_expect_eq(r->threads.data[0].arena, 0);
    }
    end(&h);
}

/* ---- the main arena in pieces --------------------------------------------------------------- */

/* Fill up so that a main fence ends on a page boundary. */
static void close_piece(struct heap *h)
{
    uint64_t rest = HEAP_BYTES - builder_here(h->b) % HEAP_BYTES - fence_bytes(h->form);
    used(h, rest - 0x200);
    binned(h, 0x200);
    build_main_fence(h->b, 2);
}

ParameterizedTestParameters(eras, foreign_sbrk)
{
    return all_subjects();
}

ParameterizedTest(const struct subject *s, eras, foreign_sbrk)
{
    struct heap h = begin(s);
    own_tcache(&h);
    fill(&h);
    close_piece(&h);
    build_gap(h.b, 0x3039, 0x21);
    fill(&h);
    top(&h);
    walk(&h);
    expect_complete(&h);
    expect_blocks(&h);
    expect_sums(&h);
    cr_expect_str_eq(h.r->report->allocator.version, h.form->versions);
    expect_mallinfo(&h, (uint64_t)figure(h.r, 0, HW_M_SYSTEM_BYTES), 0, 0);
    end(&h);
}

ParameterizedTestParameters(eras, noncontiguous)
{
    return all_subjects();
}

ParameterizedTest(const struct subject *s, eras, noncontiguous)
{
    struct heap h = begin(s);
    builder_noncontiguous(h.b);
    own_tcache(&h);
    fill(&h);
    close_piece(&h);
    build_mapping(h.b);
    fill(&h);
    close_piece(&h);
    used(&h, 0x100); /* the next region, in the same mapping */
    top(&h);
    walk(&h);
    expect_complete(&h);
    expect_blocks(&h);
    expect_sums(&h);
    cr_expect_not(h.r->report->arenas.data[0].contiguous);
    cr_expect_eq(h.r->report->arenas.data[0].heaps.count, 3);
    end(&h);
}

/* ---- hardly anything ------------------------------------------------------------------------ */

ParameterizedTestParameters(eras, never_used)
{
    return all_subjects();
}

ParameterizedTest(const struct subject *s, eras, never_used)
{
    struct heap h = begin(s);
    builder_sbrk_base(h.b, 0);
    walk(&h);
    cr_expect(hw_report_complete(h.r->report));
    cr_expect(h.r->report->allocator.unused);
    end(&h);
}

/* The last fence header of a heap where too little was left to be freed: what is left makes the
 * first header larger. */
ParameterizedTestParameters(eras, fences)
{
    return all_subjects();
}

ParameterizedTest(const struct subject *s, eras, fences)
{
    const struct chunk_rules *rules = &form_of(hw_machine(s->machine)->word, s->id)->rules;
    for (uint64_t left = 0; left < rules->min_size; left += rules->alignment) {
        struct heap h = begin(s);
        own_tcache(&h);
        used(&h, 0x100);
        top(&h);
        h.arena = 1;
        build_arena(h.b);
        uint64_t rest = HEAP_BYTES - builder_here(h.b) % HEAP_BYTES - fence_bytes(h.form);
        used(&h, rest - left);
        build_heap_fence(h.b, rules->header + (unsigned)left);
        build_heap(h.b);
        used(&h, 0x20);
        top(&h);
        walk(&h);
        expect_complete(&h);
        expect_blocks(&h);
        expect_sums(&h);
        cr_expect_eq(h.r->report->arenas.data[1].heaps.data[0].tail_free_bytes,
                     left + fence_bytes(h.form));
        end(&h);
    }
}

/* ---- tags in pointers ----------------------------------------------------------------------- */

#define TAG ((uint64_t)0xa << 56)

static void put_tag(struct builder *b, hw_addr at)
{
    uint64_t word = builder_peek(b, at);
    if (word)
        builder_poke(b, at, word | TAG);
}

/* Where memory is tagged, what malloc() hands out is, and so may a tcache be that came from it. The
 * CPU ignores the tag, but the kernel, whom we ask for memory, does not. */
Test(eras, tagged_pointers)
{
    for (unsigned id = FORM_2_26; id < FORMS_; id++) {
        struct heap h = begin(&(struct subject){HW_AARCH64, id});
        own_tcache(&h);
        fill(&h);
        top(&h);
        builder_link(h.b);
        put_tag(h.b, h.b->tls_tcache);
        for (unsigned i = 0; i < (unsigned)h.form->tcache.lists; i++)
            put_tag(h.b, h.b->tcache + (hw_addr)h.form->tcache.entries + 8 * i);
        walk(&h);
        expect_complete(&h);
        expect_blocks(&h);
        expect_sums(&h);
        end(&h);
    }
}

/* Elsewhere the top byte is part of the address, and such a pointer leads nowhere. */
Test(eras, no_tags_but_on_aarch64)
{
    struct heap h = begin(&(struct subject){HW_X86_64, FORM_2_35});
    own_tcache(&h);
    fill(&h);
    top(&h);
    builder_link(h.b);
    put_tag(h.b, h.b->tcache + (hw_addr)h.form->tcache.entries + (0x40 - 32) / 16 * 8);
    h.r = builder_walk(h.b);
    cr_assert_eq(h.r->code, HW_OK);
    cr_expect_eq(findings(h.r, HW_FINDING_BAD_LIST), 1);
    end(&h);
}

/* ---- damage --------------------------------------------------------------------------------- */

#define ROUNDS  24
#define SMASHED 6 /* words each time */

static uint64_t random_word(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Anywhere in the image, but rather at the beginning of a piece; something that may be taken for an
 * address, a size or nothing. */
static void smash(struct builder *b, uint64_t *state)
{
    const struct piece *p = b->pieces.data[random_word(state) % b->pieces.count];
    const struct piece *other = b->pieces.data[random_word(state) % b->pieces.count];
    size_t reach = random_word(state) % 4 ? 0x3000 : p->size;
    hw_addr at = p->start + random_word(state) % (reach / 8) * 8;
    uint64_t values[] = {0,
                         UINT64_MAX,
                         random_word(state),
                         random_word(state) % 0x2000,
                         other->start + random_word(state) % other->size / 8 * 8,
                         builder_peek(b, at) + 8 - random_word(state) % 16};
    builder_poke(b, at, values[random_word(state) % (sizeof values / sizeof *values)]);
}

ParameterizedTestParameters(eras, smashed)
{
    return all_subjects();
}

/* Whatever it says then, it comes to an end. */
ParameterizedTest(const struct subject *s, eras, smashed)
{
    uint64_t state = 88172645463325252 + (uint64_t)s->machine * FORMS_ + (uint64_t)s->id;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct heap h = begin(s);
        hw_addr mmapped[2];
        build_all(&h, mmapped);
        builder_link(h.b);
        for (unsigned k = 0; k < SMASHED; k++)
            smash(h.b, &state);
        h.r = i % 2 ? builder_walk(h.b) : builder_open_and_walk(h.b);
        cr_expect(h.r->code == HW_OK || h.r->err.text[0]);
        end(&h);
    }
}
