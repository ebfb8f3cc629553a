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

#include <stdlib.h>

/* No program is linked to more; a list that is longer goes round in a circle. */
enum { LINKS_MAX = 1 << 14 };

/*
 * What <link.h> promises of both structures, in words of the target:
 *
 *     r_debug     version (padded), map, ...
 *     link_map    l_addr, l_name, l_ld, l_next, l_prev
 */
enum { R_MAP = 1, L_LD = 2, L_NEXT = 3 };

/* The r_debug that a module's dynamic section points to; 0 if it is not the program's. */
static hw_addr find_debug(struct hw_target *t, const struct hw_module *mod)
{
    struct hw_elf_image image;
    Elf64_Dyn dyn[HW_IMAGE_DYNS];
    if (!mod->priv->headers_known || !hw_elf_image_read(t, mod->start, &image))
        return 0;
    size_t count = hw_elf_image_dynamic(t, &image, mod->bias, dyn);
    for (size_t i = 0; i < count; i++)
        if (dyn[i].d_tag == DT_DEBUG)
            return dyn[i].d_un.d_ptr;
    return 0;
}

/* Mark the modules of the list. False if there is none. */
static bool mark_linked(struct hw_modules *m, hw_addr debug)
{
    uint64_t at = 0, dynamic;
    unsigned word = m->target->who.machine->word;
    if (!debug || hw_read_word(m->target, debug + R_MAP * word, &at, NULL) != HW_OK)
        return false;
    size_t steps = 0;
    for (; at && steps < LINKS_MAX; steps++) {
        uint64_t next;
        if (hw_read_word(m->target, at + L_LD * word, &dynamic, NULL) != HW_OK ||
            hw_read_word(m->target, at + L_NEXT * word, &next, NULL) != HW_OK)
            break;
        /* l_ld points into the module, whatever its bias is. */
        struct hw_module *mod = hw_modules_at(m, dynamic);
        if (mod)
            mod->priv->linked = true;
        at = next;
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
