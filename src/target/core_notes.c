#include "target/core_image.h"
#include "target/regs.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* Larger things than these no kernel writes; a file that claims them is damaged or hostile. */
#define NOTES_MAX    4000000 /* about a million threads */
#define NT_FILE_MAX  ((size_t)64 << 20)
#define AUXV_MAX     ((size_t)4096)
#define TLS_NOTE_MAX ((size_t)256)

/*
 * Where things are in the descriptors, for words of `w` bytes. The structs are the same everywhere
 * but for the registers in the first, and for the ids of users in the second: 16 bits on i386.
 */
#define PRSTATUS_SIGNAL   12
#define PRSTATUS_PID(w)   (16 + 2 * (w))
#define PRSTATUS_REGS(w)  (32 + 10 * (w))
#define PRPSINFO_PID(w)   ((w) == 8 ? 24u : 12u)
#define PRPSINFO_FNAME(w) (PRPSINFO_PID(w) + 16)
#define PRPSINFO_BYTES(w) (PRPSINFO_FNAME(w) + 16)

/* A TLS descriptor of i386, as in struct user_desc: its number, its base, two more words. */
#define TLS_DESC_BYTES 16

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

/* ---- each kind of note ----------------------------------------------------------------------- */

/* Debuggers stop processes by signals of their own. Only the kernel fills in the first word. */
static bool is_own(int signal, bool by_kernel)
{
    return by_kernel || signal == SIGABRT || signal == SIGSEGV || signal == SIGBUS ||
           signal == SIGFPE || signal == SIGILL || signal == SIGSYS;
}

/* The kernel, and gdb too, begin with the thread that the signal came to. */
static void take_signal(struct core_notes *n, const uint8_t *desc, int tid)
{
    int signal = (int)(u32(desc + PRSTATUS_SIGNAL) & 0xffff);
    if (signal > 0 && signal < NSIG && is_own(signal, u32(desc) != 0))
        n->signal = (struct hw_signal){.number = signal, .tid = tid};
}

/* The status of a thread; the notes that follow are of this one, too. */
static bool take_prstatus(struct core_notes *n, const uint8_t *desc, size_t len)
{
    unsigned w = n->machine->word;
    struct hw_regs regs;
    n->in_thread = false;
    if (len < PRSTATUS_REGS(w) + hw_regs_bytes(n->machine))
        return true;
    hw_regs_decode(n->machine, desc + PRSTATUS_REGS(w), hw_regs_bytes(n->machine), &regs);
    struct hw_thread th = {
        .tid = (int)u32(desc + PRSTATUS_PID(w)),
        .regs_known = true,
        .tp = regs.tp,
        .sp = regs.sp,
        .pc = regs.pc,
    };
    hw_regs_words(n->machine, desc + PRSTATUS_REGS(w), th.regs);
    if (th.tid <= 0)
        return true;
    if (n->threads.count == 0)
        take_signal(n, desc, th.tid);
    n->in_thread = true;
    n->tls_entry = regs.tls_entry;
    n->tells_tls |= regs.tp != 0;
    return hw_vec_push(&n->threads, th);
}

/* aarch64: the registers that programs may keep a thread pointer in; the first is tpidr_el0. */
static void take_arm_tls(struct core_notes *n, const uint8_t *desc, size_t len)
{
    if (n->in_thread && n->machine->id == HW_AARCH64 && len >= 8)
        n->threads.data[n->threads.count - 1].tp = hw_word(desc, 8);
}

/* i386: the descriptors that a thread may choose from. */
static void take_386_tls(struct core_notes *n, const uint8_t *desc, size_t len)
{
    if (!n->in_thread || !n->tls_entry)
        return;
    for (size_t i = 0; i + TLS_DESC_BYTES <= len; i += TLS_DESC_BYTES)
        if (u32(desc + i) == n->tls_entry)
            n->threads.data[n->threads.count - 1].tp = u32(desc + i + 4);
}

/* What more there is to say of that signal. */
static void take_siginfo(struct core_notes *n, const uint8_t *desc, size_t len)
{
    unsigned w = n->machine->word;
    size_t address = w == 8 ? 16 : 12;
    struct hw_signal *s = &n->signal;
    if (n->threads.count != 1 || len < address + w || s->told || s->number == 0 ||
        u32(desc) != (uint32_t)s->number)
        return;
    s->told = true;
    s->code = (int)u32(desc + 8);
    if (s->code > 0 &&
        (s->number == SIGSEGV || s->number == SIGBUS || s->number == SIGILL || s->number == SIGFPE))
        s->address = hw_word(desc + address, w);
}

static void take_prpsinfo(struct core_notes *n, const uint8_t *desc, size_t len)
{
    unsigned w = n->machine->word;
    if (len < PRPSINFO_BYTES(w))
        return;
    int pid = (int)u32(desc + PRPSINFO_PID(w));
    n->pid = pid > 0 ? pid : 0;
    memcpy(n->comm, desc + PRPSINFO_FNAME(w), sizeof n->comm - 1);
    n->comm[sizeof n->comm - 1] = '\0';
    hw_clean_name(n->comm);
}

static void take_auxv(struct core_notes *n, const uint8_t *desc, size_t len)
{
    unsigned w = n->machine->word;
    for (size_t i = 0; i + 2 * w <= len; i += 2 * w) {
        uint64_t type = hw_word(desc + i, w), value = hw_word(desc + i + w, w);
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
    n->names = calloc((size_t)desc_len + 1, 1);
    if (!n->names)
        return false;
    unsigned w = n->machine->word;
    size_t len = core_pread(fd, n->names, (size_t)desc_len, offset);
    if (len < 2 * w)
        return true;
    const uint8_t *entry = (const uint8_t *)n->names + 2 * w;
    uint64_t count = hw_word(entry - 2 * w, w), page = hw_word(entry - w, w);
    if (count > (len - 2 * w) / (3 * w))
        count = (len - 2 * w) / (3 * w);
    char *name = n->names + 2 * w + count * 3 * w, *end = n->names + len;
    for (uint64_t i = 0; i < count && name < end; i++, entry += 3 * w) {
        struct core_file f = {
            .start = hw_word(entry, w), .end = hw_word(entry + w, w), .path = name};
        char *nul = memchr(name, '\0', (size_t)(end - name));
        if (!nul)
            break;
        if (__builtin_mul_overflow(hw_word(entry + 2 * w, w), page, &f.offset))
            f.offset = 0;
        if (f.start < f.end && *name && nul - name < PATH_MAX && !hw_vec_push(&n->files, f))
            return false;
        name = nul + 1;
    }
    return true;
}

/* ---- going through them ---------------------------------------------------------------------- */

/* Some writers do not count the NUL. */
static bool is_from(const char *owner, const char *name, uint32_t len)
{
    size_t letters = strlen(owner);
    return (len == letters || len == letters + 1) && memcmp(name, owner, letters) == 0;
}

static int take_core_note(struct core_notes *n, int fd, uint32_t type, uint64_t offset,
                          uint64_t len, struct hw_error *err)
{
    uint8_t small[AUXV_MAX] = {0};
    bool ok = true;
    if (type == NT_FILE) {
        ok = take_files(n, fd, offset, len);
    } else {
        size_t got = core_pread(fd, small, len < sizeof small ? (size_t)len : sizeof small, offset);
        if (type == NT_PRSTATUS)
            ok = take_prstatus(n, small, got);
        else if (type == NT_PRPSINFO)
            take_prpsinfo(n, small, got);
        else if (type == NT_AUXV)
            take_auxv(n, small, got);
        else if (type == NT_SIGINFO)
            take_siginfo(n, small, got);
    }
    return ok ? HW_OK : hw_fail(err, HW_ERR_NOMEM, "out of memory");
}

static void take_linux_note(struct core_notes *n, int fd, uint32_t type, uint64_t offset,
                            uint64_t len)
{
    uint8_t small[TLS_NOTE_MAX] = {0};
    if (type != NT_ARM_TLS && type != NT_386_TLS)
        return;
    n->tells_tls = true;
    size_t got = core_pread(fd, small, len < sizeof small ? (size_t)len : sizeof small, offset);
    if (type == NT_ARM_TLS)
        take_arm_tls(n, small, got);
    else
        take_386_tls(n, small, got);
}

static uint64_t padded(uint64_t len)
{
    return (len + 3) & ~UINT64_C(3);
}

int core_notes_read(struct core_notes *n, int fd, uint64_t offset, uint64_t end,
                    struct hw_error *err)
{
    struct {
        Elf64_Nhdr h; /* the same for both classes */
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
        int rc = HW_OK;
        if (is_from("CORE", note.name, note.h.n_namesz))
            rc = take_core_note(n, fd, note.h.n_type, offset, note.h.n_descsz, err);
        else if (is_from("LINUX", note.name, note.h.n_namesz))
            take_linux_note(n, fd, note.h.n_type, offset, note.h.n_descsz);
        if (rc != HW_OK)
            return rc;
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
