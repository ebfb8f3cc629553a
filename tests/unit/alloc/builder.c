#include "alloc/builder_private.h"

#include <elf.h>
#include <string.h>

#define DATA_SIZE ((size_t)0x4000)
#define LIBC_PAGE ((uint64_t)4096) /* in front of its data */
#define TLS_SIZE  0x80
#define THRESHOLD (128 << 10)
#define P         ((uint64_t)CHUNK_P)

static const struct places on_64_bit = {SBRK_BASE,      HEAP_BASE,      MMAP_BASE,
                                        0x7d0000000000, 0x7f7ffffff000, HEAP_MAX};
static const struct places on_32_bit = {0x56600000, 0xe0000000, 0xd0000000,
                                        0xc0000000, 0xf7bff000, 1 << 20};

static unsigned word_of(const struct builder *b)
{
    return b->form->rules.word;
}

static struct piece *new_piece(struct builder *b, hw_addr start, size_t size)
{
    struct piece *p = calloc(1, sizeof *p);
    must(p);
    *p = (struct piece){.start = start, .bytes = calloc(1, size), .size = size};
    must(p->bytes && hw_vec_push(&b->pieces, p));
    return p;
}

static uint8_t *at(struct builder *b, hw_addr address)
{
    for (size_t i = 0; i < b->pieces.count; i++) {
        struct piece *p = b->pieces.data[i];
        if (address >= p->start && address + word_of(b) <= p->start + p->size)
            return p->bytes + (address - p->start);
    }
    must(false); /* an address outside the image */
    return NULL;
}

/* All machines are little-endian, this one too. */
static void poke(struct builder *b, hw_addr address, uint64_t value, unsigned size)
{
    memcpy(at(b, address), &value, size);
}

void builder_poke(struct builder *b, hw_addr address, uint64_t word)
{
    poke(b, address, word, word_of(b));
}

uint64_t builder_peek(struct builder *b, hw_addr address)
{
    return hw_word(at(b, address), word_of(b));
}

hw_addr builder_here(struct builder *b)
{
    return b->current->start + b->current->used;
}

hw_addr builder_main_arena(struct builder *b)
{
    return b->arena;
}

hw_addr builder_thread_pointer(struct builder *b)
{
    return b->tls;
}

const struct form *builder_form(const struct builder *b)
{
    return b->form;
}

static hw_addr arena_of(const struct builder *b)
{
    return b->current->is_heap ? b->current->arena : b->arena;
}

/* A member of an arena or of mp_; those that there are not are not set. */
static void set(struct builder *b, hw_addr base, int offset, uint64_t word)
{
    if (offset >= 0)
        builder_poke(b, base + (hw_addr)offset, word);
}

static hw_addr bin_head(const struct builder *b, hw_addr arena, unsigned bin)
{
    return arena + (hw_addr)b->form->state.bins + 2 * word_of(b) * (hw_addr)(bin - 1) -
           2 * word_of(b);
}

static void init_arena(struct builder *b, hw_addr arena)
{
    for (unsigned bin = 1; bin <= 127; bin++) {
        hw_addr head = bin_head(b, arena, bin);
        builder_poke(b, head + 2 * word_of(b), head);
        builder_poke(b, head + 3 * word_of(b), head);
    }
    set(b, arena, b->form->state.top, bin_head(b, arena, 1));
    set(b, arena, b->form->state.next, b->arena);
    set(b, arena, b->form->state.attached, 1);
}

static void init_par(struct builder *b)
{
    const struct form *f = b->form;
    unsigned w = word_of(b);
    builder_poke(b, b->par, THRESHOLD);
    builder_poke(b, b->par + 2 * w, THRESHOLD);
    builder_poke(b, b->par + 3 * w, w == 8 ? 8 : 2);
    poke(b, b->par + (hw_addr)f->par.n_mmaps + 4, 65536, 4);
    set(b, b->par, f->par.sbrk_base, b->places->sbrk);
    if (f->par.tcache_bins < 0)
        return;
    uint64_t largest = f->size_short ? 64 * 16 + 2 * w + 1 : 63 * 16 + 3 * w;
    set(b, b->par, f->par.tcache_bins, 64);
    set(b, b->par, f->par.tcache_bins + (int)w, largest);
    set(b, b->par, f->par.tcache_bins + 2 * (int)w, (uint64_t)f->tcache.fills);
}

static void init_tcache(struct builder *b)
{
    for (int i = 0; b->form->tcache.slots && i < b->form->tcache.lists; i++)
        poke(b, b->tcache + (hw_addr)(i * b->form->tcache.counter), (uint64_t)b->form->tcache.fills,
             2);
}

/* The first page of libc's file: its program headers tell how large a TLS block is. */
static void init_libc(struct builder *b)
{
    uint8_t *page = b->libc->bytes;
    unsigned w = word_of(b);
    if (w == 8) {
        Elf64_Ehdr h = {.e_type = ET_DYN, .e_version = EV_CURRENT, .e_phoff = sizeof h};
        Elf64_Phdr tls = {.p_type = PT_TLS, .p_memsz = TLS_SIZE, .p_align = 16};
        h.e_machine = (Elf64_Half)b->machine->elf_machine;
        h.e_phentsize = sizeof tls;
        h.e_phnum = 1;
        memcpy(page, &h, sizeof h);
        memcpy(page + sizeof h, &tls, sizeof tls);
    } else {
        Elf32_Ehdr h = {.e_type = ET_DYN, .e_version = EV_CURRENT, .e_phoff = sizeof h};
        Elf32_Phdr tls = {.p_type = PT_TLS, .p_memsz = TLS_SIZE, .p_align = 16};
        h.e_machine = (Elf32_Half)b->machine->elf_machine;
        h.e_phentsize = sizeof tls;
        h.e_phnum = 1;
        memcpy(page, &h, sizeof h);
        memcpy(page + sizeof h, &tls, sizeof tls);
    }
    memcpy(page, ELFMAG, SELFMAG);
    page[EI_CLASS] = (uint8_t)b->machine->elf_class;
    page[EI_DATA] = ELFDATA2LSB;
    page[EI_VERSION] = EV_CURRENT;
}

static void init_thread(struct builder *b)
{
    unsigned w = word_of(b);
    bool above = b->machine->tls_above;
    hw_addr block = above ? b->tls + 2 * w : b->tls - TLS_SIZE, dtv = b->tls + 0x1800;
    b->tls_tcache = block + 0x40;
    b->tls_arena = block + 0x48;
    if (!above)
        builder_poke(b, b->tls, b->tls); /* as the ABI wants it */
    builder_poke(b, b->tls + (above ? 0 : w), dtv);
    builder_poke(b, dtv - 2 * w, 1);
    builder_poke(b, dtv + 2 * w, block);
    builder_poke(b, b->tls_arena, b->arena);
    if (b->form->tcache.size)
        builder_poke(b, b->tls_tcache, b->tcache);
}

struct builder *builder_create_of(enum hw_machine_id machine, enum form_id id)
{
    struct builder *b = calloc(1, sizeof *b);
    must(b);
    b->machine = hw_machine(machine);
    b->form = form_of(b->machine->word, id);
    b->places = word_of(b) == 8 ? &on_64_bit : &on_32_bit;
    b->libc = new_piece(b, b->places->libc, LIBC_PAGE + DATA_SIZE);
    b->page = 4096;
    b->sbrk = b->current = new_piece(b, b->places->sbrk, PIECE_SIZE);
    b->sbrk->used = (size_t)(chunk_first(&b->form->rules, b->sbrk->start) - b->sbrk->start);
    b->prev_used = true;
    b->arena = b->libc->start + LIBC_PAGE + 0x100;
    b->par = b->libc->start + LIBC_PAGE + 0x1000;
    b->curbrk = b->libc->start + LIBC_PAGE + 0x1800;
    b->tls = b->libc->start + LIBC_PAGE + 0x2000;
    b->tcache = b->libc->start + LIBC_PAGE + 0x3000;
    init_arena(b, b->arena);
    init_par(b);
    init_libc(b);
    init_thread(b);
    init_tcache(b);
    return b;
}

struct builder *builder_create(void)
{
    return builder_create_of(HW_X86_64, FORM_2_35);
}

void builder_destroy(struct builder *b)
{
    if (!b)
        return;
    for (size_t i = 0; i < b->pieces.count; i++) {
        free(b->pieces.data[i]->bytes);
        free(b->pieces.data[i]);
    }
    hw_vec_free(&b->pieces);
    hw_vec_free(&b->entries);
    free(b);
}

void builder_sbrk_base(struct builder *b, hw_addr base)
{
    set(b, b->par, b->form->par.sbrk_base, base);
    if (base)
        b->sbrk->used = (size_t)(chunk_first(&b->form->rules, base) - b->sbrk->start);
}

void builder_page_size(struct builder *b, uint64_t bytes)
{
    b->page = bytes;
}

void builder_noncontiguous(struct builder *b)
{
    b->noncontiguous = true;
}

void builder_system_extra(struct builder *b, int64_t bytes)
{
    b->extra = bytes;
}

void builder_mmaps(struct builder *b, unsigned count, uint64_t bytes)
{
    poke(b, b->par + (hw_addr)b->form->par.n_mmaps, count, 4);
    poke(b, b->par + (hw_addr)b->form->par.n_mmaps + 8, count, 4);
    set(b, b->par, b->form->par.mmapped, bytes);
    set(b, b->par, b->form->par.mmapped + (int)word_of(b), bytes);
}

void builder_want_bins(struct builder *b)
{
    b->want_bins = true;
}

/* ---- chunks ---------------------------------------------------------------------------------- */

static hw_addr append(struct builder *b, uint64_t size, bool handed_out)
{
    hw_addr p = builder_here(b);
    uint64_t flags = (b->prev_used ? P : 0) | (handed_out && b->current->is_heap ? CHUNK_A : 0);
    builder_poke(b, p + word_of(b), size | flags);
    b->current->used += size;
    b->current->end = b->current->used;
    b->prev_used = true;
    return p;
}

static void remember(struct builder *b, hw_addr chunk, enum list_kind kind, unsigned index)
{
    must(hw_vec_push(&b->entries, (struct entry){arena_of(b), chunk, kind, index}));
}

hw_addr build_used(struct builder *b, uint64_t size)
{
    return append(b, size, true);
}

hw_addr build_tcache(struct builder *b, uint64_t size)
{
    const struct chunk_rules *r = &b->form->rules;
    hw_addr p = append(b, size, true);
    remember(b, p, LIST_TCACHE, (unsigned)(size - r->min_size) / r->alignment);
    return p;
}

hw_addr build_fast(struct builder *b, uint64_t size)
{
    hw_addr p = append(b, size, true);
    remember(b, p, LIST_FAST, (unsigned)(size / b->form->rules.header) - 2);
    return p;
}

static hw_addr append_free(struct builder *b, uint64_t size, unsigned bin)
{
    hw_addr p = append(b, size, false);
    builder_poke(b, p + size, size); /* foot */
    b->prev_used = false;
    remember(b, p, LIST_BIN, bin);
    return p;
}

hw_addr build_free(struct builder *b, uint64_t size)
{
    return append_free(b, size, chunk_bin_index(&b->form->rules, size));
}

hw_addr build_unsorted(struct builder *b, uint64_t size)
{
    return append_free(b, size, 1);
}

hw_addr build_tcache_struct(struct builder *b)
{
    const struct chunk_rules *r = &b->form->rules;
    hw_addr p =
        append(b, hw_align_up((uint64_t)b->form->tcache.size + r->word, r->alignment), true);
    b->tcache = p + r->header;
    builder_poke(b, b->tls_tcache, b->tcache);
    init_tcache(b);
    return p;
}

hw_addr build_mmapped(struct builder *b, uint64_t bytes)
{
    const struct chunk_rules *r = &b->form->rules;
    hw_addr start = build_foreign(b, bytes);
    uint64_t lead = r->alignment - r->header, tail = b->form->size_short ? r->header : 0;
    builder_poke(b, start + lead, lead);
    builder_poke(b, start + lead + r->word, (bytes - lead - tail) | CHUNK_M);
    hw_addr count = b->par + (hw_addr)b->form->par.n_mmaps;
    builder_mmaps(b, (unsigned)hw_word(at(b, count), 4) + 1,
                  builder_peek(b, b->par + (hw_addr)b->form->par.mmapped) + bytes);
    return start + lead;
}

/* A heap ends here: it counts in its arena's system_mem. */
static void end_heap(struct builder *b)
{
    struct piece *p = b->current;
    must(p->end % b->page == 0);
    builder_poke(b, p->start + 2 * word_of(b), p->end);
    builder_poke(b, p->start + 3 * word_of(b), p->end);
    uint64_t system = builder_peek(b, p->arena + (hw_addr)b->form->state.system) + p->end;
    set(b, p->arena, b->form->state.system, system);
    set(b, p->arena, b->form->state.system + (int)word_of(b), system);
}

hw_addr build_top(struct builder *b, uint64_t size)
{
    struct piece *piece = b->current;
    if (size == 0) { /* fill up to a page */
        size = b->page - piece->used % b->page;
        size += size < b->form->rules.min_size ? b->page : 0;
    }
    hw_addr p = append(b, size, false);
    set(b, arena_of(b), b->form->state.top, p);
    if (piece->is_heap)
        end_heap(b);
    else if (!b->noncontiguous)
        b->main_system =
            builder_here(b) - builder_peek(b, b->par + (hw_addr)b->form->par.sbrk_base);
    return p;
}

void build_heap_fence(struct builder *b, unsigned first)
{
    append(b, first, false);
    append(b, 0, false); /* the header of size 0|P */
    b->current->end = b->current->used += b->form->rules.alignment;
    end_heap(b);
}

void build_main_fence(struct builder *b, unsigned headers)
{
    const struct chunk_rules *r = &b->form->rules;
    struct piece *p = b->current;
    while (headers--)
        append(b, r->header, false);
    p->end = hw_align_up(p->used, r->alignment);
    p->used = (size_t)(chunk_first(r, p->start + p->end) - p->start);
    b->prev_used = true;
}

void build_gap(struct builder *b, uint64_t bytes, uint8_t fill)
{
    struct piece *p = b->current;
    memset(p->bytes + p->end, fill, bytes);
    p->used = (size_t)(chunk_first(&b->form->rules, p->start + p->end + bytes) - p->start);
    b->prev_used = true;
}

/* ---- pieces ---------------------------------------------------------------------------------- */

static void start_heap(struct builder *b, hw_addr arena, hw_addr prev)
{
    const struct form *f = b->form;
    hw_addr start = b->places->heap + b->heaps++ * b->places->heap_max;
    struct piece *p = new_piece(b, start, PIECE_SIZE);
    uint64_t header = (uint64_t)f->heap.size + (arena ? 0 : (uint64_t)f->state.size);
    p->is_heap = true;
    p->arena = arena ? arena : start + (hw_addr)f->heap.size;
    p->used = (size_t)(chunk_first(&f->rules, start + header) - start);
    builder_poke(b, start, p->arena);
    builder_poke(b, start + word_of(b), prev);
    set(b, start, f->heap.pagesize, b->page);
    b->current = p;
    b->prev_used = true;
}

void build_arena(struct builder *b)
{
    start_heap(b, 0, 0);
    hw_addr arena = b->current->arena;
    init_arena(b, arena);
    poke(b, arena + 4, 2, 4); /* NONCONTIGUOUS_BIT */
    set(b, arena, b->form->state.next, b->last_arena ? b->last_arena : b->arena);
    b->last_arena = arena;
    set(b, b->arena, b->form->state.next, arena);
}

void build_heap(struct builder *b)
{
    must(b->current->is_heap);
    start_heap(b, b->current->arena, b->current->start);
}

hw_addr build_mapping(struct builder *b)
{
    struct piece *p = new_piece(b, b->places->mmap + b->mappings++ * PIECE_SIZE * 2, PIECE_SIZE);
    p->used = (size_t)(chunk_first(&b->form->rules, p->start) - p->start);
    b->current = p;
    b->prev_used = true;
    return p->start;
}

hw_addr build_foreign(struct builder *b, size_t bytes)
{
    hw_addr start = b->places->foreign + b->foreign;
    b->foreign += bytes + b->page;
    return new_piece(b, start, bytes)->start;
}

void build_next_page(struct builder *b)
{
    b->current->used = (size_t)hw_align_up(b->current->used, b->page);
    b->prev_used = true;
}

/* ---- lists ----------------------------------------------------------------------------------- */

static uint64_t link_word(const struct builder *b, hw_addr place, hw_addr target)
{
    return b->form->mangled ? (place >> 12) ^ target : target;
}

static void link_tcache(struct builder *b, const struct entry *e)
{
    unsigned size = (unsigned)b->form->tcache.counter;
    hw_addr head = b->tcache + (hw_addr)b->form->tcache.entries + word_of(b) * e->index;
    hw_addr counter = b->tcache + e->index * size, user = e->chunk + b->form->rules.header;
    uint64_t count = hw_word(at(b, counter), 4) & (size == 1 ? 0xff : 0xffff);
    poke(b, counter, b->form->tcache.slots ? count - 1 : count + 1, size);
    builder_poke(b, user, link_word(b, user, builder_peek(b, head)));
    builder_poke(b, head, user);
}

static void link_fast(struct builder *b, const struct entry *e)
{
    hw_addr head = e->arena + (hw_addr)b->form->state.fastbins + word_of(b) * e->index;
    hw_addr user = e->chunk + b->form->rules.header;
    must(b->form->state.fastbins >= 0 && e->index < (unsigned)b->form->state.fast_lists);
    builder_poke(b, user, link_word(b, user, builder_peek(b, head)));
    builder_poke(b, head, e->chunk);
}

static void link_bin(struct builder *b, const struct entry *e)
{
    unsigned w = word_of(b);
    hw_addr head = bin_head(b, e->arena, e->index);
    hw_addr first = builder_peek(b, head + 2 * w);
    builder_poke(b, e->chunk + 2 * w, first);
    builder_poke(b, e->chunk + 3 * w, head);
    builder_poke(b, head + 2 * w, e->chunk);
    builder_poke(b, first + 3 * w, e->chunk);
}

void builder_link(struct builder *b)
{
    if (b->linked)
        return;
    b->linked = true;
    for (size_t i = 0; i < b->entries.count; i++) {
        const struct entry *e = &b->entries.data[i];
        if (e->kind == LIST_TCACHE)
            link_tcache(b, e);
        else if (e->kind == LIST_FAST)
            link_fast(b, e);
        else
            link_bin(b, e);
    }
    uint64_t system = b->main_system;
    if (b->noncontiguous) {
        poke(b, b->arena + 4, 2, 4);
        for (size_t i = 0; i < b->pieces.count; i++)
            if (!b->pieces.data[i]->is_heap)
                system += b->pieces.data[i]->end;
    }
    system += (uint64_t)b->extra;
    set(b, b->arena, b->form->state.system, system);
    set(b, b->arena, b->form->state.system + (int)word_of(b), system);
    builder_poke(b, b->curbrk, b->sbrk->start + b->sbrk->end);
}
