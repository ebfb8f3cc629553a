/*
 * Under a debugger: allocates BLOCKS blocks and shows each of them to seen(), then frees every other one
 * and shows those to seen(), too. Says "ready" before, and ends by abort() for those who want a core.
 */
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

int main(void)
{
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
