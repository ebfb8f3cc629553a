/*
 * What is said of the allocators beside glibc's.
 */
#include "alloc/foreign.h"

#include <inttypes.h>
#include <string.h>

static const struct hw_maybe unknown = {0};

/* Less than this in glibc's heap, beside another malloc, is what the libraries took on their own.
 */
#define HARDLY_ANY ((uint64_t)1 << 20)

/* "jemalloc 5.3.0 (libjemalloc.so.2)" */
static const char *full_name(const struct hw_foreign *f, char *buf, size_t size)
{
    snprintf(buf, size, "%s%s%s (%s)", f->facts.name ? f->heap : "another malloc",
             f->facts.version[0] ? " " : "", f->facts.version, f->facts.file);
    return buf;
}

static const char *amount(uint64_t bytes, char *buf, size_t size)
{
    if (bytes < 1024)
        snprintf(buf, size, "%" PRIu64 " bytes", bytes);
    else if (bytes < 1024 * HARDLY_ANY)
        snprintf(buf, size, "%" PRIu64 " KiB", bytes >> 10);
    else
        snprintf(buf, size, "%" PRIu64 " MiB", bytes >> 20);
    return buf;
}

/* What glibc's heap has from the kernel. */
static uint64_t held_bytes(const struct hw_report *r)
{
    return (uint64_t)hw_get(r->totals, HW_M_SYSTEM_BYTES) +
           (uint64_t)hw_get(r->totals, HW_M_MMAPPED_BYTES);
}

static void note(const struct hw_foreign *f, struct hw_report *r)
{
    char name[192], held[32];
    full_name(f, name, sizeof name);
    uint64_t bytes = held_bytes(r);
    if (f->role == HW_FOREIGN_RUNTIME)
        hw_report_add(r, HW_FINDING_NOTE, -1, unknown, unknown,
                      "%s keeps a heap of its own: what it holds is not in this report", name);
    else if (!f->facts.serves_malloc)
        hw_report_add(r, HW_FINDING_NOTE, -1, unknown, unknown,
                      "%s is in this program, too: what it holds is not in this report", name);
    else if (r->allocator.unused)
        hw_report_add(r, HW_FINDING_NOTE, -1, unknown, unknown,
                      "%s serves this program's malloc; glibc's own heap was never used", name);
    else
        hw_report_add(r, HW_FINDING_NOTE, -1, unknown, unknown,
                      "%s serves this program's malloc; what this report tells is glibc's own "
                      "heap, which holds %s%s",
                      name, bytes < HARDLY_ANY ? "only " : "", amount(bytes, held, sizeof held));
}

/* Enough of a malloc_state of any version to have its top in it, and more than any is long. */
#define ARENA_BYTES 512
#define STATE_MAX   4096

/*
 * Whether an arena was never used, without knowing its layout: then all it points to, as the heads
 * of its empty bins do, lies in itself. The first malloc sets top, which leads out.
 */
static bool is_untouched(struct hw_target *t, hw_addr arena)
{
    uint8_t bytes[ARENA_BYTES];
    unsigned word = t->who.machine->word;
    if (!arena || hw_read_all(t, arena, bytes, sizeof bytes, NULL) != HW_OK)
        return false;
    for (size_t i = 0; i < sizeof bytes; i += word) {
        hw_addr value = hw_word(bytes + i, word);
        if ((value < arena || value - arena >= STATE_MAX) && hw_map_at(t, value))
            return false;
    }
    return true;
}

/* A heap like the one in the report, but another; false if there is nothing in it. */
static bool report_copy(const struct hw_foreign *f, struct hw_target *t, struct hw_report *r)
{
    struct hw_maybe where = f->arena ? hw_known(f->arena) : hw_known(f->start);
    bool used = !is_untouched(t, f->arena);
    if (!used)
        hw_report_add(r, HW_FINDING_NOTE, -1, where, unknown, "%s (%s) is mapped, but was not used",
                      f->heap, f->facts.file);
    else
        hw_report_add(r, HW_FINDING_OTHER_MALLOC, -1, where, unknown,
                      "%s (%s) is mapped%s: its arenas are not in this report", f->heap,
                      f->facts.file, f->arena ? " and was used" : "");
    return used;
}

/* The heap that the report is of. */
static bool is_walked(const struct hw_foreign *f, const struct hw_module *own)
{
    return own && f->start == own->start && f->role == HW_FOREIGN_GLIBC;
}

void hw_foreign_report(const hw_foreign_vec *found, const struct hw_image *image,
                       struct hw_report *r)
{
    const struct hw_module *own = hw_modules_at(image->modules, r->allocator.main_arena);
    for (int serving = 1; serving >= 0; serving--) {
        for (size_t i = 0; i < found->count; i++) {
            const struct hw_foreign *f = &found->data[i];
            if (is_walked(f, own) || f->facts.serves_malloc != (bool)serving)
                continue;
            struct hw_other row = f->facts;
            if (f->role != HW_FOREIGN_GLIBC)
                note(f, r);
            else if (!report_copy(f, image->target, r))
                row.serves_malloc = false;                 /* it hands all calls on */
            (void)!hw_vec_push(&r->allocator.others, row); /* the finding still tells */
        }
    }
}

/* The one that tells most about a program without a glibc heap. */
static const struct hw_foreign *main_one(const hw_foreign_vec *found)
{
    const struct hw_foreign *best = NULL;
    for (size_t i = 0; i < found->count; i++) {
        const struct hw_foreign *f = &found->data[i];
        if (!best || (f->facts.serves_malloc && !best->facts.serves_malloc) ||
            (f->facts.serves_malloc && best->role == HW_FOREIGN_LIBC))
            best = f;
    }
    return best;
}

int hw_foreign_explain(const hw_foreign_vec *found, const struct hw_target *t, struct hw_error *err)
{
    const struct hw_foreign *f = main_one(found);
    if (!f || !err)
        return HW_ERR_NO_HEAP;
    char who[64] = "the program of this core", version[48] = "";
    if (t->who.kind == HW_TARGET_LIVE)
        snprintf(who, sizeof who, "pid %d", t->who.pid);
    if (f->role == HW_FOREIGN_GLIBC) {
        hw_fail(err, HW_ERR_NO_HEAP, "%s has glibc's malloc linked into it (%s), and no symbols",
                who, f->facts.file);
        hw_remedy(err, "name its unstripped file with --exe, or a debug file's place with "
                       "--debuginfo-path");
        return HW_ERR_NO_HEAP;
    }
    if (f->facts.version[0])
        snprintf(version, sizeof version, ", version %s", f->facts.version);
    return hw_fail(err, HW_ERR_NO_HEAP, "%s uses %s (%s%s): heapwalk reads glibc heaps only", who,
                   f->facts.name ? f->heap : "a malloc of its own", f->facts.file, version);
}
