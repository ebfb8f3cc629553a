/*
 * Struct layouts from DWARF.
 *
 * Debug sections are compressed more often than not, and libdw inflates all of them when it opens a
 * file: for libc that doubles time and memory for line tables and locations that nobody asks for.
 * So the file is opened a second time here. In that private copy of its headers, sections that are
 * not needed are marked as empty, the others are inflated; closing a hw_types gives everything
 * back.
 *
 * Chains in DWARF (types of types, units that import units, siblings) may be circular in a damaged
 * file; each is followed a limited number of steps, and all of them together have a budget.
 */
#include "symbols/types.h"
#include "base/cleanup.h"
#include "symbols/inflate.h"
#include "symbols/private.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <endian.h>
#include <string.h>

enum { PEEL_MAX = 32, DEPTH_MAX = 4, NAMES_MAX = 16, SECTIONS_MAX = 16 };

/* So many entries are looked at in all: some thousand are enough for glibc's, and it ends soon. */
#define STEPS_MAX ((unsigned)1 << 22)

/* A section that inflates to more than this is not opened. */
#define INFLATED_MAX ((uint64_t)512 << 20)

/* A struct looked up before. */
struct known_struct {
    char name[64];
    Dwarf_Die die;
};

struct hw_types {
    Elf *elf;
    Dwarf *dwarf;
    Dwarf_Die unit;
    void *buffers[SECTIONS_MAX]; /* what sections hold instead of what is in the file */
    size_t buffer_count;
    struct known_struct known[NAMES_MAX];
    size_t known_count;
    unsigned steps; /* that may still be made */
};

/* ---- opening -------------------------------------------------------------------------------- */

/* The older way of compressing them: ".zdebug_info", which begins with "ZLIB" and its size. */
static bool is_old_packed(const char *name)
{
    return strncmp(name, ".zdebug_", 8) == 0;
}

static bool is_debug(const char *name)
{
    return strncmp(name, ".debug_", 7) == 0 || is_old_packed(name);
}

static bool is_needed(const char *name)
{
    static const char *const needed[] = {"info",   "abbrev",   "str",  "line_str",
                                         "types",  "aranges",  "addr", "str_offsets",
                                         "ranges", "rnglists", NULL};
    name = strchr(name, '_') + 1;
    for (size_t i = 0; needed[i]; i++)
        if (strcmp(name, needed[i]) == 0)
            return true;
    return false;
}

/* Only the headers in libelf's own memory change, never the file. */
static void hide_section(Elf_Scn *scn, GElf_Shdr *shdr)
{
    shdr->sh_type = SHT_NOBITS;
    gelf_update_shdr(scn, shdr);
}

/* What a section inflates to. */
static uint64_t inflated_bytes(Elf_Scn *scn, const GElf_Shdr *shdr, const char *name)
{
    GElf_Chdr chdr;
    if (shdr->sh_flags & SHF_COMPRESSED)
        return gelf_getchdr(scn, &chdr) ? chdr.ch_size : UINT64_MAX;
    if (!is_old_packed(name))
        return 0;
    const Elf_Data *data = elf_rawdata(scn, NULL);
    uint64_t size; /* big-endian */
    if (!data || !data->d_buf || data->d_size < 4 + sizeof size)
        return UINT64_MAX;
    memcpy(&size, (const char *)data->d_buf + 4, sizeof size);
    return be64toh(size);
}

/* Inflate it if it is compressed. False if that cannot be done. */
static bool inflate_section(struct hw_types *t, Elf_Scn *scn, const GElf_Shdr *shdr,
                            const char *name, void **ret)
{
    *ret = NULL;
    if (is_old_packed(name))
        return elf_compress_gnu(scn, 0, 0) >= 0;
    if (!(shdr->sh_flags & SHF_COMPRESSED))
        return true;
    *ret = hw_inflate_section(t->elf, scn, shdr);
    return *ret || elf_compress(scn, 0, 0) >= 0; /* which knows more formats */
}

static void prepare_section(struct hw_types *t, Elf_Scn *scn, GElf_Shdr *shdr, const char *name)
{
    void *buf = NULL;
    if (!is_debug(name))
        return;
    if (!is_needed(name) || t->buffer_count == SECTIONS_MAX ||
        inflated_bytes(scn, shdr, name) > INFLATED_MAX ||
        !inflate_section(t, scn, shdr, name, &buf) || (!buf && !hw_terminate_section(scn, &buf)))
        hide_section(scn, shdr);
    if (buf)
        t->buffers[t->buffer_count++] = buf;
}

static void prepare_sections(struct hw_types *t)
{
    size_t names;
    if (elf_getshdrstrndx(t->elf, &names) != 0)
        return;
    for (Elf_Scn *scn = NULL; (scn = elf_nextscn(t->elf, scn));) {
        GElf_Shdr shdr;
        const char *name =
            gelf_getshdr(scn, &shdr) ? elf_strptr(t->elf, names, shdr.sh_name) : NULL;
        if (name)
            prepare_section(t, scn, &shdr, name);
    }
}

static bool open_dwarf(struct hw_types *t, const struct hw_elf_file *f)
{
    t->elf = elf_begin(f->fd, ELF_C_READ, NULL);
    if (!t->elf)
        return false;
    prepare_sections(t);
    t->dwarf = dwarf_begin_elf(t->elf, DWARF_C_READ, NULL);
    return t->dwarf != NULL;
}

/* ---- finding the unit ----------------------------------------------------------------------- */

static bool is_source(Dwarf_Die *unit, const char *source)
{
    const char *name = dwarf_diename(unit);
    const char *slash = name ? strrchr(name, '/') : NULL;
    return name && strcmp(slash ? slash + 1 : name, source) == 0;
}

/* The unit of that name; of several, the one whose code contains `addr`. */
static bool find_unit_by_source(struct hw_types *t, const char *source, const Dwarf_Addr *addr,
                                bool *holds)
{
    bool found = false;
    Dwarf_CU *cu = NULL;
    Dwarf_Half version;
    uint8_t type;
    Dwarf_Die unit, sub;
    *holds = false;
    /* Units follow one another in the section. */
    while (!*holds && dwarf_get_units(t->dwarf, cu, &cu, &version, &type, &unit, &sub) == 0) {
        if (type != DW_UT_compile || !is_source(&unit, source))
            continue;
        *holds = addr && dwarf_haspc(&unit, *addr) > 0;
        if (!found || *holds)
            t->unit = unit;
        found = true;
    }
    return found;
}

/* By name first: it takes half the time of sorting the whole .debug_aranges. */
static bool find_unit(struct hw_types *t, struct hw_module *mod, const struct hw_elf_file *f,
                      const char *function, const char *source)
{
    struct hw_symbol symbol;
    bool addr_known = hw_module_symbol(mod, function, &symbol) && !symbol.is_tls, holds;
    Dwarf_Addr addr = addr_known ? symbol.address - f->bias : 0;
    bool found = find_unit_by_source(t, source, addr_known ? &addr : NULL, &holds);
    Dwarf_Die unit;
    if (!holds && addr_known && dwarf_addrdie(t->dwarf, addr, &unit)) {
        t->unit = unit;
        found = true;
    }
    return found;
}

int hw_types_open(struct hw_module *mod, const char *function, const char *source,
                  struct hw_types **ret, struct hw_error *err)
{
    *ret = NULL;
    const struct hw_elf_file *f = &mod->priv->debug;
    if (!hw_elf_has_dwarf(f))
        f = &mod->priv->main;
    if (!hw_elf_has_dwarf(f)) {
        hw_fail(err, HW_ERR_NO_SYMBOLS, "%s has no debug information", mod->path);
        hw_remedy(err, "install the debug package of %s", mod->name);
        return HW_ERR_NO_SYMBOLS;
    }
    struct hw_types *t = calloc(1, sizeof *t);
    if (!t)
        return hw_fail(err, HW_ERR_NOMEM, "out of memory");
    t->steps = STEPS_MAX;
    int rc = HW_OK;
    if (!open_dwarf(t, f))
        rc = hw_fail(err, HW_ERR_NO_SYMBOLS, "%s: %s", f->path, dwarf_errmsg(-1));
    else if (!find_unit(t, mod, f, function, source))
        rc = hw_fail(err, HW_ERR_NO_SYMBOLS, "%s describes neither %s() nor %s", f->path, function,
                     source);
    if (rc != HW_OK)
        hw_types_close(t);
    else
        *ret = t;
    return rc;
}

void hw_types_close(struct hw_types *types)
{
    if (!types)
        return;
    if (types->dwarf)
        dwarf_end(types->dwarf);
    elf_end(types->elf);
    for (size_t i = 0; i < types->buffer_count; i++)
        free(types->buffers[i]);
    free(types);
}

/* ---- types ---------------------------------------------------------------------------------- */

/* The type behind typedefs and qualifiers; false if there is none. */
static bool peel(Dwarf_Die *die)
{
    for (int i = 0; i < PEEL_MAX; i++) {
        Dwarf_Attribute attr;
        switch (dwarf_tag(die)) {
        case DW_TAG_typedef:
        case DW_TAG_const_type:
        case DW_TAG_volatile_type:
        case DW_TAG_restrict_type:
        case DW_TAG_atomic_type:
            if (!dwarf_attr_integrate(die, DW_AT_type, &attr) || !dwarf_formref_die(&attr, die))
                return false;
            break;
        default:
            return true;
        }
    }
    return false;
}

/* The peeled type of a member, array or typedef. */
static bool type_of(Dwarf_Die *die, Dwarf_Die *ret)
{
    Dwarf_Attribute attr;
    return dwarf_attr_integrate(die, DW_AT_type, &attr) && dwarf_formref_die(&attr, ret) &&
           peel(ret);
}

static bool is_aggregate(Dwarf_Die *die)
{
    int tag = dwarf_tag(die);
    return tag == DW_TAG_structure_type || tag == DW_TAG_union_type;
}

/* Size of a type that is not an array. */
static bool scalar_size(Dwarf_Die *type, uint64_t *ret)
{
    if (dwarf_tag(type) == DW_TAG_array_type)
        return false;
    int size = dwarf_bytesize(type);
    Dwarf_Die unit;
    uint8_t address_size;
    if (size < 0 && dwarf_tag(type) == DW_TAG_pointer_type && /* pointers may go without */
        dwarf_diecu(type, &unit, &address_size, NULL))
        size = address_size;
    if (size < 0)
        return false;
    *ret = (uint64_t)size;
    return true;
}

static bool udata(Dwarf_Die *die, unsigned name, uint64_t *ret)
{
    Dwarf_Attribute attr;
    Dwarf_Word value;
    if (!dwarf_attr(die, name, &attr) || dwarf_formudata(&attr, &value) != 0)
        return false;
    *ret = value;
    return true;
}

/* Elements of an array of one dimension; 0 for one without a bound. */
static bool array_count(Dwarf_Die *array, uint64_t *ret)
{
    Dwarf_Die range, next;
    *ret = 0;
    if (dwarf_child(array, &range) != 0 || dwarf_tag(&range) != DW_TAG_subrange_type ||
        dwarf_siblingof(&range, &next) == 0)
        return false;
    uint64_t upper;
    if (!udata(&range, DW_AT_count, ret) && udata(&range, DW_AT_upper_bound, &upper))
        *ret = upper + 1; /* -1, for no elements, becomes 0 */
    return true;
}

/* Offset of a member in its aggregate. Bit-fields have none. */
static bool member_offset(Dwarf_Die *member, uint64_t *ret)
{
    Dwarf_Attribute attr;
    *ret = 0;
    if (dwarf_hasattr(member, DW_AT_bit_size))
        return false;
    if (!dwarf_attr(member, DW_AT_data_member_location, &attr))
        return true; /* of a union */
    Dwarf_Word value;
    if (dwarf_formudata(&attr, &value) == 0) {
        *ret = value;
        return true;
    }
    /* DWARF 2 wrote "add this to the address on the stack". */
    Dwarf_Op *op;
    size_t count;
    if (dwarf_getlocation(&attr, &op, &count) != 0 || count != 1 || op[0].atom != DW_OP_plus_uconst)
        return false;
    *ret = op[0].number;
    return true;
}

static bool describe_member(Dwarf_Die *member, struct hw_type_member *ret)
{
    Dwarf_Die type, element;
    if (!member_offset(member, &ret->offset) || !type_of(member, &type))
        return false;
    if (dwarf_tag(&type) != DW_TAG_array_type) {
        ret->count = 1;
        return scalar_size(&type, &ret->size);
    }
    return array_count(&type, &ret->count) && type_of(&type, &element) &&
           scalar_size(&element, &ret->size);
}

/* Look for a member, also inside of members that have no name themselves. */
static bool find_member(struct hw_types *t, Dwarf_Die *aggregate, const char *name, int depth,
                        struct hw_type_member *ret)
{
    Dwarf_Die die;
    if (dwarf_child(aggregate, &die) != 0)
        return false;
    while (t->steps && t->steps--) {
        const char *have = dwarf_tag(&die) == DW_TAG_member ? dwarf_diename(&die) : NULL;
        if (have && strcmp(have, name) == 0)
            return describe_member(&die, ret);
        Dwarf_Die inner;
        uint64_t base;
        if (!have && depth < DEPTH_MAX && dwarf_tag(&die) == DW_TAG_member &&
            member_offset(&die, &base) && type_of(&die, &inner) && is_aggregate(&inner) &&
            find_member(t, &inner, name, depth + 1, ret)) {
            ret->offset += base;
            return true;
        }
        if (dwarf_siblingof(&die, &die) != 0)
            break;
    }
    return false;
}

/* Whether this DIE is what `name` names: 2 the struct itself, 1 a typedef of it, 0 no. */
static int names_struct(Dwarf_Die *die, const char *name, Dwarf_Die *ret)
{
    int tag = dwarf_tag(die);
    if (tag != DW_TAG_structure_type && tag != DW_TAG_typedef)
        return 0;
    const char *have = dwarf_diename(die);
    if (!have || strcmp(have, name) != 0)
        return 0;
    *ret = *die;
    if (!peel(ret) || dwarf_tag(ret) != DW_TAG_structure_type ||
        dwarf_hasattr(ret, DW_AT_declaration) || dwarf_bytesize(ret) < 0)
        return 0;
    return tag == DW_TAG_structure_type ? 2 : 1;
}

/* Look through a unit and the units it imports (dwz moves shared types there). The best match is
 * kept in `ret`, its rank returned. */
static int find_struct(struct hw_types *t, Dwarf_Die *unit, const char *name, int depth, int rank,
                       Dwarf_Die *ret)
{
    Dwarf_Die die;
    if (dwarf_child(unit, &die) != 0)
        return rank;
    while (rank < 2 && t->steps && t->steps--) {
        Dwarf_Die found;
        Dwarf_Attribute attr;
        int r = names_struct(&die, name, &found);
        if (r > rank) {
            rank = r;
            *ret = found;
        }
        if (dwarf_tag(&die) == DW_TAG_imported_unit && depth < DEPTH_MAX &&
            dwarf_attr(&die, DW_AT_import, &attr) && dwarf_formref_die(&attr, &found))
            rank = find_struct(t, &found, name, depth + 1, rank, ret);
        if (dwarf_siblingof(&die, &die) != 0)
            break;
    }
    return rank;
}

static bool lookup(struct hw_types *t, const char *name, Dwarf_Die *ret)
{
    for (size_t i = 0; i < t->known_count; i++) {
        if (strcmp(t->known[i].name, name) == 0) {
            *ret = t->known[i].die;
            return true;
        }
    }
    if (find_struct(t, &t->unit, name, 0, 0, ret) == 0)
        return false;
    if (t->known_count < NAMES_MAX && strlen(name) < sizeof t->known[0].name) {
        struct known_struct *k = &t->known[t->known_count++];
        memcpy(k->name, name, strlen(name) + 1);
        k->die = *ret;
    }
    return true;
}

bool hw_types_struct(struct hw_types *types, const char *name, uint64_t *size)
{
    Dwarf_Die die;
    return lookup(types, name, &die) && scalar_size(&die, size);
}

bool hw_types_member(struct hw_types *types, const char *name, const char *member,
                     struct hw_type_member *ret)
{
    Dwarf_Die die;
    struct hw_type_member found = {0};
    if (!lookup(types, name, &die) || !find_member(types, &die, member, 0, &found))
        return false;
    *ret = found;
    return true;
}
