/*
 * waits [KINDS]: threads that wait in every way there is, and prove after each wait that it ended
 * when it had to: on time, or on its event, which another thread sends now and then. KINDS are
 * letters of the table below (default: all of them). The file "waits" of the oracle's directory is
 * a page of words, four for each thread: waits done, waits that went wrong, errno of the last of
 * these, and how late the latest wait ended, in nanoseconds. Behind them stands the number of
 * SIGCHLD received, which is 0.
 */
#include "victim.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MOST_THREADS 64
#define MILLISECOND  ((int64_t)1000000)
#define ASKED_MS     20 /* how long timed waits are to take */
#define LOST         (10000 * MILLISECOND)

struct record {
    uint64_t done, wrong, why, latest;
};

static volatile struct page {
    struct record threads[MOST_THREADS];
    uint64_t children;
} * page;

struct kind;
static struct thread {
    const struct kind *kind;
    volatile struct record *record;
    pthread_t id;
    int in, out; /* a pipe */
    int word;    /* a futex */
    uint64_t sum;
    double product;
} threads[MOST_THREADS];

static int64_t now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* ---- waits for an event, and the events ----------------------------------------------------- */

static bool wait_read(struct thread *t)
{
    char c;
    return read(t->in, &c, 1) == 1;
}

static bool wait_poll(struct thread *t)
{
    struct pollfd p = {t->in, POLLIN, 0};
    return poll(&p, 1, -1) == 1 && wait_read(t);
}

static void wake_pipe(struct thread *t)
{
    if (write(t->out, "x", 1) != 1)
        victim_die("write");
}

static bool wait_futex(struct thread *t)
{
    while (__atomic_load_n(&t->word, __ATOMIC_ACQUIRE) == 0)
        if (syscall(SYS_futex, &t->word, FUTEX_WAIT, 0, NULL, NULL, 0) != 0 && errno != EAGAIN)
            return false;
    __atomic_store_n(&t->word, 0, __ATOMIC_RELEASE);
    return true;
}

static void wake_futex(struct thread *t)
{
    __atomic_store_n(&t->word, 1, __ATOMIC_RELEASE);
    syscall(SYS_futex, &t->word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static bool wait_signal(struct thread *t)
{
    sigset_t set;
    int number;
    (void)t;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    return sigwait(&set, &number) == 0 && number == SIGUSR1;
}

static void wake_signal(struct thread *t)
{
    pthread_kill(t->id, SIGUSR1);
}

/* ---- waits for some time -------------------------------------------------------------------- */

static bool on_time(struct thread *t, int64_t began)
{
    int64_t late = now() - began - ASKED_MS * MILLISECOND;
    if (late > (int64_t)t->record->latest)
        t->record->latest = (uint64_t)late;
    return late >= 0;
}

static const struct timespec asked = {0, ASKED_MS *MILLISECOND};

static bool wait_sleep(struct thread *t)
{
    int64_t began = now();
    return nanosleep(&asked, NULL) == 0 && on_time(t, began);
}

static bool wait_poll_time(struct thread *t)
{
    struct pollfd p = {t->in, POLLIN, 0};
    int64_t began = now();
    return poll(&p, 1, ASKED_MS) == 0 && on_time(t, began);
}

static bool wait_futex_time(struct thread *t)
{
    int64_t began = now();
    long result = syscall(SYS_futex, &t->word, FUTEX_WAIT, 0, &asked, NULL, 0);
    return result == -1 && errno == ETIMEDOUT && on_time(t, began);
}

/* Not a wait at all: the registers must survive. */
static bool compute(struct thread *t)
{
    uint64_t rng = 1, sum = 0;
    double product = 1;
    for (int i = 0; i < 1000000; i++) {
        sum += victim_random(&rng) ^ (uint64_t)i;
        product = product * 1.0000001 + 1e-9;
    }
    bool same = sum == t->sum && product == t->product;
    bool first = t->sum == 0;
    t->sum = sum;
    t->product = product;
    return same || first;
}

/* --------------------------------------------------------------------------------------------- */

static const struct kind {
    char letter;
    bool (*wait)(struct thread *); /* false: it went wrong, see errno */
    void (*wake)(struct thread *); /* NULL: it ends by itself */
} kinds[] = {
    {'r', wait_read, wake_pipe},     {'p', wait_poll, wake_pipe}, {'f', wait_futex, wake_futex},
    {'s', wait_signal, wake_signal}, {'n', wait_sleep, NULL},     {'P', wait_poll_time, NULL},
    {'F', wait_futex_time, NULL},    {'b', compute, NULL},
};
#define KINDS (sizeof kinds / sizeof *kinds)

static void wrong(struct thread *t, int why)
{
    t->record->wrong++;
    t->record->why = (uint64_t)why;
}

static void *run(void *arg)
{
    struct thread *t = arg;
    for (;;) {
        errno = 0;
        if (!t->kind->wait(t))
            wrong(t, errno);
        __atomic_add_fetch(&t->record->done, 1, __ATOMIC_RELEASE);
    }
    return NULL;
}

/* Wakes one after the other, at no particular moment, and waits until each has noticed. */
static void *wake_all(void *arg)
{
    uint64_t rng = 4711;
    for (size_t i = 0;; i++) {
        struct thread *t = &threads[i % MOST_THREADS];
        if (!t->kind || !t->kind->wake)
            continue;
        usleep((useconds_t)victim_between(&rng, 0, 3000));
        uint64_t before = __atomic_load_n(&t->record->done, __ATOMIC_ACQUIRE);
        int64_t began = now();
        t->kind->wake(t);
        while (__atomic_load_n(&t->record->done, __ATOMIC_ACQUIRE) == before &&
               now() - began < LOST)
            usleep(50);
        if (now() - began >= LOST)
            wrong(t, ETIME);
    }
    return arg;
}

static void count_child(int number)
{
    (void)number;
    page->children++;
}

static void share_page(const char *directory)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/waits", directory);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || ftruncate(fd, sizeof *page) != 0)
        victim_die(path);
    page = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        victim_die("mmap");
}

static void create(size_t i, const struct kind *kind)
{
    int fd[2];
    if (pipe(fd) != 0)
        victim_die("pipe");
    threads[i] =
        (struct thread){.kind = kind, .record = &page->threads[i], .in = fd[0], .out = fd[1]};
    threads[i].id = victim_thread(run, &threads[i]);
}

int main(int argc, char **argv)
{
    victim_start(argc, argv);
    share_page(argv[1]);
    signal(SIGCHLD, count_child);
    signal(SIGHUP, SIG_IGN);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &set, NULL);

    const char *wanted = argc > 2 ? argv[2] : "rpfsnPFbrpfsnPF";
    for (size_t i = 0; i < strlen(wanted) && i < MOST_THREADS; i++)
        for (size_t k = 0; k < KINDS; k++)
            if (kinds[k].letter == wanted[i])
                create(i, &kinds[k]);
    victim_thread(wake_all, NULL);
    if (write(STDOUT_FILENO, "ready\n", 6) != 6)
        return 1;
    for (;;)
        pause();
}
