/*
 * Names to symbols and back, without trusting the tables: a name is looked at only up to NAME_MAX_
 * bytes and only inside its string table, and the index is sorted by hash rather than hashed into
 * buckets, so that no choice of names makes it slow.
 */
#include "symbols/private.h"

#include <stdlib.h>
#include <string.h>

/* Longer names (of templates, mostly) are nobody's question. */
enum { NAME_MAX_ = 256 };

struct hw_symtab_entry {
    uint32_t hash;
    uint32_t number; /* of the symbol in its table */
};

void hw_symtab_init(struct hw_symtab *s, const struct hw_elf_file *f, uint32_t type)
{
    *s = (struct hw_symtab){.bias = f->bias, .dynamic = type == SHT_DYNSYM};
    GElf_Shdr shdr;
    Elf_Scn *scn = hw_elf_section(f, type, &shdr);
    Elf_Data *symbols = scn ? elf_getdata(scn, NULL) : NULL;
    Elf_Scn *link = scn ? elf_getscn(f->elf, shdr.sh_link) : NULL;
    Elf_Data *strings = link ? elf_getdata(link, NULL) : NULL;
    if (!symbols || symbols->d_type != ELF_T_SYM || !symbols->d_buf || !strings || !strings->d_buf)
        return;
    size_t count = symbols->d_size / gelf_fsize(f->elf, ELF_T_SYM, 1, EV_CURRENT);
    s->symbols = symbols;
    s->strings = strings->d_buf;
    s->strings_len = strings->d_size;
    s->count = count < INT32_MAX ? (uint32_t)count : INT32_MAX;
}

void hw_symtab_deinit(struct hw_symtab *s)
{
    free(s->index);
    *s = (struct hw_symtab){0};
}

/* The name of a symbol and its length, NULL if it is empty, too long or not in the table. */
static const char *name_of(const struct hw_symtab *s, const GElf_Sym *sym, size_t *len)
{
    if (sym->st_name >= s->strings_len)
        return NULL;
    size_t room = s->strings_len - sym->st_name;
    if (room > NAME_MAX_)
        room = NAME_MAX_;
    const char *name = s->strings + sym->st_name;
    *len = strnlen(name, room);
    return *len > 0 && *len < room ? name : NULL;
}

/* Length of the name without a default version: "dlinfo@@GLIBC_2.34" is what "dlinfo" means. */
static size_t base_len(const char *name, size_t len)
{
    const char *at = memmem(name, len, "@@", 2);
    return at && at > name ? (size_t)(at - name) : len;
}

static uint32_t hash_of(const char *name, size_t len)
{
    uint32_t h = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < len; i++)
        h = (h ^ (uint8_t)name[i]) * 16777619u;
    return h;
}

/* Defined in a section of its own file, and something that has an address. */
static bool is_defined(const GElf_Sym *sym)
{
    switch (GELF_ST_TYPE(sym->st_info)) {
    case STT_NOTYPE:
    case STT_OBJECT:
    case STT_FUNC:
    case STT_TLS:
    case STT_GNU_IFUNC:
        return sym->st_shndx != SHN_UNDEF && sym->st_shndx != SHN_ABS &&
               sym->st_shndx != SHN_COMMON;
    default:
        return false;
    }
}

static int compare_entries(const void *a, const void *b)
{
    const struct hw_symtab_entry *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static bool build_index(struct hw_symtab *s)
{
    s->index = calloc(s->count, sizeof *s->index);
    if (!s->index)
        return false;
    for (uint32_t i = 0; i < s->count; i++) {
        GElf_Sym sym;
        size_t len;
        const char *name;
        if (!gelf_getsym(s->symbols, (int)i, &sym) || !is_defined(&sym) ||
            !(name = name_of(s, &sym, &len)))
            continue;
        s->index[s->index_len++] = (struct hw_symtab_entry){hash_of(name, base_len(name, len)), i};
    }
    qsort(s->index, s->index_len, sizeof *s->index, compare_entries);
    return true;
}

/* The first entry with this hash, or where it would stand. */
static size_t lower_bound(const struct hw_symtab *s, uint32_t hash)
{
    size_t low = 0, high = s->index_len;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (s->index[mid].hash < hash)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* Look a name up in one table. Of several, one visible outside its source file wins. */
static bool find_name(struct hw_symtab *s, const char *wanted, GElf_Sym *ret)
{
    size_t wanted_len = strlen(wanted);
    if (s->count == 0 || (!s->index && !build_index(s)))
        return false;
    bool found = false;
    uint32_t hash = hash_of(wanted, wanted_len);
    *ret = (GElf_Sym){0};
    for (size_t i = lower_bound(s, hash); i < s->index_len && s->index[i].hash == hash; i++) {
        GElf_Sym sym;
        size_t len;
        const char *name;
        if (!gelf_getsym(s->symbols, (int)s->index[i].number, &sym) ||
            !(name = name_of(s, &sym, &len)) || base_len(name, len) != wanted_len ||
            memcmp(name, wanted, wanted_len) != 0)
            continue;
        bool local = GELF_ST_BIND(sym.st_info) == STB_LOCAL;
        if (!found || !local)
            *ret = sym;
        found = true;
        if (!local)
            break;
    }
    return found;
}

bool hw_module_symbol(struct hw_module *mod, const char *name, struct hw_symbol *ret)
{
    for (size_t i = 0; i < HW_SYMTABS; i++) {
        struct hw_symtab *s = &mod->priv->tables[i];
        GElf_Sym sym;
        if (!find_name(s, name, &sym))
            continue;
        bool is_tls = GELF_ST_TYPE(sym.st_info) == STT_TLS;
        *ret = (struct hw_symbol){.address = is_tls ? sym.st_value : s->bias + sym.st_value,
                                  .size = sym.st_size,
                                  .is_tls = is_tls,
                                  .dynamic_only = s->dynamic};
        return true;
    }
    return false;
}

/* Of several names of one address, that which people use is the better one: "malloc" rather than
 * "__libc_malloc", and rather a global name than a local one. */
static int rank_of(const GElf_Sym *sym, const char *name)
{
    return 2 * (name[0] != '_') + (GELF_ST_BIND(sym->st_info) != STB_LOCAL);
}

static bool is_code_or_data(const GElf_Sym *sym)
{
    unsigned type = GELF_ST_TYPE(sym->st_info);
    return (type == STT_FUNC || type == STT_OBJECT || type == STT_GNU_IFUNC) && is_defined(sym);
}

static bool visit_table(const struct hw_symtab *s,
                        bool (*visit)(void *ctx, const char *name, hw_addr start, hw_addr end),
                        void *ctx)
{
    char name[NAME_MAX_];
    for (uint32_t n = 0; n < s->count; n++) {
        GElf_Sym sym;
        size_t len;
        if (!gelf_getsym(s->symbols, (int)n, &sym) || GELF_ST_TYPE(sym.st_info) != STT_FUNC ||
            !is_defined(&sym))
            continue;
        const char *full = name_of(s, &sym, &len);
        if (!full)
            continue;
        len = base_len(full, len);
        memcpy(name, full, len);
        name[len] = '\0';
        hw_addr start = s->bias + sym.st_value, end;
        if (__builtin_add_overflow(start, sym.st_size, &end))
            end = start;
        if (!visit(ctx, name, start, end))
            return false;
    }
    return true;
}

void hw_module_functions(struct hw_module *mod,
                         bool (*visit)(void *ctx, const char *name, hw_addr start, hw_addr end),
                         void *ctx)
{
    for (size_t i = 0; i < HW_SYMTABS; i++)
        if (!visit_table(&mod->priv->tables[i], visit, ctx))
            return;
}

const char *hw_module_name_of(struct hw_module *mod, hw_addr addr, uint64_t *offset)
{
    const char *best = NULL;
    hw_addr best_addr = 0, best_size = 0;
    int best_rank = 0;
    for (size_t i = 0; i < HW_SYMTABS; i++) {
        const struct hw_symtab *s = &mod->priv->tables[i];
        for (uint32_t n = 0; n < s->count; n++) {
            GElf_Sym sym;
            size_t len;
            if (!gelf_getsym(s->symbols, (int)n, &sym) || !is_code_or_data(&sym))
                continue;
            hw_addr at = s->bias + sym.st_value;
            const char *name =
                at <= addr && (!best || at >= best_addr) ? name_of(s, &sym, &len) : NULL;
            if (!name)
                continue;
            int rank = rank_of(&sym, name);
            if (best && at == best_addr && rank <= best_rank)
                continue;
            best = name;
            best_addr = at;
            best_size = sym.st_size;
            best_rank = rank;
        }
    }
    if (best && best_size && addr - best_addr >= best_size)
        return NULL; /* behind its end */
    if (best)
        *offset = addr - best_addr;
    return best;
}
