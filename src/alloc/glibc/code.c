/*
 * With a symbol table all functions of malloc.c and arena.c are known by name; compilers add
 * endings to the names of copies (".part.0"). A stripped libc has the names that it exports. Most
 * others are called by these, and so are found on the way up a stack; but some are jumped to
 * instead (glibc 2.31: free to _int_free; 2.43: malloc to __libc_malloc2), after which nothing
 * tells of the exported one. So what exported functions jump to counts as a part of them.
 */
#include "alloc/glibc/code.h"

#include "symbols/disasm.h"

#include <string.h>

/* What programs call, without "__libc_", "__". */
static const char *const exported[] = {
    "malloc",
    "free",
    "calloc",
    "realloc",
    "memalign",
    "aligned_alloc",
    "valloc",
    "pvalloc",
    "posix_memalign",
    "cfree",
    "free_sized",
    "free_aligned_sized",
    "mallinfo",
    "mallinfo2",
    "mallopt",
    "malloc_info",
    "malloc_stats",
    "malloc_trim",
    "malloc_usable_size",
};

/* Inside, glibc 2.17 to 2.43; '*' stands for any ending. */
static const char *const internal[] = {
    "_int_*",
    "_mid_memalign",
    "sysmalloc*",
    "systrim",
    "mtrim",
    "malloc_*",
    "malloc2",
    "calloc2",
    "free_check",
    "realloc_check",
    "memalign_check",
    "mem2chunk_check",
    "mem2mem_check",
    "top_check",
    "free_atfork",
    "realloc_hook_ini",
    "memalign_hook_ini",
    "checked_request2size",
    "unlink_chunk",
    "munmap_chunk",
    "mremap_chunk",
    "alloc_perturb",
    "free_perturb",
    "tcache_*",
    "ptmalloc_*",
    "arena_get*",
    "reused_arena",
    "get_free_list",
    "remove_from_free_list",
    "detach_arena",
    "new_heap",
    "alloc_new_heap",
    "grow_heap",
    "shrink_heap",
    "heap_trim",
    "delete_heap",
    "int_mallinfo",
    "musable",
    "madvise_thp",
    "do_check_*",
};

/* Programs that are linked statically may have functions of these names, too. Those of malloc.c lie
 * close to each other; all of them have 30 KiB. */
#define ANCHOR     "_int_malloc"
#define ANCHOR_FAR ((hw_addr)64 << 10)

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* No libc has as many. */
#define FUNCTIONS_MAX 1024

/* ---- names ---------------------------------------------------------------------------------- */

/* The name that the source has for it: "_int_free.part.0" -> "_int_free". False if it is too
 * long. */
static bool source_name(const char *name, char ret[HW_FUNCTION_NAME])
{
    if (strncmp(name, "__GI_", 5) == 0)
        name += 5;
    size_t len = strcspn(name, ".@");
    if (len == 0 || len >= HW_FUNCTION_NAME)
        return false;
    memcpy(ret, name, len);
    ret[len] = '\0';
    return true;
}

static bool is_like(const char *name, const char *pattern)
{
    size_t len = strlen(pattern);
    return pattern[len - 1] == '*' ? strncmp(name, pattern, len - 1) == 0
                                   : strcmp(name, pattern) == 0;
}

static bool is_exported(const char *name)
{
    for (size_t i = 0; i < COUNT(exported); i++)
        if (strcmp(name, exported[i]) == 0)
            return true;
    return false;
}

static bool is_malloc(const char *name)
{
    if (strncmp(name, "__libc_", 7) == 0)
        name += 7;
    else if (strncmp(name, "__", 2) == 0)
        name += 2;
    if (is_exported(name))
        return true;
    for (size_t i = 0; i < COUNT(internal); i++)
        if (is_like(name, internal[i]))
            return true;
    return false;
}

/* Of several names, the one that people use: "free" rather than "cfree" or "__libc_free". */
static bool is_better(const char *name, const char *than)
{
    if ((*name == '_') != (*than == '_'))
        return *name != '_';
    size_t a = strlen(name), b = strlen(than);
    return a != b ? a < b : strcmp(name, than) < 0;
}

/* ---- the list ------------------------------------------------------------------------------- */

struct finding {
    glibc_code *code;
    hw_addr anchor; /* 0: none */
    bool no_memory;
};

static bool add(void *ctx, const char *name, hw_addr start, hw_addr end)
{
    struct finding *f = ctx;
    struct glibc_function fn = {.start = start, .end = end};
    if (end <= start || !source_name(name, fn.name))
        return true;
    fn.aborts = strcmp(fn.name, "abort") == 0;
    bool far =
        f->anchor && (start > f->anchor ? start - f->anchor : f->anchor - start) > ANCHOR_FAR;
    if (!fn.aborts && (far || !is_malloc(fn.name)))
        return true;
    memcpy(fn.entry, fn.name, sizeof fn.entry);
    f->no_memory = !hw_vec_push(f->code, fn);
    return !f->no_memory && f->code->count < FUNCTIONS_MAX;
}

static int by_start(const void *a, const void *b)
{
    const struct glibc_function *x = a, *y = b;
    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    return is_better(x->name, y->name) ? -1 : is_better(y->name, x->name);
}

/* Sort, leave the best name of each function, and make them disjoint. */
static void settle(glibc_code *code)
{
    size_t kept = 0;
    if (code->count)
        qsort(code->data, code->count, sizeof *code->data, by_start);
    for (size_t i = 0; i < code->count; i++)
        if (kept == 0 || code->data[kept - 1].start != code->data[i].start)
            code->data[kept++] = code->data[i];
    code->count = kept;
    for (size_t i = 0; i + 1 < kept; i++)
        if (code->data[i].end > code->data[i + 1].start)
            code->data[i].end = code->data[i + 1].start;
}

const struct glibc_function *glibc_code_at(const glibc_code *code, hw_addr addr)
{
    size_t low = 0, high = code->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (code->data[mid].end <= addr)
            low = mid + 1;
        else
            high = mid;
    }
    return low < code->count && code->data[low].start <= addr ? &code->data[low] : NULL;
}

/* ---- what is jumped to ---------------------------------------------------------------------- */

static struct glibc_function *beginning_at(glibc_code *code, hw_addr start)
{
    for (size_t i = 0; i < code->count; i++)
        if (code->data[i].start == start)
            return &code->data[i];
    return NULL;
}

/* The function at `part.start` is a part of `part.entry`; of none where two lead there. */
static bool add_part(struct hw_module *mod, glibc_code *code, struct glibc_function part)
{
    struct glibc_function *known = beginning_at(code, part.start);
    if (!known)
        return code->count >= FUNCTIONS_MAX ||
               !hw_module_function_end(mod, part.start, &part.end) || hw_vec_push(code, part);
    if (is_exported(known->name) || known->aborts)
        return true;
    bool other = known->jumped_to && strcmp(known->entry, part.entry) != 0;
    memcpy(known->entry, other ? known->name : part.entry, sizeof known->entry);
    known->jumped_to = true;
    return true;
}

static int add_exits(struct hw_module *mod, const struct glibc_function *from, glibc_code *code,
                     struct hw_error *err)
{
    hw_addr_vec exits = {0};
    int rc = hw_disasm_exits(mod, from->start, from->end, &exits, err);
    struct glibc_function part = {.jumped_to = true};
    memcpy(part.entry, from->name, sizeof part.entry);
    if (rc == HW_ERR_NO_SYMBOLS)
        rc = HW_OK;
    for (size_t i = 0; i < exits.count && rc == HW_OK; i++) {
        part.start = exits.data[i];
        if (!add_part(mod, code, part))
            rc = hw_fail(err, HW_ERR_NOMEM, "out of memory");
    }
    hw_vec_free(&exits);
    return rc;
}

int glibc_find_code(struct hw_module *mod, glibc_code *ret, struct hw_error *err)
{
    struct hw_symbol anchor;
    struct finding f = {.code = ret};
    f.anchor = hw_module_symbol(mod, ANCHOR, &anchor) ? anchor.address : 0;
    hw_module_functions(mod, add, &f);
    if (f.no_memory)
        return hw_fail(err, HW_ERR_NOMEM, "out of memory");
    settle(ret);
    int rc = HW_OK;
    for (size_t i = 0, named = ret->count; i < named && rc == HW_OK; i++) {
        struct glibc_function from = ret->data[i]; /* the list may move */
        if (is_exported(from.name))
            rc = add_exits(mod, &from, ret, err);
    }
    settle(ret);
    return rc;
}
