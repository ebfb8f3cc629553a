/*
 * aborts MISTAKE [thread] [caught]: at SIGUSR1 it makes a mistake that glibc notices, and aborts it
 * for. What glibc says then is in stderr.txt. With "thread" it happens in a thread and in its
 * arena; with "caught" the handler of SIGABRT sleeps for ever. In expect.txt:
 *
 *     aborts TID ENTRY ARENA    who makes the mistake, by which call; the arena's address, 0: the
 *                               main one, -: none
 */
#include "victim.h"

#include <assert.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LARGE ((size_t)0x2000)

static int go;

static void *unseen(void *p)
{
    __asm__ volatile("" : "+r"(p) : : "memory");
    return p;
}

static void *volatile kept;

/* ---- mistakes ------------------------------------------------------------------------------- */

static void twice(char *p)
{
    (void)p;
    free(kept = malloc(32));
    free(unseen(kept));
}

/* The size of the free chunk behind it is text. */
static void text(char *p)
{
    memset(unseen(p), 'A', malloc_usable_size(p) + 64);
    kept = malloc(LARGE * 2);
}

/* The size of top is text. */
static void top(char *p)
{
    (void)p;
    kept = malloc(LARGE * 4); /* there is no such hole */
    memset(unseen(kept), 'A', malloc_usable_size(kept) + 64);
    kept = malloc(LARGE * 4);
}

/* What is freed does not end where the next chunk begins. */
static void size(char *p)
{
    ((size_t *)unseen(p))[-1] += LARGE / 2;
    free(p);
}

static void assertion(char *p)
{
    assert(p == kept);
}

static const struct {
    const char *name, *entry;
    void (*make)(char *p);
} mistakes[] = {
    {"twice", "free", twice}, {"text", "malloc", text},      {"top", "malloc", top},
    {"size", "free", size},   {"assertion", "-", assertion},
};

/* ---- the program ---------------------------------------------------------------------------- */

static void handle(int number, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};
    if (sigaction(number, &action, NULL) != 0)
        victim_die("sigaction");
}

static void start(int signal)
{
    (void)signal;
    __atomic_store_n(&go, 1, __ATOMIC_RELEASE);
}

static void sleep_on(int signal)
{
    (void)signal;
    for (;;)
        pause();
}

static void *arena_of(void *p)
{
    p = unseen(p);
    if (!(((size_t *)p)[-1] & 4))
        return NULL;
    return *(void **)((uintptr_t)p & ~(VICTIM_HEAP_MAX - 1));
}

static size_t chosen(void)
{
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++)
        if (victim_is(0, mistakes[i].name))
            return i;
    victim_die("no such mistake");
}

static void *run(void *arg)
{
    size_t i = chosen();
    char *p = malloc(LARGE), *behind = malloc(LARGE);
    kept = malloc(LARGE);
    free(behind);
    victim_expect("aborts %d %s %p", (int)gettid(), mistakes[i].entry, arena_of(p));
    __atomic_store_n((int *)arg, 1, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&go, __ATOMIC_ACQUIRE))
        usleep(1000);
    mistakes[i].make(p);
    victim_die("that was no mistake");
}

static void *idle(void *arg)
{
    free(malloc(LARGE));
    return arg ? victim_park() : NULL;
}

int main(int argc, char **argv)
{
    static int prepared;
    victim_start(argc, argv);
    int fd = open("stderr.txt", O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0644);
    if (fd < 0 || dup2(fd, 2) != 2)
        victim_die("stderr.txt");
    setenv("LIBC_FATAL_STDERR_", "1", 1);
    if (victim_is(1, "caught") || victim_is(2, "caught"))
        handle(SIGABRT, sleep_on);
    handle(SIGUSR1, start);
    victim_thread(idle, &go);
    victim_wait_parked(1);
    victim_thread(run, &prepared);
    while (!__atomic_load_n(&prepared, __ATOMIC_ACQUIRE))
        usleep(1000);
    victim_ready_unasked();
}
