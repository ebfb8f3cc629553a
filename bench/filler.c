/*
 * A heap to measure on, a clock, and a yardstick for pauses.
 *
 * usage: filler BYTES SIZE FREED LISTS [THREADS]
 *
 *     BYTES     how much to allocate, all threads together
 *     SIZE      gross bytes of each chunk; 0: mixed, as programs are: log-normal, 16 B to 32 KiB,
 *               half of them up to 250 B
 *     FREED     how many of 100 chunks are freed, chosen at random and freed in random order
 *     LISTS     "bins": half of them are sorted into bins, half lie in the unsorted bin, as in
 *               programs that now and then ask for a KiB or more; "fastbins": half of those up to
 *               128 B lie there
 *     THREADS   each allocates in an arena of its own (default: the main arena alone)
 *
 * Says "ready CHUNKS", the number allocated. Then it obeys orders from stdin, a letter each, and
 * answers with a line of nanoseconds; it ends when stdin does:
 *
 *     g   the longest time that a thread which ticks every 100 us stood still, since the last "g"
 *     f   how long a fork() takes
 */
#include <inttypes.h>
#include <malloc.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SMALLEST 16
#define LARGEST  (32 * 1024)
#define MEDIAN   250.0
#define SPREAD   1.5 /* of the logarithm */
#define TICK_NS  100000

static struct {
    size_t bytes, size, freed, threads;
    bool empty_fastbins;
    pthread_barrier_t filled;
    size_t chunks;   /* of all threads */
    int64_t longest; /* gap between two ticks, since it was asked for */
} self;

static _Noreturn void die(const char *what)
{
    perror(what);
    _exit(1);
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- the heap ------------------------------------------------------------------------------- */

/* xorshift64*: the same numbers in every run. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * 0x2545F4914F6CDD1Du;
}

static double next_fraction(uint64_t *state)
{
    return (double)(next_random(state) >> 11) * 0x1p-53;
}

/* Bytes to ask for. */
static size_t next_size(uint64_t *state)
{
    if (self.size)
        return self.size - sizeof(size_t);
    double normal = -6; /* nearly: twelve fractions have a variance of 1 */
    for (int i = 0; i < 12; i++)
        normal += next_fraction(state);
    double size = MEDIAN * exp(SPREAD * normal);
    return size < SMALLEST ? SMALLEST : size > LARGEST ? LARGEST : (size_t)size;
}

static void *allocate(size_t size)
{
    void *p = malloc(size);
    if (p)
        return memset(p, 0x5a, size);
    die("malloc");
}

static void shuffle(void **chunks, size_t count, uint64_t *random)
{
    for (size_t i = count; i > 1; i--) {
        size_t other = next_random(random) % i;
        void *p = chunks[i - 1];
        chunks[i - 1] = chunks[other];
        chunks[other] = p;
    }
}

/* malloc() sorts up to 10000 chunks of the unsorted bin whenever it finds nothing that fits. */
static void sort_unsorted(size_t chunks)
{
    size_t count = chunks / 10000 + 1;
    void **large = calloc(count, sizeof *large);
    for (size_t i = 0; large && i < count; i++)
        large[i] = malloc(100 * 1024);
    for (size_t i = 0; large && i < count; i++)
        free(large[i]);
    free(large);
}

static void free_some(void **chunks, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(chunks[i]);
}

/* The list of the chunks has a mapping of its own and is gone before anybody looks. */
static size_t fill(size_t bytes, uint64_t seed)
{
    uint64_t random = seed;
    size_t least = self.size ? self.size : 2 * SMALLEST;
    size_t room = (bytes / least + 1) * sizeof(void *), count = 0;
    void **chunks = mmap(NULL, room, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (chunks == MAP_FAILED)
        die("mmap");

    for (size_t done = 0; done < bytes;) {
        chunks[count] = allocate(next_size(&random));
        done += malloc_usable_size(chunks[count++]) + sizeof(size_t);
    }
    size_t half = (size_t)((double)count * (double)self.freed / 200);
    if (half) {
        shuffle(chunks, count, &random);
        free_some(chunks, half);
        sort_unsorted(half);
        free_some(chunks + half, half);
        if (self.empty_fastbins) /* any request of at least 1 KiB does */
            free(malloc(LARGEST));
    }
    munmap(chunks, room);
    return count;
}

static void *fill_share(void *number)
{
    size_t chunks = fill(self.bytes / self.threads, 1 + (uintptr_t)number);
    __atomic_add_fetch(&self.chunks, chunks, __ATOMIC_RELAXED);
    pthread_barrier_wait(&self.filled);
    while (pause() < 0)
        ;
    return NULL;
}

static void start(void *(*run)(void *), size_t number)
{
    pthread_t thread;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 128 * 1024);
    if (pthread_create(&thread, &attr, run, (void *)number) != 0)
        die("pthread_create");
    pthread_attr_destroy(&attr);
}

static void fill_arenas(void)
{
    mallopt(M_ARENA_MAX, (int)self.threads + 2);
    pthread_barrier_init(&self.filled, NULL, (unsigned)self.threads + 1);
    for (size_t i = 0; i < self.threads; i++)
        start(fill_share, i);
    pthread_barrier_wait(&self.filled);
}

/* ---- the clock ------------------------------------------------------------------------------ */

static void *tick(void *unused)
{
    const struct timespec pause = {0, TICK_NS};
    prctl(PR_SET_TIMERSLACK, 1);
    for (int64_t last = now_ns();;) {
        nanosleep(&pause, NULL);
        int64_t now = now_ns();
        if (now - last > __atomic_load_n(&self.longest, __ATOMIC_RELAXED))
            __atomic_store_n(&self.longest, now - last, __ATOMIC_RELAXED);
        last = now;
    }
    return unused;
}

static int64_t longest_gap(void)
{
    static bool ticking;
    if (!ticking)
        start(tick, 0);
    ticking = true;
    return __atomic_exchange_n(&self.longest, 0, __ATOMIC_RELAXED);
}

static int64_t time_of_fork(void)
{
    int64_t began = now_ns();
    pid_t child = fork();
    int64_t took = now_ns() - began;
    if (child < 0)
        die("fork");
    if (child == 0)
        _exit(0);
    waitpid(child, NULL, 0);
    return took;
}

/* --------------------------------------------------------------------------------------------- */

static bool parse(int argc, char **argv)
{
    if (argc < 5 || argc > 6)
        return false;
    self.bytes = strtoull(argv[1], NULL, 10);
    self.size = strtoull(argv[2], NULL, 10);
    self.freed = strtoull(argv[3], NULL, 10);
    self.empty_fastbins = strcmp(argv[4], "bins") == 0;
    self.threads = argc > 5 ? strtoull(argv[5], NULL, 10) : 0;
    return (self.empty_fastbins || strcmp(argv[4], "fastbins") == 0) && self.bytes &&
           (!self.size || self.size >= 32) && self.size <= 100000 && self.freed <= 100 &&
           self.threads <= 1000;
}

int main(int argc, char **argv)
{
    if (!parse(argc, argv)) {
        fprintf(stderr, "usage: filler BYTES SIZE FREED bins|fastbins [THREADS]\n");
        return 64;
    }
    static char buffer[256]; /* stdio would allocate one */
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
    if (self.threads)
        fill_arenas();
    else
        self.chunks = fill(self.bytes, 1);
    printf("ready %zu\n", self.chunks);
    fflush(stdout);

    for (char order; read(STDIN_FILENO, &order, 1) == 1; fflush(stdout))
        if (order == 'g' || order == 'f')
            printf("%" PRId64 "\n", order == 'g' ? longest_gap() : time_of_fork());
    return 0;
}
