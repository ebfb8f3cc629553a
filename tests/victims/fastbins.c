/*
 * fastbins [EACH [LARGEST]]: EACH chunks of every fast size are freed, so that the tcaches are full
 * and the rest lies in fastbins: of the main arena, of a thread's own arena, and of an arena whose
 * chunks another thread frees.
 */
#include "victim.h"

#define MOST_EACH 64
#define MOST      16

static size_t each, largest;
static void *lent[MOST][MOST_EACH];

static size_t sizes(void)
{
    return (largest - VICTIM_LEAST) / VICTIM_ALIGN + 1; /* chunks of 32, 48, ... largest bytes */
}

static void take(void *p[MOST][MOST_EACH])
{
    for (size_t i = 0; i < sizes(); i++)
        for (size_t k = 0; k < each; k++)
            p[i][k] = victim_malloc(VICTIM_LEAST + VICTIM_ALIGN * i - VICTIM_WORD);
}

static void give(void *p[MOST][MOST_EACH])
{
    for (size_t i = 0; i < sizes(); i++)
        for (size_t k = 0; k < each; k++)
            victim_free(p[i][k]);
}

static void *lender(void *arg)
{
    (void)arg;
    take(lent);
    return victim_park();
}

static void *run(void *arg)
{
    static void *own[MOST][MOST_EACH];
    (void)arg;
    take(own);
    give(own);
    return victim_park();
}

int main(int argc, char **argv)
{
    static void *own[MOST][MOST_EACH];

    victim_start(argc, argv);
    each = victim_number(0, 30);
    largest = victim_number(1, 16 * VICTIM_WORD);
    if (each > MOST_EACH || sizes() > MOST)
        victim_die("too many");
    victim_thread(lender, NULL);
    victim_wait_parked(1);
    victim_thread(run, NULL);
    victim_wait_parked(2);
    take(own);
    give(own);
    give(lent);
    victim_ready();
}
