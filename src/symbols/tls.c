/*
 * Where a module's thread-local block lies.
 *
 * The dynamic linker keeps that in private structures, but it has also written it all over the
 * module's GOT: each initial-exec access to a thread-local goes through a slot that holds
 * "address - thread pointer" of it. A TPOFF relocation names the slot and what was added:
 *
 *     slot = block offset + symbol value + addend      ->      block offset = slot - value - addend
 *
 * libc has more than a dozen of them, and all must tell the same. The slots are written at load
 * time, so a core has them. The list of relocations comes from the file, or from memory where no
 * file was found. A kernel core has saved neither; and on i386 the addends stood in the slots
 * themselves, so from memory it is only known which addresses the block contains. Then each
 * thread's dynamic thread vector tells where the blocks lie, and the program headers, how large
 * this module's is:
 *
 *     dtv:  [size] | generation | block 1 | block 2 | ...       two words each
 *
 * The dtv's address is the second word at the thread pointer, and the blocks lie below it, the
 * first one highest; on aarch64 it is the first word, and they lie above:
 *
 *     block 2 | block 1 | <- tp        tp -> | two words | block 1 | block 2
 */
#include "symbols/private.h"

#include <inttypes.h>
#include <string.h>

/* No static TLS block is further from the thread pointer than this. */
#define TLS_FAR ((int64_t)1 << 32)

/* Modules with thread-local storage that are looked at, and what alignment may add to a block. */
#define DTV_MAX   64
#define DTV_SLACK 64

/* What the slots seen so far say. Slots of named symbols may belong to another module's variable
 * of the same name, so they count only where there are no others. */
struct verdict {
    struct hw_target *target;
    const struct hw_module *mod;
    bool known[2]; /* by whether the relocation names a symbol */
    bool differ[2];
    int64_t offset[2];
    int64_t taken; /* by the executable; 0 if it has no block */
    bool ranged;   /* of slots whose addend is not known: the block has them all */
    int64_t lowest, highest;
};

/* On that side of the thread pointer where blocks can be. */
static bool is_possible(const struct hw_machine *m, int64_t offset)
{
    return m->tls_above ? offset >= 2 * (int64_t)m->word && offset <= TLS_FAR
                        : offset < 0 && offset >= -TLS_FAR;
}

/* Take a relocation into account; `value` is that of its symbol, 0 if it has none. */
static void consider(struct verdict *v, hw_addr slot, int64_t addend, uint64_t value, bool named)
{
    uint64_t word;
    if (slot < v->mod->start || slot >= v->mod->end ||
        hw_read_word(v->target, slot, &word, NULL) != HW_OK)
        return;
    int64_t offset = hw_word_signed(v->target->who.machine, word - (uint64_t)addend - value);
    if (v->known[named] && v->offset[named] != offset)
        v->differ[named] = true;
    v->known[named] = true;
    v->offset[named] = offset;
}

/* The same for a slot whose addend it has overwritten. */
static void consider_range(struct verdict *v, hw_addr slot)
{
    uint64_t word;
    if (slot < v->mod->start || slot >= v->mod->end ||
        hw_read_word(v->target, slot, &word, NULL) != HW_OK)
        return;
    int64_t offset = hw_word_signed(v->target->who.machine, word);
    if (!v->ranged || offset < v->lowest)
        v->lowest = offset;
    if (!v->ranged || offset > v->highest)
        v->highest = offset;
    v->ranged = true;
}

/* The relocations of one section of the file. */
static void consider_table(struct verdict *v, const struct hw_relocs *relocs)
{
    struct hw_reloc r;
    for (int i = 0; hw_elf_reloc(relocs, i, &r); i++) {
        GElf_Sym sym = {0};
        int64_t addend;
        if (r.kind != HW_RELOC_TPOFF || !hw_elf_reloc_addend(relocs, &r, &addend))
            continue;
        bool named = r.symbol != 0;
        if (named && (!hw_elf_reloc_symbol(relocs, &r, &sym) || sym.st_shndx == SHN_UNDEF ||
                      GELF_ST_TYPE(sym.st_info) != STT_TLS))
            continue;
        consider(v, relocs->file->bias + r.place, addend, sym.st_value, named);
    }
}

static void consider_file(struct verdict *v, const struct hw_elf_file *f)
{
    struct hw_relocs relocs;
    for (Elf_Scn *scn = NULL; hw_elf_relocs(f, &scn, &relocs);)
        consider_table(v, &relocs);
}

/* Where the dynamic section in memory says that the relocations are. */
static bool find_relocs(struct verdict *v, const struct hw_elf_image *image, hw_addr *start,
                        uint64_t *len)
{
    bool rela = v->target->who.machine->elf_class == ELFCLASS64;
    Elf64_Dyn dyn[HW_IMAGE_DYNS];
    size_t count = hw_elf_image_dynamic(v->target, image, v->mod->bias, dyn);
    *start = *len = 0;
    for (size_t i = 0; i < count; i++) {
        if (dyn[i].d_tag == (rela ? DT_RELA : DT_REL))
            *start = dyn[i].d_un.d_ptr;
        else if (dyn[i].d_tag == (rela ? DT_RELASZ : DT_RELSZ))
            *len = dyn[i].d_un.d_val;
    }
    /* The dynamic linker may or may not have relocated the entry itself. */
    if (*start < v->mod->start)
        *start += v->mod->bias;
    return *start >= v->mod->start && *start < v->mod->end && *len <= v->mod->end - *start;
}

static void consider_memory(struct verdict *v, const struct hw_elf_image *image)
{
    hw_addr at;
    uint64_t len;
    size_t size = hw_elf_reloc_size(v->target->who.machine);
    if (!find_relocs(v, image, &at, &len))
        return;
    uint8_t bytes[128 * sizeof(Elf64_Rela)];
    while (len >= size) {
        size_t wanted = len < sizeof bytes ? (size_t)len : sizeof bytes;
        ssize_t n = hw_read(v->target, at, bytes, wanted, NULL);
        size_t used = 0;
        for (; n > 0 && used + size <= (size_t)n; used += size) {
            struct hw_reloc r = hw_elf_reloc_of(v->target->who.machine, bytes + used);
            if (r.kind != HW_RELOC_TPOFF || r.symbol != 0)
                continue;
            if (r.in_place)
                consider_range(v, v->mod->bias + r.place);
            else
                consider(v, v->mod->bias + r.place, r.addend, 0, false);
        }
        if (used == 0)
            return;
        at += used;
        len -= used;
    }
}

/* The executable's block always comes first, next to the thread pointer. */
static bool first_block(const struct hw_machine *m, const Elf64_Phdr *phdr, size_t count,
                        int64_t *ret)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t align = phdr[i].p_align ? phdr[i].p_align : 1;
        if (phdr[i].p_type != PT_TLS)
            continue;
        if ((align & (align - 1)) != 0 || align > TLS_FAR || phdr[i].p_memsz > (uint64_t)TLS_FAR)
            return false;
        uint64_t before = m->tls_above ? 2 * m->word : phdr[i].p_memsz;
        int64_t distance = (int64_t)((before + align - 1) & ~(align - 1));
        *ret = m->tls_above ? distance : -distance;
        return true;
    }
    return false;
}

static bool exe_offset(struct hw_target *t, const struct hw_module *mod, int64_t *ret)
{
    struct hw_elf_image image;
    if (!mod->is_exe)
        return false;
    if (!hw_elf_image_read(t, mod->start, &image))
        image.phdr_count = hw_elf_phdrs(&mod->priv->main, image.phdr, HW_IMAGE_PHDRS);
    return first_block(t->who.machine, image.phdr, image.phdr_count, ret);
}

/* The blocks in static TLS that the dtv of a thread names, going away from its thread pointer. */
static size_t static_blocks(struct hw_target *t, hw_addr tp, int64_t offsets[DTV_MAX])
{
    const struct hw_machine *m = t->who.machine;
    uint64_t dtv, size, block;
    size_t count = 0;
    if (hw_read_word(t, tp + (m->tls_above ? 0 : m->word), &dtv, NULL) != HW_OK)
        return 0;
    dtv = hw_untag(m, dtv);
    if (hw_read_word(t, dtv - 2 * m->word, &size, NULL) != HW_OK)
        return 0;
    for (uint64_t id = 1; id <= size && id <= DTV_MAX; id++) {
        if (hw_read_word(t, dtv + 2 * m->word * id, &block, NULL) != HW_OK)
            break;
        int64_t offset = (int64_t)(hw_untag(m, block) - tp);
        int64_t last = count ? offsets[count - 1] : 0;
        /* Others are not in static TLS, or not there yet. */
        if (is_possible(m, offset) && (m->tls_above ? offset > last : offset < last))
            offsets[count++] = offset;
    }
    return count;
}

/* Bytes between a block and what comes above it. The highest block above the thread pointer has
 * nothing there; it is as good as any. */
static uint64_t room_of(const struct hw_machine *m, const int64_t *offsets, size_t count, size_t i,
                        uint64_t wanted)
{
    if (!m->tls_above)
        return (uint64_t)((i ? offsets[i - 1] : 0) - offsets[i]);
    return i + 1 < count ? (uint64_t)(offsets[i + 1] - offsets[i]) : wanted;
}

/* Which of the blocks has just the room that this module needs, and all its slots in it? 0 if none
 * or several have. */
static int64_t block_that_fits(const struct verdict *v, hw_addr tp, const Elf64_Phdr *tls)
{
    const struct hw_machine *m = v->target->who.machine;
    int64_t offsets[DTV_MAX], found = 0;
    size_t count = static_blocks(v->target, tp, offsets);
    uint64_t slack = tls->p_align > DTV_SLACK ? tls->p_align : DTV_SLACK;
    for (size_t i = 0; i < count; i++) {
        uint64_t room = room_of(m, offsets, count, i, tls->p_memsz);
        if (offsets[i] == v->taken || room < tls->p_memsz || room - tls->p_memsz >= slack ||
            (v->ranged &&
             (v->lowest < offsets[i] || (uint64_t)(v->highest - offsets[i]) >= tls->p_memsz)))
            continue;
        if (found)
            return 0;
        found = offsets[i];
    }
    return found;
}

static bool vector_offset(struct hw_modules *m, struct verdict *v, const struct hw_elf_image *image,
                          int64_t *ret)
{
    const struct hw_target *t = v->target;
    for (size_t i = 0; i < m->count; i++)
        if (exe_offset(v->target, &m->list[i], ret))
            v->taken = *ret;
    const Elf64_Phdr *tls = hw_elf_image_phdr(image, PT_TLS);
    *ret = 0;
    for (size_t i = 0; tls && !v->mod->is_exe && i < t->thread_count; i++) {
        const struct hw_thread *thread = &t->threads[i];
        int64_t offset = thread->tp ? block_that_fits(v, thread->tp, tls) : 0;
        if (offset && *ret && offset != *ret)
            return false;
        if (offset)
            *ret = offset;
    }
    return *ret != 0;
}

int hw_module_tls_offset(struct hw_modules *m, struct hw_module *mod, int64_t *ret,
                         struct hw_error *err)
{
    const struct hw_machine *machine = m->target->who.machine;
    struct verdict v = {.target = m->target, .mod = mod};
    struct hw_elf_image image;
    bool in_memory = hw_elf_image_read(m->target, mod->start, &image);
    consider_file(&v, &mod->priv->main);
    if (!v.known[false] && !v.known[true] && in_memory)
        consider_memory(&v, &image);
    bool named = !v.known[false];
    if (!v.known[named]) {
        if (exe_offset(m->target, mod, ret) || (in_memory && vector_offset(m, &v, &image, ret)))
            return HW_OK;
        return hw_fail(err, HW_ERR_NO_SYMBOLS, "%s has no thread-local storage of its own",
                       mod->path);
    }
    if (v.differ[named])
        return hw_fail(err, HW_ERR_CORRUPT, "%s: relocated slots disagree on where its TLS is",
                       mod->path);
    int64_t offset = v.offset[named];
    if (!is_possible(machine, offset))
        return hw_fail(err, HW_ERR_CORRUPT, "%s: its TLS cannot lie at tp%+" PRId64, mod->path,
                       offset);
    *ret = offset;
    return HW_OK;
}

uint64_t hw_module_tls_size(struct hw_modules *m, const struct hw_module *mod)
{
    struct hw_elf_image image;
    if (!hw_elf_image_read(m->target, mod->start, &image))
        image.phdr_count = hw_elf_phdrs(&mod->priv->main, image.phdr, HW_IMAGE_PHDRS);
    const Elf64_Phdr *p = hw_elf_image_phdr(&image, PT_TLS);
    return p ? p->p_memsz : 0;
}
