/*
 * own-stack chunk|region: a thread whose stack is a block of malloc's; with "region", one in a
 * piece of a main arena that lives on mappings.
 */
#include "victim.h"

#include <sys/mman.h>
#include <unistd.h>

#define PAGE ((size_t)4096)

static void *run(void *arg)
{
    (void)arg;
    return victim_park();
}

/* Then no block has a mapping of its own, nor does the arena grow by the break. */
static void block_break(void)
{
    victim_malloc(500);
    void *end = (void *)(((uintptr_t)sbrk(0) + PAGE - 1) & ~(PAGE - 1));
    if (mmap(end, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != end)
        victim_die("mmap above the break");
    for (size_t i = 0; i < 150; i++)
        victim_malloc(20000 + i * 300);
}

int main(int argc, char **argv)
{
    pthread_attr_t attr;
    pthread_t thread;
    size_t bytes = 1 << 20;

    victim_start(argc, argv);
    if (victim_is(0, "region")) {
        block_break();
        bytes = 64 << 10;
    }
    void *stack = victim_memalign(PAGE, bytes);
    pthread_attr_init(&attr);
    if (pthread_attr_setstack(&attr, stack, bytes) != 0 ||
        pthread_create(&thread, &attr, run, NULL) != 0)
        victim_die("pthread_create");
    victim_wait_parked(1);
    victim_ready();
}
