#include "target/core_image.h"

#include <elf.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

/* Larger things than these no kernel writes; a file that claims them is damaged or hostile. */
#define NOTES_MAX   4000000 /* about a million threads */
#define NT_FILE_MAX ((size_t)64 << 20)
#define AUXV_MAX    ((size_t)4096)

/* Where things are in the descriptors, on x86-64. */
enum {
    PRSTATUS_PID = 32,
    PRSTATUS_REGS = 112, /* as struct user_regs_struct */
    PRSTATUS_PC = PRSTATUS_REGS + 16 * 8,
    PRSTATUS_SP = PRSTATUS_REGS + 19 * 8,
    PRSTATUS_TP = PRSTATUS_REGS + 21 * 8,
    PRSTATUS_BYTES = PRSTATUS_REGS + 27 * 8,
    PRPSINFO_PID = 24,
    PRPSINFO_FNAME = 40,
    PRPSINFO_BYTES = PRPSINFO_FNAME + 16,
};

size_t core_pread(int fd, void *buf, size_t len, uint64_t offset)
{
    size_t done = 0;
    while (done < len && offset <= INT64_MAX - done) {
        ssize_t n = pread(fd, (char *)buf + done, len - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    return done;
}

static uint32_t u32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static uint64_t u64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* ---- each kind of note ----------------------------------------------------------------------- */

static bool take_prstatus(struct core_notes *n, const uint8_t *desc)
{
    struct hw_thread th = {
        .tid = (int)u32(desc + PRSTATUS_PID),
        .regs_known = true,
        .tp = u64(desc + PRSTATUS_TP),
        .sp = u64(desc + PRSTATUS_SP),
        .pc = u64(desc + PRSTATUS_PC),
    };
    return th.tid <= 0 || hw_vec_push(&n->threads, th);
}

static void take_prpsinfo(struct core_notes *n, const uint8_t *desc)
{
    int pid = (int)u32(desc + PRPSINFO_PID);
    n->pid = pid > 0 ? pid : 0;
    memcpy(n->comm, desc + PRPSINFO_FNAME, sizeof n->comm - 1);
    n->comm[sizeof n->comm - 1] = '\0';
    hw_clean_name(n->comm);
}

static void take_auxv(struct core_notes *n, const uint8_t *desc, size_t len)
{
    for (size_t i = 0; i + 16 <= len; i += 16) {
        uint64_t type = u64(desc + i), value = u64(desc + i + 8);
        switch (type) {
        case AT_NULL:
            return;
        case AT_PAGESZ:
            n->page_size = value;
            break;
        case AT_PHDR:
            n->phdr = value;
            break;
        case AT_ENTRY:
            n->entry = value;
            break;
        case AT_EXECFN:
            n->execfn = value;
            break;
        default:
            break;
        }
    }
}

/*
 * NT_FILE: count, page size; for each file start, end, offset in pages; then the names, each ended
 * by NUL, in the same order. The descriptor is kept for the names.
 */
static bool take_files(struct core_notes *n, int fd, uint64_t offset, uint64_t desc_len)
{
    if (n->names || desc_len > NT_FILE_MAX)
        return true;
    n->names = malloc((size_t)desc_len + 1);
    if (!n->names)
        return false;
    size_t len = core_pread(fd, n->names, (size_t)desc_len, offset);
    if (len < 16)
        return true;
    uint64_t count = u64(n->names), page = u64(n->names + 8);
    if (count > (len - 16) / 24)
        count = (len - 16) / 24;
    char *name = n->names + 16 + count * 24, *end = n->names + len;
    for (uint64_t i = 0; i < count && name < end; i++) {
        const char *entry = n->names + 16 + i * 24;
        struct core_file f = {.start = u64(entry), .end = u64(entry + 8), .path = name};
        char *nul = memchr(name, '\0', (size_t)(end - name));
        if (!nul)
            break;
        if (__builtin_mul_overflow(u64(entry + 16), page, &f.offset))
            f.offset = 0;
        if (f.start < f.end && *name && nul - name < PATH_MAX && !hw_vec_push(&n->files, f))
            return false;
        name = nul + 1;
    }
    return true;
}

/* ---- going through them ---------------------------------------------------------------------- */

static int take_note(struct core_notes *n, int fd, uint32_t type, uint64_t offset, uint64_t len,
                     struct hw_error *err)
{
    uint8_t small[AUXV_MAX] = {0};
    bool ok = true;
    if (type == NT_FILE) {
        ok = take_files(n, fd, offset, len);
    } else {
        size_t got = core_pread(fd, small, len < sizeof small ? (size_t)len : sizeof small, offset);
        if (type == NT_PRSTATUS && got >= PRSTATUS_BYTES)
            ok = take_prstatus(n, small);
        else if (type == NT_PRPSINFO && got >= PRPSINFO_BYTES)
            take_prpsinfo(n, small);
        else if (type == NT_AUXV)
            take_auxv(n, small, got);
    }
    return ok ? HW_OK : hw_fail(err, HW_ERR_NOMEM, "out of memory");
}

/* Some writers do not count the NUL. */
static bool is_from_core(const char *name, uint32_t len)
{
    return (len == 5 || len == 4) && memcmp(name, "CORE", len) == 0;
}

static uint64_t padded(uint64_t len)
{
    return (len + 3) & ~UINT64_C(3);
}

int core_notes_read(struct core_notes *n, int fd, uint64_t offset, uint64_t end,
                    struct hw_error *err)
{
    struct {
        Elf64_Nhdr h;
        char name[8];
    } note;
    /* Each step goes forward by at least the 12 bytes of a header. */
    while (offset < end && end - offset >= sizeof note.h && n->seen++ < NOTES_MAX) {
        memset(&note, 0, sizeof note);
        if (core_pread(fd, &note, sizeof note, offset) < sizeof note.h)
            break;
        uint64_t left = end - offset - sizeof note.h;
        uint64_t name_bytes = padded(note.h.n_namesz), desc_bytes = padded(note.h.n_descsz);
        if (note.h.n_namesz == 0 && note.h.n_descsz == 0 && note.h.n_type == 0)
            break; /* nothing but zeros from here on */
        if (name_bytes > left || note.h.n_descsz > left - name_bytes)
            break;
        if (desc_bytes > left - name_bytes)
            desc_bytes = left - name_bytes;
        offset += sizeof note.h + name_bytes;
        if (is_from_core(note.name, note.h.n_namesz)) {
            int rc = take_note(n, fd, note.h.n_type, offset, note.h.n_descsz, err);
            if (rc != HW_OK)
                return rc;
        }
        offset += desc_bytes;
    }
    return HW_OK;
}

/* ---- afterwards ------------------------------------------------------------------------------ */

static int by_start(const void *a, const void *b)
{
    const struct core_file *x = a, *y = b;
    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    return (x->path > y->path) - (x->path < y->path);
}

static int by_tid(const void *a, const void *b)
{
    const struct hw_thread *x = a, *y = b;
    return (x->tid > y->tid) - (x->tid < y->tid);
}

/* Sort the files and make them disjoint: what lies over another begins after it. */
static void order_files(struct core_notes *n)
{
    if (n->files.count)
        qsort(n->files.data, n->files.count, sizeof *n->files.data, by_start);
    size_t kept = 0;
    hw_addr told = 0;
    for (size_t i = 0; i < n->files.count; i++) {
        struct core_file f = n->files.data[i];
        if (f.end <= told)
            continue;
        if (f.start < told) {
            f.offset += told - f.start;
            f.start = told;
        }
        told = f.end;
        n->files.data[kept++] = f;
    }
    n->files.count = kept;
}

void core_notes_finish(struct core_notes *n)
{
    if (n->pid == 0 && n->threads.count)
        n->pid = n->threads.data[0].tid; /* the kernel begins with the thread that crashed */
    if (n->threads.count)
        qsort(n->threads.data, n->threads.count, sizeof *n->threads.data, by_tid);
    size_t kept = 0;
    for (size_t i = 0; i < n->threads.count; i++)
        if (kept == 0 || n->threads.data[kept - 1].tid != n->threads.data[i].tid)
            n->threads.data[kept++] = n->threads.data[i];
    n->threads.count = kept;
    order_files(n);
}

const struct core_file *core_notes_file_at(const struct core_notes *n, hw_addr addr)
{
    size_t low = 0, high = n->files.count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (n->files.data[mid].end <= addr)
            low = mid + 1;
        else
            high = mid;
    }
    return low < n->files.count && n->files.data[low].start <= addr ? &n->files.data[low] : NULL;
}

void core_notes_deinit(struct core_notes *n)
{
    hw_vec_free(&n->files);
    hw_vec_free(&n->threads);
    free(n->names);
    *n = (struct core_notes){0};
}
