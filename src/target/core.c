/*
 * An ELF core file.
 *
 *     memory    |  saved  |  not saved  |  saved ...        segments: core_segments.c
 *     file      |  bytes  | hole |  bytes ...               holes are zeros: core_holes.c
 *
 * What was not saved is missing, and never zeros; what the file has as a hole was saved, and is.
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
#include <poll.h>
#include <string.h>
#include <sys/stat.h>

struct core_target {
    struct hw_target t;
    int fd;
    struct hw_unpacked unpacked;
    struct core_holes *holes;
    struct core_segments segments;
    struct core_notes notes;
};

/* ---- reading --------------------------------------------------------------------------------- */

static ssize_t core_read(struct hw_target *t, hw_addr addr, void *buf, size_t len,
                         struct hw_error *err)
{
    (void)err;
    struct core_target *c = (struct core_target *)t;
    size_t done = 0;
    for (size_t i = core_segments_find(&c->segments, addr);
         i < c->segments.list.count && done < len; i++) {
        const struct core_segment *s = &c->segments.list.data[i];
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

static enum hw_extent core_extent(const struct hw_target *t, hw_addr addr, hw_addr end,
                                  hw_addr *until)
{
    const struct core_target *c = (const struct core_target *)t;
    return core_segments_extent(&c->segments, c->holes, t->who.page_size, addr, end, until);
}

static hw_addr core_next_data(struct hw_target *t, hw_addr addr, hw_addr end, uint64_t *budget)
{
    for (hw_addr until; addr < end && *budget; addr = until, --*budget)
        if (core_extent(t, addr, end, &until) == HW_EXTENT_DATA)
            return addr;
    return end;
}

static void core_missing(const struct hw_target *t, hw_addr start, hw_addr end,
                         struct hw_missing *sum)
{
    const struct core_target *c = (const struct core_target *)t;
    core_segments_missing(&c->segments, start, end, sum);
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
    hw_vec_free(&c->segments.list);
    core_holes_destroy(c->holes);
    if (c->fd >= 0)
        close(c->fd);
}

static const struct hw_target_ops core_ops = {
    .read = core_read,
    .next_data = core_next_data,
    .extent = core_extent,
    .missing = core_missing,
    .open_file = core_open_file,
    .close = core_close,
};

/* ---- the file -------------------------------------------------------------------------------- */

/* How long a pipe with a name may be without a writer. */
#define WRITER_MS 3000

/* Whether there is something in it, or was, or may come yet: a writer can take its time. */
static bool has_writer(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int to[2];
    if (poll(&p, 1, WRITER_MS) != 0)
        return true;
    if (pipe2(to, O_CLOEXEC) != 0)
        return false;
    /* Unlike read() this takes nothing out; 0: nobody has it open to write. */
    bool has = tee(fd, to[1], 1, SPLICE_F_NONBLOCK) != 0;
    close(to[0]);
    close(to[1]);
    return has;
}

/* A descriptor for what the user named: a file, a pipe, standard input. */
static int open_input(const char *path, struct hw_error *err)
{
    struct stat st;
    bool standard = strcmp(path, "-") == 0;
    const char *name = standard ? "standard input" : path;
    if (standard && isatty(STDIN_FILENO)) {
        hw_fail(err, HW_ERR_NOT_CORE, "standard input is a terminal, not a core");
        hw_remedy(err, "heapwalk - reads a core from a pipe: zcat core.gz | heapwalk -");
        return -1;
    }
    /* Not to wait for ever for a writer if it is a FIFO; once there is one, for its bytes. */
    int fd = standard ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                      : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) != 0) {
        hw_fail_errno(err, HW_ERR_SYSTEM, "cannot open %s", name);
        if (fd < 0 && *path && !path[strspn(path, "0123456789")])
            hw_remedy(err, "to read a process: heapwalk -p %s", path);
    } else if (S_ISDIR(st.st_mode)) {
        hw_fail(err, HW_ERR_NOT_CORE, "%s is a directory", name);
    } else if (!S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode) && !S_ISSOCK(st.st_mode)) {
        hw_fail(err, HW_ERR_NOT_CORE, "%s is neither a file nor a pipe", name);
    } else if (!standard && S_ISFIFO(st.st_mode) && !has_writer(fd)) {
        hw_fail(err, HW_ERR_NOT_CORE, "%s is a pipe into which nobody writes a core", path);
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
    int rc = hw_unpack(fd, name, HW_UNPACKED_MAX, ELFMAG, &c->unpacked, err);
    c->fd = c->unpacked.fd;
    if (rc != HW_OK)
        return rc;
    if (fstat(c->fd, &st) != 0)
        return hw_fail_errno(err, HW_ERR_SYSTEM, "cannot open %s", name);
    if (st.st_size <= 0)
        return hw_fail(err, HW_ERR_NOT_CORE, "%s is empty", name);
    c->segments.file_size = (uint64_t)st.st_size;
    if (c->unpacked.cut_short)
        c->t.unpack_flaw = c->unpacked.why;
    return core_holes_create(c->fd, &c->holes, err);
}

/* ---- headers --------------------------------------------------------------------------------- */

static int take_header(struct core_target *c, const Elf64_Phdr *p, struct hw_error *err)
{
    if (p->p_type == PT_LOAD)
        return core_segments_add(&c->segments, c->t.who.machine, p, err);
    if (p->p_type != PT_NOTE)
        return HW_OK;
    uint64_t len = core_in_file(&c->segments, p->p_offset, p->p_filesz);
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

static int make_maps(struct core_target *c, struct hw_error *err)
{
    hw_map_vec maps = {0};
    int rc = core_segments_maps(&c->segments, &c->notes, &maps, err);
    if (rc == HW_OK)
        hw_target_take_maps(&c->t, &maps);
    hw_vec_free(&maps);
    return rc;
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
    if (c->segments.list.count == 0)
        return hw_fail(err, HW_ERR_NOT_CORE,
                       c->t.truncated ? "%s is truncated: it ends within the headers of a core"
                                      : "%s is a core without any memory in it",
                       path);
    core_segments_finish(&c->segments);
    c->t.truncated |= c->segments.truncated;
    c->t.leaves_out = c->segments.unaligned;
    if (c->t.truncated && c->segments.wanted > c->segments.file_size) {
        c->t.core_bytes = c->segments.file_size;
        c->t.core_wanted = c->segments.wanted;
    }
    rc = core_links_find(&c->t, &c->segments, &c->notes, err);
    core_notes_finish(&c->notes);
    if (rc == HW_OK)
        rc = make_maps(c, err);
    if (rc == HW_OK)
        rc = identify(c, err);
    hw_target_take_threads(&c->t, &c->notes.threads);
    c->t.signal = c->notes.signal;
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
