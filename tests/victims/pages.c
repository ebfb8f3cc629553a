/*
 * pages KIND: free memory of which not all is in RAM, or which does not go when it should. KIND:
 *
 *     trimmed     malloc_trim() was called before, and since then some of it was used again
 *     untouched   large blocks of which only some pages were ever touched
 *     zero        free memory that was only read: it lies on the kernel's page of zeros
 *     huge        huge pages, and free chunks that begin and end within them
 *     drilled     three of four blocks are free, all of it was touched
 *     locked      everything is locked in RAM
 *     lock-other  a lot is locked, but nothing of the heap
 *     lock-some   a few pages of the heap are locked, and malloc_trim() stops at them
 *     fast-top    free memory, then chunks in fastbins, then top: all of that is going to be top
 *     big-top     a large top, half of which was touched
 *     brk-moved   somebody else took memory behind top
 */
#include "victim.h"

#include <errno.h>
#include <malloc.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE   ((size_t)4096)
#define MIB    ((size_t)1 << 20)
#define BLOCKS 600
#define BLOCK  ((size_t)20000)

static void *held[2][BLOCKS];

/* About 12 MiB, all touched, of which three quarters are freed: runs of three blocks. */
static void fill(void **blocks)
{
    for (size_t i = 0; i < BLOCKS; i++)
        blocks[i] = memset(victim_malloc(BLOCK), 0xFF, BLOCK);
}

static void drill(void **blocks)
{
    for (size_t i = 0; i < BLOCKS - 1; i++)
        if (i % 4)
            victim_free(blocks[i]);
}

/* A block that is not going to be part of top when the one before it is freed. */
static void pin(void)
{
    memset(victim_malloc(200), 0xFF, 200);
}

/* ---- kinds ----------------------------------------------------------------------------------- */

static void use_again(void **blocks)
{
    fill(blocks);
    drill(blocks);
    malloc_trim(0);
    for (size_t i = 0; i < 300; i++) {
        char *p = victim_malloc(15000);
        memset(p, 0xFF, i % 2 ? 5000 : 15000);
        if (i % 3)
            victim_free(p);
    }
}

static void *use_again_in_thread(void *arg)
{
    use_again(arg);
    return victim_park();
}

static void trimmed(void)
{
    use_again(held[0]);
    victim_thread(use_again_in_thread, held[1]);
    victim_wait_parked(1);
}

/* `touch` says of which pages. */
static void *sparse(size_t bytes, size_t every)
{
    char *p = victim_malloc(bytes);
    for (size_t at = 0; every && at < bytes; at += every)
        p[at] = 1;
    return p;
}

static void *untouched_in_thread(void *arg)
{
    (void)arg;
    void *p = sparse(40 * MIB, 100000);
    pin();
    victim_free(p);
    return victim_park();
}

static void untouched(void)
{
    victim_calloc(1024 * MIB);
    pin();
    void *a = sparse(512 * MIB, 0);
    pin();
    void *b = sparse(64 * MIB, 3 * PAGE);
    pin();
    victim_free(a);
    victim_free(b);
    sparse(100 * MIB, 0);
    victim_thread(untouched_in_thread, NULL);
    victim_wait_parked(1);
}

static void zero(void)
{
    static volatile char sum;
    size_t bytes = 16 * MIB;
    char *p = victim_malloc(bytes);
    pin();
    for (size_t at = 0; at < bytes; at += PAGE)
        if (at % (4 * PAGE))
            sum = (char)(sum + p[at]);
        else
            p[at] = 1;
    victim_free(p);
}

static void huge(void)
{
    size_t bytes = 32 * MIB;
    char *all = victim_memalign(2 * MIB, bytes);
    pin();
    if (madvise(all, bytes, MADV_HUGEPAGE) != 0)
        victim_die("madvise");
    memset(all, 0xFF, bytes / 2);
    static volatile char sum;
    for (size_t at = bytes / 2; at < bytes * 3 / 4; at += 2 * MIB)
        sum = (char)(sum + all[at]); /* the huge page of zeros */
    victim_free(all);
    /* From the bin where they are now, back into the same pages. */
    for (size_t i = 0; i < 100; i++)
        held[0][i] = memset(victim_malloc(100000), 0xFF, 10000);
    for (size_t i = 0; i < 100; i += 2)
        victim_free(held[0][i]);
    /* Or the kernel goes on making huge pages of small ones. */
    if (madvise(all, bytes, MADV_NOHUGEPAGE) != 0)
        victim_die("madvise");
}

static void drilled(void)
{
    fill(held[0]);
    drill(held[0]);
}

static void locked(void)
{
    if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0)
        victim_die("mlockall");
    drilled();
}

static void lock_other(void)
{
    size_t bytes = 64 * MIB;
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED || mlock2(p, bytes, MLOCK_ONFAULT) != 0)
        victim_die("mlock");
    drilled();
}

static void lock_some(void)
{
    drilled();
    for (size_t i = 1; i < BLOCKS - 1; i += 16) { /* in the middle of a run of free blocks */
        char *page = (char *)(((uintptr_t)held[0][i + 1] + PAGE) & ~(PAGE - 1));
        if (mlock(page, PAGE) != 0)
            victim_die("mlock");
    }
}

static void fast_top(void)
{
    static void *small[220];
    size_t count = sizeof small / sizeof *small;
    fill(held[0]);
    for (size_t i = 0; i < count; i++)
        small[i] = victim_malloc(100);
    drill(held[0]);
    for (size_t i = BLOCKS - 8; i < BLOCKS; i++)
        if (i % 4 == 0 || i == BLOCKS - 1)
            victim_free(held[0][i]);
    /* The tcache gets a few from the middle, and one in use stays before them. */
    for (size_t i = 20; i < 40; i++)
        victim_free(small[i]);
    for (size_t i = 0; i < count; i++)
        if (i != 10 && (i < 20 || i >= 40))
            victim_free(small[i]);
}

static void big_top(void)
{
    fill(held[0]);
    drill(held[0]);
    void *half = sparse(9 * MIB, 2 * PAGE);
    victim_free(half);
}

static void brk_moved(void)
{
    big_top();
    if (sbrk(3 * PAGE) == (void *)-1)
        victim_die("sbrk");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*make)(void);
    } kinds[] = {
        {"trimmed", trimmed},
        {"untouched", untouched},
        {"zero", zero},
        {"huge", huge},
        {"drilled", drilled},
        {"locked", locked},
        {"lock-other", lock_other},
        {"lock-some", lock_some},
        {"fast-top", fast_top},
        {"big-top", big_top},
        {"brk-moved", brk_moved},
    };
    victim_start(argc, argv);
    /* Everything lies in arenas, and nothing goes back by itself. */
    mallopt(M_MMAP_MAX, 0);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (victim_is(0, kinds[i].name)) {
            kinds[i].make();
            victim_ready();
        }
    errno = 0;
    victim_die("no such kind");
}
