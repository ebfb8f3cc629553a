/*
 * act HOW: threads that stand in malloc, and are known to.
 *
 *     held      one stands in malloc(), with the lock of its arena; others wait for that arena
 *     self      one stands in malloc(), and its signal handler calls malloc() again: that waits
 *               for ever
 *     crash     at SIGUSR1, one gets a SIGSEGV in malloc() that nobody handles
 *
 * A thread is brought to a halt there by memory: a free chunk, which malloc() looks at, is in a
 * page that may not be read. Its handler makes it readable again, and sleeps. In expect.txt:
 *
 *     holds TID ENTRY ARENA     this thread has locked the arena at this address
 *     waits TID ENTRY ARENA     this one waits for it
 *     idle TID                  this one was in malloc, and is not any more
 */
#include "victim.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE     ((size_t)4096)
#define LARGE    (4 * PAGE) /* of chunks that no tcache takes */
#define LARGER   (8 * PAGE)
#define WAITERS  3
#define ATTEMPTS 8 /* to get a thread whose arena is that of another */

static struct {
    char *closed;  /* the page that may not be read */
    void *lost[2]; /* blocks of the holder's that others free and realloc */
    void *arena;   /* the holder's */
    int holding, sharing, waiting;
    int tids[WAITERS + 1];
    int go;
} self;

static void *volatile kept;

static void handle(int number, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};
    if (sigaction(number, &action, NULL) != 0)
        victim_die("sigaction");
}

static void await(const int *flag)
{
    while (!__atomic_load_n(flag, __ATOMIC_ACQUIRE))
        usleep(1000);
}

static void set(int *flag)
{
    __atomic_store_n(flag, 1, __ATOMIC_RELEASE);
}

/* Of a chunk with NON_MAIN_ARENA; its heap begins with a pointer to it. */
static void *arena_of(void *p)
{
    __asm__ volatile(""
                     : "+r"(p)
                     :
                     : "memory"); /* what is in front of it is not the compiler's business */
    if (!(((size_t *)p)[-1] & 4))
        return NULL;
    return *(void **)((uintptr_t)p & ~(VICTIM_HEAP_MAX - 1));
}

/* What every thread does at first: so there are old return addresses on its stack. */
static void *use_malloc(void)
{
    void *p = malloc(LARGE), *q = malloc(100);
    void *arena = arena_of(q);
    free(p);
    free(q);
    return arena;
}

/* ---- the one that holds --------------------------------------------------------------------- */

static void halt(int signal)
{
    (void)signal;
    if (mprotect(self.closed, PAGE, PROT_READ | PROT_WRITE) != 0)
        victim_die("mprotect");
    set(&self.holding);
    if (victim_is(0, "self"))
        free(malloc(LARGER));
    for (;;)
        pause();
}

static void close_page(void *p)
{
    self.closed = (char *)(((uintptr_t)p - VICTIM_HEADER) & ~(PAGE - 1));
    if (mprotect(self.closed, PAGE, PROT_NONE) != 0)
        victim_die("mprotect");
}

static void *hold(void *arg)
{
    (void)arg;
    self.tids[0] = (int)gettid();
    kept = malloc(LARGER); /* the page that is closed is none of the arena's first */
    void *p = malloc(LARGE);
    for (size_t i = 0; i < 2; i++)
        self.lost[i] = malloc(LARGE);
    self.arena = arena_of(p);
    set(&self.sharing);
    await(&self.go);
    free(p);
    close_page(p);
    kept = malloc(LARGER);
    victim_die("malloc() did not look at the closed page");
}

/* ---- those that wait ------------------------------------------------------------------------ */

/* Whether a thread sleeps in futex(2) at this address. */
static int is_waiting(int tid, const void *at)
{
    char path[64], text[128] = "";
    snprintf(path, sizeof path, "/proc/self/task/%d/syscall", tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, text, sizeof text - 1) < 0)
        victim_die(path);
    close(fd);
    char *end;
    long number = strtol(text, &end, 10);
    return number == SYS_futex && strtoul(end, NULL, 16) == (uintptr_t)at;
}

static void expect_waiting(const int *thread, const char *entry)
{
    await(thread);
    int tid = *thread;
    while (!is_waiting(tid, self.arena))
        usleep(1000);
    victim_expect("waits %d %s %p", tid, entry, self.arena);
}

static void *wait_in_free(void *arg)
{
    self.tids[1] = (int)gettid();
    use_malloc();
    await(&self.holding);
    free(self.lost[0]);
    return arg;
}

static void *wait_in_realloc(void *arg)
{
    self.tids[2] = (int)gettid();
    use_malloc();
    await(&self.holding);
    return realloc(self.lost[1], LARGE / 2) ? arg : NULL;
}

/* If its arena is the holder's; there may be two at most. */
static void *wait_in_malloc(void *arg)
{
    void *p = malloc(LARGE);
    if (arena_of(p) != self.arena) {
        *(int *)arg = -1;
        return victim_park();
    }
    self.tids[3] = (int)gettid();
    set(arg);
    await(&self.holding);
    return malloc(LARGER);
}

static void *idle(void *arg)
{
    use_malloc();
    victim_expect("idle %d", (int)gettid());
    set(arg);
    return victim_park();
}

/* ---- all of them ---------------------------------------------------------------------------- */

static void start_sharer(void)
{
    static int result[ATTEMPTS];
    for (size_t i = 0; i < ATTEMPTS; i++) {
        victim_thread(wait_in_malloc, &result[i]);
        await(&result[i]);
        if (result[i] > 0)
            return;
    }
    victim_die("no thread uses the other's arena");
}

static void go(int signal)
{
    (void)signal;
    set(&self.go);
}

int main(int argc, char **argv)
{
    static int idling;
    victim_start(argc, argv);
    mallopt(M_ARENA_MAX, 2);
    if (!victim_is(0, "crash"))
        handle(SIGSEGV, halt);
    handle(SIGUSR1, go);
    victim_thread(hold, NULL);
    await(&self.sharing);
    victim_thread(idle, &idling);
    await(&idling);
    victim_expect("idle %d", (int)gettid());
    use_malloc();
    if (victim_is(0, "held")) {
        victim_thread(wait_in_free, NULL);
        victim_thread(wait_in_realloc, NULL);
        start_sharer();
    }
    victim_expect("%s %d malloc %p", victim_is(0, "crash") ? "crashes" : "holds", self.tids[0],
                  self.arena);
    if (victim_is(0, "crash"))
        victim_ready_unasked();
    go(0);
    await(&self.holding);
    if (victim_is(0, "self"))
        expect_waiting(&self.tids[0], "malloc");
    if (victim_is(0, "held")) {
        expect_waiting(&self.tids[1], "free");
        expect_waiting(&self.tids[2], "realloc");
        expect_waiting(&self.tids[3], "malloc");
    }
    victim_ready_unasked();
}
