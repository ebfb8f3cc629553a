/*
 * Which modules the program itself is linked to. With dlmopen() a process has a second libc of the
 * same name in another namespace, mapped above or below the first; only the dynamic linker knows
 * which is which. It says so where debuggers ask it:
 *
 *     DT_DEBUG in the program's dynamic section -> r_debug -> link_map -> link_map -> ...
 *
 * which lists the modules of the first namespace only. All of it lies in memory that cores have.
 */
#include "symbols/private.h"

#include <link.h>
#include <stdlib.h>

/* No program is linked to more; a list that is longer goes round in a circle. */
enum { LINKS_MAX = 1 << 14 };

/* The r_debug that a module's dynamic section points to; 0 if it is not the program's. */
static hw_addr find_debug(struct hw_target *t, const struct hw_module *mod)
{
    struct hw_elf_image image;
    Elf64_Dyn dyn[128];
    if (!mod->priv->headers_known || !hw_elf_image_read(t, mod->start, &image))
        return 0;
    const Elf64_Phdr *p = hw_elf_image_phdr(&image, PT_DYNAMIC);
    if (!p)
        return 0;
    size_t wanted = p->p_memsz < sizeof dyn ? (size_t)p->p_memsz : sizeof dyn;
    ssize_t n = hw_read(t, mod->bias + p->p_vaddr, dyn, wanted, NULL);
    for (size_t i = 0; n > 0 && i < (size_t)n / sizeof dyn[0] && dyn[i].d_tag != DT_NULL; i++)
        if (dyn[i].d_tag == DT_DEBUG)
            return dyn[i].d_un.d_ptr;
    return 0;
}

/* Mark the modules of the list. False if there is none. */
static bool mark_linked(struct hw_modules *m, hw_addr debug)
{
    uint64_t at = 0;
    struct link_map link;
    if (!debug || hw_read_word(m->target, debug + offsetof(struct r_debug, r_map), &at, NULL) != 0)
        return false;
    size_t steps = 0;
    for (; at && steps < LINKS_MAX; steps++) {
        if (hw_read_all(m->target, at, &link, sizeof link, NULL) != HW_OK)
            break;
        /* l_ld points into the module, whatever its bias is. */
        struct hw_module *mod = hw_modules_at(m, (hw_addr)(uintptr_t)link.l_ld);
        if (mod)
            mod->priv->linked = true;
        at = (hw_addr)(uintptr_t)link.l_next;
    }
    return steps > 0;
}

static bool has_copies(const struct hw_modules *m)
{
    size_t libcs = 0;
    for (size_t i = 0; i < m->count; i++)
        libcs += hw_is_libc_name(m->list[i].name);
    return libcs > 1;
}

bool hw_modules_order(struct hw_modules *m)
{
    bool wanted = has_copies(m), known = false;
    for (size_t i = 0; i < m->count && wanted && !known; i++)
        known = mark_linked(m, find_debug(m->target, &m->list[i]));
    m->order = calloc(m->count + 1, sizeof(struct hw_module *));
    if (!m->order)
        return false;
    size_t n = 0;
    for (int linked = known; linked >= 0; linked--)
        for (size_t i = 0; i < m->count; i++)
            if (m->list[i].priv->linked == (bool)linked)
                m->order[n++] = &m->list[i];
    return true;
}
