/*
 * split-mappings chunks|top|sealed: the program changes a part of what malloc got from the kernel
 * as one piece. The kernel splits the mapping there; the heap stays as it was.
 */
#include "victim.h"

#include <malloc.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE ((uintptr_t)4096)

static void *page_at(void *p)
{
    return (void *)((uintptr_t)p & ~(PAGE - 1));
}

static void need(int rc, const char *what)
{
    if (rc != 0)
        victim_die(what);
}

/* Parts of chunks that have mappings of their own. */
static void split_chunks(size_t bytes)
{
    victim_malloc(1000);
    char *advised = memset(victim_malloc(bytes), 1, bytes);
    char *locked = memset(victim_malloc(bytes), 1, bytes);
    char *guarded = memset(victim_memalign(PAGE, bytes), 1, bytes);
    victim_malloc(bytes);
    /* As numerical libraries do with large arrays: all of it but the page with the header. */
    need(madvise((char *)page_at(advised) + PAGE, bytes - PAGE, MADV_DONTFORK), "madvise");
    need(mlock((char *)page_at(locked) + 100 * PAGE, 2 * PAGE), "mlock");
    need(mprotect(guarded, PAGE, PROT_NONE), "mprotect");
}

/* A page in the middle of what is going to be top. */
static void lock_in_top(void)
{
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    victim_mmap_threshold(1 << 30);
    victim_malloc(100);
    char *p = victim_malloc(300000);
    need(mlock(p + 100000, PAGE), "mlock");
    victim_free(p);
}

/* The whole heap read-only, as soon as nobody is going to allocate any more. */
static void seal(void)
{
    char *first = page_at(victim_malloc(500)), *last = NULL;
    for (size_t i = 0; i < 300; i++) {
        void *p = victim_malloc(2000);
        if (i % 3 == 0)
            last = p;
        else if (i % 3 == 1)
            victim_free(p);
    }
    victim_free(last);
    need(mprotect(first, (size_t)((char *)sbrk(0) - first), PROT_READ), "mprotect");
}

int main(int argc, char **argv)
{
    victim_start(argc, argv);
    if (victim_is(0, "chunks"))
        split_chunks(1 << 20);
    else if (victim_is(0, "top"))
        lock_in_top();
    else if (victim_is(0, "sealed"))
        seal();
    else
        victim_die("which part?");
    victim_ready();
}
