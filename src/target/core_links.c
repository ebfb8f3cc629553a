/*
 * Which files were mapped where, for a core that has no note of it: qemu-user writes none, old
 * kernels did not, and kernels leave it out where it would be too long. The dynamic linker keeps a
 * list, where debuggers ask it:
 *
 *     AT_PHDR -> the program's file -> DT_DEBUG in its dynamic section
 *             -> r_debug -> link_map -> link_map -> ... words: l_addr, l_name, l_ld, l_next, l_prev
 *
 * How far a file reaches is told by its ELF header, where that was saved. qemu-user does not save
 * executable parts, which begin with it on some machines; then it reaches over the row of mappings
 * from l_addr to the first that can be written:
 *
 *     | r-x  header, code | ---  | r--  .dynamic | rw-  .data | rw-  .bss, of no file
 *     l_addr                        l_ld
 *
 * Nothing of this is believed but what fits together: the list must begin with the program whose
 * dynamic section led to it.
 */
#include "target/core_image.h"
#include "target/elfclass.h"

#include <limits.h>
#include <string.h>

/* More than any process has. */
#define LINKS_MAX   4096
#define HEADERS_MAX 64
#define SEARCH_MAX  (UINT64_C(64) << 20) /* bytes to look through for DT_DEBUG */
#define DYNAMIC_MAX 128                  /* entries of a dynamic section */

enum { R_MAP = 1, L_ADDR = 0, L_NAME, L_LD, L_NEXT, L_PREV, LINK_WORDS };

struct finder {
    struct hw_target *t;
    const struct core_segments *segments;
    struct core_notes *notes;
    unsigned word;
    HW_VEC(char) names; /* paths, each ended by NUL; core_file.path is an offset until the end */
};

static const struct core_segment *segment_at(const struct finder *f, hw_addr addr)
{
    size_t i = core_segments_find(f->segments, addr);
    const struct core_segment *s = i < f->segments->list.count ? &f->segments->list.data[i] : NULL;
    return s && s->start <= addr ? s : NULL;
}

/* The segment right behind `s`, without a gap; NULL if there is none. */
static const struct core_segment *neighbour(const struct finder *f, const struct core_segment *s)
{
    const struct core_segment *next = s + 1;
    bool there = next < f->segments->list.data + f->segments->list.count;
    return there && next->start == s->end ? next : NULL;
}

/* ---- the list ------------------------------------------------------------------------------- */

struct link {
    hw_addr at, word[LINK_WORDS];
};

static bool read_link(const struct finder *f, hw_addr at, struct link *ret)
{
    uint8_t bytes[LINK_WORDS * 8];
    if (at == 0 || hw_read_all(f->t, at, bytes, LINK_WORDS * f->word, NULL) != HW_OK)
        return false;
    ret->at = at;
    for (unsigned i = 0; i < LINK_WORDS; i++)
        ret->word[i] = hw_word(bytes + i * f->word, f->word);
    return true;
}

/* An entry DT_DEBUG of this value stands at `at`: does it lead to the list? Then its first element,
 * which is the program's. */
static bool is_debug(const struct finder *f, hw_addr at, hw_addr debug, struct link *ret)
{
    uint64_t first;
    return debug && hw_read_word(f->t, debug + R_MAP * f->word, &first, NULL) == HW_OK &&
           read_link(f, first, ret) && ret->word[L_PREV] == 0 && ret->word[L_LD] <= at &&
           at - ret->word[L_LD] < DYNAMIC_MAX * 2 * f->word;
}

/* Look for DT_DEBUG in [start, end). */
static bool search(const struct finder *f, hw_addr start, hw_addr end, struct link *ret)
{
    uint8_t bytes[1 << 14];
    const size_t pair = 2 * f->word;
    while (start < end && end - start >= pair) {
        size_t want = end - start < sizeof bytes ? (size_t)(end - start) : sizeof bytes;
        ssize_t n = hw_read(f->t, start, bytes, want, NULL);
        if (n < (ssize_t)pair)
            return false;
        size_t at = 0;
        for (; at + pair <= (size_t)n; at += f->word)
            if (hw_word(bytes + at, f->word) == DT_DEBUG &&
                is_debug(f, start + at, hw_word(bytes + at + f->word, f->word), ret))
                return true;
        start += at; /* at least one word, as a pair is there */
    }
    return false;
}

/* The list's first element. The dynamic section lies in the row of mappings that begins with the
 * program's headers. */
static bool find_list(const struct finder *f, struct link *ret)
{
    uint64_t left = SEARCH_MAX;
    for (const struct core_segment *s = segment_at(f, f->notes->phdr); s; s = neighbour(f, s)) {
        uint64_t bytes = s->saved < left ? s->saved : left;
        if (search(f, s->start, s->start + bytes, ret))
            return true;
        left -= bytes;
    }
    return false;
}

/* ---- files ---------------------------------------------------------------------------------- */

static int out_of_memory(struct hw_error *err)
{
    return hw_fail(err, HW_ERR_NOMEM, "out of memory");
}

/* Add a string of the image, or `otherwise`; *at is where in f->names. False if memory is out. */
static bool add_name(struct finder *f, hw_addr addr, const char *otherwise, size_t *at)
{
    char text[PATH_MAX] = "";
    ssize_t n = addr ? hw_read(f->t, addr, text, sizeof text, NULL) : 0;
    bool good = n > 0 && text[0] && memchr(text, '\0', (size_t)n);
    const char *name = good ? text : otherwise;
    *at = f->names.count;
    for (size_t i = 0; i <= strlen(name); i++)
        if (!hw_vec_push(&f->names, name[i]))
            return false;
    return true;
}

static bool add_part(struct finder *f, hw_addr start, hw_addr end, uint64_t offset, size_t name)
{
    struct core_file file = {.start = start, .end = end, .offset = offset, .name = name};
    return start >= end || hw_vec_push(&f->notes->files, file);
}

/* The parts of a file, by the headers at `base`. False if they are not there. *ok: memory was not
 * out. */
static bool add_by_headers(struct finder *f, hw_addr base, size_t name, bool *ok)
{
    uint8_t bytes[HEADERS_MAX * sizeof(Elf64_Phdr)];
    const struct hw_machine *m = f->t->who.machine;
    uint64_t page = 4096, bias = 0;
    size_t size = hw_elf_phdr_size(m);
    Elf64_Ehdr h;
    ssize_t n = hw_read(f->t, base, bytes, sizeof h, NULL);
    if (n <= 0 || !hw_elf_ehdr(bytes, (size_t)n, &h) || h.e_phnum == 0 || h.e_phnum > HEADERS_MAX ||
        hw_read_all(f->t, base + h.e_phoff, bytes, h.e_phnum * size, NULL) != HW_OK)
        return false;
    for (unsigned i = 0; i < h.e_phnum; i++) {
        Elf64_Phdr p = hw_elf_phdr(m, bytes + i * size);
        if (p.p_type == PT_LOAD && p.p_offset < page)
            bias = base - p.p_vaddr / page * page;
    }
    for (unsigned i = 0; i < h.e_phnum && *ok; i++) {
        Elf64_Phdr p = hw_elf_phdr(m, bytes + i * size);
        hw_addr start = bias + p.p_vaddr / page * page, end = bias + p.p_vaddr + p.p_filesz;
        if (p.p_type == PT_LOAD && end <= UINT64_MAX - page)
            *ok =
                add_part(f, start, (end + page - 1) / page * page, p.p_offset / page * page, name);
    }
    return true;
}

/* The same without headers: the row of mappings from `base` to the variables. */
static bool add_by_row(struct finder *f, hw_addr base, size_t name)
{
    const struct core_segment *first = segment_at(f, base), *last = first;
    while (last && !(last->flags & HW_MAP_WRITE))
        last = neighbour(f, last);
    if (!last) /* then only where it begins is sure */
        last = first;
    return !first || add_part(f, first->start, last->end, 0, name);
}

static int add_file(struct finder *f, hw_addr base, hw_addr name_at, const char *otherwise,
                    struct hw_error *err)
{
    size_t name;
    bool ok = add_name(f, name_at, otherwise, &name);
    if (ok && !add_by_headers(f, base, name, &ok))
        ok = add_by_row(f, base, name);
    return ok ? HW_OK : out_of_memory(err);
}

static int add_all(struct finder *f, struct hw_error *err)
{
    const struct core_segment *s = segment_at(f, f->notes->phdr);
    const char *name = f->notes->comm[0] ? f->notes->comm : "program";
    struct link link = {0};
    if (!s)
        return HW_OK;
    int rc = add_file(f, s->start, f->notes->execfn, name, err);
    bool more = find_list(f, &link);
    for (unsigned i = 0; more && rc == HW_OK && i < LINKS_MAX; i++) {
        hw_addr before = link.at;
        char first;
        more = read_link(f, link.word[L_NEXT], &link) && link.word[L_PREV] == before;
        if (more && hw_read(f->t, link.word[L_NAME], &first, 1, NULL) == 1 && first == '/')
            rc = add_file(f, link.word[L_ADDR], link.word[L_NAME], "", err);
    }
    return rc;
}

int core_links_find(struct hw_target *t, const struct core_segments *segments,
                    struct core_notes *notes, struct hw_error *err)
{
    struct finder f = {.t = t, .segments = segments, .notes = notes, .word = t->who.machine->word};
    if (notes->files.count || notes->names || !notes->phdr)
        return HW_OK;
    int rc = add_all(&f, err);
    notes->names = f.names.data;
    for (size_t i = 0; i < notes->files.count; i++)
        notes->files.data[i].path = notes->names + notes->files.data[i].name;
    return rc;
}
