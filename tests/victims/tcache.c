/*
 * tcache FREED CACHED: in two threads, FREED blocks of every size that a tcache takes are freed;
 * CACHED of them are expected to be in it. Tunables may change how many that is.
 */
#include "victim.h"

#include <unistd.h>

#define SIZES     64
#define MOST_EACH 128

static size_t chunk_of(size_t i)
{
    return VICTIM_LEAST + VICTIM_ALIGN * i;
}

static void fill(void)
{
    size_t freed = victim_number(0, 7), cached = victim_number(1, 7), bytes = 0;
    void *p[MOST_EACH];

    if (freed > MOST_EACH)
        victim_die("too many");
    /* The smallest last: it is the size of the guards, which would be taken out of it again. */
    for (size_t i = SIZES; i-- > 0;) {
        for (size_t k = 0; k < freed; k++) {
            p[k] = victim_malloc(chunk_of(i) - VICTIM_WORD);
            victim_malloc(8); /* keeps neighbours from merging */
        }
        for (size_t k = 0; k < freed; k++)
            victim_free(p[k]);
        bytes += cached * chunk_of(i);
    }
    if (cached)
        victim_expect("cached %p %d", p[cached - 1], (int)gettid());
    victim_expect("tcache %d %zu %zu", (int)gettid(), cached * SIZES, bytes);
}

static void *run(void *arg)
{
    (void)arg;
    fill();
    return victim_park();
}

int main(int argc, char **argv)
{
    victim_start(argc, argv);
    victim_thread(run, NULL);
    victim_wait_parked(1);
    fill();
    victim_ready();
}
