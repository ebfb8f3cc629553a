/*
 * An ELF core file.
 *
 *     PT_LOAD   start          start + p_filesz        end = start + p_memsz
 *               |  saved bytes  |  a hole: not saved    |
 *
 * A core is read by its own few lines of pread() and not with libelf: that maps the file or sizes
 * its tables by what the section header says, and a core may be larger than memory, or hostile.
 * Here nothing is allocated but in proportion to headers that are really there.
 *
 * Which file was mapped where is told by NT_FILE; what of it was saved, by the segments. The two
 * do not have to agree: a writer may leave out what can be had from the file. The maps are the
 * union of both.
 */
#include "base/cleanup.h"
#include "base/file.h"
#include "target/core_image.h"
#include "target/tcb.h"
#include "unpack/unpack.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

struct segment {
    hw_addr start, end;
    uint64_t saved;  /* bytes from start that are in the file */
    uint64_t offset; /* where they are */
    uint32_t flags;
};

typedef HW_VEC(struct segment) segment_vec;

struct core_target {
    struct hw_target t;
    int fd;
    struct hw_unpacked unpacked;
    uint64_t file_size;
    segment_vec segments; /* sorted and disjoint */
    uint64_t memory;      /* bytes of all of them */
    struct core_notes notes;
};

/* ---- reading --------------------------------------------------------------------------------- */

/* The first segment that ends above `addr`. */
static size_t find_segment(const struct core_target *c, hw_addr addr)
{
    size_t low = 0, high = c->segments.count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (c->segments.data[mid].end <= addr)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static ssize_t core_read(struct hw_target *t, hw_addr addr, void *buf, size_t len,
                         struct hw_error *err)
{
    (void)err;
    struct core_target *c = (struct core_target *)t;
    size_t done = 0;
    for (size_t i = find_segment(c, addr); i < c->segments.count && done < len; i++) {
        const struct segment *s = &c->segments.data[i];
        hw_addr at = addr + done;
        if (s->start > at || at - s->start >= s->saved)
            break;
        uint64_t skip = at - s->start, left = s->saved - skip;
        size_t n = left < len - done ? (size_t)left : len - done;
        size_t got = core_pread(c->fd, (char *)buf + done, n, s->offset + skip);
        done += got;
        if (got < n)
            break;
    }
    return (ssize_t)done;
}

static hw_addr core_next_data(struct hw_target *t, hw_addr addr, hw_addr end, uint64_t *budget)
{
    const struct core_target *c = (const struct core_target *)t;
    for (size_t i = find_segment(c, addr); i < c->segments.count && *budget; i++, --*budget) {
        const struct segment *s = &c->segments.data[i];
        if (s->start >= end)
            break;
        if (addr < s->start)
            addr = s->start;
        if (addr - s->start < s->saved)
            return addr;
    }
    return end;
}

static int core_open_file(struct hw_target *t, const struct hw_map *map, struct hw_error *err)
{
    (void)t;
    return hw_open_regular(AT_FDCWD, map->path, false, err);
}

static void core_close(struct hw_target *t)
{
    struct core_target *c = (struct core_target *)t;
    for (size_t i = 0; i < t->map_count; i++)
        t->maps[i].path = NULL; /* they lie in the notes */
    core_notes_deinit(&c->notes);
    hw_vec_free(&c->segments);
    if (c->fd >= 0)
        close(c->fd);
}

static const struct hw_target_ops core_ops = {
    .read = core_read,
    .next_data = core_next_data,
    .open_file = core_open_file,
    .close = core_close,
};

/* ---- the file --------------------------------------------------------------------------------- */

/* A descriptor for what the user named: a file, a pipe, standard input. */
static int open_input(const char *path, struct hw_error *err)
{
    struct stat st;
    bool standard = strcmp(path, "-") == 0;
    if (standard && isatty(STDIN_FILENO)) {
        hw_fail(err, HW_ERR_NOT_CORE, "standard input is a terminal, not a core");
        hw_remedy(err, "heapwalk - reads a core from a pipe: zcat core.gz | heapwalk -");
        return -1;
    }
    /* Not to wait for a writer if it is a FIFO; for its bytes one has to wait. */
    int fd = standard ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                      : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) != 0) {
        hw_fail_errno(err, HW_ERR_SYSTEM, "cannot open %s", path);
    } else if (S_ISDIR(st.st_mode)) {
        hw_fail(err, HW_ERR_NOT_CORE, "%s is a directory", path);
    } else if (!S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode) && !S_ISSOCK(st.st_mode)) {
        hw_fail(err, HW_ERR_NOT_CORE, "%s is neither a file nor a pipe", path);
    } else {
        int flags = fcntl(fd, F_GETFL);
        if (!standard && flags >= 0)
            fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
        return fd;
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

static int open_core_file(struct core_target *c, const char *path, struct hw_error *err)
{
    const char *name = strcmp(path, "-") == 0 ? "standard input" : path;
    struct hw_error why = {0};
    struct stat st;
    int fd = open_input(path, &why);
    if (fd < 0) {
        if (err)
            *err = why;
        return why.code;
    }
    int rc = hw_unpack(fd, name, HW_UNPACKED_MAX, &c->unpacked, err);
    c->fd = c->unpacked.fd;
    if (rc != HW_OK)
        return rc;
    if (fstat(c->fd, &st) != 0)
        return hw_fail_errno(err, HW_ERR_SYSTEM, "cannot open %s", name);
    if (st.st_size <= 0)
        return hw_fail(err, HW_ERR_NOT_CORE, "%s is empty", name);
    c->file_size = (uint64_t)st.st_size;
    if (c->unpacked.cut_short)
        c->t.unpack_flaw = c->unpacked.why;
    return HW_OK;
}

/* ---- segments -------------------------------------------------------------------------------- */

/* The part of [offset, offset + len) that is in the file. */
static uint64_t in_file(const struct core_target *c, uint64_t offset, uint64_t len)
{
    uint64_t left = offset < c->file_size ? c->file_size - offset : 0;
    return len < left ? len : left;
}

/* User addresses have at most 56 bits on all machines. Whatever sums up memory stays far from an
 * overflow. */
#define MEMORY_MAX (UINT64_C(1) << 56)

static int take_load(struct core_target *c, const Elf64_Phdr *p, struct hw_error *err)
{
    uint64_t bytes = p->p_memsz, claimed = p->p_filesz < bytes ? p->p_filesz : bytes;
    uint64_t space = c->t.who.machine->word == 4 ? UINT64_C(1) << 32 : UINT64_MAX;
    if (bytes > space - p->p_vaddr)
        bytes = space - p->p_vaddr;
    if (bytes > MEMORY_MAX - c->memory) {
        bytes = MEMORY_MAX - c->memory;
        c->t.truncated = true;
    }
    if (bytes == 0)
        return HW_OK;
    c->memory += bytes;
    struct segment s = {
        .start = p->p_vaddr,
        .end = p->p_vaddr + bytes,
        .saved = in_file(c, p->p_offset, claimed < bytes ? claimed : bytes),
        .offset = p->p_offset,
        .flags = p->p_flags & (HW_MAP_READ | HW_MAP_WRITE | HW_MAP_EXEC),
    };
    if (s.saved < claimed)
        c->t.truncated = true;
    return hw_vec_push(&c->segments, s) ? HW_OK : hw_fail(err, HW_ERR_NOMEM, "out of memory");
}

static int take_header(struct core_target *c, const Elf64_Phdr *p, struct hw_error *err)
{
    if (p->p_type == PT_LOAD)
        return take_load(c, p, err);
    if (p->p_type != PT_NOTE)
        return HW_OK;
    uint64_t len = in_file(c, p->p_offset, p->p_filesz);
    if (len < p->p_filesz)
        c->t.truncated = true;
    return core_notes_read(&c->notes, c->fd, p->p_offset, p->p_offset + len, err);
}

/* No process has as many mappings; a sparse file can pretend to have more at no cost. */
#define HEADERS_MAX (UINT64_C(1) << 24)

static int read_headers(struct core_target *c, struct core_header *h, struct hw_error *err)
{
    if (h->count > HEADERS_MAX) {
        h->count = HEADERS_MAX;
        c->t.truncated = true;
    }
    for (uint64_t done = 0; done < h->count;) {
        Elf64_Phdr block[64];
        size_t wanted = h->count - done < 64 ? (size_t)(h->count - done) : 64;
        size_t got = core_read_segments(c->fd, h, done, block, wanted);
        for (size_t i = 0; i < got; i++) {
            int rc = take_header(c, &block[i], err);
            if (rc != HW_OK)
                return rc;
        }
        if (got < wanted) {
            c->t.truncated = true;
            break;
        }
        done += got;
    }
    return HW_OK;
}

static int by_start(const void *a, const void *b)
{
    const struct segment *x = a, *y = b;
    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

/* Sort the segments and make them disjoint: what lies over another begins after it. */
static void order_segments(struct core_target *c)
{
    segment_vec *v = &c->segments;
    if (v->count)
        qsort(v->data, v->count, sizeof *v->data, by_start);
    size_t kept = 0;
    hw_addr told = 0;
    for (size_t i = 0; i < v->count; i++) {
        struct segment s = v->data[i];
        if (s.end <= told)
            continue;
        uint64_t cut = s.start < told ? told - s.start : 0;
        s.start += cut;
        s.saved = s.saved > cut ? s.saved - cut : 0;
        s.offset = s.saved ? s.offset + cut : 0;
        told = s.end;
        v->data[kept++] = s;
    }
    v->count = kept;
}

/* ---- maps ------------------------------------------------------------------------------------ */

/*
 * The union of segments and mapped files, cut wherever one of either begins or ends:
 *
 *     segments   |-- r-x --|-- rw- --|          |-- rw- --|
 *     files      |-- libc.so.6 -------------|
 *     maps       |---------|---------|------|   |---------|
 */
static int make_maps(struct core_target *c, struct hw_error *err)
{
    hw_map_vec maps = {0};
    size_t i = 0, k = 0;
    hw_addr at = 0;
    while (i < c->segments.count || k < c->notes.files.count) {
        const struct segment *s = i < c->segments.count ? &c->segments.data[i] : NULL;
        const struct core_file *f = k < c->notes.files.count ? &c->notes.files.data[k] : NULL;
        hw_addr s_start = s ? s->start : UINT64_MAX, f_start = f ? f->start : UINT64_MAX;
        hw_addr first = s_start < f_start ? s_start : f_start;
        at = at > first ? at : first;
        bool in_s = s && s_start <= at, in_f = f && f_start <= at;
        hw_addr s_next = in_s ? s->end : s_start, f_next = in_f ? f->end : f_start;
        struct hw_map map = {
            .start = at,
            .end = s_next < f_next ? s_next : f_next,
            .offset = in_f ? f->offset + (at - f_start) : 0,
            .flags = in_s ? s->flags : HW_MAP_READ,
            .path = in_f ? f->path : NULL,
        };
        if (!hw_vec_push(&maps, map)) {
            hw_vec_free(&maps);
            return hw_fail(err, HW_ERR_NOMEM, "out of memory");
        }
        at = map.end;
        i += in_s && s->end == at;
        k += in_f && f->end == at;
    }
    hw_target_take_maps(&c->t, &maps);
    return HW_OK;
}

/* ---- opening --------------------------------------------------------------------------------- */

/* A string in the image, to be freed; NULL if it is not there or has no end. */
static char *read_string(struct hw_target *t, hw_addr addr)
{
    char text[PATH_MAX];
    ssize_t n = core_read(t, addr, text, sizeof text, NULL);
    return n > 0 && memchr(text, '\0', (size_t)n) && text[0] ? strdup(text) : NULL;
}

static int identify(struct core_target *c, struct hw_error *err)
{
    const struct core_notes *n = &c->notes;
    struct hw_identity *who = &c->t.who;
    who->pid = n->pid;
    if (n->page_size >= 4096 && n->page_size <= 1 << 20 && !(n->page_size & (n->page_size - 1)))
        who->page_size = n->page_size;
    if (n->comm[0] && !(who->comm = strdup(n->comm)))
        return hw_fail(err, HW_ERR_NOMEM, "out of memory");

    const struct core_file *exe = n->phdr ? core_notes_file_at(n, n->phdr) : NULL;
    if (!exe && n->entry)
        exe = core_notes_file_at(n, n->entry);
    if (exe && !(who->exe = strdup(exe->path)))
        return hw_fail(err, HW_ERR_NOMEM, "out of memory");
    if (!exe && n->execfn)
        who->exe = read_string(&c->t, n->execfn);
    return HW_OK;
}

static int open_steps(struct core_target *c, const char *path, struct hw_error *err)
{
    int rc = open_core_file(c, path, err);
    if (rc != HW_OK)
        return rc;
    struct core_header header;
    rc = core_read_header(c->fd, path, &header, err);
    if (rc != HW_OK)
        return rc;
    c->t.who.machine = c->notes.machine = header.machine;
    rc = read_headers(c, &header, err);
    if (rc != HW_OK)
        return rc;
    if (c->segments.count == 0)
        return hw_fail(err, HW_ERR_NOT_CORE, "%s is a core without any memory in it", path);
    order_segments(c);
    core_notes_finish(&c->notes);
    rc = make_maps(c, err);
    if (rc == HW_OK)
        rc = identify(c, err);
    hw_target_take_threads(&c->t, &c->notes.threads);
    if (rc == HW_OK && !c->notes.tells_tls)
        rc = hw_find_thread_pointers(&c->t, HW_TCB_WHOLE, err);
    return rc;
}

int hw_target_open_core(const char *path, struct hw_target **ret, struct hw_error *err)
{
    *ret = NULL;
    struct core_target *c = calloc(1, sizeof *c);
    if (!c)
        return hw_fail(err, HW_ERR_NOMEM, "out of memory");
    c->fd = -1;
    c->t.ops = &core_ops;
    c->t.pause_ns = -1;
    c->t.who = (struct hw_identity){.kind = HW_TARGET_CORE,
                                    .machine = hw_machine(HW_X86_64),
                                    .page_size = 4096,
                                    .core = strdup(path)};
    int rc = c->t.who.core ? open_steps(c, path, err) : hw_fail(err, HW_ERR_NOMEM, "out of memory");
    if (rc != HW_OK) {
        hw_target_close(&c->t);
        return rc;
    }
    *ret = &c->t;
    return HW_OK;
}
