#include "alloc/builder_private.h"

#include <elf.h>
#include <string.h>

#define DATA_SIZE ((size_t)0x4000)
#define LIBC_PAGE ((uint64_t)4096) /* in front of its data */
#define TLS_SIZE  0x80
#define THRESHOLD (128 << 10)

static const struct places on_64_bit = {SBRK_BASE,      HEAP_BASE,      MMAP_BASE,
                                        0x7d0000000000, 0x7f7ffffff000, HEAP_MAX};
static const struct places on_32_bit = {0x56600000, 0xe0000000, 0xd0000000,
                                        0xc0000000, 0xf7bff000, 1 << 20};

unsigned builder_word(const struct builder *b)
{
    return b->form->rules.word;
}

struct piece *builder_piece(struct builder *b, hw_addr start, size_t size)
{
    struct piece *p = calloc(1, sizeof *p);
    must(p);
    *p = (struct piece){.start = start, .bytes = calloc(1, size), .size = size};
    must(p->bytes && hw_vec_push(&b->pieces, p));
    return p;
}

uint8_t *builder_at(struct builder *b, hw_addr address)
{
    for (size_t i = 0; i < b->pieces.count; i++) {
        struct piece *p = b->pieces.data[i];
        if (address >= p->start && address + builder_word(b) <= p->start + p->size)
            return p->bytes + (address - p->start);
    }
    must(false); /* an address outside the image */
    return NULL;
}

/* All machines are little-endian, this one too. */
void builder_put(struct builder *b, hw_addr address, uint64_t value, unsigned size)
{
    memcpy(builder_at(b, address), &value, size);
}

void builder_poke(struct builder *b, hw_addr address, uint64_t word)
{
    builder_put(b, address, word, builder_word(b));
}

uint64_t builder_peek(struct builder *b, hw_addr address)
{
    return hw_word(builder_at(b, address), builder_word(b));
}

hw_addr builder_here(struct builder *b)
{
    return b->current->start + b->current->used;
}

hw_addr builder_main_arena(struct builder *b)
{
    return b->arena;
}

hw_addr builder_params(struct builder *b)
{
    return b->par;
}

hw_addr builder_thread_pointer(struct builder *b)
{
    return b->tls;
}

const struct form *builder_form(const struct builder *b)
{
    return b->form;
}

void builder_set(struct builder *b, hw_addr base, int offset, uint64_t word)
{
    if (offset >= 0)
        builder_poke(b, base + (hw_addr)offset, word);
}

hw_addr builder_bin(const struct builder *b, hw_addr arena, unsigned bin)
{
    return arena + (hw_addr)b->form->state.bins + 2 * builder_word(b) * (hw_addr)(bin - 1) -
           2 * builder_word(b);
}

void builder_init_arena(struct builder *b, hw_addr arena)
{
    for (unsigned bin = 1; bin <= 127; bin++) {
        hw_addr head = builder_bin(b, arena, bin);
        builder_poke(b, head + 2 * builder_word(b), head);
        builder_poke(b, head + 3 * builder_word(b), head);
    }
    builder_set(b, arena, b->form->state.top, builder_bin(b, arena, 1));
    builder_set(b, arena, b->form->state.next, b->arena);
    builder_set(b, arena, b->form->state.attached, 1);
}

static void init_par(struct builder *b)
{
    const struct form *f = b->form;
    unsigned w = builder_word(b);
    builder_poke(b, b->par, THRESHOLD);
    builder_poke(b, b->par + 2 * w, THRESHOLD);
    builder_poke(b, b->par + 3 * w, w == 8 ? 8 : 2);
    builder_put(b, b->par + (hw_addr)f->par.n_mmaps + 4, 65536, 4);
    builder_set(b, b->par, f->par.sbrk_base, b->places->sbrk);
    if (f->par.tcache_bins < 0)
        return;
    uint64_t largest = f->size_short ? 64 * 16 + 2 * w + 1 : 63 * 16 + 3 * w;
    builder_set(b, b->par, f->par.tcache_bins, 64);
    builder_set(b, b->par, f->par.tcache_bins + (int)w, largest);
    builder_set(b, b->par, f->par.tcache_bins + 2 * (int)w, (uint64_t)f->tcache.fills);
}

void builder_init_tcache(struct builder *b)
{
    for (int i = 0; b->form->tcache.slots && i < b->form->tcache.lists; i++)
        builder_put(b, b->tcache + (hw_addr)(i * b->form->tcache.counter),
                    (uint64_t)b->form->tcache.fills, 2);
}

/* The first page of libc's file: its program headers tell how large a TLS block is. */
static void init_libc(struct builder *b)
{
    uint8_t *page = b->libc->bytes;
    unsigned w = builder_word(b);
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
    unsigned w = builder_word(b);
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
    b->places = builder_word(b) == 8 ? &on_64_bit : &on_32_bit;
    b->libc = builder_piece(b, b->places->libc, LIBC_PAGE + DATA_SIZE);
    b->page = 4096;
    b->sbrk = b->current = builder_piece(b, b->places->sbrk, PIECE_SIZE);
    b->sbrk->used = (size_t)(chunk_first(&b->form->rules, b->sbrk->start) - b->sbrk->start);
    b->prev_used = true;
    b->arena = b->libc->start + LIBC_PAGE + 0x100;
    b->par = b->libc->start + LIBC_PAGE + 0x1000;
    b->curbrk = b->libc->start + LIBC_PAGE + 0x1800;
    b->tls = b->libc->start + LIBC_PAGE + 0x2000;
    b->tcache = b->libc->start + LIBC_PAGE + 0x3000;
    builder_init_arena(b, b->arena);
    init_par(b);
    init_libc(b);
    init_thread(b);
    builder_init_tcache(b);
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
    builder_set(b, b->par, b->form->par.sbrk_base, base);
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
    builder_put(b, b->par + (hw_addr)b->form->par.n_mmaps, count, 4);
    builder_put(b, b->par + (hw_addr)b->form->par.n_mmaps + 8, count, 4);
    builder_set(b, b->par, b->form->par.mmapped, bytes);
    builder_set(b, b->par, b->form->par.mmapped + (int)builder_word(b), bytes);
}

void builder_want_bins(struct builder *b)
{
    b->want_bins = true;
}

void builder_leaves_out(struct builder *b)
{
    b->leaves_out = true;
}

void builder_want_check(struct builder *b)
{
    b->want_check = true;
}

void builder_no_lists(struct builder *b)
{
    b->no_lists = true;
}

void builder_runs(struct builder *b, bool moving, builder_read_fn fn)
{
    b->moving = moving;
    b->on_read = fn;
}

void builder_knows(struct builder *b, builder_known_fn fn)
{
    b->known = fn;
}

void builder_schedules(struct builder *b, builder_schedule_fn fn)
{
    b->schedule = fn;
}

bool builder_lists_read(const struct builder *b)
{
    return b->lists_read;
}
