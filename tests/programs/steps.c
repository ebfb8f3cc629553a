/*
 * Under a debugger: allocates BLOCKS blocks and shows each of them to seen(), then frees every
 * other one and shows those to seen(), too. Says "ready" before, and ends by abort(). With -DSPIN
 * another thread never stands still meanwhile, and keeps away from malloc.
 */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define BLOCKS 20

struct block {
    struct block *next;
    char text[88];
};

static struct block *first;

__attribute__((noinline)) void seen(struct block *block, int number);
void seen(struct block *block, int number)
{
    __asm__ volatile("" : : "r"(block), "r"(number) : "memory");
}

#ifdef SPIN
static void *spin(void *arg)
{
    for (volatile unsigned long turns = 0;; turns++)
        ;
    return arg;
}
#endif

int main(void)
{
#ifdef SPIN
    pthread_t thread;
    if (pthread_create(&thread, NULL, spin, NULL) != 0)
        return 1;
#endif
    struct block *blocks[BLOCKS];
    if (write(STDOUT_FILENO, "ready\n", 6) != 6)
        return 1;
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(sizeof **blocks);
        if (!blocks[i])
            return 1;
        blocks[i]->next = first;
        first = blocks[i];
        seen(blocks[i], i);
    }
    for (int i = 0; i < BLOCKS; i += 2) {
        free(blocks[i]);
        seen(blocks[i], BLOCKS + i);
    }
    abort();
}
