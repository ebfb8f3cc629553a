/*
 * The image of a heap program as a core: PT_NOTE, then PT_LOADs. To keep seeds small, all that tell
 * of zeros share their bytes in the file; of long rows of zeros there are none: they are missing.
 */
#include "heap.h"

#include "target/core_image.h"
#include "target/regs.h"

#include <string.h>

#define SEGMENTS 200

/* Zeros are looked for in steps of GRAIN bytes; rows of GAP are not written. */
#define GRAIN ((size_t)16)
#define GAP   ((size_t)512)
/* Zeros that are written around what is no zero. */
#define MARGIN ((size_t)128)
/* Longer rows than this are missing. */
#define SAVED_GAP ((size_t)16384)

static const uint8_t zeros[4096];

struct core {
    const struct hw_machine *machine;
    uint8_t notes[4096];
    size_t notes_len;
    Elf64_Phdr p[SEGMENTS];
    const uint8_t *saved[SEGMENTS]; /* their bytes */
    size_t count;
};

static void add_note(struct core *c, const char *name, uint32_t type, const void *desc, size_t len)
{
    Elf64_Nhdr h = {
        .n_namesz = (Elf64_Word)strlen(name) + 1, .n_descsz = (Elf64_Word)len, .n_type = type};
    memcpy(c->notes + c->notes_len, &h, sizeof h);
    memcpy(c->notes + c->notes_len + sizeof h, name, h.n_namesz);
    memcpy(c->notes + c->notes_len + sizeof h + 8, desc, len);
    c->notes_len += sizeof h + 8 + ((len + 3) & ~(size_t)3);
}

static void add_word(const struct core *c, uint8_t **p, uint64_t word)
{
    memcpy(*p, &word, c->machine->word);
    *p += c->machine->word;
}

static void add_thread(struct core *c, const struct hw_thread *th)
{
    uint8_t status[512] = {0}, tls[8];
    size_t regs = 32 + 10 * c->machine->word;
    memcpy(status + 16 + 2 * c->machine->word, &th->tid, sizeof th->tid);
    if (c->machine->id == HW_X86_64) /* fs_base */
        memcpy(status + regs + 21 * 8, &th->tp, 8);
    add_note(c, "CORE", NT_PRSTATUS, status, regs + hw_regs_bytes(c->machine));
    memcpy(tls, &th->tp, sizeof tls);
    if (c->machine->id == HW_AARCH64)
        add_note(c, "LINUX", NT_ARM_TLS, tls, sizeof tls);
}

/* libc's piece is the first; its path does not exist. */
static void add_file(struct core *c, const struct hw_map *map)
{
    uint8_t files[512], *p = files;
    add_word(c, &p, 1);
    add_word(c, &p, 4096);
    add_word(c, &p, map->start);
    add_word(c, &p, map->end);
    add_word(c, &p, 0);
    memcpy(p, map->path, strlen(map->path) + 1);
    add_note(c, "CORE", NT_FILE, files, (size_t)(p - files) + strlen(map->path) + 1);
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0;
}

/* Where the next row of zeros begins that is long enough to be left out; the piece's size if none
 * does. Some of them are not, behind and in front of what is no zero: structs should not be cut in
 * two. */
static size_t next_gap(const struct piece *p, size_t from)
{
    while (from + GAP <= p->size && !is_zero(p->bytes + from, GAP))
        from += GRAIN;
    return from + GAP <= p->size ? from + MARGIN : p->size;
}

static size_t end_of_gap(const struct piece *p, size_t from)
{
    size_t end = from;
    while (p->size - end >= GRAIN && is_zero(p->bytes + end, GRAIN))
        end += GRAIN;
    return end + GRAIN > p->size ? p->size : end - MARGIN;
}

static void add_load(struct core *c, hw_addr at, const uint8_t *bytes, size_t saved, size_t len)
{
    if (c->count == SEGMENTS)
        return;
    c->saved[c->count] = bytes;
    c->p[c->count++] = (Elf64_Phdr){.p_type = PT_LOAD,
                                    .p_flags = HW_MAP_READ | HW_MAP_WRITE,
                                    .p_vaddr = at,
                                    .p_filesz = saved,
                                    .p_memsz = len};
}

/* A segment for each part that is not all zeros, and for each page of zeros, up to a few. */
static void add_piece(struct core *c, const struct piece *p)
{
    for (size_t at = 0; at < p->size;) {
        size_t gap = next_gap(p, at), end = end_of_gap(p, gap);
        add_load(c, p->start + at, p->bytes + at, gap - at, gap - at);
        for (at = gap; at < end && end - gap <= SAVED_GAP; at += sizeof zeros) {
            size_t len = end - at < sizeof zeros ? end - at : sizeof zeros;
            add_load(c, p->start + at, zeros, len, len);
        }
        if (at < end)
            add_load(c, p->start + at, zeros, 0, end - at);
        at = end;
    }
}

static void write_header(const struct core *c, FILE *out)
{
    Elf64_Ehdr e = {.e_ident = {0x7f, 'E', 'L', 'F', (unsigned char)c->machine->elf_class,
                                ELFDATA2LSB, EV_CURRENT},
                    .e_type = ET_CORE,
                    .e_machine = (Elf64_Half)c->machine->elf_machine,
                    .e_version = EV_CURRENT,
                    .e_phoff = sizeof e,
                    .e_ehsize = sizeof e,
                    .e_phentsize = sizeof(Elf64_Phdr),
                    .e_phnum = (Elf64_Half)c->count};
    Elf32_Ehdr n = {.e_type = e.e_type,
                    .e_machine = e.e_machine,
                    .e_version = e.e_version,
                    .e_phoff = sizeof n,
                    .e_ehsize = sizeof n,
                    .e_phentsize = sizeof(Elf32_Phdr),
                    .e_phnum = e.e_phnum};
    memcpy(n.e_ident, e.e_ident, sizeof n.e_ident);
    if (c->machine->word == 8)
        fwrite(&e, sizeof e, 1, out);
    else
        fwrite(&n, sizeof n, 1, out);
}

static void write_segment(const struct core *c, const Elf64_Phdr *p, FILE *out)
{
    Elf32_Phdr n = {p->p_type,
                    (Elf32_Off)p->p_offset,
                    (Elf32_Addr)p->p_vaddr,
                    0,
                    (Elf32_Word)p->p_filesz,
                    (Elf32_Word)p->p_memsz,
                    p->p_flags,
                    0};
    if (c->machine->word == 8)
        fwrite(p, sizeof *p, 1, out);
    else
        fwrite(&n, sizeof n, 1, out);
}

void heap_dump(const struct heap *h, FILE *out)
{
    const struct builder *b = h->builder;
    struct core c = {.machine = b->machine};
    add_thread(&c, &h->target->threads[0]);
    for (size_t i = 0; i < h->target->map_count; i++)
        if (h->target->maps[i].path)
            add_file(&c, &h->target->maps[i]);
    c.p[c.count] = (Elf64_Phdr){.p_type = PT_NOTE, .p_filesz = c.notes_len};
    c.saved[c.count++] = c.notes;
    for (size_t i = 0; i < b->pieces.count; i++)
        add_piece(&c, b->pieces.data[i]);

    bool wide = b->machine->word == 8;
    uint64_t at = (wide ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr)) +
                  c.count * (wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr));
    write_header(&c, out);
    uint64_t zeros_at = at;
    at += sizeof zeros;
    for (size_t i = 0; i < c.count; i++) {
        c.p[i].p_offset = c.saved[i] == zeros ? zeros_at : at;
        at += c.saved[i] == zeros ? 0 : c.p[i].p_filesz;
        write_segment(&c, &c.p[i], out);
    }
    fwrite(zeros, 1, sizeof zeros, out);
    for (size_t i = 0; i < c.count; i++)
        if (c.saved[i] != zeros)
            fwrite(c.saved[i], 1, (size_t)c.p[i].p_filesz, out);
}
