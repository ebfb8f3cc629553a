#include "target/residency.h"

#include "base/cleanup.h"
#include "target/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>

/* What is being read, and where to. */
struct reading {
    const struct hw_residency_source *source;
    int (*read_map)(struct reading *r, struct hw_error *err); /* scan_map() or pread_map() */
    int pagemap;                                              /* the one at hand */
    uint64_t page_size;
    struct hw_pages *pages; /* NULL: probe, and be content with the first private page */
    bool found;             /* there it is */
    bool files_only;        /* leave out private pages */
    bool *probed;           /* for each map, whether it was found there */
    struct hw_map *map;     /* the one at hand */
    void *buffer;
    uint64_t categories; /* PAGEMAP_SCAN: those to be told */
    uint64_t budget;     /* pread: entries that may still be read */
    int frame_flags;     /* pread: /proc/kpageflags, -1 if it may not be read */
    uint64_t frame;      /* pread: the page frame that was looked up last, ... */
    bool frame_is_zero;  /* ... and what it is: there are few pages of zeros */
};
#define BUFFER_BYTES ((size_t)64 << 10)

/* What the kernel says of a page. */
enum {
    IS_PRESENT = 1,
    IS_SWAPPED = 2,
    IS_FILE = 4, /* of a file or of shared memory */
    IS_ZERO = 8, /* the page of zeros */
    IS_GUARD = 16,
};

static int note(struct reading *r, hw_addr start, hw_addr end, unsigned is, struct hw_error *err)
{
    struct hw_map *map = r->map;
    if (start < map->start || end > map->end || start >= end || (is & (IS_ZERO | IS_GUARD)))
        return HW_OK;
    if (r->files_only && !(is & IS_FILE))
        return HW_OK;
    if (!r->pages) {
        r->found |= is & IS_PRESENT ? !(is & IS_FILE) : r->source->swap_used;
        return HW_OK;
    }
    if (is & IS_PRESENT) {
        *(is & IS_FILE ? &map->file_bytes : &map->anon_bytes) += end - start;
        return hw_pages_set(r->pages, start, end, HW_PAGE_RESIDENT, err);
    }
    if (!(is & IS_SWAPPED) || !r->source->swap_used)
        return HW_OK;
    map->swapped_bytes += end - start;
    return hw_pages_set(r->pages, start, end, HW_PAGE_SWAPPED, err);
}

/* ---- PAGEMAP_SCAN --------------------------------------------------------------------------- */

/* The interface of the ioctl (Linux, include/uapi/linux/fs.h); older headers do not have it. */
struct scan_arg {
    uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
    uint64_t inverted, mask, anyof_mask, return_mask;
};
struct scan_range {
    uint64_t start, end, categories;
};
#define SCAN_IOCTL   _IOWR('f', 16, struct scan_arg)
#define SCAN_FILE    (1U << 2)
#define SCAN_PRESENT (1U << 3)
#define SCAN_SWAPPED (1U << 4)
#define SCAN_ZERO    (1U << 5)
#define SCAN_GUARD   (1U << 8) /* since Linux 6.15 */
#define SCAN_ALWAYS  (SCAN_PRESENT | SCAN_SWAPPED | SCAN_FILE | SCAN_ZERO)

/* So many pages at most in one call, 64 MiB of them: the target's page tables are locked meanwhile,
 * and a thread that was not stopped may want to map memory. */
#define SCAN_PAGES  16384
#define SCAN_RANGES (BUFFER_BYTES / sizeof(struct scan_range))

static unsigned of_categories(uint64_t c)
{
    return (c & SCAN_PRESENT ? IS_PRESENT : 0U) | (c & SCAN_SWAPPED ? IS_SWAPPED : 0U) |
           (c & SCAN_FILE ? IS_FILE : 0U) | (c & SCAN_ZERO ? IS_ZERO : 0U) |
           (c & SCAN_GUARD ? IS_GUARD : 0U);
}

/*
 * The ranges of one map. The kernel may say that its walk ended before the end of the last range
 * that it returned (when it took more than one of its own batches): who resumes there counts twice.
 */
static int scan_map(struct reading *r, struct hw_error *err)
{
    struct scan_range *ranges = r->buffer;
    uint64_t others = r->pages ? 0 : SCAN_FILE | SCAN_ZERO; /* a probe does not want these at all */
    for (hw_addr at = r->map->start; at < r->map->end && !r->found;) {
        struct scan_arg arg = {.size = sizeof arg,
                               .start = at,
                               .end = r->map->end,
                               .vec = (uint64_t)(uintptr_t)ranges,
                               .vec_len = SCAN_RANGES,
                               .max_pages = r->pages ? SCAN_PAGES : 1,
                               .inverted = others,
                               .mask = others,
                               .anyof_mask = SCAN_PRESENT | SCAN_SWAPPED,
                               .return_mask = r->categories};
        int n = ioctl(r->pagemap, SCAN_IOCTL, &arg);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return hw_fail_errno(
                err, errno == EINVAL || errno == ENOTTY ? HW_ERR_UNSUPPORTED : HW_ERR_SYSTEM,
                "PAGEMAP_SCAN");
        hw_addr next = arg.walk_end;
        for (int i = 0; i < n; i++) {
            hw_addr start = ranges[i].start > at ? ranges[i].start : at;
            int rc = note(r, start, ranges[i].end, of_categories(ranges[i].categories), err);
            if (rc != HW_OK)
                return rc;
            if (ranges[i].end > next)
                next = ranges[i].end;
        }
        if (next <= at) /* the map is gone, or the kernel stands still */
            break;
        at = next;
    }
    return HW_OK;
}

/* ---- pread ---------------------------------------------------------------------------------- */

/* Documentation/admin-guide/mm/pagemap.rst */
#define ENTRY_PRESENT   (UINT64_C(1) << 63)
#define ENTRY_SWAPPED   (UINT64_C(1) << 62)
#define ENTRY_FILE      (UINT64_C(1) << 61)
#define ENTRY_GUARD     (UINT64_C(1) << 58)
#define ENTRY_EXCLUSIVE (UINT64_C(1) << 56)
#define ENTRY_FRAME     ((UINT64_C(1) << 55) - 1)
#define FLAG_ZERO_PAGE  (UINT64_C(1) << 24) /* of /proc/kpageflags */

#define ENTRIES (BUFFER_BYTES / sizeof(uint64_t))
/* 512 GiB of address space take 1 GiB of pagemap; a program with more of it (mapped, not used) is
 * not worth the wait. */
#define ENTRIES_MAX (UINT64_C(1) << 27)

static bool is_zero_page(struct reading *r, uint64_t entry)
{
    uint64_t frame = entry & ENTRY_FRAME, flags;
    /* The page of zeros counts as mapped by all and owned by none; the huge one as that of a
     * file. */
    if (r->frame_flags < 0 || frame == 0 || (entry & ENTRY_EXCLUSIVE) ||
        (entry & ENTRY_FILE && !hw_map_is_anonymous(r->map)))
        return false;
    if (frame != r->frame) {
        r->frame = frame;
        r->frame_is_zero = pread(r->frame_flags, &flags, sizeof flags,
                                 (off_t)(frame * sizeof flags)) == (ssize_t)sizeof flags &&
                           (flags & FLAG_ZERO_PAGE);
    }
    return r->frame_is_zero;
}

static unsigned of_entry(struct reading *r, uint64_t entry)
{
    if (entry & ENTRY_PRESENT)
        return IS_PRESENT | (entry & ENTRY_FILE ? IS_FILE : 0U) |
               (is_zero_page(r, entry) ? IS_ZERO : 0U);
    return (entry & ENTRY_SWAPPED ? IS_SWAPPED : 0U) | (entry & ENTRY_GUARD ? IS_GUARD : 0U);
}

static int pread_map(struct reading *r, struct hw_error *err)
{
    uint64_t *entries = r->buffer;
    uint64_t page = r->page_size;
    for (hw_addr at = r->map->start; at < r->map->end && !r->found;) {
        uint64_t left = (r->map->end - at) / page;
        size_t wanted = left < ENTRIES ? (size_t)left : ENTRIES;
        if (r->budget < wanted)
            return hw_fail(err, HW_ERR_UNSUPPORTED,
                           "its address space is too large to look at "
                           "page by page, and this kernel has no "
                           "PAGEMAP_SCAN (Linux 6.7)");
        r->budget -= wanted;
        ssize_t n = pread(r->pagemap, entries, wanted * sizeof *entries,
                          (off_t)(at / page * sizeof *entries));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return hw_fail_errno(err, HW_ERR_SYSTEM, "cannot read /proc/PID/pagemap");
        if (n < (ssize_t)sizeof *entries)
            break;
        size_t got = (size_t)n / sizeof *entries;
        for (size_t i = 0, from = 0; i < got; i = from) {
            unsigned is = of_entry(r, entries[i]);
            for (from = i + 1; from < got && of_entry(r, entries[from]) == is;)
                from++;
            int rc = note(r, at + i * page, at + from * page, is, err);
            if (rc != HW_OK)
                return rc;
        }
        at += got * page;
    }
    return HW_OK;
}

/* ---- both ----------------------------------------------------------------------------------- */

/* The kernel's own pages lie in its half of the address space (vsyscall) or count for nobody
 * (vvar). */
static bool has_pages(const struct hw_map *map)
{
    return map->start <= INT64_MAX && !(map->path && strncmp(map->path, "[vvar", 5) == 0);
}

static int count_map(struct reading *r, int pagemap, struct hw_error *err)
{
    r->pagemap = pagemap;
    r->map->anon_bytes = r->map->file_bytes = r->map->swapped_bytes = 0;
    return r->read_map(r, err);
}

/*
 * A private map of a process that has a copy. What the copy has of it is what was there when it was
 * made. If it has nothing of what was there, the program has asked for that; then the process is
 * the next best thing. If nothing was there, nothing but pages of its file can be.
 */
static int count_copied(struct reading *r, bool was_there, struct hw_error *err)
{
    const struct hw_residency_source *s = r->source;
    if (!was_there) {
        r->files_only = true;
        int rc = count_map(r, s->pagemap, err);
        r->files_only = false;
        return rc;
    }
    int rc = count_map(r, s->copy, err);
    if (rc != HW_OK || r->map->anon_bytes || r->map->swapped_bytes)
        return rc;
    r->map->flags |= HW_MAP_UNCOPIED;
    return count_map(r, s->pagemap, err);
}

static int count_each(struct reading *r, struct hw_map *maps, size_t count, struct hw_error *err)
{
    const bool *was_there = r->source->was_there;
    int rc = HW_OK;
    hw_pages_clear(r->pages);
    for (size_t i = 0; i < count && rc == HW_OK; i++) {
        r->map = &maps[i];
        r->map->anon_bytes = r->map->file_bytes = r->map->swapped_bytes = 0;
        if (has_pages(r->map))
            rc = was_there && !(r->map->flags & HW_MAP_SHARED)
                     ? count_copied(r, was_there[i], err)
                     : count_map(r, r->source->pagemap, err);
    }
    return rc;
}

static int probe_each(struct reading *r, struct hw_map *maps, size_t count, struct hw_error *err)
{
    int rc = HW_OK;
    for (size_t i = 0; i < count && rc == HW_OK; i++) {
        r->map = &maps[i];
        r->found = false;
        if (has_pages(r->map) && !(r->map->flags & HW_MAP_SHARED))
            rc = r->read_map(r, err);
        r->probed[i] = r->found;
    }
    r->found = false;
    return rc;
}

/* The best way that the kernel has. */
static int each_map(struct reading *r, struct hw_map *maps, size_t count, struct hw_error *err)
{
    int (*each)(struct reading *, struct hw_map *, size_t, struct hw_error *) =
        r->pages ? count_each : probe_each;
    enum hw_residency_way way = r->source->way;
    hw_autofree void *buffer = malloc(BUFFER_BYTES);
    if (!buffer)
        return hw_fail(err, HW_ERR_NOMEM, "no memory to note where the pages are");
    r->buffer = buffer;
    r->pagemap = r->source->pagemap;
    int rc = HW_ERR_UNSUPPORTED;
    if (way != HW_RESIDENCY_PREAD) {
        r->read_map = scan_map;
        r->categories = SCAN_ALWAYS | SCAN_GUARD;
        rc = each(r, maps, count, err);
        if (rc == HW_ERR_UNSUPPORTED) {
            r->categories = SCAN_ALWAYS;
            rc = each(r, maps, count, err);
        }
    }
    if (rc == HW_ERR_UNSUPPORTED && way != HW_RESIDENCY_SCAN) {
        hw_autoclose int flags = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
        r->frame_flags = flags;
        r->budget = ENTRIES_MAX;
        r->read_map = pread_map;
        rc = each(r, maps, count, err);
    }
    return rc;
}

int hw_residency_read(const struct hw_residency_source *source, struct hw_map *maps, size_t count,
                      struct hw_pages *pages, struct hw_error *err)
{
    struct reading r = {.source = source, .page_size = pages->page_size, .pages = pages};
    int rc = each_map(&r, maps, count, err);
    if (rc != HW_OK)
        hw_pages_clear(pages);
    return rc;
}

int hw_residency_probe(const struct hw_residency_source *source, struct hw_map *maps, size_t count,
                       bool *ret, struct hw_error *err)
{
    struct reading r = {
        .source = source, .page_size = (uint64_t)sysconf(_SC_PAGESIZE), .probed = ret};
    return each_map(&r, maps, count, err);
}

/* ---- locks ---------------------------------------------------------------------------------- */

/* What cannot be locked: the kernel's own pages (vdso). */
#define UNLOCKABLE ((uint64_t)1 << 20)

bool hw_residency_locks(const struct hw_memory *m, struct hw_pages *pages)
{
    if (m->locked_bytes == 0)
        return true;
    return m->locked_bytes + UNLOCKABLE >= m->virtual_bytes &&
           hw_pages_lock(pages, 0, UINT64_MAX, NULL) == HW_OK;
}
