/*
 * The oracle: see victim.h.
 */
#include "victim.h"

#include <errno.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#if defined __x86_64__
#define ARCH "x86_64"
#elif defined __i386__
#define ARCH "i386"
#elif defined __aarch64__
#define ARCH "aarch64"
#endif

/* ---- state: static, or in mappings of its own ------------------------------------------------ */

struct block {
    void *pointer; /* NULL: never used; GONE: was used */
    size_t requested;
};
#define GONE ((void *)1)

static struct {
    int argc;
    char **argv;
    int dir;
    int out; /* the stdout we were started with; stdout itself becomes a file */
    struct block *table;
    size_t slots; /* a power of two */
    pthread_mutex_t lock;
    unsigned parked;
    unsigned remapped; /* how often realloc() gave a mapped block more or fewer pages */
    void *let_go[64];
    size_t let_go_count;
    void (*grow)(char answer[VICTIM_ANSWER]);
    char expect[1 << 16];
    size_t expect_len;
} self = {.lock = PTHREAD_MUTEX_INITIALIZER};

_Noreturn void victim_die(const char *why)
{
    dprintf(2, "victim: %s: %s\n", why, strerror(errno));
    _exit(1);
}

static int open_file(const char *name)
{
    int fd = openat(self.dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        victim_die(name);
    return fd;
}

static void write_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);
        if (n <= 0)
            victim_die("write");
        bytes += n;
        len -= (size_t)n;
    }
}

/* ---- start ----------------------------------------------------------------------------------- */

static void die_with_parent(void)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        victim_die("prctl");
}

void victim_start(int argc, char **argv)
{
    static char out_buffer[BUFSIZ];

    if (argc < 2) {
        dprintf(2, "usage: %s DIR [ARGUMENT ...]\n", argv[0]);
        _exit(64);
    }
    die_with_parent();
    self.argc = argc;
    self.argv = argv;
    self.dir = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (self.dir < 0)
        victim_die(argv[1]);
    self.out = dup(STDOUT_FILENO);
    if (self.out < 0)
        victim_die("dup");
    setvbuf(stdout, out_buffer, _IOFBF, sizeof out_buffer);
    victim_reserve(65536);
}

size_t victim_number(int i, size_t otherwise)
{
    return i + 2 < self.argc ? strtoul(self.argv[i + 2], NULL, 0) : otherwise;
}

int victim_is(int i, const char *word)
{
    return i + 2 < self.argc && strcmp(self.argv[i + 2], word) == 0;
}

void victim_is_child(void)
{
    die_with_parent();
    victim_expect("pid %d", (int)getpid());
}

/* ---- the list of live blocks ----------------------------------------------------------------- */

void victim_reserve(size_t blocks)
{
    size_t slots = 1;
    while (slots < 2 * blocks)
        slots *= 2;
    if (self.table)
        munmap(self.table, self.slots * sizeof *self.table);
    self.slots = slots;
    self.table = mmap(NULL, slots * sizeof *self.table, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (self.table == MAP_FAILED)
        victim_die("mmap");
}

/* Neighbours in the heap are neighbours in the table, and arenas, 64 MiB apart, do not collide. */
static size_t home_of(const void *p)
{
    uintptr_t n = (uintptr_t)p;
    return ((n >> 4) + (n >> 26) * 0x9E3779B1u) & (self.slots - 1);
}

static void note(void *p, size_t requested)
{
    if (!p)
        victim_die("out of memory");
    pthread_mutex_lock(&self.lock);
    size_t i = home_of(p), tries = 0;
    while (self.table[i].pointer && self.table[i].pointer != GONE) {
        if (self.table[i].pointer == p)
            victim_die("the allocator gave the same block twice");
        if (++tries == self.slots)
            victim_die("more blocks than reserved");
        i = (i + 1) & (self.slots - 1);
    }
    self.table[i] = (struct block){p, requested};
    pthread_mutex_unlock(&self.lock);
}

static void forget(void *p)
{
    pthread_mutex_lock(&self.lock);
    size_t i = home_of(p);
    while (self.table[i].pointer != p) {
        if (!self.table[i].pointer)
            victim_die("freeing a block that is not ours");
        i = (i + 1) & (self.slots - 1);
    }
    self.table[i].pointer = GONE;
    pthread_mutex_unlock(&self.lock);
}

void *victim_malloc(size_t size)
{
    void *p = malloc(size);
    note(p, size);
    return p;
}

void *victim_calloc(size_t size)
{
    void *p = calloc(1, size);
    note(p, size);
    return p;
}

void *victim_memalign(size_t align, size_t size)
{
    void *p = memalign(align, size);
    note(p, size);
    return p;
}

/* The size word of a block's chunk. Where pointers have tags, it lies in memory that has none. */
static size_t size_word(void *p)
{
#ifdef __aarch64__
    p = (void *)((uintptr_t)p & (UINTPTR_MAX >> 8));
#endif
    return ((const size_t *)p)[-1];
}

/* The usable bytes of a block that has a mapping of its own, else 0. */
static size_t mapped_bytes(void *p)
{
    return size_word(p) & 2 ? malloc_usable_size(p) : 0;
}

void *victim_realloc(void *p, size_t size)
{
    size_t before = mapped_bytes(p);
    /* Forgotten first: once freed, another thread may be given the same address. */
    forget(p);
    p = realloc(p, size);
    note(p, size);
    if (before && mapped_bytes(p) && mapped_bytes(p) != before)
        __atomic_add_fetch(&self.remapped, 1, __ATOMIC_RELAXED);
    return p;
}

void victim_free(void *p)
{
    forget(p);
    free(p);
}

int victim_libc_since(unsigned major, unsigned minor)
{
    char *rest;
    unsigned long is_major = strtoul(gnu_get_libc_version(), &rest, 10);
    unsigned long is_minor = *rest == '.' ? strtoul(rest + 1, NULL, 10) : 0;
    return is_major > major || (is_major == major && is_minor >= minor);
}

size_t victim_mmapped_cost(void)
{
    return victim_libc_since(2, 43) ? VICTIM_WORD : VICTIM_HEADER;
}

void victim_mmap_threshold(size_t bytes)
{
    size_t most = VICTIM_HEAP_MAX / 2;
    if (mallopt(M_MMAP_THRESHOLD, (int)(bytes < most ? bytes : most)) != 1)
        victim_die("mallopt");
}

/* ---- small things ---------------------------------------------------------------------------- */

void victim_expect(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    pthread_mutex_lock(&self.lock);
    size_t room = sizeof self.expect - self.expect_len;
    int n = vsnprintf(self.expect + self.expect_len, room, fmt, args);
    if (n < 0 || (size_t)n + 1 >= room)
        victim_die("too many expectations");
    self.expect_len += (size_t)n;
    self.expect[self.expect_len++] = '\n';
    pthread_mutex_unlock(&self.lock);
    va_end(args);
}

uint64_t victim_random(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * 0x2545F4914F6CDD1Du;
}

size_t victim_between(uint64_t *state, size_t lo, size_t hi)
{
    return lo + (size_t)((victim_random(state) >> 16) % (hi - lo + 1));
}

pthread_t victim_thread(void *(*run)(void *), void *arg)
{
    pthread_attr_t attr;
    pthread_t thread;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 128 * 1024);
    /* Since 2.42 guard pages may be made by madvise(), and gdb's gcore then saves a stack of zeros,
     * thread-local storage and all. */
    if (!getenv("VICTIM_GUARDS"))
        pthread_attr_setguardsize(&attr, 0);
    if (pthread_create(&thread, &attr, run, arg) != 0)
        victim_die("pthread_create");
    pthread_attr_destroy(&attr);
    return thread;
}

/* For cores in which no register of the thread's says so. */
static void expect_thread_pointer(void)
{
    victim_expect("thread_pointer %d %p", (int)gettid(), __builtin_thread_pointer());
}

_Noreturn void *victim_park(void)
{
    expect_thread_pointer();
    __atomic_add_fetch(&self.parked, 1, __ATOMIC_RELEASE);
    for (;;)
        pause();
}

void victim_wait_parked(unsigned threads)
{
    while (__atomic_load_n(&self.parked, __ATOMIC_ACQUIRE) != threads)
        usleep(1000);
}

/* ---- the oracle ------------------------------------------------------------------------------ */

#if !__GLIBC_PREREQ(2, 33)
/* mallinfo2() came with 2.33. The heaps of victims are small enough for the ints of mallinfo(). */
struct mallinfo2 {
    size_t arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost;
};

static struct mallinfo2 mallinfo2(void)
{
    struct mallinfo m = mallinfo();
    const int *from = &m.arena; /* ten ints, in the same order */
    struct mallinfo2 wide;
    size_t *to = &wide.arena;
    for (size_t i = 0; i < sizeof m / sizeof *from; i++)
        to[i] = (size_t)from[i];
    return wide;
}
#endif

static void write_mallinfo(const struct mallinfo2 *m)
{
    static char text[1024];
    int n = snprintf(text, sizeof text,
                     "arena %zu\nordblks %zu\nsmblks %zu\nhblks %zu\nhblkhd %zu\nusmblks %zu\n"
                     "fsmblks %zu\nuordblks %zu\nfordblks %zu\nkeepcost %zu\n",
                     m->arena, m->ordblks, m->smblks, m->hblks, m->hblkhd, m->usmblks, m->fsmblks,
                     m->uordblks, m->fordblks, m->keepcost);
    int fd = open_file("mallinfo2.txt");
    write_all(fd, text, (size_t)n);
    close(fd);
}

/* Streams of our own would be allocated: so stdout and stderr are pointed at the files. */
static void write_malloc_info(void)
{
    int fd = open_file("malloc_info.xml");
    fflush(stdout);
    if (dup2(fd, STDOUT_FILENO) < 0 || malloc_info(0, stdout) != 0 || fflush(stdout) != 0)
        victim_die("malloc_info");
    close(fd);
}

static void write_malloc_stats(void)
{
    int fd = open_file("malloc_stats.txt"), saved = dup(STDERR_FILENO);
    if (dup2(fd, STDERR_FILENO) < 0)
        victim_die("dup2");
    malloc_stats();
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(fd);
}

static void write_blocks(void)
{
    static char text[1 << 16];
    size_t len = 0;
    int fd = open_file("blocks.txt");
    for (size_t i = 0; i < self.slots; i++) {
        void *p = self.table[i].pointer;
        if (!p || p == GONE)
            continue;
        if (len + 128 > sizeof text) {
            write_all(fd, text, len);
            len = 0;
        }
        int n = snprintf(text + len, sizeof text - len, "%p %zu %zu\n", p, self.table[i].requested,
                         malloc_usable_size(p));
        len += (size_t)n;
    }
    write_all(fd, text, len);
    close(fd);
}

/* ---- orders ---------------------------------------------------------------------------------- */

/* A line of /proc/self/status, in KiB. Without stdio: this is no event of the heap. */
static unsigned long status_kib(const char *key)
{
    static char text[1 << 14];
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (n <= 0)
        victim_die("/proc/self/status");
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    const char *line = strstr(text, key);
    return line ? strtoul(line + strlen(key), NULL, 10) : 0;
}

static void answer_trim(void)
{
    static char text[256];
    status_kib("RssAnon:"); /* its buffer counts, too */
    unsigned long rss = status_kib("RssAnon:"), swap = status_kib("VmSwap:");
    int result = malloc_trim(0);
    int n = snprintf(text, sizeof text, "%d %lu %lu %lu %lu\n", result, rss, status_kib("RssAnon:"),
                     swap, status_kib("VmSwap:"));
    write_all(self.out, text, (size_t)n);
}

void victim_let_go(void *p)
{
    if (self.let_go_count == sizeof self.let_go / sizeof *self.let_go)
        victim_die("too many blocks to let go");
    self.let_go[self.let_go_count++] = p;
}

static void answer_free(void)
{
    static char text[64];
    status_kib("RssAnon:");
    unsigned long before = status_kib("RssAnon:");
    for (size_t i = 0; i < self.let_go_count; i++)
        free(self.let_go[i]);
    int n = snprintf(text, sizeof text, "%lu %lu\n", before, status_kib("RssAnon:"));
    write_all(self.out, text, (size_t)n);
}

void victim_obey(void (*grow)(char answer[VICTIM_ANSWER]))
{
    self.grow = grow;
}

static void answer_grow(void)
{
    static char text[VICTIM_ANSWER + 1];
    self.grow(text);
    strcat(text, "\n");
    write_all(self.out, text, strlen(text));
}

/* Most tests leave stdin empty. */
static void obey(void)
{
    char order;
    while (read(STDIN_FILENO, &order, 1) == 1) {
        if (order == 't')
            answer_trim();
        else if (order == 'f')
            answer_free();
        else if (order == 'g' && self.grow)
            answer_grow();
    }
}

static _Noreturn void say_ready(void)
{
    int fd = open_file("expect.txt");
    write_all(fd, self.expect, self.expect_len);
    close(fd);
    write_all(self.out, "ready\n", 6);
    obey();
    for (;;)
        pause();
}

/* Whether the allocator gives tagged pointers. Then nobody may use the next chunk's first word. */
static int pointers_are_tagged(void)
{
#ifdef __aarch64__
    for (size_t i = 0; i < self.slots; i++)
        if ((uintptr_t)self.table[i].pointer >> 56)
            return 1;
#endif
    return 0;
}

/* What the allocator cannot be asked, and is not the same in every version. */
static void expect_of_libc(void)
{
    victim_expect("mmapped_cost %zu", victim_mmapped_cost());
    /* Counted as mapped at each such realloc() although nothing was: a slip in glibc 2.43. */
    size_t slip = victim_libc_since(2, 43) ? VICTIM_HEADER : 0;
    victim_expect("mmapped_slip %zu", slip * self.remapped);
    victim_expect("arch %s", ARCH);
    victim_expect("used_cost %zu", pointers_are_tagged() ? VICTIM_HEADER : VICTIM_WORD);
}

void victim_note_down(void)
{
    expect_thread_pointer();
    expect_of_libc();
    struct mallinfo2 before = mallinfo2();
    write_malloc_info();
    write_malloc_stats();
    write_mallinfo(&before);
    write_blocks();
    struct mallinfo2 after = mallinfo2();
    if (memcmp(&before, &after, sizeof before) != 0)
        victim_die("the heap changed while it was written down");
}

_Noreturn void victim_ready(void)
{
    victim_note_down();
    say_ready();
}

_Noreturn void victim_ready_noted(void)
{
    say_ready();
}

_Noreturn void victim_ready_unasked(void)
{
    write_blocks();
    say_ready();
}
