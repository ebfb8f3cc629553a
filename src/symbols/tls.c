/*
 * Where a module's thread-local block lies.
 *
 * The dynamic linker keeps that in private structures, but it has also written it all over the
 * module's GOT: each initial-exec access to a thread-local goes through a slot that holds
 * "address - thread pointer" of it. A relocation R_X86_64_TPOFF64 names the slot and what was
 * added:
 *
 *     slot = block offset + symbol value + addend      ->      block offset = slot - value - addend
 *
 * libc has more than a dozen of them, and all must tell the same. The slots are written at load
 * time, so a core has them. The list of relocations comes from the file, or from memory where no
 * file was found. A kernel core has saved neither; then each thread's dynamic thread vector tells
 * where the blocks lie, and the program headers, how large this module's is:
 *
 *     tp + 8 -> dtv:  [size] | generation | block 1 | block 2 | ...       16 bytes each
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
};

/* Take a relocation into account; `value` is that of its symbol, 0 if it has none. */
static void consider(struct verdict *v, hw_addr slot, int64_t addend, uint64_t value, bool named)
{
    uint64_t word;
    if (slot < v->mod->start || slot >= v->mod->end ||
        hw_read_word(v->target, slot, &word, NULL) != HW_OK)
        return;
    int64_t offset = (int64_t)(word - (uint64_t)addend - value);
    if (v->known[named] && v->offset[named] != offset)
        v->differ[named] = true;
    v->known[named] = true;
    v->offset[named] = offset;
}

/* The relocations of one section of the file. */
static void consider_section(struct verdict *v, const struct hw_elf_file *f, Elf_Scn *scn,
                             const GElf_Shdr *shdr)
{
    Elf_Data *relocs = elf_getdata(scn, NULL);
    Elf_Scn *link = elf_getscn(f->elf, shdr->sh_link);
    Elf_Data *symbols = link ? elf_getdata(link, NULL) : NULL;
    GElf_Rela r;
    for (int i = 0; relocs && gelf_getrela(relocs, i, &r); i++) {
        GElf_Sym sym = {0};
        if (GELF_R_TYPE(r.r_info) != R_X86_64_TPOFF64)
            continue;
        bool named = GELF_R_SYM(r.r_info) != 0;
        if (named && (!symbols || symbols->d_type != ELF_T_SYM ||
                      !gelf_getsym(symbols, (int)GELF_R_SYM(r.r_info), &sym) ||
                      sym.st_shndx == SHN_UNDEF || GELF_ST_TYPE(sym.st_info) != STT_TLS))
            continue;
        consider(v, f->bias + r.r_offset, r.r_addend, sym.st_value, named);
    }
}

static void consider_file(struct verdict *v, const struct hw_elf_file *f)
{
    for (Elf_Scn *scn = NULL; f->elf && (scn = elf_nextscn(f->elf, scn));) {
        GElf_Shdr shdr;
        if (gelf_getshdr(scn, &shdr) && shdr.sh_type == SHT_RELA)
            consider_section(v, f, scn, &shdr);
    }
}

/* Where the dynamic section in memory says that the relocations are. */
static bool find_relocs(struct verdict *v, const struct hw_elf_image *image, hw_addr *start,
                        uint64_t *len)
{
    const Elf64_Phdr *p = hw_elf_image_phdr(image, PT_DYNAMIC);
    Elf64_Dyn dyn[128];
    if (!p)
        return false;
    size_t wanted = p->p_memsz < sizeof dyn ? (size_t)p->p_memsz : sizeof dyn;
    ssize_t n = hw_read(v->target, v->mod->bias + p->p_vaddr, dyn, wanted, NULL);
    *start = *len = 0;
    for (size_t i = 0; n > 0 && i < (size_t)n / sizeof dyn[0] && dyn[i].d_tag != DT_NULL; i++) {
        if (dyn[i].d_tag == DT_RELA)
            *start = dyn[i].d_un.d_ptr;
        else if (dyn[i].d_tag == DT_RELASZ)
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
    if (!find_relocs(v, image, &at, &len))
        return;
    Elf64_Rela relocs[128];
    while (len >= sizeof relocs[0]) {
        size_t wanted = len < sizeof relocs ? (size_t)len : sizeof relocs;
        ssize_t n = hw_read(v->target, at, relocs, wanted, NULL);
        size_t count = n > 0 ? (size_t)n / sizeof relocs[0] : 0;
        if (count == 0)
            return;
        for (size_t i = 0; i < count; i++)
            if (relocs[i].r_info == ELF64_R_INFO(0, R_X86_64_TPOFF64))
                consider(v, v->mod->bias + relocs[i].r_offset, relocs[i].r_addend, 0, false);
        at += count * sizeof relocs[0];
        len -= count * sizeof relocs[0];
    }
}

/* The executable's block always comes right below the thread pointer. */
static bool below_thread_pointer(const Elf64_Phdr *phdr, size_t count, int64_t *ret)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t align = phdr[i].p_align ? phdr[i].p_align : 1;
        if (phdr[i].p_type != PT_TLS)
            continue;
        if ((align & (align - 1)) != 0 || align > TLS_FAR || phdr[i].p_memsz > (uint64_t)TLS_FAR)
            return false;
        *ret = -(int64_t)((phdr[i].p_memsz + align - 1) & ~(align - 1));
        return true;
    }
    return false;
}

static bool exe_offset(const struct hw_module *mod, const struct hw_elf_image *image, int64_t *ret)
{
    if (!mod->is_exe)
        return false;
    if (image->phdr_count)
        return below_thread_pointer(image->phdr, image->phdr_count, ret);
    Elf64_Phdr phdr[HW_IMAGE_PHDRS];
    size_t count = hw_elf_phdrs(&mod->priv->main, phdr, HW_IMAGE_PHDRS);
    return below_thread_pointer(phdr, count, ret);
}

/* Blocks lie below the thread pointer, one behind the other. Which of them has just the room that
 * this module needs? 0 if none or several have. */
static int64_t block_that_fits(struct hw_target *t, hw_addr tp, const Elf64_Phdr *tls)
{
    uint64_t dtv, size, block;
    int64_t found = 0, above = 0;
    uint64_t slack = tls->p_align > DTV_SLACK ? tls->p_align : DTV_SLACK;
    if (hw_read_word(t, tp + 8, &dtv, NULL) != HW_OK ||
        hw_read_word(t, dtv - 16, &size, NULL) != HW_OK)
        return 0;
    for (uint64_t id = 1; id <= size && id <= DTV_MAX; id++) {
        if (hw_read_word(t, dtv + 16 * id, &block, NULL) != HW_OK)
            break;
        int64_t offset = (int64_t)(block - tp);
        if (offset >= above || offset < -TLS_FAR) /* not in static TLS, or not there yet */
            continue;
        uint64_t room = (uint64_t)(above - offset);
        above = offset;
        if (room < tls->p_memsz || room - tls->p_memsz >= slack)
            continue;
        if (found)
            return 0;
        found = offset;
    }
    return found;
}

static bool vector_offset(struct hw_target *t, const struct hw_module *mod,
                          const struct hw_elf_image *image, int64_t *ret)
{
    const Elf64_Phdr *tls = hw_elf_image_phdr(image, PT_TLS);
    *ret = 0;
    for (size_t i = 0; tls && !mod->is_exe && i < t->thread_count; i++) {
        const struct hw_thread *thread = &t->threads[i];
        int64_t offset = thread->regs_known && thread->tp ? block_that_fits(t, thread->tp, tls) : 0;
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
    struct verdict v = {.target = m->target, .mod = mod};
    struct hw_elf_image image;
    bool in_memory = hw_elf_image_read(m->target, mod->start, &image);
    consider_file(&v, &mod->priv->main);
    if (!v.known[false] && !v.known[true] && in_memory)
        consider_memory(&v, &image);
    bool named = !v.known[false];
    if (!v.known[named]) {
        if (exe_offset(mod, &image, ret) ||
            (in_memory && vector_offset(m->target, mod, &image, ret)))
            return HW_OK;
        return hw_fail(err, HW_ERR_NO_SYMBOLS, "%s has no thread-local storage of its own",
                       mod->path);
    }
    if (v.differ[named])
        return hw_fail(err, HW_ERR_CORRUPT, "%s: relocated slots disagree on where its TLS is",
                       mod->path);
    int64_t offset = v.offset[named];
    if (offset >= 0 || offset < -TLS_FAR)
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
